package quorum

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"popeye"
)

const (
	// maxPatient bounds the casts that wait to be tried again, each of which keeps
	// a request's memory.
	maxPatient = 1024
	// againAfter is how long a cast waits, half of it more or less, before it is
	// tried again.
	againAfter = 100 * time.Millisecond
)

// Slowly is how many times its Timeout a server may take, at most, to answer a cast that
// is tried again; nor may it take more than half of Patience.
const Slowly = 3

// errClosedMeanwhile says that a vote that reached a server cannot be completed any
// more. It may count, so that its voter must not be told that it is refused.
var errClosedMeanwhile = errors.New("the round was closed while the vote was being copied, it may count")

// Enqueue makes a vote durable on n servers, or says what stands instead. What an
// answer shows stands: under policy first for good, under change until a newer
// vote comes.
//
// While too few servers answer, it tries again until Patience is at its end, as
// long as no more than 1,024 casts do so. Then it leaves no server alone, and gives
// each more time: a server that is slow is better than none.
//
// It fails with popeye.ErrNotFound when no poll is in that round, ErrClosed when
// the round takes no votes now, ErrFull when too many servers are full, and
// ErrUnavailable when too few could be written to or ctx ended first. After any
// of these a vote may still be counted, once; casting it again tells.
func (q *Queue) Enqueue(ctx context.Context, c popeye.Cast) (popeye.Answer, error) {
	began := q.cfg.Now()
	a, left, err := q.try(ctx, c, false)
	rest := q.cfg.Patience - q.cfg.Now().Sub(began)
	if !mayChange(err) || rest <= 0 {
		return a, err
	}
	select {
	case q.patient <- struct{}{}:
		defer func() { <-q.patient }()
	default:
		return a, err
	}
	patiently, cancel := context.WithTimeout(ctx, rest)
	defer cancel()
	for mayChange(err) && pause(patiently) {
		leftBefore := left
		a, left, err = q.try(patiently, c, true)
		left = left || leftBefore
		if leftBefore && errors.Is(err, popeye.ErrClosed) {
			return a, fmt.Errorf("%w: %w", popeye.ErrUnavailable, errClosedMeanwhile)
		}
	}
	return a, err
}

// mayChange reports whether a cast that failed with err may succeed in a moment.
func mayChange(err error) bool {
	return errors.Is(err, popeye.ErrUnavailable) && !errors.Is(err, errClosedMeanwhile)
}

// pause waits a moment, and reports whether ctx is not done.
func pause(ctx context.Context) bool {
	select {
	case <-time.After(againAfter/2 + rand.N(againAfter)): //nolint:gosec // spreads load, guards nothing
		return true
	case <-ctx.Done():
		return false
	}
}

// try is Enqueue, once, patiently or not. It also returns whether a copy of the vote
// may be left on some server.
func (q *Queue) try(ctx context.Context, c popeye.Cast, patiently bool) (a popeye.Answer, left bool, err error) {
	d, err := q.definition(ctx, c.Round)
	if err != nil {
		return popeye.Answer{}, false, err
	}
	if n := q.resting(); n >= q.tooMany && !patiently { // do not leave a copy that nobody can confirm
		return popeye.Answer{}, false, fmt.Errorf("%w: of %d queue servers, %d: %w", popeye.ErrUnavailable, len(q.places), n, errResting)
	}
	w := newWalk(d.Policy, q.cfg.Copies, c)
	w.patient = patiently
	a, err = q.walk(ctx, &w)
	return a, w.left, err
}

// walk takes the cast to its servers.
func (q *Queue) walk(ctx context.Context, w *walk) (popeye.Answer, error) {
	if err := q.lookAhead(ctx, w); err != nil {
		return popeye.Answer{}, err
	}
	servers := q.order(w.cast.Voter)
	for p := servers.next(); p != nil && !w.isOver(q.tooMany); p = servers.next() {
		if err := q.visit(ctx, p, w); err != nil {
			return popeye.Answer{}, err
		}
		if err := q.confirm(ctx, w); err != nil {
			return popeye.Answer{}, err
		}
	}
	if !w.isSettled() {
		return popeye.Answer{}, q.refusal(ctx, w)
	}
	return w.answer(), nil
}

// resting counts the servers that get no cast now.
func (q *Queue) resting() int {
	n := 0
	for _, p := range q.places {
		if p.isResting() {
			n++
		}
	}
	return n
}

// lookAhead compares a change that says which vote it follows with the newest one
// that any n servers can hold: the server that is asked first may have been away
// when the vote was changed last, and would let a late copy of an earlier change
// through.
func (q *Queue) lookAhead(ctx context.Context, w *walk) error {
	if w.policy != popeye.Change || w.cast.After == 0 || len(q.places) == 1 {
		return nil
	}
	r := q.read(ctx, w.policy, w.cast.Round, w.cast.Voter, w.patient)
	if r.answers < q.readers {
		return fmt.Errorf("%w: %d of %d queue servers tell what they have: %v", popeye.ErrUnavailable, r.answers, q.readers, r.err) //nolint:errorlint // nor is its kind that of the cast
	}
	if r.found {
		w.compare(r.mark)
	}
	return nil
}

// visit puts the cast on one server, unless that is left alone. It returns an
// error only when the walk is over.
func (q *Queue) visit(ctx context.Context, p *place, w *walk) error {
	if !w.patient && !p.admits() {
		w.missed.note(errResting)
		return nil
	}
	for {
		a, err := p.put(ctx, w.next(), w.patient)
		w.left = w.left || err == nil || errors.Is(err, popeye.ErrUnavailable)
		if err != nil {
			return q.pass(ctx, w, err)
		}
		if again := w.take(p.number, a); !again {
			return nil
		}
	}
}

// confirm visits once more the servers that hold the vote and do not know that it
// is confirmed, as far as that is needed.
func (q *Queue) confirm(ctx context.Context, w *walk) error {
	unsure := w.toConfirm()
	for _, p := range q.places {
		if unsure>>p.number&1 == 0 {
			continue
		}
		if err := q.visit(ctx, p, w); err != nil {
			return err
		}
	}
	return nil
}

// pass notes why a server did not take the cast. One that says closed ends the
// walk, unless the newest catalog says otherwise: then that server is out of
// date, or its clock is wrong.
func (q *Queue) pass(ctx context.Context, w *walk, err error) error {
	w.missed.note(err)
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", popeye.ErrUnavailable, context.Cause(ctx))
	}
	if !errors.Is(err, popeye.ErrClosed) {
		return nil
	}
	q.refresh(ctx)
	if d := q.known.Load().round(w.cast.Round); d != nil && d.StateAt(q.cfg.Now()) == popeye.Open {
		return nil
	}
	return w.closed(err)
}

// refusal is the error of a cast that no vote was settled for.
func (q *Queue) refusal(ctx context.Context, w *walk) error {
	switch m := w.missed; {
	case m.closed >= q.tooMany:
		return w.closed(fmt.Errorf("round %d: %w", w.cast.Round, popeye.ErrClosed))
	case m.unknown > 0 && q.isGone(ctx, w.cast.Round):
		return fmt.Errorf("round %d: %w", w.cast.Round, popeye.ErrNotFound)
	case m.full > 0 && m.full == m.all():
		return fmt.Errorf("%d of %d queue servers: %w", m.full, len(q.places), popeye.ErrFull)
	case m.last == nil:
		return fmt.Errorf("%w: too few of %d queue servers hold the same vote", popeye.ErrUnavailable, len(q.places))
	default:
		// That one of them says so does not mean that the poll is closed, or gone.
		return fmt.Errorf("%w: %d of %d queue servers did not take the vote: %v", popeye.ErrUnavailable, m.all(), len(q.places), m.last) //nolint:errorlint // see above
	}
}
