package storetest

import (
	"errors"
	"reflect"

	"golang.org/x/sync/errgroup"

	"popeye"
)

// cataloguing is what the roles rely on that never see an organiser.
func cataloguing() []promise {
	return []promise{
		{"the catalog's version grows with every change of a poll", versionsEveryChange},
		{"the catalog's version stays where no poll changes", func(s suite) {
			d := s.open("p", popeye.First)
			before := s.catalog().Version()
			s.record(first(d, 1, 0))
			s.park(popeye.Parked{Vote: first(d, 2, 0), Reason: "why"})
			s.retry(d.Round)
			s.update(d.Poll)
			s.reopen("p")
			if now := s.catalog().Version(); now != before {
				s.Fatalf("the catalog's version went from %d to %d", before, now)
			}
		}},
		{"two catalogs of one version are the same", sameVersionSameCatalog},
		{"a voter key is named where there is none", namesVoterKey},
		{"a closed round can be declared final although votes may be missing", declares},
		{"a round that is not closed cannot be declared final", func(s suite) {
			s.create(poll("p", popeye.First, 2), popeye.Draft)
			d := s.open("q", popeye.First)
			for _, id := range []string{"p", "q"} {
				if _, err := s.Declare(s.Context(), id); !errors.Is(err, popeye.ErrExists) {
					s.Fatalf("Declare of %s = %v; want ErrExists", id, err)
				}
			}
			s.same(d)
			if _, err := s.Declare(s.Context(), "r"); !errors.Is(err, popeye.ErrNotFound) {
				s.Fatalf("Declare of no poll = %v; want ErrNotFound", err)
			}
		}},
		{"a round that is final is not declared again", func(s suite) {
			d := s.open("p", popeye.First)
			s.close(d)
			s.finalise(d)
			before := s.tally("p")
			if e := s.declare(d); e.Incomplete || !reflect.DeepEqual(e, before.Definition) {
				s.Fatalf("declared as %+v; want it to stay %+v", e, before.Definition)
			}
			s.unmoved("p", before.Version)
		}},
		{"a store with no queue behind it is not behind", func(s suite) {
			s.record(first(s.open("p", popeye.First), 1, 0))
			if lag, err := s.Lag(s.Context()); err != nil || lag != 0 {
				s.Fatalf("Lag = %v, %v; want none", lag, err)
			}
		}},
	}
}

func versionsEveryChange(s suite) {
	version := s.catalog().Version()
	grown := func(what string) {
		s.Helper()
		now := s.catalog().Version()
		if now <= version {
			s.Fatalf("the catalog's version went from %d to %d though a poll was %s", version, now, what)
		}
		version = now
	}
	p := poll("p", popeye.First, 2)
	d := s.create(p, popeye.Draft)
	grown("created")
	s.reopen("p")
	grown("opened")
	p.Question = "Really?"
	s.update(p)
	grown("changed")
	s.close(d)
	grown("closed")
	s.finalise(d)
	grown("made final")
	d = s.reopen("p")
	grown("opened again")
	s.close(d)
	grown("closed again")
	s.declare(d)
	grown("declared final")
	s.open("q", popeye.First)
	grown("added")
	s.remove("p")
	grown("deleted")
	s.remove("q")
	grown("deleted, the last one")
	s.open("p", popeye.First)
	grown("created again")
}

// sameVersionSameCatalog reads catalogs while polls change at the same time:
// what commits last may have begun first.
func sameVersionSameCatalog(s suite) {
	const organisers, changes = 4, 15
	var changing, reading errgroup.Group
	done := make(chan struct{})
	for i := range organisers {
		changing.Go(func() error {
			p := poll(optionID(i), popeye.First, 2)
			for n := range changes {
				p.Question = "Which one?" + optionID(n)
				if _, _, err := s.Apply(s.Context(), p, popeye.Open); err != nil {
					return err
				}
			}
			return s.Delete(s.Context(), p.ID)
		})
	}
	read := make([][]*popeye.Catalog, 2)
	for i := range read {
		reading.Go(func() error {
			for {
				c, err := s.Catalog(s.Context())
				if err != nil {
					return err
				}
				read[i] = append(read[i], c)
				select {
				case <-done:
					return nil
				default:
				}
			}
		})
	}
	err := changing.Wait()
	close(done)
	if err := errors.Join(err, reading.Wait()); err != nil {
		s.Fatal(err)
	}
	seen := map[int64]*popeye.Catalog{}
	for _, catalogs := range read {
		var version int64
		for _, c := range catalogs {
			if c.Version() < version {
				s.Fatalf("read version %d after %d", c.Version(), version)
			}
			version = c.Version()
			if other := seen[version]; other != nil && !reflect.DeepEqual(other.All(), c.All()) {
				s.Fatalf("version %d is of two catalogs", version)
			}
			seen[version] = c
		}
	}
}

// namesVoterKey: a store may have been given a name for every round.
func namesVoterKey(s suite) {
	d := s.open("p", popeye.First)
	s.close(s.open("q", popeye.First))
	before := s.catalog()
	want := d.VoterKey
	if want == "" {
		want = "k2"
		s.nameVoterKey("")
		if now := s.catalog(); now.Version() != before.Version() || now.Find("p").VoterKey != "" {
			s.Fatalf("no name is the name %q, versions %d and %d", now.Find("p").VoterKey, before.Version(), now.Version())
		}
	}
	s.nameVoterKey("k2")
	after := s.catalog()
	for _, id := range []string{"p", "q"} {
		if got := after.Find(id).VoterKey; got != want {
			s.Fatalf("the voter key of %s is %q; want %s", id, got, want)
		}
	}
	named := d.VoterKey == ""
	if (after.Version() > before.Version()) != named || (after.Find("p").Version > d.Version) != named {
		s.Fatalf("named: %v; the catalog's version went from %d to %d, the poll's from %d to %d",
			named, before.Version(), after.Version(), d.Version, after.Find("p").Version)
	}
	s.same(*after.Find("p"))
	s.nameVoterKey("k3")
	if now := s.catalog(); now.Version() != after.Version() || now.Find("p").VoterKey != want {
		s.Fatalf("named again, the voter key is %q, the version went from %d to %d", now.Find("p").VoterKey, after.Version(), now.Version())
	}
	if got := s.reopen("q").VoterKey; got != d.VoterKey {
		s.Fatalf("the next round has the voter key %q; want %q", got, d.VoterKey)
	}
}

func declares(s suite) {
	d := s.open("p", popeye.First)
	s.record(first(d, 1, 0))
	s.close(d)
	before := s.tally("p")
	e := s.declare(d)
	if e.State != popeye.Final || !e.Incomplete || e.Round != d.Round || e.Version <= before.Definition.Version {
		s.Fatalf("declared as %+v after %+v", e, before.Definition)
	}
	s.same(e)
	shown := s.moved("p", before.Version)
	if again := s.declare(d); !reflect.DeepEqual(again, e) {
		s.Fatalf("declared again as %+v; want it to stay %+v", again, e)
	}
	s.finalise(d)
	s.close(d)
	s.same(e)
	s.unmoved("p", shown)
	s.record(first(d, 1, 0), first(d, 2, 0))
	s.expect("p", counts{votes: []int64{1, 0, 0}, total: 1, stored: 1, rejected: 1})
	s.certify()
	if s.tally("p").ReceiptsHash == "" {
		s.Fatalf("a round that was declared final is not certified")
	}
	if f := s.reopen("p"); f.Incomplete {
		s.Fatalf("the next round is incomplete: %+v", f)
	}
}

func (s suite) declare(d popeye.Definition) popeye.Definition {
	s.Helper()
	d, err := s.Declare(s.Context(), d.ID)
	if err != nil {
		s.Fatalf("Declare: %v", err)
	}
	return d
}

func (s suite) nameVoterKey(name string) {
	s.Helper()
	if err := s.NameVoterKey(s.Context(), name); err != nil {
		s.Fatalf("NameVoterKey: %v", err)
	}
}
