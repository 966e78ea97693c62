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
		turns:       turns{token: make(chan struct{}, 1)},
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

// turns let the consumers of one server receive one after the other, and none
// too soon after the last: then votes come in batches.
type turns struct {
	token chan struct{}
	// began is when the last Receive did, full whether it left more behind. Both
	// belong to whoever has the token.
	began time.Time
	full  bool
}

// take waits for the caller's turn and for what is left of the linger. It
// returns false when ctx is done first.
func (t *turns) take(ctx context.Context, linger time.Duration) bool {
	select {
	case t.token <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	if !t.full {
		wait(ctx, linger-time.Since(t.began))
	}
	if ctx.Err() != nil {
		<-t.token
		return false
	}
	t.began = time.Now()
	return true
}

// give ends the turn. Full says that there was more to receive.
func (t *turns) give(full bool) {
	t.full = full
	<-t.token
}
