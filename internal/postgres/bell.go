package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// channel is where rings are heard, in one database.
	channel = "popeye"
	// quiet is for how long, after a ring for a poll, further ones for it merge
	// into one.
	quiet = 50 * time.Millisecond
	// ringWithin bounds how long a merged ring may take, and again is how long to
	// wait after one that failed.
	ringWithin = 5 * time.Second
	again      = time.Second
)

// Bell tells all processes on a database which polls have changed. Rings go
// through the store's connections, each in a transaction of its own: one that
// notifies makes every other such transaction wait while it commits, and votes
// must not wait for that.
type Bell struct {
	store *Store
	log   *slog.Logger

	mu sync.Mutex
	// rung are the polls that were rung for lately.
	rung map[string]*ring
	// merging: a goroutine rings for what was rung for again.
	merging bool
	works   sync.WaitGroup
	closing chan struct{}
	close   sync.Once
}

// ring is what is to be known of a poll that was rung for.
type ring struct {
	// until is when the next ring may go out.
	until time.Time
	// again: it was rung for since, and nobody was told.
	again bool
}

// NewBell returns a bell on a store's database.
func NewBell(s *Store, log *slog.Logger) *Bell {
	return &Bell{store: s, log: log, rung: make(map[string]*ring), closing: make(chan struct{})}
}

// Shutdown sends the rings that wait. Ring may be called no more. It comes before
// the store's.
func (b *Bell) Shutdown() {
	b.close.Do(func() { close(b.closing) })
	b.works.Wait()
}

// Ring says that something shown of these polls changed. The first ring for a
// poll goes out at once; those that follow within 50 ms merge into one, which
// goes out when these are over. That one is never dropped: where it fails it is
// repeated. It fails, with an error that wraps popeye.ErrUnavailable, where the
// first did; then it is repeated too. Several goroutines may ring.
func (b *Bell) Ring(ctx context.Context, polls ...string) error {
	now := b.first(polls)
	if len(now) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := b.notify(ctx, now); err != nil {
		b.failed(now)
		return fmt.Errorf("ring for %d polls: %w", len(now), unavailable(err))
	}
	return nil
}

// notify tells all listeners.
func (b *Bell) notify(ctx context.Context, polls []string) error {
	return b.store.retry(ctx, func(ctx context.Context) error {
		_, err := b.store.pool.Exec(ctx, "SELECT pg_notify($1, poll) FROM unnest($2::text[]) AS poll", channel, polls)
		return err
	})
}

// first returns the polls to ring for at once, and has those rung for later that
// were rung for lately.
func (b *Bell) first(polls []string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(b.rung, func(_ string, r *ring) bool { return !r.again && !now.Before(r.until) })
	var first []string
	for _, p := range polls {
		if r, ok := b.rung[p]; ok {
			r.again = true
			b.merge()
			continue
		}
		b.rung[p] = &ring{until: now.Add(quiet)}
		first = append(first, p)
	}
	return first
}

// failed has polls rung for again, not too soon.
func (b *Bell) failed(polls []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range polls {
		b.rung[p] = &ring{until: time.Now().Add(again), again: true}
	}
	b.merge()
}

// merge sees to it that somebody rings for what was rung for again. Its caller
// holds the lock.
func (b *Bell) merge() {
	if !b.merging {
		b.merging = true
		b.works.Go(b.repeat)
	}
}

// repeat rings for what was rung for again until there is nothing more.
func (b *Bell) repeat() {
	for {
		pause, more := b.untilNext()
		if !more {
			return
		}
		last := b.pause(pause)
		ctx, cancel := context.WithTimeout(context.Background(), ringWithin)
		if polls := b.due(last); len(polls) > 0 {
			if err := b.notify(ctx, polls); err != nil && !last {
				b.log.WarnContext(ctx, "a ring was not sent and will be repeated", "polls", len(polls), "error", err)
				b.failed(polls)
			}
		}
		cancel()
	}
}

// pause waits for d. It returns at once, and true, when the bell is shut down.
func (b *Bell) pause(d time.Duration) (last bool) {
	select {
	case <-time.After(d):
		return false
	case <-b.closing:
		return true
	}
}

// untilNext returns how long to wait for the next ring, or false when there is
// none to wait for.
func (b *Bell) untilNext() (time.Duration, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	waiting := b.waiting()
	if len(waiting) == 0 {
		b.merging = false
		return 0, false
	}
	next := slices.MinFunc(waiting, func(p, q string) int { return b.rung[p].until.Compare(b.rung[q].until) })
	return time.Until(b.rung[next].until), true
}

// due returns the polls for which it is time to ring again, or all that wait.
func (b *Bell) due(all bool) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	due := b.waiting()
	if !all {
		due = slices.DeleteFunc(due, func(p string) bool { return now.Before(b.rung[p].until) })
	}
	for _, p := range due {
		b.rung[p] = &ring{until: now.Add(quiet)}
	}
	return due
}

// waiting returns the polls that were rung for and nobody was told of. Its caller
// holds the lock.
func (b *Bell) waiting() []string {
	var polls []string
	for p, r := range b.rung {
		if r.again {
			polls = append(polls, p)
		}
	}
	return polls
}
