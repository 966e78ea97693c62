package result_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"popeye"
	"popeye/internal/memory"
	"popeye/internal/result"
	"popeye/internal/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// table is a store of tallies that a test sets.
type table struct {
	mu      sync.Mutex
	tallies map[string]popeye.Tally
	err     error
	reads   int
}

func (s *table) Tally(_ context.Context, poll string) (popeye.Tally, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	t, ok := s.tallies[poll]
	switch {
	case s.err != nil:
		return popeye.Tally{}, s.err
	case !ok:
		return popeye.Tally{}, popeye.ErrNotFound
	}
	return t, nil
}

// passes lets everybody in who shows the header Pass.
type passes struct{}

func (passes) HasPass(r *http.Request, _ *popeye.Definition) bool { return r.Header.Get("Pass") != "" }

// house is a result role that serves one poll, "p".
type house struct {
	*result.Result

	t      *testing.T
	store  *table
	bell   *memory.Bell
	server *httptest.Server
}

func newHouse(t *testing.T, change func(*result.Config)) *house {
	t.Helper()
	poll := popeye.Poll{
		ID: "p", Question: "Which?",
		Options: []popeye.Option{{ID: "a"}, {ID: "b", Label: "=B"}},
	}
	first := popeye.Tally{
		Definition: popeye.Definition{Poll: poll.WithDefaults(), Round: 1, State: popeye.Open},
		Version:    1, Votes: []int64{0, 0},
	}
	h := &house{t: t, store: &table{tallies: map[string]popeye.Tally{"p": first}}, bell: memory.NewBell()}
	pages, err := web.NewPages()
	if err != nil {
		t.Fatal(err)
	}
	cfg := result.Config{
		Store: h.store, Bell: h.bell, Passes: passes{}, Pages: pages, MaxViewers: 100,
		Interval: time.Millisecond, Heartbeat: time.Hour, WriteTimeout: time.Minute,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Metrics: prometheus.NewRegistry(), Now: time.Now,
	}
	if change != nil {
		change(&cfg)
	}
	h.Result = result.New(cfg)
	h.server = httptest.NewServer(h.Result)
	ctx, stop := context.WithCancel(context.Background())
	listening := make(chan error, 1)
	go func() { listening <- h.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-listening; err != nil {
			t.Error(err)
		}
		h.End()
		h.server.Close()
	})
	// The role hears the bell once a ring moves what it shows.
	h.eventually("the role listens", func() bool {
		h.set(func(t *popeye.Tally) { t.Version++ })
		return h.get("/api/v1/results/p").version() == h.version()
	})
	return h
}

func (h *house) reads() int {
	h.store.mu.Lock()
	defer h.store.mu.Unlock()
	return h.store.reads
}

func (h *house) version() int64 {
	h.store.mu.Lock()
	defer h.store.mu.Unlock()
	return h.store.tallies["p"].Version
}

// set changes the tally and rings.
func (h *house) set(change func(*popeye.Tally)) {
	h.store.mu.Lock()
	t := h.store.tallies["p"]
	t.Votes = append([]int64{}, t.Votes...)
	change(&t)
	h.store.tallies["p"] = t
	h.store.mu.Unlock()
	h.ring()
}

func (h *house) vote() {
	h.set(func(t *popeye.Tally) {
		t.Votes[0]++
		t.Total++
		t.Version++
		t.Ledger.Accepted++
		t.Ledger.Stored++
	})
}

func (h *house) ring() {
	if err := h.bell.Ring(context.Background(), "p"); err != nil {
		h.t.Error(err)
	}
}

// eventually polls for a fact that something else brings about.
func (h *house) eventually(fact string, holds func() bool) {
	h.t.Helper()
	deadline := time.After(30 * time.Second)
	for !holds() {
		select {
		case <-deadline:
			h.t.Fatalf("never: %s", fact)
		case <-time.After(time.Millisecond):
		}
	}
}

type answer struct {
	t      *testing.T
	status int
	header http.Header
	body   string
}

func (h *house) get(path string, headers ...string) answer {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, h.server.URL+path, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := h.server.Client().Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return answer{h.t, response.StatusCode, response.Header, string(body)}
}

func (a answer) version() int64 {
	var shown web.Result
	if err := json.Unmarshal([]byte(a.body), &shown); err != nil {
		a.t.Fatalf("%v in %s", err, a.body)
	}
	return shown.Version
}

// viewer reads a stream event by event.
type viewer struct {
	t        *testing.T
	response *http.Response
	lines    *bufio.Scanner
}

type event struct {
	name, id, retry, comment string
	result                   web.Result
}

func (h *house) watch(headers ...string) *viewer {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, h.server.URL+"/api/v1/results/p/stream", nil)
	if err != nil {
		h.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := h.server.Client().Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = response.Body.Close() })
	if response.StatusCode != http.StatusOK {
		h.t.Fatalf("the stream answers %d", response.StatusCode)
	}
	if got := response.Header.Get("Content-Type"); got != "text/event-stream" {
		h.t.Fatalf("the stream is %s", got)
	}
	v := &viewer{t: h.t, response: response, lines: bufio.NewScanner(response.Body)}
	v.lines.Buffer(nil, 1<<20)
	if e, ok := v.next(); !ok || e.retry == "" {
		h.t.Fatalf("the stream begins with %+v, %v; want its retry time", e, ok)
	}
	return v
}

// next returns the next event or comment, and false at the end of the stream.
func (v *viewer) next() (event, bool) {
	v.t.Helper()
	var e event
	for v.lines.Scan() {
		field, value, _ := strings.Cut(v.lines.Text(), ": ")
		switch field {
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "retry":
			e.retry = value
		case "data":
			if err := json.Unmarshal([]byte(value), &e.result); err != nil {
				v.t.Fatalf("%v in %s", err, value)
			}
			e.result.Options = nil
		case "":
			if value == "" {
				return e, true
			}
			e.comment = value
		}
	}
	return event{}, false
}

func (v *viewer) frame() web.Result {
	v.t.Helper()
	e, ok := v.next()
	if !ok || e.name != "results" || e.id != fmt.Sprint(e.result.Version) {
		v.t.Fatalf("got %+v, %v; want a result", e, ok)
	}
	return e.result
}

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
	h.store.mu.Lock()
	h.store.err = errors.New("away")
	h.store.mu.Unlock()
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
	h.store.mu.Lock()
	h.store.err = nil
	h.store.mu.Unlock()
	h.set(func(t *popeye.Tally) { t.Version, t.Total = t.Version+1, 7 })
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
		return err == nil && response.Body.Close() == nil && response.StatusCode == 200
	})
}

func TestEndEndsTheStreams(t *testing.T) {
	h := newHouse(t, nil)
	v := h.watch()
	v.frame()
	h.End()
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
