package quorum_test

import (
	"errors"
	"testing"

	"popeye"
	"popeye/internal/quorum"
)

func TestMarkIsThatOfTheNewestAcknowledgedVoteWhicheverServerIsAway(t *testing.T) {
	for _, policy := range []popeye.Policy{popeye.First, popeye.Change} {
		for missed := range 3 {
			for away := range 3 {
				h := newHouse(t, 3, policy, func(c *quorum.Config) { c.Rest = 1 })
				want := cast(1, 100)
				if policy == popeye.Change {
					h.wantCast(cast(2, 50), popeye.Accepted, 2, 50)
				}
				h.servers[missed].is(broken)
				if _, err := h.queue.Enqueue(t.Context(), want); err != nil {
					t.Fatal(err)
				}
				h.servers[missed].is(well)
				h.servers[away].is(broken)
				m, ok, err := h.queue.Mark(t.Context(), round, voter(1))
				if err != nil || !ok || !m.Is(want.Vote) {
					t.Errorf("%s, %d missed it, %d is away: the mark is %+v, %t, %v", policy, missed, away, m, ok, err)
				}
			}
		}
	}
}

func TestMarkOfAConfirmedVoteComesBeforeThatOfAnyOther(t *testing.T) {
	for confirmed := range 2 {
		h := newHouse(t, 3, popeye.First, nil)
		h.wantCast(castOf(2, 1, 100), popeye.Accepted, 1, 100) // whereby the polls become known
		for i := range 2 {
			c := cast(1<<i, 100)
			c.Unconfirmed = i != confirmed
			if _, err := h.servers[i].Put(t.Context(), c, quorum.DefaultTimeout); err != nil {
				t.Fatal(err)
			}
		}
		if m, ok, err := h.queue.Mark(t.Context(), round, voter(1)); err != nil || !ok || m.Choices != 1<<confirmed {
			t.Errorf("server %d has a confirmed vote, but the mark is %+v, %t, %v", confirmed, m, ok, err)
		}
	}
}

func TestMarkFailsOnlyWhereNobodyAnswers(t *testing.T) {
	h := newHouse(t, 3, popeye.First, nil)
	h.wantCast(cast(1, 100), popeye.Accepted, 1, 100)
	h.servers[0].is(broken)
	h.servers[2].is(broken)
	if m, ok, err := h.queue.Mark(t.Context(), round, voter(1)); err != nil || !ok || m.Choices != 1 {
		t.Errorf("with one server left the mark is %+v, %t, %v", m, ok, err)
	}
	h.servers[1].is(broken)
	if _, _, err := h.queue.Mark(t.Context(), round, voter(1)); !errors.Is(err, popeye.ErrUnavailable) {
		t.Errorf("with no server left: %v", err)
	}
}
