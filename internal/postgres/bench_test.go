package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"popeye"
	"popeye/internal/lab/labtest"
)

// What recording costs, in batches of 1,000 by one worker with two in flight, as
// a worker has them, every commit fsynced: votes of new voters, changes of votes
// that are there, and repeats of what is recorded already.
func BenchmarkRecord(b *testing.B) {
	for _, c := range []struct {
		name   string
		policy popeye.Policy
		next   func(before []popeye.Vote, random *rand.ChaCha8)
	}{
		{"new", popeye.First, newVoters},
		{"changed", popeye.Change, changedVotes},
		{"repeated", popeye.First, func([]popeye.Vote, *rand.ChaCha8) {}},
	} {
		for _, size := range []int{1, 100, 1000} {
			b.Run(fmt.Sprintf("%s-%d", c.name, size), func(b *testing.B) {
				s := benchStore(b)
				d := createPoll(b, s, "p", c.policy)
				flows := [2]*flow{newFlow(d, size, 1), newFlow(d, size, 2)}
				for _, f := range flows {
					newVoters(f.votes, f.random)
					record(b, s, f.votes...)
				}
				measure(b, s, flows[:], func(f *flow, n int64) error {
					c.next(f.votes, f.random)
					_, err := s.Record(b.Context(), f.votes, popeye.Progress{Server: "s", Worker: "w", Batch: n})
					return err
				})
			})
		}
	}
}

// The same rows by a statement that does nothing but insert them: the floor under
// BenchmarkRecord.
func BenchmarkInsertAlone(b *testing.B) {
	for _, size := range []int{1, 100, 1000} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			s := benchStore(b)
			d := createPoll(b, s, "p", popeye.First)
			flows := [2]*flow{newFlow(d, size, 1), newFlow(d, size, 2)}
			measure(b, s, flows[:], func(f *flow, _ int64) error {
				newVoters(f.votes, f.random)
				c := columnsOf(sorted(f.votes))
				_, err := s.pool.Exec(b.Context(), `INSERT INTO votes (round, voter, choices, stamp)
					SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[])`,
					pgx.QueryExecModeCacheStatement, c.rounds, c.voters, c.choices, c.stamps)
				return err
			})
		})
	}
}

// The cost of a vote against how many are there already.
func BenchmarkRecordAmongMany(b *testing.B) {
	s := benchStore(b)
	d := createPoll(b, s, "p", popeye.First)
	have := 0
	for _, millions := range []int{0, 1, 5} {
		fill(b, s, d, millions*1_000_000-have)
		have = max(have, millions*1_000_000)
		b.Run(fmt.Sprintf("%dM", millions), func(b *testing.B) {
			flows := [2]*flow{newFlow(d, 1000, rand.Uint64()), newFlow(d, 1000, rand.Uint64())}
			measure(b, s, flows[:], func(f *flow, _ int64) error {
				newVoters(f.votes, f.random)
				_, err := s.Record(b.Context(), f.votes, popeye.Progress{})
				return err
			})
		})
	}
}

// flow is a stream of batches, one after the other.
type flow struct {
	votes  []popeye.Vote
	random *rand.ChaCha8
}

func newFlow(d popeye.Definition, size int, seed uint64) *flow {
	f := &flow{votes: make([]popeye.Vote, size), random: rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)})}
	for i := range f.votes {
		f.votes[i] = popeye.Vote{Round: d.Round, Choices: 1 << (i % 2), Stamp: 1 << 50, Serial: 1}
	}
	return f
}

func newVoters(votes []popeye.Vote, random *rand.ChaCha8) {
	for i := range votes {
		_, _ = random.Read(votes[i].Voter[:]) // never fails
	}
}

func changedVotes(votes []popeye.Vote, _ *rand.ChaCha8) {
	for i := range votes {
		v := &votes[i]
		v.Choices, v.Stamp, v.Serial = 3-v.Choices, v.Stamp+1, v.Serial+1
	}
}

// measure times what flows do, each its share of b.N batches: by the clock, and by
// the processor time of the database and of this process, which other work on the
// machine disturbs less.
func measure(b *testing.B, s *Store, flows []*flow, do func(f *flow, n int64) error) {
	b.Helper()
	pids := serverProcesses(b, s)
	server, own := processorTime(b, pids), processorTime(b, []int{os.Getpid()})
	b.ResetTimer()
	var working sync.WaitGroup
	for i, f := range flows {
		working.Go(func() {
			for n := i; n < b.N; n += len(flows) {
				if err := do(f, int64(n+1)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	working.Wait()
	b.StopTimer()
	votes := float64(b.N * len(flows[0].votes))
	b.ReportMetric(votes/b.Elapsed().Seconds(), "votes/s")
	b.ReportMetric(float64((processorTime(b, pids)-server).Microseconds())/votes, "server-cpu-µs/vote")
	b.ReportMetric(float64((processorTime(b, []int{os.Getpid()})-own).Microseconds())/votes, "own-cpu-µs/vote")
}

// Reading a result, with few votes and with many.
func BenchmarkTally(b *testing.B) {
	s := benchStore(b)
	d := createPoll(b, s, "p", popeye.First)
	have := 0
	for _, votes := range []int{1000, 1_000_000, 10_000_000} {
		fill(b, s, d, votes-have)
		have = votes
		b.Run(strconv.Itoa(votes), func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Tally(b.Context(), "p"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func benchStore(b *testing.B) *Store {
	b.Helper()
	server := labtest.Postgres(b, "shared_buffers=1GB", "max_wal_size=4GB", "autovacuum=off")
	return openMigrated(b, server.DSN("postgres"))
}

// fill adds n votes of new voters in the order in which they would have come.
func fill(b *testing.B, s *Store, d popeye.Definition, n int) {
	b.Helper()
	flows := []*flow{newFlow(d, 1000, rand.Uint64()), newFlow(d, 1000, rand.Uint64())}
	var working sync.WaitGroup
	for _, f := range flows {
		working.Go(func() {
			for range n / 2000 {
				newVoters(f.votes, f.random)
				if _, err := s.Record(context.WithoutCancel(b.Context()), f.votes, popeye.Progress{}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	working.Wait()
}

func serverProcesses(b *testing.B, s *Store) []int {
	b.Helper()
	for range 2 { // both connections have to be there
		conn, err := s.pool.Acquire(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Release()
	}
	rows, err := s.pool.Query(b.Context(), "SELECT pid FROM pg_stat_activity")
	if err != nil {
		b.Fatal(err)
	}
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		b.Fatal(err)
	}
	return pids
}

// processorTime returns what processes have used, where the system tells.
func processorTime(b *testing.B, pids []int) time.Duration {
	b.Helper()
	var ticks time.Duration
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		for _, field := range fields[11:13] { // user and system, in hundredths of a second
			n, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			ticks += time.Duration(n) * 10 * time.Millisecond
		}
	}
	return ticks
}
