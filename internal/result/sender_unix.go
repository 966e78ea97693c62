//go:build unix

package result

import (
	"errors"
	"syscall"
)

// sender writes to a connection what the kernel takes without waiting. It makes
// no garbage: what a write needs is kept from one to the next.
type sender struct {
	raw  syscall.RawConn
	try  func(fd uintptr) bool
	text []byte
	n    int
	err  error
}

// newSender returns nil where the connection is none of the system's.
func newSender(c syscall.Conn) *sender {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	s := &sender{raw: raw}
	s.try = func(fd uintptr) bool {
		s.n, s.err = syscall.Write(int(fd), s.text)
		return true // do not wait until more can be written
	}
	return s
}

// write writes a part of text, possibly none of it, and returns its length.
func (s *sender) write(text []byte) (int, error) {
	s.text = text
	if err := s.raw.Write(s.try); err != nil {
		return 0, err
	}
	s.text = nil
	if errors.Is(s.err, syscall.EAGAIN) || errors.Is(s.err, syscall.EINTR) {
		return 0, nil
	}
	return max(s.n, 0), s.err
}
