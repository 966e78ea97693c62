package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// startLimit bounds the wait for a process to be ready.
	startLimit = 20 * time.Second
	// askEvery is the time between two looks whether it is: how exactly starts
	// are measured.
	askEvery = 2 * time.Millisecond
	// stopGrace is how long a process may take to end by itself.
	stopGrace = 20 * time.Second
)

// process is a server under measurement.
type process struct {
	cmd *exec.Cmd
	// url is where it serves, ready what answers 200 when it is ready.
	url, ready string
	started    time.Time
	output     bytes.Buffer
	ended      chan struct{}
	end        sync.Once
}

// startPopeye starts Popeye on an empty data folder and waits until it is ready.
func (b *bench) startPopeye(ctx context.Context) (*process, error) {
	p, err := b.launchPopeye(ctx)
	if err != nil {
		return nil, err
	}
	return p, p.await(ctx, p.ready)
}

// launchPopeye starts Popeye and does not wait.
func (b *bench) launchPopeye(ctx context.Context) (*process, error) {
	data, err := os.MkdirTemp(b.dir, "data-")
	if err != nil {
		return nil, err
	}
	public, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	ops, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	return launch(ctx, public, "http://"+ops+"/readyz", b.popeye, "all", "--listen", public, "--ops-addr", ops, "--data", data)
}

// startFloor starts this program as the floor of that name.
func (b *bench) startFloor(ctx context.Context, name string) (*process, error) {
	p, err := b.launchFloor(ctx, name)
	if err != nil {
		return nil, err
	}
	return p, p.await(ctx, p.ready)
}

func (b *bench) launchFloor(ctx context.Context, name string) (*process, error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	return launch(ctx, address, "http://"+address+"/", b.self, "-floor", name, "-listen", address)
}

func launch(ctx context.Context, address, ready, binary string, args ...string) (*process, error) {
	p := &process{url: "http://" + address, ready: ready, ended: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, binary, args...)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = stopGrace
	p.started = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // how it ended is nobody's concern
	}()
	return p, nil
}

// await waits for the first 200 from url. The process is stopped if none comes.
func (p *process) await(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended instead of starting:\n%s", filepath.Base(p.cmd.Path), p.output.String())
		default:
		}
		if err := wait(ctx, askEvery); err != nil {
			p.stop()
			return fmt.Errorf("wait for %s: %w\n%s", url, err, p.output.String())
		}
	}
}

// stop ends the process and waits until it is gone. It may be called again.
func (p *process) stop() {
	p.end.Do(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-p.ended:
		case <-time.After(stopGrace):
			_ = p.cmd.Process.Kill() // as above
		}
		<-p.ended
	})
}

// ticks is how many clock ticks /proc counts a second: on Linux always 100.
const ticks = 100

// cpu returns the processor time that the process has used.
func (p *process) cpu() (time.Duration, error) { return cpuOf(p.cmd.Process.Pid) }

func cpuOf(pid int) (time.Duration, error) {
	fields, err := statFields(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	return sumTicks(fields[11:13])
}

// cpuWithEnded is cpuOf with the children that the process has waited for.
func cpuWithEnded(pid int) (time.Duration, error) {
	fields, err := statFields(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	return sumTicks(fields[11:15])
}

// statFields returns the fields behind the name, which is in parentheses and may
// hold spaces: state, parent ... and from the 12th on utime, stime and those of
// the children waited for (proc_pid_stat(5)).
func statFields(file string) ([]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	_, after, ok := strings.Cut(string(text), ") ")
	fields := strings.Fields(after)
	if !ok || len(fields) < 15 {
		return nil, errors.New("/proc/PID/stat is not as it should be")
	}
	return fields, nil
}

func sumTicks(fields []string) (time.Duration, error) {
	var sum time.Duration
	for _, f := range fields {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(n) * time.Second / ticks
	}
	return sum, nil
}

// rss returns the memory that the process holds, in megabytes.
func (p *process) rss() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
			return kib * 1024 / 1e6, err
		}
	}
	return 0, errors.New("/proc/PID/status has no VmRSS")
}

// freeAddress returns an address of this machine on which nobody listens.
func freeAddress(ctx context.Context) (string, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
