package storetest

import (
	"slices"

	"popeye"
)

// rejecting is what becomes of votes that cannot be counted.
func rejecting() []promise {
	return []promise{
		{"a parked vote is rejected once however often it is parked", func(s suite) {
			d := s.open("p", popeye.First)
			before := s.tally("p").Version
			bad := popeye.Parked{Vote: first(d, 1, 60), Reason: "no such option"}
			s.park(bad)
			before = s.moved("p", before)
			s.park(bad, bad)
			s.unmoved("p", before)
			s.expect("p", counts{votes: []int64{0, 0, 0}, rejected: 1})
			s.park(bad, popeye.Parked{Vote: nth(d, 1, 2, 60), Reason: "no such option"})
			s.expect("p", counts{votes: []int64{0, 0, 0}, rejected: 2})
		}},
		{"a vote of no round can be parked", func(s suite) {
			d := s.open("p", popeye.First)
			before := s.tally("p").Version
			s.park(popeye.Parked{Vote: first(popeye.Definition{Round: d.Round + 1000}, 1, 0), Reason: "no such round"})
			s.expect("p", counts{votes: []int64{0, 0, 0}})
			s.unmoved("p", before)
		}},
		{"nothing to park is no change", func(s suite) {
			s.open("p", popeye.First)
			before := s.tally("p").Version
			s.park()
			s.unmoved("p", before)
		}},
		{"a vote on its way when the round closed still counts", func(s suite) {
			d := s.open("p", popeye.First)
			s.close(d)
			s.record(first(d, 1, 0))
			s.expect("p", counts{votes: []int64{1, 0, 0}, total: 1, stored: 1})
		}},
		{"a late vote counts for nothing and is rejected once", lateVote},
		{"a late change leaves the vote that stands", func(s suite) {
			d := s.open("p", popeye.Change)
			s.record(first(d, 1, 0))
			s.close(d)
			s.finalise(d)
			s.record(nth(d, 1, 2, 1))
			s.record(nth(d, 1, 3, 2), nth(d, 1, 2, 1))
			s.expect("p", counts{votes: []int64{1, 0, 0}, total: 1, stored: 1, rejected: 2})
		}},
		{"what was recorded in time is not late when it comes again", func(s suite) {
			d, e := s.open("p", popeye.First), s.open("q", popeye.Change)
			s.record(first(d, 1, 0), nth(e, 1, 3, 0))
			s.close(d)
			s.close(e)
			s.finalise(d)
			s.finalise(e)
			p, q := s.tally("p").Version, s.tally("q").Version
			got := s.record(first(d, 1, 0), nth(e, 1, 3, 0), nth(e, 1, 2, 1), first(e, 1, 2))
			if got.Rejected != 0 || len(got.Moved) != 0 {
				s.Fatalf("Record = %+v; want nothing", got)
			}
			s.expect("p", counts{votes: []int64{1, 0, 0}, total: 1, stored: 1})
			s.expect("q", counts{votes: []int64{1, 0, 0}, total: 1, stored: 3})
			s.unmoved("p", p)
			s.unmoved("q", q)
		}},
		{"a batch may hold late votes and others", func(s suite) {
			d, e := s.open("p", popeye.First), s.open("q", popeye.First)
			s.close(d)
			s.finalise(d)
			got := s.record(first(d, 1, 0), first(e, 1, 0), first(e, 2, 0))
			if got.Stored != 2 || got.Rejected != 1 {
				s.Fatalf("Record = %+v; want 2 stored and 1 rejected", got)
			}
			s.expect("p", counts{votes: []int64{0, 0, 0}, rejected: 1})
			s.expect("q", counts{votes: []int64{2, 0, 0}, total: 2, stored: 2})
		}},
	}
}

func lateVote(s suite) {
	d := s.open("p", popeye.First)
	s.record(first(d, 1, 0))
	s.close(d)
	s.finalise(d)
	before := s.tally("p").Version
	got := s.record(first(d, 2, 1), first(d, 1, 0))
	if got.Stored != 0 || got.Rejected != 1 || !slices.Equal(got.Moved, []string{"p"}) {
		s.Fatalf("Record = %+v; want 1 rejected and p moved", got)
	}
	before = s.moved("p", before)
	for range 2 {
		if got := s.record(first(d, 2, 1)); got.Rejected != 0 || len(got.Moved) != 0 {
			s.Fatalf("Record of it again = %+v; want nothing", got)
		}
	}
	s.unmoved("p", before)
	s.expect("p", counts{votes: []int64{1, 0, 0}, total: 1, stored: 1, rejected: 1})
}
