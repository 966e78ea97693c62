package worker_test

import (
	"context"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"popeye"
	"popeye/internal/lab"
	"popeye/internal/lab/labtest"
	"popeye/internal/memory"
	"popeye/internal/postgres"
	"popeye/internal/redis"
	"popeye/internal/worker"
)

// What a lane's tests wait with: a short lease, and patience on a busy machine.
const (
	shortLease = time.Second
	patience   = 2 * time.Minute
)

// lane is real queue servers and a real database, between which tests let
// workers work.
type lane struct {
	*testing.T
	store  *postgres.Store
	dsn    string
	copies int
	hosts  []*lab.Redis
	// servers are the ends at which tests put votes.
	servers []*redis.Server
}

func newLane(t *testing.T, dsn string, servers, copies int) *lane {
	t.Helper()
	l := &lane{T: t, dsn: dsn, copies: copies}
	if err := postgres.Migrate(t.Context(), dsn); err != nil {
		t.Fatalf("migrate: %v", err)
	}
	l.store = l.openStore()
	t.Cleanup(l.store.Shutdown)
	for range servers {
		host := labtest.Redis(t)
		l.hosts = append(l.hosts, host)
		s := l.openServer(host, patience)
		t.Cleanup(s.Shutdown)
		l.servers = append(l.servers, s)
	}
	return l
}

func (l *lane) openStore() *postgres.Store {
	l.Helper()
	s, err := postgres.Open(l.Context(), postgres.Config{DSN: l.dsn, VoterKey: "k"})
	if err != nil {
		l.Fatalf("open the store: %v", err)
	}
	return s
}

func (l *lane) openServer(host *lab.Redis, timeout time.Duration) *redis.Server {
	l.Helper()
	s, err := redis.Open(redis.Config{Place: host.Addr(), Lease: shortLease, Timeout: timeout})
	if err != nil {
		l.Fatalf("open a queue server: %v", err)
	}
	return s
}

// crew is one worker at work, with connections of its own.
type crew struct {
	*lane
	store     *postgres.Store
	servers   []*redis.Server
	consumers []*redis.Consumer
	cancel    context.CancelFunc
	ended     sync.WaitGroup
	once      sync.Once
}

// trouble changes the parts that a worker works with. Its zero value changes
// nothing.
type trouble struct {
	recorder func(worker.Recorder) worker.Recorder
	consumer func(worker.Consumer) worker.Consumer
	batch    int
}

// work starts a worker, which is dismissed with the test.
func (l *lane) work(t trouble) *crew {
	l.Helper()
	c := &crew{lane: l, store: l.openStore()}
	cfg := worker.Config{
		Copies: l.copies, Recorder: c.store, Register: c.store, Logbook: c.store, Bell: memory.NewBell(),
		Linger: 20 * time.Millisecond, SyncEvery: time.Second, Batch: t.batch, Log: slog.New(slog.NewTextHandler(l.Output(), nil)),
	}
	if t.recorder != nil {
		cfg.Recorder = t.recorder(c.store)
	}
	for _, host := range l.hosts {
		s := l.openServer(host, 2*time.Second)
		q := worker.QueueServer{Place: s.Place(), Publisher: s, Watched: s}
		for range 2 {
			consumer := s.Consumer("test")
			c.consumers = append(c.consumers, consumer)
			if t.consumer != nil {
				q.Consumers = append(q.Consumers, t.consumer(consumer))
				continue
			}
			q.Consumers = append(q.Consumers, consumer)
		}
		c.servers = append(c.servers, s)
		cfg.Queues = append(cfg.Queues, q)
	}
	ctx, cancel := context.WithCancel(l.Context())
	c.cancel = cancel
	w := worker.New(cfg)
	c.ended.Go(func() {
		if err := w.Run(ctx); err != nil {
			l.Errorf("Run returned %v", err)
		}
	})
	l.Cleanup(c.dismiss)
	l.until("the worker is ready", func() bool { return w.Ready() == nil })
	return c
}

// dismiss ends a worker as SIGKILL would: it gives nothing back. Only what it has
// in hand is finished, unless there is trouble.
func (c *crew) dismiss() {
	c.once.Do(func() {
		c.cancel()
		c.ended.Wait()
		for _, s := range c.servers {
			s.Shutdown()
		}
		c.store.Shutdown()
	})
}

// open makes an open poll and waits until every server takes its votes.
func (l *lane) open(id string, policy popeye.Policy) popeye.Definition {
	l.Helper()
	p := popeye.Poll{ID: id, Question: "?", Policy: policy, Options: []popeye.Option{{ID: "a"}, {ID: "b"}, {ID: "c"}}}
	d, _, err := l.store.Apply(l.Context(), p.WithDefaults(), popeye.Open)
	if err != nil {
		l.Fatalf("apply: %v", err)
	}
	for _, s := range l.servers {
		l.until("the poll is published", func() bool {
			c, err := s.Catalog(l.Context(), -1)
			return err == nil && c.Find(id) != nil
		})
	}
	return d
}

// untilNoted waits until the store knows every server: one that it hears of for the
// first time after a round was begun is not taken to have been there.
func (l *lane) untilNoted() {
	l.Helper()
	conn, err := pgx.Connect(l.Context(), l.dsn)
	if err != nil {
		l.Fatalf("connect: %v", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(l.Context())) }()
	l.until("the servers are noted", func() bool {
		var noted int
		err := conn.QueryRow(l.Context(), "SELECT count(*) FROM places").Scan(&noted)
		return err == nil && noted == len(l.hosts)
	})
}

func (l *lane) close(d popeye.Definition) {
	l.Helper()
	if err := l.store.Close(l.Context(), d.Round); err != nil {
		l.Fatalf("close: %v", err)
	}
}

// put puts votes of voters from until before to on one server.
func (l *lane) put(s *redis.Server, d popeye.Definition, from, to int) {
	l.Helper()
	for n := from; n < to; n++ {
		l.putOne(s, cast(d.Round, n, 1))
	}
}

func (l *lane) putOne(s *redis.Server, c popeye.Cast) {
	l.Helper()
	if a, err := s.Put(l.Context(), c, patience); err != nil || !a.Outcome.Stands() {
		l.Fatalf("put: %q, %v", a.Outcome, err)
	}
}

func (l *lane) tally(d popeye.Definition) popeye.Tally {
	l.Helper()
	t, err := l.store.Tally(l.Context(), d.ID)
	if err != nil {
		l.Fatalf("tally: %v", err)
	}
	return t
}

// counts reports whether so many voters are counted, now and in this round.
func (l *lane) counts(d popeye.Definition, voters int64) bool {
	t, err := l.store.Tally(l.Context(), d.ID)
	return err == nil && t.Total == voters
}

func (l *lane) wantTally(d popeye.Definition, votes []int64, stored, rejected int64) {
	l.Helper()
	t := l.tally(d)
	if !slices.Equal(t.Votes, votes) || t.Ledger.Stored != stored || t.Ledger.Rejected != rejected {
		l.Errorf("counted are %v with the ledger %+v, want %v with %d stored and %d rejected", t.Votes, t.Ledger, votes, stored, rejected)
	}
}

// untilIdle waits until everything on the servers is acknowledged.
func (l *lane) untilIdle() {
	l.Helper()
	for _, s := range l.servers {
		l.until("everything is acknowledged", func() bool {
			status, err := s.Status(l.Context())
			return err == nil && status.Pending == 0
		})
	}
}

func (l *lane) untilFinal(d popeye.Definition) {
	l.Helper()
	l.until(d.ID+" is final", func() bool { return l.tally(d).State == popeye.Final })
}

// until waits for a fact that nothing announces.
func (l *lane) until(what string, holds func() bool) {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.Context(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			l.Fatalf("%s: did not come", what)
		}
	}
}

// redis says something to a queue server that nobody else says, in words without
// spaces, and returns the first line of the answer.
func (l *lane) redis(host *lab.Redis, words ...string) string {
	l.Helper()
	conn, err := new(net.Dialer).DialContext(l.Context(), "tcp", host.Addr())
	if err != nil {
		l.Fatalf("connect: %v", err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte(strings.Join(words, " ") + "\r\n")); err != nil {
		l.Fatalf("write: %v", err)
	}
	answer := make([]byte, 4096)
	n, err := conn.Read(answer)
	if err != nil || answer[0] == '-' {
		l.Fatalf("%s: %q, %v", words[0], answer[:n], err)
	}
	return string(answer[:n])
}

// deadly is a consumer whose worker is dead before it has acknowledged anything.
type deadly struct {
	worker.Consumer
	died chan<- struct{}
}

func (d deadly) Ack(context.Context, []popeye.Delivery) error {
	d.died <- struct{}{}
	runtime.Goexit()
	return nil
}

// gated is a store that records nothing until the gate is open.
type gated struct {
	worker.Recorder
	reached chan<- struct{}
	gate    <-chan struct{}
}

func (g gated) Record(ctx context.Context, votes []popeye.Vote, done ...popeye.Progress) (popeye.Recorded, error) {
	select {
	case g.reached <- struct{}{}:
	default:
	}
	<-g.gate
	return g.Recorder.Record(context.WithoutCancel(ctx), votes, done...)
}

// slow is a store that takes its time, for each batch another.
type slow struct {
	worker.Recorder
	pause func() time.Duration
}

func (s slow) Record(ctx context.Context, votes []popeye.Vote, done ...popeye.Progress) (popeye.Recorded, error) {
	<-time.After(s.pause())
	return s.Recorder.Record(ctx, votes, done...)
}
