package drill

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxInFlight bounds the votes that are under way at a time. Beyond that the
	// schedule slips.
	maxInFlight = 2048
	// idle is how many connections to each server are kept.
	idle = 256
)

// caster casts votes as honest voters do: each is sent again, to one server after
// the other and always under the same key, until somebody says what became of it.
type caster struct {
	target  *target
	journal *journal
	book    *book
	http    *http.Client
	timeout time.Duration
	// patience is how long a voter tries.
	patience time.Duration
	// number counts the casts, turn the servers' turns.
	number, turn atomic.Int64
}

func newCaster(t *target, j *journal, b *book, cfg Config) *caster {
	return &caster{
		target: t, journal: j, book: b, timeout: cfg.Timeout, patience: cfg.Patience,
		http: &http.Client{
			Transport:     &http.Transport{MaxIdleConnsPerHost: idle, DisableCompression: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// castAll casts votes at a rate until there were enough, or enough is closed, and
// returns when all are settled or given up. It fails when ctx is done before, or
// the journal cannot be kept.
func (c *caster) castAll(ctx context.Context, cfg Config, enough <-chan struct{}) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer c.http.CloseIdleConnections()
	begin := time.Now()
	slots := make(chan struct{}, maxInFlight)
	votes := newScript(cfg.Seed)
	var group sync.WaitGroup
	for i := range cfg.Votes {
		due := begin.Add(time.Duration(float64(i) / cfg.Rate * float64(time.Second)))
		if !wait(enough, time.Until(due)) || !enter(enough, slots) {
			break
		}
		v := votes.next()
		leave := c.book.enter()
		group.Go(func() {
			defer func() {
				leave()
				<-slots
			}()
			if err := c.cast(ctx, v); err != nil {
				stop(err)
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

// enter takes a slot, and reports whether it was not enough before there was one.
func enter(enough <-chan struct{}, slots chan<- struct{}) bool {
	select {
	case slots <- struct{}{}:
		return true
	case <-enough:
		return false
	}
}

// cast casts a vote when the voter's one before is settled, and what the voter
// does in a second tab at the same time.
func (c *caster) cast(ctx context.Context, v cast) error {
	defer close(v.over)
	if v.before != nil {
		select {
		case <-v.before:
		case <-ctx.Done():
			return nil
		}
	}
	if v.rival == noRival {
		return c.settle(ctx, v, v.choice)
	}
	var rival error
	var tab sync.WaitGroup
	tab.Go(func() { rival = c.settle(ctx, v, v.rival) })
	err := c.settle(ctx, v, v.choice)
	tab.Wait()
	return errors.Join(err, rival)
}

// settle casts one vote and keeps in the journal what became of it. It fails
// when that cannot be kept.
func (c *caster) settle(ctx context.Context, v cast, choice int) error {
	r := record{event: attempted, cast: int(c.number.Add(1)), poll: v.poll, voter: v.voter, choice: choice}
	if err := c.journal.write(r); err != nil {
		return err
	}
	poll := c.target.polls[v.poll]
	sent := vote{poll: poll.id, key: fmt.Sprintf("%s-%d", poll.id, v.voter), choice: poll.options[choice]}
	if v.person != nil {
		sent.after = v.person.seen
	}
	o := c.persist(ctx, sent)
	c.book.settle(o)
	if v.person != nil && o.stands() {
		v.person.seen = o.answer.said.Stamp
	}
	if o.event == "" {
		return nil
	}
	r.event, r.status = o.event, o.answer.status
	if o.stands() {
		r.choice, r.receipt = o.answer.choice(poll.options), o.answer.said.Receipt
	}
	if err := c.journal.write(r); err != nil {
		return err
	}
	if o.event == acknowledged {
		c.book.acknowledge()
	}
	return nil
}

// outcome is what became of a vote: no event where that is not known.
type outcome struct {
	event  event
	answer answer
	// again counts for what reasons it was sent again.
	again map[string]int64
	// trouble is what went wrong last.
	trouble error
}

// stands reports whether the answer says which vote stands.
func (o outcome) stands() bool { return o.event == acknowledged || o.event == otherStands }

// persist sends a vote until there is an answer that says what became of it, or
// the voter's patience is at its end.
func (c *caster) persist(ctx context.Context, v vote) outcome {
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	o := outcome{again: map[string]int64{}}
	mayHaveArrived := false
	for attempts := 1; ; attempts++ {
		server := c.target.pollURLs[c.turn.Add(1)%int64(len(c.target.pollURLs))]
		a, err := c.attempt(ctx, server, v)
		event := eventOf(a, err)
		if event != "" && (event != refused || !mayHaveArrived) {
			o.answer, o.event = a, event
			return o
		}
		reason := reasonOf(a, err)
		o.trouble = cmp.Or(err, errors.New(reason))
		if event == refused || !pause(ctx, attempts, a.retryAfter) {
			return o
		}
		mayHaveArrived = mayHaveArrived || !errors.Is(err, errUnsent)
		o.again[reason]++
	}
}

// reasonOf says why an attempt has to be repeated.
func reasonOf(a answer, err error) string {
	switch {
	case errors.Is(err, errUnsent):
		return "nobody listened"
	case err != nil:
		return "no answer"
	case a.detail != "":
		return fmt.Sprintf("%d %q", a.status, a.detail)
	default:
		return fmt.Sprintf("%d %s", a.status, http.StatusText(a.status))
	}
}

// eventOf returns what an attempt came to, or nothing if it is to be repeated.
func eventOf(a answer, err error) event {
	switch {
	case err != nil, a.status >= http.StatusInternalServerError, a.status == http.StatusTooManyRequests:
		return ""
	case a.status == http.StatusOK || a.status == http.StatusCreated:
		return acknowledged
	case a.status == http.StatusConflict:
		return otherStands
	default:
		return refused
	}
}
