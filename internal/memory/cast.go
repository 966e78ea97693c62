package memory

import (
	"sync"

	"popeye"
)

// pending is a cast between Enqueue and its answer. It waits in a line, is
// taken by a Receive, and is settled once: by an answer, or by an error. Until
// then the queue's mutex guards it; afterwards it belongs to its caster, or to
// nobody where the caster has left.
type pending struct {
	cast  popeye.Cast
	round *round

	// answer is what settling will say; err says it instead when set.
	answer popeye.Answer
	err    error
	// id names the delivery, from the moment when a worker holds it.
	id string

	// in is the line in which it waits, nil once taken.
	in         *line
	next, prev *pending
	// behind holds the later casts of the same voter, nil when there never were
	// any. Only the first unsettled cast of a voter is in the queue's own line.
	behind *line

	settled   bool
	abandoned bool

	// done takes one token when the cast is settled. It is used again by the
	// next cast, so that casting makes no garbage.
	done chan struct{}
}

// follow lets p wait until the cast before it is settled.
func (p *pending) follow(earlier *pending) {
	if earlier.behind == nil {
		earlier.behind = &line{}
	}
	earlier.behind.push(p)
}

// successor removes and returns the next cast of the same voter, with all
// others behind that one; nil when there is none.
func (p *pending) successor() *pending {
	if p.behind == nil {
		return nil
	}
	next := p.behind.pop()
	if next != nil {
		next.behind = p.behind
	}
	p.behind = nil
	return next
}

// line is a list of casts in the order of their arrival, from which any can
// leave at any time.
type line struct {
	first, last *pending
}

func (l *line) push(p *pending) {
	p.in, p.prev, p.next = l, l.last, nil
	if l.last == nil {
		l.first = p
	} else {
		l.last.next = p
	}
	l.last = p
}

// pop removes and returns the first cast, nil when there is none.
func (l *line) pop() *pending {
	p := l.first
	if p != nil {
		l.remove(p)
	}
	return p
}

func (l *line) remove(p *pending) {
	if p.prev == nil {
		l.first = p.next
	} else {
		p.prev.next = p.next
	}
	if p.next == nil {
		l.last = p.prev
	} else {
		p.next.prev = p.prev
	}
	p.in, p.prev, p.next = nil, nil, nil
}

// pool keeps the casts that have been answered for those to come.
type pool struct {
	free sync.Pool
}

func (f *pool) take(c popeye.Cast, r *round) *pending {
	p, ok := f.free.Get().(*pending)
	if !ok {
		p = &pending{done: make(chan struct{}, 1)}
	}
	*p = pending{cast: c, round: r, done: p.done}
	return p
}

func (f *pool) put(p *pending) { f.free.Put(p) }

// tell lets the casters of settled casts go on. It is called without the
// queue's mutex, for waking hundreds of goroutines takes a while.
func (f *pool) tell(settled []*pending) {
	for _, p := range settled {
		if p.abandoned {
			f.put(p)
			continue
		}
		p.done <- struct{}{}
	}
}
