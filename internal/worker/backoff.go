package worker

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	firstPause   = 50 * time.Millisecond
	longestPause = 2 * time.Second
)

// backoff is how long to wait after failures in a row: a random part of a
// pause that doubles, so that many workers do not come back all at once. The
// zero value has seen no failure.
type backoff struct {
	pause time.Duration
}

// after returns how long to wait after err, zero when it is nil.
func (b *backoff) after(err error) time.Duration {
	if err == nil {
		b.pause = 0
		return 0
	}
	b.pause = min(max(2*b.pause, firstPause), longestPause)
	return rand.N(b.pause) + 1 //nolint:gosec // spreads load, guards nothing
}

// wait waits for d, or until ctx is done.
func wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// waitOr waits for d, until the signal is given, or until ctx is done.
func waitOr(ctx context.Context, given signal, d time.Duration) {
	select {
	case <-time.After(d):
	case <-given:
	case <-ctx.Done():
	}
}
