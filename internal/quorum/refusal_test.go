package quorum_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"popeye"
	"popeye/internal/quorum"
)

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		moods [3]mood
		want  error
	}{
		"all are full":                       {[3]mood{full, full, full}, popeye.ErrFull},
		"two are full":                       {[3]mood{well, full, full}, popeye.ErrFull},
		"one is full and one away":           {[3]mood{full, broken, well}, popeye.ErrUnavailable},
		"two are away":                       {[3]mood{broken, well, broken}, popeye.ErrUnavailable},
		"all have lost the poll":             {[3]mood{ignorant, ignorant, ignorant}, popeye.ErrUnavailable},
		"one has lost the poll, one is full": {[3]mood{ignorant, full, well}, popeye.ErrUnavailable},
		"all say closed":                     {[3]mood{closed, closed, closed}, popeye.ErrClosed},
		"two say closed":                     {[3]mood{closed, closed, well}, popeye.ErrClosed},
		"two say closed, one took it before": {[3]mood{closed, well, closed}, popeye.ErrUnavailable},
		"one says closed and one is away":    {[3]mood{closed, broken, well}, popeye.ErrUnavailable},
		"one is away and one says closed":    {[3]mood{broken, well, closed}, popeye.ErrUnavailable},
		"one is away, one has lost the poll": {[3]mood{broken, well, ignorant}, popeye.ErrUnavailable},
		"one is away and one is full":        {[3]mood{broken, well, full}, popeye.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, 3, popeye.First, nil)
			for i, m := range c.moods {
				h.servers[i].is(m)
			}
			h.wantRefused(cast(1, 100), c.want)
		})
	}
}

func TestOneServerThatSaysClosedClosesThePoll(t *testing.T) {
	h := newHouse(t, 3, popeye.First, nil)
	h.wantCast(castOf(2, 1, 100), popeye.Accepted, 1, 100)
	h.servers[0].publish(popeye.NewCatalog(h.version+1, []popeye.Definition{definition(popeye.First, popeye.Closed)}))
	h.servers[0].is(closed)
	h.wantRefused(cast(1, 100), popeye.ErrClosed)
	if n := h.copies(popeye.Mark{Choices: 1, Stamp: 100}); n != 0 {
		t.Errorf("the vote has %d copies all the same", n)
	}
	if state := h.queue.Catalog().Find("p").State; state != popeye.Closed {
		t.Errorf("the catalog says %s", state)
	}
}

// The first server took the vote in time and will deliver it: whoever is told that
// the poll is closed would take it for refused.
func TestVoteThatIsBeingCopiedWhenItsRoundIsClosedIsNotRefused(t *testing.T) {
	h := newHouse(t, 3, popeye.First, nil)
	h.wantCast(castOf(2, 1, 100), popeye.Accepted, 1, 100)
	h.servers[1].publish(popeye.NewCatalog(h.version+1, []popeye.Definition{definition(popeye.First, popeye.Closed)}))
	h.servers[1].is(closed)
	h.wantRefused(cast(1, 100), popeye.ErrUnavailable)
	if n := h.copies(popeye.Mark{Choices: 1, Stamp: 100}); n != 1 {
		t.Errorf("the vote has %d copies", n)
	}
}

func TestOneServerWhoseClockIsWrongDoesNotCloseThePoll(t *testing.T) {
	h := newHouse(t, 3, popeye.First, nil)
	h.servers[0].is(closed)
	h.wantCast(cast(1, 100), popeye.Accepted, 1, 100)
}

func TestRoundThatNobodyKnowsIsNotFound(t *testing.T) {
	h := newHouse(t, 3, popeye.First, nil)
	c := cast(1, 100)
	c.Round = 2
	h.wantRefused(c, popeye.ErrNotFound)

	h.wantCast(cast(1, 100), popeye.Accepted, 1, 100)
	h.publish()
	for _, s := range h.servers {
		s.is(ignorant)
	}
	h.wantRefused(castOf(2, 1, 100), popeye.ErrNotFound)
	if m, ok, err := h.queue.Mark(t.Context(), 7, voter(9)); ok || err != nil {
		t.Errorf("the mark in a round that nobody knows is %+v, %v", m, err)
	}
}

func TestNoPollIsKnownBeforeTheFirstCatalog(t *testing.T) {
	h := newHouse(t, 3, popeye.First, nil)
	for _, s := range h.servers {
		s.publish(nil)
	}
	if h.queue.Catalog() != nil {
		t.Error("there is a catalog before the first")
	}
	h.wantRefused(cast(1, 100), popeye.ErrNotFound)
	for _, s := range h.servers {
		s.is(broken)
	}
	h.wantRefused(cast(1, 100), popeye.ErrUnavailable)
}

func TestCasterWhoHasLeftLeavesNoServerInDisgrace(t *testing.T) {
	h := newHouse(t, 3, popeye.First, nil)
	h.wantCast(castOf(2, 1, 100), popeye.Accepted, 1, 100)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h.servers[0].is(hanging)
	if _, err := h.queue.Enqueue(ctx, cast(1, 100)); !errors.Is(err, popeye.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("the cast of somebody who has left got %v", err)
	}
	h.servers[0].is(well)
	for _, s := range h.servers {
		s.taken()
	}
	h.wantCast(cast(1, 100), popeye.Accepted, 1, 100)
	if len(h.servers[0].taken()) != 1 {
		t.Error("the server is left alone, though it did nothing wrong")
	}
}

func TestErrorsSayNothingOfTheVote(t *testing.T) {
	h := newHouse(t, 3, popeye.First, nil)
	for _, m := range []mood{broken, full, ignorant, closed} {
		for _, s := range h.servers {
			s.is(m)
		}
		_, err := h.queue.Enqueue(t.Context(), cast(424242, 987654321))
		for _, secret := range []string{"424242", "987654321", voter(1).Receipt()} {
			if err == nil || strings.Contains(err.Error(), secret) {
				t.Errorf("the error is %v", err)
			}
		}
	}
}

func TestConfigThatWouldLetVotersVoteTwiceIsRefused(t *testing.T) {
	places := func(names string) (all []quorum.Place) {
		for n := range strings.FieldsSeq(names) {
			all = append(all, quorum.Place{Name: n, Server: &fake{}})
		}
		return all
	}
	for name, c := range map[string]struct {
		servers string
		copies  int
		ok      bool
	}{
		"one":                        {"a", 1, true},
		"two of three":               {"a b c", 2, true},
		"three of three":             {"a b c", 3, true},
		"two of two":                 {"a b", 2, true},
		"none":                       {"", 1, false},
		"no copy":                    {"a", 0, false},
		"one of two":                 {"a b", 1, false},
		"two of four":                {"a b c d", 2, false},
		"more copies than there are": {"a b", 3, false},
		"the same twice":             {"a b a", 2, false},
		"too many":                   {strings.Repeat("a ", 17), 9, false},
	} {
		cfg := quorum.Config{Servers: places(c.servers), Copies: c.copies}
		if err := cfg.Validate(); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// wantRefused says that a cast fails for one reason, and for no other as well: by the
// others its voter would be told that the vote does not count.
func (h *house) wantRefused(c popeye.Cast, want error) {
	h.Helper()
	a, err := h.queue.Enqueue(h.Context(), c)
	for _, kind := range []error{popeye.ErrUnavailable, popeye.ErrFull, popeye.ErrClosed, popeye.ErrNotFound} {
		if errors.Is(err, kind) != errors.Is(kind, want) {
			h.Fatalf("the cast got %q and error %v, want %v alone", a.Outcome, err, want)
		}
	}
}
