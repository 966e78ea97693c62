//go:build unix && !linux

package lab

import (
	"fmt"
	"syscall"
)

// attributes let a process lead a group of its own, by which it can be reached
// with what it starts.
func attributes(a *Account) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: credential(a)}
}

// descendants returns nothing: signals reach the process's group only.
func descendants(int) []int { return nil }

// isStill trusts that the signal was enough.
func isStill(int) error { return nil }

// isOver says nil when a process has ended.
func isOver(pid int) error {
	if syscall.Kill(pid, 0) == nil {
		return fmt.Errorf("process %d: %w", pid, errStillThere)
	}
	return nil
}
