package worker_test

import (
	"slices"
	"testing"
	"time"

	"popeye"
)

func TestARoundIsFinalOnceEnoughServersHaveNothingMoreOfIt(t *testing.T) {
	cut := func(p *pipeline) { p.stations[2].cut = errCut }
	distributed(t, 3, 2, cut, func(p *pipeline) {
		p.stations[0].take(votes(0, 10)...)
		if err := p.book.Close(p.Context(), 1); err != nil {
			p.Fatalf("close: %v", err)
		}
		p.pass(10 * time.Second)
		if s := p.book.state(); s != popeye.Final {
			p.Fatalf("with two of three servers sealed the round is %s, want final", s)
		}
		p.book.set(func(k *book) {
			places := []string{"queue-0:6379", "queue-1:6379", "queue-2:6379"}
			for _, s := range k.seals {
				if s.Enough != 2 || !slices.Equal(s.Places, places) || s.Server != "identity of "+s.Place {
					p.Errorf("a seal is %+v; want 2 of 3 places, and the server's identity", s)
				}
			}
			if n := count(k.done, "ring p"); n < 3 {
				p.Errorf("done were %q, want a ring for the final round", k.done)
			}
			if k.certified == 0 {
				p.Error("the final round is not certified")
			}
		})
		for _, s := range p.stations[:2] {
			p.wantIdle(s)
			s.set(func(s *station) {
				if state := s.catalog.Find("p").State; state != popeye.Final {
					p.Errorf("%s was told that the round is %s, want final", s.place, state)
				}
			})
		}
		p.wantMetric("popeye_worker_seals_total", "queue-0:6379", 1)
	})
}

func TestARoundStaysProvisionalWithTooFewSeals(t *testing.T) {
	cut := func(p *pipeline) { p.stations[1].cut, p.stations[2].cut = errCut, errCut }
	distributed(t, 3, 2, cut, func(p *pipeline) {
		if err := p.book.Close(p.Context(), 1); err != nil {
			p.Fatalf("close: %v", err)
		}
		p.pass(time.Hour)
		if s := p.book.state(); s != popeye.Closed {
			p.Fatalf("with one of three servers sealed the round is %s, want closed", s)
		}
		p.stations[1].set(func(s *station) { s.cut = nil })
		p.pass(10 * time.Second)
		if s := p.book.state(); s != popeye.Final {
			p.Errorf("with two of three servers sealed the round is %s, want final", s)
		}
	})
}

func TestASealThatCannotBeFollowedHoldsUpNoVotes(t *testing.T) {
	distributed(t, 1, 1, nil, func(p *pipeline) {
		p.book.define(poll("p", 1), poll("q", 2), poll("r", 3))
		p.book.set(func(k *book) { k.fails["seal"] = errDisk })
		for _, round := range []int64{1, 3} { // one for each consumer
			if err := p.book.Close(p.Context(), round); err != nil {
				p.Fatalf("close: %v", err)
			}
			p.pass(time.Minute)
		}
		other := votes(0, 10)
		for i := range other {
			other[i].Round = 2
		}
		p.stations[0].take(other...)
		p.pass(30 * time.Second)
		p.wantRecorded(numbers(0, 10)...)
		p.book.set(func(k *book) { k.fails["seal"] = nil })
		p.pass(30 * time.Second)
		if s := p.book.state(); s != popeye.Final {
			p.Errorf("the round is %s, want final", s)
		}
	})
}

func TestASealTellsAStoreThatHasLostTheClosing(t *testing.T) {
	distributed(t, 1, 1, nil, func(p *pipeline) {
		p.stations[0].set(func(s *station) { s.seals[1] = time.Now() })
		p.pass(time.Second)
		if s := p.book.state(); s != popeye.Final {
			p.Errorf("the round is %s, want closed again and final", s)
		}
	})
}

func TestTheSealOfADeletedPollIsAcknowledged(t *testing.T) {
	distributed(t, 1, 1, nil, func(p *pipeline) {
		p.stations[0].set(func(s *station) { s.seals[77] = time.Now() })
		p.pass(time.Second)
		p.stations[0].set(func(s *station) {
			if len(s.seals) > 0 {
				p.Error("the seal is not acknowledged")
			}
		})
	})
}

func TestARoundThatItsPollHasLeftIsCertifiedToo(t *testing.T) {
	d := poll("p", 9)
	d.State = popeye.Closed
	left := func(p *pipeline) { p.book.left = append(p.book.left, d) }
	distributed(t, 1, 1, left, func(p *pipeline) {
		p.stations[0].set(func(s *station) { s.seals[9] = time.Now() })
		p.pass(10 * time.Second)
		p.book.set(func(k *book) {
			if k.certified != 1 {
				p.Errorf("rounds were certified %d times, want once", k.certified)
			}
		})
	})
}
