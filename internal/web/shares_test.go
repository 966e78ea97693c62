package web

import (
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"popeye"
)

func tallyOf(kind popeye.Kind, total int64, votes ...int64) *popeye.Tally {
	t := &popeye.Tally{Votes: votes, Total: total}
	t.Kind = kind
	for i := range votes {
		t.Options = append(t.Options, popeye.Option{ID: "o" + strconv.Itoa(i), Label: "Option " + strconv.Itoa(i)})
	}
	return t
}

func TestSharesAreWhatPeopleExpect(t *testing.T) {
	for name, c := range map[string]struct {
		tally *popeye.Tally
		want  []string
	}{
		"no votes are no share":                {tallyOf(popeye.Single, 0, 0, 0), []string{"–", "–"}},
		"all votes are all":                    {tallyOf(popeye.Single, 3, 3, 0), []string{"100%", "0%"}},
		"a half is not rounded away":           {tallyOf(popeye.Single, 8, 5, 3), []string{"62.5%", "37.5%"}},
		"thirds add up":                        {tallyOf(popeye.Single, 3, 1, 1, 1), []string{"33.4%", "33.3%", "33.3%"}},
		"one of very many is not none":         {tallyOf(popeye.Single, 100001, 100000, 1), []string{">99.9%", "<0.1%"}},
		"several choices are shares of people": {tallyOf(popeye.Multiple, 3, 3, 2, 0), []string{"100%", "66.7%", "0%"}},
		"several choices before anybody":       {tallyOf(popeye.Multiple, 0, 0, 0), []string{"–", "–"}},
		"a tally that lacks counts":            {&popeye.Tally{Definition: tallyOf(popeye.Single, 0, 0, 0).Definition}, []string{"–", "–"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, r := range rowsOf(c.tally) {
				got = append(got, r.Share)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("shares are %q, want %q", got, c.want)
			}
		})
	}
}

func TestSharesOfVotesAddUpAndKeepTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		votes := rapid.SliceOfN(rapid.Int64Range(0, 1e12), popeye.MinOptions, popeye.MaxOptions).Draw(t, "votes")
		shares := sharesOf(tallyOf(popeye.Single, 0, votes...))
		var sum, all int64
		for i := range votes {
			sum += shares[i]
			all += votes[i]
			for j := range votes {
				if votes[i] > votes[j] && shares[i] < shares[j] {
					t.Fatalf("%d votes have %d ‰ and %d votes have %d ‰", votes[i], shares[i], votes[j], shares[j])
				}
			}
		}
		if all > 0 && sum != 1000 || all == 0 && sum != 0 {
			t.Fatalf("the shares %v of %v add up to %d ‰", shares, votes, sum)
		}
	})
}

func TestOnlyARealLeaderLeads(t *testing.T) {
	for name, c := range map[string]struct {
		votes []int64
		want  []bool
		title string
	}{
		"one leads":        {[]int64{1, 4, 2}, []bool{false, true, false}, "Option 1 57.1%"},
		"two lead":         {[]int64{4, 1, 4}, []bool{true, false, true}, "Tie"},
		"all are equal":    {[]int64{4, 4}, []bool{false, false}, ""},
		"nobody has voted": {[]int64{0, 0}, []bool{false, false}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			rows := rowsOf(tallyOf(popeye.Single, 0, c.votes...))
			for i, r := range rows {
				if r.Leads != c.want[i] {
					t.Errorf("option %d leads: %v, want %v", i, r.Leads, c.want[i])
				}
			}
			if got := headlineOf(rows); got != c.title {
				t.Errorf("headline is %q, want %q", got, c.title)
			}
		})
	}
}

func TestBarsReachAsFarAsTheirShare(t *testing.T) {
	if got := rowsOf(tallyOf(popeye.Single, 4, 3, 1))[1].Reach; got != "0.2500" {
		t.Errorf("a quarter reaches %s of the track", got)
	}
	many := make([]int64, manyOptions+1)
	many[0], many[1] = 10, 5
	if got := rowsOf(tallyOf(popeye.Single, 15, many...))[1].Reach; got != "0.5000" {
		t.Errorf("half of the leader's votes reach %s of the track, where bars are drawn against the leader", got)
	}
}

func TestCountsAreGroupedByThousands(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000"} {
		if got := countText(n); got != want {
			t.Errorf("%d is written %q, want %q", n, got, want)
		}
	}
}

func TestEveryOptionFliesAFlagOfItsOwn(t *testing.T) {
	seen := map[look]int{}
	for i := range popeye.MaxOptions {
		l := lookOf(i, popeye.Option{})
		if j, ok := seen[l]; ok {
			t.Errorf("options %d and %d fly the same flag", i, j)
		}
		seen[l] = i
	}
}

func TestFlagsChargeContrastsWithAnyColour(t *testing.T) {
	for color, want := range map[string]bool{"#fff": true, "#FFCC00": true, "#000": false, "#1347b8": false, "": false, "#12": false} {
		if got := lookOf(0, popeye.Option{Color: color}).Pale; got != want {
			t.Errorf("%q is pale: %v, want %v", color, got, want)
		}
	}
}

func TestHintsSayHowManyToChoose(t *testing.T) {
	for want, c := range map[string][2]int{
		"Choose one.": {1, 1}, "Choose exactly 2.": {2, 2}, "Choose as many as you like.": {1, 4},
		"Choose up to 3.": {1, 3}, "Choose 2 or more.": {2, 4}, "Choose 2 to 3.": {2, 3},
	} {
		p := tallyOf(popeye.Multiple, 0, 0, 0, 0, 0).Poll
		p.Min, p.Max = c[0], c[1]
		if got := hintOf(&p); got != want {
			t.Errorf("%d to %d of 4 is called %q, want %q", c[0], c[1], got, want)
		}
	}
}
