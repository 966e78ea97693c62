package result

import (
	"bytes"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"popeye"
	"popeye/internal/web"
)

// retryDelay is what browsers are told to wait before they come back.
const retryDelay = 2 * time.Second

// sendBuffer bounds what the kernel keeps for a viewer that does not read, in
// bytes: room for many frames of an ordinary poll.
const sendBuffer = 32 << 10

// viewer is one open stream: a connection, and a mailbox with room for one
// frame. Nothing queues up for a slow viewer: a newer frame takes the place of
// the one that it has not read.
//
// The connection is taken from the HTTP server (hijacked), for what the server
// keeps for each connection is four times of what a stream needs.
type viewer struct {
	conn net.Conn
	mail chan mail
	// round and results are those of the result that the viewer was let in to.
	round   int64
	results popeye.Visibility
	// gone is set once the viewer is told to end; nothing is mailed after.
	gone atomic.Bool
}

// mail is a frame, or a heartbeat, or the end of the stream after its frame.
type mail struct {
	text    []byte
	version int64
	end     bool
}

// admitted reports whether the viewer, who was let in to an earlier result, may
// see s without being asked again.
func (v *viewer) admitted(s *snapshot) bool {
	return s.tally.Results == popeye.Always || s.tally.Round == v.round && s.tally.Results == v.results
}

// show mails a result. Only one goroutine at a time may mail: the holder of the
// board's lock.
func (v *viewer) show(s *snapshot) { v.post(mail{text: s.frame, version: s.tally.Version}) }

// beat mails a heartbeat, unless there is something better in the mailbox.
func (v *viewer) beat(comment []byte) {
	select {
	case v.mail <- mail{text: comment}:
	default:
	}
}

// dismiss mails the end of the stream.
func (v *viewer) dismiss(last []byte) {
	v.post(mail{text: last, end: true})
	v.gone.Store(true)
}

func (v *viewer) post(m mail) {
	if v.gone.Load() {
		return
	}
	select {
	case <-v.mail:
	default:
	}
	v.mail <- m
}

// stream is GET /api/v1/results/{poll}/stream.
func (s *Result) stream(w http.ResponseWriter, r *http.Request) error {
	b, current, err := s.board(r.Context(), r.PathValue("poll"))
	if err != nil {
		return err
	}
	if err := s.mayShow(r, current); err != nil {
		return err
	}
	if s.viewers.Add(1) > int64(s.MaxViewers) {
		s.viewers.Add(-1)
		problem := web.NewProblem(http.StatusServiceUnavailable, "There are too many viewers.")
		problem.RetryAfter = retryDelay
		return problem
	}
	v := &viewer{mail: make(chan mail, 1), round: current.tally.Round, results: current.tally.Results}
	if !b.join(r.Context(), v) {
		s.viewers.Add(-1)
		return popeye.ErrUnavailable
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		b.leave(v)
		s.viewers.Add(-1)
		return err
	}
	v.conn = conn
	go s.serve(b, v, r.Method == http.MethodHead)
	return nil
}

// serve writes what is mailed until the viewer or the role is gone.
func (s *Result) serve(b *board, v *viewer, headOnly bool) {
	defer s.viewers.Add(-1)
	defer b.leave(v)
	// It is closed for the last time here; there is nobody to tell of an error.
	defer func() { _ = v.conn.Close() }()
	if tcp, ok := v.conn.(*net.TCPConn); ok {
		// Without it a slow viewer costs the kernel more memory, and that is all.
		_ = tcp.SetWriteBuffer(sendBuffer)
	}
	if !s.write(v, preamble(s.Now(), b.stale())) || headOnly {
		return
	}
	shown := int64(0)
	for m := range v.mail {
		if m.version != 0 && m.version <= shown {
			continue
		}
		if len(m.text) > 0 && !s.write(v, m.text) {
			return
		}
		if m.version != 0 {
			shown = m.version
			s.frames.Inc()
		}
		if m.end {
			return
		}
	}
}

// write writes text, and reports whether the viewer took it in time.
func (s *Result) write(v *viewer, text []byte) bool {
	if err := v.conn.SetWriteDeadline(time.Now().Add(s.WriteTimeout)); err != nil {
		return false
	}
	_, err := v.conn.Write(text)
	return err == nil
}

// preamble is the head of the answer, the time to wait before coming back, and
// how fresh the frame is that follows. The body ends with the connection (RFC
// 9112, section 6.3).
func preamble(now time.Time, stale time.Duration) []byte {
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 200 OK\r\n" +
		"Content-Type: text/event-stream\r\n" +
		"Cache-Control: no-store\r\n" +
		"X-Content-Type-Options: nosniff\r\n" +
		"X-Accel-Buffering: no\r\n" +
		"Connection: close\r\n" +
		"Date: " + now.UTC().Format(http.TimeFormat) + "\r\n\r\n" +
		"retry: " + strconv.FormatInt(retryDelay.Milliseconds(), 10) + "\n")
	b.Write(beat(stale))
	return b.Bytes()
}
