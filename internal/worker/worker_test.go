package worker_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"popeye"
	"popeye/internal/lab/labtest"
)

func TestMain(m *testing.M) { labtest.Main(m) }

var errDisk = errors.New("the disk is full")

func TestACasterIsAnsweredOnlyAfterTheVoteIsRecordedAndRungFor(t *testing.T) {
	bench(t, newBook(poll("p", 1)), func(b *running) {
		b.book.set(func(k *book) { k.done = nil })
		b.wantAccepted(cast(1, 7, 1))
		b.wantLog("record", "ring p", "ack")
	})
}

func TestWhileTheStoreIsAwayCastersAreToldAndNothingIsLostWhenItReturns(t *testing.T) {
	bench(t, newBook(poll("p", 1)), func(b *running) {
		b.book.set(func(k *book) { k.away = errDisk })
		if _, err := b.queue.Enqueue(b.Context(), cast(1, 7, 1)); !errors.Is(err, popeye.ErrUnavailable) {
			b.Fatalf("a cast while the store was away got %v, want unavailable", err)
		}
		if err := b.worker.Ready(); !errors.Is(err, errDisk) {
			b.Errorf("the worker is ready with %v, want what the store failed with", err)
		}
		b.book.set(func(k *book) { k.away = nil })
		b.wantAccepted(cast(1, 7, 1))
		if err := b.worker.Ready(); err != nil {
			b.Errorf("with the store back, the worker is not ready: %v", err)
		}
	})
}

func TestAfterAFailureTheWorkerTakesNothingForAWhile(t *testing.T) {
	bench(t, newBook(poll("p", 1)), func(b *running) {
		b.book.set(func(k *book) { k.away = errDisk })
		began, tries := time.Now(), 0
		for time.Since(began) < time.Minute {
			if _, err := b.queue.Enqueue(b.Context(), cast(1, tries, 1)); !errors.Is(err, popeye.ErrUnavailable) {
				b.Fatalf("a cast got %v, want unavailable", err)
			}
			tries++
		}
		if tries > 200 {
			b.Errorf("the worker tried %d times in a minute, want pauses of a second on average", tries)
		}
	})
}

func TestAVoteThatCanNeverBeRecordedIsParkedAndHoldsBackNoOther(t *testing.T) {
	const voters, guilty = 100, 61
	bench(t, newBook(poll("p", 1)), func(b *running) {
		b.book.set(func(k *book) { k.gate = make(chan struct{}) })
		answers := make(chan error, voters)
		for n := range voters {
			c := cast(1, n, 1)
			if n == guilty {
				c.Choices = 1 << 40
			}
			go func() {
				_, err := b.queue.Enqueue(b.Context(), c)
				answers <- err
			}()
		}
		synctest.Wait()
		close(b.book.gate)
		for range voters {
			if err := <-answers; err != nil {
				b.Errorf("a caster got %v", err)
			}
		}
		if n := len(b.book.votes); n != voters-1 {
			b.Errorf("%d votes are recorded, want %d", n, voters-1)
		}
		if len(b.book.parked) != 1 || b.book.parked[0].Vote.Voter != voter(guilty) {
			b.Errorf("parked are %d votes, want the one that cannot be recorded", len(b.book.parked))
		}
		wantCount(b.T, b.metrics, "popeye_worker_votes_parked_total", 1)
		wantCount(b.T, b.metrics, "popeye_worker_votes_recorded_total", voters-1)
	})
}

func TestWhereParkingFailsTheCastersOfTheWholeBatchAreTold(t *testing.T) {
	bench(t, newBook(poll("p", 1)), func(b *running) {
		gate := make(chan struct{})
		b.book.set(func(k *book) { k.gate, k.fails["park"] = gate, errDisk })
		var answers []<-chan error
		for n := range 10 {
			answers = append(answers, b.castLater(cast(1, n, 1<<40)))
		}
		synctest.Wait()
		close(gate)
		for _, answer := range answers {
			if err := <-answer; !errors.Is(err, popeye.ErrUnavailable) {
				b.Errorf("a caster got %v, want unavailable", err)
			}
		}
	})
}

func TestARoundIsClosedAndMadeFinalAtItsTimeByItself(t *testing.T) {
	d := poll("p", 1)
	bench(t, newBook(), func(b *running) {
		d.Closes = time.Now().Add(time.Hour + time.Millisecond)
		b.book.define(d)
		b.sync()
		b.wantAccepted(cast(1, 7, 1))
		b.book.set(func(k *book) { k.done = nil })

		<-time.After(time.Hour)
		synctest.Wait()
		if s := b.book.state(); s != popeye.Open {
			b.Fatalf("before its closing time the round is %s", s)
		}
		<-time.After(time.Millisecond)
		synctest.Wait()
		b.wantLog("close", "ring p", "finalise", "ring p", "ack")
		if s := b.queue.Catalog().Find("p").State; s != popeye.Final {
			b.Errorf("the queue was told that the round is %s, want final", s)
		}
	})
}

func TestAClosingTimeJustAnnouncedIsKept(t *testing.T) {
	bench(t, newBook(), func(b *running) {
		d := poll("p", 1)
		d.Closes = time.Now().Add(300 * time.Millisecond)
		b.book.define(d)
		b.sync()
		<-time.After(300 * time.Millisecond)
		synctest.Wait()
		if s := b.book.state(); s != popeye.Final {
			b.Errorf("at its closing time the round is %s, want final", s)
		}
	})
}

func TestASealBesideVotesThatCannotBeRecordedComesAgain(t *testing.T) {
	bench(t, newBook(poll("p", 1), poll("q", 2)), func(b *running) {
		gate := make(chan struct{})
		b.book.set(func(k *book) { k.gate = gate })
		first := b.castLater(cast(2, 1, 1))
		synctest.Wait()
		second := b.castLater(cast(2, 2, 1))
		if err := b.book.Close(b.Context(), 1); err != nil {
			b.Fatalf("close: %v", err)
		}
		b.sync()
		b.book.set(func(k *book) { k.away = errDisk })
		close(gate)
		for _, answer := range []<-chan error{first, second} {
			if err := <-answer; !errors.Is(err, popeye.ErrUnavailable) {
				b.Errorf("a caster got %v, want unavailable", err)
			}
		}
		b.book.set(func(k *book) { k.away = nil })
		<-time.After(10 * time.Second)
		if s := b.book.state(); s != popeye.Final {
			b.Errorf("the round is %s, want final", s)
		}
	})
}

func TestARoundIsMadeFinalOnlyAfterItsLastVoteIsRecorded(t *testing.T) {
	bench(t, newBook(poll("p", 1)), func(b *running) {
		gate := make(chan struct{})
		b.book.set(func(k *book) { k.gate, k.done = gate, nil })
		first := b.castLater(cast(1, 7, 1))
		second := b.castLater(cast(1, 8, 1))
		synctest.Wait()
		if err := b.book.Close(b.Context(), 1); err != nil {
			b.Fatalf("close: %v", err)
		}
		b.sync()
		synctest.Wait()
		if s := b.book.state(); s != popeye.Closed {
			b.Fatalf("with votes in flight the round is %s, want closed", s)
		}
		close(gate)
		for _, answer := range []<-chan error{first, second} {
			if err := <-answer; err != nil {
				b.Errorf("a vote cast before the closing got %v", err)
			}
		}
		synctest.Wait()
		log := b.log()
		last := len(log) - 1 - slices.Index(reversed(log), "record")
		if slices.Index(log, "finalise") < last {
			b.Errorf("done were %v, want no record after finalise", log)
		}
	})
}

func TestASealThatCannotBeFollowedYetIsTriedAgain(t *testing.T) {
	bench(t, newBook(poll("p", 1)), func(b *running) {
		b.book.set(func(k *book) { k.fails["finalise"] = errDisk })
		if err := b.book.Close(b.Context(), 1); err != nil {
			b.Fatalf("close: %v", err)
		}
		b.sync()
		<-time.After(10 * time.Second)
		if s := b.book.state(); s != popeye.Closed {
			b.Fatalf("the round is %s, want closed", s)
		}
		b.book.set(func(k *book) { k.fails["finalise"] = nil })
		<-time.After(10 * time.Second)
		if s := b.book.state(); s != popeye.Final {
			b.Errorf("the round is %s, want final", s)
		}
	})
}

func TestTheSealOfADeletedPollIsDoneWith(t *testing.T) {
	d := poll("p", 1)
	d.State = popeye.Closed
	bench(t, newBook(), func(b *running) {
		if err := b.queue.Publish(b.Context(), popeye.NewCatalog(1, []popeye.Definition{d})); err != nil {
			b.Fatalf("publish: %v", err)
		}
		synctest.Wait()
		if log := b.log(); !slices.Contains(log, "ack") {
			b.Errorf("done were %v, want the seal acknowledged", log)
		}
	})
}

func TestAfterSyncCastsAreTakenByWhatTheStoreHolds(t *testing.T) {
	bench(t, newBook(poll("p", 1)), func(b *running) {
		b.book.define(poll("p", 1), poll("q", 2))
		b.book.set(func(k *book) { k.done = nil })
		b.sync()
		b.wantLog("ring q")
		b.wantAccepted(cast(2, 7, 1))

		b.book.define(poll("q", 2))
		b.book.set(func(k *book) { k.done = nil })
		b.sync()
		b.wantLog("ring p")
		if _, err := b.queue.Enqueue(b.Context(), cast(1, 7, 1)); !errors.Is(err, popeye.ErrNotFound) {
			b.Errorf("a cast for a deleted poll got %v, want not found", err)
		}
		b.book.set(func(k *book) { k.done = nil })
		b.sync()
		b.wantLog()
	})
}

func TestAChangeThatNobodyAnnouncesIsFoundWithinTwoSeconds(t *testing.T) {
	bench(t, newBook(), func(b *running) {
		b.book.define(poll("p", 1))
		<-time.After(2 * time.Second)
		synctest.Wait()
		b.wantAccepted(cast(1, 7, 1))
	})
}

func TestTheWorkerWaitsForAStoreThatIsAwayWhenItStarts(t *testing.T) {
	k := newBook(poll("p", 1))
	k.away = errDisk
	bench(t, k, func(b *running) {
		if err := b.worker.Ready(); err == nil {
			b.Error("the worker is ready without a store")
		}
		if err := b.worker.Sync(b.Context()); !errors.Is(err, errDisk) {
			b.Errorf("Sync returned %v, want what the store failed with", err)
		}
		k.set(func(k *book) { k.away = nil })
		<-time.After(2 * time.Second)
		synctest.Wait()
		if err := b.worker.Ready(); err != nil {
			b.Errorf("with the store back, the worker is not ready: %v", err)
		}
		b.wantAccepted(cast(1, 7, 1))
	})
}

func TestTheBatchInHandIsFinishedWhenTheWorkerIsToldToStop(t *testing.T) {
	bench(t, newBook(poll("p", 1)), func(b *running) {
		gate := make(chan struct{})
		b.book.set(func(k *book) { k.gate = gate })
		answer := b.castLater(cast(1, 7, 1))
		synctest.Wait()
		b.stop()
		synctest.Wait()
		select {
		case err := <-b.stopped:
			b.Fatalf("the worker has stopped with a batch in hand: %v", err)
		default:
		}
		close(gate)
		if err := <-answer; err != nil {
			b.Errorf("the caster got %v", err)
		}
		if err := <-b.stopped; err != nil {
			b.Errorf("Run returned %v", err)
		}
	})
}

func TestMetricsNameNobodyAndNothingChosen(t *testing.T) {
	bench(t, newBook(poll("p", 1)), func(b *running) {
		b.wantAccepted(cast(1, 7, 1))
		families, err := b.metrics.Gather()
		if err != nil {
			b.Fatalf("gather: %v", err)
		}
		if len(families) == 0 {
			b.Fatal("there are no metrics")
		}
		for _, f := range families {
			if !strings.HasPrefix(f.GetName(), "popeye_worker_") {
				b.Errorf("a metric is named %s", f.GetName())
			}
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					if l.GetName() != "op" && l.GetName() != "place" {
						b.Errorf("%s has a label %s", f.GetName(), l.GetName())
					}
				}
			}
		}
	})
}
