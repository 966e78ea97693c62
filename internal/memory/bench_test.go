package memory_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"popeye"
	"popeye/internal/memory"
)

// BenchmarkEnqueue casts votes of new voters from 256 goroutines through one
// worker, whose store takes no time, or a millisecond per batch as one that
// writes to a disk. Marks are asked for in batches and found for nobody, as in
// a store, so that no growing map is measured.
func BenchmarkEnqueue(b *testing.B) {
	b.Run("store=none", func(b *testing.B) { castFrom256(b, func() {}) })
	b.Run("store=1ms", func(b *testing.B) { castFrom256(b, func() { <-time.After(time.Millisecond) }) })
}

func castFrom256(b *testing.B, record func()) {
	b.Helper()
	q := memory.NewQueue(memory.QueueConfig{Marks: noMarks})
	d := popeye.Definition{Poll: popeye.Poll{ID: "p", Policy: popeye.First}, Round: 1, State: popeye.Open, Version: 1}
	if err := q.Publish(b.Context(), popeye.NewCatalog(1, []popeye.Definition{d})); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	batches := 0
	var working, casting sync.WaitGroup
	working.Go(func() { batches = recordAll(ctx, b, q, record) })

	var cast atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	for range 256 {
		casting.Go(func() {
			for n := int(cast.Add(1)); n <= b.N; n = int(cast.Add(1)) {
				c := popeye.Cast{Vote: popeye.Vote{Round: 1, Voter: voter(n), Choices: 1, Stamp: 1}}
				if a, err := q.Enqueue(b.Context(), c); err != nil || a.Outcome != popeye.Accepted {
					b.Errorf("the cast got %q and %v", a.Outcome, err)
					return
				}
			}
		})
	}
	casting.Wait()
	b.StopTimer()
	cancel()
	working.Wait()
	b.ReportMetric(float64(b.N)/float64(batches), "votes/batch")
}

func noMarks(context.Context, int64, []popeye.Voter) (map[popeye.Voter]popeye.Mark, error) {
	return nil, nil
}

// recordAll is a worker. It returns the number of its batches.
func recordAll(ctx context.Context, b *testing.B, q *memory.Queue, record func()) int {
	b.Helper()
	for batches := 0; ; batches++ {
		ds, err := q.Receive(ctx, 1000)
		if err != nil {
			return batches
		}
		record()
		if err := q.Ack(ctx, ds); err != nil {
			b.Errorf("ack: %v", err)
		}
	}
}
