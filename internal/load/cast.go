package load

import (
	"context"
	"net/http"
	"time"
)

const (
	// attempts bounds the tries of one cast, with the waits between them about
	// fifteen seconds: enough to see a server through its restart.
	attempts  = 12
	firstWait = 50 * time.Millisecond
	maxWait   = 2 * time.Second
	// maxAsked bounds the wait that a server may ask for.
	maxAsked = 5 * time.Second
	// patience bounds one cast with all its attempts, and is for how long all of
	// them may fail before those to come are given up.
	patience = 30 * time.Second
)

// fate is what is known of a cast at its end.
type fate int

const (
	// acknowledged: the server said that the vote stands.
	acknowledged fate = iota
	// refused: it said that the vote does not, and no attempt before could have
	// been counted.
	refused
	// unsent: no attempt reached a server.
	unsent
	// unknown: it may be counted or not, for the last answer never came.
	unknown
)

// job is one cast: the vote's number, and when it was due.
type job struct {
	vote int
	due  time.Time
}

// caster casts votes one after the other on one connection, which it makes
// again when it breaks.
type caster struct {
	*run
	// stop ends the casting of votes to come.
	stop    context.CancelCauseFunc
	conn    *conn
	request []byte
}

// outcome is a fate with the answer, or the error, that settled it.
type outcome struct {
	fate   fate
	status int
	err    error
}

// cast casts one vote, however often it takes, and notes what became of it.
func (c *caster) cast(ctx context.Context, j job) {
	c.request = c.ballot.appendRequest(c.request[:0], j.vote)
	begun := time.Now()
	c.screen.begin()
	o := c.persist(ctx, j.vote)
	if o.fate == acknowledged {
		c.screen.acknowledge(j.due)
	}
	if o.fate == refused || o.fate == unsent {
		c.screen.withdraw()
	}
	c.book.note(c.ballot.options(j.vote), o, j.due, begun)
	if cause := c.book.hopeless(o); cause != nil {
		c.stop(cause)
	}
}

// persist repeats an attempt that may be repeated. It is always the same
// request, so that it counts once whichever attempts arrived.
func (c *caster) persist(ctx context.Context, vote int) outcome {
	giveUp := time.Now().Add(patience)
	o := outcome{fate: unsent}
	for attempt := range attempts {
		reused := c.conn != nil
		a, sent, err := c.attempt(ctx)
		if settled := o.learn(a, sent, err); settled || attempt == attempts-1 {
			return o
		}
		stale := reused && err != nil
		if time.Now().After(giveUp) || !c.pause(ctx, attempt, vote, a.retryAfter, stale) {
			return o
		}
		c.book.retry()
	}
	return o
}

// learn adds what an attempt came to, and reports whether no other one is
// needed.
func (o *outcome) learn(a answer, sent bool, err error) (settled bool) {
	o.status, o.err = a.status, err
	switch {
	case err != nil:
		if sent {
			o.fate = unknown
		}
		return false
	case a.status == http.StatusOK || a.status == http.StatusCreated:
		o.fate = acknowledged
		return true
	case a.status >= http.StatusInternalServerError:
		// Even a 503 may come after the vote was taken.
		o.fate = unknown
		return false
	default:
		if o.fate != unknown {
			o.fate = refused
		}
		return a.status != http.StatusTooManyRequests
	}
}

// attempt sends the request once. sent says that the server may have got it.
func (c *caster) attempt(ctx context.Context) (a answer, sent bool, err error) {
	if c.conn == nil {
		if c.conn, err = c.target.connect(ctx); err != nil {
			return answer{}, false, err
		}
	}
	a, err = c.conn.exchange(c.request, time.Now().Add(c.Timeout), false)
	if err != nil || a.last {
		c.hangUp()
	}
	return a, true, err
}

func (c *caster) hangUp() {
	if c.conn != nil {
		c.conn.close()
		c.conn = nil
	}
}

// pause waits before the next attempt, as long as the server asks for. It
// returns false once ctx is done. The first attempt on a connection kept from
// the cast before may fail because the server was just closing it: then there
// is nothing to wait for.
func (c *caster) pause(ctx context.Context, attempt, vote int, asked time.Duration, stale bool) bool {
	if attempt == 0 && stale {
		return ctx.Err() == nil
	}
	wait := min(firstWait<<attempt, maxWait)
	if asked > 0 {
		wait = min(asked, maxAsked)
	}
	// Those who were refused together do not come back together.
	wait += wait * time.Duration(vote%16) / 32
	select {
	case <-time.After(wait):
		return true
	case <-ctx.Done():
		return false
	}
}
