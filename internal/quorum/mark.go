package quorum

import (
	"context"
	"fmt"

	"popeye"
)

// Mark returns the newest vote known of a voter in a round, and whether there is
// one. It sees every acknowledged vote where N - n + 1 servers answer, and as
// much as it can with fewer; it fails, with popeye.ErrUnavailable, only where
// none does. A vote that it shows unconfirmed was perhaps not acknowledged.
func (q *Queue) Mark(ctx context.Context, round int64, v popeye.Voter) (popeye.Mark, bool, error) {
	policy := popeye.Change
	if d := q.known.Load().round(round); d != nil {
		policy = d.Policy
	}
	r := q.read(ctx, policy, round, v, false)
	if r.answers == 0 {
		return popeye.Mark{}, false, fmt.Errorf("%w: no queue server tells what it has: %w", popeye.ErrUnavailable, r.err)
	}
	return r.mark, r.found, nil
}

// reading is what several servers know of one voter.
type reading struct {
	mark    popeye.Mark
	found   bool
	answers int
	// err says why the last server that did not answer did not.
	err error
}

// read asks the voter's servers, patiently or not: see Enqueue.
func (q *Queue) read(ctx context.Context, policy popeye.Policy, round int64, v popeye.Voter, patiently bool) reading {
	r := reading{err: errResting}
	servers := q.order(v)
	for p := servers.next(); p != nil && r.answers < q.readers; p = servers.next() {
		if !patiently && p.isResting() {
			continue
		}
		m, ok, err := p.mark(ctx, round, v, patiently)
		if err != nil {
			r.err = err
			continue
		}
		r.answers++
		if !ok {
			continue
		}
		r.mark, r.found = newer(policy, r, m), true
		if policy == popeye.First && !m.Unconfirmed {
			return r
		}
	}
	return r
}

// newer is what a reading shows once m is seen, too. Under first, of two votes
// that are not confirmed, a cast would complete the one seen later.
func newer(policy popeye.Policy, r reading, m popeye.Mark) popeye.Mark {
	switch {
	case !r.found:
		return m
	case r.mark.Choices == m.Choices && r.mark.Stamp == m.Stamp:
		m.Serial, m.Unconfirmed = max(m.Serial, r.mark.Serial), m.Unconfirmed && r.mark.Unconfirmed
		return m
	case policy == popeye.Change && r.mark.Stamp > m.Stamp:
		return r.mark
	default:
		return m
	}
}
