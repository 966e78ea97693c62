package result

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"time"

	"popeye"
	"popeye/internal/web"
)

const (
	// maxLists bounds the lists of receipts that are read at a time: each holds a
	// connection to the store until its client has read it.
	maxLists = 4
	// listTimeout bounds the time that one client may take for a list.
	listTimeout = 10 * time.Minute
	// listBuffer is how many bytes of a list are sent in one piece.
	listBuffer = 32 << 10
)

// list is GET /api/v1/results/{poll}/receipts: the receipts of all votes counted
// in a final result. However long it is, it is never whole in memory.
func (s *Result) list(w http.ResponseWriter, r *http.Request) error {
	_, current, err := s.board(r.Context(), r.PathValue("poll"))
	if err != nil {
		return err
	}
	if current.tally.State != popeye.Final {
		return notFinal()
	}
	l := newListing(s, w, &current.tally)
	if l.etag != "" && web.MatchesETag(r, l.etag) {
		l.head()
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	if r.Method == http.MethodHead {
		l.head()
		return nil
	}
	select {
	case s.lists <- struct{}{}:
		defer func() { <-s.lists }()
	default:
		problem := web.NewProblem(http.StatusServiceUnavailable, "Too many read such lists at once. Please try again in a moment.")
		problem.RetryAfter = retryDelay
		return problem
	}
	ctx, cancel := context.WithTimeout(r.Context(), listTimeout)
	defer cancel()
	return l.end(ctx, s.cfg.Store.Receipts(ctx, current.tally.ID, l.add))
}

// notFinal is why there is no list yet.
func notFinal() error {
	return web.NewProblem(http.StatusConflict, "The list of receipts is there as soon as the result is final.")
}

// listing is a list on its way to a client.
type listing struct {
	role    *Result
	w       http.ResponseWriter
	control *http.ResponseController
	out     *bufio.Writer
	etag    string
	begun   bool
}

func newListing(s *Result, w http.ResponseWriter, t *popeye.Tally) *listing {
	l := &listing{role: s, w: w, control: http.NewResponseController(w)}
	l.out = bufio.NewWriterSize(l, listBuffer)
	if t.ReceiptsHash != "" {
		l.etag = `"` + t.ReceiptsHash + `"`
	}
	return l
}

func (l *listing) add(receipt string) error {
	_, _ = l.out.WriteString(receipt) // the writer keeps its error
	return l.out.WriteByte('\n')
}

// head is what comes before the list. A final list stays as it is, but opening
// the poll again begins another.
func (l *listing) head() {
	header := l.w.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("Cache-Control", "no-cache")
	header.Set("X-Content-Type-Options", "nosniff")
	if l.etag != "" {
		header.Set("Etag", l.etag)
	}
}

// Write sends a piece, for which the client has time anew. The role's end waits
// for no more than that.
func (l *listing) Write(piece []byte) (int, error) {
	switch {
	case !l.begun:
		l.head()
		l.begun = true
	case l.role.isEnded():
		return 0, popeye.ErrUnavailable
	}
	err := l.control.SetWriteDeadline(time.Now().Add(l.role.cfg.WriteTimeout))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return l.w.Write(piece)
}

// end sends the rest when the store has given everything. When it has not, a list
// that was begun is cut off, so that nobody takes it for whole.
func (l *listing) end(ctx context.Context, err error) error {
	if err == nil {
		if l.out.Buffered() == 0 {
			l.head()
			return nil
		}
		err = l.out.Flush()
	}
	switch {
	case err == nil:
		return nil
	case l.begun:
		l.role.cfg.Log.WarnContext(ctx, "a list of receipts was cut off", "error", err)
		panic(http.ErrAbortHandler)
	case errors.Is(err, popeye.ErrExists):
		return notFinal()
	default:
		return away(err)
	}
}
