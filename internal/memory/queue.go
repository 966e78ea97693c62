// Package memory holds the embedded parts that need no other process: a queue
// of votes between the roles of one process, and a bell. Nothing here outlives
// the process, so nothing is acknowledged here: a caster is answered once a
// worker has recorded the vote.
package memory

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"popeye"
)

// DefaultCapacity is how many casts may wait where the configuration does not
// say.
const DefaultCapacity = 65536

var errShut = fmt.Errorf("%w: the queue is shut down", popeye.ErrUnavailable)

// QueueConfig is what a Queue can be told. Its zero value is usable.
type QueueConfig struct {
	// Capacity is how many casts may wait for a worker; more are refused with
	// popeye.ErrFull. Zero means DefaultCapacity.
	Capacity int
	// Marks returns the recorded votes of those of the voters who have any in
	// the round. It is asked once per round for a whole batch, never per cast,
	// by one goroutine per worker, and must see every vote acknowledged before.
	// Nil: the queue itself remembers what was acknowledged, for as long as the
	// round is its poll's current one.
	Marks func(ctx context.Context, round int64, voters []popeye.Voter) (map[popeye.Voter]popeye.Mark, error)
	// Now tells the time by which polls open and close. Nil means time.Now.
	Now func() time.Time
}

// Queue takes casts from any number of goroutines and hands them to any number
// of workers. Enqueue returns when the vote is recorded, so that there is
// nothing to lose in here, and every vote in here is confirmed.
//
// Two rules keep it right. In each round, one cast per voter is under way at a
// time, and those behind it are decided against what became of it. And a
// round's seal is handed out only when the round is closed and no cast of it
// is under way, so that no vote can come after its seal.
type Queue struct {
	capacity  int
	marks     func(ctx context.Context, round int64, voters []popeye.Voter) (map[popeye.Voter]popeye.Mark, error)
	remembers bool
	now       func() time.Time

	catalog atomic.Pointer[popeye.Catalog]
	casts   pool
	// ready holds a token when there may be something to receive.
	ready chan struct{}
	gone  chan struct{}

	mu     sync.Mutex
	closed bool
	rounds map[int64]*round
	// over are the rounds that were closed and then forgotten: a number each, so
	// that none of them can open again.
	over map[int64]bool
	// line holds the casts to be received; waiting counts them and those behind
	// an earlier cast of the same voter.
	line    line
	waiting int
	// due are the closed rounds whose seal is to be handed out.
	due []*round
	// deliveries counts what was handed out, to name it.
	deliveries uint64
}

// NewQueue returns an empty queue that knows no poll until the first Publish.
func NewQueue(c QueueConfig) *Queue {
	q := &Queue{
		capacity: c.Capacity,
		marks:    c.Marks,
		now:      c.Now,
		ready:    make(chan struct{}, 1),
		gone:     make(chan struct{}),
		rounds:   make(map[int64]*round),
		over:     make(map[int64]bool),
	}
	if q.capacity <= 0 {
		q.capacity = DefaultCapacity
	}
	if q.marks == nil {
		q.marks, q.remembers = q.remembered, true
	}
	if q.now == nil {
		q.now = time.Now
	}
	return q
}

// Enqueue hands a cast to a worker and returns what became of it once that is
// recorded. A success is durable, as durable as the store that records it.
//
// It fails with popeye.ErrNotFound when no poll is in that round,
// popeye.ErrClosed when the round takes no votes now, popeye.ErrFull when too
// many casts are waiting, and popeye.ErrUnavailable when the vote could not be
// recorded or ctx ended first. A cast whose ctx ends before a worker has
// received it is withdrawn and never recorded; after that the vote may still
// be, once, and casting it again tells.
func (q *Queue) Enqueue(ctx context.Context, c popeye.Cast) (popeye.Answer, error) {
	c.Unconfirmed = false
	p, err := q.admit(c, q.now())
	if err != nil {
		return popeye.Answer{}, err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		if q.abandon(p) {
			return popeye.Answer{}, fmt.Errorf("%w: waiting for the vote to be recorded: %w", popeye.ErrUnavailable, context.Cause(ctx))
		}
		<-p.done
	}
	answer, err := p.answer, p.err
	q.casts.put(p)
	if err != nil {
		return popeye.Answer{}, err
	}
	return answer, nil
}

// Mark returns the vote of a voter that stands in a round, and whether there
// is one. It fails only where QueueConfig.Marks does.
func (q *Queue) Mark(ctx context.Context, round int64, v popeye.Voter) (popeye.Mark, bool, error) {
	marks, err := q.marks(ctx, round, []popeye.Voter{v})
	if err != nil {
		return popeye.Mark{}, false, fmt.Errorf("look up a voter's mark: %w", err)
	}
	m, ok := marks[v]
	return m, ok, nil
}

// Catalog returns the newest published definitions, nil before the first
// Publish.
func (q *Queue) Catalog() *popeye.Catalog { return q.catalog.Load() }

// Close ends every Enqueue that waits, now and later, with
// popeye.ErrUnavailable, and every Receive too. Call it when the workers are
// gone: what one of them still holds may be recorded all the same. It returns
// nil always.
func (q *Queue) Close() error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return nil
	}
	q.closed = true
	close(q.gone)
	var settled []*pending
	for _, r := range q.rounds {
		for _, p := range r.underway {
			for ; p != nil; p = p.successor() {
				if p.in != nil {
					p.in.remove(p)
				}
				p.err, p.settled = errShut, true
				settled = append(settled, p)
			}
		}
		clear(r.underway)
	}
	q.waiting = 0
	q.mu.Unlock()
	q.casts.tell(settled)
	return nil
}

// admit puts a cast into the line, or behind the cast of the same voter that is
// under way, unless it has to be refused.
func (q *Queue) admit(c popeye.Cast, now time.Time) (*pending, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	r := q.rounds[c.Round]
	switch {
	case q.closed:
		return nil, errShut
	case r == nil || r.left:
		return nil, fmt.Errorf("round %d: %w", c.Round, popeye.ErrNotFound)
	case r.sealing != unsealed || r.definition.StateAt(now) != popeye.Open:
		return nil, fmt.Errorf("round %d: %w", c.Round, popeye.ErrClosed)
	case q.waiting >= q.capacity:
		return nil, fmt.Errorf("%d casts are waiting: %w", q.waiting, popeye.ErrFull)
	}
	p := q.casts.take(c, r)
	q.waiting++
	if earlier := r.underway[c.Voter]; earlier != nil {
		p.follow(earlier)
		return p, nil
	}
	r.underway[c.Voter] = p
	q.line.push(p)
	q.wake()
	return p, nil
}

// abandon takes back a cast whose caster waits no longer. It returns false when
// the cast is settled: its answer is there or about to be.
func (q *Queue) abandon(p *pending) bool {
	q.mu.Lock()
	if p.settled {
		q.mu.Unlock()
		return false
	}
	p.abandoned = true
	var settled []*pending
	switch p.in {
	case nil: // a worker has it, and settling it will end it
	case &q.line:
		q.leave(p)
		settled = q.settle(settled, p, nil)
	default:
		q.leave(p)
		p.settled = true
		settled = append(settled, p)
	}
	q.mu.Unlock()
	q.casts.tell(settled)
	return true
}

// leave takes a waiting cast out of its line.
func (q *Queue) leave(p *pending) {
	p.in.remove(p)
	q.waiting--
}

// settle ends a cast that is under way and gives the next one of its voter its
// turn. With standing, the vote that stands, those that need no recording are
// answered at once; without, the next one goes back to the line, and the mark
// is looked up again. It returns settled with what it settled added.
func (q *Queue) settle(settled []*pending, p *pending, standing *popeye.Mark) []*pending {
	r := p.round
	for {
		p.settled = true
		settled = append(settled, p)
		next := p.successor()
		if next == nil {
			delete(r.underway, p.cast.Voter)
			q.tidy(r)
			return settled
		}
		if standing != nil {
			next.answer = standing.Decide(r.definition.Policy, next.cast)
		}
		if standing == nil || next.answer.Mark != *standing {
			r.underway[p.cast.Voter] = next
			q.line.push(next)
			q.wake()
			return settled
		}
		q.waiting--
		p = next
	}
}

// wake lets one Receive look whether there is anything for it.
func (q *Queue) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}
