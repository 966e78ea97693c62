package app

import (
	"context"
	"fmt"
	"time"

	"popeye/internal/config"
	"popeye/internal/poll"
	"popeye/internal/quorum"
	"popeye/internal/redis"
	"popeye/internal/voter"
	"popeye/internal/web"
	"popeye/internal/web/openapi"
)

// servePoll is "popeye poll".
func servePoll(ctx context.Context, p Process, cfg config.Poll) error {
	s := newService(p, cfg.Logging)
	defer s.close()
	voters, cookies, err := openKeys(cfg)
	if err != nil {
		return wrong(err)
	}
	// A connection may stall for as long as poll, once it is patient, waits.
	servers, err := openServers(cfg.QueueAccess, redis.Config{Timeout: quorum.Slowly * cfg.QueueTimeout, Share: cfg.QueueRoom})
	if err != nil {
		return err
	}
	defer shutDown(servers)
	if err := s.listen(ctx, cfg.Serving); err != nil {
		return err
	}
	s.warnOfDurability(ctx, cfg.QueueAccess)
	queue, err := s.newQuorum(servers, cfg, voters.Name())
	if err != nil {
		return err
	}
	pages, err := web.NewPages()
	if err != nil {
		return err
	}
	role := poll.New(poll.Config{
		Queue: queue, Pages: pages, OpenAPI: openapi.Document,
		Voters:  voter.New(voter.Config{Cookies: cookies, Pseudonyms: voters, Proxies: cfg.TrustedProxies}),
		Limiter: web.NewLimiter(cfg.RateLimit, cfg.TrustedProxies), MaxCasts: cfg.MaxCasts,
		Timeout: castTimeout, Log: s.log, Metrics: s.registry, Now: time.Now,
	})
	s.handler = role
	s.checks = []web.Check{{Name: "poll", Ready: func() error { return pollReady(role, queue, cfg.QueueAccess) }}}
	s.behind = append(s.behind, queue.Run, s.watch, func(ctx context.Context) error { return s.watchKeys(ctx, queue, voters) })
	return s.run(ctx, p)
}

// pollReady returns nil once the polls are known, for good, and says before what
// keeps them from being so.
func pollReady(role *poll.Poll, queue *quorum.Queue, cfg config.QueueAccess) error {
	err := role.Ready()
	if n := queue.Answering(); err != nil && n < cfg.Copies {
		return fmt.Errorf("%d of %d queue servers answer, %d have to", n, len(cfg.Servers), cfg.Copies)
	}
	return err
}

// watchKeys tells in the log when there is a poll whose voters cannot be
// recognised, until ctx is done. Its votes are answered 503; other polls do not
// suffer. It returns nil.
func (s *service) watchKeys(ctx context.Context, queue *quorum.Queue, voters *voter.Ring) error {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	var looked int64
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
		catalog := queue.Catalog()
		if catalog.Version() == looked {
			continue
		}
		looked = catalog.Version()
		if err := checkVoterKeys(catalog, voters); err != nil {
			s.log.ErrorContext(ctx, "votes cannot be taken", "error", err)
		}
	}
}

// newQuorum makes one queue of the servers.
func (s *service) newQuorum(servers []*redis.Server, cfg config.Poll, voterKey string) (*quorum.Queue, error) {
	q := quorum.Config{
		Copies: cfg.Copies, Timeout: cfg.QueueTimeout, Patience: pollPatience,
		VoterKey: voterKey, Log: s.log, Metrics: s.registry,
	}
	for _, server := range servers {
		q.Servers = append(q.Servers, quorum.Place{Name: server.Place(), Server: server})
	}
	if err := q.Validate(); err != nil {
		return nil, wrong(err)
	}
	return quorum.New(q), nil
}

// warnOfDurability says what the operator has chosen to risk.
func (s *service) warnOfDurability(ctx context.Context, cfg config.QueueAccess) {
	if cost := durabilityCost(cfg.Durability); cost != "" {
		s.log.WarnContext(ctx, "acknowledged votes can be lost", "queue_durability", cfg.Durability, "why", cost)
	}
}
