package sqlite

import (
	"iter"
	"math/bits"
	"slices"

	"popeye"
)

// byRound yields the votes of each round of a sorted batch.
func byRound(batch []popeye.Vote) iter.Seq[[]popeye.Vote] {
	return func(yield func([]popeye.Vote) bool) {
		for len(batch) > 0 {
			n := slices.IndexFunc(batch, func(v popeye.Vote) bool { return v.Round != batch[0].Round })
			if n < 0 {
				n = len(batch)
			}
			if !yield(batch[:n]) {
				return
			}
			batch = batch[n:]
		}
	}
}

// notFirst returns the votes that say of themselves that their voter has voted
// before.
func notFirst(votes []popeye.Vote) []popeye.Vote {
	var later []popeye.Vote
	for _, v := range votes {
		if v.Serial > 1 {
			later = append(later, v)
		}
	}
	return later
}

func voters(votes []popeye.Vote) []popeye.Voter {
	names := make([]popeye.Voter, len(votes))
	for i := range votes {
		names[i] = votes[i].Voter
	}
	return names
}

// change is what a batch does to one round.
type change struct {
	// fresh are the votes of voters without a row, replacing those that take the
	// place of a row, raising those that only say that a row stands for more.
	fresh, replacing, raising []popeye.Vote
	// votes is what the count of each option moves by.
	votes [popeye.MaxOptions]int64
	// total, stored and rejected are what the ledger moves by.
	total, stored, rejected int64
}

// none reports whether nothing that is shown changes.
func (c *change) none() bool {
	return len(c.fresh) == 0 && len(c.replacing) == 0 && len(c.raising) == 0 && c.rejected == 0
}

// fold works out what votes, one for each voter, do to what stands.
func fold(p popeye.Policy, votes []popeye.Vote, standing map[popeye.Voter]popeye.Mark) change {
	var c change
	for i := range votes {
		v := &votes[i]
		mark, known := standing[v.Voter]
		switch {
		case !known:
			c.fresh = append(c.fresh, *v)
			c.total++
			c.stored += v.Serial
			c.count(v.Choices, 1)
		case replaces(p, v, mark):
			c.replace(*v, mark)
		case raises(p, v, mark):
			c.raising = append(c.raising, *v)
			c.stored += v.Serial - mark.Serial
		}
	}
	return c
}

// replace puts v in the place of the vote that stands. A queue server that has
// missed votes of this voter gives too low a serial; what is stored never falls.
func (c *change) replace(v popeye.Vote, standing popeye.Mark) {
	v.Serial = max(v.Serial, standing.Serial)
	c.replacing = append(c.replacing, v)
	c.stored += v.Serial - standing.Serial
	c.count(standing.Choices, -1)
	c.count(v.Choices, 1)
}

// replaces reports whether v takes the place of the vote that stands. Under
// policy first only a confirmed vote does, and only that of an unconfirmed one:
// its voter was told that it stands, and nobody was told so of the other.
func replaces(p popeye.Policy, v *popeye.Vote, standing popeye.Mark) bool {
	if p == popeye.Change {
		return v.Stamp > standing.Stamp
	}
	return standing.Unconfirmed && !v.Unconfirmed && !standing.Is(*v)
}

// raises reports whether v is the vote that stands, from a queue server that
// knows of more votes of this voter.
func raises(p popeye.Policy, v *popeye.Vote, standing popeye.Mark) bool {
	return p == popeye.Change && v.Stamp == standing.Stamp && v.Serial > standing.Serial
}

func (c *change) count(chosen popeye.Choices, by int64) {
	for rest := uint64(chosen); rest != 0; rest &= rest - 1 {
		c.votes[bits.TrailingZeros64(rest)] += by
	}
}
