package queuetest

import (
	"testing"

	"pgregory.net/rapid"

	"popeye"
)

// decidesByTheRules casts random votes of a few voters, one after the other,
// and compares each answer with rules written down a second time, in words of
// their own: an adapter may have to say them in another language.
func decidesByTheRules(t *testing.T, open Open) {
	t.Helper()
	b := newBench(t, open)
	p := b.pump()
	round := int64(0)
	rapid.Check(t, func(rt *rapid.T) {
		round++
		policy := rapid.SampledFrom([]popeye.Policy{popeye.First, popeye.Change}).Draw(rt, "policy")
		d := poll("p", round, policy)
		b.publish(d)
		m := model{policy: policy, standing: make(map[popeye.Voter]popeye.Mark)}
		for range rapid.IntRange(1, 20).Draw(rt, "casts") {
			c := drawCast(rt, round)
			outcome, standing := m.cast(c)
			got, err := b.q.Enqueue(b.ctx, c)
			if err != nil {
				rt.Fatalf("enqueue: %v", err)
			}
			wantAnswer(rt, got, outcome, standing)
		}
		wantVotes(rt, p.drain(d), m.delivered...)
	})
}

// drawCast draws from so few voters, choices and stamps that they meet often.
func drawCast(rt *rapid.T, round int64) popeye.Cast {
	c := vote(round,
		rapid.IntRange(1, 2).Draw(rt, "voter"),
		popeye.Choices(rapid.IntRange(1, 3).Draw(rt, "choices")),
		popeye.Stamp(rapid.IntRange(1, 12).Draw(rt, "stamp")))
	c.After = popeye.Stamp(rapid.IntRange(0, 12).Draw(rt, "after"))
	if rapid.Bool().Draw(rt, "silent") {
		c.After = 0
	}
	return c
}

// model is a queue without a queue.
type model struct {
	policy    popeye.Policy
	standing  map[popeye.Voter]popeye.Mark
	delivered []popeye.Vote
}

func (m *model) cast(c popeye.Cast) (popeye.Outcome, popeye.Mark) {
	s, voted := m.standing[c.Voter]
	if !voted {
		return popeye.Accepted, m.stand(c, 1)
	}
	if m.policy == popeye.First {
		if s.Choices != c.Choices {
			return popeye.Already, s
		}
		return popeye.Repeated, s
	}
	seenANewer := c.After > s.Stamp // so the same choices say nothing
	if s.Choices == c.Choices && (s.Stamp == c.Stamp || !seenANewer) {
		return popeye.Repeated, s
	}
	seenAnOlder := c.After > 0 && c.After < s.Stamp
	stampedTooLow := c.Stamp <= s.Stamp
	if seenAnOlder || stampedTooLow {
		return popeye.Conflict, s
	}
	return popeye.Changed, m.stand(c, s.Serial+1)
}

// stand makes c the voter's standing vote, to be delivered.
func (m *model) stand(c popeye.Cast, serial int64) popeye.Mark {
	c.Serial = serial
	m.delivered = append(m.delivered, c.Vote)
	m.standing[c.Voter] = mark(c.Choices, c.Stamp, serial)
	return m.standing[c.Voter]
}
