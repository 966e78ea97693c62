package worker

import (
	"errors"
	"fmt"
	"sync"
)

var errNotPublished = errors.New("the polls have not been published yet")

// health remembers how the store answered last.
type health struct {
	mu        sync.Mutex
	published bool
	last      error
}

// store notes the store's last answer, nil when it did what it was asked.
func (h *health) store(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = err
}

func (h *health) publish() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.published = true
}

func (h *health) ready() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.last != nil:
		return fmt.Errorf("the store failed: %w", h.last)
	case !h.published:
		return errNotPublished
	}
	return nil
}
