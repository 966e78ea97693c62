//go:build unix

package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// signalLimit bounds the wait for a signal's effect.
const signalLimit = 30 * time.Second

var errStillThere = errors.New("a signal has no effect")

// quit asks c to end by itself.
func (c *child) quit(s os.Signal) error {
	if err := c.resume(); err != nil {
		return err
	}
	number, ok := s.(syscall.Signal)
	if !ok {
		return fmt.Errorf("%v is no signal", s)
	}
	return send(c.pid, number)
}

// kill ends c and all that it has started, at once, and waits until they are
// gone.
func (c *child) kill() error {
	// What stands still starts nothing more.
	if err := c.pause(); err != nil {
		return err
	}
	below := descendants(c.pid)
	err := errors.Join(send(-c.pid, syscall.SIGKILL), sendAll(below, syscall.SIGKILL))
	<-c.gone
	ctx, cancel := context.WithTimeout(context.Background(), signalLimit)
	defer cancel()
	for _, pid := range below {
		err = errors.Join(err, until(ctx, func(context.Context) error { return isOver(pid) }))
	}
	return err
}

// pause stops c and all that it has started, and waits until they stand still.
func (c *child) pause() error {
	ctx, cancel := context.WithTimeout(context.Background(), signalLimit)
	defer cancel()
	if err := send(-c.pid, syscall.SIGSTOP); err != nil {
		return err
	}
	if err := until(ctx, func(context.Context) error { return isStill(c.pid) }); err != nil {
		return err
	}
	below := descendants(c.pid)
	err := sendAll(below, syscall.SIGSTOP)
	for _, pid := range below {
		err = errors.Join(err, until(ctx, func(context.Context) error { return isStill(pid) }))
	}
	return err
}

// resume undoes pause.
func (c *child) resume() error {
	return errors.Join(sendAll(descendants(c.pid), syscall.SIGCONT), send(-c.pid, syscall.SIGCONT))
}

func sendAll(pids []int, s syscall.Signal) error {
	var errs []error
	for _, pid := range pids {
		errs = append(errs, send(pid, s))
	}
	return errors.Join(errs...)
}

// send signals a process, or the group of a negative pid. To one that is gone
// there is nothing to send.
func send(pid int, s syscall.Signal) error {
	if err := syscall.Kill(pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("send %v to process %d: %w", s, pid, err)
	}
	return nil
}

// credential is whose rights a process gets; nil means those of this one.
func credential(a *Account) *syscall.Credential {
	if a == nil {
		return nil
	}
	return &syscall.Credential{Uid: a.UID, Gid: a.GID}
}
