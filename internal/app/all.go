package app

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"time"

	"popeye/internal/admin"
	"popeye/internal/config"
	"popeye/internal/memory"
	"popeye/internal/poll"
	"popeye/internal/result"
	"popeye/internal/sqlite"
	"popeye/internal/voter"
	"popeye/internal/web"
	"popeye/internal/web/openapi"
	"popeye/internal/worker"
)

// databaseName is the file in the data folder that holds the votes.
const databaseName = "popeye.db"

// How the roles are set, together or apart.
const (
	castTimeout     = 5 * time.Second
	frameInterval   = 200 * time.Millisecond // at most five frames a second
	heartbeatPeriod = 10 * time.Second
	viewerTimeout   = 4 * time.Second
)

// embedded is Popeye in one process: the roles, on parts that need no other
// server.
type embedded struct {
	*service
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
	e := &embedded{service: newService(p, cfg.Logging)}
	polls, err := readPolls(cfg.Polls)
	if err != nil {
		return err
	}
	defer e.close()
	if err := e.listen(ctx, cfg.Serving); err != nil {
		return err
	}
	secrets, err := openSecrets(cfg)
	if err != nil {
		return err
	}
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
	e.announce(p, cfg, secrets, isNew, e.public.Addr())
	return errors.Join(e.run(ctx, p), e.queue.Close())
}

// build makes the roles on their parts.
func (e *embedded) build(cfg config.All, s secrets) error {
	e.bell = memory.NewBell()
	e.queue = memory.NewQueue(memory.QueueConfig{Capacity: cfg.QueueCapacity, Marks: e.store.Marks, Now: time.Now})
	e.worker = worker.New(worker.Config{
		Queues:   []worker.QueueServer{{Publisher: e.queue, Consumers: []worker.Consumer{e.queue}}},
		Recorder: e.store, Register: e.store, Bell: e.bell, Log: e.log, Metrics: e.registry, Now: time.Now,
	})
	pages, err := web.NewPages()
	if err != nil {
		return err
	}
	voters := voter.New(voter.Config{Cookies: s.cookies, Pseudonyms: s.voters, Proxies: cfg.TrustedProxies})
	e.poll = poll.New(poll.Config{
		Queue: e.queue, Voters: voters, Pages: pages, OpenAPI: openapi.Document,
		Limiter: web.NewLimiter(cfg.RateLimit, cfg.TrustedProxies), MaxCasts: cfg.MaxCasts,
		Timeout: castTimeout, Counted: true, Log: e.log, Metrics: e.registry, Now: time.Now,
	})
	e.result = result.New(result.Config{
		Store: e.store, Bell: e.bell, Passes: voters, Pages: pages,
		MaxViewers: cfg.MaxViewers, Interval: frameInterval, Heartbeat: heartbeatPeriod, WriteTimeout: viewerTimeout,
		Log: e.log, Metrics: e.registry, Now: time.Now,
	})
	e.admin = admin.New(admin.Config{
		Register: e.store, Rounds: e.store, Parking: e.store, Token: s.admin, Changed: e.changed, Log: e.log, Now: time.Now,
	})
	e.handler, e.end = e.routes(), e.result.End
	e.checks = []web.Check{{Name: "poll", Ready: e.poll.Ready}, {Name: "worker", Ready: e.worker.Ready}}
	e.behind = append(e.behind, e.worker.Run, e.result.Run)
	return nil
}

// changed lets every role know of a changed poll before its organiser is
// answered.
func (e *embedded) changed(ctx context.Context, poll string) error {
	return errors.Join(e.worker.Sync(ctx), e.bell.Ring(ctx, poll))
}

// routes gives a request to the role that its path names, as a reverse proxy
// does where the roles are processes of their own.
func (e *embedded) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", e.poll)
	mux.Handle("/r/", e.result)
	mux.Handle("/api/v1/results/", e.result)
	mux.Handle("/api/v1/receipts/", e.result)
	mux.Handle("/admin/", e.admin)
	return mux
}
