package quorum

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// errResting is why a server was not asked.
var errResting = errors.New("left alone for a while after failing")

// breaker keeps casts from waiting for a server that fails: after a failure it
// rests, then one cast tries it, and only if that succeeds do others follow.
type breaker struct {
	rest  time.Duration
	now   func() time.Time
	began time.Time
	log   *slog.Logger
	// until is when the rest ends, in nanoseconds since began. Zero: there is none.
	until atomic.Int64
}

// admits reports whether a cast may go to the server. Behind the end of a rest
// it says so to one cast, and begins another rest for all others.
func (b *breaker) admits() bool {
	until := b.until.Load()
	if until == 0 {
		return true
	}
	now := b.elapsed()
	return now >= until && b.until.CompareAndSwap(until, now+b.pause())
}

// isResting reports whether the server is not to be asked now.
func (b *breaker) isResting() bool {
	until := b.until.Load()
	return until != 0 && b.elapsed() < until
}

// succeed ends the rest.
func (b *breaker) succeed(ctx context.Context) {
	if b.until.Load() != 0 && b.until.Swap(0) != 0 {
		b.log.InfoContext(ctx, "queue server takes votes again")
	}
}

// fail begins a rest.
func (b *breaker) fail(ctx context.Context, err error) {
	if b.until.Swap(b.elapsed()+b.pause()) == 0 {
		b.log.WarnContext(ctx, "queue server fails and is left alone for a while", "error", err)
	}
}

// hasten ends a rest so far that the next cast tries the server.
func (b *breaker) hasten() {
	if until := b.until.Load(); until > 1 {
		b.until.CompareAndSwap(until, 1)
	}
}

// pause is the length of a rest. It varies, so that not all processes try a
// server again at the same moment.
func (b *breaker) pause() int64 {
	return int64(b.rest/2 + rand.N(b.rest)) //nolint:gosec // spreads load, guards nothing
}

// elapsed is never zero, which stands for no rest.
func (b *breaker) elapsed() int64 { return max(1, int64(b.now().Sub(b.began))) }
