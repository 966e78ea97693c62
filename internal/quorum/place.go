package quorum

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"popeye"
)

// place is one server with what is known of its health.
type place struct {
	name    string
	number  int
	server  Server
	seed    uint64
	timeout time.Duration
	// patience bounds a call of whoever is patient.
	patience time.Duration
	now      func() time.Time
	breaker  breaker
	metrics  placeMetrics
	// health says what it did when it was asked for its catalog last.
	health atomic.Int32
}

// What is known of a server's health.
const (
	neverAsked int32 = iota
	answers
	isAway
)

func newPlace(number int, p Place, c *Config, m *metrics) *place {
	return &place{
		name:    p.Name,
		number:  number,
		server:  p.Server,
		seed:    seedOf(p.Name),
		timeout: c.Timeout,
		// One that hangs leaves half of the time to the others.
		patience: max(c.Timeout, min(Slowly*c.Timeout, c.Patience/2)),
		now:      c.Now,
		breaker:  breaker{rest: c.Rest, now: c.Now, began: c.Now(), log: c.Log.With("place", p.Name)},
		metrics:  m.of(p.Name),
	}
}

// admits reports whether the server is to get a cast now. Where it says so for
// a server that failed, that cast is the one that tries it.
func (p *place) admits() bool {
	if p.breaker.admits() {
		return true
	}
	p.metrics.skipped.Inc()
	return false
}

func (p *place) isResting() bool { return p.breaker.isResting() }

// limit bounds a call, which may take longer if whoever calls is patient.
func (p *place) limit(patiently bool) time.Duration {
	if patiently {
		return p.patience
	}
	return p.timeout
}

func (p *place) put(ctx context.Context, c popeye.Cast, patiently bool) (popeye.Answer, error) {
	began := p.now()
	a, err := p.server.Put(ctx, c, p.limit(patiently))
	p.metrics.put(a, err, p.now().Sub(began))
	switch {
	case isAnswer(err):
		p.breaker.succeed(ctx)
	case errors.Is(err, popeye.ErrUnavailable) && ctx.Err() == nil: // or else it is the caster who has left
		p.breaker.fail(ctx, err)
	}
	return a, err
}

// isAnswer reports whether a server has answered: it may well refuse.
func isAnswer(err error) bool {
	return err == nil || errors.Is(err, popeye.ErrFull) || errors.Is(err, popeye.ErrClosed) || errors.Is(err, popeye.ErrNotFound)
}

// mark never makes a server rest: whether it can write is for casts to find out.
func (p *place) mark(ctx context.Context, round int64, v popeye.Voter, patiently bool) (popeye.Mark, bool, error) {
	within, cancel := context.WithTimeout(ctx, p.limit(patiently))
	defer cancel()
	return p.server.Mark(within, round, v)
}

// catalog asks for a catalog newer than known, nil where there is none. A server
// that answers need not rest any longer: the next cast tries it.
func (p *place) catalog(ctx context.Context, known int64) (*popeye.Catalog, error) {
	within, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	c, err := p.server.Catalog(within, known)
	if err == nil {
		p.breaker.hasten()
	}
	return c, err
}

func (p *place) announce(ctx context.Context, voterKey string) error {
	within, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	return p.server.Announce(within, voterKey)
}
