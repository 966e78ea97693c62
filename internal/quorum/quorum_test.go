package quorum_test

import (
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"popeye"
	"popeye/internal/quorum"
)

func TestVoteIsWrittenToNServersAndTheLastCopyIsConfirmed(t *testing.T) {
	for _, c := range []struct{ servers, copies int }{{1, 1}, {2, 2}, {3, 2}, {3, 3}, {4, 3}, {5, 3}} {
		for _, policy := range []popeye.Policy{popeye.First, popeye.Change} {
			h := newHouse(t, c.servers, policy, func(cfg *quorum.Config) { cfg.Copies = c.copies })
			h.wantCast(cast(1, 100), popeye.Accepted, 1, 100)
			for i, s := range h.servers {
				puts := s.taken()
				if i >= c.copies {
					if len(puts) > 0 {
						t.Errorf("%d of %d: server %d got %+v", c.copies, c.servers, i, puts)
					}
					continue
				}
				want := cast(1, 100)
				want.Unconfirmed, want.Copy = i < c.copies-1, i > 0
				if i > 0 {
					want.Serial = 1
				}
				if len(puts) != 1 || puts[0] != want {
					t.Errorf("%d of %d: server %d got %+v, want %+v", c.copies, c.servers, i, puts, want)
				}
			}
		}
	}
}

func TestServersThatCannotTakeAVoteAreSkipped(t *testing.T) {
	for name, m := range map[string]mood{"broken": broken, "full": full, "without the poll": ignorant} {
		for away := range 3 {
			h := newHouse(t, 3, popeye.First, nil)
			h.servers[away].is(m)
			h.wantCast(cast(1, 100), popeye.Accepted, 1, 100)
			h.wantCast(cast(1, 200), popeye.Repeated, 1, 100)
			h.wantCast(cast(2, 300), popeye.Already, 1, 100)
			if got := h.copies(popeye.Mark{Choices: 1, Stamp: 100}); got != 2 {
				t.Errorf("server %d %s: %d copies", away, name, got)
			}
		}
	}
}

// copies counts the servers that hold a vote of voter 1.
func (h *house) copies(m popeye.Mark) int {
	n := 0
	for _, s := range h.servers {
		if got := s.mark(voter(1)); got.Choices == m.Choices && got.Stamp == m.Stamp {
			n++
		}
	}
	return n
}

func TestServerThatMissedAVoteDoesNotLetItsVoterVoteTwice(t *testing.T) {
	h := newHouse(t, 3, popeye.First, func(c *quorum.Config) { c.Rest = 1 })
	h.servers[0].is(broken)
	h.wantCast(cast(1, 100), popeye.Accepted, 1, 100)
	h.servers[0].is(well)
	h.wantCast(cast(2, 200), popeye.Already, 1, 100)
	// Now there are two servers that know of two votes, and the one who knows that the
	// first stands may be the next to be lost.
	for _, broke := range []int{1, 2} {
		h.servers[broke].is(broken)
		h.wantRefused(cast(2, 300), popeye.ErrUnavailable)
		h.servers[broke].is(well)
	}
	h.wantCast(cast(2, 400), popeye.Already, 1, 100)
	h.wantStored()
}

// A server that did not answer may hold another vote of the voter, and of two votes
// none of which is confirmed nobody knows which was acknowledged.
func TestVoteThatMissedAServerIsConfirmedOnAllThatHoldIt(t *testing.T) {
	h := newHouse(t, 3, popeye.First, nil)
	h.servers[1].is(broken)
	h.wantCast(cast(1, 100), popeye.Accepted, 1, 100)
	for _, number := range []int{0, 2} {
		if m := h.servers[number].mark(voter(1)); m.Choices != 1 || m.Unconfirmed {
			t.Errorf("server %d holds %+v", number, m)
		}
	}
	h.wantStored()
}

func TestVoteThatDidNotReachEnoughServersIsCompletedByTheNext(t *testing.T) {
	h := newHouse(t, 3, popeye.First, func(c *quorum.Config) { c.Rest = 1 })
	h.servers[1].is(broken)
	h.servers[2].is(broken)
	h.wantRefused(cast(1, 100), popeye.ErrUnavailable)
	h.servers[1].is(well)
	h.servers[2].is(well)
	h.wantCast(cast(2, 200), popeye.Already, 1, 100)
	if n := h.copies(popeye.Mark{Choices: 1, Stamp: 100}); n != 2 {
		t.Errorf("the vote has %d copies", n)
	}
	h.wantStored()
}

func TestServerThatCameBackWithOldVotesIsNotBelieved(t *testing.T) {
	h := newHouse(t, 3, popeye.Change, func(c *quorum.Config) { c.Rest = 1 })
	h.wantCast(cast(1, 100), popeye.Accepted, 1, 100)
	h.servers[0].is(broken)
	h.wantCast(cast(2, 200), popeye.Changed, 2, 200)
	h.servers[0].is(well)

	m, ok, err := h.queue.Mark(t.Context(), round, voter(1))
	if err != nil || !ok || m.Choices != 2 {
		t.Errorf("the mark is %+v, %t, %v", m, ok, err)
	}
	h.wantCast(cast(1, 300), popeye.Conflict, 2, 200)
	h.wantCast(after(cast(4, 400), 100), popeye.Conflict, 2, 200)
	h.wantCast(after(cast(2, 400), 100), popeye.Repeated, 2, 200)
	h.wantCast(after(cast(1, 500), 200), popeye.Changed, 1, 500)
	if n := h.copies(popeye.Mark{Choices: 1, Stamp: 500}); n != 2 {
		t.Errorf("the newest vote has %d copies", n)
	}
}

func TestLateRetryOfAnEarlierChangeDoesNotMoveTheVoteBack(t *testing.T) {
	for away := range 3 {
		h := newHouse(t, 3, popeye.Change, func(c *quorum.Config) { c.Rest = 1 })
		h.wantCast(cast(1, 100), popeye.Accepted, 1, 100)
		h.servers[away].is(broken)
		h.wantCast(after(cast(2, 200), 100), popeye.Changed, 2, 200)
		h.wantCast(after(cast(4, 300), 200), popeye.Changed, 4, 300)
		h.servers[away].is(well)
		h.wantCast(after(cast(2, 400), 100), popeye.Conflict, 4, 300)
	}
}

func TestChangeWaitsUntilEnoughServersTellWhatItWouldChange(t *testing.T) {
	h := newHouse(t, 3, popeye.Change, func(c *quorum.Config) { c.Rest = 1 })
	h.wantCast(cast(1, 100), popeye.Accepted, 1, 100)
	h.servers[0].is(broken)
	h.wantCast(after(cast(2, 200), 100), popeye.Changed, 2, 200)
	h.servers[0].is(well)
	h.servers[1].is(deaf)
	h.servers[2].is(deaf)
	h.wantRefused(after(cast(4, 300), 100), popeye.ErrUnavailable)
	h.servers[2].is(well)
	h.wantCast(after(cast(4, 300), 100), popeye.Conflict, 2, 200)
}

func TestChangeIsOneThoughTheFirstServerHasLostTheVote(t *testing.T) {
	h := newHouse(t, 3, popeye.Change, nil)
	h.wantCast(cast(1, 100), popeye.Accepted, 1, 100)
	h.servers[0].wipe()
	h.wantCast(cast(2, 200), popeye.Changed, 2, 200)
}

func TestVoteOfWhichTwoCopiesAreFoundApartIsConfirmed(t *testing.T) {
	h := newHouse(t, 3, popeye.First, nil)
	found, other := cast(1, 100), cast(2, 200)
	found.Unconfirmed, other.Unconfirmed = true, true
	for i, c := range []popeye.Cast{found, other, found} {
		if _, err := h.servers[i].Put(t.Context(), c, quorum.DefaultTimeout); err != nil {
			t.Fatal(err)
		}
	}
	h.wantCast(cast(4, 300), popeye.Already, 1, 100)
	if h.servers[2].mark(voter(1)).Unconfirmed {
		t.Error("the vote stands, and none of its copies is confirmed")
	}
	h.wantStored()
}

// A voter whose first try found one server, and whose second try found others,
// once had to wait until all were there: the two were taken for different votes.
func TestSameVoteCastAgainIsOneVoteWhereverItsFirstCopyIs(t *testing.T) {
	h := newHouse(t, 3, popeye.First, nil)
	h.servers[0].is(broken)
	first := cast(1, 100)
	first.Unconfirmed = true
	if _, err := h.servers[1].Put(t.Context(), first, quorum.DefaultTimeout); err != nil {
		t.Fatal(err)
	}
	h.servers[0].is(well)
	h.servers[2].is(broken)
	h.wantCast(cast(1, 200), popeye.Repeated, 1, 100)
	h.wantCast(cast(2, 300), popeye.Already, 1, 100)
	h.wantStored()
}

func TestVotesOfWhichNoneHasEnoughCopiesAreLeftAsTheyAre(t *testing.T) {
	h := newHouse(t, 3, popeye.First, nil)
	for i, s := range h.servers {
		c := cast(1<<i, popeye.Stamp(100+i))
		c.Unconfirmed = true
		if _, err := s.Put(t.Context(), c, quorum.DefaultTimeout); err != nil {
			t.Fatal(err)
		}
	}
	h.wantRefused(cast(1, 300), popeye.ErrUnavailable)
	for i, s := range h.servers {
		if m := s.mark(voter(1)); !m.Unconfirmed || m.Choices != 1<<i {
			t.Errorf("server %d has %+v", i, m)
		}
	}
}

func TestChangeFromADeviceWithAnOlderClockCanBeStampedAgain(t *testing.T) {
	h := newHouse(t, 3, popeye.Change, nil)
	h.wantCast(cast(1, 100), popeye.Accepted, 1, 100)
	h.wantCast(cast(2, 50), popeye.Conflict, 1, 100)
	h.wantCast(after(cast(2, 101), 100), popeye.Changed, 2, 101)
}

func TestSerialCountsTheVotesThatAnyServerKnows(t *testing.T) {
	h := newHouse(t, 3, popeye.Change, func(c *quorum.Config) { c.Rest = 1 })
	h.wantCast(cast(1, 100), popeye.Accepted, 1, 100)
	h.servers[0].is(broken)
	h.wantCast(cast(2, 200), popeye.Changed, 2, 200)
	h.wantCast(cast(1, 300), popeye.Changed, 1, 300)
	h.servers[0].is(well)
	a, err := h.queue.Enqueue(t.Context(), cast(4, 400))
	if err != nil || a.Outcome != popeye.Changed || a.Mark.Serial != 4 || a.Mark.Unconfirmed {
		t.Errorf("the voter's fourth vote is %+v, %v", a, err)
	}
}

func TestMetricsSayWhereVotesGoAndNotWhose(t *testing.T) {
	r := prometheus.NewRegistry()
	h := newHouse(t, 3, popeye.First, func(c *quorum.Config) { c.Metrics = r })
	h.servers[0].is(broken)
	h.wantCast(cast(1, 100), popeye.Accepted, 1, 100)
	h.wantCast(cast(2, 200), popeye.Already, 1, 100)
	want := map[string]float64{"accepted": 2, "already": 1, "repeated": 2, "failed": 1}
	got, others := make(map[string]float64), 0
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "popeye_queue_puts_total" {
			others += len(f.GetMetric())
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() != "place" && l.GetName() != "outcome" {
					t.Errorf("%s has a label %s", f.GetName(), l.GetName())
				}
				if f.GetName() == "popeye_queue_puts_total" && l.GetName() == "outcome" {
					got[l.GetValue()] += m.GetCounter().GetValue()
				}
			}
		}
	}
	for outcome, n := range got {
		if n != want[outcome] {
			t.Errorf("%s was counted %v times, want %v", outcome, n, want[outcome])
		}
	}
	if others != 9 {
		t.Errorf("there are %d other metrics, want three of each server", others)
	}
}

// wantStored wants that a store ends with these choices of voter 1, in whatever
// order it gets the votes.
func (h *house) wantStored() {
	h.Helper()
	var all []popeye.Vote
	for _, s := range h.servers {
		all = append(all, s.delivered()...)
	}
	for range all {
		all = append(all[1:], all[0])
		if got := store(slices.Values(all))[voter(1)]; got.Choices != 1 {
			h.Fatalf("%b stands in the end, want 1", got.Choices)
		}
	}
}
