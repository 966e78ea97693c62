package quorum

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"popeye"
)

func twoTabs() []caster {
	return []caster{{choices: 1, clock: 16}, {choices: 2, clock: 33}}
}

func backAndForth() []caster {
	return []caster{{choices: 1, clock: 16}, {choices: 2, clock: 33}, {choices: 1, clock: 50}}
}

// lateRetry is a change that arrives a second time after another change.
func lateRetry() []caster {
	return []caster{{choices: 1, clock: 16}, {choices: 2, clock: 33, after: 16}, {choices: 4, clock: 50, after: 33}, {choices: 2, clock: 67, after: 16}}
}

// situations are what a voter may do, with one browser or several.
func situations(policy popeye.Policy) map[string]setup {
	all := map[string]setup{
		"two tabs want different things":  {casters: twoTabs()},
		"a vote is sent twice":            {casters: []caster{{choices: 1, clock: 16}, {choices: 1, clock: 33}}},
		"a second device's clock is slow": {casters: []caster{{choices: 1, clock: 32}, {choices: 2, clock: 17}}, inTurn: 2},
		"there and back again":            {casters: backAndForth(), inTurn: 3},
		"one of two tabs tries again":     {casters: []caster{{choices: 1, clock: 16, again: 1}, {choices: 2, clock: 33}}, large: true},
	}
	if policy == popeye.First {
		all["three tabs"] = setup{casters: []caster{{choices: 1, clock: 16}, {choices: 2, clock: 33}, {choices: 4, clock: 50}}}
		all["a vote is sent twice and another once"] = setup{casters: backAndForth()}
		return all
	}
	seen := []caster{{choices: 1, clock: 16}, {choices: 2, clock: 33, after: 16}, {choices: 4, clock: 50, after: 16}}
	all["two tabs change what they saw"] = setup{casters: seen, inTurn: 1, large: true}
	same := []caster{{choices: 1, clock: 16}, {choices: 2, clock: 33, after: 16}, {choices: 1, clock: 50, after: 16}}
	all["one tab changes and one sends the same again"] = setup{casters: same, inTurn: 1, large: true}
	all["a change is sent again late"] = setup{casters: lateRetry(), inTurn: 4, large: true}
	return all
}

// One server of three fails, in every way, at any time, any number of times; it
// loses all of its data twice, and a request of which nobody knows arrives late.
func TestPromisesHoldWhateverOneServerDoes(t *testing.T) {
	t.Parallel()
	for _, policy := range []popeye.Policy{popeye.First, popeye.Change} {
		for name, s := range situations(policy) {
			s.policy, s.servers, s.copies, s.wipes, s.late = policy, 3, 2, 2, 1
			wantKept(t, fmt.Sprintf("%s, %s", policy, name), s)
		}
	}
}

// Every server fails, in every way but losing its data. Nobody need be answered.
func TestPromisesHoldWhicheverServersFailWhileNoneLosesItsData(t *testing.T) {
	t.Parallel()
	for _, policy := range []popeye.Policy{popeye.First, popeye.Change} {
		for name, s := range situations(policy) {
			s.policy, s.servers, s.copies, s.culprit = policy, 3, 2, everyone
			if s.large {
				continue // the random schedules take some of these
			}
			wantKept(t, fmt.Sprintf("%s, %s", policy, name), s)
		}
	}
}

// Every server fails, in every way; and when all is well again, but nothing of it is in
// the store yet, one of them loses its data.
func TestWhatWasAcknowledgedStandsThoughOneServerLosesItsDataAfterOthersFailed(t *testing.T) {
	t.Parallel()
	for _, policy := range []popeye.Policy{popeye.First, popeye.Change} {
		for name, s := range situations(policy) {
			s.policy, s.servers, s.copies, s.culprit = policy, 3, 2, everyone
			s.wipes, s.afterwards = 1, true
			if s.large {
				continue // as above
			}
			for loser := range s.servers {
				s.loser = loser
				wantKept(t, fmt.Sprintf("%s, %s, server %d", policy, name, loser), s)
			}
		}
	}
}

func TestPromisesHoldForAnyNumberOfServersAndCopies(t *testing.T) {
	t.Parallel()
	for _, size := range []struct{ servers, copies int }{{1, 1}, {2, 2}, {3, 3}, {4, 3}, {5, 3}, {5, 4}} {
		s := setup{policy: popeye.First, servers: size.servers, copies: size.copies, casters: twoTabs()}
		if s.copies > 1 { // one copy is lost with its server
			s.wipes = 1
		}
		wantKept(t, fmt.Sprintf("two tabs under first, %d of %d", size.copies, size.servers), s)
		s.policy = popeye.Change
		if size.servers < 4 { // or else there are millions of states
			wantKept(t, fmt.Sprintf("two tabs under change, %d of %d", size.copies, size.servers), s)
		}
		s.casters, s.inTurn = lateRetry(), 4
		wantKept(t, fmt.Sprintf("a change sent again late, %d of %d", size.copies, size.servers), s)
	}
}

func TestRandomCastsWithRandomFaults(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := newExplorer(drawSetup(t))
		for range 10 {
			if broken := e.wander(t); broken != "" {
				t.Fatalf("%+v: %s%s", e.setup, broken, e.way())
			}
		}
	})
}

// wander goes one way at random, to its end or until a promise is broken.
func (e *explorer) wander(t *rapid.T) (broken string) {
	e.trail = nil
	for w := e.start; ; w = e.trail[len(e.trail)-1].to {
		if broken := w.breach(&e.setup, &e.ballots); broken != "" {
			return broken
		}
		moves := e.moves(w)
		if len(moves) == 0 {
			return ""
		}
		e.trail = append(e.trail, moves[rapid.IntRange(0, len(moves)-1).Draw(t, "move")])
	}
}

func drawSetup(t *rapid.T) setup {
	s := setup{policy: rapid.SampledFrom([]popeye.Policy{popeye.First, popeye.Change}).Draw(t, "policy"), impatient: true}
	s.servers = rapid.IntRange(1, mostServers).Draw(t, "servers")
	s.copies = rapid.IntRange(s.servers/2+1, s.servers).Draw(t, "copies")
	s.culprit = rapid.IntRange(everyone, s.servers-1).Draw(t, "culprit")
	if s.culprit != everyone && s.copies > 1 {
		s.loser, s.wipes = s.culprit, rapid.IntRange(0, 3).Draw(t, "wipes")
	}
	s.late = rapid.IntRange(0, mostLate).Draw(t, "late")
	for range rapid.IntRange(2, mostCasters).Draw(t, "casters") {
		s.casters = append(s.casters, caster{
			choices: popeye.Choices(rapid.IntRange(1, 3).Draw(t, "choices")),
			clock:   popeye.Stamp(rapid.IntRange(1, 40).Draw(t, "clock")),
			after:   popeye.Stamp(rapid.SampledFrom([]int{0, 0, 8, 20, 32}).Draw(t, "after")),
			again:   rapid.IntRange(0, 2).Draw(t, "again"),
		})
	}
	s.inTurn = rapid.IntRange(0, len(s.casters)).Draw(t, "in turn")
	return s
}

// wantKept explores a setup with each server as the culprit in turn, unless
// everyone is.
func wantKept(t *testing.T, name string, s setup) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		states := 0
		told := make(map[popeye.Outcome]int)
		for culprit := range s.servers {
			if s.culprit != everyone {
				s.culprit, s.loser = culprit, culprit
			}
			e := explore(s)
			if e.broken != "" {
				t.Fatalf("server %d failing: %s", s.culprit, e.broken)
			}
			states += len(e.seen)
			for outcome, n := range e.told {
				told[outcome] += n
			}
			if s.culprit == everyone {
				break
			}
		}
		t.Logf("%d states, answers %v", states, told)
	})
}
