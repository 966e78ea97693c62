package quorum

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"popeye"
)

// flaw is a mistake in the protocol: what a caster that made it would ask of a
// server, or would make of the answer. The explorer has to notice each.
type flaw struct {
	put func(s Server, who caster, c popeye.Cast) (popeye.Answer, error)
	// blind: nothing is read before a change.
	blind bool
	// fromTheEnd: the servers are visited the other way round.
	fromTheEnd bool
}

// flawed is a server as a caster with a flaw sees it.
type flawed struct {
	Server
	caster caster
}

func (f *flawed) Put(ctx context.Context, c popeye.Cast, within time.Duration) (popeye.Answer, error) {
	if f.caster.flaw.put == nil {
		return f.Server.Put(ctx, c, within)
	}
	return f.caster.flaw.put(f.Server, f.caster, c)
}

func (f *flawed) Mark(ctx context.Context, round int64, v popeye.Voter) (popeye.Mark, bool, error) {
	if f.caster.flaw.blind {
		return popeye.Mark{}, false, nil
	}
	return f.Server.Mark(ctx, round, v)
}

// asked is what a caster asks where the flaw is in the question.
func asked(change func(c *popeye.Cast)) func(Server, caster, popeye.Cast) (popeye.Answer, error) {
	return func(s Server, _ caster, c popeye.Cast) (popeye.Answer, error) {
		change(&c)
		return s.Put(context.Background(), c, DefaultTimeout)
	}
}

// heard is what a caster makes of an answer where the flaw is there.
func heard(change func(a *popeye.Answer, err *error)) func(Server, caster, popeye.Cast) (popeye.Answer, error) {
	return func(s Server, _ caster, c popeye.Cast) (popeye.Answer, error) {
		a, err := s.Put(context.Background(), c, DefaultTimeout)
		change(&a, &err)
		return a, err
	}
}

func confirmsTheFirstCopy(s Server, _ caster, c popeye.Cast) (popeye.Answer, error) {
	unconfirmed := c.Unconfirmed
	c.Unconfirmed = false
	a, err := s.Put(context.Background(), c, DefaultTimeout)
	a.Mark.Unconfirmed = a.Mark.Unconfirmed || unconfirmed
	return a, err
}

func confirmsNothing(s Server, _ caster, c popeye.Cast) (popeye.Answer, error) {
	confirmed := !c.Unconfirmed
	c.Unconfirmed = true
	a, err := s.Put(context.Background(), c, DefaultTimeout)
	a.Mark.Unconfirmed = a.Mark.Unconfirmed && !confirmed
	return a, err
}

// copiesOnlyItsOwn says of any other vote that its copies are complete.
func copiesOnlyItsOwn(s Server, who caster, c popeye.Cast) (popeye.Answer, error) {
	if c.Choices != who.choices {
		return popeye.Answer{Outcome: popeye.Repeated, Mark: popeye.Mark{Choices: c.Choices, Stamp: c.Stamp}}, nil
	}
	return s.Put(context.Background(), c, DefaultTimeout)
}

// believesWhatStands says of a vote that one server has, that the others have it.
func believesWhatStands(s Server, who caster, c popeye.Cast) (popeye.Answer, error) {
	if c.Copy && c.Stamp < who.clock {
		return popeye.Answer{Outcome: popeye.Repeated, Mark: popeye.Mark{Choices: c.Choices, Stamp: c.Stamp}}, nil
	}
	return s.Put(context.Background(), c, DefaultTimeout)
}

// countsSilence takes a server that says nothing for one that has a copy.
func countsSilence(s Server, _ caster, c popeye.Cast) (popeye.Answer, error) {
	a, err := s.Put(context.Background(), c, DefaultTimeout)
	if errors.Is(err, popeye.ErrUnavailable) {
		return c.Begin(), nil
	}
	return a, err
}

func TestExplorerFindsEveryFlaw(t *testing.T) {
	race, backAndForth, lateRetry := twoTabs(), backAndForth(), lateRetry()
	three := setup{policy: popeye.First, servers: 3, copies: 2, wipes: 1}
	everywhere := setup{policy: popeye.First, servers: 3, copies: 2, culprit: everyone}
	change := setup{policy: popeye.Change, servers: 3, copies: 2}
	for name, c := range map[string]struct {
		setup   setup
		flaw    flaw
		casters []caster
		inTurn  int
	}{
		"one copy of three":                          {setup{policy: popeye.First, servers: 3, copies: 1}, flaw{}, race, 0},
		"two copies of four":                         {setup{policy: popeye.First, servers: 4, copies: 2, culprit: everyone}, flaw{}, race, 0},
		"the first copy is confirmed":                {three, flaw{put: confirmsTheFirstCopy}, race, 0},
		"no copy is confirmed":                       {three, flaw{put: confirmsNothing}, race, 0},
		"another vote's copies are left as they are": {three, flaw{put: copiesOnlyItsOwn}, race, 0},
		"another vote is an obstacle": {three, flaw{put: heard(func(a *popeye.Answer, err *error) {
			if a.Outcome == popeye.Already {
				*err = popeye.ErrUnavailable
			}
		})}, race, 0},
		"another vote stands, confirmed or not": {three, flaw{put: heard(func(a *popeye.Answer, _ *error) {
			a.Mark.Unconfirmed = a.Mark.Unconfirmed && a.Outcome != popeye.Already
		})}, race, 0},
		"silence is a copy":                {everywhere, flaw{put: countsSilence}, race, 0},
		"what one server says stands does": {change, flaw{put: believesWhatStands}, backAndForth, 3},
		"every server is asked whether the vote may change": {
			change, flaw{put: asked(func(c *popeye.Cast) { c.Copy = false })}, backAndForth, 3,
		},
		"nothing is read before a change": {change, flaw{blind: true}, lateRetry, 4},
		"a vote stamped again does not say after which": {
			change, flaw{put: asked(func(c *popeye.Cast) { c.After = 0 }), blind: true}, backAndForth, 3,
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.setup.casters, c.setup.inTurn = withFlaw(&c.flaw, c.casters...), c.inTurn
			wantBroken(t, c.setup)
		})
	}
	t.Run("casters disagree about the order", func(t *testing.T) {
		three.casters = append(withFlaw(&flaw{fromTheEnd: true}, race[0]), race[1])
		wantBroken(t, three)
	})
}

// What the package does not promise is what the explorer shows to fail.
func TestWhatIsNotPromised(t *testing.T) {
	t.Run("one server loses its data, and another one does not answer long after", func(t *testing.T) {
		wantBroken(t, setup{
			policy: popeye.First, servers: 3, copies: 2, culprit: everyone, loser: 1, wipes: 1,
			casters: twoTabs(), inTurn: 2,
		})
	})
}

func withFlaw(f *flaw, casters ...caster) []caster {
	var flawed []caster
	for _, c := range casters {
		c.flaw = f
		flawed = append(flawed, c)
	}
	return flawed
}

// wantBroken wants that a promise is broken whichever server is the culprit of a
// setup that has one.
func wantBroken(t *testing.T, s setup) {
	t.Helper()
	var tried []string
	for culprit := range s.servers {
		if s.culprit != everyone {
			s.culprit, s.loser = culprit, culprit
		}
		e := explore(s)
		if e.broken != "" {
			t.Logf("%d states: %s", len(e.seen), e.broken)
			return
		}
		tried = append(tried, fmt.Sprintf("%d: %d states", culprit, len(e.seen)))
	}
	t.Errorf("no promise was broken: %v", tried)
}
