package lab_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"popeye/internal/lab"
)

// parentArg makes this binary a program that starts one which would run for ten
// minutes, says its number, and waits.
const parentArg = "start-a-child"

func beParent() {
	p, err := lab.NewProcess(lab.Command{Path: "sleep", Args: []string{"600"}})
	if err == nil {
		err = p.Begin(context.Background())
	}
	fmt.Println(p.PID(), err)
	<-time.After(10 * time.Minute)
}

func TestProcessEndsWithTheOneThatStartedIt(t *testing.T) {
	t.Parallel()
	parent := exec.Command(os.Args[0], parentArg)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	do(t, parent.Start)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	number, _, _ := strings.Cut(line, " ")
	child, err := strconv.Atoi(number)
	if err != nil || syscall.Kill(child, 0) != nil {
		t.Fatalf("the child does not run: %s, %v", line, err)
	}
	do(t, parent.Process.Kill)
	var killed *exec.ExitError
	if err := parent.Wait(); !errors.As(err, &killed) {
		t.Fatal(err)
	}
	deadline, look := time.After(patience), time.NewTicker(time.Millisecond)
	defer look.Stop()
	for isAlive(child) {
		select {
		case <-deadline:
			t.Fatal("never: the child ends")
		case <-look.C:
		}
	}
}

// isAlive reports whether a process runs. Whoever inherits it may be slow to
// notice that it does not.
func isAlive(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(text), ") Z ")
}
