package app

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"popeye/internal/web"
)

const (
	// askEvery is the time between two questions to a part that is not there yet.
	askEvery = time.Second
	// askWithin bounds one of them.
	askWithin = 5 * time.Second
)

// gate is closed until a part that the service needs has been there once. What
// becomes of the part later is for the roles to tell: they can do much without.
type gate struct {
	name string
	ask  func(ctx context.Context) error
	// missing is why the gate is closed, nil once it is open.
	missing atomic.Pointer[error]
}

// newGate returns a gate that is closed until Run has asked.
func newGate(name string, ask func(ctx context.Context) error) *gate {
	g := &gate{name: name, ask: ask}
	err := errors.New("was not asked yet")
	g.missing.Store(&err)
	return g
}

// Run asks until the part is there, or ctx is done. It returns nil.
func (g *gate) Run(ctx context.Context) error {
	ticker := time.NewTicker(askEvery)
	defer ticker.Stop()
	for {
		within, cancel := context.WithTimeout(ctx, askWithin)
		err := g.ask(within)
		cancel()
		if err == nil {
			g.missing.Store(nil)
			return nil
		}
		if ctx.Err() == nil {
			g.missing.Store(&err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// why returns what the gate still waits for, nil once it is open.
func (g *gate) why() error {
	if err := g.missing.Load(); err != nil {
		return *err
	}
	return nil
}

// checks returns the gate as a condition of readiness, and one more that is looked
// at when the gate is open: until then it could only say the same.
func (g *gate) checks(name string, ready func() error) []web.Check {
	return []web.Check{{Name: g.name, Ready: g.why}, {Name: name, Ready: func() error {
		if isClosed := g.missing.Load() != nil; isClosed {
			return nil
		}
		return ready()
	}}}
}
