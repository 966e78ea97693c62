package result

import (
	"net/http"
	"strconv"
	"time"

	"popeye"
	"popeye/internal/web"
)

// retryDelay is what browsers are told to wait before they come back.
const retryDelay = 2 * time.Second

// stream is GET /api/v1/results/{poll}/stream.
func (s *Result) stream(w http.ResponseWriter, r *http.Request) error {
	b, current, err := s.board(r.Context(), r.PathValue("poll"))
	if err != nil {
		return err
	}
	if err := s.mayShow(r, current); err != nil {
		return err
	}
	if s.isEnded() {
		return popeye.ErrUnavailable
	}
	if s.viewers.Add(1) > int64(s.cfg.MaxViewers) {
		s.viewers.Add(-1)
		problem := web.NewProblem(http.StatusServiceUnavailable, "There are too many viewers.")
		problem.RetryAfter = retryDelay
		return problem
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		s.viewers.Add(-1)
		return err
	}
	head := streamHead(s.cfg.Now())
	if r.Method == http.MethodHead || !b.join(newViewer(conn, &current.tally), append(head, opening(b.stale())...), current) {
		s.viewers.Add(-1)
		// To whom asked for the head only this is all; anybody else comes back, for
		// what was to be shown has just ended. Nobody is left to tell of an error.
		_, _ = conn.Write(head)
		_ = conn.Close()
	}
	return nil
}

// streamHead is the head of the answer. The body ends with the connection (RFC
// 9112, section 6.3).
func streamHead(now time.Time) []byte {
	return []byte("HTTP/1.1 200 OK\r\n" +
		"Content-Type: text/event-stream\r\n" +
		"Cache-Control: no-store\r\n" +
		"X-Content-Type-Options: nosniff\r\n" +
		"X-Accel-Buffering: no\r\n" +
		"Connection: close\r\n" +
		"Date: " + now.UTC().Format(http.TimeFormat) + "\r\n\r\n")
}

// opening is what comes before the first frame: how long to wait before coming
// back, and how fresh that frame is.
func opening(stale time.Duration) []byte {
	retry := "retry: " + strconv.FormatInt(retryDelay.Milliseconds(), 10) + "\n"
	return append([]byte(retry), beat(stale)...)
}
