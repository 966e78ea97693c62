package storetest

import (
	"cmp"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"popeye"
)

// model is the rules in plain Go, as simple as can be: one round.
type model struct {
	d        popeye.Definition
	standing map[popeye.Voter]popeye.Vote
	rejected map[cast]bool
}

// cast is a vote whatever copy it is.
type cast struct {
	voter popeye.Voter
	stamp popeye.Stamp
}

func newModel(d popeye.Definition) *model {
	return &model{d: d, standing: map[popeye.Voter]popeye.Vote{}, rejected: map[cast]bool{}}
}

// record reports whether a batch changed anything.
func (m *model) record(batch ...popeye.Vote) bool {
	batch = slices.Clone(batch)
	slices.SortFunc(batch, bestFirst)
	changed := false
	for _, v := range batch {
		changed = m.recordOne(v) || changed
	}
	return changed
}

// bestFirst puts what stands under policy first before what does not. Under
// change any order ends with the same.
func bestFirst(v, w popeye.Vote) int {
	if v.Unconfirmed != w.Unconfirmed {
		if w.Unconfirmed {
			return -1
		}
		return 1
	}
	return cmp.Compare(v.Stamp, w.Stamp)
}

func (m *model) recordOne(v popeye.Vote) bool {
	old, known := m.standing[v.Voter]
	switch {
	case known && v.Stamp == old.Stamp:
		return m.raise(v, old)
	case known && m.d.Policy == popeye.First && (v.Unconfirmed || !old.Unconfirmed):
		return false
	case known && m.d.Policy == popeye.Change && v.Stamp < old.Stamp:
		return false
	case m.d.State == popeye.Final:
		again := m.rejected[cast{v.Voter, v.Stamp}]
		m.rejected[cast{v.Voter, v.Stamp}] = true
		return !again
	default:
		m.standing[v.Voter] = v
		return true
	}
}

// raise takes another copy of the vote that stands.
func (m *model) raise(v, old popeye.Vote) bool {
	if v.Serial <= old.Serial || m.d.State == popeye.Final {
		return false
	}
	old.Serial = v.Serial
	m.standing[v.Voter] = old
	return true
}

// advance reports whether the round was not as far as state yet.
func (m *model) advance(state popeye.State) bool {
	changed := m.d.State != state && m.d.State != popeye.Final
	if changed {
		m.d.State = state
	}
	return changed
}

func (m *model) counts() counts {
	c := counts{votes: make([]int64, len(m.d.Options)), total: int64(len(m.standing)), rejected: int64(len(m.rejected))}
	for _, v := range m.standing {
		c.stored += v.Serial
		for i := range c.votes {
			if v.Choices.Has(i) {
				c.votes[i]++
			}
		}
	}
	return c
}

// anyHistory lets rapid invent polls and what happens to them, and shrinks a
// history that ends elsewhere than in the model.
func anyHistory(t *testing.T, store Store) {
	t.Helper()
	var polls atomic.Int64
	rapid.Check(t, func(t *rapid.T) {
		p := poll(fmt.Sprintf("p%d", polls.Add(1)),
			rapid.SampledFrom([]popeye.Policy{popeye.First, popeye.Change}).Draw(t, "policy"),
			rapid.SampledFrom([]int{2, 3, popeye.MaxOptions}).Draw(t, "options"))
		p.Kind, p.Max = popeye.Multiple, len(p.Options)
		h := &history{suite: suite{tester: t, Store: store}}
		h.model = newModel(h.create(p, popeye.Open))
		h.version = h.tally(p.ID).Version
		steps := map[string]func(*rapid.T){
			"record": h.recordAny, "close": h.closeIt, "finalise": h.finaliseIt, "reopen": h.reopenIt,
		}
		for range rapid.IntRange(1, 15).Draw(t, "steps") {
			steps[rapid.SampledFrom([]string{"record", "record", "record", "close", "finalise", "reopen"}).Draw(t, "step")](t)
		}
	})
}

// history is a poll's life in the store and in the model.
type history struct {
	suite
	model   *model
	version int64
}

func (h *history) recordAny(t *rapid.T) {
	batch := rapid.SliceOfN(rapid.Custom(h.anyVote), 1, 12).Draw(t, "batch")
	if h.model.d.Policy == popeye.First && h.model.d.State == popeye.Final {
		batch = oneEach(batch)
	}
	h.record(batch...)
	h.check(h.model.record(batch...))
}

// anyVote is a copy of one of the few votes that each of a few voters casts.
// What it chooses follows from which it is.
func (h *history) anyVote(t *rapid.T) popeye.Vote {
	n, which := rapid.IntRange(0, 4).Draw(t, "voter"), rapid.Int64Range(1, 4).Draw(t, "vote")
	options := len(h.model.d.Options)
	v := nth(h.model.d, n, which, (n+int(which))%options, n*int(which)%options)
	v.Unconfirmed = rapid.Bool().Draw(t, "unconfirmed")
	if h.model.d.Policy == popeye.First {
		v.Serial = 1
		v.Unconfirmed = v.Unconfirmed || which != int64(n%4)+1 // the queues confirm one of them at most
		return v
	}
	if rapid.Bool().Draw(t, "behind") { // from a server that has missed a vote
		v.Serial = max(1, v.Serial-1)
	}
	return v
}

// oneEach keeps one vote of each voter: how many of those that are too late
// were votes, only the queue knows.
func oneEach(batch []popeye.Vote) []popeye.Vote {
	seen := map[popeye.Voter]bool{}
	return slices.DeleteFunc(batch, func(v popeye.Vote) bool {
		again := seen[v.Voter]
		seen[v.Voter] = true
		return again
	})
}

func (h *history) closeIt(*rapid.T) {
	h.close(h.model.d)
	h.check(h.model.advance(popeye.Closed))
}

func (h *history) finaliseIt(*rapid.T) {
	if h.model.d.State == popeye.Open {
		return // refused: a promise of its own
	}
	h.finalise(h.model.d)
	h.check(h.model.advance(popeye.Final))
}

func (h *history) reopenIt(*rapid.T) {
	d := h.reopen(h.model.d.ID)
	changed := h.model.d.State != popeye.Open
	if changed {
		h.model = newModel(d)
	}
	h.check(changed)
}

// check compares store and model, and whether the version has moved.
func (h *history) check(changed bool) {
	now := h.expect(h.model.d.ID, h.model.counts()).Version
	if now < h.version || (now > h.version) != changed {
		h.Fatalf("the version went from %d to %d; changed: %v", h.version, now, changed)
	}
	h.version = now
}
