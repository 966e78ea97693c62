package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// window is the time in which no message is written more often than this.
	window        = time.Second
	mostInAWindow = 10
	// mostMessages bounds the messages that are counted. Popeye has fewer; what is
	// beyond is written as it comes.
	mostMessages = 1000
)

// calm writes a message at most ten times a second, and says with the next one how
// many were left out. While a part is away, every request of a poll fails for the
// same reason, thousands a second: that must not fill the disk, nor cost what is
// needed to recover.
type calm struct {
	slog.Handler
	said *said
}

// said is what was written lately, by level and message.
type said struct {
	mu       sync.Mutex
	messages map[message]*tally
}

type message struct {
	level slog.Level
	text  string
}

type tally struct {
	began            time.Time
	written, leftOut int
}

func newCalm(h slog.Handler) slog.Handler {
	return &calm{h, &said{messages: map[message]*tally{}}}
}

// Handle writes r, unless the same was written too often.
func (c *calm) Handle(ctx context.Context, r slog.Record) error {
	leftOut, ok := c.said.admit(message{r.Level, r.Message}, r.Time)
	if !ok {
		return nil
	}
	if leftOut > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("left_out", leftOut))
	}
	return c.Handler.Handle(ctx, r)
}

// WithAttrs returns a handler that counts together with c.
func (c *calm) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &calm{c.Handler.WithAttrs(attrs), c.said}
}

// WithGroup returns a handler that counts together with c.
func (c *calm) WithGroup(name string) slog.Handler {
	return &calm{c.Handler.WithGroup(name), c.said}
}

// admit reports whether a message is to be written, and if so, how many like it
// were not since the last that was.
func (s *said) admit(m message, at time.Time) (leftOut int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.messages[m]
	if t == nil {
		if len(s.messages) >= mostMessages {
			return 0, true
		}
		t = &tally{began: at}
		s.messages[m] = t
	}
	if at.Sub(t.began) >= window {
		t.began, t.written = at, 0
	}
	if t.written >= mostInAWindow {
		t.leftOut++
		return 0, false
	}
	t.written++
	leftOut, t.leftOut = t.leftOut, 0
	return leftOut, true
}
