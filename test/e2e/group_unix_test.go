//go:build unix && !linux

package e2e

import "syscall"

// ownGroup gives a process a group of its own, by which all of it can be ended.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
