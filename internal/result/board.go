package result

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"popeye"
)

const (
	// readTimeout bounds one reading of a tally.
	readTimeout = 5 * time.Second
	// retryReading is the time between two attempts where reading fails.
	retryReading = time.Second
)

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
	// gone is closed when the poll was deleted.
	gone chan struct{}
	// audiences are the viewers; next counts them, to spread them evenly.
	audiences []*audience
	next      atomic.Uint64

	mu sync.Mutex
	// last is what was read last, nil before the first time and after the poll
	// was deleted. Its version never falls.
	last *snapshot
	// failing is since when the store could not be read, zero when it could.
	failing time.Time
	// tried is when it was tried last, while it cannot be read.
	tried time.Time
}

func newBoard(role *Result, poll string) *board {
	b := &board{role: role, poll: poll, bell: make(chan struct{}, 1), gone: make(chan struct{})}
	b.dirty.Store(true)
	for range runtime.GOMAXPROCS(0) {
		b.audiences = append(b.audiences, &audience{role: role, viewers: map[*viewer]struct{}{}, ended: role.isEnded()})
	}
	return b
}

// ring notes that the result has changed. It never blocks.
func (b *board) ring() {
	b.dirty.Store(true)
	b.wake()
}

// wake makes the publisher look what there is to send.
func (b *board) wake() {
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
	switch {
	case b.isGone():
		return nil, popeye.ErrNotFound
	case !b.failing.IsZero() && b.role.cfg.Now().Sub(b.tried) < retryReading:
		return b.last, nil // one attempt at a time serves all
	case !b.dirty.Swap(false):
		return b.last, nil
	}
	next, err := b.fetch(ctx)
	switch {
	case errors.Is(err, popeye.ErrNotFound):
		b.forget()
		return nil, err
	case err != nil:
		return b.fail(ctx, err)
	}
	if !b.failing.IsZero() {
		b.failing = time.Time{}
		b.wake() // it may be the publisher who could not read
	}
	if b.last == nil || next.tally.Version > b.last.tally.Version {
		b.last = next
	}
	return b.last, nil
}

// fail notes that the store cannot be read, and returns the last result known.
func (b *board) fail(ctx context.Context, err error) (*snapshot, error) {
	b.dirty.Store(true)
	if b.last == nil {
		return nil, err
	}
	b.tried = b.role.cfg.Now()
	if b.failing.IsZero() {
		b.failing = b.role.cfg.Now()
		b.role.cfg.Log.WarnContext(ctx, "the result cannot be read", "poll", b.poll, "error", err)
	}
	return b.last, nil
}

// fetch reads the store. What it reads is for all: it goes on when the one who
// asked has left.
func (b *board) fetch(ctx context.Context) (*snapshot, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
	defer cancel()
	tally, err := b.role.cfg.Store.Tally(ctx, b.poll)
	if err != nil {
		return nil, err
	}
	return newSnapshot(tally)
}

// forget is for a poll that was deleted: its viewers are told so, and the next
// one to ask begins with a new board.
func (b *board) forget() {
	b.role.forget(b)
	close(b.gone)
	b.end(frameOf("gone", "", []byte("{}")))
}

// isGone reports whether the poll was deleted. A board does not come back: if
// the poll does, it has another one.
func (b *board) isGone() bool {
	select {
	case <-b.gone:
		return true
	default:
		return false
	}
}

// stale returns for how long the store could not be read.
func (b *board) stale() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failing.IsZero() {
		return 0
	}
	return b.role.cfg.Now().Sub(b.failing)
}

// join lets v see the poll, from s on. It returns false when that has ended, or
// v may not see what it has become.
func (b *board) join(v *viewer, greeting []byte, s *snapshot) bool {
	a := b.audiences[b.next.Add(1)%uint64(len(b.audiences))]
	if !a.join(v, greeting, s) {
		return false
	}
	b.start.Do(func() { b.role.work.Go(b.publish) })
	b.wake() // something may have changed since s was read
	return true
}

// publish sends what changes to the viewers until the role ends: the first
// change of a quiet moment at once, then no more than one frame an interval,
// the last never dropped. While nothing changes it does nothing but heartbeats.
func (b *board) publish() {
	heartbeat := time.NewTicker(b.role.cfg.Heartbeat)
	defer heartbeat.Stop()
	for {
		select {
		case <-b.role.ended:
			return
		case <-b.gone:
			return
		case <-heartbeat.C:
			b.beat()
		case <-b.bell:
			if b.update() {
				b.pause(b.role.cfg.Interval)
			}
		}
	}
}

// update sends the result to the viewers, if there are any and it is a new one,
// and reports whether it was.
func (b *board) update() bool { return b.isWatched() && b.send() }

// send reads the result, whether or not there are viewers, and sends it as
// update does.
func (b *board) send() bool {
	next, err := b.current(context.Background())
	if err != nil {
		return false // told, and tried again with the next heartbeat
	}
	isNew := false
	for _, sent := range b.all(func(a *audience) bool { return a.show(next) }) {
		isNew = isNew || sent
	}
	return isNew
}

// beat sends a heartbeat to the viewers. It reads the result before, in case
// that a ring was lost, or the store has come back, for which no bell rings.
func (b *board) beat() {
	b.dirty.Store(true)
	b.send()
	comment := beat(b.stale())
	b.all(func(a *audience) bool {
		a.beat(comment)
		return true
	})
}

// end ends all streams after a last event, which may be empty.
func (b *board) end(event []byte) {
	b.all(func(a *audience) bool {
		a.end(event)
		return true
	})
}

// all does something with all audiences at the same time, and returns what that
// returned.
func (b *board) all(do func(*audience) bool) []bool {
	results := make([]bool, len(b.audiences))
	var group sync.WaitGroup
	for i, a := range b.audiences {
		group.Go(func() { results[i] = do(a) })
	}
	group.Wait()
	return results
}

func (b *board) isWatched() bool {
	return slices.ContainsFunc(b.audiences, (*audience).isWatched)
}

// pause waits, unless the role or the poll ends meanwhile.
func (b *board) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-b.role.ended:
	case <-b.gone:
	case <-timer.C:
	}
}
