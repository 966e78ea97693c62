package e2e

import "syscall"

// ownGroup gives a process a group of its own, by which all of it can be ended,
// and ends it with the tests, even when they are killed.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
