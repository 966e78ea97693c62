package worker

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"popeye"
)

// server is one queue server, or the embedded queue, as this worker works for
// it.
type server struct {
	QueueServer
	worker *Worker
	turns  turns
	// look is given when there is something new to see of the server.
	look signal
	// healing is set while the server is replayed.
	healing atomic.Bool

	// lastIdentity is the identity that the server last had.
	lastIdentity atomic.Pointer[string]
	// noted is what the store was last told, at notedAt; only the watching loop
	// touches them.
	noted   popeye.QueueStatus
	notedAt time.Time
}

func newServer(w *Worker, q QueueServer) *server {
	return &server{
		QueueServer: q,
		worker:      w,
		turns:       turns{beat: &w.beat, token: make(chan struct{}, 1)},
		look:        newSignal(),
	}
}

// run does all that is to be done for the server until ctx is done.
func (s *server) run(ctx context.Context) {
	var loops sync.WaitGroup
	for _, c := range s.Consumers {
		m := mover{server: s, consumer: c}
		loops.Go(func() { m.moveAll(ctx) })
	}
	if s.isWatched() {
		loops.Go(func() { s.watch(ctx) })
		loops.Go(func() { s.tend(ctx) })
	}
	loops.Wait()
}

// isWatched reports whether this is a server of its own. The embedded queue is
// not.
func (s *server) isWatched() bool { return s.Watched != nil && s.worker.Logbook != nil }

func (s *server) failed(ctx context.Context, op string, err error) {
	s.worker.failed(ctx, op, s.Place, err)
}

// signal wakes one who waits for it. Those given before anybody looks merge.
type signal chan struct{}

func newSignal() signal { return make(signal, 1) }

func (s signal) give() {
	select {
	case s <- struct{}{}:
	default:
	}
}
