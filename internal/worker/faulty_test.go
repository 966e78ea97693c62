package worker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"popeye"
	"popeye/internal/faulty"
	"popeye/internal/memory"
	"popeye/internal/sqlite"
	"popeye/internal/worker"
)

// The promise that everything else is there for, with everything going wrong
// that may: a store that fails, often after having committed, a queue that
// loses acknowledgements, repeats and shuffles, casters that give up and cast
// again, and two workers.
func TestEveryAcknowledgedVoteIsCountedExactlyOnceWhateverFails(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			onOneProcessor(t)
			synctest.Test(t, func(t *testing.T) { countExactlyOnce(t, seed) })
		})
	}
}

func countExactlyOnce(t *testing.T, seed uint64) {
	t.Helper()
	f := newFlood(t, seed)
	first, change := f.open(popeye.First), f.open(popeye.Change)
	ctx, cancel := context.WithCancel(t.Context())
	var workers, voters sync.WaitGroup
	for i := range uint64(2) {
		w := f.worker(seed<<8 + i)
		workers.Go(func() {
			if err := w.Run(ctx); err != nil {
				t.Errorf("run: %v", err)
			}
		})
	}
	f.until("the polls are published", func() bool { return len(f.queue.Catalog().All()) == 2 })

	const people = 120
	for n := range people {
		voters.Go(func() { f.race(first, n) })
		voters.Go(func() { f.changeMinds(change, n) })
	}
	voters.Wait()
	for _, d := range []popeye.Definition{first, change} {
		if err := f.store.Close(t.Context(), d.Round); err != nil {
			t.Fatalf("close: %v", err)
		}
		f.until("the round is final", func() bool { return f.tally(d).State == popeye.Final })
	}
	cancel()
	workers.Wait()

	f.wantCounted(first, people, people)
	f.wantCounted(change, people, people*changes)
}

// changes is how many distinct votes each voter of the poll under change casts.
const changes = 4

// flood is a queue, a store, and what casters were told.
type flood struct {
	*testing.T
	store *sqlite.Store
	queue *memory.Queue

	mu       sync.Mutex
	random   *rand.Rand
	standing map[int64]map[popeye.Voter]popeye.Mark
}

func newFlood(t *testing.T, seed uint64) *flood {
	t.Helper()
	store, err := sqlite.Open(t.Context(), sqlite.Config{Path: filepath.Join(t.TempDir(), "popeye.db"), VoterKey: "k"})
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	queue := memory.NewQueue(memory.QueueConfig{Marks: store.Marks})
	t.Cleanup(func() {
		if err := errors.Join(queue.Close(), store.Shutdown()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return &flood{
		T: t, store: store, queue: queue,
		random:   rand.New(rand.NewPCG(seed, 1)),
		standing: make(map[int64]map[popeye.Voter]popeye.Mark),
	}
}

func (f *flood) open(policy popeye.Policy) popeye.Definition {
	f.Helper()
	p := popeye.Poll{ID: string(policy), Question: "?", Policy: policy, Options: []popeye.Option{{ID: "a"}, {ID: "b"}, {ID: "c"}}}
	d, _, err := f.store.Apply(f.Context(), p.WithDefaults(), popeye.Open)
	if err != nil {
		f.Fatalf("apply: %v", err)
	}
	f.standing[d.Round] = make(map[popeye.Voter]popeye.Mark)
	return d
}

// worker returns one that works through faulty wrappers of its own.
func (f *flood) worker(seed uint64) *worker.Worker {
	faults := faulty.Faults{Before: 0.3, After: 0.3, Twice: 0.2, Shuffle: true, Slow: 5 * time.Millisecond}
	store := faulty.NewStore(seed, faults, f.store, f.store)
	return worker.New(worker.Config{
		Queues:   []worker.QueueServer{embedded(faulty.NewQueue(seed, faults, f.queue))},
		Recorder: store,
		Register: store,
		Bell:     memory.NewBell(),
		Log:      slog.New(slog.DiscardHandler),
		Batch:    50,
	})
}

// race casts two votes of one voter at once; one has to win.
func (f *flood) race(d popeye.Definition, n int) {
	var both sync.WaitGroup
	outcomes := make([]popeye.Outcome, 2)
	for i := range outcomes {
		both.Go(func() {
			c := cast(d.Round, n, 1<<i)
			c.Stamp += popeye.Stamp(i)
			outcomes[i] = f.castUntilAnswered(c).Outcome
		})
	}
	both.Wait()
	slices.Sort(outcomes)
	won := slices.DeleteFunc(slices.Clone(outcomes), func(o popeye.Outcome) bool { return !o.Stands() })
	if len(won) != 1 || !slices.Contains(outcomes, popeye.Already) {
		f.Errorf("two racing votes ended in %q, want one that stands and one already", outcomes)
	}
}

// changeMinds casts one vote after the other.
func (f *flood) changeMinds(d popeye.Definition, n int) {
	var after popeye.Stamp
	for i := range changes {
		c := cast(d.Round, n, 1<<((n+i)%3))
		c.Stamp += popeye.Stamp(10 * i)
		c.After = after
		a := f.castUntilAnswered(c)
		if !a.Outcome.Stands() || a.Mark.Serial != int64(i+1) {
			f.Errorf("vote %d of a voter got %q with serial %d", i+1, a.Outcome, a.Mark.Serial)
		}
		after = a.Mark.Stamp
	}
}

// castUntilAnswered casts the same vote again until it is acknowledged, and
// notes what was.
func (f *flood) castUntilAnswered(c popeye.Cast) popeye.Answer {
	for {
		ctx, cancel := context.WithTimeout(f.Context(), f.patience())
		a, err := f.queue.Enqueue(ctx, c)
		cancel()
		if err == nil {
			f.mu.Lock()
			f.standing[c.Round][c.Voter] = a.Mark
			f.mu.Unlock()
			return a
		}
		if !errors.Is(err, popeye.ErrUnavailable) {
			f.Errorf("a cast got %v", err)
			return a
		}
	}
}

// patience is how long a caster waits; some are very impatient.
func (f *flood) patience() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.random.IntN(4) == 0 {
		return time.Duration(1+f.random.IntN(20)) * time.Millisecond
	}
	return 5 * time.Second
}

// until waits for a fact, in the bubble's time.
func (f *flood) until(what string, holds func() bool) {
	f.Helper()
	for range 10000 {
		if holds() {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	f.Fatalf("%s: did not come", what)
}

func (f *flood) tally(d popeye.Definition) popeye.Tally {
	f.Helper()
	tally, err := f.store.Tally(f.Context(), d.ID)
	if err != nil {
		f.Fatalf("tally: %v", err)
	}
	return tally
}

// wantCounted compares the store's result with what casters were told.
func (f *flood) wantCounted(d popeye.Definition, voters, votes int64) {
	f.Helper()
	want := make([]int64, len(d.Options))
	for _, m := range f.standing[d.Round] {
		for i := range want {
			if m.Choices.Has(i) {
				want[i]++
			}
		}
	}
	tally := f.tally(d)
	if !slices.Equal(tally.Votes, want) || tally.Total != voters {
		f.Errorf("under %s counted were %v of %d voters, acknowledged %v of %d", d.Policy, tally.Votes, tally.Total, want, voters)
	}
	if l := tally.Ledger; l.Stored != votes || l.Rejected != 0 || l.Accepted != votes {
		f.Errorf("under %s the ledger is %+v, want %d stored", d.Policy, l, votes)
	}
}
