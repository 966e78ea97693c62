package postgres

import (
	"slices"

	"popeye"
)

// sorted returns a copy of votes in the order of their keys. Two workers that write
// rows in that order never wait for each other in a circle.
func sorted(votes []popeye.Vote) []popeye.Vote {
	votes = slices.Clone(votes)
	slices.SortFunc(votes, popeye.Vote.Compare)
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
// them. A statement cannot touch a row twice.
func onePerVoter(votes []popeye.Vote, rounds map[int64]round) []popeye.Vote {
	return popeye.OnePerVoter(votes, func(number int64) popeye.Policy { return rounds[number].policy })
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
