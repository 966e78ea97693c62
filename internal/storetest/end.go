package storetest

import (
	"errors"
	"time"

	"popeye"
)

// ending is what holds when rounds and polls come to their end.
func ending() []promise {
	return []promise{
		{"a round goes from open to closed to final and never back", func(s suite) {
			d := s.open("p", popeye.First)
			version, shown := d.Version, s.tally("p").Version
			for _, step := range []struct {
				do   func(popeye.Definition)
				want popeye.State
			}{{s.close, popeye.Closed}, {s.finalise, popeye.Final}} {
				step.do(d)
				t := s.tally("p")
				if t.State != step.want || t.Definition.Version <= version || t.Version <= shown {
					s.Fatalf("state %s, versions %d and %d after %d and %d; want %s and higher ones",
						t.State, t.Definition.Version, t.Version, version, shown, step.want)
				}
				version, shown = t.Definition.Version, t.Version
				step.do(d)
				s.close(d)
				s.same(t.Definition)
				s.unmoved("p", shown)
			}
		}},
		{"a draft can be closed", func(s suite) {
			s.close(s.create(poll("p", popeye.First, 2), popeye.Draft))
			if got := s.tally("p").State; got != popeye.Closed {
				s.Fatalf("state = %s; want closed", got)
			}
		}},
		{"an open round cannot be made final", func(s suite) {
			d := s.open("p", popeye.First)
			if err := s.Finalise(s.Context(), d.Round); !errors.Is(err, popeye.ErrExists) {
				s.Fatalf("Finalise = %v; want ErrExists", err)
			}
			s.same(d)
		}},
		{"no such round", func(s suite) {
			none := s.open("p", popeye.First).Round + 1000
			for _, err := range []error{s.Close(s.Context(), none), s.Finalise(s.Context(), none)} {
				if !errors.Is(err, popeye.ErrNotFound) {
					s.Fatalf("error = %v; want ErrNotFound", err)
				}
			}
		}},
		{"opened again a poll starts at zero in a round of its own", startsAtZero},
		{"votes of an earlier round cannot leak into the next", noLeak},
		{"ending an earlier round leaves the next alone", func(s suite) {
			d := s.open("p", popeye.First)
			s.close(d)
			e := s.reopen("p")
			before := s.tally("p").Version
			s.close(d)
			s.finalise(d)
			s.same(e)
			s.unmoved("p", before)
		}},
		{"opened again a closing time that has passed is gone", func(s suite) {
			p := poll("p", popeye.First, 2)
			p.Closes = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
			d := s.create(p, popeye.Open)
			e := s.reopen("p")
			if e.Round == d.Round || e.State != popeye.Open || !e.Closes.IsZero() {
				s.Fatalf("opened as %+v; want a new round without a closing time", e)
			}
			s.same(e)
		}},
		{"a deleted poll is gone with its votes", gone},
		{"deleting a poll leaves the others alone", func(s suite) {
			d, e := s.open("p", popeye.First), s.open("q", popeye.First)
			s.record(first(d, 1, 0), first(e, 1, 1))
			before := s.tally("q").Version
			s.remove("p")
			s.same(e)
			s.unmoved("q", before)
			s.record(first(e, 1, 1), first(e, 2, 2))
			s.expect("q", counts{votes: []int64{0, 1, 1}, total: 2, stored: 2})
		}},
		{"a poll created again goes on above its old versions in a new round", createdAgain},
	}
}

func startsAtZero(s suite) {
	d := s.open("p", popeye.Change)
	for range 3 {
		s.record(first(d, 1, 0), nth(d, 2, 2, 1))
		s.close(d)
		s.finalise(d)
		s.record(first(d, 3, 2))
		before := s.expect("p", counts{votes: []int64{1, 1, 0}, total: 2, stored: 3, rejected: 1})
		e := s.reopen("p")
		if e.Round == d.Round || e.State != popeye.Open || e.Version <= before.Definition.Version {
			s.Fatalf("opened as %+v after %+v; want a new round, open", e, d)
		}
		s.expect("p", counts{votes: []int64{0, 0, 0}})
		s.moved("p", before.Version)
		s.same(e)
		d = e
	}
}

func noLeak(s suite) {
	d := s.open("p", popeye.Change)
	s.record(first(d, 1, 0))
	s.close(d)
	e := s.reopen("p")
	before := s.tally("p").Version
	if got := s.record(first(d, 2, 1), nth(d, 1, 2, 1)); len(got.Moved) != 0 || got.Stored != 2 {
		s.Fatalf("Record = %+v; want 2 stored in the earlier round and nothing moved", got)
	}
	s.park(popeye.Parked{Vote: first(d, 3, 1), Reason: "late"})
	s.expect("p", counts{votes: []int64{0, 0, 0}})
	s.unmoved("p", before)
	s.record(first(e, 1, 2), first(d, 4, 1))
	s.expect("p", counts{votes: []int64{0, 0, 1}, total: 1, stored: 1})
}

func gone(s suite) {
	d := s.open("p", popeye.First)
	s.record(first(d, 1, 0))
	s.close(d)
	e := s.reopen("p")
	s.record(first(e, 1, 0))
	s.park(popeye.Parked{Vote: first(e, 2, 60), Reason: "no such option"})
	s.remove("p")
	_, tally := s.Tally(s.Context(), "p")
	_, open := s.Open(s.Context(), "p")
	for _, err := range []error{
		tally, open, s.Delete(s.Context(), "p"),
		s.Close(s.Context(), e.Round), s.Close(s.Context(), d.Round), s.Finalise(s.Context(), e.Round),
	} {
		if !errors.Is(err, popeye.ErrNotFound) {
			s.Fatalf("error = %v; want ErrNotFound", err)
		}
	}
	s.unrecordable(first(e, 3, 0))
	s.unrecordable(first(d, 3, 0))
	if all := s.catalog().All(); len(all) != 0 {
		s.Fatalf("the catalog has %+v; want none", all)
	}
}

func createdAgain(s suite) {
	rounds := map[int64]bool{}
	var version, shown int64
	for range 5 {
		d := s.open("p", popeye.First)
		for n := range 20 { // a version for each, quicker than any clock
			s.record(first(d, n, 0))
		}
		s.close(d)
		t := s.expect("p", counts{votes: []int64{20, 0, 0}, total: 20, stored: 20})
		if rounds[d.Round] || d.Version <= version || t.Version <= shown {
			s.Fatalf("round %d, versions %d and %d; want a new round, and higher than %d and %d",
				d.Round, d.Version, t.Version, version, shown)
		}
		rounds[d.Round], version, shown = true, t.Definition.Version, t.Version
		s.remove("p")
	}
}

func (s suite) remove(id string) {
	s.Helper()
	if err := s.Delete(s.Context(), id); err != nil {
		s.Fatalf("Delete(%s): %v", id, err)
	}
}
