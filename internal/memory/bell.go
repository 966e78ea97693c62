package memory

import (
	"context"
	"sync"

	"popeye"
)

// Bell tells the listeners of one process which polls have changed. The zero
// value is ready for use.
type Bell struct {
	mu        sync.RWMutex
	listeners map[*listener]struct{}
}

type listener struct {
	heard func(poll string)
}

// NewBell returns a bell without listeners.
func NewBell() *Bell { return &Bell{} }

// Ring tells every listener, before it returns, that something shown of these
// polls changed. Several goroutines may ring at the same time. It returns nil
// always.
func (b *Bell) Ring(_ context.Context, polls ...string) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for l := range b.listeners {
		for _, p := range polls {
			l.heard(p)
		}
	}
	return nil
}

// Listen calls heard with popeye.EveryPoll as soon as it hears, and then for
// each poll that is rung for, until ctx is done; then it returns nil, and heard is
// not called again. Whoever rings waits for heard, so it must only take note, and
// never use the bell; it may be called by several goroutines at the same time.
func (b *Bell) Listen(ctx context.Context, heard func(poll string)) error {
	l := &listener{heard: heard}
	b.mu.Lock()
	if b.listeners == nil {
		b.listeners = make(map[*listener]struct{})
	}
	b.listeners[l] = struct{}{}
	heard(popeye.EveryPoll) // before any ring
	b.mu.Unlock()

	<-ctx.Done()

	b.mu.Lock()
	delete(b.listeners, l)
	b.mu.Unlock()
	return nil
}
