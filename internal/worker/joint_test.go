package worker_test

import (
	"testing"
	"testing/synctest"
	"time"

	"popeye/internal/worker"
)

// Each vote is on two of three servers, as it is in the long run.
func TestBothCopiesOfAVoteAreRecordedInOneTransaction(t *testing.T) {
	distributed(t, 3, 2, nil, func(p *pipeline) {
		p.pass(time.Minute)
		for n, s := range p.stations { // they do not begin at the same time
			s.take(votes(n, n+1)...)
			p.pass(linger / 3)
		}
		p.book.set(func(k *book) { k.done = nil })
		for n := range 200 { // one each millisecond
			p.stations[n%3].take(votes(n, n+1)...)
			p.stations[(n+1)%3].take(votes(n, n+1)...)
			p.pass(time.Millisecond)
		}
		p.pass(linger)
		p.wantRecorded(numbers(0, 200)...)
		if n := count(p.book.log(), "record"); n > 14 {
			p.Errorf("200 votes in 200 ms, twice each, took %d transactions, want about one in %s", n, linger)
		}
		p.wantIdle(p.stations...)
	})
}

func TestALoneVoteWaitsForNoOtherServer(t *testing.T) {
	distributed(t, 3, 2, nil, func(p *pipeline) {
		p.pass(time.Minute)
		p.stations[1].take(votes(0, 1)...)
		synctest.Wait() // no time passes
		p.wantRecorded(0)
	})
}

func TestFullBatchesOfSeveralServersDoNotWaitForEachOther(t *testing.T) {
	distributed(t, 3, 2, nil, func(p *pipeline) {
		p.pass(time.Minute)
		gate := make(chan struct{})
		p.book.set(func(k *book) { k.gate = gate })
		for i, s := range p.stations {
			s.take(votes(1000*i, 1000*(i+1))...)
		}
		synctest.Wait()
		p.book.set(func(k *book) {
			if k.begun != 6 { // each server has two consumers
				p.Errorf("%d are being recorded at the same time, want 6", k.begun)
			}
		})
		close(gate)
		synctest.Wait() // no time passes
		p.wantRecorded(numbers(0, 3000)...)
	})
}

func TestServersWithoutVotesDelayAnotherByAQuarterOfALingerAtMost(t *testing.T) {
	distributed(t, 3, 2, nil, func(p *pipeline) {
		p.pass(time.Minute)
		const most = int((linger + linger/4) / time.Millisecond)
		for n := range 100 { // one each millisecond
			p.stations[0].take(votes(n, n+1)...)
			p.pass(time.Millisecond)
			p.book.set(func(k *book) {
				if _, ok := k.votes[voter(n-most)]; n >= most && !ok {
					p.Errorf("the vote of voter %d is not recorded after %d ms", n-most, most+1)
				}
			})
		}
	})
}

func TestAVoteThatCannotBeRecordedKeepsThoseOfOtherServersFromNothing(t *testing.T) {
	distributed(t, 3, 2, nil, func(p *pipeline) {
		p.pass(time.Minute)
		for _, s := range p.stations { // or else the first one would not wait for the others
			s.take(votes(0, 1)...)
		}
		synctest.Wait()
		bad := votes(10, 11)
		bad[0].Choices = 1 << 40
		p.stations[0].take(append(votes(1, 10), bad...)...)
		p.stations[1].take(votes(11, 20)...)
		p.stations[2].take(votes(20, 30)...)
		p.pass(time.Second)
		p.wantRecorded(append(numbers(0, 10), numbers(11, 30)...)...)
		p.book.set(func(k *book) {
			if len(k.parked) != 1 || k.parked[0].Vote.Voter != voter(10) {
				p.Errorf("parked are %v, want the one vote that cannot be recorded", k.parked)
			}
		})
		p.wantIdle(p.stations...)
	})
}

// Looking for what is at fault in a batch is for its server alone, and takes no
// time that others wait for.
func TestABatchThatWasDividedIsNotRecordedTogetherWithOthers(t *testing.T) {
	distributed(t, 2, 2, nil, func(p *pipeline) {
		p.pass(time.Minute)
		p.stations[1].take(votes(0, 1)...)
		synctest.Wait()
		bad := votes(1, 90)
		for i := range 40 {
			bad[2*i].Choices = 1 << 40
		}
		p.stations[0].take(bad...)
		p.pass(linger + linger/4)
		p.wantIdle(p.stations[0])
	})
}

// A replay is given up when the worker is told to stop, a batch in hand is not.
func TestABatchInHandIsFinishedWhoeverItIsRecordedWith(t *testing.T) {
	distributed(t, 2, 2, nil, func(p *pipeline) {
		lost := p.loseCommits(numbers(0, 30))
		replay, gate := make(chan struct{}), make(chan struct{})
		p.stations[0].set(func(s *station) { s.replay = replay })
		lost()
		p.pass(10 * time.Second) // the replay has begun
		p.book.set(func(k *book) { k.gate = gate })
		p.stations[1].take(votes(100, 110)...) // they are being recorded
		p.pass(linger)
		close(replay) // what it brings waits for that
		synctest.Wait()
		p.stations[1].take(votes(110, 120)...) // and so do these, behind it
		p.pass(linger)
		p.stop()
		synctest.Wait()
		close(gate)
		if err := <-p.stopped; err != nil {
			p.Errorf("Run returned %v", err)
		}
		p.stations[1].set(func(s *station) {
			if s.released != 0 || len(s.held) > 0 {
				p.Errorf("of the votes in hand %d were given back and %d kept, want all recorded", s.released, len(s.held))
			}
		})
	})
}

// What is rejected is counted once, whoever brought it: and be it a worker that
// brought no vote, as with the last seal of a round.
func TestWhatIsRecordedTogetherWithASealIsCounted(t *testing.T) {
	distributed(t, 2, 2, nil, func(p *pipeline) {
		p.pass(time.Minute)
		p.stations[1].take(votes(0, 1)...)
		synctest.Wait()
		p.book.set(func(k *book) { k.rejects = true })
		p.stations[0].set(func(s *station) { s.seals[77] = time.Now() })
		synctest.Wait()
		p.stations[1].take(votes(1, 5)...)
		p.pass(time.Second)
		wantCount(p.T, p.metrics, "popeye_worker_votes_rejected_total", 4)
	})
}

func TestWhatIsRecordedTogetherIsCountedOnce(t *testing.T) {
	distributed(t, 2, 2, nil, func(p *pipeline) {
		p.pass(time.Minute)
		p.stations[0].take(votes(0, 1)...)
		synctest.Wait()
		p.book.set(func(k *book) { k.rejects = true })
		p.stations[0].take(votes(1, 5)...)
		p.stations[1].take(votes(1, 5)...)
		p.pass(time.Second)
		wantCount(p.T, p.metrics, "popeye_worker_votes_rejected_total", 4)
	})
}

func TestWhileATransactionHangsWhatWaitsForItIsTriedAgain(t *testing.T) {
	distributed(t, 2, 2, nil, func(p *pipeline) {
		p.pass(time.Minute)
		gate := make(chan struct{})
		p.book.set(func(k *book) { k.gate = gate })
		p.stations[0].take(votes(0, 1)...)
		synctest.Wait()
		p.stations[1].take(votes(1, 2)...)
		p.pass(time.Minute)
		p.wantRecorded()
		close(gate)
		p.pass(10 * time.Second)
		p.wantRecorded(0, 1)
		p.wantIdle(p.stations...)
	})
}

// A transaction lasts as long as any of those may wait who brought something, so
// another one's time may be over when it ends.
func TestWhatIsRecordedIsAcknowledgedThoughItsTimeIsOver(t *testing.T) {
	distributed(t, 3, 2, nil, func(p *pipeline) {
		p.pass(time.Minute)
		gate := make(chan struct{})
		p.book.set(func(k *book) { k.gate = gate })
		p.stations[0].take(votes(0, 1)...) // is being recorded, until Grace is over
		synctest.Wait()
		p.stations[1].take(votes(1, 2)...) // waits for that, as long
		p.pass(worker.Grace / 2)
		p.stations[2].take(votes(2, 3)...) // waits too, but may be recorded for longer
		p.pass(worker.Grace/2 + time.Second)
		p.wantRecorded()
		close(gate) // with the second transaction under way
		p.pass(time.Second)
		p.wantRecorded(0, 1, 2)
		p.wantIdle(p.stations...)
	})
}
