package quorum

import (
	"testing"

	"popeye"
)

func TestVoteHasTheHighestSerialThatAnyCopyHas(t *testing.T) {
	for _, serials := range [][2]int64{{3, 2}, {2, 3}} {
		w := newWalk(popeye.Change, 2, popeye.Cast{Vote: popeye.Vote{Choices: 1, Stamp: 100}})
		for number, n := range serials {
			c := w.next()
			a := popeye.Answer{Outcome: popeye.Changed, Mark: popeye.Mark{Choices: 1, Stamp: 100, Serial: n, Unconfirmed: c.Unconfirmed}}
			if again := w.take(number, a); again {
				t.Fatal("a server is to be asked twice")
			}
		}
		if a := w.answer(); !w.isSettled() || a.Mark.Serial != 3 || a.Outcome != popeye.Changed {
			t.Errorf("the answer is %+v", a)
		}
	}
}
