package storetest

import (
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
	rejected map[popeye.Vote]bool
}

func newModel(d popeye.Definition) *model {
	return &model{d: d, standing: map[popeye.Voter]popeye.Vote{}, rejected: map[popeye.Vote]bool{}}
}

// record reports whether the vote changed anything.
func (m *model) record(v popeye.Vote) bool {
	old, known := m.standing[v.Voter]
	if known && (m.d.Policy == popeye.First || v.Stamp <= old.Stamp) {
		return false
	}
	if m.d.State != popeye.Final {
		m.standing[v.Voter] = v
		return true
	}
	again := m.rejected[v]
	m.rejected[v] = true
	return !again
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
	if h.model.d.Policy == popeye.First {
		batch = oneEach(batch)
	}
	h.record(batch...)
	changed := false
	for _, v := range batch {
		changed = h.model.record(v) || changed
	}
	h.check(changed)
}

// anyVote is a vote of one of a few voters, one of the few that each casts.
// What it chooses follows from which it is.
func (h *history) anyVote(t *rapid.T) popeye.Vote {
	n, serial := rapid.IntRange(0, 4).Draw(t, "voter"), rapid.Int64Range(1, 4).Draw(t, "serial")
	options := len(h.model.d.Options)
	return nth(h.model.d, n, serial, (n+int(serial))%options, n*int(serial)%options)
}

// oneEach keeps one vote of each voter: which of two in one batch is a voter's
// first, only the queue knows.
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
