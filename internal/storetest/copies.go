package storetest

import (
	"slices"

	"popeye"
)

// copying is what holds where a vote comes from several queue servers: some
// copies were written before there were enough of them. Of one voter's votes
// under first at most one has a confirmed copy, for any two sets of servers
// that are enough share one.
func copying() []promise {
	return []promise{
		{"under first a confirmed vote takes the place of an unconfirmed one", confirmedReplaces},
		{"under first an unconfirmed vote never takes the place of another", unconfirmedStaysOut},
		{"under first a confirmed vote is never replaced", confirmedStays},
		{"under first every order of copies ends with the vote that is confirmed", confirmedStandsInAnyOrder},
		{"under first the earliest of a batch stands where none is confirmed", func(s suite) {
			d := s.open("p", popeye.First)
			s.record(unconfirmed(later(d, 1, 3, 0)), unconfirmed(later(d, 1, 1, 1)), unconfirmed(later(d, 1, 2, 2)))
			s.expect("p", counts{votes: []int64{0, 1, 0}, total: 1, stored: 1})
		}},
		{"under first another copy of the vote that stands changes nothing", func(s suite) {
			d := s.open("p", popeye.First)
			s.record(unconfirmed(first(d, 1, 0)), first(d, 2, 0))
			before := s.tally("p").Version
			for range 2 {
				got := s.record(first(d, 1, 0), unconfirmed(first(d, 2, 0)))
				if got.Stored != 0 || got.Rejected != 0 || len(got.Moved) != 0 {
					s.Fatalf("Record of other copies = %+v; want nothing", got)
				}
			}
			s.unmoved("p", before)
			s.expect("p", counts{votes: []int64{2, 0, 0}, total: 2, stored: 2})
		}},
		{"under first two votes of one moment are two votes", func(s suite) {
			d := s.open("p", popeye.First)
			s.record(unconfirmed(first(d, 1, 0)))
			s.record(first(d, 1, 1))
			s.record(unconfirmed(first(d, 1, 0)))
			s.expect("p", counts{votes: []int64{0, 1, 0}, total: 1, stored: 1})
		}},
		{"under first a confirmed multiple-choice vote counts as a whole", func(s suite) {
			p := poll("p", popeye.First, 4)
			p.Kind, p.Max = popeye.Multiple, 4
			d := s.create(p, popeye.Open)
			s.record(unconfirmed(first(d, 1, 0, 1, 2)), first(d, 2, 0, 3))
			s.record(later(d, 1, 1, 2, 3))
			s.expect("p", counts{votes: []int64{1, 0, 1, 2}, total: 2, stored: 2})
		}},
		{"under change it makes no difference which copies are confirmed", func(s suite) {
			d := s.open("p", popeye.Change)
			s.record(nth(d, 1, 2, 0), unconfirmed(nth(d, 2, 3, 0)))
			s.record(unconfirmed(nth(d, 1, 3, 1)), nth(d, 2, 2, 1))
			before := s.expect("p", counts{votes: []int64{1, 1, 0}, total: 2, stored: 6}).Version
			s.record(nth(d, 1, 2, 0), nth(d, 1, 3, 1), nth(d, 2, 3, 0))
			s.expect("p", counts{votes: []int64{1, 1, 0}, total: 2, stored: 6})
			s.unmoved("p", before)
		}},
		{"under change a copy from a server that knows of more votes raises the ledger alone", moreVotes},
		{"under change what is stored never falls", neverFalls},
		{"a late vote is rejected once, whatever copies come of it", lateCopies},
		{"how far a worker has come makes no difference to what counts", func(s suite) {
			d := s.open("p", popeye.First)
			votes := []popeye.Vote{first(d, 1, 0), first(d, 2, 1)}
			for _, batch := range []int64{7, 7, 3, 8} {
				if _, err := s.Record(s.Context(), votes, popeye.Progress{Server: "s", Worker: "w", Batch: batch}); err != nil {
					s.Fatalf("Record: %v", err)
				}
			}
			s.expect("p", counts{votes: []int64{1, 1, 0}, total: 2, stored: 2})
		}},
	}
}

func confirmedReplaces(s suite) {
	d := s.open("p", popeye.First)
	s.record(unconfirmed(later(d, 1, 1, 0)), unconfirmed(later(d, 2, 1, 0)), first(d, 3, 0))
	before := s.expect("p", counts{votes: []int64{3, 0, 0}, total: 3, stored: 3}).Version
	got := s.record(later(d, 1, 2, 1), later(d, 2, 0, 2)) // one later, one earlier
	if got.Stored != 0 || !slices.Equal(got.Moved, []string{"p"}) {
		s.Fatalf("Record = %+v; want no more stored and p moved", got)
	}
	s.expect("p", counts{votes: []int64{1, 1, 1}, total: 3, stored: 3})
	s.moved("p", before)
}

func unconfirmedStaysOut(s suite) {
	d := s.open("p", popeye.First)
	s.record(unconfirmed(later(d, 1, 1, 0)))
	before := s.expect("p", counts{votes: []int64{1, 0, 0}, total: 1, stored: 1}).Version
	s.record(unconfirmed(later(d, 1, 0, 1)))
	s.record(unconfirmed(later(d, 1, 2, 2)))
	s.expect("p", counts{votes: []int64{1, 0, 0}, total: 1, stored: 1})
	s.unmoved("p", before)
}

func confirmedStays(s suite) {
	d := s.open("p", popeye.First)
	s.record(unconfirmed(later(d, 1, 1, 0)))
	s.record(later(d, 1, 2, 1), later(d, 2, 2, 1))
	before := s.expect("p", counts{votes: []int64{0, 2, 0}, total: 2, stored: 2}).Version
	for _, at := range []popeye.Stamp{0, 1, 3} {
		s.record(unconfirmed(later(d, 1, at, 0)), unconfirmed(later(d, 2, at, 0)))
		s.record(later(d, 2, at, 2)) // which no queue would say
	}
	s.expect("p", counts{votes: []int64{0, 2, 0}, total: 2, stored: 2})
	s.unmoved("p", before)
}

// confirmedStandsInAnyOrder delivers copies of three votes of one voter in
// every order, one by one, in batches and once more in the end.
func confirmedStandsInAnyOrder(s suite) {
	d := s.open("p", popeye.First)
	n := 0
	for _, order := range permutations(4) {
		for _, size := range []int{1, 2, 3, 4} {
			copies := []popeye.Vote{
				unconfirmed(later(d, n, 0, 0)),
				unconfirmed(later(d, n, 1, 1)),
				later(d, n, 1, 1),
				unconfirmed(later(d, n, 2, 2)),
			}
			var votes []popeye.Vote
			for _, i := range order {
				votes = append(votes, copies[i])
			}
			for batch := range slices.Chunk(votes, size) {
				s.record(batch...)
			}
			n++
			s.expect("p", counts{votes: []int64{0, int64(n), 0}, total: int64(n), stored: int64(n)})
			s.record(votes[0])
		}
	}
	s.expect("p", counts{votes: []int64{0, int64(n), 0}, total: int64(n), stored: int64(n)})
}

func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{nil}
	}
	var all [][]int
	for _, p := range permutations(n - 1) {
		for i := range n {
			all = append(all, slices.Insert(slices.Clone(p), i, n-1))
		}
	}
	return all
}

func moreVotes(s suite) {
	d := s.open("p", popeye.Change)
	behind := nth(d, 1, 3, 1)
	behind.Serial = 1
	s.record(behind)
	before := s.expect("p", counts{votes: []int64{0, 1, 0}, total: 1, stored: 1}).Version
	if got := s.record(nth(d, 1, 3, 1)); got.Stored != 2 || !slices.Equal(got.Moved, []string{"p"}) {
		s.Fatalf("Record = %+v; want 2 more stored and p moved", got)
	}
	s.expect("p", counts{votes: []int64{0, 1, 0}, total: 1, stored: 3})
	before = s.moved("p", before)
	s.record(behind)
	s.record(behind, nth(d, 1, 3, 1))
	s.expect("p", counts{votes: []int64{0, 1, 0}, total: 1, stored: 3})
	s.unmoved("p", before)

	again := nth(d, 2, 3, 2)
	again.Serial = 1
	s.record(again, nth(d, 2, 3, 2), again)
	s.expect("p", counts{votes: []int64{0, 1, 1}, total: 2, stored: 6})
}

// neverFalls: the newest vote comes first from a server that has missed most of
// the others.
func neverFalls(s suite) {
	d := s.open("p", popeye.Change)
	s.record(nth(d, 1, 3, 0))
	behind := nth(d, 1, 4, 1)
	behind.Serial = 2
	if got := s.record(behind); got.Stored < 0 {
		s.Fatalf("Record stored %d", got.Stored)
	}
	if now := s.tally("p"); now.Votes[1] != 1 || now.Total != 1 || now.Ledger.Stored < 3 {
		s.Fatalf("the tally is %+v; want the newest vote, and at least the 3 stored before", now)
	}
	s.record(nth(d, 1, 4, 1))
	s.expect("p", counts{votes: []int64{0, 1, 0}, total: 1, stored: 4})
}

func lateCopies(s suite) {
	d := s.open("p", popeye.First)
	s.record(unconfirmed(first(d, 1, 0)), first(d, 2, 0))
	s.close(d)
	s.finalise(d)
	s.record(unconfirmed(first(d, 3, 1)))
	s.record(first(d, 3, 1))
	s.expect("p", counts{votes: []int64{2, 0, 0}, total: 2, stored: 2, rejected: 1})
	s.record(later(d, 1, 1, 1)) // would have taken the other's place
	before := s.expect("p", counts{votes: []int64{2, 0, 0}, total: 2, stored: 2, rejected: 2}).Version
	s.record(first(d, 1, 0), unconfirmed(later(d, 2, 1, 1)), unconfirmed(first(d, 3, 1)))
	s.expect("p", counts{votes: []int64{2, 0, 0}, total: 2, stored: 2, rejected: 2})
	s.unmoved("p", before)
}

// later is a first vote of a voter, cast so much later than another.
func later(d popeye.Definition, n int, by popeye.Stamp, options ...int) popeye.Vote {
	v := first(d, n, options...)
	v.Stamp += by
	return v
}

func unconfirmed(v popeye.Vote) popeye.Vote {
	v.Unconfirmed = true
	return v
}
