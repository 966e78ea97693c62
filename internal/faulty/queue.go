package faulty

import (
	"context"
	"slices"
	"sync"

	"popeye"
)

// Consumer is the end of a queue from which workers take votes.
type Consumer interface {
	// Receive blocks until it can return a delivery, or ctx is done.
	Receive(ctx context.Context, most int) ([]popeye.Delivery, error)
	// Ack says that deliveries are recorded.
	Ack(ctx context.Context, deliveries []popeye.Delivery) error
	// Release says that deliveries were not recorded, and why.
	Release(ctx context.Context, deliveries []popeye.Delivery, cause error) error
	// Publish replaces the definitions by which casts are taken.
	Publish(ctx context.Context, catalog *popeye.Catalog) error
}

// Queue is a queue that fails, repeats and shuffles. Make one with NewQueue.
type Queue struct {
	inner  Consumer
	faults *faults

	mu sync.Mutex
	// again is to be delivered again: what has lost its acknowledgement, and
	// some of what has not.
	again []popeye.Delivery
}

// NewQueue returns a queue that fails like f and otherwise does what inner
// does. It repeats a delivery within its batch, or after its acknowledgement;
// what it fails to acknowledge it delivers again, as a server would do. Receive
// does not fail after the fact, for then nobody would have the deliveries, and
// Release never fails.
func NewQueue(seed uint64, f Faults, inner Consumer) *Queue {
	return &Queue{inner: inner, faults: newFaults(seed, f)}
}

// Receive returns what is to be delivered again, or new deliveries and some of
// them twice; seals come last.
func (q *Queue) Receive(ctx context.Context, most int) ([]popeye.Delivery, error) {
	if err := q.faults.before(ctx); err != nil {
		return nil, err
	}
	deliveries := q.repeats(most)
	if len(deliveries) == 0 {
		var err error
		if deliveries, err = q.inner.Receive(ctx, most); err != nil {
			return nil, err
		}
		deliveries = append(deliveries, q.some(deliveries[:min(len(deliveries), most-len(deliveries))])...)
	}
	if q.faults.Shuffle {
		q.faults.shuffle(len(deliveries), func(i, j int) { deliveries[i], deliveries[j] = deliveries[j], deliveries[i] })
	}
	slices.SortStableFunc(deliveries, sealsLast)
	return deliveries, nil
}

// Ack acknowledges, or fails; after a failure the deliveries may come again.
func (q *Queue) Ack(ctx context.Context, deliveries []popeye.Delivery) error {
	acked := false
	err := q.faults.around(ctx, func() error {
		acked = true
		return q.inner.Ack(ctx, deliveries)
	})
	q.mu.Lock()
	defer q.mu.Unlock()
	if !acked {
		q.again = append(q.again, deliveries...)
	} else {
		q.again = append(q.again, q.some(deliveries)...)
	}
	return err
}

// Release releases.
func (q *Queue) Release(ctx context.Context, deliveries []popeye.Delivery, cause error) error {
	return q.inner.Release(ctx, deliveries, cause)
}

// Publish publishes, or fails; after a failure it may be published.
func (q *Queue) Publish(ctx context.Context, catalog *popeye.Catalog) error {
	return q.faults.around(ctx, func() error { return q.inner.Publish(ctx, catalog) })
}

// repeats takes up to most of what is to be delivered again.
func (q *Queue) repeats(most int) []popeye.Delivery {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(most, len(q.again))
	out := slices.Clone(q.again[:n])
	q.again = slices.Delete(q.again, 0, n)
	return out
}

// some returns those of the deliveries that are to come twice.
func (q *Queue) some(deliveries []popeye.Delivery) []popeye.Delivery {
	var twice []popeye.Delivery
	for _, d := range deliveries {
		if q.faults.hit(q.faults.Twice) {
			twice = append(twice, d)
		}
	}
	return twice
}

func sealsLast(a, b popeye.Delivery) int {
	switch {
	case a.Seal == 0 && b.Seal != 0:
		return -1
	case a.Seal != 0 && b.Seal == 0:
		return 1
	default:
		return 0
	}
}
