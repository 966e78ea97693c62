package lab_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"popeye/internal/lab"
)

// patience is how long a fact may take to come true on a busy machine before a
// test calls it never.
const patience = time.Minute

// helperArg makes this binary a program to be started: it serves an echo on the
// address behind it, and says on its output when it is asked to end.
const helperArg = "serve-echo"

func TestMain(m *testing.M) {
	switch {
	case len(os.Args) == 3 && os.Args[1] == helperArg:
		serveEcho(os.Args[2])
		return
	case isHeadless():
		serveHeadless(os.Args[2])
		return
	case len(os.Args) == 2 && os.Args[1] == parentArg:
		beParent()
		return
	}
	goleak.VerifyTestMain(m)
}

func serveEcho(addr string) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("serving", os.Getenv("GREETING"))
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = conn.Close() }()
			_, _ = io.Copy(conn, conn)
		}()
	}
}

// echo serves an echo in this process, until the test ends.
func echo(t *testing.T) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	return listener.Addr().String()
}

// caller is a client that talks in lines.
type caller struct {
	net.Conn
	t     *testing.T
	lines *bufio.Reader
}

func call(t *testing.T, addr string) *caller {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &caller{conn, t, bufio.NewReader(conn)}
}

func (c *caller) say(line string) {
	c.t.Helper()
	if _, err := c.Write([]byte(line + "\n")); err != nil {
		c.t.Fatalf("say %q: %v", line, err)
	}
}

// hear waits for a line.
func (c *caller) hear(want string) {
	c.t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
	line, err := c.lines.ReadString('\n')
	if got := strings.TrimSuffix(line, "\n"); err != nil || got != want {
		c.t.Fatalf("heard %q, %v, want %q", got, err, want)
	}
}

// hearNothing listens for a moment: long enough that a byte which is on its way
// in this machine would be there.
func (c *caller) hearNothing() {
	c.t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		c.t.Fatal(err)
	}
	if line, err := c.lines.ReadString('\n'); !os.IsTimeout(err) {
		c.t.Fatalf("heard %q, %v, want nothing", line, err)
	}
}

// hearEnd waits until the connection is no more.
func (c *caller) hearEnd() {
	c.t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
	if line, err := c.lines.ReadString('\n'); err == nil || os.IsTimeout(err) {
		c.t.Fatalf("heard %q, %v, want the end", line, err)
	}
}

func do(t *testing.T, steps ...func() error) {
	t.Helper()
	for _, step := range steps {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
}

func newPort(t *testing.T) *lab.Port {
	t.Helper()
	port, err := lab.NewPort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { do(t, port.Close) })
	return port
}

// untilRefused waits until nobody takes connections at addr. A process that is just
// being started holds for a moment what was open here.
func untilRefused(t *testing.T, addr string) {
	t.Helper()
	for deadline := time.Now().Add(patience); !refuses(addr); {
		if time.Now().After(deadline) {
			t.Fatalf("somebody still takes connections at %s", addr)
		}
	}
}

func refuses(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err == nil {
		_ = conn.Close()
	}
	return err != nil
}

// serving returns a fact: that p, which serves an echo, does.
func serving(p *lab.Process) func(context.Context) error {
	return func(context.Context) error {
		if !strings.Contains(p.Log(), "serving") {
			return errors.New("it does not serve")
		}
		return nil
	}
}
