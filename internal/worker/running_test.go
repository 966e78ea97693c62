package worker_test

import (
	"context"
	"encoding/binary"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"

	"popeye"
	"popeye/internal/memory"
	"popeye/internal/worker"
)

// running is a worker at work between a memory queue and a book, in a bubble
// where time passes only when everybody waits.
type running struct {
	*testing.T
	book    *book
	queue   *memory.Queue
	worker  *worker.Worker
	metrics *prometheus.Registry
	stop    context.CancelFunc
	stopped chan error
}

func bench(t *testing.T, k *book, test func(b *running)) {
	t.Helper()
	onOneProcessor(t)
	synctest.Test(t, func(t *testing.T) {
		q := memory.NewQueue(memory.QueueConfig{})
		b := &running{T: t, book: k, queue: q, metrics: prometheus.NewRegistry(), stopped: make(chan error, 1)}
		b.worker = worker.New(worker.Config{
			Queues:   []worker.QueueServer{embedded(ackLogger{q, k})},
			Recorder: k,
			Register: k,
			Bell:     k,
			Log:      slog.New(slog.DiscardHandler),
			Metrics:  b.metrics,
		})
		ctx, cancel := context.WithCancel(t.Context())
		b.stop = cancel
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			b.stopped <- b.worker.Run(ctx)
		}()
		defer func() {
			cancel()
			<-ended
			if err := q.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}()
		synctest.Wait()
		test(b)
	})
}

// embedded is a queue in the worker's own process.
func embedded(q interface {
	worker.Publisher
	worker.Consumer
},
) worker.QueueServer {
	return worker.QueueServer{Publisher: q, Consumers: []worker.Consumer{q}}
}

func (b *running) sync() {
	b.Helper()
	if err := b.worker.Sync(b.Context()); err != nil {
		b.Fatalf("sync: %v", err)
	}
}

func (b *running) wantAccepted(c popeye.Cast) {
	b.Helper()
	a, err := b.queue.Enqueue(b.Context(), c)
	if err != nil || a.Outcome != popeye.Accepted {
		b.Fatalf("the cast got %q and %v, want accepted", a.Outcome, err)
	}
}

func (b *running) castLater(c popeye.Cast) <-chan error {
	answer := make(chan error, 1)
	go func() {
		_, err := b.queue.Enqueue(b.Context(), c)
		answer <- err
	}()
	return answer
}

// log returns what was done once everybody waits.
func (b *running) log() []string {
	synctest.Wait()
	return b.book.log()
}

func (b *running) wantLog(want ...string) {
	b.Helper()
	if got := b.log(); !slices.Equal(got, want) {
		b.Errorf("done were %q, want %q", got, want)
	}
}

// ackLogger notes acknowledgements where the book notes everything else.
type ackLogger struct {
	*memory.Queue
	book *book
}

func (q ackLogger) Ack(ctx context.Context, ds []popeye.Delivery) error {
	q.book.set(func(k *book) { k.done = append(k.done, "ack") })
	return q.Queue.Ack(ctx, ds)
}

func poll(id string, round int64) popeye.Definition {
	p := popeye.Poll{ID: id, Options: []popeye.Option{{ID: "a"}, {ID: "b"}, {ID: "c"}}}
	return popeye.Definition{Poll: p.WithDefaults(), Round: round, State: popeye.Open, Version: 1}
}

func voter(n int) popeye.Voter {
	var v popeye.Voter
	binary.BigEndian.PutUint64(v[:], uint64(n))
	return v
}

func cast(round int64, n int, c popeye.Choices) popeye.Cast {
	return popeye.Cast{Vote: popeye.Vote{Round: round, Voter: voter(n), Choices: c, Stamp: 100}}
}

func reversed(s []string) []string {
	s = slices.Clone(s)
	slices.Reverse(s)
	return s
}
