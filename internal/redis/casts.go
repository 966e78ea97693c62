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
	// gather is how long a call waits, after the one before, for as many casts as that
	// has brought, beside those that wait already: casters come in small groups where
	// they visit several servers one after the other, and every call costs a write to
	// the disk. An idle process wakes up to a millisecond later.
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
	// flying is how many flights there are: series of calls, one after the other.
	flying  int
	closed  bool
	flights sync.WaitGroup
	// wanted is how many have to wait for the last flight to go on, 0 when it does
	// not pause; enough is closed when they do.
	wanted int
	enough chan struct{}
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
		return &pending{cast: cast, text: text, done: make(chan struct{}, 1), late: time.NewTimer(within)}
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
	switch n := len(c.waiting); {
	case c.wanted > 0:
		if n >= c.wanted {
			c.wanted = 0
			close(c.enough)
		}
	case c.flying == 0 || c.flying < calls && n >= together:
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
	for {
		// Whoever could cast at this moment joins first: that costs nobody any time.
		runtime.Gosched()
		batch = c.next(batch)
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

// next returns those that go next, in place of the last ones of the flight. With
// none the flight is over. One that is not alone waits for nobody: the server
// is busy, and writes what comes meanwhile together.
func (c *casts) next(last []*pending) []*pending {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flying == 1 {
		c.pause(min(len(c.waiting)+len(last), together))
	}
	n := min(len(c.waiting), together)
	if n == 0 {
		c.flying--
		return nil
	}
	last = append(last[:0], c.waiting[:n]...)
	c.waiting = slices.Delete(c.waiting, 0, n)
	return last
}

// pause waits until so many wait, or for a moment. The caller has the lock, and has
// it again afterwards.
func (c *casts) pause(wanted int) {
	if len(c.waiting) >= wanted {
		return
	}
	enough := make(chan struct{})
	c.wanted, c.enough = wanted, enough
	c.mu.Unlock()
	select {
	case <-enough:
	case <-time.After(gather):
	}
	c.mu.Lock()
	c.wanted = 0
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
