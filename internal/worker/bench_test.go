package worker_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"popeye"
	"popeye/internal/memory"
	"popeye/internal/sqlite"
	"popeye/internal/worker"
)

// BenchmarkCast casts votes of new voters from 256 goroutines through a worker
// into an SQLite file: what an acknowledged vote costs without HTTP.
func BenchmarkCast(b *testing.B) {
	store, err := sqlite.Open(b.Context(), sqlite.Config{Path: filepath.Join(b.TempDir(), "popeye.db"), VoterKey: "k"})
	if err != nil {
		b.Fatal(err)
	}
	d, _, err := store.Apply(b.Context(), poll("p", 1).Poll, popeye.Open)
	if err != nil {
		b.Fatal(err)
	}
	q := memory.NewQueue(memory.QueueConfig{Marks: store.Marks})
	w := worker.New(worker.Config{
		Queues: []worker.QueueServer{embedded(q)}, Recorder: store, Register: store, Bell: memory.NewBell(), Log: slog.New(slog.DiscardHandler),
	})
	if err := w.Sync(b.Context()); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var working, casting sync.WaitGroup
	working.Go(func() { _ = w.Run(ctx) })

	var voters atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	for range 256 {
		casting.Go(func() {
			for n := int(voters.Add(1)); n <= b.N; n = int(voters.Add(1)) {
				scattered := int(uint64(n) * 0x9e3779b97f4a7c15) // pseudonyms come in no order
				if a, err := q.Enqueue(b.Context(), cast(d.Round, scattered, 1)); err != nil || a.Outcome != popeye.Accepted {
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
	if err := store.Shutdown(); err != nil {
		b.Error(err)
	}
}
