package worker

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// health remembers how the parts answered last.
type health struct {
	copies int

	mu sync.Mutex
	// published counts the queue servers that took the last catalog.
	published int
	// last is the error that the store answered with last, and up is closed while
	// there is none.
	last error
	up   chan struct{}
}

func newHealth(copies int) *health { return &health{copies: copies, up: make(chan struct{})} }

// store notes the store's last answer, nil when it did what it was asked.
func (h *health) store(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = err
	select {
	case <-h.up:
		if err != nil {
			h.up = make(chan struct{})
		}
	default:
		if err == nil {
			close(h.up)
		}
	}
}

// await waits until the store does what it is asked, or ctx is done.
func (h *health) await(ctx context.Context) {
	h.mu.Lock()
	up := h.up
	h.mu.Unlock()
	select {
	case <-up:
	case <-ctx.Done():
	}
}

func (h *health) publish(servers int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.published = servers
}

func (h *health) ready() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.last != nil:
		return fmt.Errorf("the store failed: %w", h.last)
	case h.published < h.copies:
		return fmt.Errorf("the polls are published to %d of the queues, %d are needed", h.published, h.copies)
	}
	return nil
}

// grumbleEvery is how often a failure that goes on is told again.
const grumbleEvery = 10 * time.Second

// grumble keeps failures that go on from filling the log. Its zero value has
// heard of none.
type grumble struct {
	mu   sync.Mutex
	told map[string]time.Time
}

// due reports whether a failure of this kind is to be told at now.
func (g *grumble) due(kind string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if last, ok := g.told[kind]; ok && now.Sub(last) < grumbleEvery {
		return false
	}
	if g.told == nil {
		g.told = make(map[string]time.Time)
	}
	g.told[kind] = now
	return true
}
