package app_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"popeye"
	"popeye/internal/app"
	"popeye/internal/lab"
	"popeye/internal/lab/labtest"
	"popeye/internal/redis"
)

const (
	firstKey   = "the first voter key, of 32 bytes or more"
	secondKey  = "the second voter key, of 32 bytes or more"
	adminToken = "a token for tests"
)

// fleet is a distributed Popeye whose roles run in this process.
type fleet struct {
	t      *testing.T
	dsn    string
	queues []string
	// The files that the roles are given.
	voterKeys, token string

	poll, worker, result, admin *house
	// voters is how many have cast.
	voters int
}

// newFleet returns a fleet without roles, on a database and queue servers that
// need not be there yet.
func newFleet(t *testing.T, dsn string, servers ...*lab.Redis) *fleet {
	t.Helper()
	f := &fleet{
		t: t, dsn: dsn,
		voterKeys: write(t, filepath.Join(t.TempDir(), "voter.keys"), firstKey+"\n"),
		token:     write(t, filepath.Join(t.TempDir(), "token"), adminToken),
	}
	for _, s := range servers {
		f.queues = append(f.queues, s.URL())
	}
	return f
}

// startFleet starts all roles on parts that are there, and waits until they are
// ready.
func startFleet(t *testing.T, dsn string, servers ...*lab.Redis) *fleet {
	t.Helper()
	f := newFleet(t, dsn, servers...)
	f.command("migrate", "--database", dsn).want(0, "up to date")
	f.startAll()
	f.allReady()
	return f
}

func (f *fleet) startAll() {
	f.t.Helper()
	f.poll, f.worker, f.result, f.admin = f.startPoll(), f.startWorker(), f.startResult(), f.startAdmin()
}

func (f *fleet) startPoll() *house {
	f.t.Helper()
	return startRole(f.t, f.queueEnv(), "poll", "--listen", "127.0.0.1:0", "--voter-key-file", f.voterKeys)
}

func (f *fleet) startWorker() *house {
	f.t.Helper()
	env := f.queueEnv()
	env["POPEYE_DATABASE"] = f.dsn
	return startRole(f.t, env, "worker")
}

func (f *fleet) startResult() *house {
	f.t.Helper()
	return startRole(f.t, nil, "result", "--listen", "127.0.0.1:0", "--database", f.dsn)
}

func (f *fleet) startAdmin() *house {
	f.t.Helper()
	return startRole(f.t, nil, "admin", "--listen", "127.0.0.1:0", "--database", f.dsn, "--admin-token-file", f.token)
}

func (f *fleet) queueEnv() map[string]string {
	return map[string]string{"POPEYE_QUEUE": strings.Join(f.queues, ",")}
}

func (f *fleet) allReady() {
	f.t.Helper()
	for _, h := range []*house{f.poll, f.worker, f.result, f.admin} {
		h.eventually("a role is ready", func() bool { return h.ready().status == http.StatusOK })
	}
}

// ready asks the role whether it is ready.
func (h *house) ready() reply {
	h.t.Helper()
	v := h.voter()
	v.base = h.ops
	return v.get("/readyz")
}

// ending is how a command ended, and what it said.
type ending struct {
	t    *testing.T
	code int
	said string
}

// command runs a command that ends by itself.
func command(t *testing.T, stdin string, env map[string]string, args ...string) ending {
	t.Helper()
	var said bytes.Buffer
	code := app.Run(t.Context(), app.Process{
		Args: args, Getenv: func(name string) string { return env[name] },
		Stdin: strings.NewReader(stdin), Stdout: &said, Stderr: &said,
	})
	return ending{t, code, said.String()}
}

func (f *fleet) command(args ...string) ending {
	f.t.Helper()
	return command(f.t, "", nil, args...)
}

// organise runs a command of an organiser.
func (f *fleet) organise(stdin string, args ...string) ending {
	f.t.Helper()
	return command(f.t, stdin, map[string]string{"POPEYE_SERVER": f.admin.base, "POPEYE_TOKEN_FILE": f.token}, args...)
}

func (e ending) want(code int, words ...string) ending {
	e.t.Helper()
	if e.code != code {
		e.t.Fatalf("it ended with %d, want %d: %s", e.code, code, e.said)
	}
	for _, word := range words {
		if !strings.Contains(e.said, word) {
			e.t.Errorf("it does not say %q: %s", word, e.said)
		}
	}
	return e
}

const which = `polls: [{id: p, question: "Which?", options: [{id: a}, {id: b}]}]`

// apply defines the poll p and waits until poll and result know it.
func (f *fleet) apply() {
	f.t.Helper()
	f.organise(which, "polls", "apply", "-f", "-").want(0, "p: ")
	f.poll.eventually("poll knows the poll", func() bool { return f.poll.voter().get("/p/p").status == http.StatusOK })
	f.result.eventually("result knows the poll", func() bool {
		return f.result.voter().get("/api/v1/results/p").status == http.StatusOK
	})
}

// counted waits until the result shows that many votes.
func (f *fleet) counted(total int64) {
	f.t.Helper()
	f.result.eventually("the votes are counted", func() bool { return f.result.result("p").Total >= total })
	if got := f.result.result("p"); got.Total != total || got.Ledger.Stored < total {
		f.t.Errorf("%d voters were acknowledged, the result is %+v", total, got)
	}
}

// cast casts votes of as many new voters, which must be acknowledged.
func (f *fleet) cast(poll *house, votes int) {
	f.t.Helper()
	for i := range votes {
		f.castOne(poll, string("ab"[i%2]))
	}
}

// castOne casts the vote of a new voter, again and again under the same key while it
// may not be stored: then it is one vote, however often it was sent.
func (f *fleet) castOne(poll *house, choice string) (got reply) {
	f.t.Helper()
	f.voters++
	key := fmt.Sprintf("voter %d", f.voters)
	poll.eventually("a vote is taken", func() bool {
		got = poll.voter().cast("p", `{"choices":["`+choice+`"]}`, "Idempotency-Key", key)
		return got.status != http.StatusServiceUnavailable
	})
	if got.status/100 != 2 {
		f.t.Fatalf("a vote is answered %d %s", got.status, got.body)
	}
	return got
}

// verified runs popeye verify on database and queue.
func (f *fleet) verified(args ...string) ending {
	f.t.Helper()
	return f.command(append([]string{"verify", "--database", f.dsn, "--queue", strings.Join(f.queues, ",")}, args...)...)
}

// first returns the first event of a stream.
func (h *house) first(path string) string {
	h.t.Helper()
	ctx, cancel := context.WithCancel(h.t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, h.base+path, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	buffer := make([]byte, 4096)
	n, err := response.Body.Read(buffer)
	if err != nil && err != io.EOF { //nolint:errorlint // what Read returns, as it is documented
		h.t.Fatal(err)
	}
	return string(buffer[:n])
}

// server returns a queue server as the roles see it.
func (f *fleet) server(r *lab.Redis) *redis.Server {
	f.t.Helper()
	s, err := redis.Open(redis.Config{Place: r.Addr()})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(s.Shutdown)
	return s
}

// published returns the polls that a queue server knows.
func (f *fleet) published(r *lab.Redis) *popeye.Catalog {
	f.t.Helper()
	c, err := f.server(r).Catalog(f.t.Context(), 0)
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

// redisOf starts n queue servers.
func redisOf(t *testing.T, n int) []*lab.Redis {
	t.Helper()
	servers := make([]*lab.Redis, n)
	for i := range servers {
		servers[i] = labtest.Redis(t)
	}
	return servers
}
