package redis_test

import (
	"context"
	"sync"
	"testing"

	"popeye"
	"popeye/internal/queuetest"
	"popeye/internal/redis"
)

func TestQueueOfOneServer(t *testing.T) {
	queuetest.Run(t, func(t *testing.T) queuetest.Queue {
		t.Helper()
		_, s := start(t, redis.Config{})
		return newQueue(t, s)
	})
}

// queue makes a queue of one server and one consumer, as quorum and worker do of
// several.
type queue struct {
	*redis.Server
	*redis.Consumer
	t testing.TB

	mu    sync.Mutex
	known *popeye.Catalog
}

func newQueue(tb testing.TB, s *redis.Server) *queue {
	tb.Helper()
	return &queue{Server: s, Consumer: s.Consumer("test"), t: tb}
}

func (q *queue) Shutdown() {}

func (q *queue) Enqueue(ctx context.Context, c popeye.Cast) (popeye.Answer, error) {
	return q.Put(ctx, c, patience)
}

func (q *queue) Catalog() *popeye.Catalog {
	q.mu.Lock()
	defer q.mu.Unlock()
	version := int64(-1)
	if q.known != nil {
		version = q.known.Version()
	}
	c, err := q.Server.Catalog(q.t.Context(), version)
	if err != nil {
		q.t.Errorf("catalog: %v", err)
	}
	if c != nil {
		q.known = c
	}
	return q.known
}
