package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"popeye/internal/app"
	"popeye/internal/config"
)

// house is a Popeye, or one role of it, that runs in this process, started as its
// command line would be.
type house struct {
	t    *testing.T
	data string
	base string
	ops  string
	// stdout is what was printed at the start, log what was logged until now.
	stdout, log func() string
	stop        func() int
}

// start starts "popeye all" on a data folder and waits until it serves.
func start(t *testing.T, data string) *house {
	t.Helper()
	h := startRole(t, nil, "all", "--data", data, "--listen", "127.0.0.1:0")
	h.data = data
	return h
}

// startRole starts a command that serves, and waits until it does.
func startRole(t *testing.T, env map[string]string, args ...string) *house {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	log := &announcement{serving: make(chan serving, 1), log: t.Output()}
	code := make(chan int, 1)
	var stdout bytes.Buffer
	go func() {
		code <- app.Run(ctx, app.Process{
			Args:   append(args, "--ops-addr", "127.0.0.1:0", "--log-format", "json"),
			Getenv: func(name string) string { return env[name] },
			Stdout: &stdout,
			Stderr: log,
		})
	}()
	// Nothing is printed any more once Popeye says that it serves.
	h := &house{t: t, stdout: stdout.String, log: log.String}
	h.stop = sync.OnceValue(func() int {
		cancel()
		return <-code
	})
	select {
	case s := <-log.serving:
		h.base, h.ops = "http://"+s.Addr, "http://"+s.OpsAddr
	case c := <-code:
		t.Fatalf("Popeye ended with %d before it served", c)
	}
	t.Cleanup(func() {
		if c := h.stop(); c != 0 {
			t.Errorf("Popeye ended with %d", c)
		}
	})
	return h
}

// serving is the log line that says where Popeye serves.
type serving struct {
	Msg     string
	Addr    string `json:"addr"`
	OpsAddr string `json:"ops_addr"`
}

// announcement is a log that tells when Popeye serves.
type announcement struct {
	mu      sync.Mutex
	serving chan serving
	log     io.Writer
	text    strings.Builder
}

// String returns what was logged until now.
func (a *announcement) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.text.String()
}

// Write takes one line of the log.
func (a *announcement) Write(line []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var s serving
	if err := json.Unmarshal(line, &s); err == nil && s.Msg == "serving" {
		a.serving <- s
	}
	a.text.Write(line)
	return a.log.Write(line)
}

// eventually polls for a fact that another part brings about.
func (h *house) eventually(fact string, holds func() bool) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 2*time.Minute)
	defer cancel()
	for !holds() {
		select {
		case <-ctx.Done():
			h.t.Fatalf("never: %s", fact)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// voter is a browser: it keeps cookies and does not follow redirects.
type voter struct {
	t    *testing.T
	base string
	http *http.Client
}

func (h *house) voter() *voter {
	h.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return &voter{t: h.t, base: h.base, http: &http.Client{
		Jar:           jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// reply is an answer, read to its end.
type reply struct {
	t      *testing.T
	status int
	header http.Header
	body   string
}

// do sends a request; headers come in pairs.
func (v *voter) do(method, path, body string, headers ...string) reply {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), method, v.base+path, strings.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := v.http.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return reply{v.t, response.StatusCode, response.Header, string(text)}
}

func (v *voter) get(path string) reply {
	v.t.Helper()
	return v.do(http.MethodGet, path, "")
}

// form casts by a form.
func (v *voter) form(path, body string, headers ...string) reply {
	v.t.Helper()
	return v.do(http.MethodPost, path, body, append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...)...)
}

// cast casts by the API.
func (v *voter) cast(poll, body string, headers ...string) reply {
	v.t.Helper()
	return v.do(http.MethodPost, "/api/v1/votes/"+poll, body, append([]string{"Content-Type", "application/json"}, headers...)...)
}

// member returns a member of the JSON answer.
func (r reply) member(name string) any {
	r.t.Helper()
	members := map[string]any{}
	if err := json.Unmarshal([]byte(r.body), &members); err != nil {
		r.t.Fatalf("%v in %q", err, r.body)
	}
	return members[name]
}

// stamp returns the stamp of the vote that stands.
func (r reply) stamp() int64 {
	r.t.Helper()
	var answer struct{ Stamp int64 }
	if err := json.Unmarshal([]byte(r.body), &answer); err != nil {
		r.t.Fatalf("%v in %q", err, r.body)
	}
	return answer.Stamp
}

func (r reply) want(status int) reply {
	r.t.Helper()
	if r.status != status {
		r.t.Errorf("got %d, want %d: %.500s", r.status, status, r.body)
	}
	return r
}

// result is a poll's result as a viewer gets it.
type result struct {
	State   string
	Version int64
	Total   int64
	Votes   map[string]int64
	Ledger  struct{ Accepted, Queued, Stored, Rejected int64 }
}

func (h *house) result(poll string) result {
	h.t.Helper()
	answer := h.voter().get("/api/v1/results/" + poll).want(200)
	var shown struct {
		result
		Options []struct {
			ID    string
			Votes int64
		}
	}
	if err := json.Unmarshal([]byte(answer.body), &shown); err != nil {
		h.t.Fatalf("%v in %s", err, answer.body)
	}
	shown.Votes = map[string]int64{}
	for _, o := range shown.Options {
		shown.Votes[o.ID] = o.Votes
	}
	return shown.result
}

// admin sends a request that bears the administration token.
func (h *house) admin(method, path, body string) reply {
	h.t.Helper()
	token, err := os.ReadFile(filepath.Join(h.data, config.AdminTokenName))
	if err != nil {
		h.t.Fatal(err)
	}
	return h.voter().do(method, "/admin/api/v1/polls"+path, body,
		"Authorization", "Bearer "+strings.TrimSpace(string(token)), "Content-Type", "application/json")
}

// define defines a poll p with options a, b, c and the given members.
func (h *house) define(members string) reply {
	h.t.Helper()
	return h.admin(http.MethodPost, "", `{"id":"p","question":"Which?","options":[{"id":"a"},{"id":"b"},{"id":"c"}]`+members+`}`)
}
