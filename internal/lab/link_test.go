package lab_test

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"popeye/internal/lab"
)

func newLink(t *testing.T, target string) *lab.Link {
	t.Helper()
	link, err := lab.NewLink(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { do(t, link.Close) })
	return link
}

func TestLinkPassesEverythingAndTheEndToo(t *testing.T) {
	t.Parallel()
	c := call(t, newLink(t, echo(t)).Addr())
	long := strings.Repeat("0123456789abcdef", 1<<16)
	go func() {
		_, _ = io.WriteString(c, long+"\n")
		if tcp, ok := c.Conn.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
	}()
	c.hear(long)
	if _, err := c.lines.ReadByte(); err != io.EOF {
		t.Errorf("after the last byte: %v, want the end", err)
	}
}

func TestCutLinkResetsAndRefusesUntilItIsMended(t *testing.T) {
	t.Parallel()
	link := newLink(t, echo(t))
	c := call(t, link.Addr())
	c.say("before")
	c.hear("before")
	do(t, link.Cut, link.Cut)
	c.hearEnd()
	untilRefused(t, link.Addr())
	do(t, link.Mend, link.Mend)
	c = call(t, link.Addr())
	c.say("after")
	c.hear("after")
}

func TestFrozenLinkTellsNobodyAndLosesNothing(t *testing.T) {
	t.Parallel()
	link := newLink(t, echo(t))
	old := call(t, link.Addr())
	old.say("one")
	old.hear("one")
	do(t, link.Freeze)
	young := call(t, link.Addr())
	old.say("two")
	young.say("three")
	old.hearNothing()
	young.hearNothing()
	do(t, link.Mend)
	old.hear("two")
	young.hear("three")
}

func TestMutedLinkHoldsBackRepliesOnly(t *testing.T) {
	t.Parallel()
	port := newPort(t)
	server := echoProcess(t, port)
	link := newLink(t, port.Addr())
	c := call(t, link.Addr())
	do(t, link.Mute)
	c.say("one")
	c.hearNothing()
	do(t, link.Mend)
	c.hear("one")
	// Not even that the server is gone is heard.
	do(t, link.Mute, server.Kill)
	for range 3 {
		c.say("two")
		c.hearNothing()
	}
	do(t, link.Mend)
	c.hearEnd()
}

func TestCutEndsWhatIsFrozen(t *testing.T) {
	t.Parallel()
	link := newLink(t, echo(t))
	c := call(t, link.Addr())
	do(t, link.Freeze)
	c.say("one")
	late := call(t, link.Addr())
	do(t, link.Cut)
	c.hearEnd()
	late.hearEnd()
}

func TestLinkToWhatDoesNotListenResets(t *testing.T) {
	t.Parallel()
	port := newPort(t)
	link := newLink(t, port.Addr())
	if conn, err := net.Dial("tcp", link.Addr()); err == nil {
		c := &caller{conn, t, bufio.NewReader(conn)}
		c.hearEnd()
		_ = conn.Close()
	}
	echoProcess(t, port)
	c := call(t, link.Addr())
	c.say("now")
	c.hear("now")
}

func TestLinkIsMendedWhileProcessesAreStarted(t *testing.T) {
	t.Parallel()
	link := newLink(t, echo(t))
	var starts sync.WaitGroup
	defer starts.Wait()
	over := make(chan struct{})
	defer close(over)
	starts.Go(func() {
		for {
			select {
			case <-over:
				return
			default:
				if err := exec.Command(os.Args[0], "-test.run", "^$").Run(); err != nil {
					t.Error(err)
				}
			}
		}
	})
	for range 300 {
		do(t, link.Cut, link.Mend)
	}
}
