//go:build !windows

package sqlite

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"popeye"
)

// Each vote a new voter, every batch fsynced: what casting costs the store.
func BenchmarkRecord(b *testing.B) {
	for _, size := range []int{1, 100, 256, 1000} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			s, round := benchStore(b)
			perVote(b, round, size, func(votes []popeye.Vote) error {
				_, err := s.Record(b.Context(), votes, popeye.Progress{})
				return err
			})
		})
	}
}

// The same rows through the same statement and nothing else: the floor under
// BenchmarkRecord.
func BenchmarkInsertAlone(b *testing.B) {
	for _, size := range []int{1, 100, 256, 1000} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			s, round := benchStore(b)
			perVote(b, round, size, func(votes []popeye.Vote) error {
				tx, err := s.writer.BeginTx(b.Context(), nil)
				if err != nil {
					return err
				}
				if err := s.insert(b.Context(), tx, votes); err != nil {
					return err
				}
				return tx.Commit()
			})
		})
	}
}

// What asking after voters costs who have not voted, as nearly all have not.
func BenchmarkMarks(b *testing.B) {
	for _, size := range []int{1, 100, 256, 1000} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			s, round := benchStore(b)
			perVote(b, round, size, func(votes []popeye.Vote) error {
				_, err := s.Marks(b.Context(), round, voters(votes))
				return err
			})
		})
	}
}

func benchStore(b *testing.B) (*Store, int64) {
	b.Helper()
	s, err := Open(b.Context(), Config{Path: filepath.Join(b.TempDir(), "popeye.db")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Shutdown(); err != nil {
			b.Error(err)
		}
	})
	poll := popeye.Poll{ID: "bench", Question: "?", Options: []popeye.Option{{ID: "a"}, {ID: "b"}}}
	d, _, err := s.Apply(b.Context(), poll.WithDefaults(), popeye.Open)
	if err != nil {
		b.Fatal(err)
	}
	return s, d.Round
}

// perVote times do on batches of size votes by new voters: by the clock, and
// by the processor, which other work on the machine disturbs less.
func perVote(b *testing.B, round int64, size int, do func([]popeye.Vote) error) {
	b.Helper()
	random := rand.NewChaCha8([32]byte{})
	votes := make([]popeye.Vote, size)
	busy := processorTime(b)
	for b.Loop() {
		for i := range votes {
			votes[i] = popeye.Vote{Round: round, Choices: 1 << (i % 2), Stamp: 1 << 50, Serial: 1}
			_, _ = random.Read(votes[i].Voter[:]) // never fails
		}
		if err := do(votes); err != nil {
			b.Fatal(err)
		}
	}
	perVote := 1 / float64(b.N*size)
	b.ReportMetric(float64(b.Elapsed().Microseconds())*perVote, "µs/vote")
	b.ReportMetric(float64((processorTime(b)-busy).Microseconds())*perVote, "cpu-µs/vote")
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
