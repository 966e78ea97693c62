package result

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"popeye"
)

// readTimeout bounds one reading of a tally.
const readTimeout = 5 * time.Second

// board is one poll's result as this process knows it, and those who look at
// it. It reads the store only when the bell has rung and somebody looks.
type board struct {
	role *Result
	poll string

	// dirty: the bell has rung since the last reading.
	dirty atomic.Bool
	// bell wakes the publisher. Capacity 1: rings merge.
	bell chan struct{}
	// start starts the publisher with the first viewer.
	start sync.Once

	mu sync.Mutex
	// last is what was read last, nil before the first time and after the poll
	// was deleted. Its version never falls.
	last *snapshot
	// sent is what every viewer was sent, or a newer one.
	sent *snapshot
	// failing is since when the store could not be read, zero when it could.
	failing time.Time
	viewers map[*viewer]struct{}
}

func newBoard(role *Result, poll string) *board {
	b := &board{role: role, poll: poll, bell: make(chan struct{}, 1), viewers: map[*viewer]struct{}{}}
	b.dirty.Store(true)
	return b
}

// ring notes that the result has changed. It never blocks.
func (b *board) ring() {
	b.dirty.Store(true)
	select {
	case b.bell <- struct{}{}:
	default:
	}
}

// current returns the result with everything in it that rang before the call.
// While the store cannot be read it returns the last one known, if any.
func (b *board) current(ctx context.Context) (*snapshot, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.read(ctx)
}

// read is current for those who hold the lock.
func (b *board) read(ctx context.Context) (*snapshot, error) {
	if !b.dirty.Swap(false) {
		return b.last, nil
	}
	next, err := b.fetch(ctx)
	switch {
	case errors.Is(err, popeye.ErrNotFound):
		b.forget()
		return nil, err
	case err != nil:
		b.dirty.Store(true)
		if b.failing.IsZero() {
			b.failing = b.role.Now()
			b.role.Log.WarnContext(ctx, "the result cannot be read", "poll", b.poll, "error", err)
		}
		if b.last == nil {
			return nil, err
		}
		return b.last, nil
	}
	b.failing = time.Time{}
	if b.last == nil || next.tally.Version > b.last.tally.Version {
		b.last = next
	}
	return b.last, nil
}

func (b *board) fetch(ctx context.Context) (*snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	tally, err := b.role.Store.Tally(ctx, b.poll)
	if err != nil {
		return nil, err
	}
	return newSnapshot(tally)
}

// forget is for a poll that was deleted: its viewers are told so, and the next
// one to ask begins with a new board.
func (b *board) forget() {
	b.last = nil
	b.role.forget(b)
	b.dismissLocked(frameOf("gone", "", []byte("{}")))
}

// stale returns for how long the store could not be read.
func (b *board) stale() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failing.IsZero() {
		return 0
	}
	return b.role.Now().Sub(b.failing)
}

// publish sends what changes to the viewers until the role ends: the first
// change of a quiet moment at once, then no more than one frame an interval,
// the last never dropped. While nothing changes it does nothing but heartbeats.
func (b *board) publish() {
	defer b.role.work.Done()
	heartbeat := time.NewTicker(b.role.Heartbeat)
	defer heartbeat.Stop()
	for {
		select {
		case <-b.role.ended:
			return
		case <-heartbeat.C:
			b.beat()
		case <-b.bell:
			if !b.update() {
				return
			}
			if !b.pause(b.role.Interval) {
				return
			}
		}
	}
}

// update reads the result and sends it to the viewers if it is a new one. It
// returns false when the poll is gone.
func (b *board) update() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.viewers) == 0 {
		return true
	}
	next, err := b.read(context.Background())
	if errors.Is(err, popeye.ErrNotFound) {
		return false
	}
	if err != nil || next == b.sent {
		return true
	}
	b.sent = next
	for v := range b.viewers {
		if v.admitted(next) {
			v.show(next)
		} else {
			// Whoever may still look comes back at once, and is asked again.
			v.dismiss(nil)
		}
	}
	return true
}

// beat sends a heartbeat to the viewers. Where the store failed it tries again
// first, for no bell rings when a store comes back.
func (b *board) beat() {
	if b.stale() > 0 {
		b.ring()
	}
	comment := beat(b.stale())
	b.mu.Lock()
	defer b.mu.Unlock()
	for v := range b.viewers {
		v.beat(comment)
	}
}

// pause waits, and returns false when the role ends meanwhile.
func (b *board) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-b.role.ended:
		return false
	case <-timer.C:
		return true
	}
}

// join adds v to the viewers, with the newest result as its first frame. It
// returns false when the role ends, the poll is gone, or v may not see what it
// has become.
func (b *board) join(ctx context.Context, v *viewer) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	current, err := b.read(ctx)
	if err != nil || !v.admitted(current) {
		return false
	}
	select {
	case <-b.role.ended:
		return false
	default:
	}
	v.show(current)
	if len(b.viewers) == 0 {
		b.sent = current
	}
	b.viewers[v] = struct{}{}
	b.role.work.Add(1)
	b.start.Do(func() { //nolint:contextcheck // the publisher outlives the request that starts it
		b.role.work.Add(1)
		go b.publish()
	})
	return true
}

// leave takes v away from the viewers.
func (b *board) leave(v *viewer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.viewers, v)
	b.role.work.Done()
}

// dismiss ends all streams, after a last frame if there is one.
func (b *board) dismiss(last []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dismissLocked(last)
}

func (b *board) dismissLocked(last []byte) {
	for v := range b.viewers {
		v.dismiss(last)
	}
}
