package lab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	// startLimit bounds the wait for a process to be ready.
	startLimit = time.Minute
	// stopGrace is how long a process may take to end by itself.
	stopGrace = 30 * time.Second
	// outputDelay bounds the wait for what a process that is gone has written.
	outputDelay = 5 * time.Second
)

// Account is whose rights a process has.
type Account struct{ UID, GID uint32 }

// Command says what to start.
type Command struct {
	// Path is the program; a name without a slash is looked for in PATH.
	Path string
	Args []string
	// Env is the whole environment that it sees.
	Env []string
	// LogFile is where its output goes to, up to 64 MiB a process. Empty: nowhere.
	LogFile string
	// Account is whose rights it gets, which takes those of root. Nil: ours.
	Account *Account
	// Ready says nil once the process is ready. Nil: it is at once.
	Ready func(context.Context) error
	// Quit asks it to end by itself. Nil: SIGTERM.
	Quit os.Signal
}

// Process is a program that can be started, broken and started again. Its
// methods may be used by several goroutines at the same time.
type Process struct {
	Command
	log *log

	mu sync.Mutex
	// child is the run under way or the last one, nil before the first.
	child *child
}

// NewProcess returns a process that does not run yet.
func NewProcess(c Command) (*Process, error) {
	log, err := newLog(c.LogFile)
	if err != nil {
		return nil, err
	}
	if c.Quit == nil {
		c.Quit = syscall.SIGTERM
	}
	return &Process{Command: c, log: log}, nil
}

// Start starts the process and waits until it is ready, for a minute at most.
// If it ends before, or ctx does, it is gone and the error holds its log.
func (p *Process) Start(ctx context.Context) error {
	c, err := p.begin(ctx)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.name(), err)
	}
	if err := p.await(ctx, c, p.Ready); err != nil {
		err = errors.Join(err, c.kill()) //nolint:contextcheck // ends it even when ctx is done
		return fmt.Errorf("start %s: %w\n%s", p.name(), err, p.Log())
	}
	return nil
}

// Await waits for a fact about the process that runs, for a minute at most, and
// fails at once when the process ends. A nil fact is true.
func (p *Process) Await(ctx context.Context, fact func(context.Context) error) error {
	p.mu.Lock()
	c := p.child
	p.mu.Unlock()
	if c == nil {
		return errors.New("it was never started")
	}
	return p.await(ctx, c, fact)
}

func (p *Process) await(ctx context.Context, c *child, fact func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	return until(ctx, func(ctx context.Context) error {
		if c.isGone() {
			return fmt.Errorf("%w: %v", errEnded, c.err) //nolint:errorlint // an exit code of zero has no error
		}
		if fact == nil {
			return nil
		}
		return fact(ctx)
	})
}

// Begin starts the process and does not wait for it.
func (p *Process) Begin(ctx context.Context) error {
	if _, err := p.begin(ctx); err != nil {
		return fmt.Errorf("start %s: %w", p.name(), err)
	}
	return nil
}

func (p *Process) begin(ctx context.Context) (*child, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.child != nil && !p.child.isGone() {
		return nil, errors.New("it runs already")
	}
	// The process outlives the call that starts it.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), p.Path, p.Args...) //nolint:gosec // starting what the caller names is its purpose
	cmd.Env = append([]string{}, p.Env...)
	cmd.Stdout, cmd.Stderr = p.log, p.log
	cmd.SysProcAttr = attributes(p.Account)
	cmd.WaitDelay = outputDelay
	c, err := spawn(cmd)
	if err != nil {
		return nil, err
	}
	p.child = c
	return c, nil
}

// Kill ends the process and all that it has started by SIGKILL, and waits until
// they are gone. One that does not run is left as it is.
func (p *Process) Kill() error {
	return p.with("kill", (*child).kill)
}

// Pause stops the process and all that it has started (SIGSTOP), and waits until
// they stand still.
func (p *Process) Pause() error {
	return p.with("pause", (*child).pause)
}

// Resume lets them go on (SIGCONT).
func (p *Process) Resume() error {
	return p.with("resume", (*child).resume)
}

// Stop asks the process to end and waits until it is gone. It fails when the
// process ends with an error, or has to be killed after half a minute. One that
// does not run is left as it is.
func (p *Process) Stop() error {
	return p.with("stop", func(c *child) error {
		if err := c.quit(p.Quit); err != nil {
			return err
		}
		grace := time.NewTimer(stopGrace)
		defer grace.Stop()
		select {
		case <-c.gone:
			if c.err == nil {
				return nil
			}
			return fmt.Errorf("%w\n%s", c.err, p.Log())
		case <-grace.C:
			return errors.Join(fmt.Errorf("it does not end, and was killed\n%s", p.Log()), c.kill())
		}
	})
}

// with does something to the process if it runs.
func (p *Process) with(verb string, do func(*child) error) error {
	p.mu.Lock()
	c := p.child
	p.mu.Unlock()
	if c == nil || c.isGone() {
		return nil
	}
	if err := do(c); err != nil {
		return fmt.Errorf("%s %s: %w", verb, p.name(), err)
	}
	return nil
}

// Close kills the process if it runs, and closes its log.
func (p *Process) Close() error { return errors.Join(p.Kill(), p.log.close()) }

// Wait waits until the process is gone and says how it ended: nil means with
// exit code 0, an *exec.ExitError with another or by a signal.
func (p *Process) Wait(ctx context.Context) error {
	p.mu.Lock()
	c := p.child
	p.mu.Unlock()
	if c == nil {
		return errors.New("it was never started")
	}
	select {
	case <-c.gone:
		return c.err
	case <-ctx.Done():
		return fmt.Errorf("wait for %s: %w", p.name(), context.Cause(ctx))
	}
}

// Running reports whether the process has not ended. A paused one has not.
func (p *Process) Running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.child != nil && !p.child.isGone()
}

// PID returns the number of the process that runs or ran last, zero before the
// first start.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.child == nil {
		return 0
	}
	return p.child.pid
}

// Log returns the last 64 KiB that the process has written.
func (p *Process) Log() string { return p.log.String() }

func (p *Process) name() string { return filepath.Base(p.Path) }

// ReadyAt returns a fact to wait for: that a GET of url is answered with 200.
func ReadyAt(url string) func(context.Context) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 2 * time.Second}
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		if err := response.Body.Close(); err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", url, response.Status)
		}
		return nil
	}
}
