package queuetest

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"testing"
	"time"

	"popeye"
)

// patience bounds a test that waits for something that does not come.
const patience = 3 * time.Minute

// bench is a queue under test with what most tests need around it.
type bench struct {
	*testing.T
	q   Queue
	ctx context.Context //nolint:containedctx // the bound of one test
	// version is that of the newest catalog published.
	version int64
}

func newBench(t *testing.T, open Open) *bench {
	t.Helper()
	q := open(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return &bench{T: t, q: q, ctx: ctx}
}

// publish publishes the definitions as a catalog newer than all before.
func (b *bench) publish(definitions ...popeye.Definition) {
	b.Helper()
	b.version++
	b.publishAs(b.version, definitions...)
}

func (b *bench) publishAs(version int64, definitions ...popeye.Definition) {
	b.Helper()
	if err := b.q.Publish(b.ctx, popeye.NewCatalog(version, definitions)); err != nil {
		b.Fatalf("publish: %v", err)
	}
}

// cast returns the answer to a cast that must get one.
func (b *bench) cast(c popeye.Cast) popeye.Answer {
	b.Helper()
	a, err := b.q.Enqueue(b.ctx, c)
	if err != nil {
		b.Fatalf("enqueue: %v", err)
	}
	return a
}

// wantCast casts and compares the answer, outcome and standing vote.
func (b *bench) wantCast(c popeye.Cast, want popeye.Outcome, standing popeye.Mark) {
	b.Helper()
	wantAnswer(b, b.cast(c), want, standing)
}

// wantRefused casts and wants one of the errors.
func (b *bench) wantRefused(c popeye.Cast, want ...error) {
	b.Helper()
	a, err := b.q.Enqueue(b.ctx, c)
	for _, w := range want {
		if errors.Is(err, w) {
			return
		}
	}
	b.Fatalf("the cast got %q and error %v, want one of %v", a.Outcome, err, want)
}

// castLater casts in the background; the result comes on the channel.
func (b *bench) castLater(c popeye.Cast) <-chan result {
	done := make(chan result, 1)
	go func() {
		a, err := b.q.Enqueue(b.ctx, c)
		done <- result{cast: c, answer: a, err: err}
	}()
	return done
}

type result struct {
	cast   popeye.Cast
	answer popeye.Answer
	err    error
}

// await returns what comes on a channel, within the test's bound.
func await[T any](b *bench, c <-chan T, what string) T {
	b.Helper()
	select {
	case v := <-c:
		return v
	case <-b.ctx.Done():
		b.Fatalf("%s never came", what)
		panic("unreachable")
	}
}

// until waits for a fact that nothing announces.
func (b *bench) until(what string, holds func() bool) {
	b.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-b.ctx.Done():
			b.Fatalf("%s: did not come", what)
		}
	}
}

// receive takes one delivery by hand.
func (b *bench) receive() popeye.Delivery {
	b.Helper()
	ds, err := b.q.Receive(b.ctx, 1)
	if err != nil {
		b.Fatalf("receive: %v", err)
	}
	if len(ds) != 1 {
		b.Fatalf("received %d deliveries, at most 1 was asked for", len(ds))
	}
	return ds[0]
}

// pump receives and acknowledges in the background until the test ends, as a
// worker does, and notes what came in which order.
func (b *bench) pump() *pump {
	ctx, cancel := context.WithCancel(b.ctx)
	p := &pump{bench: b, moved: make(chan struct{})}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		p.err = p.run(ctx)
	}()
	p.stop = sync.OnceFunc(func() {
		cancel()
		<-stopped
		if !errors.Is(p.err, context.Canceled) {
			b.Errorf("pump: %v", p.err)
		}
	})
	b.Cleanup(p.stop)
	return p
}

type pump struct {
	*bench
	stop func()
	err  error

	mu    sync.Mutex
	log   []popeye.Delivery
	moved chan struct{}
}

func (p *pump) run(ctx context.Context) error {
	for {
		ds, err := p.q.Receive(ctx, 100)
		if err != nil {
			return err
		}
		p.mu.Lock()
		p.log = append(p.log, ds...)
		close(p.moved)
		p.moved = make(chan struct{})
		p.mu.Unlock()
		if err := p.q.Ack(context.WithoutCancel(ctx), ds); err != nil {
			return err
		}
	}
}

// wait waits until what was delivered satisfies enough, and returns it all.
func (p *pump) wait(what string, enough func(log []popeye.Delivery) bool) []popeye.Delivery {
	p.Helper()
	for {
		p.mu.Lock()
		log, moved := p.log, p.moved
		p.mu.Unlock()
		if enough(log) {
			return log
		}
		select {
		case <-moved:
		case <-p.ctx.Done():
			p.Fatalf("%s: did not come, after %d deliveries", what, len(log))
		}
	}
}

// drain closes the round of d, waits for its seal, and returns the votes of the
// round in the order of their delivery. A vote behind the seal fails the test.
func (p *pump) drain(d popeye.Definition) []popeye.Vote {
	p.Helper()
	p.publish(closed(d))
	return votesOf(p.wait("the seal", sealedRound(d.Round)), d.Round)
}

func sealedRound(round int64) func([]popeye.Delivery) bool {
	return func(log []popeye.Delivery) bool { return seals(log, round) > 0 }
}

func seals(log []popeye.Delivery, round int64) int {
	n := 0
	for _, d := range log {
		if d.Seal == round {
			n++
		}
	}
	return n
}

func votesOf(log []popeye.Delivery, round int64) []popeye.Vote {
	var votes []popeye.Vote
	for _, d := range log {
		if d.Seal == 0 && d.Vote.Round == round {
			votes = append(votes, d.Vote)
		}
	}
	return votes
}

// poll returns a definition that is open, as a store would give it. Tests put it
// into catalogs of any age; its own version says nothing about which is newer.
func poll(id string, round int64, policy popeye.Policy) popeye.Definition {
	p := popeye.Poll{ID: id, Question: "?", Policy: policy, Options: []popeye.Option{{ID: "a"}, {ID: "b"}, {ID: "c"}}}
	return popeye.Definition{Poll: p.WithDefaults(), Round: round, State: popeye.Open, VoterKey: "k1", Version: round}
}

// closed returns the definition as it is after closing.
func closed(d popeye.Definition) popeye.Definition {
	d.State, d.Version = popeye.Closed, d.Version+1
	return d
}

func voter(n int) popeye.Voter {
	var v popeye.Voter
	binary.BigEndian.PutUint64(v[:], uint64(n))
	return v
}

func vote(round int64, n int, c popeye.Choices, s popeye.Stamp) popeye.Cast {
	return popeye.Cast{Vote: popeye.Vote{Round: round, Voter: voter(n), Choices: c, Stamp: s}}
}

func after(c popeye.Cast, s popeye.Stamp) popeye.Cast {
	c.After = s
	return c
}

func mark(c popeye.Choices, s popeye.Stamp, serial int64) popeye.Mark {
	return popeye.Mark{Choices: c, Stamp: s, Serial: serial}
}

// failer is what both *testing.T and *rapid.T are.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

func wantAnswer(t failer, got popeye.Answer, want popeye.Outcome, standing popeye.Mark) {
	t.Helper()
	if got.Outcome != want || got.Mark != standing {
		t.Fatalf("the cast got %q with %+v standing, want %q with %+v", got.Outcome, got.Mark, want, standing)
	}
}
