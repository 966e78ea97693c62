package postgres

import (
	"bytes"
	"cmp"
	"slices"

	"popeye"
)

// compareVotes sorts by round, voter, stamp and serial. Two workers that write
// rows in the order of their keys never wait for each other in a circle.
func compareVotes(a, b popeye.Vote) int {
	if c := cmp.Compare(a.Round, b.Round); c != 0 {
		return c
	}
	if c := bytes.Compare(a.Voter[:], b.Voter[:]); c != 0 {
		return c
	}
	if c := cmp.Compare(a.Stamp, b.Stamp); c != 0 {
		return c
	}
	return cmp.Compare(a.Serial, b.Serial)
}

// sorted returns a copy of votes in the order of their keys.
func sorted(votes []popeye.Vote) []popeye.Vote {
	votes = slices.Clone(votes)
	slices.SortFunc(votes, compareVotes)
	return votes
}

// roundsOf returns the rounds of sorted votes, each once.
func roundsOf(votes []popeye.Vote) []int64 {
	var rounds []int64
	for i := range votes {
		if n := len(rounds); n == 0 || rounds[n-1] != votes[i].Round {
			rounds = append(rounds, votes[i].Round)
		}
	}
	return rounds
}

// onePerVoter keeps of each voter in a round the vote that stands after all of
// them: under policy first the earliest that is confirmed, or else the earliest,
// under change the latest. A statement cannot touch a row twice.
func onePerVoter(votes []popeye.Vote, rounds map[int64]round) []popeye.Vote {
	kept := make([]popeye.Vote, 0, len(votes))
	for _, v := range votes {
		last := len(kept) - 1
		switch {
		case last < 0 || kept[last].Voter != v.Voter || kept[last].Round != v.Round:
			kept = append(kept, v)
		case rounds[v.Round].policy == popeye.Change, kept[last].Unconfirmed && !v.Unconfirmed:
			kept[last] = v
		}
	}
	return kept
}

// columns are votes as a statement takes them: one array for each column.
type columns struct {
	rounds      []int64
	voters      [][16]byte
	choices     []int64
	stamps      []int64
	serials     []int64
	unconfirmed []bool
}

// columnsOf expects one vote for each voter in a round, or more where the
// statement can tell them apart.
func columnsOf(votes []popeye.Vote) columns {
	n := len(votes)
	c := columns{
		rounds: make([]int64, n), voters: make([][16]byte, n), choices: make([]int64, n),
		stamps: make([]int64, n), serials: make([]int64, n), unconfirmed: make([]bool, n),
	}
	for i := range votes {
		v := &votes[i]
		c.rounds[i], c.voters[i], c.choices[i] = v.Round, v.Voter, toColumn(v.Choices)
		c.stamps[i], c.serials[i], c.unconfirmed[i] = int64(v.Stamp), v.Serial, v.Unconfirmed
	}
	return c
}

// A column holds the 64 bits of choices as a signed number: the bits matter,
// not the number.

func toColumn(c popeye.Choices) int64 { return int64(c) }

func fromColumn(n int64) popeye.Choices { return popeye.Choices(n) }
