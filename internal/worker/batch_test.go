package worker_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"popeye"
)

func TestVotesComeInBatchesAndALoneVoteAtOnce(t *testing.T) {
	distributed(t, 1, 1, nil, func(p *pipeline) {
		s := p.stations[0]
		p.pass(time.Minute)
		idle := time.Now()
		s.take(votes(0, 1)...)
		synctest.Wait()
		p.wantRecorded(0)
		if took := time.Since(idle); took != 0 {
			p.Errorf("a lone vote waited %s", took)
		}
		p.pass(time.Minute)
		s.set(func(s *station) { s.began, s.sizes = nil, nil })
		for n := range 200 { // one each millisecond
			s.take(votes(n, n+1)...)
			p.pass(time.Millisecond)
		}
		s.set(func(s *station) {
			if len(s.sizes) > 12 {
				p.Errorf("200 votes in 200 ms came in batches of %v, want about one in %s", s.sizes, linger)
			}
			for i := 1; i < len(s.began); i++ {
				if pause := s.began[i].Sub(s.began[i-1]); pause < linger {
					p.Errorf("batch %d was received %s after the one before, want at least %s", i, pause, linger)
				}
			}
		})
	})
}

func TestNothingWaitsBehindAFullBatch(t *testing.T) {
	distributed(t, 1, 1, nil, func(p *pipeline) {
		p.pass(time.Minute)
		began := time.Now()
		p.stations[0].take(votes(0, 1000)...)
		synctest.Wait()
		p.wantRecorded(numbers(0, 1000)...)
		if took := time.Since(began); took != 0 {
			p.Errorf("ten full batches took %s, want no wait between them", took)
		}
	})
}

func TestWhatAConsumerHasBeyondAFullBatchDoesNotWaitForTheOther(t *testing.T) {
	grab := func(p *pipeline) { p.stations[0].grab = 250 }
	distributed(t, 1, 1, grab, func(p *pipeline) {
		p.pass(time.Minute)
		began := time.Now()
		p.stations[0].take(votes(0, 250)...)
		synctest.Wait()
		p.wantRecorded(numbers(0, 250)...)
		if took := time.Since(began); took != 0 {
			p.Errorf("it took %s, want no wait", took)
		}
	})
}

func TestTheNextBatchIsReceivedWhileOneIsRecorded(t *testing.T) {
	distributed(t, 1, 1, nil, func(p *pipeline) {
		s, gate := p.stations[0], make(chan struct{})
		p.book.set(func(k *book) { k.gate = gate })
		s.take(votes(0, 250)...)
		p.pass(linger)
		s.set(func(s *station) {
			if !slices.Equal(s.sizes, []int{100, 100}) {
				p.Errorf("while one batch is recorded, those received are of %v votes; want one more", s.sizes)
			}
		})
		close(gate)
		p.pass(linger)
		p.wantRecorded(numbers(0, 250)...)
	})
}

func TestABatchIsAcknowledgedWhenAllOfItIsRecordedAndItsProgressNoted(t *testing.T) {
	for name, guilty := range map[string][]int{
		"the first vote at fault": {0},
		"the last vote at fault":  {9},
		"several at fault":        {2, 3, 7},
		"all at fault":            numbers(0, 10),
	} {
		t.Run(name, func(t *testing.T) {
			distributed(t, 1, 1, nil, func(p *pipeline) {
				batch := votes(0, 10)
				for _, n := range guilty {
					batch[n].Choices = 1 << 40
				}
				p.stations[0].take(batch...) // the station objects to an Ack too early
				p.pass(time.Second)
				p.wantIdle(p.stations[0])
				p.book.set(func(k *book) {
					if len(k.votes) != 10-len(guilty) || len(k.parked) != len(guilty) {
						p.Errorf("recorded are %d and parked %d votes, want %d and %d",
							len(k.votes), len(k.parked), 10-len(guilty), len(guilty))
					}
					noted := slices.DeleteFunc(k.done[slices.Index(k.done, "progress"):], func(what string) bool { return what == "ring p" })
					if !slices.Equal(noted[:3], []string{"progress", "record", "ack"}) || slices.Contains(noted[3:], "park") {
						p.Errorf("done were %q, want progress noted with the last record, and then the acknowledgements", k.done)
					}
				})
			})
		})
	}
}

func TestWhateverIsAtFaultAndWhateverFailsAllVotesEndWhereTheyBelong(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			distributed(t, 1, 1, nil, func(p *pipeline) {
				const all = 300
				bad := 0
				batch := votes(0, all)
				for i := range batch {
					switch random.IntN(20) {
					case 0:
						batch[i].Choices = 1 << 40
						bad++
					case 1:
						batch[i].Round = 2 + random.Int64N(3) // there is none
						bad++
					}
				}
				p.book.set(func(k *book) { k.moody = rand.New(rand.NewPCG(seed, 2)) })
				for some := range slices.Chunk(batch, 60) {
					p.stations[0].take(some...)
					p.pass(time.Duration(random.IntN(100)) * time.Millisecond)
				}
				p.book.set(func(k *book) { k.moody = nil })
				p.pass(10 * time.Second)
				p.wantIdle(p.stations[0])
				p.book.set(func(k *book) {
					parked := make(map[popeye.Voter]bool)
					for _, v := range k.parked {
						parked[v.Vote.Voter] = true
					}
					if len(k.votes) != all-bad || len(parked) != bad {
						p.Errorf("recorded are %d and parked %d votes, want %d and %d", len(k.votes), len(parked), all-bad, bad)
					}
				})
			})
		})
	}
}

func TestTheVotesOfARoundThatIsGoneAreParkedTogether(t *testing.T) {
	distributed(t, 1, 1, nil, func(p *pipeline) {
		mixed := votes(0, 100)
		for i := range mixed {
			if i%3 > 0 {
				mixed[i].Round = 7
			}
		}
		p.book.set(func(k *book) { k.done = nil })
		p.stations[0].take(mixed...)
		p.pass(time.Second)
		p.book.set(func(k *book) {
			if n := count(k.done, "record") + count(k.done, "park"); n > 4 {
				p.Errorf("a batch with votes of a deleted poll took %d transactions: %q", n, k.done)
			}
			if len(k.parked) != 66 || k.parked[0].Reason != "no such round" {
				p.Errorf("parked are %d votes, want 66 for want of their round", len(k.parked))
			}
		})
		p.wantIdle(p.stations[0])
		p.wantMetric("popeye_worker_batches_total", "queue-0:6379", 1)
	})
}

func TestParkingRingsForThePollsThatItMoved(t *testing.T) {
	distributed(t, 1, 1, nil, func(p *pipeline) {
		bad := votes(0, 1)
		bad[0].Choices = 1 << 40
		p.book.set(func(k *book) { k.done = nil })
		p.stations[0].take(bad...)
		p.pass(time.Second)
		if log := p.book.log(); !slices.Equal(log, []string{"park", "ring p", "progress", "record", "ack"}) {
			p.Errorf("done were %q, want the poll rung for, and the progress recorded before the acknowledgement", log)
		}
	})
}
