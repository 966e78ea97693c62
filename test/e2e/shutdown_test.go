package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"
)

func TestRequestsInFlightAreAnsweredAfterTheSignalToEnd(t *testing.T) {
	t.Parallel()
	l := launch{data: t.TempDir()}
	p := l.start(t)
	viewer := p.follow("cats-dogs")
	viewer.until(t, "the first frame", func(result) bool { return true })
	api := p.upload("/api/v1/votes/cats-dogs", "application/json", choosing("a"))
	form := p.upload("/p/cats-dogs", "application/x-www-form-urlencoded", "vote=b")

	p.signal(syscall.SIGTERM)
	if err := viewer.end(); err != nil {
		t.Errorf("the stream did not end by itself: %v", err)
	}
	eventually(t, "new connections are refused", p.refuses)
	select {
	case <-p.exited:
		t.Fatalf("Popeye has ended with two requests in flight:\n%s", p.log.String())
	default:
	}
	if status := api.finish(); status != http.StatusCreated {
		t.Errorf("the API answered %d to a vote that was in flight, want 201", status)
	}
	if status := form.finish(); status != http.StatusSeeOther {
		t.Errorf("the form got %d for a vote that was in flight, want 303", status)
	}
	if code := p.wait(); code != 0 {
		t.Errorf("Popeye ended with %d:\n%s", code, p.log.String())
	}
	l.start(t).result("cats-dogs").wantCounts(t, 2, map[string]int64{"a": 1, "b": 1})
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	p := launch{}.start(t)
	p.visitor().cast("cats-dogs", "a").wants(t, http.StatusCreated)
	p.upload("/p/cats-dogs", "application/x-www-form-urlencoded", "vote=b") // never finished
	p.signal(syscall.SIGTERM)
	eventually(t, "new connections are refused", p.refuses)
	p.signal(syscall.SIGTERM)
	p.wait()
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("Popeye did not end by the second signal but with %v:\n%s", p.cmd.ProcessState, p.log.String())
	}
	launch{data: p.data}.start(t).result("cats-dogs").wantCounts(t, 1, map[string]int64{"a": 1, "b": 0})
}

// end reads to the end of the stream and returns an error when that is not how
// a stream ends.
func (s *stream) end() error {
	for {
		if _, err := s.next(); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// upload is a request of which Popeye has read the first half.
type upload struct {
	p    *process
	conn net.Conn
	read *bufio.Reader
	rest string
}

// upload sends a request but for the second half of its body. Popeye says that
// it has begun to read: 100 Continue.
func (p *process) upload(path, contentType, body string) *upload {
	p.t.Helper()
	conn, err := net.Dial("tcp", p.port())
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		p.t.Fatal(err)
	}
	u := &upload{p, conn, bufio.NewReader(conn), body[len(body)/2:]}
	u.write(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n",
		path, p.port(), contentType, len(body)))
	if status := u.answer(); status != http.StatusContinue {
		p.t.Fatalf("Popeye answered %d instead of reading the body", status)
	}
	u.write(body[:len(body)/2])
	return u
}

// finish sends the second half and returns the status of the answer.
func (u *upload) finish() int {
	u.p.t.Helper()
	u.write(u.rest)
	return u.answer()
}

func (u *upload) write(text string) {
	u.p.t.Helper()
	if _, err := io.WriteString(u.conn, text); err != nil {
		u.p.t.Fatal(err)
	}
}

func (u *upload) answer() int {
	u.p.t.Helper()
	response, err := http.ReadResponse(u.read, nil)
	if err != nil {
		u.p.t.Fatalf("no answer: %v", err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}
