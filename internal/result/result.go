// Package result is the role that shows results: the result pages, the API, and
// the live streams. It reads tallies from the store and hears of changes by the
// bell; it never sees the queue, and never counts a vote itself.
package result

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"popeye"
	"popeye/internal/web"
)

// Store is where tallies come from.
type Store interface {
	// Tally returns a poll's result, at a cost that does not depend on the number
	// of votes. It fails with popeye.ErrNotFound.
	Tally(ctx context.Context, poll string) (popeye.Tally, error)
}

// Bell tells which polls' results have changed.
type Bell interface {
	// Listen calls heard after each change until ctx is done. It may be called
	// once for several changes, and with popeye.EveryPoll when some may have been
	// missed.
	Listen(ctx context.Context, heard func(poll string)) error
}

// Passes tells whether a browser has voted in a round.
type Passes interface {
	HasPass(r *http.Request, d *popeye.Definition) bool
}

// Config is what the role needs.
type Config struct {
	Store  Store
	Bell   Bell
	Passes Passes
	Pages  *web.Pages
	// MaxViewers bounds the open streams; more are answered 503.
	MaxViewers int
	// Interval is the least time between two frames of a poll.
	Interval time.Duration
	// Heartbeat is the time between two comments on a silent stream.
	Heartbeat time.Duration
	// WriteTimeout is how long a viewer may take to read what it was sent before
	// it is let go.
	WriteTimeout time.Duration
	Log          *slog.Logger
	Metrics      prometheus.Registerer
	// Now is the clock.
	Now func() time.Time
}

// Result is the role. It is an http.Handler; Run keeps it up to date.
type Result struct {
	cfg Config
	mux *web.Mux

	mu     sync.RWMutex
	boards map[string]*board // by poll

	viewers atomic.Int64
	frames  prometheus.Counter

	// Publishers work and streams live until ended is closed; work counts the
	// publishers, and those who write to slow viewers.
	ended chan struct{}
	end   sync.Once
	work  sync.WaitGroup
}

// assets is where the pages of this role find their static files.
const assets = "/r/_/"

// New returns the role, ready to serve.
func New(cfg Config) *Result {
	s := &Result{
		cfg:    cfg,
		mux:    web.NewMux(cfg.Log, cfg.Pages.Problem(assets)),
		boards: map[string]*board{},
		ended:  make(chan struct{}),
		frames: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "popeye_result_frames_total",
			Help: "Frames delivered to viewers.",
		}),
	}
	cfg.Metrics.MustRegister(s.frames, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "popeye_result_viewers",
		Help: "Streams that are open.",
	}, func() float64 { return float64(s.viewers.Load()) }))
	s.routes()
	return s
}

// ServeHTTP answers a request to the role's addresses.
func (s *Result) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

func (s *Result) routes() {
	s.mux.Render("/api/", web.RenderJSON)
	s.mux.Handle("GET /r/{poll}", s.page)
	s.mux.Handle("GET /api/v1/results/{poll}", s.show)
	s.mux.Handle("GET /api/v1/results/{poll}/stream", s.stream)
	s.mux.Mount("GET "+assets, s.cfg.Pages.Assets(assets))
}

// Run listens to the bell until ctx is done.
func (s *Result) Run(ctx context.Context) error {
	return s.cfg.Bell.Listen(ctx, func(poll string) {
		for _, b := range s.concerned(poll) {
			b.ring()
		}
	})
}

// End ends the streams, and returns when they are gone. It may be called again.
func (s *Result) End() {
	s.end.Do(func() { close(s.ended) })
	for _, b := range s.concerned(popeye.EveryPoll) {
		b.update() // the last change is never dropped
		b.end(nil)
	}
	s.work.Wait()
}

// concerned returns the boards that a ring for poll is for.
func (s *Result) concerned(poll string) []*board {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if poll == popeye.EveryPoll {
		return slices.Collect(maps.Values(s.boards))
	}
	if b := s.boards[poll]; b != nil {
		return []*board{b}
	}
	return nil
}

// known returns the poll's board, or nil when nobody has asked for it yet.
func (s *Result) known(poll string) *board {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.boards[poll]
}

// board returns the poll's board, and its current result. Only polls that the
// store knows have a board, so that asking for others costs no memory.
func (s *Result) board(ctx context.Context, poll string) (*board, *snapshot, error) {
	b := s.known(poll)
	if b == nil {
		if err := s.exists(ctx, poll); err != nil {
			return nil, nil, err
		}
		s.mu.Lock()
		if b = s.boards[poll]; b == nil {
			b = newBoard(s, poll)
			s.boards[poll] = b
		}
		s.mu.Unlock()
	}
	current, err := b.current(ctx)
	return b, current, err
}

func (s *Result) exists(ctx context.Context, poll string) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	_, err := s.cfg.Store.Tally(ctx, poll)
	return err
}

// forget drops a board whose poll is gone.
func (s *Result) forget(b *board) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.boards[b.poll] == b {
		delete(s.boards, b.poll)
	}
}

// isEnded reports whether End was called.
func (s *Result) isEnded() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// show is GET /api/v1/results/{poll}.
func (s *Result) show(w http.ResponseWriter, r *http.Request) error {
	_, current, err := s.board(r.Context(), r.PathValue("poll"))
	if err != nil {
		return err
	}
	if err := s.mayShow(r, current); err != nil {
		return err
	}
	// Private unless everybody may see it; no-cache in any case: ask each time,
	// and get 304 when nothing has changed.
	w.Header().Set("Cache-Control", "no-cache")
	if current.tally.Results != popeye.Always {
		w.Header().Set("Cache-Control", "private, no-cache")
	}
	w.Header().Set("Etag", current.etag)
	if web.MatchesETag(r, current.etag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	w.Header().Set("Content-Type", "application/json")
	// A client that is gone is not an error.
	_, _ = w.Write(current.json)
	return nil
}

// Why a result is not shown.
const (
	hiddenUntilVote  = "The result is shown to those who have voted."
	hiddenUntilClose = "The result is shown when the poll is closed."
)

// mayShow returns the problem 403 when the poll does not show its result to
// this client, or not yet.
func (s *Result) mayShow(r *http.Request, current *snapshot) error {
	t := current.tally
	switch {
	case t.IsPublic(s.cfg.Now()):
		return nil
	case t.Results == popeye.AfterClose:
		return web.NewProblem(http.StatusForbidden, hiddenUntilClose)
	case s.cfg.Passes.HasPass(r, &t.Definition):
		return nil
	default:
		return web.NewProblem(http.StatusForbidden, hiddenUntilVote)
	}
}
