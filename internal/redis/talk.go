package redis

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

// Bounds of what is read from a server that nothing is known of yet.
const (
	maxElements = 64
	maxLength   = 64 << 10
)

var errNotRedis = errors.New("what answers there does not speak the Redis protocol")

// refusalError is what a server says when it does not do what it was asked.
type refusalError string

func (e refusalError) Error() string { return string(e) }

// talk is the first exchange over a new connection, before the client has it:
// a word of the protocol (RESP2), and no more than that.
type talk struct {
	conn net.Conn
	in   *bufio.Reader
}

func newTalk(conn net.Conn) *talk { return &talk{conn: conn, in: bufio.NewReader(conn)} }

// login does nothing where there is no password.
func (t *talk) login(username, password string) error {
	if password == "" {
		return nil
	}
	question := []string{"AUTH", password}
	if username != "" {
		question = []string{"AUTH", username, password}
	}
	_, err := t.ask(question...)
	return err
}

// ask sends a command and returns the strings of the answer. It fails with a
// refusalError when the server does.
func (t *talk) ask(words ...string) ([]string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
	}
	if _, err := io.WriteString(t.conn, b.String()); err != nil {
		return nil, err
	}
	kind, rest, err := t.line()
	if err != nil {
		return nil, err
	}
	if kind != '*' {
		s, err := t.value(kind, rest)
		return []string{s}, err
	}
	n, err := strconv.Atoi(rest)
	if err != nil || n > maxElements {
		return nil, errNotRedis
	}
	var answer []string
	for range n {
		kind, rest, err := t.line()
		if err != nil {
			return nil, err
		}
		s, err := t.value(kind, rest)
		if err != nil {
			return nil, err
		}
		answer = append(answer, s)
	}
	return answer, nil
}

// value returns a value that begins with a line.
func (t *talk) value(kind byte, rest string) (string, error) {
	switch kind {
	case '+', ':':
		return rest, nil
	case '-':
		return "", refusalError(brief(rest))
	case '$':
		n, err := strconv.Atoi(rest)
		if err != nil || n < 0 || n > maxLength {
			return "", errNotRedis
		}
		text := make([]byte, n+len("\r\n"))
		_, err = io.ReadFull(t.in, text)
		return string(text[:n]), err
	default:
		return "", errNotRedis
	}
}

// line reads a line and returns its first sign and the rest.
func (t *talk) line() (kind byte, rest string, err error) {
	line, err := t.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return 0, "", errNotRedis
	}
	if err != nil {
		return 0, "", err
	}
	text := strings.TrimSuffix(string(line), "\r\n")
	if text == "" {
		return 0, "", errNotRedis
	}
	return text[0], text[1:], nil
}

// brief is what a server refuses something with, without what it repeats of it.
func brief(refusal string) string {
	text, _, _ := strings.Cut(refusal, ", with args")
	return text
}

// isFull reports whether a server refuses because its memory is full.
func isFull(refusal string) bool { return strings.HasPrefix(refusal, "OOM ") }
