package redis_test

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"popeye"
	"popeye/internal/lab"
	"popeye/internal/lab/labtest"
	"popeye/internal/redis"
)

// patience bounds a test that waits for something that does not come.
const patience = 60 * time.Second

func TestMain(m *testing.M) { labtest.Main(m) }

// open returns a server for one test; the rest of c is up to the test.
func open(tb testing.TB, at *lab.Redis, c redis.Config) *redis.Server {
	tb.Helper()
	if c.Place == "" {
		c.Place = at.Addr()
	}
	s, err := redis.Open(c)
	if err != nil {
		tb.Fatalf("open: %v", err)
	}
	tb.Cleanup(s.Shutdown)
	return s
}

// start returns a server with data of its own.
func start(tb testing.TB, c redis.Config, options ...string) (*lab.Redis, *redis.Server) {
	tb.Helper()
	at := labtest.Redis(tb, options...)
	return at, open(tb, at, c)
}

// raw returns a client that does what the package does not.
func raw(tb testing.TB, at *lab.Redis) rueidis.Client {
	tb.Helper()
	c, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{at.Addr()}, ForceSingleClient: true, DisableCache: true, AlwaysPipelining: true,
		ReadBufferEachConn: 1 << 16, WriteBufferEachConn: 1 << 16, RingScaleEachConn: 8, PipelineMultiplex: -1,
	})
	if err != nil {
		tb.Fatalf("connect: %v", err)
	}
	tb.Cleanup(c.Close)
	return c
}

// do runs a command that must work.
func do(tb testing.TB, c rueidis.Client, words ...string) rueidis.RedisMessage {
	tb.Helper()
	m, err := c.Do(limited(tb), c.B().Arbitrary(words[0]).Args(words[1:]...).Build()).ToMessage()
	if err != nil && !rueidis.IsRedisNil(err) {
		tb.Fatalf("%s: %v", words[0], err)
	}
	return m
}

// number runs a command that returns one.
func number(tb testing.TB, c rueidis.Client, words ...string) int64 {
	tb.Helper()
	m := do(tb, c, words...)
	n, err := m.AsInt64()
	if err != nil {
		tb.Fatalf("%s: %v", words[0], err)
	}
	return n
}

// pending counts the entries that are not acknowledged.
func pending(tb testing.TB, c rueidis.Client) int64 {
	tb.Helper()
	return int64(len(pendingIDs(tb, c)))
}

func pendingIDs(tb testing.TB, c rueidis.Client) []string {
	tb.Helper()
	var ids []string
	for _, p := range list(tb, c, "XPENDING", "{popeye}:votes", "workers", "-", "+", "1000") {
		parts, err := p.ToArray()
		if err != nil {
			tb.Fatalf("read a pending entry: %v", err)
		}
		id, err := parts[0].ToString()
		if err != nil {
			tb.Fatalf("read a pending entry: %v", err)
		}
		ids = append(ids, id)
	}
	return ids
}

func consumers(tb testing.TB, c rueidis.Client) []rueidis.RedisMessage {
	tb.Helper()
	return list(tb, c, "XINFO", "CONSUMERS", "{popeye}:votes", "workers")
}

// list runs a command that returns one.
func list(tb testing.TB, c rueidis.Client, words ...string) []rueidis.RedisMessage {
	tb.Helper()
	m := do(tb, c, words...)
	all, err := m.ToArray()
	if err != nil {
		tb.Fatalf("%s: %v", words[0], err)
	}
	return all
}

// limited returns a context that ends a test which hangs.
func limited(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	tb.Cleanup(cancel)
	return ctx
}

func round(id string, number int64, policy popeye.Policy) popeye.Definition {
	p := popeye.Poll{ID: id, Question: "?", Policy: policy, Options: []popeye.Option{{ID: "a"}, {ID: "b"}, {ID: "c"}}}
	return popeye.Definition{Poll: p.WithDefaults(), Round: number, State: popeye.Open, Version: 1}
}

func in(s popeye.State, d popeye.Definition) popeye.Definition {
	d.State = s
	return d
}

func publish(tb testing.TB, s *redis.Server, version int64, definitions ...popeye.Definition) {
	tb.Helper()
	if err := s.Publish(limited(tb), popeye.NewCatalog(version, definitions)); err != nil {
		tb.Fatalf("publish: %v", err)
	}
}

func voter(n int) popeye.Voter {
	var v popeye.Voter
	binary.BigEndian.PutUint64(v[:], uint64(n)*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(v[8:], uint64(n))
	return v
}

func cast(n int, c popeye.Choices, s popeye.Stamp) popeye.Cast {
	return popeye.Cast{Vote: popeye.Vote{Round: 1, Voter: voter(n), Choices: c, Stamp: s}}
}

// put casts a vote that must be accepted.
func put(tb testing.TB, s *redis.Server, c popeye.Cast) {
	tb.Helper()
	if a, err := s.Put(limited(tb), c, patience); err != nil || a.Outcome != popeye.Accepted {
		tb.Fatalf("put: %q, %v, want accepted", a.Outcome, err)
	}
}

func receive(tb testing.TB, c *redis.Consumer, most int) []popeye.Delivery {
	tb.Helper()
	ds, err := c.Receive(limited(tb), most)
	if err != nil {
		tb.Fatalf("receive: %v", err)
	}
	return ds
}

func ack(tb testing.TB, c *redis.Consumer, ds ...popeye.Delivery) {
	tb.Helper()
	if err := c.Ack(limited(tb), ds); err != nil {
		tb.Fatalf("ack: %v", err)
	}
}

// receivesNothing wants that a consumer is given nothing for a while.
func receivesNothing(tb testing.TB, c *redis.Consumer, during time.Duration) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), during)
	defer cancel()
	if ds, err := c.Receive(ctx, 100); !errors.Is(err, context.DeadlineExceeded) {
		tb.Fatalf("received %+v, %v, want nothing", ds, err)
	}
}

func status(tb testing.TB, s *redis.Server) popeye.QueueStatus {
	tb.Helper()
	st, err := s.Status(limited(tb))
	if err != nil {
		tb.Fatalf("status: %v", err)
	}
	return st
}

func tend(tb testing.TB, s *redis.Server) {
	tb.Helper()
	if err := s.Tend(limited(tb)); err != nil {
		tb.Fatalf("tend: %v", err)
	}
}

// until waits for a fact that nothing announces.
func until(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	ctx := limited(tb)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			tb.Fatalf("%s: did not come", what)
		}
	}
}

func wantError(tb testing.TB, err, want error) {
	tb.Helper()
	if !errors.Is(err, want) {
		tb.Fatalf("got %v, want %v", err, want)
	}
}
