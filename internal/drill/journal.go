package drill

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// event is what a line of the journal tells.
type event string

// A cast is attempted, and then comes to one end: it is acknowledged, or another
// vote of the voter is said to stand, or it was refused and no attempt can have
// arrived. Without one of these it may be counted or not.
const (
	attempted    event = "attempted"
	acknowledged event = "acknowledged"
	otherStands  event = "other-stands"
	refused      event = "refused"
)

// record is a line of the journal.
type record struct {
	event event
	// cast is the number of the cast, from 1.
	cast int
	// poll, voter and choice say what is attempted: the poll's index, the voter's
	// number in it, the option's position.
	poll, voter, choice int
	// receipt, and in choice the option that stands, are what an answer said.
	receipt string
	// status is that of a refusal.
	status int
}

// journal keeps records of what was attempted and answered, each on disk before
// anybody goes on: so that what it says was acknowledged can be compared with
// what was counted, whatever ends the drill. Those who write at the same time
// share an fsync.
type journal struct {
	file *os.File
	wake chan struct{}
	done chan struct{}

	mu sync.Mutex
	// next is what is written at once the next time.
	next   *page
	closed bool
}

// page is what shares an fsync. written is closed when it is on disk, or err says
// why it is not.
type page struct {
	text    []byte
	written chan struct{}
	err     error
}

func newPage() *page { return &page{written: make(chan struct{})} }

// newJournal begins a journal in a new file.
func newJournal(file string) (*journal, error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("begin the journal: %w", err)
	}
	j := &journal{file: f, wake: make(chan struct{}, 1), done: make(chan struct{}), next: newPage()}
	go j.run()
	return j, nil
}

// write returns when the record is on disk.
func (j *journal) write(r record) error {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return errors.New("the journal is closed")
	}
	p := j.next
	p.text = r.appendTo(p.text)
	j.mu.Unlock()
	select {
	case j.wake <- struct{}{}:
	default:
	}
	<-p.written
	return p.err
}

// close ends the journal. Nobody may be writing.
func (j *journal) close() error {
	j.mu.Lock()
	wasClosed := j.closed
	j.closed = true
	j.mu.Unlock()
	if wasClosed {
		return nil
	}
	close(j.wake)
	<-j.done
	return j.file.Close()
}

func (j *journal) run() {
	defer close(j.done)
	var failed error
	for range j.wake {
		j.mu.Lock()
		p := j.next
		j.next = newPage()
		j.mu.Unlock()
		if failed == nil {
			failed = j.keep(p.text)
		}
		p.err = failed
		close(p.written)
	}
}

func (j *journal) keep(text []byte) error {
	if _, err := j.file.Write(text); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	return nil
}

func (r record) appendTo(text []byte) []byte {
	switch r.event {
	case attempted:
		return fmt.Appendf(text, "%s %d %d %d %d\n", r.event, r.cast, r.poll, r.voter, r.choice)
	case refused:
		return fmt.Appendf(text, "%s %d %d\n", r.event, r.cast, r.status)
	default:
		return fmt.Appendf(text, "%s %d %d %s\n", r.event, r.cast, r.choice, r.receipt)
	}
}

// readJournal reads records until the end, or a line that was cut off there.
func readJournal(in io.Reader, visit func(record) error) error {
	lines := bufio.NewReader(in)
	for number := 1; ; number++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the journal: %w", err)
		}
		r, err := parseRecord(line)
		if err == nil {
			err = visit(r)
		}
		if err != nil {
			return fmt.Errorf("line %d of the journal: %w", number, err)
		}
	}
}

func parseRecord(line []byte) (record, error) {
	name, rest, _ := bytes.Cut(line, []byte(" "))
	r := record{event: event(name)}
	var err error
	switch in := bytes.NewReader(rest); r.event {
	case attempted:
		_, err = fmt.Fscan(in, &r.cast, &r.poll, &r.voter, &r.choice)
	case refused:
		_, err = fmt.Fscan(in, &r.cast, &r.status)
	case acknowledged, otherStands:
		_, err = fmt.Fscan(in, &r.cast, &r.choice, &r.receipt)
	default:
		err = fmt.Errorf("unknown event %.20q", name)
	}
	return r, err
}
