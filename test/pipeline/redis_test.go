package pipeline_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"time"
)

// say sends a command to the queue server, past all links, in the form that people
// type, and returns everything that it answers, whatever is an array in it.
func (q *queue) say(command string) ([]string, error) {
	conn, err := net.DialTimeout("tcp", q.Addr(), patience)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(conn, "%s\r\n", command); err != nil {
		return nil, err
	}
	return readAnswer(bufio.NewReader(conn), nil)
}

// readAnswer appends the texts and numbers of an answer (RESP2).
func readAnswer(in *bufio.Reader, all []string) ([]string, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	kind, text := line[0], line[1:len(line)-2]
	n, _ := strconv.Atoi(text) // as far as it is a number
	switch kind {
	case '-':
		return nil, fmt.Errorf("the queue server says %s", text)
	case '*':
		for range n {
			if all, err = readAnswer(in, all); err != nil {
				return nil, err
			}
		}
		return all, nil
	case '$':
		body := make([]byte, max(n, 0)+2)
		if n < 0 {
			body = body[:0]
		}
		_, err := io.ReadFull(in, body)
		return append(all, string(body[:max(n, 0)])), err
	default:
		return append(all, text), nil
	}
}

// taken returns how many entries workers have taken from the queue server and not
// acknowledged.
func (s *site) taken(q *queue) int { return s.number(q, "XPENDING {popeye}:votes workers") }

// entries returns how many entries the queue server has, taken or not.
func (s *site) entries(q *queue) int { return s.number(q, "XLEN {popeye}:votes") }

// number returns the number with which an answer begins.
func (s *site) number(q *queue, command string) int {
	s.t.Helper()
	answer, err := q.say(command)
	if err != nil {
		s.t.Fatal(err)
	}
	n, err := strconv.Atoi(answer[0])
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// drained reports whether every entry of the queue server was taken and
// acknowledged.
func (s *site) drained(q *queue) bool {
	s.t.Helper()
	answer, err := q.say("XINFO GROUPS {popeye}:votes")
	if err != nil {
		s.t.Fatal(err)
	}
	of := func(field string) string { return answer[slices.Index(answer, field)+1] }
	return of("pending") == "0" && of("lag") == "0"
}

// put puts an entry into the stream of the queue server, as one who writes
// nonsense would.
func (s *site) put(q *queue, value string) {
	s.t.Helper()
	if _, err := q.say(`XADD {popeye}:votes * v "` + value + `"`); err != nil {
		s.t.Fatal(err)
	}
}
