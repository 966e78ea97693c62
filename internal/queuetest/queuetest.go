// Package queuetest holds the contract of a queue: what a caster and a worker
// can rely on, whichever adapter is between them. It knows two kinds of queue:
// those where Enqueue waits until a worker has acknowledged the vote, and those
// where it returns as soon as the vote is on disk.
package queuetest

import (
	"context"
	"testing"

	"popeye"
)

// Queue is what is tested: both of its ends.
type Queue interface {
	Producer
	Consumer
}

// Producer is the end at which votes are cast.
type Producer interface {
	// Enqueue returns what became of a cast. A nil error says that the vote that
	// the answer shows is durable.
	Enqueue(ctx context.Context, c popeye.Cast) (popeye.Answer, error)
	// Mark returns the vote of a voter that stands, and whether there is one.
	Mark(ctx context.Context, round int64, v popeye.Voter) (popeye.Mark, bool, error)
	// Catalog returns the newest published catalog, or the one before for a moment.
	Catalog() *popeye.Catalog
}

// Consumer is the end from which workers take them. Several use it at the same
// time; whoever receives a delivery also acknowledges or releases it.
type Consumer interface {
	// Receive blocks until it can return a delivery, or ctx is done.
	Receive(ctx context.Context, most int) ([]popeye.Delivery, error)
	// Ack says that deliveries are recorded and never to be delivered again.
	Ack(ctx context.Context, deliveries []popeye.Delivery) error
	// Release says that deliveries were not recorded.
	Release(ctx context.Context, deliveries []popeye.Delivery, cause error) error
	// Publish replaces the definitions by which casts are taken, unless by an
	// older catalog.
	Publish(ctx context.Context, catalog *popeye.Catalog) error
}

// Open returns an empty queue for one test, which cleans up after itself. Where
// workers have ends of their own, it sees to it that they can share this one.
type Open func(t *testing.T) Queue

// Option adds to what Run tests.
type Option func(*suite)

// Full adds the promise of a queue that is full: open returns one that has room
// for fewer than casts votes of one round while nobody receives.
func Full(open Open, casts int) Option {
	return func(s *suite) { s.small, s.tooMany = open, casts }
}

type suite struct {
	small   Open
	tooMany int
}

// Run tests the contract, each promise on a queue of its own.
func Run(t *testing.T, open Open, options ...Option) {
	t.Helper()
	var s suite
	for _, o := range options {
		o(&s)
	}
	for _, group := range [][]promise{castPromises(), deliveryPromises(), publishPromises(), sealPromises(), racePromises()} {
		for _, p := range group {
			t.Run(p.says, func(t *testing.T) { p.holds(newBench(t, open)) })
		}
	}
	t.Run("any sequence of casts is decided as the rules say", func(t *testing.T) { decidesByTheRules(t, open) })
	if s.small != nil {
		t.Run("a full queue refuses and loses nothing that it took", func(t *testing.T) {
			refusesWhenFull(newBench(t, s.small), s.tooMany)
		})
	}
}

// promise is one sentence of the contract.
type promise struct {
	says  string
	holds func(b *bench)
}
