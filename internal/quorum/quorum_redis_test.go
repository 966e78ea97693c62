package quorum_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"popeye"
	"popeye/internal/lab"
	"popeye/internal/lab/labtest"
	"popeye/internal/queuetest"
	"popeye/internal/quorum"
	"popeye/internal/redis"
)

func TestMain(m *testing.M) { labtest.Main(m) }

// The contract counts deliveries, and with several servers a vote is delivered
// once by each that holds it, and once more when it is confirmed: one server keeps
// it to the letter, several keep what a store makes of it.
func TestQueueOfOneRedisServer(t *testing.T) {
	queuetest.Run(t, func(t *testing.T) queuetest.Queue {
		t.Helper()
		server := openRedis(t, labtest.Redis(t).Addr(), patience)
		q := quorum.New(quorum.Config{
			Servers: []quorum.Place{{Name: "a", Server: server}}, Copies: 1,
			Timeout: patience, Refresh: 10 * time.Millisecond, Log: slog.New(slog.DiscardHandler),
		})
		runQueue(t, q)
		return &ends{Queue: q, Consumer: server.Consumer("test"), server: server}
	})
}

// ends are both ends of a queue of one server.
type ends struct {
	*quorum.Queue
	*redis.Consumer
	server *redis.Server
}

func (e *ends) Publish(ctx context.Context, c *popeye.Catalog) error { return e.server.Publish(ctx, c) }

// patience bounds what takes no time unless something is wrong.
const patience = 30 * time.Second

func openRedis(t *testing.T, place string, timeout time.Duration) *redis.Server {
	t.Helper()
	s, err := redis.Open(redis.Config{Place: place, Timeout: timeout})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(s.Shutdown)
	return s
}

func runQueue(t *testing.T, q *quorum.Queue) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := q.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

func TestRacingCastsOnRedisActLikeARegisterThatIsWrittenOnce(t *testing.T) {
	t.Parallel()
	for _, size := range []struct{ servers, copies int }{{1, 1}, {3, 2}} {
		t.Run(fmt.Sprintf("%d of %d servers", size.copies, size.servers), func(t *testing.T) {
			t.Parallel()
			raceOnRedis(t, size.servers, size.copies)
		})
	}
}

func raceOnRedis(t *testing.T, servers, copies int) {
	t.Helper()
	random := newDice(uint64(servers))
	c := newCluster(t, servers, copies, random.below(servers))
	r := &races{T: t, queues: c.queues, voters: 250, tabs: 3, refusable: servers == 1, pace: 30 * time.Millisecond}
	stop := c.disturb(random)
	r.run(t.Context(), random)
	stop()
	r.queues = []*quorum.Queue{c.calm(copies)}
	all := c.delivered()
	random.shuffle(all)
	r.check(t.Context(), append(all, all...))
}

// cluster is several Redis servers, each behind a link of its own, with the queues
// of two processes over them, and a worker that publishes the polls.
type cluster struct {
	*testing.T
	servers []*lab.Redis
	links   []*lab.Link
	queues  []*quorum.Queue
	// culprit is the server that fails.
	culprit int
	// direct reach the servers whatever becomes of the links.
	direct []*redis.Server
}

func newCluster(t *testing.T, servers, copies, culprit int) *cluster {
	t.Helper()
	c := &cluster{T: t, culprit: culprit}
	for range servers {
		server := labtest.Redis(t)
		c.servers = append(c.servers, server)
		c.links = append(c.links, labtest.Link(t, server.Addr()))
		c.direct = append(c.direct, openRedis(t, server.Addr(), patience))
	}
	for range 2 {
		q := quorum.New(c.config(copies))
		c.queues = append(c.queues, q)
		runQueue(t, q)
	}
	c.heal()
	c.until("both queues know the poll", func() bool {
		return !slices.ContainsFunc(c.queues, func(q *quorum.Queue) bool { return q.Catalog() == nil })
	})
	return c
}

// config is that of one process. It has patience with servers that are well, so
// that a busy machine is not taken for another fault.
func (c *cluster) config(copies int) quorum.Config {
	cfg := quorum.Config{
		Copies: copies, Timeout: patience, Rest: 300 * time.Millisecond, Refresh: 100 * time.Millisecond,
		VoterKey: "k", Log: slog.New(slog.DiscardHandler),
	}
	for i, link := range c.links {
		var server quorum.Server = openRedis(c.T, link.Addr(), patience)
		if i == c.culprit {
			server = hurried{openRedis(c.T, link.Addr(), quorum.DefaultTimeout)}
		}
		cfg.Servers = append(cfg.Servers, quorum.Place{Name: fmt.Sprint(i), Server: server})
	}
	return cfg
}

// calm returns a queue that reaches every server, gives each all the time it wants,
// and knows of no fault.
func (c *cluster) calm(copies int) *quorum.Queue {
	cfg := quorum.Config{Copies: copies, Timeout: patience, VoterKey: "k", Log: slog.New(slog.DiscardHandler)}
	for i, server := range c.direct {
		cfg.Servers = append(cfg.Servers, quorum.Place{Name: fmt.Sprint(i), Server: server})
	}
	q := quorum.New(cfg)
	runQueue(c.T, q)
	c.until("the queue knows the poll", func() bool { return q.Catalog() != nil })
	return q
}

// hurried is a server whose casts are soon given up.
type hurried struct{ *redis.Server }

func (s hurried) Put(ctx context.Context, c popeye.Cast, within time.Duration) (popeye.Answer, error) {
	return s.Server.Put(ctx, c, min(within, quorum.DefaultTimeout/2))
}

// heal publishes the poll on every server again and again, as workers do, until
// the test ends.
func (c *cluster) heal() {
	ctx, cancel := context.WithCancel(c.Context())
	var over sync.WaitGroup
	for _, s := range c.direct {
		over.Go(func() {
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for ctx.Err() == nil {
				// One that is away is told the next time.
				_ = s.Publish(ctx, popeye.NewCatalog(1, []popeye.Definition{definition(popeye.First, popeye.Open)}))
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
		})
	}
	c.Cleanup(func() {
		cancel()
		over.Wait()
	})
}

// disturb makes one server fail in every way until it is stopped; then all is well.
func (c *cluster) disturb(random *dice) (stop func()) {
	server, link := c.servers[c.culprit], c.links[c.culprit]
	start := func() error { return server.Start(c.Context()) }
	faults := [][2]func() error{
		{link.Cut, link.Mend},
		{link.Freeze, link.Mend},
		{link.Mute, link.Mend},
		{server.Pause, server.Resume},
		{server.Kill, start},
		{server.Wipe, start},
	}
	if len(c.servers) == 1 {
		faults = faults[:5] // what is lost with the only server is lost
	}
	ctx, cancel := context.WithCancel(c.Context())
	var over sync.WaitGroup
	over.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			fault := faults[n%len(faults)]
			labtest.Do(c, fault[0])
			<-time.After(random.time(1500 * time.Millisecond))
			labtest.Do(c, fault[1])
			<-time.After(random.time(500 * time.Millisecond))
		}
	})
	return func() {
		cancel()
		over.Wait()
		c.until("all servers answer", func() bool {
			return !slices.ContainsFunc(c.queues, func(q *quorum.Queue) bool { return q.Answering() < len(c.servers) })
		})
	}
}

// delivered returns all votes in all streams.
func (c *cluster) delivered() []popeye.Vote {
	c.Helper()
	var all []popeye.Vote
	for _, s := range c.direct {
		err := s.Scan(c.Context(), func(ds []popeye.Delivery) error {
			for _, d := range ds {
				all = append(all, d.Vote)
			}
			return nil
		})
		if err != nil {
			c.Fatalf("scan: %v", err)
		}
	}
	return all
}

// until waits for a fact that nothing announces.
func (c *cluster) until(what string, holds func() bool) {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			c.Fatalf("%s: did not come", what)
		}
	}
}
