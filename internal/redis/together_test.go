package redis

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"popeye"
	"popeye/internal/lab/labtest"
)

// Casts that share a call must be decided one after the other, in the order in
// which they came, and stand in one entry however many rounds they belong to.
func TestCastsThatShareACallAreDecidedOneAfterTheOther(t *testing.T) {
	s, err := Open(Config{Place: labtest.Redis(t).Addr()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	round := int64(0)
	rapid.Check(t, func(rt *rapid.T) {
		round += 3
		policies := publishRounds(t, s, round)
		marks := make(map[voterOf]popeye.Mark)
		for range rapid.IntRange(1, 4).Draw(rt, "calls") {
			batch := drawBatch(rt, round)
			if err := s.send(t.Context(), batch); err != nil {
				rt.Fatalf("send: %v", err)
			}
			for i, p := range batch {
				want := decide(marks, policies, p.cast)
				if p.err != nil || p.answer != want {
					rt.Fatalf("cast %d of %d, %+v, got %+v, %v, want %+v", i, len(batch), p.cast, p.answer, p.err, want)
				}
			}
		}
	})
}

// publishRounds opens three rounds, two of them under first.
func publishRounds(t *testing.T, s *Server, first int64) map[int64]popeye.Policy {
	t.Helper()
	policies := map[int64]popeye.Policy{first: popeye.First, first + 1: popeye.Change, first + 2: popeye.First}
	var all []popeye.Definition
	for number, policy := range policies {
		all = append(all, popeye.Definition{
			Poll: popeye.Poll{ID: "p" + string(policy) + time.Unix(number, 0).String(), Policy: policy}, Round: number, State: popeye.Open,
		})
	}
	if err := s.Publish(t.Context(), popeye.NewCatalog(first, all)); err != nil {
		t.Fatal(err)
	}
	return policies
}

func drawBatch(rt *rapid.T, first int64) []*pending {
	var batch []*pending
	for range rapid.IntRange(1, together).Draw(rt, "casts") {
		c := popeye.Cast{Vote: popeye.Vote{
			Round:       first + rapid.Int64Range(0, 2).Draw(rt, "round"),
			Voter:       popeye.Voter{byte(rapid.IntRange(1, 3).Draw(rt, "voter"))},
			Choices:     popeye.Choices(rapid.IntRange(1, 3).Draw(rt, "choices")),
			Stamp:       popeye.Stamp(rapid.IntRange(1, 20).Draw(rt, "stamp")),
			Unconfirmed: rapid.Bool().Draw(rt, "unconfirmed"),
		}}
		text, err := textOf(c)
		if err != nil {
			rt.Fatalf("write a cast: %v", err)
		}
		batch = append(batch, &pending{cast: c, text: text})
	}
	return batch
}

type voterOf struct {
	round int64
	voter popeye.Voter
}

func decide(marks map[voterOf]popeye.Mark, policies map[int64]popeye.Policy, c popeye.Cast) popeye.Answer {
	who := voterOf{c.Round, c.Voter}
	old, voted := marks[who]
	a := c.Begin()
	if voted {
		a = old.Decide(policies[c.Round], c)
	}
	marks[who] = a.Mark
	return a
}
