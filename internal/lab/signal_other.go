//go:build !unix

package lab

import (
	"errors"
	"os"
	"syscall"
)

var errNoSignals = errors.New("this system knows no signals")

func attributes(*Account) *syscall.SysProcAttr { return nil }

func (c *child) quit(os.Signal) error { return c.kill() }

func (c *child) kill() error {
	p, err := os.FindProcess(c.pid)
	if err != nil {
		return err
	}
	defer func() { _ = p.Release() }() // there is no other use of it
	err = p.Kill()
	<-c.gone
	return err
}

func (c *child) pause() error { return errNoSignals }

func (c *child) resume() error { return errNoSignals }
