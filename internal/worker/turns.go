package worker

import (
	"context"
	"sync"
	"time"
)

// beat is when servers begin batches: each of them once a beat, and all of them
// together, so that what they bring can be recorded together. The first to come
// after a linger makes it beat.
type beat struct {
	linger time.Duration

	mu    sync.Mutex
	count int64
	began time.Time
}

// next returns the number of the beat in which somebody may begin a batch who
// began the last one in that beat; or how long to wait before asking again.
func (b *beat) next(last int64) (number int64, rest time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	rest = b.linger - now.Sub(b.began)
	switch {
	case rest <= 0:
		b.count++
		b.began = now
	case b.count == last:
		return 0, rest
	}
	return b.count, 0
}

// turns let the consumers of one server receive one after the other, and no more
// than once a beat.
type turns struct {
	beat  *beat
	token chan struct{}
	// last is the beat of the last Receive, and full says whether that left more
	// behind. Both belong to whoever has the token.
	last int64
	full bool
}

// take waits for the caller's turn, and unless there is more to receive for its
// beat. It returns false when ctx is done first.
func (t *turns) take(ctx context.Context) bool {
	select {
	case t.token <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	number, rest := t.beat.next(t.last)
	for rest > 0 && !t.full && ctx.Err() == nil {
		wait(ctx, rest)
		number, rest = t.beat.next(t.last)
	}
	if ctx.Err() != nil {
		<-t.token
		return false
	}
	if rest <= 0 {
		t.last = number
	}
	return true
}

// give ends the turn. Full says that there was more to receive.
func (t *turns) give(full bool) {
	t.full = full
	<-t.token
}
