package load

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fake is the HTTP contract in memory, as far as casting and watching need it.
// Its hooks make it misbehave.
type fake struct {
	poll    string
	state   string
	hidden  bool
	min     int
	options []string
	// interval is the least time between two frames.
	interval time.Duration

	// before may answer the n-th request to cast (from 1) in place of the fake,
	// after the one whose vote was just counted. They report whether they did.
	before, after func(n int, w http.ResponseWriter, r *http.Request) bool
	// count says for which options the n-th vote is counted.
	count func(n int, chosen []int) []int

	mu       sync.Mutex
	requests int
	voters   map[string]bool
	votes    []int64
	total    int64
	version  int64
	changed  chan struct{}
	// gone ends the streams.
	gone chan struct{}
}

func newFake(options ...string) *fake {
	return &fake{
		poll: "cats-dogs", state: "open", min: 1, options: options,
		voters: map[string]bool{}, votes: make([]int64, len(options)), version: 1000, changed: make(chan struct{}),
		gone: make(chan struct{}),
	}
}

func (f *fake) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/polls", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]any{"polls": []any{f.definition()}})
	})
	mux.HandleFunc("GET /api/v1/polls/{poll}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("poll") != f.poll {
			http.NotFound(w, r)
			return
		}
		reply(w, f.definition())
	})
	mux.HandleFunc("GET /api/v1/results/{poll}", func(w http.ResponseWriter, _ *http.Request) {
		if f.hidden {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		result, _ := f.result()
		reply(w, result)
	})
	mux.HandleFunc("GET /api/v1/results/{poll}/stream", f.stream)
	mux.HandleFunc("POST /api/v1/votes/{poll}", f.cast)
	return mux
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func (f *fake) definition() map[string]any {
	options := []any{}
	for _, id := range f.options {
		options = append(options, map[string]any{"id": id, "label": id})
	}
	return map[string]any{"id": f.poll, "state": f.state, "min": f.min, "options": options}
}

// result returns the result, and a channel that is closed when there is another.
func (f *fake) result() (map[string]any, chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	options := []any{}
	for i, id := range f.options {
		options = append(options, map[string]any{"id": id, "votes": f.votes[i]})
	}
	ledger := map[string]any{"accepted": f.total, "queued": 0, "stored": f.total, "rejected": 0}
	return map[string]any{
		"poll": f.poll, "version": f.version, "total": f.total, "options": options, "ledger": ledger,
	}, f.changed
}

func (f *fake) stream(w http.ResponseWriter, r *http.Request) {
	flusher := http.NewResponseController(w)
	for {
		result, changed := f.result()
		text, _ := json.Marshal(result)
		fmt.Fprintf(w, ": comment\nevent: results\nid: %d\ndata: %s\n\n", result["version"], text)
		if flusher.Flush() != nil {
			return
		}
		select {
		case <-changed:
		case <-f.gone:
			return
		case <-r.Context().Done():
			return
		}
		select {
		case <-time.After(f.interval):
		case <-r.Context().Done():
			return
		}
	}
}

func (f *fake) cast(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.requests++
	n := f.requests
	f.mu.Unlock()
	if f.before != nil && f.before(n, w, r) {
		return
	}
	var body struct {
		Choices []string `json:"choices"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	status := f.enter(n, r.Header.Get("Idempotency-Key"), body.Choices)
	if f.after != nil && f.after(n, w, r) {
		return
	}
	w.WriteHeader(status)
	// Long enough to be sent in chunks.
	_, _ = io.WriteString(w, `{"status":"accepted","padding":"`+strings.Repeat("x", 4096)+`"}`)
}

func (f *fake) enter(n int, key string, ids []string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	var chosen []int
	for i, o := range f.options {
		for _, id := range ids {
			if id == o {
				chosen = append(chosen, i)
			}
		}
	}
	if len(chosen) != f.min || key == "" {
		return http.StatusUnprocessableEntity
	}
	if f.voters[key] {
		return http.StatusOK
	}
	f.voters[key] = true
	counted := chosen
	if f.count != nil {
		counted = f.count(n, chosen)
	}
	for _, option := range counted {
		f.votes[option]++
	}
	f.total += int64(len(counted) / f.min)
	f.version++
	close(f.changed)
	f.changed = make(chan struct{})
	return http.StatusCreated
}

// pipes is a network in memory, which works inside a synctest bubble.
type pipes struct {
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accept:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.accept <- there:
		return here, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serve serves f until the test ends, and returns how to get there.
func (f *fake) serve(t *testing.T) Config {
	t.Helper()
	return serveHandler(t, f.handler())
}

func serveHandler(t *testing.T, h http.Handler) Config {
	t.Helper()
	p := &pipes{accept: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: h}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(p) })
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		serving.Wait()
	})
	return Config{URL: "http://popeye.test", Votes: 100, Concurrency: 8, Dial: p.dial}
}

// drop breaks the connection without an answer.
func drop(http.ResponseWriter) { panic(http.ErrAbortHandler) }

func unavailable(w http.ResponseWriter, retryAfter int) {
	w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	w.WriteHeader(http.StatusServiceUnavailable)
}
