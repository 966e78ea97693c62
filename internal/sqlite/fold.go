package sqlite

import (
	"bytes"
	"cmp"
	"iter"
	"math/bits"
	"slices"

	"popeye"
)

// compareVotes sorts by round, voter and stamp. Rows written in the order of
// their keys find their page where the one before has left it.
func compareVotes(a, b popeye.Vote) int {
	if c := cmp.Compare(a.Round, b.Round); c != 0 {
		return c
	}
	if c := bytes.Compare(a.Voter[:], b.Voter[:]); c != 0 {
		return c
	}
	return cmp.Compare(a.Stamp, b.Stamp)
}

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

// onePerVoter keeps of each voter the vote that stands after all of them: the
// earliest under policy first, the latest under change. The votes are of one
// round, and sorted.
func onePerVoter(p popeye.Policy, votes []popeye.Vote) []popeye.Vote {
	kept := make([]popeye.Vote, 0, len(votes))
	for _, v := range votes {
		last := len(kept) - 1
		switch {
		case last < 0 || kept[last].Voter != v.Voter:
			kept = append(kept, v)
		case p == popeye.Change:
			kept[last] = v
		}
	}
	return kept
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
	// fresh are the votes of voters without a row, replacing those that take
	// the place of a row.
	fresh, replacing []popeye.Vote
	// votes is what the count of each option moves by.
	votes [popeye.MaxOptions]int64
	// total, stored and rejected are what the ledger moves by.
	total, stored, rejected int64
}

// none reports whether nothing that is shown changes.
func (c *change) none() bool {
	return len(c.fresh) == 0 && len(c.replacing) == 0 && c.rejected == 0
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
			c.replacing = append(c.replacing, *v)
			c.stored += v.Serial - mark.Serial
			c.count(mark.Choices, -1)
			c.count(v.Choices, 1)
		}
	}
	return c
}

// replaces reports whether v takes the place of the vote that stands.
func replaces(p popeye.Policy, v *popeye.Vote, standing popeye.Mark) bool {
	return p == popeye.Change && v.Stamp > standing.Stamp
}

func (c *change) count(chosen popeye.Choices, by int64) {
	for rest := uint64(chosen); rest != 0; rest &= rest - 1 {
		c.votes[bits.TrailingZeros64(rest)] += by
	}
}
