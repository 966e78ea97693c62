package quorum_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"popeye"
	"popeye/internal/quorum"
)

func TestServerThatHangsIsLeftAloneAndThenTriedByOneCast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, 3, popeye.First, nil)
		h.wantCast(castOf(2, 1, 100), popeye.Accepted, 1, 100)
		h.servers[0].is(hanging)
		began := time.Now()
		h.wantCast(cast(1, 100), popeye.Accepted, 1, 100)
		if waited := time.Since(began); waited != quorum.DefaultTimeout {
			t.Errorf("the first cast waited %s for a server that hangs", waited)
		}
		h.servers[0].taken()
		for n := range uint64(100) {
			h.wantCast(castOf(10+n, 1, 100), popeye.Accepted, 1, 100)
		}
		if waited := time.Since(began); waited != quorum.DefaultTimeout {
			t.Errorf("casts went on waiting, %s in all", waited)
		}
		if puts := h.servers[0].taken(); len(puts) > 0 {
			t.Errorf("a server that is left alone got %d casts", len(puts))
		}

		pass(2 * quorum.DefaultRest)
		h.castAtOnce(200, 100)
		if puts := h.servers[0].taken(); len(puts) != 1 {
			t.Errorf("%d casts tried the server, want one", len(puts))
		}

		h.servers[0].is(well)
		pass(2 * quorum.DefaultRest)
		h.wantCast(visitsFirst(h), popeye.Accepted, 1, 100)
		h.servers[0].taken()
		h.castAtOnce(500, 100)
		if puts := h.servers[0].taken(); len(puts) < 50 {
			t.Errorf("%d of 100 casts went to the server that is well again", len(puts))
		}
	})
}

// pass lets time go by in a bubble, and what is due then happen.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// castAtOnce casts the votes of n voters, all of which must be accepted.
func (h *house) castAtOnce(from, n uint64) {
	h.Helper()
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if a, err := h.queue.Enqueue(h.Context(), castOf(from+i, 1, 100)); err != nil || a.Outcome != popeye.Accepted {
				h.Errorf("the cast got %q, %v", a.Outcome, err)
			}
		})
	}
	all.Wait()
}

// visitsFirst is a cast of a voter who is new and visits the first server first:
// whose order is that of voter 1.
func visitsFirst(h *house) popeye.Cast {
	c := cast(1, 100)
	for _, s := range h.servers {
		s.wipe()
	}
	return c
}

func TestServerThatAnswersAgainIsTriedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, 1, popeye.First, nil)
		defer h.run()()
		synctest.Wait()
		h.servers[0].is(broken)
		h.wantRefused(cast(1, 100), popeye.ErrUnavailable)
		h.servers[0].is(well)
		h.wantRefused(cast(1, 100), popeye.ErrUnavailable)
		pass(quorum.DefaultRefresh)
		h.wantCast(cast(1, 100), popeye.Accepted, 1, 100)
	})
}

func TestNothingIsWrittenWhereTooManyServersAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, 3, popeye.First, nil)
		h.servers[0].is(broken)
		h.servers[1].is(broken)
		h.wantRefused(cast(1, 100), popeye.ErrUnavailable)
		if puts := h.servers[2].taken(); len(puts) > 0 {
			t.Errorf("a server got %d casts that could not be confirmed", len(puts))
		}
		h.wantRefused(cast(1, 100), popeye.ErrUnavailable)
		if n := len(h.servers[0].taken()) + len(h.servers[1].taken()); n != 2 {
			t.Errorf("servers that are left alone got %d casts more", n-2)
		}
		_, _, err := h.queue.Mark(t.Context(), round, voter(1))
		if err != nil {
			t.Errorf("the mark cannot be read: %v", err)
		}
	})
}

func TestServersThatRefuseAreNotLeftAlone(t *testing.T) {
	for _, m := range []mood{full, ignorant, closed} {
		h := newHouse(t, 3, popeye.First, nil)
		h.servers[0].is(m)
		h.wantCast(cast(1, 100), popeye.Accepted, 1, 100)
		h.servers[0].is(well)
		h.servers[0].taken()
		h.wantCast(cast(1, 200), popeye.Repeated, 1, 100)
		if len(h.servers[0].taken()) != 1 {
			t.Errorf("a server is left alone after it refused a vote")
		}
	}
}

func TestRunFindsTheNewestCatalogAndAnnouncesTheKeyToEveryServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, 3, popeye.First, func(c *quorum.Config) { c.VoterKey = "k2" })
		h.servers[2].is(hanging)
		older, newer := h.version+1, h.version+2
		h.servers[0].publish(popeye.NewCatalog(newer, []popeye.Definition{definition(popeye.First, popeye.Closed)}))
		h.servers[1].publish(popeye.NewCatalog(older, nil))
		for i := range 2 { // so that the older one comes last
			h.servers[i].lag = func() time.Duration { return time.Duration(i+1) * time.Millisecond }
		}
		h.servers[1].keysRefused = 2
		if n := h.queue.Answering(); n != 0 {
			t.Errorf("%d servers answer before they were asked", n)
		}
		defer h.run()()
		pass(2 * time.Millisecond)
		if got := h.queue.Catalog().Version(); got != newer {
			t.Errorf("the catalog has version %d, want %d", got, newer)
		}
		if n := h.queue.Answering(); n != 1 {
			t.Errorf("%d servers do as they are asked, want 1", n)
		}
		h.wantAnnounced(1, 1, 0)

		h.servers[2].is(well)
		h.servers[0].is(broken)
		pass(2 * time.Second)
		if n := h.queue.Answering(); n != 2 {
			t.Errorf("%d servers answer, want 2", n)
		}
		if got := h.queue.Catalog().Version(); got != newer {
			t.Errorf("the catalog went back to version %d", got)
		}
		h.wantAnnounced(1, 3, 1)
		pass(5 * time.Second)
		h.wantAnnounced(1, 4, 2)
	})
}

// wantAnnounced compares how often each server was told the key k2.
func (h *house) wantAnnounced(want ...int) {
	h.Helper()
	for i, s := range h.servers {
		s.mu.Lock()
		if got := len(s.announced); got != want[i] || slices.ContainsFunc(s.announced, func(k string) bool { return k != "k2" }) {
			h.Errorf("server %d was told the keys %v, want k2 %d times", i, s.announced, want[i])
		}
		s.mu.Unlock()
	}
}

func TestCastsThatFindNoRoundShareOneLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, 1, popeye.First, nil)
		h.servers[0].is(hanging)
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if _, err := h.queue.Enqueue(t.Context(), cast(1, 100)); !errors.Is(err, popeye.ErrUnavailable) {
					t.Errorf("a cast before the polls are known got %v", err)
				}
			})
		}
		all.Wait()
		if h.servers[0].asked > 2 {
			t.Errorf("100 casts asked %d times for the catalog", h.servers[0].asked)
		}
	})
}

// run runs the queue; what it returns stops it.
func (h *house) run() (stop func()) {
	ctx, cancel := context.WithCancel(h.Context())
	ended := make(chan error)
	go func() { ended <- h.queue.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			h.Errorf("run: %v", err)
		}
	}
}

func TestCastWaitsForServersThatAreAwayForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, 3, popeye.First, func(c *quorum.Config) { c.Rest, c.Patience = 1, 2*time.Second })
		h.servers[0].is(broken)
		h.servers[1].is(broken)
		time.AfterFunc(time.Second, func() { h.servers[1].is(well) })
		began := time.Now()
		h.wantCast(cast(1, 100), popeye.Accepted, 1, 100)
		if took := time.Since(began); took < time.Second || took > 1500*time.Millisecond {
			t.Errorf("it took %s", took)
		}
		h.servers[1].is(broken)
		h.wantRefused(cast(2, 200), popeye.ErrUnavailable)
		h.wantStored()
	})
}

// One server that says nothing must not use up the time in which the others could be
// asked again.
func TestCastIsNotKeptFromServersThatAreBackByOneThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, 3, popeye.First, func(c *quorum.Config) {
			c.Rest, c.Timeout, c.Patience = 1, time.Second, 3*time.Second
		})
		h.wantCast(castOf(2, 1, 100), popeye.Accepted, 1, 100) // so the polls are known
		h.servers[0].is(hanging)
		h.servers[1].is(broken)
		time.AfterFunc(1200*time.Millisecond, func() { h.servers[1].is(well) })
		h.wantCast(cast(1, 100), popeye.Accepted, 1, 100)
	})
}

// A vote that may have reached a server is never said to be refused.
func TestCastThatIsTriedAgainWhenItsRoundIsClosedMayCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, 3, popeye.First, func(c *quorum.Config) { c.Rest, c.Patience = 1, 2*time.Second })
		h.servers[1].is(broken)
		h.servers[2].is(broken)
		time.AfterFunc(time.Second, func() {
			for _, s := range h.servers {
				s.publish(popeye.NewCatalog(h.version+1, []popeye.Definition{definition(popeye.First, popeye.Closed)}))
				s.is(closed)
			}
		})
		h.wantRefused(cast(1, 100), popeye.ErrUnavailable)
	})
}
