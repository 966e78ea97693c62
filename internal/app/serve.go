package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"popeye/internal/config"
	"popeye/internal/telemetry"
	"popeye/internal/web"
)

// shutdownGrace is how long requests that have begun may take once the end has.
const shutdownGrace = 15 * time.Second

// service is one process of Popeye that serves until it is told to end: the
// listeners, and what goes on behind them.
type service struct {
	log      *slog.Logger
	registry *prometheus.Registry
	metrics  http.Handler

	// public is nil for a role that nobody reaches.
	public, ops net.Listener

	// handler answers what comes to public, and end ends what would not end by
	// itself. For drain at most it goes on once the service is told to end.
	handler http.Handler
	end     func()
	drain   time.Duration
	// checks say whether the process can do its work.
	checks []web.Check
	// behind are run for as long as the service serves, and ended after that.
	behind []func(ctx context.Context) error
}

// newService returns a service that has a logger and metrics and does not
// listen yet.
func newService(p Process, cfg config.Logging) *service {
	s := &service{log: telemetry.NewLogger(p.Stderr, logFormat(cfg.LogFormat, p), cfg.LogLevel)}
	s.registry, s.metrics = telemetry.NewRegistry()
	return s
}

// listen takes the addresses that the service is to serve on. What is likeliest
// to be mistaken so comes first, before anything is made that a second start
// would find.
func (s *service) listen(ctx context.Context, cfg config.Serving) error {
	s.drain = cfg.Drain
	var err error
	if s.public, err = listen(ctx, "--listen", cfg.Listen); err != nil {
		return err
	}
	return s.listenOps(ctx, cfg.Operations)
}

func (s *service) listenOps(ctx context.Context, cfg config.Operations) error {
	var err error
	s.ops, err = listen(ctx, "--ops-addr", cfg.OpsAddr)
	return err
}

// close gives back the addresses where nobody serves on them. By then all that
// matters is written and acknowledged.
func (s *service) close() {
	for _, l := range []net.Listener{s.public, s.ops} {
		if l != nil {
			_ = l.Close() // its server has closed it before, if there was one
		}
	}
}

// run serves until ctx is done or a part fails. What was begun is finished:
// first the requests, which need what is behind them, and then that.
func (s *service) run(ctx context.Context, p Process) error {
	addresses := []any{"version", versionOf(p), "ops_addr", s.ops.Addr().String()}
	if s.public != nil {
		addresses = append(addresses, "addr", s.public.Addr().String())
	}
	s.log.InfoContext(ctx, "serving", addresses...)

	front, frontCtx := errgroup.WithContext(ctx)
	backCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	back, backCtx := errgroup.WithContext(backCtx)
	for _, work := range s.behind {
		back.Go(func() error { return work(backCtx) })
	}
	front.Go(func() error { return failure(backCtx, frontCtx) })
	// Whoever asks is told that the end has begun, for as long as it takes.
	opsCtx, endOps := context.WithCancel(context.WithoutCancel(ctx))
	defer endOps()
	front.Go(func() error {
		defer endOps()
		return s.servePublic(frontCtx)
	})
	checks := append([]web.Check{{Name: "process", Ready: func() error { return ending(frontCtx) }}}, s.checks...)
	server := web.Server{Listener: s.ops, Handler: web.Ops(s.metrics, checks...), Log: s.log, Grace: shutdownGrace}
	front.Go(func() error { return server.Run(opsCtx) })
	err := front.Wait()
	stop()
	return errors.Join(err, back.Wait())
}

// servePublic serves on the public address, where there is one, until ctx is
// done, and whatever came until then has its answer.
func (s *service) servePublic(ctx context.Context) error {
	if s.public == nil {
		<-ctx.Done()
		return nil
	}
	server := web.Server{
		Listener: s.public, Handler: s.handler, Log: s.log,
		Grace: shutdownGrace, Drain: s.drain, End: s.end,
	}
	return server.Run(ctx)
}

// ending returns an error once ctx is done: then nobody new should come.
func ending(ctx context.Context) error {
	if ctx.Err() != nil {
		return errors.New("is ending")
	}
	return nil
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
