package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"popeye/internal/admin"
	"popeye/internal/config"
	"popeye/internal/memory"
	"popeye/internal/poll"
	"popeye/internal/result"
	"popeye/internal/sqlite"
	"popeye/internal/telemetry"
	"popeye/internal/voter"
	"popeye/internal/web"
	"popeye/internal/web/openapi"
	"popeye/internal/worker"
)

// databaseName is the file in the data folder that holds the votes.
const databaseName = "popeye.db"

// How the embedded roles are set.
const (
	castTimeout     = 5 * time.Second
	frameInterval   = 200 * time.Millisecond // at most five frames a second
	heartbeatPeriod = 10 * time.Second
	viewerTimeout   = 4 * time.Second
	shutdownGrace   = 15 * time.Second
)

// embedded is Popeye in one process: the roles, on parts that need no other
// server.
type embedded struct {
	log     *slog.Logger
	metrics *prometheus.Registry

	store *sqlite.Store
	queue *memory.Queue
	bell  *memory.Bell

	worker *worker.Worker
	poll   *poll.Poll
	result *result.Result
	admin  *admin.Admin
}

// serveAll is "popeye all".
func serveAll(ctx context.Context, p Process, cfg config.All) (err error) {
	log := telemetry.NewLogger(p.Stderr, logFormat(cfg.LogFormat, p), cfg.LogLevel)
	registry, metrics := telemetry.NewRegistry()
	// What is likeliest to be mistaken comes first, before anything is made that
	// a second start would find.
	polls, err := readPolls(cfg.Polls)
	if err != nil {
		return err
	}
	public, err := listen(ctx, "--listen", cfg.Listen)
	if err != nil {
		return err
	}
	defer closeQuietly(public)
	ops, err := listen(ctx, "--ops-addr", cfg.OpsAddr)
	if err != nil {
		return err
	}
	defer closeQuietly(ops)
	secrets, err := openSecrets(cfg)
	if err != nil {
		return err
	}
	e := &embedded{log: log, metrics: registry}
	database := filepath.Join(cfg.Data, databaseName)
	e.store, err = sqlite.Open(ctx, sqlite.Config{Path: database, VoterKey: secrets.voters.Name(), Now: time.Now})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.store.Shutdown()) }()
	if err := e.build(cfg, secrets); err != nil {
		return err
	}
	isNew, err := e.begin(ctx, polls, secrets)
	if err != nil {
		return err
	}
	e.announce(p, cfg, secrets, isNew, public.Addr())
	log.InfoContext(ctx, "serving", "version", versionOf(p), "addr", public.Addr().String(), "ops_addr", ops.Addr().String())
	return e.serve(ctx, public, ops, metrics)
}

// build makes the roles on their parts.
func (e *embedded) build(cfg config.All, s secrets) error {
	e.bell = memory.NewBell()
	e.queue = memory.NewQueue(memory.QueueConfig{Capacity: cfg.QueueCapacity, Marks: e.store.Marks, Now: time.Now})
	e.worker = worker.New(worker.Config{
		Queue: e.queue, Recorder: e.store, Register: e.store, Bell: e.bell,
		Log: e.log, Metrics: e.metrics, Now: time.Now,
	})
	pages, err := web.NewPages()
	if err != nil {
		return err
	}
	voters := voter.New(voter.Config{Cookies: s.cookies, Pseudonyms: s.voters, Proxies: cfg.TrustedProxies})
	e.poll = poll.New(poll.Config{
		Queue: e.queue, Voters: voters, Pages: pages, OpenAPI: openapi.Document,
		Limiter: web.NewLimiter(cfg.RateLimit, cfg.TrustedProxies),
		Timeout: castTimeout, Counted: true, Log: e.log, Metrics: e.metrics, Now: time.Now,
	})
	e.result = result.New(result.Config{
		Store: e.store, Bell: e.bell, Passes: voters, Pages: pages,
		MaxViewers: cfg.MaxViewers, Interval: frameInterval, Heartbeat: heartbeatPeriod, WriteTimeout: viewerTimeout,
		Log: e.log, Metrics: e.metrics, Now: time.Now,
	})
	e.admin = admin.New(admin.Config{
		Register: e.store, Rounds: e.store, Token: s.admin, Changed: e.changed, Log: e.log, Now: time.Now,
	})
	return nil
}

// changed lets every role know of a changed poll before its organiser is
// answered.
func (e *embedded) changed(ctx context.Context, poll string) error {
	return errors.Join(e.worker.Sync(ctx), e.bell.Ring(ctx, poll))
}

// handler gives a request to the role that its path names, as a reverse proxy
// does where the roles are processes of their own.
func (e *embedded) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", e.poll)
	mux.Handle("/r/", e.result)
	mux.Handle("/api/v1/results/", e.result)
	mux.Handle("/admin/", e.admin)
	return mux
}

// serve runs everything until ctx is done or a part fails. What was begun is
// finished: first the requests, which need the worker, then the worker, which
// needs the store.
func (e *embedded) serve(ctx context.Context, public, ops net.Listener, metrics http.Handler) error {
	front, frontCtx := errgroup.WithContext(ctx)
	backCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	back, backCtx := errgroup.WithContext(backCtx)
	back.Go(func() error { return e.worker.Run(backCtx) })
	back.Go(func() error { return e.result.Run(backCtx) })

	front.Go(func() error { return failure(backCtx, frontCtx) })
	front.Go(func() error {
		server := web.Server{Listener: public, Handler: e.handler(), Log: e.log, Grace: shutdownGrace, Drain: e.result.End}
		return server.Run(frontCtx)
	})
	checks := []web.Check{{Name: "poll", Ready: e.poll.Ready}, {Name: "worker", Ready: e.worker.Ready}}
	front.Go(func() error {
		server := web.Server{Listener: ops, Handler: web.Ops(metrics, checks...), Log: e.log, Grace: shutdownGrace}
		return server.Run(frontCtx)
	})
	err := front.Wait()
	stop()
	return errors.Join(err, back.Wait(), e.queue.Close())
}

// failure waits until either is done, and returns an error when it was a part
// in the back: the front must not go on without it.
func failure(back, front context.Context) error {
	select {
	case <-back.Done():
		return fmt.Errorf("a part has ended: %w", context.Cause(back))
	case <-front.Done():
		return nil
	}
}

func logFormat(format string, p Process) string {
	if format != "auto" {
		return format
	}
	if config.IsTerminal(p.Stderr) {
		return "text"
	}
	return "json"
}

// listen listens on addr, which the given flag has set.
func listen(ctx context.Context, flag, addr string) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is in use by another program: choose another address with %s", addr, flag)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s (%s): %w", addr, flag, err)
	}
	return listener, nil
}

// closeQuietly closes what a run has used. By then all that matters is written
// and acknowledged; a listener was closed by its server before.
func closeQuietly(c interface{ Close() error }) { _ = c.Close() }
