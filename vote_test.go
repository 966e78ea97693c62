package popeye_test

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"popeye"
)

func TestChooseTakesWhatThePollAllows(t *testing.T) {
	single := catsDogs().WithDefaults()
	multiple := catsDogs()
	multiple.Kind, multiple.Min, multiple.Max = popeye.Multiple, 2, 3
	for name, c := range map[string]struct {
		poll popeye.Poll
		ids  []string
		want popeye.Choices
		err  error
	}{
		"one":                    {single, []string{"b"}, 0b010, nil},
		"several":                {multiple, []string{"c", "a"}, 0b101, nil},
		"none":                   {single, nil, 0, popeye.ErrWrongNumber},
		"two of single":          {single, []string{"a", "b"}, 0, popeye.ErrWrongNumber},
		"the same twice, single": {single, []string{"a", "a"}, 0, popeye.ErrWrongNumber},
		"the same twice":         {multiple, []string{"a", "a"}, 0, popeye.ErrWrongNumber},
		"too few":                {multiple, []string{"a"}, 0, popeye.ErrWrongNumber},
		"unknown":                {single, []string{"z"}, 0, popeye.ErrUnknownOption},
		"empty":                  {single, []string{""}, 0, popeye.ErrUnknownOption},
		"another case":           {single, []string{"A"}, 0, popeye.ErrUnknownOption},
		"NUL":                    {single, []string{"a\x00"}, 0, popeye.ErrUnknownOption},
	} {
		got, err := c.poll.Choose(c.ids)
		if !errors.Is(err, c.err) || got != c.want {
			t.Errorf("%s: got %b, %v; want %b, %v", name, got, err, c.want, c.err)
		}
	}
}

func TestSixtyFourthOptionCanBeChosen(t *testing.T) {
	p := popeye.Poll{ID: "many", Question: "Which?"}
	for i := range popeye.MaxOptions {
		p.Options = append(p.Options, popeye.Option{ID: string(rune('A' + i))})
	}
	p = p.WithDefaults()
	c, err := p.Choose([]string{p.Options[63].ID})
	if err != nil || !c.Has(63) || c.Count() != 1 || !c.Within(64) || c.Within(63) {
		t.Errorf("choices are %b, %v", c, err)
	}
	if chosen := p.Chosen(c); len(chosen) != 1 || chosen[0].ID != p.Options[63].ID {
		t.Errorf("chosen are %v", chosen)
	}
}

func TestStampsGrowWhateverTheClockSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.UnixMicro(rapid.Int64Range(1_700_000_000_000_000, 1<<53-4096).Draw(t, "now"))
		newest := popeye.Stamp(rapid.Int64Range(0, 1<<53-4096).Draw(t, "newest"))
		c := popeye.Choices(rapid.Uint64().Draw(t, "choices"))
		got, least := popeye.NewStamp(now, newest, c), max(popeye.Stamp(now.UnixMicro()), newest+1)
		if got < least || got > least+2048 || got >= 1<<53 {
			t.Fatalf("%d, at %d behind %d", got, now.UnixMicro(), newest)
		}
	})
}

// Two tabs whose requests meet clocks that are slow are stamped above the same
// vote.
func TestTwoVotesAboveTheSameOneHaveStampsOfTheirOwn(t *testing.T) {
	now, newest := time.UnixMicro(1), popeye.Stamp(1_800_000_000_000_000)
	seen := map[popeye.Stamp]popeye.Choices{}
	take := func(c popeye.Choices) {
		stamp := popeye.NewStamp(now, newest, c)
		if other, ok := seen[stamp]; ok && other != c {
			t.Errorf("choices %b and %b get the same stamp", other, c)
		}
		seen[stamp] = c
	}
	for i := range popeye.MaxOptions {
		take(1 << i)
	}
	clear(seen)
	for c := range popeye.Choices(1 << 9) {
		take(c)
	}
}

func TestReceiptShowsEightyBits(t *testing.T) {
	v := popeye.Voter{0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x1f, 0xaa}
	if got := v.Receipt(); got != "74AAAAAAAAAAAAA7" {
		t.Errorf("receipt is %s", got)
	}
}

func TestDecide(t *testing.T) {
	mark := popeye.Mark{Choices: 1, Stamp: 100, Serial: 1}
	cast := func(choices popeye.Choices, stamp, after popeye.Stamp) popeye.Cast {
		return popeye.Cast{Vote: popeye.Vote{Choices: choices, Stamp: stamp}, After: after}
	}
	for name, c := range map[string]struct {
		policy popeye.Policy
		cast   popeye.Cast
		want   popeye.Outcome
	}{
		"first: the same again":              {popeye.First, cast(1, 200, 0), popeye.Repeated},
		"first: another":                     {popeye.First, cast(2, 200, 0), popeye.Already},
		"change: the same again":             {popeye.Change, cast(1, 200, 0), popeye.Repeated},
		"change: another":                    {popeye.Change, cast(2, 200, 0), popeye.Changed},
		"change: after the mark":             {popeye.Change, cast(2, 200, 100), popeye.Changed},
		"change: after an older one":         {popeye.Change, cast(2, 200, 99), popeye.Conflict},
		"change: a clock that is behind":     {popeye.Change, cast(2, 50, 0), popeye.Conflict},
		"change: the mark's very stamp":      {popeye.Change, cast(2, 100, 0), popeye.Conflict},
		"change: what stands, from long ago": {popeye.Change, cast(1, 50, 7), popeye.Repeated},
		"change: the same, but out of date":  {popeye.Change, cast(1, 200, 150), popeye.Changed},
		"change: a copy asks nothing":        {popeye.Change, copied(cast(1, 200, 7)), popeye.Changed},
		"change: a copy of an older vote":    {popeye.Change, copied(cast(1, 50, 0)), popeye.Conflict},
		"first: a copy of another vote":      {popeye.First, copied(cast(2, 200, 0)), popeye.Already},
	} {
		got := mark.Decide(c.policy, c.cast)
		if got.Outcome != c.want {
			t.Errorf("%s: %s, want %s", name, got.Outcome, c.want)
		}
		moved := got.Mark != mark
		if moved != (c.want == popeye.Changed) {
			t.Errorf("%s: the mark became %+v", name, got.Mark)
		}
	}
}

func copied(c popeye.Cast) popeye.Cast {
	c.Copy = true
	return c
}

func TestVoteThatStandsCanBeConfirmedAndNeverUnconfirmed(t *testing.T) {
	vote := popeye.Vote{Choices: 1, Stamp: 100}
	for _, policy := range []popeye.Policy{popeye.First, popeye.Change} {
		mark := popeye.Cast{Vote: popeye.Vote{Choices: 1, Stamp: 100, Unconfirmed: true}}.Begin().Mark
		if !mark.Unconfirmed || mark.Serial != 1 || !mark.Is(vote) {
			t.Fatalf("the first mark is %+v", mark)
		}
		confirmed := mark.Decide(policy, popeye.Cast{Vote: vote, Copy: true})
		if confirmed.Outcome != popeye.Repeated || confirmed.Mark.Unconfirmed {
			t.Errorf("%s: confirmed, it is %+v", policy, confirmed)
		}
		vote.Unconfirmed = true
		if again := confirmed.Mark.Decide(policy, popeye.Cast{Vote: vote, Copy: true}); again.Mark != confirmed.Mark {
			t.Errorf("%s: copied again, it is %+v", policy, again)
		}
		vote.Unconfirmed = false
	}
}

func TestCopyKnowsHowManyVotesItsVoterHasCast(t *testing.T) {
	c := popeye.Cast{Vote: popeye.Vote{Choices: 2, Stamp: 200, Serial: 5}, Copy: true}
	if got := c.Begin().Mark.Serial; got != 5 {
		t.Errorf("the first copy is number %d", got)
	}
	if got := (popeye.Mark{Choices: 1, Stamp: 100, Serial: 1}).Decide(popeye.Change, c).Mark.Serial; got != 5 {
		t.Errorf("a copy over an older vote is number %d", got)
	}
}

// It was sent to some queue servers while this one was away, and this one got an
// earlier try of it.
func TestTheSameVoteWithANewStampIsNoFurtherVoteWhereItIsCopied(t *testing.T) {
	tried := popeye.Mark{Choices: 1, Stamp: 100, Serial: 1, Unconfirmed: true}
	again := popeye.Vote{Choices: 1, Stamp: 200, Serial: 1}
	want := popeye.Answer{Outcome: popeye.Changed, Mark: popeye.Mark{Choices: 1, Stamp: 200, Serial: 1}}
	if got := tried.Decide(popeye.Change, popeye.Cast{Vote: again, Copy: true}); got != want {
		t.Errorf("a copy of it got %+v, want %+v", got, want)
	}
}

func TestMarksOnlyMoveForward(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mark := popeye.Mark{Choices: 1, Stamp: 10, Serial: 1}
		policy := rapid.SampledFrom([]popeye.Policy{popeye.First, popeye.Change}).Draw(t, "policy")
		for range rapid.IntRange(1, 20).Draw(t, "casts") {
			c := popeye.Cast{
				Vote: popeye.Vote{
					Choices: popeye.Choices(rapid.Uint64Range(1, 3).Draw(t, "choices")),
					Stamp:   popeye.Stamp(rapid.Int64Range(1, 40).Draw(t, "stamp")),
				},
				After: popeye.Stamp(rapid.Int64Range(0, 40).Draw(t, "after")),
			}
			got := mark.Decide(policy, c)
			if got.Outcome.Stands() && got.Mark.Choices != c.Choices || got.Outcome == popeye.Already && got.Mark.Choices == c.Choices {
				t.Fatalf("%s, but %b stands after a cast of %b", got.Outcome, got.Mark.Choices, c.Choices)
			}
			if got.Mark.Stamp < mark.Stamp || got.Mark.Serial < mark.Serial || policy == popeye.First && got.Mark != mark {
				t.Fatalf("%s: %+v became %+v", policy, mark, got.Mark)
			}
			mark = got.Mark
		}
	})
}
