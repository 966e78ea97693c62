// Package belltest holds the contract of a bell: what whoever rings and
// whoever listens can rely on, in one process or through a server.
package belltest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"popeye"
)

// patience bounds a test that waits for something that does not come.
const patience = 30 * time.Second

// Bell is what is tested.
type Bell interface {
	// Ring says that something shown of these polls changed.
	Ring(ctx context.Context, polls ...string) error
	// Listen calls heard with popeye.EveryPoll when it begins to hear, and then
	// for each poll that is rung for, until ctx is done.
	Listen(ctx context.Context, heard func(poll string)) error
}

// Open returns a bell for one test, which cleans up after itself.
type Open func(t *testing.T) Bell

// Run tests the contract, each promise on a bell of its own.
func Run(t *testing.T, open Open) {
	t.Helper()
	promises := []struct {
		says  string
		holds func(b *bench)
	}{
		{"a listener is told when it begins to hear", toldThatItHears},
		{"a ring is heard", hearsARing},
		{"a ring for several polls is heard as each of them", hearsEach},
		{"every listener hears every ring", everyoneHears},
		{"each of many rings is followed by a call", hearsAfterEachRing},
		{"nobody hears of a poll that nobody rang for", hearsNothingElse},
		{"ringing with nobody listening does nothing", ringsAlone},
		{"Listen ends with its context, without an error", listenEnds},
		{"nothing is heard after Listen has ended", silenceAfterwards},
	}
	for _, p := range promises {
		t.Run(p.says, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			t.Cleanup(cancel)
			p.holds(&bench{T: t, bell: open(t), ctx: ctx})
		})
	}
}

// bench is a bell under test.
type bench struct {
	*testing.T
	bell Bell
	ctx  context.Context //nolint:containedctx // the bound of one test
}

func (b *bench) ring(polls ...string) {
	b.Helper()
	if err := b.bell.Ring(b.ctx, polls...); err != nil {
		b.Fatalf("ring: %v", err)
	}
}

// ear is a listener that counts what it hears.
type ear struct {
	*bench
	end   context.CancelFunc
	ended chan error

	mu    sync.Mutex
	heard map[string]int
	rung  chan struct{}
}

// listen starts a listener and returns when it hears.
func (b *bench) listen() *ear {
	b.Helper()
	ctx, end := context.WithCancel(b.ctx)
	e := &ear{bench: b, end: end, ended: make(chan error, 1), heard: make(map[string]int), rung: make(chan struct{}, 1)}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		e.ended <- b.bell.Listen(ctx, e.hear)
	}()
	b.Cleanup(func() { end(); <-stopped })
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for e.times("ready") == 0 { // rings before it listens may be lost
		b.ring("ready")
		select {
		case <-tick.C:
		case <-ctx.Done():
			b.Fatalf("the listener never got ready")
		}
	}
	return e
}

func (e *ear) hear(poll string) {
	e.mu.Lock()
	e.heard[poll]++
	e.mu.Unlock()
	select {
	case e.rung <- struct{}{}:
	default:
	}
}

func (e *ear) times(poll string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.heard[poll]
}

// wait waits until poll was heard more than so many times.
func (e *ear) wait(poll string, more int) {
	e.Helper()
	for e.times(poll) <= more {
		select {
		case <-e.rung:
		case <-e.ctx.Done():
			e.Fatalf("no ring for %q was heard", poll)
		}
	}
}

// toldThatItHears: what was rung for before, nobody knows; so everything is to be
// looked at once.
func toldThatItHears(b *bench) {
	b.ring("cats")
	b.listen().wait(popeye.EveryPoll, 0)
}

func hearsARing(b *bench) {
	e := b.listen()
	b.ring("cats")
	e.wait("cats", 0)
}

func hearsEach(b *bench) {
	e := b.listen()
	b.ring("cats", "dogs", "birds")
	for _, p := range []string{"cats", "dogs", "birds"} {
		e.wait(p, 0)
	}
}

func everyoneHears(b *bench) {
	ears := []*ear{b.listen(), b.listen(), b.listen()}
	b.ring("cats")
	for _, e := range ears {
		e.wait("cats", 0)
	}
}

func hearsAfterEachRing(b *bench) {
	e := b.listen()
	for range 50 {
		before := e.times("cats")
		b.ring("cats")
		e.wait("cats", before)
	}
	var rings sync.WaitGroup
	for range 50 {
		rings.Go(func() {
			if err := b.bell.Ring(b.ctx, "dogs"); err != nil {
				b.Errorf("ring: %v", err)
			}
		})
	}
	rings.Wait()
	e.wait("dogs", 0)
}

func hearsNothingElse(b *bench) {
	e := b.listen()
	b.ring()
	b.ring("cats")
	b.ring("dogs")
	e.wait("cats", 0)
	e.wait("dogs", 0)
	e.mu.Lock()
	defer e.mu.Unlock()
	for p := range e.heard {
		if !slices.Contains([]string{popeye.EveryPoll, "ready", "cats", "dogs"}, p) {
			b.Fatalf("heard a ring for %q", p)
		}
	}
}

func ringsAlone(b *bench) {
	b.ring("cats")
	e := b.listen()
	b.ring("dogs")
	e.wait("dogs", 0)
}

func listenEnds(b *bench) {
	e := b.listen()
	e.end()
	e.awaitEnd()
}

func silenceAfterwards(b *bench) {
	quiet, other := b.listen(), b.listen()
	quiet.end()
	quiet.awaitEnd()
	b.ring("cats")
	other.wait("cats", 0)
	if quiet.times("cats") != 0 {
		b.Fatalf("a listener that had ended heard a ring")
	}
}

func (e *ear) awaitEnd() {
	e.Helper()
	select {
	case err := <-e.ended:
		if err != nil {
			e.Fatalf("Listen ended with %v", err)
		}
	case <-time.After(patience):
		e.Fatalf("Listen did not end")
	}
}
