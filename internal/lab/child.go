package lab

import (
	"os/exec"
	"runtime"
)

// child is one run of a program, from its start until it is gone.
type child struct {
	pid int
	// gone is closed when it has ended and was waited for.
	gone chan struct{}
	// err is how it ended. It may be read once gone is closed.
	err error
}

func spawn(cmd *exec.Cmd) (*child, error) {
	c := &child{gone: make(chan struct{})}
	started := make(chan error, 1)
	go c.run(cmd, started)
	if err := <-started; err != nil {
		<-c.gone
		return nil, err
	}
	return c, nil
}

func (c *child) run(cmd *exec.Cmd, started chan<- error) {
	defer close(c.gone)
	// Linux ends the child with the thread that started it. So the thread must
	// last for as long as the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	c.pid = cmd.Process.Pid
	started <- nil
	c.err = cmd.Wait()
}

func (c *child) isGone() bool {
	select {
	case <-c.gone:
		return true
	default:
		return false
	}
}
