package redis_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"popeye"
	"popeye/internal/lab"
	"popeye/internal/lab/labtest"
	"popeye/internal/redis"
)

// voters cast again and again until each has an answer, and keep a journal.
type voters struct {
	t      *testing.T
	server *redis.Server
	next   atomic.Int64
	acked  atomic.Int64

	mu      sync.Mutex
	journal map[popeye.Voter]bool // whether it was acknowledged
}

// vote has so many goroutines cast until ctx is done.
func (v *voters) vote(ctx context.Context, goroutines int) *sync.WaitGroup {
	var all sync.WaitGroup
	for range goroutines {
		all.Go(func() {
			for ctx.Err() == nil {
				v.castOne(ctx, int(v.next.Add(1)))
			}
		})
	}
	return &all
}

func (v *voters) castOne(ctx context.Context, n int) {
	c := cast(n, 1, 100)
	v.note(c.Voter, false)
	for ctx.Err() == nil {
		a, err := v.server.Put(context.WithoutCancel(ctx), c, patience)
		if err == nil {
			if !a.Outcome.Stands() {
				v.t.Errorf("the cast got %q", a.Outcome)
			}
			v.note(c.Voter, true)
			v.acked.Add(1)
			return
		}
		if !errors.Is(err, popeye.ErrUnavailable) {
			v.t.Errorf("the cast got %v, want unavailable", err)
			return
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (v *voters) note(who popeye.Voter, acknowledged bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.journal[who] = acknowledged
}

func TestNothingAcknowledgedIsLostWhenTheServerIsKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	at, s := opened(t, redis.Config{Timeout: time.Second, Lease: soon})
	v := &voters{t: t, server: s, journal: make(map[popeye.Voter]bool)}
	ctx, cancel := context.WithCancel(limited(t))
	defer cancel()
	all := v.vote(ctx, 20)
	delivered := make(map[popeye.Voter]int)
	consumer := s.Consumer("c")
	var working sync.WaitGroup
	working.Go(func() { drainWhile(ctx, t, consumer, delivered) })
	for range 4 {
		before := v.acked.Load()
		until(t, "votes are acknowledged", func() bool { return v.acked.Load() > before+100 })
		labtest.Do(t, at.Kill)
		labtest.Start(t, at)
	}
	before := v.acked.Load()
	until(t, "votes are acknowledged", func() bool { return v.acked.Load() > before+100 })
	cancel()
	all.Wait()
	working.Wait()
	last := s.Consumer("last")
	drainAll(t, s, last, delivered)
	for who, acknowledged := range v.journal {
		if acknowledged && delivered[who] == 0 {
			t.Errorf("an acknowledged vote is lost")
		}
	}
	for who := range delivered {
		if _, cast := v.journal[who]; !cast {
			t.Errorf("a vote was delivered that nobody cast")
		}
	}
}

// drainAll receives and acknowledges until nothing is pending.
func drainAll(t *testing.T, s *redis.Server, consumer *redis.Consumer, delivered map[popeye.Voter]int) {
	t.Helper()
	until(t, "nothing is pending", func() bool {
		receiving, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		drainWhile(receiving, t, consumer, delivered)
		st, err := s.Status(limited(t)) // a server that has just been started may take its time
		return err == nil && st.Pending == 0
	})
}

// drainWhile receives and acknowledges until ctx is done.
func drainWhile(ctx context.Context, t *testing.T, consumer *redis.Consumer, delivered map[popeye.Voter]int) {
	t.Helper()
	for ctx.Err() == nil {
		ds, err := consumer.Receive(ctx, 50)
		if err != nil {
			continue
		}
		for _, d := range ds {
			delivered[d.Vote.Voter]++
		}
		if err := consumer.Ack(context.WithoutCancel(ctx), ds); err != nil && !errors.Is(err, popeye.ErrUnavailable) {
			t.Errorf("ack: %v", err)
		}
	}
}

func TestAServerThatDoesNotAnswerIsGivenUpAndFoundAgain(t *testing.T) {
	t.Parallel()
	for name, breakIt := range map[string]func(*lab.Link) error{"frozen": (*lab.Link).Freeze, "cut off": (*lab.Link).Cut} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := labtest.Redis(t)
			link := labtest.Link(t, at.Addr())
			s := open(t, at, redis.Config{Place: link.Addr(), Timeout: 3 * time.Second})
			publish(t, s, 1, round("p", 1, popeye.First))
			consumer := s.Consumer("c")
			putAll(t, s, 1, 1)
			ack(t, consumer, receiveAll(t, consumer, 1)...)

			labtest.Do(t, func() error { return breakIt(link) })
			_, err := s.Put(limited(t), cast(2, 1, 100), patience)
			wantError(t, err, popeye.ErrUnavailable)
			_, err = consumer.Receive(limited(t), 10)
			wantError(t, err, popeye.ErrUnavailable)
			_, err = s.Status(limited(t))
			wantError(t, err, popeye.ErrUnavailable)

			labtest.Do(t, link.Mend)
			until(t, "the vote is taken", func() bool { _, err := s.Put(limited(t), cast(2, 1, 100), patience); return err == nil })
			until(t, "the vote is delivered", func() bool {
				ds, err := consumer.Receive(limited(t), 10)
				return err == nil && len(ds) == 1 && ds[0].Vote.Voter == voter(2)
			})
		})
	}
}

func TestAServerNeedNotBeUpToBeOpened(t *testing.T) {
	t.Parallel()
	at := labtest.Redis(t)
	labtest.Do(t, at.Kill)
	s := open(t, at, redis.Config{})
	_, err := s.Put(limited(t), cast(1, 1, 100), patience)
	wantError(t, err, popeye.ErrUnavailable)
	labtest.Start(t, at)
	publish(t, s, 1, round("p", 1, popeye.First))
	putAll(t, s, 1, 1)
}

func TestACastThatWasGivenUpMayBeCastAgain(t *testing.T) {
	t.Parallel()
	at, s := opened(t, redis.Config{Timeout: patience})
	putAll(t, s, 1, 1)
	labtest.Do(t, at.Pause)
	_, err := s.Put(limited(t), cast(2, 1, 100), 50*time.Millisecond)
	wantError(t, err, popeye.ErrUnavailable)
	labtest.Do(t, at.Resume)
	if a, err := s.Put(limited(t), cast(2, 1, 100), patience); err != nil || !a.Outcome.Stands() {
		t.Fatalf("casting it again got %q, %v", a.Outcome, err)
	}
}

func TestAfterShutdownNothingIsTaken(t *testing.T) {
	t.Parallel()
	_, s := opened(t, redis.Config{})
	s.Shutdown()
	_, err := s.Put(limited(t), cast(1, 1, 100), patience)
	wantError(t, err, popeye.ErrUnavailable)
	_, err = s.Status(limited(t))
	wantError(t, err, popeye.ErrUnavailable)
	s.Shutdown()
}
