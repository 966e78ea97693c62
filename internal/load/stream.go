package load

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	// silence is for how long a stream may say nothing, heartbeats included,
	// before it is taken for dead.
	silence = time.Minute
	// maxLine bounds one line of a stream, in bytes.
	maxLine = 1 << 20
	// reconnectWait is the time between two attempts to open a broken stream.
	reconnectWait = 200 * time.Millisecond
)

// events is one open stream (HTML standard, section 9.2).
type events struct {
	conn  *conn
	lines *bufio.Scanner
	event
}

// event is what a stream said. Its data is good until the next.
type event struct {
	name string
	id   int64
	data []byte
}

// open opens the stream of a poll's results.
func (t *target) open(ctx context.Context, poll string) (*events, error) {
	c, err := t.connect(ctx)
	if err != nil {
		return nil, err
	}
	e, err := c.stream(t.get(resultPath(poll)+"/stream")+"Accept: text/event-stream\r\n\r\n", t.timeout)
	if err != nil {
		c.close()
		return nil, fmt.Errorf("open the stream of %q at %s: %w", poll, t.url, err)
	}
	return e, nil
}

func (c *conn) stream(request string, timeout time.Duration) (*events, error) {
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	if _, err := c.Write([]byte(request)); err != nil {
		return nil, err
	}
	response, err := c.head() //nolint:bodyclose // it is read for good, and ends with the connection
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server answered %d %s", response.StatusCode, http.StatusText(response.StatusCode))
	}
	e := &events{conn: c, lines: bufio.NewScanner(response.Body)}
	// Small to begin with, for there may be very many streams.
	e.lines.Buffer(make([]byte, 0, 512), maxLine)
	return e, nil
}

// next waits for the next event. Comments and the rest are passed over.
func (e *events) next() (event, error) {
	e.name, e.data = "", e.data[:0]
	for {
		if err := e.conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
			return event{}, err
		}
		if !e.lines.Scan() {
			return event{}, e.end()
		}
		if line := e.lines.Bytes(); len(line) > 0 {
			e.field(line)
		} else if len(e.data) > 0 {
			return e.event, nil
		}
	}
}

// field takes in one line.
func (e *events) field(line []byte) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "event":
		e.name = string(value)
	case "data":
		e.data = append(e.data, value...)
	case "id":
		// An id that is no number is not one of Popeye's versions.
		e.id, _ = strconv.ParseInt(string(value), 10, 64)
	}
}

func (e *events) end() error {
	if err := e.lines.Err(); err != nil {
		return err
	}
	return errors.New("the stream ended")
}

// follower follows a poll's stream, again and again where it breaks.
type follower struct {
	target *target
	poll   string
	show   func(total int64, at time.Time)
	done   chan struct{}

	mu         sync.Mutex
	version    int64
	reconnects int
	// backwards says that a frame had a lower version than the one before.
	backwards bool
}

// follow opens the stream, and calls show for each frame until ctx is done.
func follow(ctx context.Context, t *target, poll string, show func(total int64, at time.Time)) (*follower, error) {
	e, err := t.open(ctx, poll)
	if err != nil {
		return nil, err
	}
	f := &follower{target: t, poll: poll, show: show, done: make(chan struct{})}
	go f.run(ctx, e)
	return f, nil
}

// wait waits for the end of following, which the context of follow begins.
func (f *follower) wait() { <-f.done }

func (f *follower) run(ctx context.Context, e *events) {
	defer close(f.done)
	for {
		f.read(e)
		e.conn.close()
		if e = f.reopen(ctx); e == nil {
			return
		}
	}
}

// reopen returns a new stream, or nil once ctx is done.
func (f *follower) reopen(ctx context.Context) *events {
	retry := time.NewTicker(reconnectWait)
	defer retry.Stop()
	for ctx.Err() == nil {
		if e, err := f.target.open(ctx, f.poll); err == nil {
			f.mu.Lock()
			f.reconnects++
			f.mu.Unlock()
			return e
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
		}
	}
	return nil
}

// read reads the stream to its end.
func (f *follower) read(e *events) {
	for {
		ev, err := e.next()
		if err != nil {
			return
		}
		at := time.Now()
		var frame resultInfo
		if ev.name != "results" || json.Unmarshal(ev.data, &frame) != nil {
			continue
		}
		f.mu.Lock()
		f.backwards = f.backwards || frame.Version < f.version
		f.version = max(f.version, frame.Version)
		f.mu.Unlock()
		f.show(frame.Total, at)
	}
}

// state returns how often the stream had to be opened again, and whether it
// ever went backwards.
func (f *follower) state() (reconnects int, backwards bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reconnects, f.backwards
}
