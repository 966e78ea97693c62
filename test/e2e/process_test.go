package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// launch says how to start a "popeye all".
type launch struct {
	// data is the data folder; empty means a new one.
	data string
	// listen is the address; empty means any free port of this machine.
	listen string
	// args come behind the others, env beside the usual variables.
	args, env []string
	// binary is what is started; empty means popeyeBinary.
	binary string
	// user, when not zero, is whose rights it has.
	user uint32
}

// process is a Popeye that was started, seen from outside.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	data string
	// base and ops are the URLs of its two ports, known once it serves.
	base, ops string
	out       bytes.Buffer
	log       journal
	// exited is closed when the process is gone. code is its exit code then, -1
	// after a signal.
	exited chan struct{}
	code   int
	// stopped: the test has ended it, and looked at its exit code.
	stopped bool
}

// start starts Popeye and waits until it serves. When the test ends it is
// stopped, and must stop as it should.
func (l launch) start(t *testing.T) *process {
	t.Helper()
	p := l.spawn(t)
	p.waitUntilServing()
	return p
}

// spawn starts Popeye and waits for nothing.
func (l launch) spawn(t *testing.T) *process {
	t.Helper()
	if l.data == "" {
		l.data = filepath.Join(t.TempDir(), "data")
	}
	if l.listen == "" {
		l.listen = "127.0.0.1:0"
	}
	args := append([]string{"all", "--data", l.data, "--listen", l.listen, "--ops-addr", "127.0.0.1:0"}, l.args...)
	p := command(t, l.binary, args, l.env)
	p.data = l.data
	if l.user != 0 {
		p.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: l.user, Gid: l.user}
	}
	p.begin()
	return p
}

// command prepares a process of Popeye with any arguments. It sees none of the
// environment of the tests, and no home of anybody.
func command(t *testing.T, binary string, args, env []string) *process {
	t.Helper()
	if binary == "" {
		binary = popeyeBinary
	}
	p := &process{t: t, exited: make(chan struct{}), log: journal{serving: make(chan serving, 1)}}
	p.cmd = exec.Command(binary, args...)
	p.cmd.Env = append([]string{"HOME=" + t.TempDir(), "GORACE=halt_on_error=1"}, env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.log
	p.cmd.SysProcAttr = ownGroup()
	return p
}

func (p *process) begin() {
	p.t.Helper()
	if err := p.cmd.Start(); err != nil {
		p.t.Fatalf("start Popeye: %v", err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in the process state
		p.code = p.cmd.ProcessState.ExitCode()
		close(p.exited)
	}()
	p.t.Cleanup(p.end)
}

func (p *process) waitUntilServing() {
	p.t.Helper()
	select {
	case s := <-p.log.serving:
		p.base, p.ops = "http://"+s.Addr, "http://"+s.OpsAddr
	case <-p.exited:
		p.stopped = true
		p.t.Fatalf("Popeye ended with %d before it served:\n%s", p.code, p.log.String())
	case <-time.After(patience):
		p.t.Fatalf("Popeye does not serve:\n%s", p.log.String())
	}
}

// end ends what a test has left running.
func (p *process) end() {
	if !p.stopped {
		p.stop()
	}
	// Whatever of its group is left. Mostly there is none, which is an error too.
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	if strings.Contains(p.log.String(), "DATA RACE") {
		p.t.Errorf("Popeye has a race:\n%s", p.log.String())
	}
}

// stop asks Popeye to end, and wants it to end well.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 {
		p.t.Errorf("Popeye was asked to end and ended with %d:\n%s", code, p.log.String())
	}
}

// kill ends Popeye as a power cut would, for all that it can notice.
func (p *process) kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	p.wait()
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Errorf("signal Popeye: %v", err)
	}
}

// wait waits until the process is gone and returns its exit code.
func (p *process) wait() int {
	p.t.Helper()
	p.stopped = true
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.t.Errorf("Popeye does not end:\n%s", p.log.String())
		_ = p.cmd.Process.Kill() // it may just have ended
		<-p.exited
	}
	return p.code
}

// port returns the address that it serves on.
func (p *process) port() string { return strings.TrimPrefix(p.base, "http://") }

// refuses reports whether Popeye takes no connections any more.
func (p *process) refuses() bool {
	conn, err := net.Dial("tcp", p.port())
	if err == nil {
		_ = conn.Close()
	}
	return err != nil
}

// serving is the log line that says where Popeye serves.
type serving struct {
	Msg     string
	Addr    string `json:"addr"`
	OpsAddr string `json:"ops_addr"`
}

// journal is a process's log, complete, and tells when the process serves.
type journal struct {
	serving chan serving

	mu   sync.Mutex
	text []byte
	read int
}

// Write takes any piece of the log.
func (j *journal) Write(piece []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.text = append(j.text, piece...)
	for {
		line, _, whole := bytes.Cut(j.text[j.read:], []byte("\n"))
		if !whole {
			return len(piece), nil
		}
		j.read += len(line) + 1
		var s serving
		if json.Unmarshal(line, &s) == nil && s.Msg == "serving" {
			j.serving <- s
		}
	}
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return string(j.text)
}

// ending is what a command that has ended leaves behind.
type ending struct {
	t           *testing.T
	code        int
	out, errors string
}

// popeye runs a command of Popeye to its end.
func popeye(t *testing.T, args ...string) ending {
	t.Helper()
	return popeyeWith(t, nil, "", args...)
}

// popeyeWith runs a command with variables and an input.
func popeyeWith(t *testing.T, env []string, input string, args ...string) ending {
	t.Helper()
	p := command(t, plainBinary, args, env)
	p.cmd.Stdin = io.NopCloser(strings.NewReader(input))
	p.begin()
	return p.ending()
}

// ending waits until the process is gone.
func (p *process) ending() ending {
	p.t.Helper()
	code := p.wait()
	return ending{p.t, code, p.out.String(), p.log.String()}
}

// want checks the exit code, and that stdout and stderr together hold some words.
func (e ending) want(code int, words ...string) ending {
	e.t.Helper()
	if e.code != code {
		e.t.Errorf("ended with %d, want %d:\n%s%s", e.code, code, e.out, e.errors)
	}
	for _, word := range words {
		// Help is wrapped to the width of a terminal.
		if !strings.Contains(strings.Join(strings.Fields(e.out+e.errors), " "), word) {
			e.t.Errorf("%q is missing in:\n%s%s", word, e.out, e.errors)
		}
	}
	return e
}
