package storetest

import (
	"math/rand/v2"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"popeye"
)

// together is what holds when many work at once, and for any history at all.
func together() []promise {
	return []promise{
		{"workers with the same votes at once count each vote once", sameVotesAtOnce},
		{"a result is of one moment and never older than the one before", oneMoment},
		{"of those who create a poll at once one does", func(s suite) {
			var mu sync.Mutex
			rounds, creators := map[int64]bool{}, 0
			var g errgroup.Group
			for range 8 {
				g.Go(func() error {
					d, created, err := s.Apply(s.Context(), poll("p", popeye.First, 2), popeye.Open)
					mu.Lock()
					defer mu.Unlock()
					rounds[d.Round] = true
					if created {
						creators++
					}
					return err
				})
			}
			if err := g.Wait(); err != nil || creators != 1 || len(rounds) != 1 {
				s.Fatalf("%d created it in %d rounds, %v; want one in one", creators, len(rounds), err)
			}
		}},
	}
}

// sameVotesAtOnce gives the same votes to several workers, in batches and in
// an order of their own: under first, of each voter one that is confirmed and
// another that is not.
func sameVotesAtOnce(s suite) {
	d, e := s.open("p", popeye.First), s.open("q", popeye.Change)
	want := map[string]*model{"p": newModel(d), "q": newModel(e)}
	var votes []popeye.Vote
	for n := range 60 {
		stands, other := later(d, n, 1, rand.IntN(3)), later(d, n, rand.N[popeye.Stamp](3), rand.IntN(3))
		votes = append(votes, unconfirmed(other), unconfirmed(stands), stands)
		want["p"].record(stands)
		for serial := range rand.Int64N(3) + 1 {
			v := nth(e, n, serial+1, rand.IntN(3))
			votes = append(votes, v)
			want["q"].record(v)
		}
	}
	var g errgroup.Group
	for range 6 {
		mine := slices.Clone(votes)
		rand.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
		g.Go(func() error {
			for batch := range slices.Chunk(mine, 23) {
				if _, err := s.Record(s.Context(), batch, popeye.Progress{}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		s.Fatal(err)
	}
	for id, m := range want {
		s.expect(id, m.counts())
	}
}

// oneMoment reads while votes change: each of 20 voters, always for exactly
// one option.
func oneMoment(s suite) {
	d := s.open("p", popeye.Change)
	var all []popeye.Vote
	for n := range 20 {
		all = append(all, first(d, n, 0))
	}
	s.record(all...)
	var g errgroup.Group
	done := make(chan struct{})
	g.Go(func() error {
		defer close(done)
		for serial := int64(2); serial < 60; serial++ {
			batch := slices.Clone(all)
			for n := range batch {
				batch[n] = nth(d, n, serial, rand.IntN(3))
			}
			if _, err := s.Record(s.Context(), batch, popeye.Progress{}); err != nil {
				return err
			}
		}
		return nil
	})
	var last popeye.Tally
	for reading := true; reading; {
		select {
		case <-done:
			reading = false
		default:
		}
		t := s.tally("p")
		if sum := t.Votes[0] + t.Votes[1] + t.Votes[2]; sum != 20 || t.Total != 20 {
			s.Fatalf("%d votes by %d voters; want 20 by 20", sum, t.Total)
		}
		if t.Version < last.Version || t.Ledger.Stored < last.Ledger.Stored {
			s.Fatalf("read version %d with %d stored after %d with %d",
				t.Version, t.Ledger.Stored, last.Version, last.Ledger.Stored)
		}
		last = t
	}
	if err := g.Wait(); err != nil {
		s.Fatal(err)
	}
}
