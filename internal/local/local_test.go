package local_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"popeye/internal/lab"
	"popeye/internal/local"
)

// TestMain makes this binary a popeye too, of which nothing is real but the
// command line.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-test.") {
		os.Exit(bePopeye(os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}

// bePopeye says what it was started with, and answers every request with its
// role, until it is asked to end.
func bePopeye(args []string) int {
	fmt.Println(strings.Join(args, " "))
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, args[0])
	})}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	context.AfterFunc(ctx, func() { _ = server.Close() })
	var listeners []net.Listener // all of them before any is served: whoever is answered by one finds the others
	for i, flag := range args {
		if flag != "--listen" && flag != "--ops-addr" {
			continue
		}
		listener, err := net.Listen("tcp", args[i+1])
		if err != nil {
			fmt.Println(err)
			return 1
		}
		listeners = append(listeners, listener)
	}
	var serving errgroup.Group
	for _, listener := range listeners {
		serving.Go(func() error { return server.Serve(listener) })
	}
	if err := serving.Wait(); err != nil && !errors.Is(err, http.ErrServerClosed) {
		fmt.Println(err)
		return 1
	}
	return 0
}

// line is the first line that a part has written, which arrives a moment after it.
func line(t *testing.T, p *local.Part) string {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-time.After(time.Millisecond) {
		if first, _, ok := strings.Cut(p.Log(), "\n"); ok {
			return first
		}
	}
	t.Fatalf("%s has written nothing", p.Name)
	return ""
}

func config(t *testing.T) local.Config {
	t.Helper()
	dir, err := os.MkdirTemp("", "popeye-local-") //nolint:usetesting // unlike t.TempDir, the database's user may reach it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return local.Config{
		Binary: os.Args[0], Dir: dir, Servers: 3, Copies: 2, Linked: true,
		Replicas: map[local.Role]int{local.Poll: 2, local.Worker: 1, local.Result: 1, local.Admin: 1},
	}
}

func start(t *testing.T, cfg local.Config) *local.Setup {
	t.Helper()
	setup, err := local.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return setup
}

func do(t *testing.T, steps ...func() error) {
	t.Helper()
	for _, step := range steps {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRolesGetWhatTheyMayKnowAndNothingElse(t *testing.T) {
	t.Parallel()
	setup := start(t, config(t))
	defer do(t, setup.Close)
	var names []string
	for _, p := range setup.Parts() {
		names = append(names, p.Name)
	}
	want := []string{"redis-1", "redis-2", "redis-3", "postgres", "poll-1", "poll-2", "worker-1", "result-1", "admin-1"}
	if !slices.Equal(names, want) || setup.Part("poll-3") != nil {
		t.Errorf("the parts are %v", names)
	}
	for part, flags := range map[string][]string{
		"poll-2":   {"poll", "--queue", "--queue-copies 2", "--voter-key-file", "--cookie-key-file", "--listen", "--ops-addr"},
		"worker-1": {"worker", "--queue", "--queue-copies 2", "--database", "--ops-addr"},
		"result-1": {"result", "--database", "--cookie-key-file", "--listen", "--ops-addr"},
		"admin-1":  {"admin", "--database", "--admin-token-file", "--listen", "--ops-addr"},
	} {
		line := line(t, setup.Part(part))
		for _, flag := range flags {
			if !strings.Contains(line, flag) {
				t.Errorf("%s is started without %s: %s", part, flag, line)
			}
		}
		for _, flag := range []string{"--queue", "--database", "--voter-key-file", "--cookie-key-file", "--admin-token-file", "--listen"} {
			if !slices.Contains(flags, flag) && strings.Contains(line, flag) {
				t.Errorf("%s is started with %s: %s", part, flag, line)
			}
		}
	}
	if urls := setup.URLs(local.Poll); len(urls) != 2 || urls[0] == urls[1] || setup.Token == "" {
		t.Errorf("poll serves at %v, the token has %d characters", urls, len(setup.Token))
	}
}

func TestPartsBreakAndComeBack(t *testing.T) {
	t.Parallel()
	setup := start(t, config(t))
	defer do(t, setup.Close)
	again := func(p *local.Part) func() error { return func() error { return p.Start(t.Context()) } }
	redis, postgres, poll := setup.Part("redis-1"), setup.Part("postgres"), setup.Part("poll-1")
	do(t, redis.Wipe, again(redis), postgres.Kill, again(postgres), poll.Pause, poll.Resume, poll.Stop)
	if poll.Running() {
		t.Error("what was stopped runs")
	}
	if err := setup.AwaitReady(t.Context()); err == nil || !strings.Contains(err.Error(), "poll-1") {
		t.Errorf("with poll-1 ended, waiting says %v", err)
	}
	do(t, again(poll), func() error { return setup.AwaitReady(t.Context()) })
	do(t, redis.Link().Cut, postgres.Link().Freeze, postgres.Link().Mend)
	if poll.Link() != nil || postgres.Wipe() == nil {
		t.Error("poll has a link, or postgres a disk that can be lost")
	}
}

func TestSetupGoesOnWithItsData(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.Linked = false
	first := start(t, cfg)
	do(t, first.Close)
	second := start(t, cfg)
	defer do(t, second.Close)
	if first.Token != second.Token {
		t.Error("the token is another one")
	}
	queue := func(s *local.Setup) string {
		_, flags, _ := strings.Cut(line(t, s.Part("poll-1")), "--queue ")
		return flags[:strings.Index(flags, "--queue-copies")]
	}
	if queue(first) != queue(second) {
		t.Errorf("the queue servers are %s, and then %s", queue(first), queue(second))
	}
}

func TestStartThatFailsLeavesNothingRunning(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.Binary = "/bin/false"
	if setup, err := local.Start(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "popeye migrate") {
		t.Errorf("%v, %v", setup, err)
	}
	// Its data is not held by anybody any more.
	server, err := lab.StartPostgres(t.Context(), lab.PostgresConfig{Dir: cfg.Dir + "/postgres"})
	if err != nil {
		t.Fatal(err)
	}
	do(t, server.Close)
}

func TestEdgeSendsEachAddressToItsRole(t *testing.T) {
	t.Parallel()
	setup := start(t, config(t))
	defer do(t, setup.Close)
	edge, err := setup.Edge()
	if err != nil {
		t.Fatal(err)
	}
	answer := func(path string) string {
		w := httptest.NewRecorder()
		edge.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader("vote=a")))
		return w.Body.String()
	}
	for path, want := range map[string]string{
		"/": "poll", "/p/cats": "poll", "/api/v1/polls": "poll", "/api/v1/votes/cats": "poll", "/results": "poll",
		"/r": "result", "/r/cats": "result", "/api/v1/results/cats/stream": "result", "/api/v1/receipts/AAAA": "result",
		"/admin/api/v1/polls": "admin",
	} {
		if got := answer(path); got != want {
			t.Errorf("%s is answered by %q, want %s", path, got, want)
		}
	}
	do(t, setup.Part("poll-1").Stop)
	// A new one, that knows no connection to what is gone: such a request may have
	// been answered, and is not repeated.
	if edge, err = setup.Edge(); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		if got := answer("/p/cats"); got != "poll" {
			t.Errorf("with one of two processes gone, the answer is %q", got)
		}
	}
}
