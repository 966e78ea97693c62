// Package faulty makes a good queue or store behave as badly as a network, a
// disk or a crash can make it: slow, failing before or after the fact,
// delivering twice and out of order. It never breaks the contract of what it
// wraps, it only uses all of its freedom. The same seed makes the same
// decisions in the same order.
package faulty

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// ErrInjected is what a wrapper fails with.
var ErrInjected = errors.New("injected fault")

// Faults says how often what goes wrong, as probabilities from 0 to 1.
type Faults struct {
	// Before is how often a call fails with nothing done.
	Before float64
	// After is how often a call fails with everything done.
	After float64
	// Twice is how often a delivery is delivered again.
	Twice float64
	// Shuffle says that the votes of a batch come in any order.
	Shuffle bool
	// Slow bounds the time that a call takes longer, at random.
	Slow time.Duration
}

// faults injects Faults around calls of several goroutines.
type faults struct {
	Faults

	mu     sync.Mutex
	random *rand.Rand
}

func newFaults(seed uint64, f Faults) *faults {
	return &faults{Faults: f, random: rand.New(rand.NewPCG(seed, 0))} //nolint:gosec // faults are to be repeatable
}

// around makes a call, or does not, or does and says that it did not.
func (f *faults) around(ctx context.Context, call func() error) error {
	if err := f.before(ctx); err != nil {
		return err
	}
	if err := call(); err != nil {
		return err
	}
	if f.hit(f.After) {
		return ErrInjected
	}
	return nil
}

// before dawdles, and fails if a call is to fail with nothing done.
func (f *faults) before(ctx context.Context) error {
	if err := f.dawdle(ctx); err != nil {
		return err
	}
	if f.hit(f.Before) {
		return ErrInjected
	}
	return nil
}

func (f *faults) dawdle(ctx context.Context) error {
	if f.Slow <= 0 {
		return nil
	}
	f.mu.Lock()
	pause := time.Duration(f.random.Int64N(int64(f.Slow)))
	f.mu.Unlock()
	select {
	case <-time.After(pause):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hit returns true with probability p.
func (f *faults) hit(p float64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.random.Float64() < p
}

func (f *faults) shuffle(n int, swap func(i, j int)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.random.Shuffle(n, swap)
}
