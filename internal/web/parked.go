package web

import (
	"time"

	"popeye"
)

// Parked are votes that could not be recorded, as organisers see them: those of
// one round with one reason. It tells neither who cast them nor what for.
type Parked struct {
	// Poll is left out where the round is none of an existing poll.
	Poll   string    `json:"poll,omitempty"`
	Round  int64     `json:"round"`
	Reason string    `json:"reason"`
	Votes  int64     `json:"votes"`
	Oldest time.Time `json:"oldest"`
	Newest time.Time `json:"newest"`
}

// NewParked returns what the API shows of p.
func NewParked(p *popeye.ParkedVotes) Parked {
	return Parked{
		Poll: p.Poll, Round: p.Round, Reason: p.Reason, Votes: p.Votes, Oldest: p.Oldest.UTC(), Newest: p.Newest.UTC(),
	}
}

// Retried is what became of the parked votes of a round that were tried again.
type Retried struct {
	// Recorded counts those that are recorded now.
	Recorded int64 `json:"recorded"`
	// Rejected counts those that stay parked.
	Rejected int64 `json:"rejected"`
}

// Dropped says how many parked votes were forgotten.
type Dropped struct {
	Dropped int64 `json:"dropped"`
}
