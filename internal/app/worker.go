package app

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"time"

	"popeye/internal/config"
	"popeye/internal/postgres"
	"popeye/internal/redis"
	"popeye/internal/worker"
)

// leaveWithin bounds how long a worker that ends waits for the queue servers.
const leaveWithin = 3 * time.Second

// runWorker is "popeye worker".
func runWorker(ctx context.Context, p Process, cfg config.Worker) error {
	s := newService(p, cfg.Logging)
	defer s.close()
	store, err := openStore(ctx, cfg.Database)
	if err != nil {
		return err
	}
	defer store.Shutdown()
	servers, err := openServers(cfg.QueueAccess, redis.Config{Share: cfg.QueueRoom, Retention: cfg.QueueRetention})
	if err != nil {
		return err
	}
	defer shutDown(servers)
	if err := s.listenOps(ctx, cfg.Operations); err != nil {
		return err
	}
	s.warnOfDurability(ctx, cfg.QueueAccess)
	bell := postgres.NewBell(store, s.log)
	defer bell.Shutdown()
	crew := newCrew(servers)
	defer crew.leave(ctx, s.log)
	w := worker.New(worker.Config{
		Queues: crew.queues, Copies: cfg.Copies, Recorder: store, Register: store, Logbook: store, Bell: bell,
		Linger: cfg.Linger, SyncEvery: syncEvery, Log: s.log, Metrics: s.registry, Now: time.Now,
	})
	database := newGate("database", store.Ready)
	s.checks = database.checks("worker", w.Ready)
	s.behind = append(s.behind, database.Run, w.Run, s.watch)
	return s.run(ctx, p)
}

// crew are the consumers of a worker, and the queue servers as it sees them.
type crew struct {
	queues    []worker.QueueServer
	consumers []*redis.Consumer
}

func newCrew(servers []*redis.Server) *crew {
	host, err := os.Hostname()
	if err != nil {
		host = "worker" // it is for people who look into the queue
	}
	c := &crew{}
	for _, server := range servers {
		q := worker.QueueServer{Place: server.Place(), Publisher: server, Watched: server}
		for range consumersEach {
			consumer := server.Consumer(host)
			c.consumers = append(c.consumers, consumer)
			q.Consumers = append(q.Consumers, consumer)
		}
		c.queues = append(c.queues, q)
	}
	return c
}

// leave gives back what the consumers hold, so that other workers need not wait
// for it until its lease is over. It does so too when ctx is done.
func (c *crew) leave(ctx context.Context, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveWithin)
	defer cancel()
	var all sync.WaitGroup
	for _, consumer := range c.consumers {
		all.Go(func() {
			if err := consumer.Shutdown(ctx); err != nil {
				log.WarnContext(ctx, "other workers will take over later what this one holds", "error", err)
			}
		})
	}
	all.Wait()
}
