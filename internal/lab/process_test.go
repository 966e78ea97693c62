package lab_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"popeye/internal/lab"
)

func newProcess(t *testing.T, c lab.Command) *lab.Process {
	t.Helper()
	p, err := lab.NewProcess(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { do(t, p.Close) })
	return p
}

// echoProcess serves an echo in a process of its own.
func echoProcess(t *testing.T, port *lab.Port) *lab.Process {
	t.Helper()
	p := newProcess(t, lab.Command{
		Path: os.Args[0], Args: []string{helperArg, port.Addr()}, Env: []string{"GREETING=hello"},
		LogFile: filepath.Join(t.TempDir(), "log"),
		Ready: func(ctx context.Context) error {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", port.Addr())
			if err != nil {
				return err
			}
			return conn.Close()
		},
	})
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestStartWaitsUntilReadyAndKeepsTheLogOfEveryRun(t *testing.T) {
	t.Parallel()
	port := newPort(t)
	p := echoProcess(t, port)
	c := call(t, port.Addr())
	c.say("hello")
	c.hear("hello")
	if err := p.Start(t.Context()); err == nil {
		t.Error("what runs can be started once more")
	}
	do(t, p.Kill, p.Kill)
	c.hearEnd()
	if p.Running() {
		t.Error("what was killed runs")
	}
	do(t, func() error { return p.Start(t.Context()) })
	const want = "serving hello\nserving hello\n"
	for deadline := time.Now().Add(patience); p.Log() != want && time.Now().Before(deadline); {
		<-time.After(time.Millisecond) // what it has written takes a moment to arrive
	}
	file, err := os.ReadFile(p.LogFile)
	if err != nil || p.Log() != want || string(file) != want {
		t.Errorf("the log is %q, its file %q, %v; want %q", p.Log(), file, err, want)
	}
}

func TestProcessSeesNoEnvironmentButItsOwn(t *testing.T) {
	t.Setenv("LEAK", "yes")
	p := newProcess(t, lab.Command{Path: "env"})
	do(t, func() error { return p.Begin(t.Context()) }, func() error { return p.Wait(t.Context()) })
	if p.Log() != "" {
		t.Errorf("it sees %q", p.Log())
	}
}

func TestStartOfWhatEndsFailsWithItsLog(t *testing.T) {
	t.Parallel()
	p := newProcess(t, lab.Command{
		Path: "/bin/sh", Args: []string{"-c", "echo no such luck; exit 3"},
		Ready: func(context.Context) error { return errors.New("not ready") },
	})
	if err := p.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "no such luck") || p.Running() {
		t.Errorf("the start says %v", err)
	}
	var exit *exec.ExitError
	if err := p.Wait(t.Context()); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("it ended with %v, want exit code 3", err)
	}
	missing := newProcess(t, lab.Command{Path: "/no/such/program"})
	if err := missing.Start(t.Context()); err == nil {
		t.Error("what does not exist was started")
	}
}

func TestStartThatIsGivenUpLeavesNothingRunning(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	p := newProcess(t, lab.Command{Path: "sleep", Args: []string{"600"}, Ready: func(context.Context) error {
		cancel()
		return errors.New("not ready")
	}})
	if err := p.Start(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("the start says %v", err)
	}
	if p.Running() {
		t.Error("it runs")
	}
}

func TestStopAsksAndTellsHowItEnded(t *testing.T) {
	t.Parallel()
	// It starts nothing: a shell that waits for the exec of what it starts stands
	// still only as long as that does.
	const script = `trap 'echo bye; exit %' TERM; echo ready; while :; do :; done`
	start := func(code string) *lab.Process {
		p := newProcess(t, lab.Command{Path: "/bin/sh", Args: []string{"-c", strings.Replace(script, "%", code, 1)}})
		p.Ready = func(context.Context) error {
			if p.Log() == "" {
				return errors.New("it has not said that it is ready")
			}
			return nil
		}
		do(t, func() error { return p.Start(t.Context()) })
		return p
	}
	good, bad := start("0"), start("4")
	do(t, good.Pause, good.Stop, good.Stop) // a paused one goes on in order to end
	if !strings.Contains(good.Log(), "bye") {
		t.Errorf("its log is %q", good.Log())
	}
	if err := bad.Stop(); err == nil || !strings.Contains(err.Error(), "4") {
		t.Errorf("an end with code 4 is told as %v", err)
	}
}

func TestPausedProcessStandsStillAndGoesOn(t *testing.T) {
	t.Parallel()
	port := newPort(t)
	p := echoProcess(t, port)
	c := call(t, port.Addr())
	do(t, p.Pause)
	c.say("one")
	c.hearNothing()
	if !p.Running() {
		t.Error("a paused process counts as ended")
	}
	do(t, p.Resume)
	c.hear("one")
	do(t, p.Pause, p.Kill)
	c.hearEnd()
}

func TestKillReachesWhatTheProcessHasStarted(t *testing.T) {
	t.Parallel()
	port := newPort(t)
	// setsid gives the child a session and a group of its own, as postgres does.
	p := newProcess(t, lab.Command{
		Path: "/bin/sh", Args: []string{"-c", "setsid " + os.Args[0] + " " + helperArg + " " + port.Addr() + " & wait"},
		Env: []string{"PATH=/usr/bin:/bin"},
	})
	p.Ready = serving(p)
	do(t, func() error { return p.Start(t.Context()) }, p.Pause)
	c := call(t, port.Addr())
	c.say("one")
	c.hearNothing()
	do(t, p.Resume)
	c.hear("one")
	do(t, p.Kill)
	if !refuses(port.Addr()) {
		t.Error("the child serves on")
	}
}

func TestReadyAtWaitsFor200(t *testing.T) {
	t.Parallel()
	var ready atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !ready.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	fact := lab.ReadyAt(server.URL)
	if err := fact(t.Context()); err == nil {
		t.Error("503 is taken for ready")
	}
	ready.Store(true)
	for deadline := time.Now().Add(patience); ; { // each time it is asked for a moment only
		err := fact(t.Context())
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	server.Close()
	if err := fact(t.Context()); err == nil {
		t.Error("a server that is gone is taken for ready")
	}
}

func TestPortsAreGivenToOneOnly(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 100 {
		port := newPort(t)
		if seen[port.Addr()] || !strings.HasPrefix(port.Addr(), "127.0.0.1:") {
			t.Fatalf("%s is given twice, or not of this machine", port.Addr())
		}
		seen[port.Addr()] = true
	}
	port := newPort(t)
	number, err := strconv.Atoi(port.String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lab.TakePort(t.Context(), number); err == nil {
		t.Error("a port that somebody has was given once more")
	}
}
