package popeye

// Ledger accounts for every acknowledged vote of a round:
// Accepted = Stored + Rejected + Queued.
type Ledger struct {
	// Accepted counts distinct acknowledged votes: a repeat is none, a change is.
	Accepted int64
	// Queued is how many are on their way to the store. Only where the queue is
	// another server is it an estimate.
	Queued int64
	// Stored counts the votes recorded, those that a later change has replaced
	// included.
	Stored int64
	// Rejected counts the parked and the late.
	Rejected int64
}

// Tally is a poll's result at one moment.
type Tally struct {
	Definition
	// Version grows with each change of anything that a result shows, and never
	// falls, not even over rounds.
	Version int64
	// Votes counts the votes for each option, by position.
	Votes []int64
	// Total counts the voters whose vote is counted.
	Total  int64
	Ledger Ledger
	// ReceiptsHash is the SHA-256, in hexadecimal, of the final list: the
	// receipts of all votes counted, sorted, each with a newline behind it. Empty
	// until the round is final and the list was read once.
	ReceiptsHash string
}

// Standing names how settled a result is.
type Standing string

// A live result moves; a provisional one may still count votes in flight; a
// final one never changes.
const (
	Live        Standing = "live"
	Provisional Standing = "provisional"
	Settled     Standing = "final"
)

// Standing returns how settled t is. Only a store says closed, and only once
// no new vote can come.
func (t *Tally) Standing() Standing {
	switch t.State {
	case Closed:
		return Provisional
	case Final:
		return Settled
	default:
		return Live
	}
}
