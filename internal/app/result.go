package app

import (
	"context"
	"fmt"
	"time"

	"popeye/internal/config"
	"popeye/internal/postgres"
	"popeye/internal/result"
	"popeye/internal/voter"
	"popeye/internal/web"
)

// serveResult is "popeye result".
func serveResult(ctx context.Context, p Process, cfg config.Result) error {
	s := newService(p, cfg.Logging)
	defer s.close()
	passes, err := openPasses(cfg)
	if err != nil {
		return wrong(err)
	}
	store, err := openStore(ctx, cfg.Database)
	if err != nil {
		return err
	}
	defer store.Shutdown()
	if err := s.listen(ctx, cfg.Serving); err != nil {
		return err
	}
	pages, err := web.NewPages()
	if err != nil {
		return err
	}
	bell := postgres.NewBell(store, s.log)
	defer bell.Shutdown()
	if passes == nil {
		s.log.InfoContext(ctx, "no cookie keys: results that are shown after one's vote are shown after closing only; --cookie-key-file changes that")
	}
	r := result.New(result.Config{
		Store: store, Bell: bell, Passes: passes, Pages: pages,
		MaxViewers: cfg.MaxViewers, Interval: frameInterval, Heartbeat: heartbeatPeriod, WriteTimeout: viewerTimeout,
		Log: s.log, Metrics: s.registry, Now: time.Now,
	})
	s.handler, s.end = r, r.End
	database := newGate("database", store.Ready)
	s.checks = database.checks("result", r.Ready)
	s.behind = append(s.behind, database.Run, r.Run, s.watch)
	return s.run(ctx, p)
}

// openPasses returns what recognises those who have voted, nil where there are
// no keys to do so.
func openPasses(cfg config.Result) (result.Passes, error) {
	if cfg.CookieKeyFile == "" {
		return nil, nil //nolint:nilnil // nobody is recognised then
	}
	ring, err := readRing(cfg.CookieKeyFile)
	if err != nil {
		return nil, fmt.Errorf("--cookie-key-file: %w", err)
	}
	return voter.New(voter.Config{Cookies: ring, Proxies: cfg.TrustedProxies}), nil
}
