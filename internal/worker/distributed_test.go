package worker_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"popeye"
)

func TestAServerThatHangsHoldsUpNoOther(t *testing.T) {
	hang := func(p *pipeline) { p.stations[0].hangs = true }
	distributed(t, 3, 2, hang, func(p *pipeline) {
		p.stations[1].take(votes(0, 10)...)
		p.stations[2].take(votes(10, 20)...)
		p.pass(3 * linger)
		p.wantRecorded(numbers(0, 20)...)
		if err := p.worker.Sync(p.Context()); err != nil {
			p.Errorf("with two of three servers Sync returned %v", err)
		}
		if err := p.worker.Ready(); err != nil {
			p.Errorf("with two of three servers the worker is not ready: %v", err)
		}
		p.wantMetric("popeye_worker_queue_up", "queue-0:6379", 0)
		p.wantMetric("popeye_worker_queue_up", "queue-1:6379", 1)

		p.book.define(poll("p", 1), poll("q", 2))
		p.pass(3 * time.Second)
		for _, s := range p.stations[1:] {
			s.set(func(s *station) {
				if s.catalog.Find("q") == nil {
					p.Errorf("%s does not know a new poll", s.place)
				}
			})
		}
	})
}

func TestAServerThatComesBackIsToldThePollsAndItsVotesAreMoved(t *testing.T) {
	cut := func(p *pipeline) { p.stations[0].cut = errCut }
	distributed(t, 3, 2, cut, func(p *pipeline) {
		p.stations[0].take(votes(0, 10)...)
		p.pass(time.Minute)
		p.wantRecorded()
		p.stations[0].set(func(s *station) { s.cut = nil })
		p.pass(5 * time.Second)
		p.wantRecorded(numbers(0, 10)...)
		p.wantIdle(p.stations[0])
		p.stations[0].set(func(s *station) {
			if s.catalog.Find("p") == nil {
				p.Error("the server that came back does not know the polls")
			}
		})
		// One that comes back empty is told again too.
		p.stations[0].set(func(s *station) { s.catalog = nil })
		p.pass(5 * time.Second)
		p.stations[0].set(func(s *station) {
			if s.catalog.Find("p") == nil {
				p.Error("a server that lost the polls does not know them")
			}
		})
	})
}

func TestTheWorkerIsReadyAsSoonAsEnoughServersKnowThePolls(t *testing.T) {
	cut := func(p *pipeline) { p.stations[0].cut, p.stations[1].cut = errCut, errCut }
	distributed(t, 3, 2, cut, func(p *pipeline) {
		if err := p.worker.Ready(); err == nil {
			p.Error("with one of three servers and two copies the worker is ready")
		}
		if err := p.worker.Sync(p.Context()); !errors.Is(err, errCut) {
			p.Errorf("Sync returned %v, want what the servers failed with", err)
		}
		p.stations[1].set(func(s *station) { s.cut = nil })
		p.pass(5 * time.Second)
		if err := p.worker.Ready(); err != nil {
			p.Errorf("with two of three servers the worker is not ready: %v", err)
		}
	})
}

func TestWhileTheStoreIsAwayWhatIsInHandIsKeptAndNothingMoreIsTaken(t *testing.T) {
	distributed(t, 1, 1, nil, func(p *pipeline) {
		s := p.stations[0]
		p.book.set(func(k *book) { k.away = errDisk })
		s.take(votes(0, 10)...)
		p.pass(time.Second)
		s.take(votes(10, 20)...)
		p.pass(10 * time.Minute)
		s.set(func(s *station) {
			if len(s.held) != 10 || len(s.waiting) != 10 || s.released != 0 {
				p.Errorf("held are %d, waiting %d, released %d; want 10, 10 and none", len(s.held), len(s.waiting), s.released)
			}
		})
		if err := p.worker.Ready(); !errors.Is(err, errDisk) {
			p.Errorf("the worker is ready with %v, want what the store failed with", err)
		}
		p.book.set(func(k *book) { k.away = nil })
		p.pass(5 * time.Second)
		p.wantRecorded(numbers(0, 20)...)
		p.wantIdle(s)
		if err := p.worker.Ready(); err != nil {
			p.Errorf("with the store back, the worker is not ready: %v", err)
		}
	})
}

func TestNothingIsTakenBeforeTheStoreHasAnswered(t *testing.T) {
	away := func(p *pipeline) {
		p.book.away = errDisk
		p.stations[0].waiting = []popeye.Delivery{{ID: "1", Vote: votes(0, 1)[0]}}
	}
	distributed(t, 1, 1, away, func(p *pipeline) {
		p.pass(time.Minute)
		p.stations[0].set(func(s *station) {
			if len(s.held) > 0 {
				p.Error("a worker without a store has taken a vote")
			}
		})
		p.book.set(func(k *book) { k.away = nil })
		p.pass(5 * time.Second)
		p.wantRecorded(0)
	})
}

func TestAWorkerToldToStopWithoutAStoreGivesBackWhatItHas(t *testing.T) {
	distributed(t, 1, 1, nil, func(p *pipeline) {
		s := p.stations[0]
		p.book.set(func(k *book) { k.away = errDisk })
		s.take(votes(0, 10)...)
		p.pass(time.Minute)
		p.stop()
		if err := <-p.stopped; err != nil {
			p.Errorf("Run returned %v", err)
		}
		s.set(func(s *station) {
			if s.released != 10 {
				p.Errorf("released are %d, want 10", s.released)
			}
		})
	})
}

func TestAWorkerToldToStopFinishesTheBatchesInHand(t *testing.T) {
	distributed(t, 2, 2, nil, func(p *pipeline) {
		gate := make(chan struct{})
		p.book.set(func(k *book) { k.gate = gate })
		p.stations[0].take(votes(0, 10)...)
		p.stations[1].take(votes(10, 20)...)
		p.pass(linger)
		p.stop()
		synctest.Wait()
		select {
		case err := <-p.stopped:
			p.Fatalf("the worker has stopped with batches in hand: %v", err)
		default:
		}
		close(gate)
		if err := <-p.stopped; err != nil {
			p.Errorf("Run returned %v", err)
		}
		p.wantRecorded(numbers(0, 20)...)
		p.wantIdle(p.stations...)
	})
}

func TestAWorkerStopsThoughAServerHangs(t *testing.T) {
	hang := func(p *pipeline) { p.stations[0].hangs = true }
	distributed(t, 3, 2, hang, func(p *pipeline) {
		p.stop()
		if err := <-p.stopped; err != nil {
			p.Errorf("Run returned %v", err)
		}
	})
}

func TestWhatCannotBeAcknowledgedIsTriedAgainAndThenLeft(t *testing.T) {
	distributed(t, 1, 1, nil, func(p *pipeline) {
		s := p.stations[0]
		s.set(func(s *station) { s.acks = errCut })
		s.take(votes(0, 10)...)
		p.pass(60 * time.Millisecond)
		s.set(func(s *station) { s.acks = nil })
		p.pass(time.Second)
		p.wantIdle(s)

		s.set(func(s *station) { s.acks = errCut })
		s.take(votes(10, 20)...)
		p.pass(time.Minute)
		s.set(func(s *station) { s.acks = nil })
		s.take(votes(20, 30)...)
		p.pass(time.Second)
		p.wantRecorded(numbers(0, 30)...)
		s.set(func(s *station) {
			if len(s.held) != 10 || s.released != 0 {
				p.Errorf("held are %d and released %d, want 10 that come again by themselves", len(s.held), s.released)
			}
		})
	})
}

func TestTheVoterKeyThatAnyServerWasToldNamesThatOfRoundsWithoutOne(t *testing.T) {
	prepare := func(p *pipeline) {
		p.stations[0].hangs = true
		p.stations[2].key, p.stations[2].slow = "4f3c", 900*time.Millisecond
	}
	distributed(t, 3, 2, prepare, func(p *pipeline) {
		p.pass(2 * time.Second)
		named := func(s *station) {
			if key := s.catalog.Find("p").VoterKey; key != "4f3c" {
				p.Errorf("%s was told the voter key %q, want 4f3c", s.place, key)
			}
		}
		p.stations[1].set(named)
		p.stations[2].set(named)
		d := poll("p", 1)
		d.VoterKey, d.Version = "old", 7
		p.book.define(d)
		p.stations[2].set(func(s *station) { s.key = "new" })
		p.pass(10 * time.Second)
		p.stations[2].set(func(s *station) {
			if key := s.catalog.Find("p").VoterKey; key != "old" {
				p.Errorf("a round that had the key old has %q", key)
			}
		})
		if n := count(p.book.log(), "name new"); n != 0 {
			p.Errorf("the key was named %d times though every round has one", n)
		}
	})
}

func TestARoundWithoutAVoterKeyWaitsUntilOneIsAnnounced(t *testing.T) {
	distributed(t, 1, 1, nil, func(p *pipeline) {
		p.pass(time.Minute)
		p.stations[0].set(func(s *station) { s.key = "4f3c" })
		p.pass(time.Second)
		p.stations[0].set(func(s *station) {
			if key := s.catalog.Find("p").VoterKey; key != "4f3c" {
				p.Errorf("the voter key is %q, want 4f3c", key)
			}
		})
	})
}

func TestANewRoundIsNeverPublishedWithoutTheVoterKeyThatWasAnnounced(t *testing.T) {
	prepare := func(p *pipeline) { p.stations[0].key = "4f3c" }
	distributed(t, 1, 1, prepare, func(p *pipeline) {
		p.book.define(poll("p", 1), poll("q", 2))
		p.pass(time.Minute)
		p.stations[0].set(func(s *station) {
			for _, c := range s.told {
				for _, d := range c.All() {
					if d.VoterKey == "" {
						p.Errorf("round %d of poll %s was published without a voter key", d.Round, d.ID)
					}
				}
			}
		})
	})
}

func TestFinalRoundsAreCertifiedWhileVotesAreMoved(t *testing.T) {
	d := poll("old", 9)
	d.State = popeye.Final
	slow := &slowBook{begun: make(chan struct{}), end: make(chan struct{})}
	prepare := func(p *pipeline) {
		p.book.polls = append(p.book.polls, d)
		slow.book = p.book
		slow.begun, slow.end = make(chan struct{}), make(chan struct{})
		p.worker.Recorder = slow
	}
	distributed(t, 1, 1, prepare, func(p *pipeline) {
		<-slow.begun
		p.stations[0].take(votes(0, 10)...)
		p.pass(time.Second)
		p.wantRecorded(numbers(0, 10)...)
		close(slow.end)
		p.pass(time.Minute)
		p.book.set(func(k *book) {
			if k.certified != 1 {
				p.Errorf("rounds were certified %d times, want once", k.certified)
			}
		})
	})
}

// slowBook is a store in which certifying takes its time.
type slowBook struct {
	*book
	begun, end chan struct{}
}

func (b *slowBook) Certify(ctx context.Context) error {
	close(b.begun)
	select {
	case <-b.end:
	case <-ctx.Done():
		return ctx.Err()
	}
	return b.book.Certify(ctx)
}

func TestARoundThatBecomesFinalIsCertifiedAgainAfterAFailure(t *testing.T) {
	distributed(t, 1, 1, nil, func(p *pipeline) {
		p.book.set(func(k *book) { k.fails["certify"] = errDisk })
		if err := p.book.Close(p.Context(), 1); err != nil {
			p.Fatalf("close: %v", err)
		}
		p.pass(time.Minute)
		p.book.set(func(k *book) { k.fails["certify"] = nil })
		p.pass(10 * time.Second)
		p.book.set(func(k *book) {
			if k.certified != 1 {
				p.Errorf("rounds were certified %d times, want once", k.certified)
			}
		})
	})
}

func count(log []string, what string) int {
	n := 0
	for _, l := range log {
		if l == what {
			n++
		}
	}
	return n
}
