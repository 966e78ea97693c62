package web

import (
	"cmp"
	"slices"
	"strconv"

	"popeye"
)

// row is an option's line in a result.
type row struct {
	popeye.Option
	Look  look
	Votes int64
	// Share is what people read: "54.3%", or "–" before the first vote.
	Share string
	// Reach is the length of the bar as a fraction of its track.
	Reach string
	Leads bool
}

// manyOptions is the number of options above which bars are drawn against the
// leader instead of against the whole: fifty slivers could not be compared.
const manyOptions = 8

// rowsOf returns the result's lines in the poll's order. result.js computes the
// same from each frame.
func rowsOf(t *popeye.Tally) []row {
	rows := make([]row, len(t.Options))
	of, tenths := wholeOf(t), sharesOf(t)
	most := slices.Max(append(slices.Clone(t.Votes), 0))
	track := of
	if len(t.Options) > manyOptions {
		track = most
	}
	leads := leadersOf(t.Votes, most)
	for i, o := range t.Options {
		n := votesFor(t, i)
		rows[i] = row{Option: o, Look: lookOf(i, o), Votes: n, Share: shareText(n, of, tenths[i]), Reach: "0", Leads: leads && n == most}
		if track > 0 {
			rows[i].Reach = strconv.FormatFloat(min(float64(n)/float64(track), 1), 'f', 4, 64)
		}
	}
	return rows
}

// votesFor is careful, so that a tally that lacks a count is still a page.
func votesFor(t *popeye.Tally, i int) int64 {
	if i >= len(t.Votes) {
		return 0
	}
	return t.Votes[i]
}

// leadersOf reports whether some options, but not all, have the most votes.
func leadersOf(votes []int64, most int64) bool {
	return most > 0 && slices.ContainsFunc(votes, func(n int64) bool { return n < most })
}

// wholeOf returns what shares are shares of: the votes where each voter has
// one, the voters where each may choose several.
func wholeOf(t *popeye.Tally) int64 {
	if t.Kind == popeye.Multiple {
		return t.Total
	}
	var sum int64
	for _, n := range t.Votes {
		sum += n
	}
	return sum
}

// sharesOf returns each option's share in tenths of a percent. In a
// single-choice poll they add up to exactly 1000 (largest remainder; the
// earlier option wins a tie), or are all zero before the first vote.
func sharesOf(t *popeye.Tally) []int64 {
	of := wholeOf(t)
	shares := make([]int64, len(t.Options))
	if of <= 0 {
		return shares
	}
	if t.Kind == popeye.Multiple {
		for i := range shares {
			shares[i] = min((votesFor(t, i)*2000+of)/(2*of), 1000)
		}
		return shares
	}
	left := int64(1000)
	order := make([]int, len(shares))
	for i := range shares {
		shares[i] = votesFor(t, i) * 1000 / of
		left -= shares[i]
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(votesFor(t, b)*1000%of, votesFor(t, a)*1000%of)
	})
	for _, i := range order[:min(left, int64(len(order)))] {
		shares[i]++
	}
	return shares
}

// shareText writes a share for people, and never calls some votes none, nor
// almost all votes all.
func shareText(n, of, tenths int64) string {
	switch {
	case of <= 0:
		return "–"
	case n > 0 && tenths == 0:
		return "<0.1%"
	case n < of && tenths == 1000:
		return ">99.9%"
	case tenths == 0:
		return "0%"
	case tenths == 1000:
		return "100%"
	default:
		return strconv.FormatInt(tenths/10, 10) + "." + strconv.FormatInt(tenths%10, 10) + "%"
	}
}

// countText writes a number with commas between the thousands.
func countText(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
