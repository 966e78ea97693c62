package result

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"popeye"
)

// lookEvery is the time between two looks at how far the store is behind.
const lookEvery = time.Second

// freshness is what is known of how far the store is behind the queue. It is
// found out once for the whole role, however many look on.
type freshness struct {
	mu sync.Mutex
	// since is from when on votes may be missing, zero when none are.
	since time.Time
	// answered is when the store answered last, zero: never.
	answered time.Time
	// trouble is why it did not answer the last time, nil when it did.
	trouble error
}

// note takes down what the store has said at now, and reports whether it has
// fallen behind, or caught up, since it was asked before.
func (f *freshness) note(now time.Time, lag time.Duration, err error) (turned bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.since.IsZero()
	f.trouble = err
	switch {
	case err == nil:
		f.answered, f.since = now, time.Time{}
		if lag > 0 {
			f.since = now.Add(-lag)
		}
	case was && f.answered.IsZero():
		f.since = now
	case was:
		f.since = f.answered
	}
	return was != f.since.IsZero()
}

// stale returns for how long votes may be missing at now: zero, or a second at
// least.
func (f *freshness) stale(now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return staleSince(f.since, now)
}

// staleSince is for how long something has been stale that is since then, zero
// for the zero time.
func staleSince(since, now time.Time) time.Duration {
	if since.IsZero() {
		return 0
	}
	return max(now.Sub(since), time.Second)
}

func (f *freshness) ready() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case !f.answered.IsZero():
		return nil
	case f.trouble != nil:
		return fmt.Errorf("waiting for the database: %w", f.trouble)
	default:
		return errors.New("waiting for the database")
	}
}

// watch looks how far the store is behind, until ctx is done.
func (s *Result) watch(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		s.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// look asks the store once, and has the viewers told when the answer is another
// one. Boards that could not be read are read again as soon as the store answers.
func (s *Result) look(ctx context.Context) {
	asking, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	lag, err := s.cfg.Store.Lag(asking)
	if ctx.Err() != nil {
		return
	}
	turned := s.fresh.note(s.cfg.Now(), lag, err)
	switch {
	case turned && err != nil:
		s.cfg.Log.WarnContext(ctx, "the store does not answer", "error", err)
	case turned && lag > 0:
		s.cfg.Log.WarnContext(ctx, "the store is behind the queue", "lag", lag)
	case turned:
		s.cfg.Log.InfoContext(ctx, "results are up to date")
	}
	for _, b := range s.concerned(popeye.EveryPoll) {
		switch {
		case err == nil && b.isFailing():
			b.retry()
		case turned:
			b.tell()
		}
	}
}
