package drill

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"popeye"
	"popeye/internal/web"
)

// reckoned reads a journal, in which the poll is one with two options, compares
// it with a list of receipts and votes by option, and returns what that comes to.
func reckoned(t *testing.T, policy popeye.Policy, text string, receipts []string, votes ...int64) verdict {
	t.Helper()
	r := newReckoning([pollCount]pollInfo{{policy: policy}, {policy: policy}})
	if err := readJournal(strings.NewReader(text), r.read); err != nil {
		t.Fatal(err)
	}
	shown := web.Result{Poll: "p"}
	slices.Sort(receipts)
	for _, receipt := range receipts {
		r.polls[0].list(receipt)
	}
	for _, n := range votes {
		shown.Options = append(shown.Options, web.OptionResult{Votes: n})
		shown.Total += n
	}
	shown.Ledger = web.LedgerResult{Accepted: shown.Total, Stored: shown.Total}
	sum := sha256.Sum256([]byte(lines(receipts)))
	shown.Receipts = &web.ReceiptsResult{SHA256: hex.EncodeToString(sum[:])}
	return r.polls[0].verdict(shown)
}

func TestReckoning(t *testing.T) {
	t.Parallel()
	const (
		// Voter 1 is acknowledged for option 0, voter 2 has no answer for option 1.
		one     = "attempted 1 0 1 0\nacknowledged 1 0 AAAA\n"
		unheard = "attempted 2 0 2 1\n"
		// Voter 3 changes from 0 to 1, and has no answer to the change.
		changing = "attempted 3 0 3 0\nacknowledged 3 0 CCCC\nattempted 4 0 3 1\n"
		// Voter 4 votes in two tabs.
		tabs = "attempted 5 0 4 0\nattempted 6 0 4 1\n"
	)
	for name, c := range map[string]struct {
		policy   popeye.Policy
		journal  string
		receipts []string
		votes    []int64
		want     verdict
	}{
		"everything counted":                     {popeye.First, one, []string{"AAAA"}, []int64{1, 0}, verdict{voters: 1}},
		"nothing counted":                        {popeye.First, one, nil, []int64{0, 0}, verdict{voters: 1, lost: 1}},
		"counted for another option":             {popeye.First, one, []string{"AAAA"}, []int64{0, 1}, verdict{voters: 1, drift: 2}},
		"no answer, counted":                     {popeye.First, one + unheard, []string{"AAAA", "BBBB"}, []int64{1, 1}, verdict{voters: 2, unsure: 1}},
		"no answer, not counted":                 {popeye.First, one + unheard, []string{"AAAA"}, []int64{1, 0}, verdict{voters: 2, unsure: 1}},
		"no answer, counted for another":         {popeye.First, one + unheard, []string{"AAAA", "BBBB"}, []int64{2, 0}, verdict{voters: 2, unsure: 1, drift: 1}},
		"more strangers than voters":             {popeye.First, one + unheard, []string{"AAAA", "BBBB", "CCCC"}, []int64{1, 2}, verdict{voters: 2, unsure: 1, invented: 1, drift: 1}},
		"refused, counted all the same":          {popeye.First, unheard + "refused 2 404\n", []string{"BBBB"}, []int64{0, 1}, verdict{voters: 1, invented: 1, drift: 1}},
		"a change without answer stands":         {popeye.Change, changing, []string{"CCCC"}, []int64{0, 1}, verdict{voters: 1}},
		"a change without answer does not stand": {popeye.Change, changing, []string{"CCCC"}, []int64{1, 0}, verdict{voters: 1}},
		"an acknowledged change that is undone":  {popeye.Change, changing + "acknowledged 4 1 CCCC\n", []string{"CCCC"}, []int64{1, 0}, verdict{voters: 1, drift: 2}},
		"another vote stands, it is said":        {popeye.Change, changing + "other-stands 4 0 CCCC\n", []string{"CCCC"}, []int64{1, 0}, verdict{voters: 1}},
		"of two tabs one stands": {
			popeye.First, tabs + "acknowledged 6 1 DDDD\nother-stands 5 1 DDDD\n",
			[]string{"DDDD"},
			[]int64{0, 1},
			verdict{voters: 1},
		},
		"of two tabs the other one is counted": {
			popeye.First, tabs + "acknowledged 6 1 DDDD\nother-stands 5 1 DDDD\n",
			[]string{"DDDD"},
			[]int64{1, 0},
			verdict{voters: 1, drift: 2},
		},
		"both of two tabs are acknowledged": {
			popeye.First, tabs + "acknowledged 6 1 DDDD\nacknowledged 5 0 DDDD\n",
			[]string{"DDDD"},
			[]int64{1, 0},
			verdict{voters: 1, lost: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := reckoned(t, c.policy, c.journal, c.receipts, c.votes...)
			if len(got.problems) > 0 {
				t.Errorf("problems: %q", got.problems)
			}
			got.problems = nil
			if got.voters != c.want.voters || got.unsure != c.want.unsure || got.lost != c.want.lost ||
				got.doubled != c.want.doubled || got.invented != c.want.invented || got.drift != c.want.drift {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if got.drift > 0 != (len(got.away) > 0) {
				t.Errorf("a drift of %d, explained by %q", got.drift, got.away)
			}
		})
	}
}

func TestAnswersThatDoNotFitAreProblems(t *testing.T) {
	t.Parallel()
	for name, journal := range map[string]string{
		"another vote acknowledged":   "attempted 1 0 1 0\nacknowledged 1 1 AAAA\n",
		"an option that is not there": "attempted 1 0 1 0\nother-stands 1 -1 AAAA\n",
		"one receipt for two voters":  "attempted 1 0 1 0\nacknowledged 1 0 AAAA\nattempted 2 0 2 0\nacknowledged 2 0 AAAA\n",
	} {
		if got := reckoned(t, popeye.First, journal, []string{"AAAA"}, 1, 0); len(got.problems) == 0 {
			t.Errorf("%s: no problem in %+v", name, got)
		}
	}
}

func TestJournalThatMakesNoSenseIsNotReckonedWith(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"acknowledged 1 0 AAAA\n", "attempted 1 7 1 0\n", "attempted 1 0 1 0\nrefused 1 410\nrefused 1 410\n",
	} {
		r := newReckoning([pollCount]pollInfo{})
		if err := readJournal(strings.NewReader(text), r.read); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
