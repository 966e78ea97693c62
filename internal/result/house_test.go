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
	"slices"
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

	findings map[string]popeye.Finding // by receipt
	// receipts is the length of the final list. At its end it waits for pause, if
	// there is one, and fails with cut.
	receipts int
	pause    chan struct{}
	cut      error
	lag      time.Duration
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

// Find knows the receipts that the test has set.
func (s *table) Find(_ context.Context, receipt string) (popeye.Finding, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.findings[receipt]
	switch {
	case s.err != nil:
		return popeye.Finding{}, s.err
	case !ok:
		return popeye.Finding{}, popeye.ErrNotFound
	}
	return f, nil
}

// Receipts gives what the test has set, and then fails as it wants.
func (s *table) Receipts(ctx context.Context, poll string, do func(string) error) error {
	t, err := s.Tally(ctx, poll)
	if err != nil {
		return err
	}
	if t.State != popeye.Final {
		return fmt.Errorf("list the receipts of %s: not final yet: %w", poll, popeye.ErrExists)
	}
	for _, receipt := range receiptsOf(s.receipts) {
		if err := do(receipt); err != nil {
			return err
		}
	}
	if s.pause != nil {
		select {
		case <-s.pause:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return s.cut
}

// receiptsOf returns the final list of so many voters.
func receiptsOf(voters int) []string {
	var all []string
	for i := range voters {
		all = append(all, popeye.Voter{8: byte(i >> 8), 9: byte(i)}.Receipt())
	}
	slices.Sort(all)
	return all
}

func (s *table) Lag(context.Context) (time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lag, s.err
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

// newHouse returns a house whose role has read the poll, and hears the bell.
func newHouse(t *testing.T, change func(*result.Config)) *house {
	t.Helper()
	h := newStore(t).open(change)
	// The role hears the bell once a ring moves what it shows, and has shown before.
	h.get("/api/v1/results/p")
	h.eventually("the role listens", func() bool {
		h.set(func(t *popeye.Tally) { t.Version++ })
		return h.get("/api/v1/results/p").version() == h.version()
	})
	return h
}

// newStore returns a house that does not serve yet: a store, and its bell.
func newStore(t *testing.T) *house {
	t.Helper()
	poll := popeye.Poll{
		ID: "p", Question: "Which?",
		Options: []popeye.Option{{ID: "a"}, {ID: "b", Label: "=B"}},
	}
	first := popeye.Tally{
		Definition: popeye.Definition{Poll: poll.WithDefaults(), Round: 1, State: popeye.Open},
		Version:    1, Votes: []int64{0, 0},
	}
	return &house{t: t, store: &table{tallies: map[string]popeye.Tally{"p": first}}, bell: memory.NewBell()}
}

// open returns a house that serves from the store of h: another replica, as it
// were.
func (h *house) open(change func(*result.Config)) *house {
	t := h.t
	t.Helper()
	h = &house{t: t, store: h.store, bell: h.bell}
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
	return h
}

// fail makes the store fail with err, nil: work again.
func (h *house) fail(err error) {
	h.store.mu.Lock()
	defer h.store.mu.Unlock()
	h.store.err = err
}

// lag makes the store so far behind the queue.
func (h *house) lag(lag time.Duration) {
	h.store.mu.Lock()
	defer h.store.mu.Unlock()
	h.store.lag = lag
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

// ask sends a request with the headers, which come in pairs.
func (h *house) ask(method, path, body string, headers ...string) *http.Response {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), method, h.server.URL+path, strings.NewReader(body))
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
	return h.send(http.MethodGet, path, "", headers...)
}

// beginList asks for the list of receipts, to be read piece by piece.
func (h *house) beginList() io.Reader {
	h.t.Helper()
	response := h.ask(http.MethodGet, list, "")
	h.t.Cleanup(func() { _ = response.Body.Close() })
	return response.Body
}

// send sends a request and reads the answer to its end.
func (h *house) send(method, path, body string, headers ...string) answer {
	h.t.Helper()
	response := h.ask(method, path, body, headers...)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return answer{h.t, response.StatusCode, response.Header, string(text)}
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
	// opening is what came before the first frame.
	opening event
}

type event struct {
	name, id, retry, comment string
	result                   web.Result
}

func (h *house) watch(headers ...string) *viewer {
	h.t.Helper()
	response := h.ask(http.MethodGet, "/api/v1/results/p/stream", "", headers...)
	h.t.Cleanup(func() { _ = response.Body.Close() })
	if response.StatusCode != http.StatusOK {
		h.t.Fatalf("the stream answers %d", response.StatusCode)
	}
	if got := response.Header.Get("Content-Type"); got != "text/event-stream" {
		h.t.Fatalf("the stream is %s", got)
	}
	v := &viewer{t: h.t, response: response, lines: bufio.NewScanner(response.Body)}
	v.lines.Buffer(nil, 1<<20)
	var ok bool
	if v.opening, ok = v.next(); !ok || v.opening.retry == "" {
		h.t.Fatalf("the stream begins with %+v, %v; want its retry time", v.opening, ok)
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
