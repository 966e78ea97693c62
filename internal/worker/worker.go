// Package worker is the role that moves votes from the queue to the store,
// closes rounds when their time has come, and tells the queue which casts to
// take. It works for one embedded queue and for several queue servers alike,
// each on its own: one that is away or slow holds up none of the others. Any
// number of workers may run: whatever one does twice, or two do at the same
// time, is done once.
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

// Config is all that a worker needs. What may be left out says so.
type Config struct {
	// Queues are the queue servers, or the one embedded queue.
	Queues []QueueServer
	// Copies is how many of the queue servers take each vote. Zero means one.
	Copies   int
	Recorder Recorder
	Register Register
	// Logbook is where the store keeps what it knows of the queue servers. Nil
	// where the queue is embedded: nothing of it is ever lost alone.
	Logbook Logbook
	Bell    Bell
	// Linger is the time between two beats. All queues begin batches with them, so
	// that a transaction holds more than a vote or two, and both copies of each
	// vote. A batch that follows a full one, or comes after an idle while, does not
	// wait. Zero where casters wait for their vote to be recorded.
	Linger time.Duration
	// SyncEvery is how often the definitions are read and published again, so that
	// a queue that lost them, or a change that nobody announced, does no harm for
	// longer. Zero means DefaultSyncEvery.
	SyncEvery time.Duration
	// Batch is how many deliveries are recorded in one transaction at most. Zero
	// means DefaultBatch.
	Batch int
	// Now tells the time at which polls close. Nil means time.Now.
	Now func() time.Time
	Log *slog.Logger
	// Metrics takes the worker's metrics, named popeye_worker_...; nil: nobody
	// does.
	Metrics prometheus.Registerer
}

// DefaultBatch is the size of a batch beyond which recording gets no faster.
const DefaultBatch = 1000

// DefaultSyncEvery is how old what a queue knows may get without harm.
const DefaultSyncEvery = 2 * time.Second

// Grace bounds how long one try to record the batch in hand, or one pass of
// Sync, may take.
const Grace = 10 * time.Second

// Worker moves votes. Make one with New.
type Worker struct {
	Config
	servers []*server
	beat    beat
	joint   *joint
	metrics *metrics
	health  *health
	grumble grumble

	// syncing holds a token while a pass of Sync is made: one ends before the
	// next begins, so that what is published last was also read last.
	syncing chan struct{}
	// pass is given when somebody else has called Sync, after which the next
	// closing time may be another one, or wants a pass soon.
	pass signal
	// catalog is what the last pass read, rung what was last rung for.
	catalog, rung atomic.Pointer[popeye.Catalog]
	// ended is given when a final round may not be certified yet.
	ended signal
}

// New returns a worker that does nothing until Run or Sync.
func New(c Config) *Worker {
	c.Copies = max(c.Copies, 1)
	if c.Batch <= 0 {
		c.Batch = DefaultBatch
	}
	if c.SyncEvery <= 0 {
		c.SyncEvery = DefaultSyncEvery
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	w := &Worker{
		Config:  c,
		metrics: newMetrics(c.Metrics, c.Queues),
		health:  newHealth(c.Copies),
		syncing: make(chan struct{}, 1),
		pass:    newSignal(),
		ended:   newSignal(),
	}
	w.beat.linger = c.Linger
	w.joint = newJoint(len(c.Queues), c.Batch, c.Linger, w.transact)
	for _, q := range c.Queues {
		w.servers = append(w.servers, newServer(w, q))
	}
	return w
}

// Run works until ctx is done: then it takes no more, finishes the batches in
// hand within Grace, and returns nil. Parts that are away are waited for. What
// the consumers hold beside that is theirs to give back: whoever made them ends
// them when Run has returned.
func (w *Worker) Run(ctx context.Context) error {
	var loops sync.WaitGroup
	loops.Go(func() { w.keepInSync(ctx) })
	loops.Go(func() { w.keepCertified(ctx) })
	for _, s := range w.servers {
		loops.Go(func() { s.run(ctx) })
	}
	loops.Wait()
	w.joint.wait()
	return nil
}

// Ready returns nil when as many queue servers know the definitions as take
// each vote, and the store did what it was asked last; otherwise it says what
// is missing.
func (w *Worker) Ready() error { return w.health.ready() }

// failed tells of a failure that is not returned to anybody. One that goes on is
// counted each time and logged now and then. What was being done the parts say.
func (w *Worker) failed(ctx context.Context, op, place string, err error) {
	w.metrics.errors.WithLabelValues(op, place).Inc()
	if w.grumble.due(op+" "+place, time.Now()) {
		w.Log.WarnContext(ctx, "worker failed and will try again", "op", op, "place", place, "error", err)
	}
}
