package worker_test

import (
	"testing"
	"testing/synctest"
	"time"
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
		for _, s := range p.stations {
			p.wantIdle(s)
		}
	})
}

func TestALoneVoteWaitsForNoOtherServer(t *testing.T) {
	distributed(t, 3, 2, nil, func(p *pipeline) {
		p.pass(time.Minute)
		began := time.Now()
		p.stations[1].take(votes(0, 1)...)
		synctest.Wait()
		p.wantRecorded(0)
		if took := time.Since(began); took != 0 {
			p.Errorf("it took %s, want no wait", took)
		}
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
		began := time.Now()
		close(gate)
		synctest.Wait()
		p.wantRecorded(numbers(0, 3000)...)
		if took := time.Since(began); took != 0 {
			p.Errorf("ten full batches from each of three servers took %s, want no wait between them", took)
		}
	})
}

func TestAServerWithoutVotesDelaysTheOthersByAQuarterOfALingerAtMost(t *testing.T) {
	distributed(t, 3, 2, nil, func(p *pipeline) {
		p.pass(time.Minute)
		for n := range 100 { // one each millisecond, and none to the third
			p.stations[n%2].take(votes(n, n+1)...)
			p.pass(time.Millisecond)
		}
		p.pass(linger + linger/4)
		p.wantRecorded(numbers(0, 100)...)
	})
}

func TestAVoteThatCannotBeRecordedKeepsThoseOfOtherServersFromNothing(t *testing.T) {
	distributed(t, 3, 2, nil, func(p *pipeline) {
		p.pass(time.Minute)
		for _, s := range p.stations { // or else the first one would not wait for the others
			s.take(votes(0, 1)...)
		}
		synctest.Wait()
		p.book.set(func(k *book) { k.done = nil })
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
		for _, s := range p.stations {
			p.wantIdle(s)
		}
	})
}

// What is rejected is counted once, whoever brought it.
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
		for _, s := range p.stations {
			p.wantIdle(s)
		}
	})
}
