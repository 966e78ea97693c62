package quorum_test

import (
	"iter"

	"popeye"
)

// store returns the votes that stand in a store under policy first that is given
// these, in this order.
func store(votes iter.Seq[popeye.Vote]) map[popeye.Voter]popeye.Vote {
	rows := make(map[popeye.Voter]popeye.Vote)
	for v := range votes {
		row, taken := rows[v.Voter]
		same := row.Stamp == v.Stamp && row.Choices == v.Choices
		if !taken || !same && row.Unconfirmed && !v.Unconfirmed {
			rows[v.Voter] = v
		}
	}
	return rows
}
