package quorum

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"popeye"
)

// breach returns which promise is broken in this state of the world, or "".
func (w *world) breach(s *setup, b *ballots) string {
	for i := range s.casters {
		if broken := w.breachOf(s, i); broken != "" {
			return broken
		}
	}
	if broken := w.breachByInvention(s, b); broken != "" {
		return broken
	}
	if s.policy == popeye.First {
		return w.breachOfFirst(s, b)
	}
	return w.breachOfChange(s, b)
}

// breachOf: nobody is refused while enough servers answer, and what a caster is
// told fits its wish.
func (w *world) breachOf(s *setup, i int) string {
	p := w.casters[i]
	enough := s.culprit != everyone && s.copies < s.servers
	switch {
	case !p.done:
		return ""
	case errors.Is(p.err, errRestamped) && s.impatient:
		return ""
	case p.err != nil && enough:
		return fmt.Sprintf("caster %d is refused, though only one server fails: %v", i, p.err)
	case p.err != nil:
		return ""
	}
	same := p.answer.Mark.Choices == s.casters[i].choices
	if same != p.answer.Outcome.Stands() && p.answer.Outcome != popeye.Conflict {
		return fmt.Sprintf("caster %d cast %b and is told %q, %+v", i, s.casters[i].choices, p.answer.Outcome, p.answer.Mark)
	}
	return ""
}

// breachByInvention: nothing is delivered that nobody cast.
func (w *world) breachByInvention(s *setup, b *ballots) string {
	must, may := w.delivered(s)
	for _, v := range b.of(must | may) {
		if !slices.ContainsFunc(s.casters, func(c caster) bool { return c.choices == v.Choices }) {
			return fmt.Sprintf("nobody has cast %+v", v)
		}
	}
	return ""
}

// breachOfFirst: whoever was told that a vote stands was told of the same choices,
// and these stand in the store. When they were cast, of the times that a voter has
// cast the same, is nobody's concern.
func (w *world) breachOfFirst(s *setup, b *ballots) string {
	var standing popeye.Mark
	told := false
	for i := range s.casters {
		p := w.casters[i]
		if !p.done || p.err != nil {
			continue
		}
		if told && p.answer.Mark.Choices != standing.Choices {
			return fmt.Sprintf("two votes were said to stand: %+v and %+v", standing, p.answer.Mark)
		}
		standing, told = p.answer.Mark, true
	}
	if !told {
		return ""
	}
	must, may := w.delivered(s)
	isOther := func(v popeye.Vote) bool { return v.Choices != standing.Choices }
	if end := b.of(ends(must, may)); must == 0 || len(end) == 0 || slices.ContainsFunc(end, isOther) {
		return fmt.Sprintf("said to stand was %+v, but any of %+v may in the end, and %d entries are left", standing, end, must)
	}
	return ""
}

// breachOfChange: what stands in the end is no older than what was acknowledged,
// nobody is told of a vote older than what was acknowledged before, and nobody
// changes a vote without having seen it who says which was seen.
func (w *world) breachOfChange(s *setup, b *ballots) string {
	must, _ := w.delivered(s)
	var newest popeye.Stamp
	for _, v := range b.of(must) {
		newest = max(newest, v.Stamp)
	}
	for i, c := range s.casters {
		p := w.casters[i]
		if !p.done || p.err != nil {
			continue
		}
		a := p.answer
		written := a.Outcome == popeye.Changed || a.Outcome == popeye.Accepted
		switch {
		case a.Outcome.Stands() && a.Mark.Stamp > newest:
			return fmt.Sprintf("acknowledged was %+v, but an older vote may stand in the end", a.Mark)
		case a.Mark.Stamp < w.floor[i]:
			return fmt.Sprintf("caster %d is told %q, %+v, but a newer vote was acknowledged before", i, a.Outcome, a.Mark)
		case c.after != 0 && written && w.floor[i] > c.after:
			return fmt.Sprintf("caster %d changed a vote that it had not seen", i)
		}
	}
	return ""
}

// ends returns the votes that may stand in a store under policy first once all
// of must and any of may have been delivered, in any order and any number of
// times: a confirmed one if there is any, any unconfirmed one otherwise.
func ends(must, may entries) entries {
	if must&^allUnconfirmed != 0 {
		return (must | may) &^ allUnconfirmed
	}
	return must | may
}

// row is what a store keeps of the voter under policy first.
type row struct {
	vote        int
	unconfirmed bool
	taken       bool
}

// record is the store's rule for one entry.
func (r row) record(vote int, unconfirmed bool) row {
	switch {
	case !r.taken:
		return row{vote: vote, unconfirmed: unconfirmed, taken: true}
	case vote == r.vote || unconfirmed || !r.unconfirmed:
		return r
	default:
		return row{vote: vote, taken: true}
	}
}

func TestStoreEndsWithAConfirmedVoteIfThereIsAny(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r row
		var all entries
		for range rapid.IntRange(1, 12).Draw(t, "deliveries") {
			vote, unconfirmed := rapid.IntRange(0, 2).Draw(t, "vote"), rapid.Bool().Draw(t, "unconfirmed")
			r = r.record(vote, unconfirmed)
			all |= bit(vote, unconfirmed)
		}
		if (bit(r.vote, true)|bit(r.vote, false))&ends(all, 0) == 0 {
			t.Fatalf("vote %d stands, which is not among %b of %b", r.vote, ends(all, 0), all)
		}
	})
}
