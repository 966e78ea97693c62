package compose

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"popeye/internal/app"
	"popeye/internal/lab"
	"popeye/internal/lab/labtest"
)

// patience bounds each wait for a fact.
const patience = time.Minute

// machine runs services of compose.yaml without containers: the same commands,
// files and secrets, at addresses and in folders of this machine.
type machine struct {
	t       *testing.T
	project *types.Project
	secrets string
	// dir is a folder that everybody can read, as what stands for containers'
	// folders is.
	dir string
	// places says where the addresses of compose.yaml are.
	places []string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	dir, err := os.MkdirTemp("", "popeye-compose-") //nolint:usetesting // unlike t.TempDir, the database's user may reach it
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
	return &machine{t: t, project: load(t), secrets: makeSecrets(t), dir: dir}
}

// here returns a text of a service with everything in it at its place here.
func (m *machine) here(service, text string) string {
	dir := filepath.Join(m.dir, service)
	return strings.NewReplacer(append([]string{
		secretsDir, m.secrets + "/", "/etc/popeye", dir, "/run/popeye", dir, "dir /data", "dir " + dir,
	}, m.places...)...).Replace(text)
}

// configure puts the configuration of a service where it finds it.
func (m *machine) configure(service string, more ...string) {
	m.t.Helper()
	if err := os.Mkdir(filepath.Join(m.dir, service), 0o755); err != nil {
		m.t.Fatal(err)
	}
	for _, c := range m.project.Services[service].Configs {
		content, err := os.ReadFile(m.project.Configs[c.Source].File)
		if err != nil {
			m.t.Fatal(err)
		}
		text := m.here(service, string(content))
		if strings.HasSuffix(c.Target, ".conf") {
			text += strings.Join(more, "\n")
		}
		if err := os.WriteFile(m.here(service, c.Target), []byte(text), 0o600); err != nil {
			m.t.Fatal(err)
		}
	}
}

// program returns the entrypoint of a service as a process.
func (m *machine) program(service string, ready func(context.Context) error) *lab.Process {
	m.t.Helper()
	s := m.project.Services[service]
	command := lab.Command{Path: s.Entrypoint[0], Ready: ready, Env: []string{"PATH=/usr/bin:/bin"}}
	for _, argument := range s.Entrypoint[1:] {
		command.Args = append(command.Args, m.here(service, argument))
	}
	for name, value := range s.Environment {
		command.Env = append(command.Env, name+"="+m.here(service, *value))
	}
	p, err := lab.NewProcess(command)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() {
		if err := p.Close(); err != nil {
			m.t.Error(err)
		}
	})
	return p
}

// redis starts a queue server.
func (m *machine) redis(service string) {
	m.t.Helper()
	port, err := lab.NewPort(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = port.Close() })
	m.places = append(m.places, service+":6379", port.Addr())
	m.configure(service, "bind 127.0.0.1", "port "+port.String())
	ready := func(ctx context.Context) error { return ping(ctx, port.Addr()) }
	if err := m.program(service, ready).Start(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
}

// ping does what the health check does.
func ping(ctx context.Context, addr string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	answer := make([]byte, 64)
	if _, err := conn.Write([]byte("AUTH probe -\r\nPING\r\n")); err != nil {
		return err
	}
	const want = "+OK\r\n+PONG\r\n"
	n, err := io.ReadAtLeast(conn, answer, len(want))
	if err == nil && string(answer[:n]) != want {
		err = fmt.Errorf("it answers %s", answer[:n])
	}
	return err
}

// postgres starts the database. It asks everybody but its superuser for a
// password.
func (m *machine) postgres() {
	m.t.Helper()
	rules := filepath.Join(m.dir, "pg_hba.conf")
	const text = "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
	if err := os.WriteFile(rules, []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
	server := labtest.Postgres(m.t, "fsync=off", "hba_file="+rules)
	if err := server.EnsureDatabase(m.t.Context(), "popeye"); err != nil {
		m.t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(server.Addr())
	if err != nil {
		m.t.Fatal(err)
	}
	m.places = append(m.places, "postgres:5432", server.Addr())
	for _, job := range []string{"roles", "rights"} {
		s := m.project.Services[job]
		s.Environment["PGHOST"], s.Environment["PGPORT"] = &host, &port
	}
}

// job runs one that ends.
func (m *machine) job(service string) {
	m.t.Helper()
	m.configure(service)
	p := m.program(service, nil)
	if err := errors.Join(p.Begin(m.t.Context()), p.Wait(m.t.Context())); err != nil {
		m.t.Fatalf("%s: %v\n%s", service, err, p.Log())
	}
}

// own runs a service of Popeye's until it ends or the test does, and returns
// where it listens, with what becomes its exit code.
func (m *machine) own(service string) (base string, ended <-chan int) {
	m.t.Helper()
	s := m.project.Services[service]
	var listen string
	args := arguments(s, m.secrets)
	for i := range args {
		args[i] = m.here(service, args[i])
		if flag, _, ok := strings.Cut(args[i], ":8080"); ok && flag == "--listen=" {
			listen = m.freeAddr()
			args[i] = flag + listen
		}
		if strings.HasPrefix(args[i], "--ops-addr=") {
			args[i] = "--ops-addr=127.0.0.1:0"
		}
	}
	var log lockedBuffer
	ctx, cancel := context.WithCancel(context.WithoutCancel(m.t.Context()))
	code, over := make(chan int, 1), make(chan struct{})
	go func() {
		defer close(over)
		code <- app.Run(ctx, app.Process{Args: args, Getenv: func(string) string { return "" }, Stdout: &log, Stderr: &log})
	}()
	m.t.Cleanup(func() {
		cancel()
		<-over
		if m.t.Failed() {
			m.t.Logf("%s:\n%s", service, log.String())
		}
	})
	return "http://" + listen, code
}

func (m *machine) freeAddr() string {
	m.t.Helper()
	port, err := lab.NewPort(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = port.Close() })
	return port.Addr()
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// insist tries until it works.
func insist(t *testing.T, try func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatal(err)
		}
	}
}

// call sends a request and reads the answer, which has to be a good one.
func call(method, url, body string, into any, headers ...string) error {
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("%s %s: %s", method, url, response.Status)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(into)
}

func TestPartsCanDoTheirJobsWithTheRightsThatTheyHave(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	for _, service := range []string{"redis-1", "redis-2", "redis-3"} {
		m.redis(service)
	}
	m.postgres()
	m.job("roles")
	_, ended := m.own("migrate")
	if code := <-ended; code != 0 {
		t.Fatalf("migrate ends with %d", code)
	}
	m.job("rights")
	poll, _ := m.own("poll-1")
	_, _ = m.own("worker-1")
	result, _ := m.own("result-1")
	admin, _ := m.own("admin")

	token, err := os.ReadFile(filepath.Join(m.secrets, "admin-token"))
	if err != nil {
		t.Fatal(err)
	}
	bearer := "Bearer " + strings.TrimSpace(string(token))
	const definition = `{"id": "tea", "question": "Tea?", "options": [{"id": "y"}, {"id": "n"}]}`
	insist(t, func() error {
		return call(http.MethodPost, admin+"/admin/api/v1/polls", definition, nil, "Authorization", bearer)
	})
	insist(t, func() error {
		return call(http.MethodPost, poll+"/api/v1/votes/tea", `{"choices": ["y"]}`, nil, "Idempotency-Key", "the-one-and-only-voter-of-this-test")
	})
	if err := call(http.MethodPatch, admin+"/admin/api/v1/polls/tea", `{"state": "closed"}`, nil, "Authorization", bearer); err != nil {
		t.Fatal(err)
	}
	insist(t, func() error {
		var shown struct {
			State string `json:"state"`
			Total int    `json:"total"`
		}
		err := call(http.MethodGet, result+"/api/v1/results/tea", "", &shown)
		if err == nil && (shown.State != "final" || shown.Total != 1) {
			err = fmt.Errorf("the result is %+v", shown)
		}
		return err
	})
}
