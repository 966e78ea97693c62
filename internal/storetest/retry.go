package storetest

import (
	"slices"
	"time"

	"popeye"
)

// retrying is what organisers can do about votes that were parked.
func retrying() []promise {
	return []promise{
		{"parked votes are told by round and reason", listsParked},
		{"a parked vote that can be recorded now is, when retried", recordsParked},
		{"a parked vote that still cannot be recorded stays, when retried", keepsParked},
		{"a parked vote overtaken by another leaves the ledger exact, when retried", retriesOvertaken},
		{"a parked vote that was recorded all the same is not counted twice, when retried", func(s suite) {
			d := s.open("p", popeye.First)
			s.park(popeye.Parked{Vote: first(d, 1, 0), Reason: "why"})
			s.record(first(d, 1, 0))
			s.retry(d.Round)
			s.expect("p", counts{votes: []int64{1, 0, 0}, total: 1, stored: 1})
		}},
		{"nothing moves a final round, not even a retry", retriesNothingFinal},
		{"a vote parked before there was its round can be retried once there is", retriesWhenThereIsARound},
		{"as many parked votes as there are can be retried at once", func(s suite) {
			d := s.open("p", popeye.Change)
			var parked []popeye.Parked
			for n := range 2500 {
				parked = append(parked, popeye.Parked{Vote: first(d, n/2, n%2), Reason: "why"})
				parked[n].Vote.Stamp += popeye.Stamp(n % 2)
				parked[n].Vote.Serial += int64(n % 2)
			}
			s.park(parked...)
			s.expect("p", counts{votes: []int64{0, 0, 0}, rejected: 2500})
			s.retry(d.Round)
			s.expect("p", counts{votes: []int64{0, 1250, 0}, total: 1250, stored: 2500})
		}},
		{"dropped votes are forgotten and stay rejected", dropsParked},
		{"a dropped vote that comes again is not rejected a second time", func(s suite) {
			d := s.open("p", popeye.First)
			s.record(first(d, 1, 0))
			bad, late := popeye.Parked{Vote: first(d, 2, 60), Reason: "no such option"}, first(d, 3, 0)
			s.park(bad)
			s.close(d)
			s.finalise(d)
			s.record(late)
			s.drop(d.Round, 2)
			before := s.tally("p").Version
			if got := s.park(bad); got.Rejected != 0 || len(got.Moved) != 0 {
				s.Fatalf("Park of it again = %+v; want nothing", got)
			}
			s.record(late)
			s.expect("p", counts{votes: []int64{1, 0, 0}, total: 1, stored: 1, rejected: 2})
			s.unmoved("p", before)
		}},
	}
}

func listsParked(s suite) {
	if got := s.parked(); len(got) != 0 {
		s.Fatalf("Parked = %+v; want none", got)
	}
	d, e := s.open("p", popeye.First), s.open("q", popeye.First)
	none := popeye.Definition{Round: e.Round + 1000}
	got := s.park(
		popeye.Parked{Vote: later(e, 1, 3, 60), Reason: "b"}, popeye.Parked{Vote: later(d, 1, 5, 60), Reason: "b"},
		popeye.Parked{Vote: later(d, 2, 2, 60), Reason: "b"}, popeye.Parked{Vote: later(d, 3, 9, 60), Reason: "a"},
		popeye.Parked{Vote: first(none, 1, 0), Reason: "no such round"})
	slices.Sort(got.Moved)
	if got.Stored != 0 || got.Rejected != 5 || !slices.Equal(got.Moved, []string{"p", "q"}) {
		s.Fatalf("Park = %+v; want 5 rejected, p and q moved", got)
	}
	s.close(e)
	s.finalise(e)
	s.record(later(e, 2, 7, 0))
	s.expectParked(
		popeye.ParkedVotes{Poll: "p", Round: d.Round, Reason: "a", Votes: 1, Oldest: castAt(9), Newest: castAt(9)},
		popeye.ParkedVotes{Poll: "p", Round: d.Round, Reason: "b", Votes: 2, Oldest: castAt(2), Newest: castAt(5)},
		popeye.ParkedVotes{Poll: "q", Round: e.Round, Reason: "b", Votes: 1, Oldest: castAt(3), Newest: castAt(3)},
		popeye.ParkedVotes{Poll: "q", Round: e.Round, Reason: "late", Votes: 1, Oldest: castAt(7), Newest: castAt(7)},
		popeye.ParkedVotes{Round: none.Round, Reason: "no such round", Votes: 1, Oldest: castAt(0), Newest: castAt(0)})
}

// castAt is when a first vote was cast that is so much later than another.
func castAt(later popeye.Stamp) time.Time {
	return time.UnixMicro(int64(first(popeye.Definition{}, 0).Stamp + later)).UTC()
}

func recordsParked(s suite) {
	d, e := s.open("p", popeye.First), s.open("q", popeye.First)
	s.record(first(d, 1, 0))
	s.park(popeye.Parked{Vote: first(d, 2, 1), Reason: "why"}, popeye.Parked{Vote: first(e, 2, 1), Reason: "why"})
	before := s.expect("p", counts{votes: []int64{1, 0, 0}, total: 1, stored: 1, rejected: 1}).Version
	if got := s.retry(d.Round); got.Stored != 1 || got.Rejected != 0 || !slices.Equal(got.Moved, []string{"p"}) {
		s.Fatalf("Retry = %+v; want 1 stored and p moved", got)
	}
	s.expect("p", counts{votes: []int64{1, 1, 0}, total: 2, stored: 2})
	before = s.moved("p", before)
	s.retry(d.Round)
	s.unmoved("p", before)
	s.expect("q", counts{votes: []int64{0, 0, 0}, rejected: 1})
	s.expectParked(popeye.ParkedVotes{Poll: "q", Round: e.Round, Reason: "why", Votes: 1, Oldest: castAt(0), Newest: castAt(0)})
}

func keepsParked(s suite) {
	d := s.open("p", popeye.First)
	bad := popeye.Parked{Vote: first(d, 1, 60), Reason: "no such option"}
	s.park(bad, popeye.Parked{Vote: first(d, 2, 2), Reason: "why"})
	if got := s.retry(d.Round); got.Stored != 1 {
		s.Fatalf("Retry = %+v; want 1 stored", got)
	}
	before := s.expect("p", counts{votes: []int64{0, 0, 1}, total: 1, stored: 1, rejected: 1}).Version
	if got := s.retry(d.Round); got.Stored != 0 || got.Rejected != 0 || len(got.Moved) != 0 {
		s.Fatalf("Retry again = %+v; want nothing", got)
	}
	s.unmoved("p", before)
	s.park(bad)
	s.expect("p", counts{votes: []int64{0, 0, 1}, total: 1, stored: 1, rejected: 1})
	s.expectParked(popeye.ParkedVotes{Poll: "p", Round: d.Round, Reason: bad.Reason, Votes: 1, Oldest: castAt(0), Newest: castAt(0)})
}

func retriesOvertaken(s suite) {
	d, e := s.open("p", popeye.First), s.open("q", popeye.Change)
	s.park(popeye.Parked{Vote: unconfirmed(later(d, 1, 1, 0)), Reason: "why"}, popeye.Parked{Vote: later(d, 2, 1, 0), Reason: "why"},
		popeye.Parked{Vote: nth(e, 1, 2, 0), Reason: "why"}, popeye.Parked{Vote: nth(e, 2, 3, 2), Reason: "why"})
	s.record(later(d, 1, 2, 1), unconfirmed(later(d, 2, 2, 1)), nth(e, 1, 3, 1), nth(e, 2, 2, 1))
	s.expect("p", counts{votes: []int64{0, 2, 0}, total: 2, stored: 2, rejected: 2})
	s.expect("q", counts{votes: []int64{0, 2, 0}, total: 2, stored: 5, rejected: 2})
	s.retry(d.Round)
	s.retry(e.Round)
	s.expect("p", counts{votes: []int64{1, 1, 0}, total: 2, stored: 2})
	s.expect("q", counts{votes: []int64{0, 1, 1}, total: 2, stored: 6})
	s.expectParked()
}

func retriesNothingFinal(s suite) {
	d := s.open("p", popeye.First)
	s.record(first(d, 1, 0))
	s.park(popeye.Parked{Vote: first(d, 2, 1), Reason: "why"})
	s.close(d)
	s.finalise(d)
	s.record(first(d, 3, 2))
	before := s.tally("p").Version
	if got := s.retry(d.Round); got.Stored != 0 || got.Rejected != 0 || len(got.Moved) != 0 {
		s.Fatalf("Retry = %+v; want nothing", got)
	}
	s.expect("p", counts{votes: []int64{1, 0, 0}, total: 1, stored: 1, rejected: 2})
	s.unmoved("p", before)
	s.expectParked(
		popeye.ParkedVotes{Poll: "p", Round: d.Round, Reason: "late", Votes: 1, Oldest: castAt(0), Newest: castAt(0)},
		popeye.ParkedVotes{Poll: "p", Round: d.Round, Reason: "why", Votes: 1, Oldest: castAt(0), Newest: castAt(0)})
}

// retriesWhenThereIsARound: a store that was set up anew knows nothing of the
// rounds that a queue has votes of. Which number comes next, only it knows.
func retriesWhenThereIsARound(s suite) {
	before := s.open("p", popeye.First).Round
	for round := before + 1; round < before+20; round++ {
		s.park(popeye.Parked{Vote: first(popeye.Definition{Round: round}, 1, 0), Reason: "no such round"})
		if got := s.retry(round); got.Stored != 0 || len(got.Moved) != 0 {
			s.Fatalf("Retry in no round = %+v; want nothing", got)
		}
	}
	d := s.open("q", popeye.First)
	if d.Round >= before+20 {
		s.Fatalf("the round after %d is %d", before, d.Round)
	}
	if got := s.retry(d.Round); got.Stored != 1 || !slices.Equal(got.Moved, []string{"q"}) {
		s.Fatalf("Retry = %+v; want 1 stored and q moved", got)
	}
	s.expect("q", counts{votes: []int64{1, 0, 0}, total: 1, stored: 1})
	if got := s.parked(); len(got) != 18 {
		s.Fatalf("votes of %d rounds are parked; want those of the 18 that are not there", len(got))
	}
}

func dropsParked(s suite) {
	d, e := s.open("p", popeye.First), s.open("q", popeye.First)
	none := popeye.Definition{Round: e.Round + 1000}
	s.park(popeye.Parked{Vote: first(d, 1, 0), Reason: "a"}, popeye.Parked{Vote: first(d, 2, 60), Reason: "b"},
		popeye.Parked{Vote: first(e, 1, 0), Reason: "a"}, popeye.Parked{Vote: first(none, 1, 0), Reason: "no such round"})
	s.drop(d.Round, 2)
	s.drop(none.Round, 1)
	s.drop(d.Round, 0)
	s.drop(e.Round+2000, 0)
	s.retry(d.Round)
	s.expect("p", counts{votes: []int64{0, 0, 0}, rejected: 2})
	s.expect("q", counts{votes: []int64{0, 0, 0}, rejected: 1})
	s.expectParked(popeye.ParkedVotes{Poll: "q", Round: e.Round, Reason: "a", Votes: 1, Oldest: castAt(0), Newest: castAt(0)})
}

func (s suite) parked() []popeye.ParkedVotes {
	s.Helper()
	parked, err := s.Parked(s.Context())
	if err != nil {
		s.Fatalf("Parked: %v", err)
	}
	return parked
}

func (s suite) expectParked(want ...popeye.ParkedVotes) {
	s.Helper()
	got := s.parked()
	for i := range got {
		got[i].Oldest, got[i].Newest = got[i].Oldest.UTC(), got[i].Newest.UTC()
	}
	if !slices.Equal(got, want) {
		s.Fatalf("parked are\n%+v, want\n%+v", got, want)
	}
}

func (s suite) retry(round int64) popeye.Recorded {
	s.Helper()
	recorded, err := s.Retry(s.Context(), round)
	if err != nil {
		s.Fatalf("Retry: %v", err)
	}
	return recorded
}

func (s suite) drop(round, want int64) {
	s.Helper()
	if got, err := s.Drop(s.Context(), round); err != nil || got != want {
		s.Fatalf("Drop = %d, %v; want %d", got, err, want)
	}
}
