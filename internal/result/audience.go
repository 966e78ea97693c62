package result

import (
	"net"
	"sync"
	"syscall"
	"time"

	"popeye"
)

// sendBuffer bounds what the kernel keeps for a viewer that does not read, in
// bytes: room for many frames of an ordinary poll.
const sendBuffer = 32 << 10

// viewer is one open stream. It has no goroutine and no queue: a frame is made
// once for all viewers and given to the kernel, which nearly always takes it at
// once. Only for a viewer that is too slow for that a goroutine writes the rest,
// and what changes meanwhile is merged into the next frame.
//
// The connection is taken from the HTTP server (hijacked), for what the server
// keeps for each connection is many times of what a stream needs.
type viewer struct {
	conn net.Conn
	// send is what the kernel is given without waiting, nil where the system
	// cannot do that.
	send *sender
	// round and results are those of the result that the viewer was let in to.
	round   int64
	results popeye.Visibility
	// shown is the version sent last.
	shown int64
	// busy: a goroutine is writing to it. ended: nothing else may be.
	busy, ended bool
}

func newViewer(conn net.Conn, admittedTo *popeye.Tally) *viewer {
	v := &viewer{conn: conn, round: admittedTo.Round, results: admittedTo.Results}
	if tcp, ok := conn.(*net.TCPConn); ok {
		// Without it a slow viewer costs the kernel more memory, and that is all.
		_ = tcp.SetWriteBuffer(sendBuffer)
	}
	if c, ok := conn.(syscall.Conn); ok {
		v.send = newSender(c)
	}
	return v
}

// admitted reports whether the viewer, who was let in to an earlier result, may
// see t without being asked again.
func (v *viewer) admitted(t *popeye.Tally) bool {
	return t.Results == popeye.Always || t.Round == v.round && t.Results == v.results
}

// audience is a part of a poll's viewers. A poll has as many as there are
// processors, so that all of them can send at the same time.
type audience struct {
	role *Result

	mu      sync.Mutex
	viewers map[*viewer]struct{}
	// last is the newest result that was sent to anybody here.
	last *snapshot
	// ended: there will be no more viewers.
	ended bool
}

// join adds v and sends it greeting and the newest result known: s, or a newer
// one. It returns false when v may not be here, or not any more.
func (a *audience) join(v *viewer, greeting []byte, s *snapshot) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last != nil && a.last.tally.Version > s.tally.Version {
		s = a.last
	}
	if a.ended || !v.admitted(&s.tally) {
		return false
	}
	a.viewers[v] = struct{}{}
	v.shown = s.tally.Version
	a.role.frames.Inc()
	a.write(v, append(greeting, s.frame...))
	return true
}

// show sends s to everybody who has not seen it yet, as soon as they are ready
// for it, and reports whether that is anybody.
func (a *audience) show(s *snapshot) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last == s {
		return false // whoever came since was sent it, or will be when not busy
	}
	a.last = s
	isNew := false
	for v := range a.viewers {
		if v.shown < s.tally.Version {
			isNew = true
			a.showTo(v)
		}
	}
	return isNew
}

// isWatched reports whether there is any viewer.
func (a *audience) isWatched() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.viewers) > 0
}

// showTo sends the newest result to v, unless v has it, or is still busy with an
// earlier one.
func (a *audience) showTo(v *viewer) {
	switch {
	case v.busy || a.last == nil || a.last.tally.Version <= v.shown:
	case v.admitted(&a.last.tally):
		v.shown = a.last.tally.Version
		a.role.frames.Inc()
		a.write(v, a.last.frame)
	default:
		// Whoever may still look comes back at once, and is asked again.
		a.dismiss(v, nil)
	}
}

// beat sends a comment to everybody who is not busy anyway.
func (a *audience) beat(comment []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for v := range a.viewers {
		if !v.busy {
			a.write(v, comment)
		}
	}
}

// end ends all streams after a last event, which may be empty, and lets nobody
// in any more.
func (a *audience) end(event []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	for v := range a.viewers {
		a.dismiss(v, event)
	}
}

// dismiss ends the stream of v after a last event. A viewer that is busy has a
// moment to read what it was sent before.
func (a *audience) dismiss(v *viewer, event []byte) {
	if v.ended {
		return
	}
	v.ended = true
	if v.busy {
		// Where it cannot be set, an earlier deadline stands.
		_ = v.conn.SetWriteDeadline(time.Now().Add(time.Second))
		return
	}
	if len(event) > 0 && v.send != nil {
		_, _ = v.send.write(event) // it is ended either way
	}
	a.drop(v)
}

// drop forgets v and closes its connection.
func (a *audience) drop(v *viewer) {
	if _, ok := a.viewers[v]; !ok {
		return
	}
	delete(a.viewers, v)
	a.role.viewers.Add(-1)
	// It is closed for the last time here; there is nobody to tell of an error.
	_ = v.conn.Close()
}

// write gives text to the kernel. What that does not take at once is written by
// a goroutine, and until then v is busy.
func (a *audience) write(v *viewer, text []byte) {
	if v.send != nil {
		n, err := v.send.write(text)
		if err != nil {
			a.drop(v)
			return
		}
		text = text[n:]
	}
	if len(text) == 0 {
		return
	}
	v.busy = true
	a.role.work.Go(func() { a.finish(v, text) })
}

// finish writes what a slow viewer was not ready for, and then shows it what it
// has missed.
func (a *audience) finish(v *viewer, rest []byte) {
	err := v.conn.SetWriteDeadline(time.Now().Add(a.role.cfg.WriteTimeout))
	if err == nil {
		_, err = v.conn.Write(rest)
	}
	if err == nil {
		// What is sent without waiting must not fail for a deadline that has passed.
		err = v.conn.SetWriteDeadline(time.Time{})
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	v.busy = false
	if err == nil {
		a.showTo(v)
	}
	if err != nil || v.ended && !v.busy {
		a.drop(v)
	}
}
