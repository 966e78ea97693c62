package result_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"popeye"
	"popeye/internal/result"
)

func TestDatabaseThatIsNotThereAtTheStartIsWaitedFor(t *testing.T) {
	h := newStore(t)
	h.fail(fmt.Errorf("dial 10.0.0.1: %w", popeye.ErrUnavailable))
	h = h.open(nil)
	for _, path := range []string{"/r/p", "/r/p.csv", "/r/p/receipts", "/api/v1/results/p", "/api/v1/results/p/stream", "/api/v1/results/p/receipts"} {
		got := h.get(path)
		if got.status != 503 || got.header.Get("Retry-After") == "" || !strings.Contains(got.body, "the database does not answer") {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
		if strings.Contains(got.body, "10.0.0.1") {
			t.Errorf("%s tells where the database is", path)
		}
	}
	h.eventually("what it waits for is said", func() bool {
		err := h.Ready()
		return err != nil && strings.Contains(err.Error(), "waiting for the database: dial 10.0.0.1")
	})
	h.fail(nil)
	if got := h.get("/api/v1/results/p"); got.status != 200 {
		t.Errorf("the database is there, and the result is %d %s", got.status, got.body)
	}
	h.eventually("it is ready", func() bool { return h.Ready() == nil })
}

// untilSaid reads events and comments until a comment says what is wanted.
func (v *viewer) untilSaid(want string) {
	v.t.Helper()
	for {
		e, ok := v.next()
		if !ok {
			v.t.Fatalf("the stream ended before it said %q", want)
		}
		if strings.HasPrefix(e.comment, want) {
			return
		}
	}
}

// No heartbeat comes in the time of this test.
func TestViewersAreToldAtOnceThatVotesAreMissing(t *testing.T) {
	h := newHouse(t, nil)
	v := h.watch()
	v.frame()
	h.lag(42 * time.Second)
	v.untilSaid("stale 4")
	if got := h.get("/api/v1/results/p"); !strings.HasPrefix(got.header.Get("Stale-For"), "4") {
		t.Errorf("the result is stale for %q s", got.header.Get("Stale-For"))
	}
	if page := h.get("/r/p"); !strings.Contains(page.body, "stale for 4") {
		t.Error("the page does not say so")
	}
	if late := h.watch(); !strings.HasPrefix(late.opening.comment, "stale 4") {
		t.Errorf("who comes now is told %q", late.opening.comment)
	}
	h.lag(0)
	v.untilSaid("fresh")
	if got := h.get("/api/v1/results/p").header.Values("Stale-For"); len(got) > 0 {
		t.Errorf("it is fresh, and stale for %s s", got)
	}
}

func TestDatabaseThatComesBackIsReadAtOnce(t *testing.T) {
	h := newHouse(t, nil)
	v := h.watch()
	v.frame()
	h.fail(popeye.ErrUnavailable)
	v.untilSaid("stale")
	// Votes are recorded, and nobody rings.
	h.store.mu.Lock()
	back := h.store.tallies["p"]
	back.Version, back.Total = back.Version+1, 7
	h.store.tallies["p"], h.store.err = back, nil
	h.store.mu.Unlock()
	for {
		e, ok := v.next()
		if !ok {
			t.Fatal("the stream ended")
		}
		if e.name == "results" && e.result.Total == 7 {
			break
		}
	}
	v.untilSaid("fresh")
}

func TestViewerWhoMissedTheLastChangeGetsItOnReturn(t *testing.T) {
	h := newHouse(t, nil)
	v := h.watch()
	before := v.frame()
	_ = v.response.Body.Close()
	h.vote()
	if got := h.watch().frame(); got.Version <= before.Version || got.Total != 1 {
		t.Errorf("saw %+v, and after coming back %+v", before, got)
	}
}

// A viewer is sent now to this replica and now to that one. Of the same version
// both show the same, and whoever is behind catches up by the bell.
func TestReplicasShowTheSameUnderTheSameVersion(t *testing.T) {
	one := newHouse(t, nil)
	two := one.open(nil)
	two.get("/api/v1/results/p")
	for range 20 {
		one.vote()
		first := one.get("/api/v1/results/p")
		two.eventually("the other replica shows it", func() bool {
			second := two.get("/api/v1/results/p", "If-None-Match", first.header.Get("Etag"))
			return second.status == 304
		})
		if second := two.get("/api/v1/results/p"); second.body != first.body {
			t.Errorf("one replica shows %s, the other %s", first.body, second.body)
		}
	}
}

// A replica that has heard of a change shows nothing older again, though the
// store that it reads does: a database that was restored, or a replica of it.
func TestStoreThatFallsBackMovesNothingBack(t *testing.T) {
	h := newHouse(t, func(cfg *result.Config) { cfg.Heartbeat = time.Millisecond })
	h.vote()
	v := h.watch()
	last := v.frame()
	h.store.mu.Lock()
	older := h.store.tallies["p"]
	older.Version, older.Total = older.Version-1, 0
	h.store.tallies["p"] = older
	h.store.mu.Unlock()
	h.ring()
	for range 100 { // heartbeats, each of which reads the store before
		if e, ok := v.next(); !ok || e.name != "" {
			t.Fatalf("after version %d came %+v, %v", last.Version, e, ok)
		}
	}
	if got := h.get("/api/v1/results/p"); got.version() != last.Version {
		t.Errorf("after version %d the result is %s", last.Version, got.body)
	}
}
