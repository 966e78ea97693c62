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
	// Find tells what became of the vote with this receipt. It fails with
	// popeye.ErrNotFound.
	Find(ctx context.Context, receipt string) (popeye.Finding, error)
	// Receipts calls do with the receipt of every vote counted in a final result,
	// sorted. It fails with popeye.ErrNotFound, with popeye.ErrExists while the
	// result is not final, or with what do fails with.
	Receipts(ctx context.Context, poll string, do func(receipt string) error) error
	// Lag returns for how long votes may have been waiting that are not in the
	// tallies; zero when there are none.
	Lag(ctx context.Context) (time.Duration, error)
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
	Store Store
	Bell  Bell
	// Passes may be nil. Nobody has a pass then, and what is shown after one's vote
	// is shown after the close.
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

	fresh freshness
	// lists bounds how many lists of receipts are read at a time.
	lists chan struct{}

	viewers atomic.Int64
	frames  prometheus.Counter

	// Publishers work and streams live until ended is closed, which mu guards; work
	// counts the publishers, and those who write to slow viewers.
	ended chan struct{}
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
		lists:  make(chan struct{}, maxLists),
		ended:  make(chan struct{}),
		frames: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "popeye_result_frames_total",
			Help: "Frames delivered to viewers.",
		}),
	}
	cfg.Metrics.MustRegister(s.frames, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "popeye_result_viewers",
		Help: "Streams that are open.",
	}, func() float64 { return float64(s.viewers.Load()) }), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "popeye_result_stale_seconds",
		Help: "For how long votes may be missing in what is shown.",
	}, func() float64 { return s.fresh.stale(s.cfg.Now()).Seconds() }))
	s.routes()
	return s
}

// ServeHTTP answers a request to the role's addresses.
func (s *Result) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

func (s *Result) routes() {
	s.mux.Render("/api/", web.RenderJSON)
	s.mux.Handle("GET /r/{poll}", s.page)
	// Not "receipts": that pattern and the one of the assets would overlap.
	s.mux.Handle("GET /r/{poll}/{page}", s.receiptsPage)
	s.mux.Handle("POST /r/{poll}/receipts", s.lookUp)
	s.mux.Handle("GET /api/v1/results/{poll}", s.show)
	s.mux.Handle("GET /api/v1/results/{poll}/stream", s.stream)
	s.mux.Handle("GET /api/v1/results/{poll}/receipts", s.list)
	s.mux.Handle("GET /api/v1/receipts/{receipt}", s.receipt)
	s.mux.Mount("GET "+assets+"{file}", s.cfg.Pages.Assets(assets))
}

// Run listens to the bell, and looks how fresh the store is, until ctx is done.
func (s *Result) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { s.watch(ctx) })
	defer watching.Wait()
	defer stop()
	return s.cfg.Bell.Listen(ctx, func(poll string) {
		for _, b := range s.concerned(poll) {
			b.ring()
		}
	})
}

// Ready returns nil once the store has answered.
func (s *Result) Ready() error { return s.fresh.ready() }

// End ends the streams, and returns when they are gone. It may be called again.
func (s *Result) End() {
	s.shut()
	for _, b := range s.concerned(popeye.EveryPoll) {
		b.update() // the last change is never dropped
		b.end(nil)
	}
	s.work.Wait()
}

// shut lets nothing begin any more, and ends what has begun.
func (s *Result) shut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.isEnded() {
		close(s.ended)
	}
}

// begin does f in a goroutine that End waits for, or nothing once End was called:
// who comes while it waits cannot be waited for any more.
func (s *Result) begin(f func()) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.isEnded() {
		s.work.Go(f)
	}
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
		first, err := s.read(ctx, poll)
		if err != nil {
			return nil, nil, away(err)
		}
		s.mu.Lock()
		if b = s.boards[poll]; b == nil {
			b = newBoard(s, poll, first)
			s.boards[poll] = b
		}
		s.mu.Unlock()
	}
	current, err := b.current(ctx)
	return b, current, err
}

// read reads a poll's result from the store.
func (s *Result) read(ctx context.Context, poll string) (*snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	tally, err := s.cfg.Store.Tally(ctx, poll)
	if err != nil {
		return nil, err
	}
	return newSnapshot(tally)
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
