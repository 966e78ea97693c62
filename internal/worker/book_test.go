package worker_test

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"

	"popeye"
)

// book is a store as small as the contract allows, which fails on demand and
// tells in which order things were done.
type book struct {
	mu      sync.Mutex
	version int64
	polls   []popeye.Definition
	votes   map[popeye.Voter]popeye.Vote
	parked  []popeye.Parked
	left    []popeye.Definition // in rounds that are not current any more
	away    error               // what every call fails with, when set
	fails   map[string]error    // what calls of one kind fail with
	gate    chan struct{}       // what Record waits for, when set
	begun   int                 // how often it has waited for that
	rejects bool                // every new vote is one that comes too late
	moody   *rand.Rand          // makes calls fail, some after the fact, when set
	done    []string

	certified int
	// progress are the batches recorded of each worker, notes what was noted of
	// each place, seals those followed, and restored what is said to be whole.
	progress map[popeye.Progress]bool
	notes    map[string]popeye.QueueStatus
	noted    int
	seals    []popeye.Seal
	restored []popeye.QueueStatus
}

func newBook(polls ...popeye.Definition) *book {
	return &book{
		polls:    polls,
		fails:    make(map[string]error),
		votes:    make(map[popeye.Voter]popeye.Vote),
		progress: make(map[popeye.Progress]bool),
		notes:    make(map[string]popeye.QueueStatus),
	}
}

// do does something under the lock, unless the store is away, and notes that it
// was done. What goes on all the time, or notes more, is quiet.
func (b *book) do(what string, change func() error) error {
	if err := b.quietly(what, change); err != nil {
		return err
	}
	b.set(func(b *book) { b.done = append(b.done, what) })
	return nil
}

func (b *book) quietly(what string, change func() error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := cmp.Or(b.away, b.fails[what]); err != nil {
		return err
	}
	if b.moody != nil && b.moody.IntN(4) == 0 {
		return errDisk
	}
	if err := change(); err != nil {
		return err
	}
	if b.moody != nil && b.moody.IntN(4) == 0 {
		return errDisk
	}
	return nil
}

// set changes or reads the store from outside.
func (b *book) set(change func(b *book)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(b)
}

func (b *book) Record(ctx context.Context, votes []popeye.Vote, done ...popeye.Progress) (popeye.Recorded, error) {
	b.mu.Lock()
	gate := b.gate
	b.mu.Unlock()
	if gate != nil {
		b.set(func(b *book) { b.begun++ })
		select {
		case <-gate:
		case <-ctx.Done():
		}
	}
	var r popeye.Recorded
	err := b.do("record", func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, v := range votes {
			d := b.find(v.Round)
			if d == nil {
				return fmt.Errorf("a vote in round %d: %w: %w", v.Round, popeye.ErrUnrecordable, popeye.ErrNotFound)
			}
			if !v.Choices.Within(len(d.Options)) {
				return fmt.Errorf("a vote in round %d: %w", v.Round, popeye.ErrUnrecordable)
			}
		}
		for _, v := range votes {
			if _, ok := b.votes[v.Voter]; !ok && b.rejects {
				r.Rejected++
			}
			b.votes[v.Voter] = v
			r.Moved = b.move(r.Moved, v.Round)
		}
		for _, p := range done {
			if p != (popeye.Progress{}) {
				b.progress[p] = true
				b.done = append(b.done, "progress")
			}
		}
		return nil
	})
	return r, err
}

func (b *book) Park(_ context.Context, parked []popeye.Parked) (r popeye.Recorded, err error) {
	err = b.do("park", func() error {
		b.parked = append(b.parked, parked...)
		for _, p := range parked {
			r.Rejected++
			r.Moved = b.move(r.Moved, p.Vote.Round)
		}
		return nil
	})
	return r, err
}

// move adds the poll of a round to those that moved.
func (b *book) move(moved []string, round int64) []string {
	if d := b.find(round); d != nil && !slices.Contains(moved, d.ID) {
		return append(moved, d.ID)
	}
	return moved
}

func (b *book) Certify(context.Context) error {
	return b.quietly("certify", func() error { b.certified++; return nil })
}

func (b *book) Catalog(context.Context) (c *popeye.Catalog, err error) {
	err = b.quietly("catalog", func() error { c = popeye.NewCatalog(b.version, b.polls); return nil })
	return c, err
}

// define replaces the polls, as an organiser does.
func (b *book) define(polls ...popeye.Definition) {
	b.set(func(b *book) {
		b.polls = polls
		b.version++
	})
}

func (b *book) NameVoterKey(_ context.Context, name string) error {
	return b.do("name "+name, func() error {
		for i := range b.polls {
			d := &b.polls[i]
			d.VoterKey = cmp.Or(d.VoterKey, name)
		}
		b.version++
		return nil
	})
}

func (b *book) Close(_ context.Context, round int64) error {
	return b.advance("close", round, popeye.Closed)
}

func (b *book) Finalise(_ context.Context, round int64) error {
	return b.advance("finalise", round, popeye.Final)
}

func (b *book) advance(what string, round int64, to popeye.State) error {
	return b.do(what, func() error { return b.enter(round, to) })
}

// enter gives a round another state.
func (b *book) enter(round int64, to popeye.State) error {
	d := b.find(round)
	if d == nil {
		return popeye.ErrNotFound
	}
	d.State = to
	d.Version++
	b.version++
	return nil
}

func (b *book) find(round int64) *popeye.Definition {
	for _, all := range [][]popeye.Definition{b.polls, b.left} {
		for i := range all {
			if all[i].Round == round {
				return &all[i]
			}
		}
	}
	return nil
}

func (b *book) Note(_ context.Context, s popeye.QueueStatus) error {
	return b.quietly("note", func() error {
		if !b.lacks(s) {
			b.notes[s.Place] = s
		}
		b.noted++
		return nil
	})
}

func (b *book) Lost(_ context.Context, s popeye.QueueStatus) (from string, err error) {
	err = b.quietly("lost", func() error {
		if b.lacks(s) {
			from = cmp.Or(b.notes[s.Place].Recorded, "0")
		}
		return nil
	})
	return from, err
}

func (b *book) lacks(s popeye.QueueStatus) bool {
	for p := range batches(s) {
		if !b.progress[p] {
			return true
		}
	}
	return false
}

// batches are all those that a server has seen acknowledged.
func batches(s popeye.QueueStatus) iter.Seq[popeye.Progress] {
	return func(yield func(popeye.Progress) bool) {
		for worker, last := range s.Progress {
			for batch := range last {
				if !yield(popeye.Progress{Server: s.Server, Worker: worker, Batch: batch + 1}) {
					return
				}
			}
		}
	}
}

func (b *book) Restored(_ context.Context, s popeye.QueueStatus) error {
	return b.do("restored", func() error {
		b.restored = append(b.restored, s)
		for p := range batches(s) {
			b.progress[p] = true
		}
		return nil
	})
}

func (b *book) Seal(_ context.Context, s popeye.Seal) (final bool, err error) {
	err = b.quietly("seal", func() error {
		d := b.find(s.Round)
		if d == nil {
			return popeye.ErrNotFound
		}
		if d.State == popeye.Open {
			return popeye.ErrExists
		}
		b.seals = append(b.seals, s)
		b.done = append(b.done, "seal "+s.Place)
		sealed := make(map[string]bool)
		for _, other := range b.seals {
			if other.Round == s.Round {
				sealed[other.Place] = true
			}
		}
		if final = len(sealed) >= s.Enough; final {
			return b.enter(s.Round, popeye.Final)
		}
		return nil
	})
	return final, err
}

// state returns the state of round 1.
func (b *book) state() popeye.State {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.find(1).State
}

// log returns what was done so far.
func (b *book) log() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.done)
}

// Ring makes the book a bell too, so that rings stand in the same order.
func (b *book) Ring(_ context.Context, polls ...string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range polls {
		b.done = append(b.done, "ring "+p)
	}
	return nil
}
