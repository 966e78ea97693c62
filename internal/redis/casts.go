package redis

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"popeye"
)

const (
	// together is how many casts go to the server in one call at most. They then
	// share one entry of the stream.
	together = 64
	// calls is how many calls are under way at most. A second one begins only when
	// there is a whole one waiting: fewer and larger ones cost less.
	calls = 4
	// gather is how long a server that has just answered is left alone, unless there
	// is a whole call for it: casters come in small groups where they visit several
	// servers one after the other, and every call costs a write to the disk.
	gather = 300 * time.Microsecond
)

var errShut = fmt.Errorf("%w: the queue server is shut down", popeye.ErrUnavailable)

// pending is a cast that waits for its answer.
type pending struct {
	cast popeye.Cast
	// text is the cast as the script reads it.
	text   string
	answer popeye.Answer
	err    error
	// done takes one token, when answer or err is there.
	done chan struct{}
	// late bounds the waiting for it. A context made for each cast would cost more
	// than all the rest here.
	late *time.Timer
}

// casts brings casts to the server, alone when there is one, and together when
// they come faster than the server answers: then the costs of a call, of an entry
// in the stream and of a write to the disk are shared. The zero value waits for
// send to be set.
type casts struct {
	// send has the server decide casts and sets their answers. Its error is that
	// of all of them.
	send func(ctx context.Context, batch []*pending) error
	free sync.Pool

	mu      sync.Mutex
	waiting []*pending
	flying  int
	closed  bool
	flights sync.WaitGroup
}

// put returns the server's answer to a cast. When ctx ends first, or within has
// passed, the cast is withdrawn, or if it is on its way, left to its fate.
func (c *casts) put(ctx context.Context, cast popeye.Cast, text string, within time.Duration) (popeye.Answer, error) {
	p := c.take(cast, text, within)
	if !c.join(p) {
		return popeye.Answer{}, errShut
	}
	select {
	case <-p.done:
		answer, err := p.answer, p.err
		p.late.Stop()
		c.free.Put(p)
		return answer, err
	case <-p.late.C:
		c.withdraw(p)
		return popeye.Answer{}, fmt.Errorf("%w: no answer from the queue server within %s", popeye.ErrUnavailable, within)
	case <-ctx.Done():
		c.withdraw(p)
		return popeye.Answer{}, fmt.Errorf("%w: waiting for the queue server: %w", popeye.ErrUnavailable, context.Cause(ctx))
	}
}

func (c *casts) take(cast popeye.Cast, text string, within time.Duration) *pending {
	p, ok := c.free.Get().(*pending)
	if !ok {
		p = &pending{done: make(chan struct{}, 1), late: time.NewTimer(within)}
	}
	*p = pending{cast: cast, text: text, done: p.done, late: p.late}
	p.late.Reset(within)
	return p
}

// join adds p to those that wait, and sees to it that they go.
func (c *casts) join(p *pending) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.waiting = append(c.waiting, p)
	if c.flying == 0 || c.flying < calls && len(c.waiting) >= together {
		c.flying++
		c.flights.Go(c.fly)
	}
	return true
}

// withdraw takes back a cast that still waits.
func (c *casts) withdraw(p *pending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.waiting, p); i >= 0 {
		c.waiting = slices.Delete(c.waiting, i, i+1)
	}
}

// fly sends what waits until nothing does. Casters may leave meanwhile; what is
// sent is seen through. When the server fails, those that waited for it fail
// along: each of them would wait as long for the same.
func (c *casts) fly() {
	batch := make([]*pending, 0, together)
	for isFirst := true; ; isFirst = false {
		// Whoever could cast at this moment joins first: that costs nobody any time.
		runtime.Gosched()
		if !isFirst && !c.isWhole() {
			<-time.After(gather)
		}
		batch = c.next(batch[:0])
		if len(batch) == 0 {
			return
		}
		err := c.send(context.Background(), batch)
		if err != nil {
			batch = append(batch, c.rest()...)
		}
		for _, p := range batch {
			if err != nil {
				p.answer, p.err = popeye.Answer{}, err
			}
			p.done <- struct{}{}
		}
	}
}

// isWhole reports whether as many wait as can go together.
func (c *casts) isWhole() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiting) >= together
}

// next moves those that go next into batch. With none left, the flight is over.
func (c *casts) next(batch []*pending) []*pending {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(len(c.waiting), together)
	if n == 0 {
		c.flying--
		return batch
	}
	batch = append(batch, c.waiting[:n]...)
	c.waiting = slices.Delete(c.waiting, 0, n)
	return batch
}

// rest returns all that wait.
func (c *casts) rest() []*pending {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.waiting
	c.waiting = nil
	return all
}

// shut lets no more casts come, and waits until those that did are answered.
func (c *casts) shut() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.flights.Wait()
}
