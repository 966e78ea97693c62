package pipeline_test

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"popeye/internal/lab"
	"popeye/internal/lab/labtest"
)

// role is a process of Popeye, of which a test can kill, pause and start again
// what it wants. No role may ever end by itself.
type role struct {
	*lab.Process
	t *testing.T
	// base and ops are the URLs of its two ports, the same at every start. A worker
	// serves on the second only, a command on none.
	base, ops string
	// store is how it reaches the database, nil where it does not.
	store *lab.Link
	// mayEnd: the test has ended it, or it is a command.
	mayEnd atomic.Bool
}

// newRole starts a role and waits for nothing.
func newRole(t *testing.T, store *lab.Link, name string, flags ...string) *role {
	t.Helper()
	r := &role{t: t, store: store}
	args := append([]string{name}, flags...)
	if name == "migrate" {
		r.mayEnd.Store(true)
	} else {
		ops := newPort(t)
		r.ops = "http://" + ops.Addr()
		args = append(args, "--ops-addr", ops.Addr())
	}
	if name == "poll" || name == "result" || name == "admin" {
		public := newPort(t)
		r.base = "http://" + public.Addr()
		args = append(args, "--listen", public.Addr())
	}
	r.Process = labtest.Process(t, lab.Command{Path: popeyeBinary, Args: args})
	if err := r.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !r.Running() && !r.mayEnd.Load() {
			t.Errorf("%s has ended:\n%s", name, r.Log())
		}
	})
	return r
}

func newPort(t *testing.T) *lab.Port {
	t.Helper()
	port, err := lab.NewPort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { labtest.Do(t, port.Close) })
	return port
}

// untilReady waits until the role says that it can do its work.
func (r *role) untilReady() {
	r.t.Helper()
	if err := r.Await(r.t.Context(), lab.ReadyAt(r.ops+"/readyz")); err != nil {
		r.t.Fatalf("it does not get ready: %v\n%s", err, r.Log())
	}
}

// ready returns what the role says of its readiness, empty when it is ready.
func (r *role) ready() string {
	r.t.Helper()
	status, text := r.ask("/readyz")
	if status == http.StatusOK {
		return ""
	}
	return text
}

// metric returns the sum of a metric over its labels.
func (r *role) metric(name string) (sum float64) {
	r.t.Helper()
	_, text := r.ask("/metrics")
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || !strings.ContainsAny(rest[:1], "{ ") {
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' '):]), 64)
		if err != nil {
			r.t.Fatalf("%q: %v", line, err)
		}
		sum += value
	}
	return sum
}

// ask gets an answer from the port for those who keep Popeye running, which is
// there as long as the role runs.
func (r *role) ask(path string) (status int, text string) {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.ops+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		return 0, err.Error() // it does not listen yet
	}
	defer func() { _ = response.Body.Close() }()
	all, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return response.StatusCode, string(all)
}

// kill ends the role as a power cut would, for all that it can notice.
func (r *role) kill() {
	r.t.Helper()
	r.mayEnd.Store(true)
	labtest.Do(r.t, r.Kill)
}

// stop asks the role to end, and wants it to end well.
func (r *role) stop() {
	r.t.Helper()
	r.mayEnd.Store(true)
	labtest.Do(r.t, r.Stop)
}

// begin starts the role again, and waits for nothing.
func (r *role) begin() {
	r.t.Helper()
	if err := r.Begin(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	r.mayEnd.Store(false)
}

// ends waits until a command has ended, and wants it to have ended well.
func (r *role) ends(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := r.Wait(ctx); err != nil {
		t.Fatalf("%v\n%s", err, r.Log())
	}
}
