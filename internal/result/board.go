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
	// readTimeout bounds one reading of the store.
	readTimeout = 5 * time.Second
	// retryReading is the time between two attempts where reading fails.
	retryReading = time.Second
	// readAgain is the time between two readings where no bell will ring.
	readAgain = time.Second
)

// board is one poll's result as this process knows it, and those who look at
// it. It reads the store only when the bell has rung and somebody looks.
type board struct {
	role *Result
	poll string

	// dirty: the bell has rung since the last reading.
	dirty atomic.Bool
	// bell wakes the publisher to look for a new result, freshness to tell the
	// viewers how fresh theirs is. Capacity 1: rings merge.
	bell, freshness chan struct{}
	// start starts the publisher with the first viewer.
	start sync.Once
	// gone is closed when the poll was deleted.
	gone chan struct{}
	// audiences are the viewers; next counts them, to spread them evenly.
	audiences []*audience
	next      atomic.Uint64

	// reading is held while the store is read: one reading serves all.
	reading sync.Mutex
	mu      sync.Mutex
	// last is what was read last. Its version never falls.
	last *snapshot
	// failing is since when the store could not be read, zero when it could.
	failing time.Time
	// tried is when it was tried last, while it cannot be read, and read when that
	// went well last.
	tried, read time.Time
}

// newBoard returns a board on which first, of which nobody knows how old it is,
// is the result until the store is read again.
func newBoard(role *Result, poll string, first *snapshot) *board {
	b := &board{
		role: role, poll: poll, last: first, read: role.cfg.Now(),
		bell: make(chan struct{}, 1), freshness: make(chan struct{}, 1), gone: make(chan struct{}),
	}
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

// tell makes the publisher tell the viewers how fresh the result is, and look
// for a new one before. It never blocks.
func (b *board) tell() {
	select {
	case b.freshness <- struct{}{}:
	default:
	}
}

// retry is tell for a board whose store answers again: it is read at once.
func (b *board) retry() {
	b.mu.Lock()
	b.tried = time.Time{}
	b.mu.Unlock()
	b.tell()
}

// current returns the result with everything in it that rang before the call.
// While the store cannot be read it returns the last one known. It fails with
// popeye.ErrNotFound only: the poll was deleted.
func (b *board) current(ctx context.Context) (*snapshot, error) {
	if last := b.whileFailing(); last != nil {
		return last, nil
	}
	b.reading.Lock()
	defer b.reading.Unlock()
	switch {
	case b.isGone():
		return nil, popeye.ErrNotFound
	case !b.dirty.Swap(false) && !b.awaitsReceipts():
		return b.known(), nil
	}
	// What is read is for all: it goes on when the one who asked has left.
	next, err := b.role.read(context.WithoutCancel(ctx), b.poll)
	switch {
	case errors.Is(err, popeye.ErrNotFound):
		b.forget()
		return nil, err
	case err != nil:
		return b.fail(ctx, err), nil
	}
	return b.take(next), nil
}

// whileFailing returns the last result known while the store cannot be read. It
// returns nil to one caller a second, who is to try again: nobody else waits for
// a store that does not answer.
func (b *board) whileFailing() *snapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.role.cfg.Now()
	if b.failing.IsZero() || b.isGone() {
		return nil
	}
	if now.Sub(b.tried) < retryReading {
		return b.last
	}
	b.tried = now
	return nil
}

// known returns the result that was read last.
func (b *board) known() *snapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

// take makes next, which was just read, the result, and returns what that is
// now.
func (b *board) take(next *snapshot) *snapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.failing.IsZero() {
		b.failing = time.Time{}
		b.tell() // it may be the publisher who could not read
	}
	b.read = b.role.cfg.Now()
	if next.tally.Version > b.last.tally.Version {
		b.last = next
	}
	return b.last
}

// awaitsReceipts reports whether the result is final, and whoever looks should
// see whether its list of receipts is there by now: no bell rings for that.
func (b *board) awaitsReceipts() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := &b.last.tally
	return t.State == popeye.Final && t.ReceiptsHash == "" && b.role.cfg.Now().Sub(b.read) >= readAgain
}

// fail notes that the store cannot be read, and returns the last result known.
func (b *board) fail(ctx context.Context, err error) *snapshot {
	b.dirty.Store(true)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tried = b.role.cfg.Now()
	if b.failing.IsZero() {
		b.failing = b.tried
		b.role.cfg.Log.WarnContext(ctx, "the result cannot be read", "poll", b.poll, "error", err)
		b.tell()
	}
	return b.last
}

// forget is for a poll that was deleted: its viewers are told so, and the next
// one to ask begins with a new board.
func (b *board) forget() {
	b.end(frameOf("gone", "", []byte("{}"))) // while End still finds it
	close(b.gone)
	b.role.forget(b)
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

// stale returns for how long votes may be missing: the store could not be read,
// or is behind the queue. It is zero, or a second at least.
func (b *board) stale() time.Duration {
	b.mu.Lock()
	failing := b.failing
	b.mu.Unlock()
	now := b.role.cfg.Now()
	return max(staleSince(failing, now), b.role.fresh.stale(now))
}

// isFailing reports whether the store could not be read the last time.
func (b *board) isFailing() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.failing.IsZero()
}

// join lets v see the poll, from s on. It returns false when that has ended, or
// v may not see what it has become.
func (b *board) join(v *viewer, greeting []byte, s *snapshot) bool {
	a := b.audiences[b.next.Add(1)%uint64(len(b.audiences))]
	if !a.join(v, greeting, s) {
		return false
	}
	b.start.Do(func() { b.role.begin(b.publish) })
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
		case <-b.freshness:
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
		return false // the poll is gone, and its viewers were told
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
	select {
	case <-b.role.ended:
	case <-b.gone:
	case <-time.After(d):
	}
}
