package result_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"popeye"
	"popeye/internal/result"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestViewerSeesTheResultAtOnceAndThenEachChange(t *testing.T) {
	h := newHouse(t, nil)
	v := h.watch()
	if got := v.frame(); got.Total != 0 {
		t.Fatalf("the first frame is %+v", got)
	}
	h.vote()
	if got := v.frame(); got.Total != 1 || got.Ledger.Stored != 1 {
		t.Errorf("after the first vote the frame is %+v", got)
	}
	h.vote()
	if got := v.frame(); got.Total != 2 {
		t.Errorf("after the second vote the frame is %+v", got)
	}
}

func TestNoFrameShowsAnOlderVersion(t *testing.T) {
	h := newHouse(t, nil)
	v := h.watch()
	last := v.frame().Version
	const votes = 200
	go func() {
		for range votes {
			h.vote()
		}
	}()
	for total := int64(0); total < votes; {
		got := v.frame()
		if got.Version <= last || got.Total < total {
			t.Fatalf("version %d, total %d came after version %d, total %d", got.Version, got.Total, last, total)
		}
		last, total = got.Version, got.Total
	}
}

func TestResultIsReadAgainOnlyWhenItsBellRang(t *testing.T) {
	h := newHouse(t, nil)
	h.vote()
	for range 10 {
		h.get("/api/v1/results/p")
	}
	before := h.reads()
	for range 10 {
		if got := h.get("/api/v1/results/p"); got.status != 200 {
			t.Errorf("got %d", got.status)
		}
	}
	if again := h.reads() - before; again != 0 {
		t.Errorf("ten requests read the store %d times", again)
	}
}

func TestUnchangedResultIsNotSentAgain(t *testing.T) {
	h := newHouse(t, nil)
	first := h.get("/api/v1/results/p")
	tag := first.header.Get("Etag")
	if again := h.get("/api/v1/results/p", "If-None-Match", `"0", W/`+tag); again.status != 304 || again.body != "" {
		t.Errorf("unchanged: %d %q", again.status, again.body)
	}
	h.vote()
	if changed := h.get("/api/v1/results/p", "If-None-Match", tag); changed.status != 200 || changed.header.Get("Etag") == tag {
		t.Errorf("changed: %d, tag %s", changed.status, changed.header.Get("Etag"))
	}
}

func TestSlowViewerSlowsNobody(t *testing.T) {
	h := newHouse(t, nil)
	// A viewer that never reads, with as little room as the system gives it.
	slow, err := (&net.Dialer{Control: smallBuffer}).DialContext(t.Context(), "tcp", h.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = slow.Close() }()
	fmt.Fprint(slow, "GET /api/v1/results/p/stream HTTP/1.1\r\nHost: x\r\n\r\n")
	// Frames of some 100 KiB, so that a few fill every buffer on the way.
	h.set(func(t *popeye.Tally) {
		t.Version++
		t.Options = nil
		for i := range 800 {
			t.Options = append(t.Options, popeye.Option{ID: fmt.Sprint(i), Label: strings.Repeat("x", 100)})
		}
		t.Votes = make([]int64, len(t.Options))
	})
	quick := h.watch()
	quick.frame()
	for want := int64(1); want <= 100; want++ {
		h.vote()
		if got := quick.frame(); got.Total != want {
			t.Fatalf("the quick viewer saw %d, want %d", got.Total, want)
		}
	}
}

func TestHiddenResultsStayHidden(t *testing.T) {
	h := newHouse(t, nil)
	all := []string{"/api/v1/results/p", "/api/v1/results/p/stream", "/r/p", "/r/p.csv", "/r/p.json"}
	for name, c := range map[string]struct {
		results popeye.Visibility
		state   popeye.State
		pass    bool
		shown   bool
	}{
		"after-vote, stranger":         {popeye.AfterVote, popeye.Open, false, false},
		"after-vote, closed, stranger": {popeye.AfterVote, popeye.Closed, false, true},
		"after-close, open":            {popeye.AfterClose, popeye.Open, true, false},
		"after-close, final":           {popeye.AfterClose, popeye.Final, false, true},
		"always":                       {popeye.Always, popeye.Open, false, true},
		"after-vote, voter":            {popeye.AfterVote, popeye.Open, true, true},
	} {
		h.set(func(t *popeye.Tally) {
			t.Results, t.State = c.results, c.state
			t.Votes, t.Total = []int64{4711, 0}, 4711
			t.Version++
		})
		var headers []string
		if c.pass {
			headers = []string{"Pass", "yes"}
		}
		for _, path := range all {
			if path == all[1] && c.shown {
				continue // it would not end
			}
			got := h.get(path, headers...)
			if shown := got.status == 200; shown != c.shown {
				t.Errorf("%s: %s answers %d", name, path, got.status)
			}
			if !c.shown && strings.Contains(got.body, "4711") {
				t.Errorf("%s: %s shows the result", name, path)
			}
		}
	}
}

func TestNewRoundAsksViewersForTheirPassAgain(t *testing.T) {
	h := newHouse(t, nil)
	h.set(func(t *popeye.Tally) { t.Results, t.Version = popeye.AfterVote, t.Version+1 })
	v := h.watch("Pass", "yes")
	v.frame()
	h.set(func(t *popeye.Tally) { t.Round, t.Version = 2, t.Version+1 })
	if e, ok := v.next(); ok {
		t.Errorf("a viewer of round 1 was sent %+v of round 2", e)
	}
}

func TestStoreThatIsAwayIsSaidAndHeals(t *testing.T) {
	h := newHouse(t, func(cfg *result.Config) {
		cfg.Heartbeat = time.Millisecond
		// A clock that is a minute later at every look, so that staleness shows.
		var minutes atomic.Int64
		cfg.Now = func() time.Time { return time.Unix(60*minutes.Add(1), 0) }
	})
	v := h.watch()
	known := v.frame()
	h.fail(errors.New("away"))
	h.ring()
	for {
		if e, ok := v.next(); !ok {
			t.Fatal("the stream ended")
		} else if strings.HasPrefix(e.comment, "stale ") {
			break
		}
	}
	if got := h.get("/api/v1/results/p"); got.status != 200 || got.version() != known.Version {
		t.Errorf("while the store is away: %d %s", got.status, got.body)
	}
	// It comes back with a change, and nobody rings.
	h.store.mu.Lock()
	h.store.err = nil
	back := h.store.tallies["p"]
	back.Version, back.Total = back.Version+1, 7
	h.store.tallies["p"] = back
	h.store.mu.Unlock()
	h.get("/api/v1/results/p") // and the publisher is not the first to see it
	for {
		if e, ok := v.next(); !ok {
			t.Fatal("the stream ended")
		} else if e.result.Total == 7 {
			return
		}
	}
}

func TestDeletedPollTellsItsViewers(t *testing.T) {
	h := newHouse(t, nil)
	v := h.watch()
	v.frame()
	h.store.mu.Lock()
	delete(h.store.tallies, "p")
	h.store.mu.Unlock()
	h.ring()
	if e, ok := v.next(); !ok || e.name != "gone" {
		t.Errorf("got %+v, %v; want that the poll is gone", e, ok)
	}
	if _, ok := v.next(); ok {
		t.Error("the stream goes on")
	}
	for _, path := range []string{"/api/v1/results/p", "/api/v1/results/p/stream", "/r/p", "/r/p.csv", "/r/p.xml"} {
		if got := h.get(path); got.status != 404 {
			t.Errorf("%s answers %d", path, got.status)
		}
	}
}

func TestViewersAreBounded(t *testing.T) {
	h := newHouse(t, func(cfg *result.Config) { cfg.MaxViewers = 1 })
	first := h.watch()
	first.frame()
	if got := h.get("/api/v1/results/p/stream"); got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("the second of one viewer got %d", got.status)
	}
	_ = first.response.Body.Close()
	h.eventually("the place of a viewer that left is free", func() bool {
		h.vote() // what is written to it tells that it has left
		r, err := http.NewRequestWithContext(t.Context(), http.MethodHead, h.server.URL+"/api/v1/results/p/stream", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := h.server.Client().Do(r)
		return err == nil && response.Body.Close() == nil && response.StatusCode == http.StatusOK
	})
}

func TestEndEndsTheStreamsWithTheLastChange(t *testing.T) {
	// The publisher pauses after the first change for longer than the test takes.
	h := newHouse(t, func(cfg *result.Config) { cfg.Interval = time.Hour })
	v := h.watch()
	v.frame()
	h.vote()
	v.frame()
	h.vote()
	h.vote()
	h.End()
	if got := v.frame(); got.Total != 3 {
		t.Errorf("the last frame has %d of 3 votes", got.Total)
	}
	if e, ok := v.next(); ok {
		t.Errorf("the stream went on with %+v", e)
	}
	if got := h.get("/api/v1/results/p/stream"); got.status != 503 {
		t.Errorf("a viewer who came after the end got %d", got.status)
	}
}

func TestExportsHoldTheResult(t *testing.T) {
	h := newHouse(t, nil)
	h.vote()
	csv := h.get("/r/p.csv")
	if csv.body != "option,label,votes\r\na,a,1\r\nb,'=B,0\r\n" || !strings.Contains(csv.header.Get("Content-Disposition"), `"p.csv"`) {
		t.Errorf("got %q, %v", csv.body, csv.header)
	}
	if got := h.get("/r/p.json"); got.version() != h.version() {
		t.Errorf("got %s", got.body)
	}
	if got := h.get("/r/p.xml"); got.status != 404 {
		t.Errorf("an unknown format got %d", got.status)
	}
}
