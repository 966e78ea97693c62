package pipeline_test

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
)

// snare passes everything on between one role and one server, but holds up the
// first piece with a certain word in it, and what comes behind that by the same
// connection, until it is set free.
type snare struct {
	target string
	word   []byte
	first  sync.Once
	// caught is closed once the word is held up, and answered once the server has
	// said something to it.
	caught, answered chan struct{}
	free             chan struct{}
	listener         net.Listener
}

func newSnare(t *testing.T, target, word string) *snare {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &snare{
		target: target, word: []byte(word), listener: listener,
		caught: make(chan struct{}), answered: make(chan struct{}), free: make(chan struct{}),
	}
	var calls sync.WaitGroup
	calls.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			calls.Go(func() { s.pass(near) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		calls.Wait() // the role has ended by now
	})
	return s
}

func (s *snare) addr() string { return s.listener.Addr().String() }

// release sets free what is held up, and waits for the server's answer to it.
func (s *snare) release() {
	close(s.free)
	<-s.answered
}

func (s *snare) pass(near net.Conn) {
	defer func() { _ = near.Close() }()
	far, err := net.Dial("tcp", s.target)
	if err != nil {
		return
	}
	defer func() { _ = far.Close() }()
	isCaught := make(chan struct{})
	var there sync.WaitGroup
	there.Go(func() {
		defer func() { _ = far.Close() }()
		s.passRequests(far, near, isCaught)
	})
	defer there.Wait()
	buffer := make([]byte, 32<<10)
	for {
		n, err := far.Read(buffer)
		select {
		case <-isCaught:
			close(s.answered)
			isCaught = nil
		default:
		}
		if _, gone := near.Write(buffer[:n]); gone != nil || err != nil {
			return
		}
	}
}

func (s *snare) passRequests(far io.Writer, near io.Reader, isCaught chan<- struct{}) {
	var seen []byte
	buffer := make([]byte, 32<<10)
	for {
		n, err := near.Read(buffer)
		seen = append(seen, buffer[:n]...)
		if bytes.Contains(seen, s.word) {
			s.first.Do(func() {
				close(s.caught)
				<-s.free
				close(isCaught)
			})
		}
		seen = seen[max(0, len(seen)-len(s.word)):]
		if _, gone := far.Write(buffer[:n]); gone != nil || err != nil {
			return
		}
	}
}
