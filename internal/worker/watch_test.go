package worker_test

import (
	"log/slog"
	"maps"
	"sync/atomic"
	"testing"
	"time"

	"popeye"
)

func TestCommitsThatTheStoreHasLostAreReplayed(t *testing.T) {
	distributed(t, 2, 2, nil, func(p *pipeline) {
		lost := p.loseCommits(numbers(0, 30))
		lost()
		p.pass(10 * time.Second)
		p.wantRecorded(numbers(0, 30)...)
		p.book.set(func(k *book) {
			if len(k.restored) != 1 || k.restored[0].Place != "queue-0:6379" {
				p.Errorf("said to be whole again were %+v, want the first place once", k.restored)
			}
		})
		p.wantMetric("popeye_worker_replays_total", "queue-0:6379", 1)
		p.wantMetric("popeye_worker_votes_replayed_total", "queue-0:6379", 20)
	})
}

func TestCommitsLostWhileTheStoreWasAwayAreReplayedWhenItReturns(t *testing.T) {
	distributed(t, 1, 1, nil, func(p *pipeline) {
		lost := p.loseCommits(numbers(0, 30))
		p.book.set(func(k *book) { k.away = errDisk })
		p.pass(time.Minute)
		lost()
		p.book.set(func(k *book) { k.away = nil })
		p.pass(3 * time.Second)
		p.wantRecorded(numbers(0, 30)...)
	})
}

func TestVotesAreMovedAndNothingIsFreedWhileAReplayRuns(t *testing.T) {
	distributed(t, 1, 1, nil, func(p *pipeline) {
		s, gate := p.stations[0], make(chan struct{})
		s.set(func(s *station) { s.replay = gate })
		p.loseCommits(numbers(0, 30))()
		p.pass(10 * time.Second)
		p.wantRecorded(numbers(0, 10)...)
		noted := 0
		p.book.set(func(k *book) { noted = k.noted })
		s.set(func(s *station) { s.tended = 0 })
		s.take(votes(30, 40)...)
		p.pass(time.Minute)
		p.wantRecorded(append(numbers(0, 10), numbers(30, 40)...)...)
		s.set(func(s *station) {
			if s.tended > 0 {
				p.Errorf("the server was tended %d times while it was replayed", s.tended)
			}
			s.replay = nil
		})
		p.book.set(func(k *book) {
			if k.noted != noted {
				p.Error("a store that lacks votes was told that they are recorded")
			}
		})
		close(gate)
		p.pass(10 * time.Second)
		p.wantRecorded(numbers(0, 40)...)
		p.book.set(func(k *book) {
			if k.noted == noted {
				p.Error("after the replay nothing is noted any more")
			}
		})
	})
}

func TestAReplayThatFailsIsDoneAgain(t *testing.T) {
	distributed(t, 1, 1, nil, func(p *pipeline) {
		lost := p.loseCommits(numbers(0, 30))
		p.book.set(func(k *book) { k.fails["record"] = errDisk })
		lost()
		p.pass(10 * time.Second)
		p.book.set(func(k *book) {
			if len(k.restored) != 0 {
				p.Error("the store is said to be whole again after a replay that failed")
			}
			k.fails["record"] = nil
		})
		p.pass(10 * time.Second)
		p.wantRecorded(numbers(0, 30)...)
	})
}

func TestWhatIsReplayedAndCanNeverBeRecordedIsParked(t *testing.T) {
	distributed(t, 1, 1, nil, func(p *pipeline) {
		bad := votes(100, 101)
		bad[0].Choices = 1 << 40
		p.stations[0].take(bad...)
		p.pass(time.Second)
		p.loseCommits(numbers(0, 30))()
		p.book.set(func(k *book) { k.parked = nil; clear(k.notes) })
		p.pass(10 * time.Second)
		p.book.set(func(k *book) {
			if len(k.parked) != 1 {
				p.Errorf("parked are %d votes, want 1", len(k.parked))
			}
		})
	})
}

// loseCommits records votes and returns what makes the store lose all but the
// first ten of them.
func (p *pipeline) loseCommits(voters []int) func() {
	p.Helper()
	s := p.stations[0]
	var before map[popeye.Progress]bool
	for i, n := range voters {
		s.take(votes(n, n+1)...)
		p.pass(linger)
		if i == 9 {
			p.pass(lookAtLeast) // so that the store knows up to where it has all
			p.book.set(func(k *book) { before = maps.Clone(k.progress) })
		}
	}
	return func() {
		p.book.set(func(k *book) {
			k.progress = before
			for _, n := range voters[10:] {
				delete(k.votes, voter(n))
			}
			note := k.notes[s.place]
			note.Recorded = "10"
			k.notes[s.place] = note
		})
	}
}

const lookAtLeast = 5 * time.Second

func TestAServerIsLookedAtWhenSomethingMovesAndAtLeastEveryFiveSeconds(t *testing.T) {
	distributed(t, 1, 1, nil, func(p *pipeline) {
		p.pass(time.Minute)
		s := p.stations[0]
		looks, noted := p.looks(s)
		p.pass(time.Minute)
		idleLooks, idleNoted := p.looks(s)
		if n := idleLooks - looks; n < 11 || n > 13 || idleNoted-noted != n {
			p.Errorf("an idle server was looked at %d and noted %d times a minute, want 12", n, idleNoted-noted)
		}
		for n := range 10_000 / 20 { // ten seconds
			s.take(votes(n, n+1)...)
			p.pass(20 * time.Millisecond)
		}
		busyLooks, busyNoted := p.looks(s)
		if n := busyLooks - idleLooks; n < 35 || n > 42 || busyNoted-idleNoted > n {
			p.Errorf("a busy server was looked at %d and noted %d times in ten seconds, want 40", n, busyNoted-idleNoted)
		}
		p.pass(time.Second)
		p.book.set(func(k *book) {
			if note := k.notes[s.place]; note.Pending != 0 || note.Recorded != "500" {
				p.Errorf("noted last is %+v, want all recorded", note)
			}
		})
		p.wantMetric("popeye_worker_queue_pending", s.place, 0)
	})
}

func (p *pipeline) looks(s *station) (looks, noted int) {
	s.set(func(s *station) { looks = s.looks })
	p.book.set(func(k *book) { noted = k.noted })
	return looks, noted
}

func TestAServerIsTendedEverySecond(t *testing.T) {
	distributed(t, 1, 1, nil, func(p *pipeline) {
		p.pass(time.Minute)
		p.stations[0].set(func(s *station) {
			if s.tended < 55 || s.tended > 65 {
				p.Errorf("the server was tended %d times in a minute, want 60", s.tended)
			}
		})
	})
}

func TestAServerThatIsAwayFillsNoLog(t *testing.T) {
	var lines lineCounter
	prepare := func(p *pipeline) {
		p.stations[0].cut = errCut
		p.worker.Log = slog.New(slog.NewTextHandler(&lines, nil))
	}
	distributed(t, 3, 2, prepare, func(p *pipeline) {
		p.pass(time.Minute)
		if n := lines.n.Load(); n < 6 || n > 60 {
			p.Errorf("a server away for a minute wrote %d lines, want a few for each thing that fails", n)
		}
	})
}

// lineCounter counts lines.
type lineCounter struct{ n atomic.Int64 }

func (c *lineCounter) Write(p []byte) (int, error) {
	c.n.Add(1)
	return len(p), nil
}
