package lab_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"popeye/internal/lab"
)

// headlessArg makes this binary a program that serves an echo on the address
// behind it after its first thread has ended, as a program that is being killed
// may for a moment.
const headlessArg = "serve-echo-headless"

func init() { //nolint:gochecknoinits // only here is it sure on which thread this runs
	if isHeadless() {
		runtime.LockOSThread() // to the first thread
	}
}

func isHeadless() bool { return len(os.Args) == 3 && os.Args[1] == headlessArg }

func serveHeadless(addr string) {
	go func() {
		serveEcho(addr)
		os.Exit(0)
	}()
	_, _, errno := syscall.Syscall(syscall.SYS_EXIT, 0, 0, 0) // of this thread alone
	fmt.Println(errno)
}

func TestProcessIsNotOverWithItsFirstThread(t *testing.T) {
	t.Parallel()
	port := newPort(t)
	p := newProcess(t, lab.Command{Path: os.Args[0], Args: []string{headlessArg, port.Addr()}})
	p.Ready = serving(p)
	do(t, func() error { return p.Start(t.Context()) })
	do(t, func() error {
		return p.Await(t.Context(), func(context.Context) error {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
			if err == nil && !strings.Contains(string(stat), ") Z ") {
				err = errors.New("its first thread runs")
			}
			return err
		})
	})
	if err := lab.IsOver(p.PID()); err == nil {
		t.Error("a process that serves is taken for one that is over")
	}
	c := call(t, port.Addr())
	do(t, p.Pause)
	c.say("one")
	c.hearNothing()
	do(t, p.Resume)
	c.hear("one")
	do(t, p.Kill)
	if err := lab.IsOver(p.PID()); err != nil {
		t.Error(err)
	}
}
