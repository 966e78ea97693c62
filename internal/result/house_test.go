package result_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"popeye"
	"popeye/internal/memory"
	"popeye/internal/result"
	"popeye/internal/web"
)

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
	// The role hears the bell once a ring moves what it shows, and has shown before.
	h.get("/api/v1/results/p")
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

// ask sends a GET with the headers, which come in pairs.
func (h *house) ask(path string, headers []string) *http.Response {
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
	return response
}

func (h *house) get(path string, headers ...string) answer {
	h.t.Helper()
	response := h.ask(path, headers)
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
	response := h.ask("/api/v1/results/p/stream", headers)
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
