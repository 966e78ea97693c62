// Package worker is the role that moves votes from the queue to the store,
// closes rounds when their time has come, and tells the queue which casts to
// take. Any number of workers may run: whatever one does twice, or two do at
// the same time, is done once.
package worker

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"popeye"
)

// Queue is where votes come from.
type Queue interface {
	// Receive blocks until it can return 1 to most deliveries, or ctx is done.
	Receive(ctx context.Context, most int) ([]popeye.Delivery, error)
	// Ack says that deliveries are recorded and never to be delivered again.
	Ack(ctx context.Context, deliveries []popeye.Delivery) error
	// Release says that deliveries were not recorded, and why.
	Release(ctx context.Context, deliveries []popeye.Delivery, cause error) error
	// Publish replaces the definitions by which casts are taken.
	Publish(ctx context.Context, definitions []popeye.Definition) error
}

// Recorder is where votes go.
type Recorder interface {
	// Record stores votes in one transaction; repeating it changes nothing. It
	// fails with popeye.ErrUnrecordable, and has then written nothing, when a
	// vote is at fault; any other error says that the store is.
	Record(ctx context.Context, votes []popeye.Vote) (popeye.Recorded, error)
	// Park keeps votes that can never be recorded; repeating it changes nothing.
	Park(ctx context.Context, parked []popeye.Parked) error
}

// Register is where the store keeps polls and the states of their rounds.
type Register interface {
	// Definitions returns the current round of every poll.
	Definitions(ctx context.Context) ([]popeye.Definition, error)
	// Close ends voting in a round; it does nothing when that was done.
	Close(ctx context.Context, round int64) error
	// Finalise ends recording in a closed round; it does nothing when that was
	// done, and fails when the round is still open.
	Finalise(ctx context.Context, round int64) error
}

// Bell tells those who show results what has changed.
type Bell interface {
	// Ring says that something shown of these polls changed.
	Ring(ctx context.Context, polls ...string) error
}

// Config is all that a worker needs. Only Batch and Now may be left out.
type Config struct {
	Queue    Queue
	Recorder Recorder
	Register Register
	Bell     Bell
	Log      *slog.Logger
	// Metrics takes the worker's metrics, named popeye_worker_...; nil: nobody
	// does.
	Metrics prometheus.Registerer
	// Batch is how many deliveries are recorded in one transaction at most. Zero
	// means DefaultBatch.
	Batch int
	// Now tells the time at which polls close. Nil means time.Now.
	Now func() time.Time
}

// DefaultBatch is the size of a batch beyond which recording gets no faster.
const DefaultBatch = 1000

// Grace bounds how long a batch in hand, or one pass of Sync, may take.
const Grace = 10 * time.Second

// Worker moves votes. Make one with New.
type Worker struct {
	Config
	metrics *metrics
	health  health

	// syncing holds a token while a pass of Sync is made: one ends before the
	// next begins, so that what is published last was also read last.
	syncing chan struct{}
	// published is what the last pass published.
	published atomic.Pointer[popeye.Catalog]
	// synced holds a token when somebody else has called Sync, after which the
	// next closing time may be another one.
	synced chan struct{}
}

// New returns a worker that does nothing until Run or Sync.
func New(c Config) *Worker {
	if c.Batch <= 0 {
		c.Batch = DefaultBatch
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Worker{
		Config:  c,
		metrics: newMetrics(c.Metrics),
		syncing: make(chan struct{}, 1),
		synced:  make(chan struct{}, 1),
	}
}

// Run works until ctx is done: then it takes no more, finishes the batch in
// hand within Grace, and returns nil. Parts that are away are waited for.
func (w *Worker) Run(ctx context.Context) error {
	var loops sync.WaitGroup
	loops.Go(func() { w.keepInSync(ctx) })
	loops.Go(func() { w.moveAll(ctx) })
	loops.Wait()
	return nil
}

// Ready returns nil when the queue has been told the definitions and the store
// did what it was asked last; otherwise it says what is missing.
func (w *Worker) Ready() error { return w.health.ready() }

// failed tells of a failure that is not returned to anybody.
func (w *Worker) failed(ctx context.Context, op string, err error) {
	w.metrics.errors.WithLabelValues(op).Inc()
	w.Log.WarnContext(ctx, "worker failed and will try again", "op", op, "error", err)
}
