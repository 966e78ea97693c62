package popeye

import (
	"bytes"
	"cmp"
	"time"
)

// Compare orders votes as a store takes them: by round, voter, stamp and serial.
func (v Vote) Compare(o Vote) int {
	if c := cmp.Compare(v.Round, o.Round); c != 0 {
		return c
	}
	if c := bytes.Compare(v.Voter[:], o.Voter[:]); c != 0 {
		return c
	}
	if c := cmp.Compare(v.Stamp, o.Stamp); c != 0 {
		return c
	}
	return cmp.Compare(v.Serial, o.Serial)
}

// OnePerVoter keeps of each voter in a round the vote that stands after all of
// these, which are sorted by Compare: under policy First the earliest that is
// confirmed, or else the earliest, under Change the latest. policyOf tells the
// policy of a round.
func OnePerVoter(sorted []Vote, policyOf func(round int64) Policy) []Vote {
	kept := make([]Vote, 0, len(sorted))
	for _, v := range sorted {
		last := len(kept) - 1
		switch {
		case last < 0 || kept[last].Voter != v.Voter || kept[last].Round != v.Round:
			kept = append(kept, v)
		case policyOf(v.Round) == Change, kept[last].Unconfirmed && !v.Unconfirmed:
			kept[last] = v
		}
	}
	return kept
}

// Recorded is what a store did with a batch.
type Recorded struct {
	// Moved names the polls whose shown result changed.
	Moved []string
	// Stored counts the distinct votes that this batch added to the ledger,
	// Rejected those that were parked, or came after their round was final.
	Stored, Rejected int64
}

// Parked is a vote that can never be recorded, and why.
type Parked struct {
	Vote   Vote
	Reason string
}

// ParkedVotes are the votes of one round that were parked for one reason. It
// tells neither who cast them nor what for.
type ParkedVotes struct {
	// Poll is empty where the round is none, or its poll was deleted.
	Poll   string
	Round  int64
	Reason string
	Votes  int64
	// Oldest and Newest are when the votes were cast.
	Oldest, Newest time.Time
}

// Finding is what a store says of a receipt.
type Finding struct {
	Poll  string
	Round int64
	Fate  Fate
	// Cast is when the vote was cast, to the microsecond.
	Cast time.Time
	// Reason says why the vote was rejected.
	Reason string
}

// Fate is what became of a vote that a store knows.
type Fate string

// A counted vote is in the tally; a rejected one was parked or late.
const (
	Counted  Fate = "counted"
	Rejected Fate = "rejected"
)

// Progress says how far one worker has come with one queue server: it grows
// with each batch that the worker takes. A store notes it in the transaction
// that records the batch, and the server when the batch is acknowledged: so a
// store whose note is behind the server's has lost what it had committed. The
// zero Progress is not noted.
type Progress struct {
	// Server is the identity of the queue server's data, see QueueStatus.
	Server string
	// Worker names one consumer of one process; no two ever have the same name.
	Worker string
	Batch  int64
}

// QueueStatus is what a worker knows of one queue server at one moment.
type QueueStatus struct {
	// Place is where the server is, as configured: host and port.
	Place string
	// Server is its identity: random, and lost with its data.
	Server string
	// Recorded is the position before which everything is acknowledged, as the
	// queue writes positions. Replaying begins there.
	Recorded string
	// Pending counts the deliveries that are not acknowledged.
	Pending int64
	// Oldest is when the oldest of them was cast, zero when there is none.
	Oldest time.Time
	// Accepted counts, for each round that is not final, the confirmed votes
	// that this server has taken.
	Accepted map[int64]int64
	// Progress is the last batch acknowledged by each worker.
	Progress map[string]int64
	// Catalog is the version of the definitions that it has, 0 for none.
	Catalog int64
}

// Seal says that everything which one queue server took of a round before it
// was closed is recorded.
type Seal struct {
	Round int64
	// Place and Server name the queue server, see QueueStatus.
	Place, Server string
	// Progress is what the server has seen recorded, see QueueStatus: a store that
	// lacks any of it has lost votes, which may be of this round.
	Progress map[string]int64
	// Places are all the queue servers that there are.
	Places []string
	// Enough is how many of them have to be sealed so that no confirmed vote can
	// be missing: N - n + 1 of N servers, of which n get each vote.
	Enough int
}
