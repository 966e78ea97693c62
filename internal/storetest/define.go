package storetest

import (
	"errors"
	"reflect"
	"strings"
	"time"

	"popeye"
)

// defining is what organisers rely on.
func defining() []promise {
	return []promise{
		{"a poll is created in the state asked for", func(s suite) {
			d := s.create(poll("p", popeye.First, 2), popeye.Draft)
			e := s.create(poll("q", popeye.First, 2), popeye.Open)
			if d.State != popeye.Draft || e.State != popeye.Open {
				s.Fatalf("created as %s and %s; want draft and open", d.State, e.State)
			}
			if d.Round < 1 || e.Round < 1 || d.Round == e.Round || d.Version < 1 {
				s.Fatalf("rounds %d and %d, version %d; want distinct ones above zero", d.Round, e.Round, d.Version)
			}
			s.expect("p", counts{votes: []int64{0, 0}})
		}},
		{"a definition reads as it was written", readsAsWritten},
		{"definitions come sorted by ID", func(s suite) {
			if got := s.catalog().All(); len(got) != 0 {
				s.Fatalf("the catalog of an empty store has %d polls; want none", len(got))
			}
			for _, id := range []string{"m", "z", "a", "m-2"} {
				s.open(id, popeye.First)
			}
			var ids []string
			for _, d := range s.catalog().All() {
				ids = append(ids, d.ID)
			}
			if got := strings.Join(ids, " "); got != "a m m-2 z" {
				s.Fatalf("the catalog has %s; want a m m-2 z", got)
			}
		}},
		{"applying what is there changes nothing", func(s suite) {
			p := poll("p", popeye.First, 2)
			p.Closes = time.Date(2100, 1, 1, 18, 0, 0, 0, time.FixedZone("", 3600))
			d, before := s.create(p, popeye.Open), s.tally("p").Version
			p.Closes = p.Closes.UTC()
			if e := s.update(p); !reflect.DeepEqual(d, e) {
				s.Fatalf("the definition went from %+v to %+v", d, e)
			}
			s.unmoved("p", before)
		}},
		{"what is not the ballot changes in place and keeps the votes", changesInPlace},
		{"another ballot is refused once somebody has voted", ballotIsFixed},
		{"another ballot is refused while a vote may be on its way", ballotIsFixedWhileOpen},
		{"another ballot before the poll opens starts a round of its own", anotherBallot},
		{"opening a draft keeps its round and lets it open now", func(s suite) {
			p := poll("p", popeye.First, 2)
			p.Opens = time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
			p.Closes = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
			d := s.create(p, popeye.Draft)
			s.close(s.create(poll("q", popeye.First, 2), popeye.Draft))
			e := s.reopen("p")
			if e.Round != d.Round || e.State != popeye.Open || !e.Opens.IsZero() || !e.Closes.Equal(p.Closes) {
				s.Fatalf("opened as %+v; want the same round, open from now until its time", e)
			}
			if e.Version <= d.Version {
				s.Fatalf("the version went from %d to %d", d.Version, e.Version)
			}
			s.same(e)
		}},
		{"opening by hand comes before the time set", func(s suite) {
			p := poll("p", popeye.First, 2)
			p.Opens = time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
			d := s.create(p, popeye.Open)
			if e := s.reopen("p"); e.Round != d.Round || !e.Opens.IsZero() || e.Version <= d.Version {
				s.Fatalf("opened as %+v; want the same round without an opening time", e)
			}
		}},
		{"opening an open poll changes nothing", func(s suite) {
			d := s.open("p", popeye.First)
			s.record(first(d, 1, 0))
			before := s.tally("p").Version
			if e := s.reopen("p"); !reflect.DeepEqual(d, e) {
				s.Fatalf("the definition went from %+v to %+v", d, e)
			}
			s.unmoved("p", before)
		}},
		{"no such poll", func(s suite) {
			s.open("p", popeye.First)
			_, tally := s.Tally(s.Context(), "q")
			_, open := s.Open(s.Context(), "q")
			for _, err := range []error{tally, open, s.Delete(s.Context(), "q")} {
				if !errors.Is(err, popeye.ErrNotFound) {
					s.Fatalf("error = %v; want ErrNotFound", err)
				}
			}
		}},
	}
}

func readsAsWritten(s suite) {
	p := poll("p", popeye.Change, 3)
	p.Question = "Ünïcode — „quoted“, 'single' & <tags>?"
	p.Options[0] = popeye.Option{ID: "naïve/1", Label: "Zoë's", Emoji: "🐈", Picture: "/cat.png", Color: "#abc"}
	p.Kind, p.Min, p.Max = popeye.Multiple, 2, 3
	p.Results = popeye.AfterClose
	p.Opens = time.Date(2024, 2, 29, 12, 30, 0, 0, time.UTC)
	p.Closes = time.Date(2100, 12, 31, 18, 0, 0, 0, time.UTC)
	d := s.create(p, popeye.Open)
	if !reflect.DeepEqual(d.Poll, p) {
		s.Fatalf("applied %+v\ngot back %+v", p, d.Poll)
	}
	s.same(d)
}

func changesInPlace(s suite) {
	p := poll("p", popeye.First, 3)
	d := s.create(p, popeye.Open)
	s.record(first(d, 1, 0))
	before := s.tally("p").Version
	p.Question, p.Results = "Really?", popeye.AfterVote
	p.Options[1].Label = "Another label"
	p.Closes = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	e := s.update(p)
	if e.Round != d.Round || e.State != popeye.Open || e.Version <= d.Version || !reflect.DeepEqual(e.Poll, p) {
		s.Fatalf("updated from %+v to %+v", d, e)
	}
	s.moved("p", before)
	s.same(e)
	s.record(first(e, 2, 0))
	s.expect("p", counts{votes: []int64{2, 0, 0}, total: 2, stored: 2})
}

func ballotIsFixed(s suite) {
	d := s.open("p", popeye.First)
	s.record(first(d, 1, 0))
	before := s.tally("p").Version
	for _, p := range []popeye.Poll{poll("p", popeye.First, 4), poll("p", popeye.First, 2), poll("p", popeye.Change, 3)} {
		if _, _, err := s.Apply(s.Context(), p, popeye.Open); !errors.Is(err, popeye.ErrExists) {
			s.Fatalf("Apply of another ballot = %v; want ErrExists", err)
		}
	}
	s.same(d)
	s.unmoved("p", before)
	s.expect("p", counts{votes: []int64{1, 0, 0}, total: 1, stored: 1})
}

// ballotIsFixedWhileOpen: a vote that is acknowledged but not recorded yet would
// be lost in a round that nobody sees any more.
func ballotIsFixedWhileOpen(s suite) {
	d := s.open("p", popeye.First)
	refused := func(when string) {
		if _, _, err := s.Apply(s.Context(), poll("p", popeye.Change, 5), popeye.Open); !errors.Is(err, popeye.ErrExists) {
			s.Fatalf("Apply of another ballot, %s = %v; want ErrExists", when, err)
		}
	}
	refused("open")
	s.same(d)
	s.record(first(d, 1, 2))
	s.expect("p", counts{votes: []int64{0, 0, 1}, total: 1, stored: 1})

	e := s.open("q", popeye.First)
	if err := s.Close(s.Context(), e.Round); err != nil {
		s.Fatal(err)
	}
	if _, _, err := s.Apply(s.Context(), poll("q", popeye.First, 5), popeye.Open); !errors.Is(err, popeye.ErrExists) {
		s.Fatalf("Apply of another ballot, closed = %v; want ErrExists", err)
	}
	if err := s.Finalise(s.Context(), e.Round); err != nil {
		s.Fatal(err)
	}
	if f := s.update(poll("q", popeye.First, 5)); f.Round == e.Round {
		s.Fatalf("the final round %d has another ballot", f.Round)
	}
}

func anotherBallot(s suite) {
	d, _, err := s.Apply(s.Context(), poll("p", popeye.First, 3), popeye.Draft)
	if err != nil {
		s.Fatal(err)
	}
	before := s.tally("p").Version
	e := s.update(poll("p", popeye.Change, 5))
	if e.Round == d.Round || e.State != popeye.Draft || e.Version <= d.Version {
		s.Fatalf("updated from %+v to %+v; want a new round, a draft", d, e)
	}
	s.moved("p", before)
	if e, err = s.Open(s.Context(), "p"); err != nil {
		s.Fatal(err)
	}
	s.record(first(e, 1, 4))
	s.expect("p", counts{votes: []int64{0, 0, 0, 0, 1}, total: 1, stored: 1})
	s.same(e)
}

// same checks that the poll is d wherever it is read.
func (s suite) same(d popeye.Definition) {
	s.Helper()
	if t := s.tally(d.ID); !reflect.DeepEqual(t.Definition, d) {
		s.Fatalf("Tally has %+v\nwant %+v", t.Definition, d)
	}
	if e := s.catalog().Find(d.ID); e == nil || !reflect.DeepEqual(*e, d) {
		s.Fatalf("the catalog has %+v\nwant %+v", e, d)
	}
}
