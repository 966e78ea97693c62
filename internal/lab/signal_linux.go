package lab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// attributes let a process lead a group of its own, by which it can be reached
// with what it starts, and end with its parent.
func attributes(a *Account) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: credential(a)}
}

// descendants returns what a process has started and what those have: postgres
// gives each of its processes a group of its own.
func descendants(pid int) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil // not every system shows its processes
	}
	below := map[int][]int{}
	for _, entry := range entries {
		if one, err := strconv.Atoi(entry.Name()); err == nil {
			_, parent := look(filepath.Join("/proc", entry.Name()))
			below[parent] = append(below[parent], one)
		}
	}
	all := below[pid]
	for i := 0; i < len(all); i++ {
		all = append(all, below[all[i]]...)
	}
	return all
}

// isStill says nil when a process stands still or is over.
func isStill(pid int) error {
	return everyThread(pid, func(state byte) bool { return state == 'T' || state == 't' || isEnded(state) })
}

// isOver says nil when a process has ended, whoever should still notice that.
func isOver(pid int) error { return everyThread(pid, isEnded) }

func isEnded(state byte) bool { return state == 'Z' || state == 'X' }

// everyThread says nil when all threads of a process are in such a state, or
// gone. A signal reaches them one by one: the first may have ended, which is
// all that the process's own state tells, while another still serves.
func everyThread(pid int, in func(state byte) bool) error {
	directory := fmt.Sprintf("/proc/%d/task", pid)
	threads, err := os.ReadDir(directory)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, thread := range threads {
		if state, _ := look(filepath.Join(directory, thread.Name())); state != 0 && !in(state) {
			return fmt.Errorf("process %d: %w", pid, errStillThere)
		}
	}
	return nil
}

// look returns the state of a process or a thread as in proc_pid_stat(5), and
// its parent, or zero when it is gone.
func look(directory string) (state byte, parent int) {
	text, err := os.ReadFile(filepath.Join(directory, "stat"))
	if err != nil {
		return 0, 0
	}
	// The name in parentheses may hold anything.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 2 {
		return 0, 0
	}
	parent, err = strconv.Atoi(string(fields[1]))
	if err != nil {
		return 0, 0
	}
	return fields[0][0], parent
}
