package redis_test

import (
	"testing"

	"pgregory.net/rapid"

	"popeye"
	"popeye/internal/redis"
)

// The script decides in another language than popeye.Mark.Decide, and must decide
// the same, whatever is cast: first casts and copies, confirmed or not, in any
// order of stamps.
func TestServerDecidesAsTheDomainDoes(t *testing.T) {
	_, s := start(t, redis.Config{})
	consumer := s.Consumer("oracle")
	number := int64(0)
	rapid.Check(t, func(rt *rapid.T) {
		number++
		d := round("p", number, rapid.SampledFrom([]popeye.Policy{popeye.First, popeye.Change}).Draw(rt, "policy"))
		publish(t, s, number, d)
		o := oracle{round: number, policy: d.Policy, marks: make(map[popeye.Voter]popeye.Mark)}
		for range rapid.IntRange(1, 25).Draw(rt, "casts") {
			c := drawCast(rt, number)
			want := o.cast(c)
			got, err := s.Put(limited(t), c, patience)
			if err != nil || got != want {
				rt.Fatalf("%+v got %+v, %v, want %+v", c, got, err, want)
			}
			m, ok, err := s.Mark(limited(t), number, c.Voter)
			if err != nil || !ok || m != want.Mark {
				rt.Fatalf("the mark is %+v, %v, %v, want %+v", m, ok, err, want.Mark)
			}
		}
		o.compare(t, rt, consumer)
		if got := status(t, s).Accepted[number]; got != o.confirmed {
			rt.Fatalf("%d confirmed votes are said to be taken, want %d", got, o.confirmed)
		}
	})
}

// oracle is a server that decides in Go.
type oracle struct {
	round     int64
	policy    popeye.Policy
	marks     map[popeye.Voter]popeye.Mark
	delivered []popeye.Vote
	confirmed int64
}

func (o *oracle) cast(c popeye.Cast) popeye.Answer {
	old, voted := o.marks[c.Voter]
	a := c.Begin()
	if voted {
		a = old.Decide(o.policy, c)
	}
	if voted && a.Mark == old {
		return a
	}
	o.marks[c.Voter] = a.Mark
	m := a.Mark
	o.delivered = append(o.delivered, popeye.Vote{
		Round: c.Round, Voter: c.Voter, Choices: m.Choices, Stamp: m.Stamp, Serial: m.Serial, Unconfirmed: m.Unconfirmed,
	})
	if !m.Unconfirmed {
		o.confirmed++
	}
	return a
}

// compare wants that what is delivered is exactly what was new, in order.
func (o *oracle) compare(t *testing.T, rt *rapid.T, consumer *redis.Consumer) {
	t.Helper()
	for i := 0; i < len(o.delivered); {
		ds := receive(t, consumer, 1+i%7)
		for _, d := range ds {
			if d.Vote.Round != o.round { // a seal, or what an attempt that failed has left
				continue
			}
			if i == len(o.delivered) || d.Vote != o.delivered[i] {
				rt.Fatalf("delivery %d is %+v, want %+v", i, d.Vote, o.delivered)
			}
			i++
		}
		ack(t, consumer, ds...)
	}
}

// drawCast draws from so few voters, choices and stamps that they meet often.
func drawCast(rt *rapid.T, round int64) popeye.Cast {
	c := cast(rapid.IntRange(1, 2).Draw(rt, "voter"), 0, popeye.Stamp(rapid.IntRange(0, 9).Draw(rt, "stamp")))
	c.Round = round
	c.Choices = rapid.SampledFrom([]popeye.Choices{0, 1, 2, 1 << 63, 1<<63 | 1}).Draw(rt, "choices")
	c.Serial = rapid.SampledFrom([]int64{0, 1, 3, 125, 126, 127, 128, 1 << 40}).Draw(rt, "serial")
	c.After = popeye.Stamp(rapid.SampledFrom([]int{0, 0, 1, 3, 5, 9}).Draw(rt, "after"))
	c.Unconfirmed = rapid.Bool().Draw(rt, "unconfirmed")
	c.Copy = rapid.Bool().Draw(rt, "copy")
	if rapid.Bool().Draw(rt, "late") {
		c.Stamp += 1<<53 - 10
	}
	return c
}
