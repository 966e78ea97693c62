package memory_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"popeye"
	"popeye/internal/memory"
)

var errAway = errors.New("away")

func TestACastGivenUpBeforeItsDeliveryIsNeverRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := openRound(t, memory.QueueConfig{})
		first, giveUp := castWith(t, q, cast(7, 1, 100))
		behind, _ := castWith(t, q, cast(7, 2, 200))
		third, giveUpThird := castWith(t, q, cast(7, 4, 300))
		other, _ := castWith(t, q, cast(8, 1, 100))
		synctest.Wait()
		giveUp()
		giveUpThird()
		wantUnavailable(t, <-first)
		wantUnavailable(t, <-third)

		ds := receive(t, q, 10)
		got := []popeye.Stamp{ds[0].Vote.Stamp, ds[1].Vote.Stamp}
		slices.Sort(got)
		if len(ds) != 2 || !slices.Equal(got, []popeye.Stamp{100, 200}) {
			t.Fatalf("delivered were %+v, want the two casts that nobody gave up", ds)
		}
		ack(t, q, ds)
		wantOutcome(t, <-behind, popeye.Accepted)
		wantOutcome(t, <-other, popeye.Accepted)
	})
}

func TestACastGivenUpAfterItsDeliveryIsUnavailableAndMayStand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := openRound(t, memory.QueueConfig{})
		first, giveUp := castWith(t, q, cast(7, 1, 100))
		held := receive(t, q, 10)
		giveUp()
		wantUnavailable(t, <-first)
		again, _ := castWith(t, q, cast(7, 1, 100))
		ack(t, q, held)
		wantOutcome(t, <-again, popeye.Repeated)
	})
}

func TestACastGivenUpWhileMarksAreLookedUpIsNeverRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, answer := make(chan struct{}), make(chan struct{})
		q := openRound(t, memory.QueueConfig{Marks: func(context.Context, int64, []popeye.Voter) (map[popeye.Voter]popeye.Mark, error) {
			close(asked)
			<-answer
			return nil, nil
		}})
		given, giveUp := castWith(t, q, cast(7, 1, 100))
		kept, _ := castWith(t, q, cast(8, 1, 100))
		received := make(chan []popeye.Delivery)
		go func() { received <- receive(t, q, 10) }()
		<-asked
		giveUp()
		wantUnavailable(t, <-given)
		close(answer)
		ds := <-received
		if len(ds) != 1 || ds[0].Vote.Voter != voter(8) {
			t.Fatalf("delivered were %+v, want the cast that nobody gave up", ds)
		}
		ack(t, q, ds)
		wantOutcome(t, <-kept, popeye.Accepted)
	})
}

func TestReleasedCastersAreToldAtOnceAndThoseBehindThemGetTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := openRound(t, memory.QueueConfig{})
		first, _ := castWith(t, q, cast(7, 1, 100))
		held := receive(t, q, 10)
		second, _ := castWith(t, q, cast(7, 2, 200))
		synctest.Wait()
		if err := q.Release(t.Context(), held, errAway); err != nil {
			t.Fatalf("release: %v", err)
		}
		r := <-first
		wantUnavailable(t, r)
		if !errors.Is(r.err, errAway) {
			t.Errorf("the caster was told %v, want the cause in it", r.err)
		}
		ack(t, q, receive(t, q, 10))
		wantOutcome(t, <-second, popeye.Accepted)
	})
}

func TestMarksAreLookedUpOncePerRoundAndBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := make(map[int64][]int)
		q := memory.NewQueue(memory.QueueConfig{Marks: func(_ context.Context, round int64, voters []popeye.Voter) (map[popeye.Voter]popeye.Mark, error) {
			calls[round] = append(calls[round], len(voters))
			return nil, nil
		}})
		publish(t, q, round("p", 1), round("q", 2))
		for n := range 100 {
			castWith(t, q, cast(n, 1, 100))
			other := cast(n, 1, 100)
			other.Round = 2
			castWith(t, q, other)
		}
		synctest.Wait()
		if n := len(receive(t, q, 1000)); n != 200 {
			t.Errorf("received %d deliveries, want 200", n)
		}
		if !slices.Equal(calls[1], []int{100}) || !slices.Equal(calls[2], []int{100}) {
			t.Errorf("the marks were looked up in calls of %v and %v voters, want one call of 100 each", calls[1], calls[2])
		}
		closeQueue(t, q)
	})
}

func TestWhereMarksCannotBeLookedUpNothingIsAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failing := true
		q := openRound(t, memory.QueueConfig{Marks: func(context.Context, int64, []popeye.Voter) (map[popeye.Voter]popeye.Mark, error) {
			if failing {
				return nil, errAway
			}
			return nil, nil
		}})
		first, _ := castWith(t, q, cast(7, 1, 100))
		second, _ := castWith(t, q, cast(7, 1, 100))
		synctest.Wait()
		if ds, err := q.Receive(t.Context(), 10); !errors.Is(err, errAway) || len(ds) > 0 {
			t.Fatalf("Receive returned %d deliveries and %v, want the cause", len(ds), err)
		}
		wantUnavailable(t, <-first)
		failing = false
		ack(t, q, receive(t, q, 10))
		wantOutcome(t, <-second, popeye.Accepted)
	})
}

func TestCastsOnceTakenAreSeenThroughThoughReceiveIsToldToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		q := openRound(t, memory.QueueConfig{Marks: func(ctx context.Context, _ int64, _ []popeye.Voter) (map[popeye.Voter]popeye.Mark, error) {
			cancel()
			return nil, ctx.Err()
		}})
		taken, _ := castWith(t, q, cast(7, 1, 100))
		ds, err := q.Receive(ctx, 10)
		if err != nil {
			t.Fatalf("Receive lost what it had taken: %v", err)
		}
		ack(t, q, ds)
		wantOutcome(t, <-taken, popeye.Accepted)
	})
}

func TestASealThatNobodyNeedsAnyMoreIsNotDelivered(t *testing.T) {
	for what, next := range map[string][]popeye.Definition{
		"a poll that is deleted":              nil,
		"a round that is published as final":  {laterRound(popeye.Final, 3)},
		"a poll deleted in favour of another": {round("q", 2)},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := openRound(t, memory.QueueConfig{})
				publish(t, q, laterRound(popeye.Closed, 2))
				publish(t, q, next...)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if ds, err := q.Receive(ctx, 10); err == nil {
					t.Errorf("received %+v, want nothing", ds)
				}
			})
		})
	}
}

func TestCastsWaitingForAPollThatIsDeletedAreNotFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := openRound(t, memory.QueueConfig{})
		first, _ := castWith(t, q, cast(7, 1, 100))
		second, _ := castWith(t, q, cast(7, 2, 200))
		synctest.Wait()
		publish(t, q)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if ds, err := q.Receive(ctx, 10); err == nil {
			t.Fatalf("%d votes of a deleted poll were delivered", len(ds))
		}
		for _, c := range []<-chan result{first, second} {
			if r := <-c; !errors.Is(r.err, popeye.ErrNotFound) {
				t.Errorf("a cast for a deleted poll got %v, want not found", r.err)
			}
		}
	})
}

func TestThoseBehindAnEarlierCastCountAsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := openRound(t, memory.QueueConfig{Capacity: 3})
		for voter := range 2 { // those of the first make room for those of the second
			var casts []<-chan result
			for s := range 3 {
				c, _ := castWith(t, q, cast(voter, 1, popeye.Stamp(100+s)))
				casts = append(casts, c)
			}
			if _, err := q.Enqueue(t.Context(), cast(9, 1, 100)); !errors.Is(err, popeye.ErrFull) {
				t.Fatalf("the fourth of three casts got %v, want full", err)
			}
			ack(t, q, receive(t, q, 10))
			for i, want := range []popeye.Outcome{popeye.Accepted, popeye.Repeated, popeye.Repeated} {
				wantOutcome(t, <-casts[i], want)
			}
		}
		last, _ := castWith(t, q, cast(9, 1, 100))
		ack(t, q, receive(t, q, 10))
		wantOutcome(t, <-last, popeye.Accepted)
	})
}

func TestRoomIsGivenBackHoweverACastLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := openRound(t, memory.QueueConfig{Capacity: 2})
		for range 10 {
			first, giveUpFirst := castWith(t, q, cast(7, 1, 100))
			second, giveUpSecond := castWith(t, q, cast(7, 1, 100))
			synctest.Wait()
			giveUpFirst()
			wantUnavailable(t, <-first)
			giveUpSecond()
			wantUnavailable(t, <-second)
		}
		last, _ := castWith(t, q, cast(7, 1, 100))
		ack(t, q, receive(t, q, 10))
		wantOutcome(t, <-last, popeye.Accepted)
	})
}

func TestEveryVoteIsConfirmedWhereThereIsOneQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := openRound(t, memory.QueueConfig{})
		c := cast(7, 1, 100)
		c.Unconfirmed = true
		done, _ := castWith(t, q, c)
		held := receive(t, q, 10)
		if len(held) != 1 || held[0].Vote.Unconfirmed {
			t.Fatalf("delivered were %+v, want one vote that is confirmed", held)
		}
		ack(t, q, held)
		if r := <-done; r.err != nil || r.answer.Mark.Unconfirmed {
			t.Fatalf("the cast got %+v and %v, want a mark that is confirmed", r.answer, r.err)
		}
	})
}

func TestCloseEndsEveryone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := openRound(t, memory.QueueConfig{})
		held, _ := castWith(t, q, cast(7, 1, 100))
		ds := receive(t, q, 10)
		behind, _ := castWith(t, q, cast(7, 1, 100))
		waiting, _ := castWith(t, q, cast(8, 1, 100))
		synctest.Wait()
		closeQueue(t, q)
		closeQueue(t, q)
		for _, c := range []<-chan result{held, behind, waiting} {
			wantUnavailable(t, <-c)
		}
		if _, err := q.Enqueue(t.Context(), cast(9, 1, 100)); !errors.Is(err, popeye.ErrUnavailable) {
			t.Errorf("a cast after Close got %v, want unavailable", err)
		}
		if _, err := q.Receive(t.Context(), 10); !errors.Is(err, popeye.ErrUnavailable) {
			t.Errorf("Receive after Close returned %v, want unavailable", err)
		}
		ack(t, q, ds)
	})
}

func TestARoundSealedStaysClosedWhateverIsPublished(t *testing.T) {
	q := openRound(t, memory.QueueConfig{})
	publish(t, q, laterRound(popeye.Closed, 2))
	publish(t, q, laterRound(popeye.Open, 3))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := q.Enqueue(ctx, cast(7, 1, 100)); !errors.Is(err, popeye.ErrClosed) {
		t.Fatalf("a cast behind the seal got %v, want closed", err)
	}
}

func TestTheClockOpensAndClosesARoundThatNobodyPublishesAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opens := time.Now()
		closes, now := opens.Add(time.Hour), opens
		q := memory.NewQueue(memory.QueueConfig{Now: func() time.Time { return now }})
		d := round("p", 1)
		d.Opens, d.Closes = opens, closes
		publish(t, q, d)
		for n, at := range []struct {
			now  time.Time
			open bool
		}{{opens.Add(-1), false}, {opens, true}, {closes.Add(-1), true}, {closes, false}} {
			now = at.now
			cast, _ := castWith(t, q, cast(n, 1, 100))
			if at.open {
				ack(t, q, receive(t, q, 10))
			}
			if r := <-cast; errors.Is(r.err, popeye.ErrClosed) == at.open {
				t.Errorf("a cast %v after opening got %v, want open: %v", at.now.Sub(opens), r.err, at.open)
			}
		}
	})
}

func TestWhatOneWorkerLeavesAnotherReceives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := openRound(t, memory.QueueConfig{})
		for n := range 3 {
			castWith(t, q, cast(n, 1, 100))
		}
		var workers sync.WaitGroup
		for range 3 {
			workers.Go(func() { ack(t, q, receive(t, q, 1)) })
		}
		workers.Wait()
	})
}

func TestWhoeverIsBehindAFailedCastIsReceivedByAWorkerThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := openRound(t, memory.QueueConfig{})
		first, _ := castWith(t, q, cast(7, 1, 100))
		held := receive(t, q, 1)
		second, _ := castWith(t, q, cast(7, 1, 100))
		var other sync.WaitGroup
		other.Go(func() { ack(t, q, receive(t, q, 1)) })
		synctest.Wait()
		if err := q.Release(t.Context(), held, errAway); err != nil {
			t.Fatalf("release: %v", err)
		}
		wantUnavailable(t, <-first)
		wantOutcome(t, <-second, popeye.Accepted)
		other.Wait()
	})
}
