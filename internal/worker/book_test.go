package worker_test

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"popeye"
)

// book is a store as small as the contract allows, which fails on demand and
// tells in which order things were done.
type book struct {
	mu      sync.Mutex
	polls   []popeye.Definition
	votes   map[popeye.Voter]popeye.Vote
	parked  []popeye.Parked
	away    error         // what every call fails with, when set
	parking error         // what Park fails with, when set
	unready error         // what Finalise fails with, when set
	gate    chan struct{} // what Record waits for, when set
	done    []string
}

func newBook(polls ...popeye.Definition) *book {
	return &book{polls: polls, votes: make(map[popeye.Voter]popeye.Vote)}
}

// do does something under the lock, unless the store is away.
func (b *book) do(what string, change func() error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away != nil {
		return b.away
	}
	if err := change(); err != nil {
		return err
	}
	b.done = append(b.done, what)
	return nil
}

// set changes the store from outside.
func (b *book) set(change func(b *book)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(b)
}

func (b *book) Record(ctx context.Context, votes []popeye.Vote) (popeye.Recorded, error) {
	b.mu.Lock()
	gate := b.gate
	b.mu.Unlock()
	if gate != nil {
		<-gate
	}
	var r popeye.Recorded
	err := b.do("record", func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, v := range votes {
			if d := b.find(v.Round); d == nil || !v.Choices.Within(len(d.Options)) {
				return fmt.Errorf("a vote in round %d: %w", v.Round, popeye.ErrUnrecordable)
			}
		}
		for _, v := range votes {
			b.votes[v.Voter] = v
			if id := b.find(v.Round).ID; !slices.Contains(r.Moved, id) {
				r.Moved = append(r.Moved, id)
			}
		}
		return nil
	})
	return r, err
}

func (b *book) Park(_ context.Context, parked []popeye.Parked) error {
	return b.do("park", func() error {
		if b.parking != nil {
			return b.parking
		}
		b.parked = append(b.parked, parked...)
		return nil
	})
}

func (b *book) Definitions(context.Context) (all []popeye.Definition, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.polls), b.away
}

func (b *book) Close(_ context.Context, round int64) error {
	return b.advance("close", round, popeye.Closed)
}

func (b *book) Finalise(_ context.Context, round int64) error {
	b.mu.Lock()
	unready := b.unready
	b.mu.Unlock()
	if unready != nil {
		return unready
	}
	return b.advance("finalise", round, popeye.Final)
}

func (b *book) advance(what string, round int64, to popeye.State) error {
	return b.do(what, func() error {
		d := b.find(round)
		if d == nil {
			return popeye.ErrNotFound
		}
		d.State = to
		d.Version++
		return nil
	})
}

func (b *book) find(round int64) *popeye.Definition {
	for i := range b.polls {
		if b.polls[i].Round == round {
			return &b.polls[i]
		}
	}
	return nil
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
