package lab

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

const (
	// sessionLimit bounds a session where its context does not.
	sessionLimit = 30 * time.Second
	// maxMessage bounds a message of the server, in bytes.
	maxMessage = 1 << 20
	// protocol is version 3.0 of PostgreSQL's.
	protocol = 3 << 16
)

// session speaks PostgreSQL's protocol as far as it takes to run a statement
// where everybody is trusted: drivers belong to internal/postgres.
type session struct {
	conn    net.Conn
	in      *bufio.Reader
	unwatch func() bool
}

// openSession returns a session of which the server says that it is ready.
func openSession(ctx context.Context, addr, username, database string) (*session, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &session{conn: conn, in: bufio.NewReader(conn)}
	s.unwatch = context.AfterFunc(ctx, func() { _ = conn.Close() }) // which ends what is under way
	startup := binary.BigEndian.AppendUint32(nil, protocol)
	startup = append(startup, "user\x00"+username+"\x00database\x00"+database+"\x00\x00"...)
	if err := errors.Join(conn.SetDeadline(time.Now().Add(sessionLimit)), s.send(nil, startup)); err != nil {
		s.close()
		return nil, err
	}
	if err := s.untilReady(); err != nil {
		s.close()
		return nil, fmt.Errorf("open a session: %w", err)
	}
	return s, nil
}

// run runs statements, separated by semicolons.
func (s *session) run(statement string) error {
	if err := s.send([]byte{'Q'}, []byte(statement+"\x00")); err != nil {
		return err
	}
	return s.untilReady()
}

func (s *session) close() {
	s.unwatch()
	_ = s.conn.Close() // nothing is in flight
}

func (s *session) send(kind, body []byte) error {
	message := binary.BigEndian.AppendUint32(kind, uint32(len(body)+4))
	_, err := s.conn.Write(append(message, body...))
	return err
}

// untilReady reads until the server is ready for the next statement, and returns
// its complaints.
func (s *session) untilReady() error {
	var complaints error
	for {
		kind, body, err := s.receive()
		if err != nil {
			return errors.Join(complaints, err)
		}
		switch kind {
		case 'Z': // ReadyForQuery
			return complaints
		case 'E': // ErrorResponse
			complaints = errors.Join(complaints, complaint(body))
		case 'R': // Authentication
			if method := binary.BigEndian.Uint32(append(body, 0, 0, 0, 0)); method != 0 {
				return fmt.Errorf("the server wants a password (method %d)", method)
			}
		}
	}
}

func (s *session) receive() (kind byte, body []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(s.in, head[:]); err != nil {
		return 0, nil, err
	}
	size := binary.BigEndian.Uint32(head[1:])
	if size < 4 || size > maxMessage {
		return 0, nil, fmt.Errorf("the server sends a message of %d bytes", size)
	}
	body = make([]byte, size-4)
	_, err = io.ReadFull(s.in, body)
	return head[0], body, err
}

// complaint reads the fields of an ErrorResponse, each a letter and a text.
func complaint(body []byte) error {
	var code, message string
	for field := range strings.SplitSeq(string(body), "\x00") {
		switch {
		case strings.HasPrefix(field, "C"):
			code = field[1:]
		case strings.HasPrefix(field, "M"):
			message = field[1:]
		}
	}
	return fmt.Errorf("%s (SQLSTATE %s)", message, code)
}

// quote makes an identifier of any text.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
