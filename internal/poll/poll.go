// Package poll is the role that takes votes: the voting pages, and the API to
// cast. It knows the polls from the queue and hands votes to the queue; it
// never sees the store.
package poll

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"popeye"
	"popeye/internal/voter"
	"popeye/internal/web"
)

// Queue is where votes go.
type Queue interface {
	// Enqueue makes a vote durable, or says what stands instead. It fails with
	// popeye.ErrNotFound, ErrClosed, ErrFull or ErrUnavailable.
	Enqueue(ctx context.Context, c popeye.Cast) (popeye.Answer, error)
	// Mark tells the vote that stands for a voter, if there is one.
	Mark(ctx context.Context, round int64, v popeye.Voter) (popeye.Mark, bool, error)
	// Catalog returns the polls as last published, nil before the first time.
	Catalog() *popeye.Catalog
}

// Voters tells who is voting. It is the seam for other integrity levels.
type Voters interface {
	Identify(r *http.Request, d *popeye.Definition, token string) (voter.Identity, error)
	Pseudonym(d *popeye.Definition, id voter.ID) (popeye.Voter, error)
	Browser
}

// Browser is what a voter's browser is given to show the next time.
type Browser interface {
	Token(d *popeye.Definition, id voter.ID) string
	SetCookie(w http.ResponseWriter, r *http.Request, who voter.Identity)
	GrantPass(w http.ResponseWriter, r *http.Request, d *popeye.Definition)
}

// Config is what the role needs.
type Config struct {
	Queue  Queue
	Voters Voters
	Pages  *web.Pages
	// OpenAPI is the document served at /api/openapi.yaml.
	OpenAPI []byte
	// Limiter may be nil.
	Limiter *web.Limiter
	// MaxCasts bounds the casts on their way to the queue; more are answered 503.
	MaxCasts int
	// Timeout bounds one cast.
	Timeout time.Duration
	// Counted says that an acknowledged vote is already in the result, as it is
	// where queue and store are one process.
	Counted bool
	Log     *slog.Logger
	Metrics prometheus.Registerer
	// Now is the clock.
	Now func() time.Time
}

// Poll is the role. It is an http.Handler.
type Poll struct {
	cfg Config
	mux *web.Mux

	origins *http.CrossOriginProtection
	recent  *retries
	casts   *prometheus.CounterVec
	// inFlight has room for the casts on their way to the queue.
	inFlight chan struct{}
}

// New returns the role, ready to serve.
func New(cfg Config) *Poll {
	p := &Poll{
		cfg:      cfg,
		mux:      web.NewMux(cfg.Log, cfg.Pages.Problem(assets)),
		origins:  http.NewCrossOriginProtection(),
		recent:   newRetries(),
		inFlight: make(chan struct{}, cfg.MaxCasts),
		casts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "popeye_poll_casts_total",
			Help: "Votes that reached the poll role, by what became of them.",
		}, []string{"outcome"}),
	}
	cfg.Metrics.MustRegister(p.casts, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "popeye_poll_casts_in_flight",
		Help: "Votes on their way to the queue.",
	}, func() float64 { return float64(len(p.inFlight)) }))
	p.routes()
	return p
}

// ServeHTTP answers a request to the role's addresses.
func (p *Poll) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.mux.ServeHTTP(w, r) }

// assets is where the pages of this role find their static files.
const assets = "/p/_/"

func (p *Poll) routes() {
	p.mux.Render("/api/", web.RenderJSON)
	p.mux.Handle("GET /{$}", p.home)
	p.mux.Handle("POST /{$}", p.castHome)
	p.mux.Handle("GET /p/{poll}", p.page)
	p.mux.Handle("POST /p/{poll}", p.castForm)
	p.mux.Handle("GET /api/v1/polls", p.list)
	p.mux.Handle("GET /api/v1/polls/{poll}", p.show)
	p.mux.Handle("POST /api/v1/votes/{poll}", p.castJSON)
	p.mux.Handle("GET /api/openapi.yaml", p.openAPI)
	p.mux.Mount("GET "+assets, p.cfg.Pages.Assets(assets))
}

// Ready returns nil once the polls are known.
func (p *Poll) Ready() error {
	if p.cfg.Queue.Catalog() == nil {
		return errors.New("waiting for the worker to publish the polls")
	}
	return nil
}

// find returns the definition that the request's path names.
func (p *Poll) find(r *http.Request) (*popeye.Definition, error) {
	catalog := p.cfg.Queue.Catalog()
	if catalog == nil {
		return nil, p.waiting()
	}
	if d := catalog.Find(r.PathValue("poll")); d != nil {
		return d, nil
	}
	return nil, popeye.ErrNotFound
}

// waiting is the error of a request that comes before the polls are known.
func (p *Poll) waiting() error { return fmt.Errorf("%w: %w", popeye.ErrUnavailable, p.Ready()) }

func (p *Poll) list(w http.ResponseWriter, _ *http.Request) error {
	catalog := p.cfg.Queue.Catalog()
	if catalog == nil {
		return p.waiting()
	}
	polls := []web.Definition{}
	for _, d := range catalog.All() {
		polls = append(polls, web.NewDefinition(d, p.cfg.Now()))
	}
	web.JSON(w, http.StatusOK, map[string]any{"polls": polls})
	return nil
}

func (p *Poll) show(w http.ResponseWriter, r *http.Request) error {
	d, err := p.find(r)
	if err != nil {
		return err
	}
	web.JSON(w, http.StatusOK, web.NewDefinition(d, p.cfg.Now()))
	return nil
}

func (p *Poll) openAPI(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/yaml")
	// A client that is gone is not an error.
	_, _ = w.Write(p.cfg.OpenAPI)
	return nil
}
