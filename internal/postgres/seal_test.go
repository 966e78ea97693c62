package postgres

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"popeye"
)

// When a round is final, by what happens before its seals. Three servers, two
// copies of each vote: two seals are enough.
func TestARoundIsFinalWhenNoConfirmedVoteCanBeMissing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		// before and after the round begins: servers noted, such as "a=A".
		before, after string
		// seals in their order, the last of which makes the round final or not.
		seals string
		final bool
	}{
		"one of three":                       {"a=A b=B c=C", "", "a=A", false},
		"one of three, twice":                {"a=A b=B c=C", "", "a=A a=A", false},
		"two of three":                       {"a=A b=B c=C", "", "a=A b=B", true},
		"two that were noted again":          {"a=A b=B c=C", "a=A b=B c=C", "a=A c=C", true},
		"all but two are new":                {"a=A", "b=B c=C", "a=A b=B", false},
		"all, some of them new":              {"a=A", "b=B c=C", "a=A b=B c=C", true},
		"all are new":                        {"", "a=A b=B c=C", "a=A b=B c=C", true},
		"all, none of which was ever noted":  {"", "", "a=A b=B c=C", true},
		"one has lost its data, without it":  {"a=A b=B c=C", "c=X", "a=A b=B", true},
		"one has lost its data, with it":     {"a=A b=B c=C", "c=X", "a=A c=X", false},
		"one has lost its data, then both":   {"a=A b=B c=C", "c=X", "c=X a=A b=B", true},
		"two have lost their data":           {"a=A b=B c=C", "b=X c=Y", "a=A b=X c=Y", false},
		"new ones and a lost one":            {"c=C", "a=A b=B c=X", "a=A b=B c=X", false},
		"lost before the round began":        {"a=A b=B c=C b=X c=Y", "", "a=A b=X", true},
		"lost after it was sealed":           {"a=A b=B c=C", "", "b=B b=>X b=X a=A", true},
		"a server nobody has noted":          {"a=A b=B c=C", "", "a=A b=X", false},
		"a server from elsewhere":            {"a=A b=B c=C z=Z", "", "a=A z=Z", false},
		"lost, and lost again, and sealed":   {"a=A b=B c=C", "c=X c=Y", "c=Y a=A", false},
		"new, then lost, and sealed by all":  {"a=A b=B", "c=C c=X", "a=A c=X", false},
		"eligible ones beside a lost one":    {"a=A b=B", "c=C c=X", "c=X b=B a=A", true},
		"a seal of one that was followed":    {"a=A b=B c=C", "c=X", "a=A c=C", false},
		"all were there, two of three twice": {"a=A b=B c=C", "", "a=A a=A b=B", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openNew(t)
			noteAll(t, s, c.before)
			d := createPoll(t, s, "p", popeye.First)
			noteAll(t, s, c.after)
			if err := s.Close(t.Context(), d.Round); err != nil {
				t.Fatal(err)
			}
			final := false
			for seal := range strings.FieldsSeq(c.seals) {
				place, server, _ := strings.Cut(seal, "=")
				if now, ok := strings.CutPrefix(server, ">"); ok { // not a seal but a note
					noteAll(t, s, place+"="+now)
					continue
				}
				if final {
					t.Fatalf("it was final before %s", seal)
				}
				final = sealed(t, s, d, place, server)
			}
			tally, err := s.Tally(t.Context(), "p")
			if err != nil || final != c.final || (tally.State == popeye.Final) != c.final || tally.Incomplete {
				t.Errorf("final %v, and the round is %s, %v; want final %v", final, tally.State, err, c.final)
			}
			if final && !sealed(t, s, d, "a", "A") {
				t.Error("sealed once more it was not final")
			}
		})
	}
}

func noteAll(t *testing.T, s *Store, servers string) {
	t.Helper()
	for at := range strings.FieldsSeq(servers) {
		place, server, _ := strings.Cut(at, "=")
		note(t, s, taken(place, server, "1-0", 0))
	}
}

func sealed(t *testing.T, s *Store, d popeye.Definition, place, server string) bool {
	t.Helper()
	final, err := s.Seal(t.Context(), popeye.Seal{
		Round: d.Round, Place: place, Server: server, Places: []string{"a", "b", "c"}, Enough: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	return final
}

func TestOnlyAClosedRoundCanBeSealed(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	d := createPoll(t, s, "p", popeye.First)
	seal := popeye.Seal{Round: d.Round, Place: "a", Server: "A", Places: []string{"a"}, Enough: 1}
	if final, err := s.Seal(t.Context(), seal); final || !errors.Is(err, popeye.ErrExists) {
		t.Errorf("Seal of an open round = %v, %v; want ErrExists", final, err)
	}
	seal.Round++
	if final, err := s.Seal(t.Context(), seal); final || !errors.Is(err, popeye.ErrNotFound) {
		t.Errorf("Seal of no round = %v, %v; want ErrNotFound", final, err)
	}
}

// A result that can never be final by itself, an organiser can declare.
func TestARoundWhoseServersAreLostWaitsForAnOrganiser(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	noteAll(t, s, "a=A b=B c=C")
	d := createPoll(t, s, "p", popeye.First)
	noteAll(t, s, "b=X c=Y")
	if err := s.Close(t.Context(), d.Round); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{"aA", "bX", "cY"} {
		if sealed(t, s, d, at[:1], at[1:]) {
			t.Fatalf("it is final after the seal of %s", at)
		}
	}
	declared, err := s.Declare(t.Context(), "p")
	if err != nil || declared.State != popeye.Final || !declared.Incomplete {
		t.Fatalf("Declare = %+v, %v; want it final, and incomplete", declared, err)
	}
	if !sealed(t, s, d, "a", "A") {
		t.Error("a seal says that it is not final")
	}
}

// Three workers tell of the seals of three servers at the same time.
func TestSealsThatComeTogetherEndTheRoundOnce(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	noteAll(t, s, "a=A b=B c=C")
	for n := range 10 {
		d := createPoll(t, s, fmt.Sprintf("p%d", n), popeye.First)
		if err := s.Close(t.Context(), d.Round); err != nil {
			t.Fatal(err)
		}
		finals := make([]bool, 3)
		var g errgroup.Group
		for i, at := range []string{"aA", "bB", "cC"} {
			g.Go(func() (err error) {
				finals[i], err = s.Seal(t.Context(), popeye.Seal{
					Round: d.Round, Place: at[:1], Server: at[1:], Places: []string{"a", "b", "c"}, Enough: 2,
				})
				return err
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		last := 0
		for _, final := range finals {
			if final {
				last++
			}
		}
		if last != 2 { // the one that makes it so, and the one after
			t.Errorf("%d of 3 seals said that it is final", last)
		}
	}
}

// A database that was put back to an earlier moment must not end a round before
// what it has lost is replayed: that would come too late.
func TestARoundIsNotFinalWhileVotesAreToBeReplayed(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	noteAll(t, s, "a=A")
	d := createPoll(t, s, "p", popeye.First)
	if err := s.Close(t.Context(), d.Round); err != nil {
		t.Fatal(err)
	}
	seal := popeye.Seal{
		Round: d.Round, Place: "a", Server: "A", Places: []string{"a"}, Enough: 1, Progress: map[string]int64{"w": 1},
	}
	if final, err := s.Seal(t.Context(), seal); final || !errors.Is(err, popeye.ErrUnavailable) {
		t.Fatalf("Seal without the worker's batch = %v, %v", final, err)
	}
	vote := popeye.Vote{Round: d.Round, Voter: popeye.Voter{1}, Choices: 1, Stamp: 1, Serial: 1}
	if _, err := s.Record(t.Context(), []popeye.Vote{vote}, popeye.Progress{Server: "A", Worker: "w", Batch: 1}); err != nil {
		t.Fatal(err)
	}
	if final, err := s.Seal(t.Context(), seal); !final || err != nil {
		t.Fatalf("Seal with it = %v, %v", final, err)
	}
}
