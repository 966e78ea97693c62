package queuetest_test

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"popeye"
	"popeye/internal/queuetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The contract must be one that a server can keep too, which has a vote on its
// disk before any worker has seen it.
func TestAQueueThatAnswersAtOnceCanKeepTheContract(t *testing.T) {
	open := func(room int) queuetest.Open {
		return func(*testing.T) queuetest.Queue { return newServer(room) }
	}
	queuetest.Run(t, open(1<<20), queuetest.Full(open(10), 40))
}

// server is a queue as a server would be one: a stream, what of it workers
// hold, and a mark for each voter.
type server struct {
	room int

	mu      sync.Mutex
	names   int
	catalog *popeye.Catalog
	closed  map[int64]bool
	marks   map[int64]map[popeye.Voter]popeye.Mark
	stream  []popeye.Delivery
	held    map[string]popeye.Delivery
	changed chan struct{}
}

func newServer(room int) *server {
	return &server{
		room:    room,
		closed:  make(map[int64]bool),
		marks:   make(map[int64]map[popeye.Voter]popeye.Mark),
		held:    make(map[string]popeye.Delivery),
		changed: make(chan struct{}),
	}
}

func (s *server) Enqueue(_ context.Context, c popeye.Cast) (popeye.Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.catalog.All(), func(d *popeye.Definition) bool { return d.Round == c.Round })
	if i < 0 {
		return popeye.Answer{}, popeye.ErrNotFound
	}
	d := s.catalog.All()[i]
	if s.closed[c.Round] || d.StateAt(time.Now()) != popeye.Open {
		return popeye.Answer{}, popeye.ErrClosed
	}
	if len(s.stream) >= s.room {
		return popeye.Answer{}, popeye.ErrFull
	}
	m, voted := s.marks[c.Round][c.Voter]
	a := c.Begin()
	if voted {
		a = m.Decide(d.Policy, c)
	}
	if a.Mark != m {
		if s.marks[c.Round] == nil {
			s.marks[c.Round] = make(map[popeye.Voter]popeye.Mark)
		}
		s.marks[c.Round][c.Voter] = a.Mark
		c.Serial = a.Mark.Serial
		s.add(popeye.Delivery{Vote: c.Vote})
	}
	return a, nil
}

func (s *server) Mark(_ context.Context, round int64, v popeye.Voter) (popeye.Mark, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.marks[round][v]
	return m, ok, nil
}

func (s *server) Catalog() *popeye.Catalog {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.catalog
}

func (s *server) Receive(ctx context.Context, most int) ([]popeye.Delivery, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s.mu.Lock()
		got, changed := s.take(most), s.changed
		s.mu.Unlock()
		if len(got) > 0 {
			return got, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

func (s *server) Ack(_ context.Context, ds []popeye.Delivery) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range ds {
		delete(s.held, d.ID)
	}
	s.tell()
	return nil
}

func (s *server) Release(_ context.Context, ds []popeye.Delivery, _ error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range ds {
		if _, ok := s.held[d.ID]; ok {
			delete(s.held, d.ID)
			s.stream = slices.Insert(s.stream, 0, d)
		}
	}
	s.tell()
	return nil
}

func (s *server) Publish(_ context.Context, next *popeye.Catalog) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if next.Version() < s.catalog.Version() {
		return nil
	}
	for _, d := range next.All() {
		if d.State == popeye.Closed && !s.closed[d.Round] {
			s.add(popeye.Delivery{Seal: d.Round})
		}
		if d.State == popeye.Closed || d.State == popeye.Final {
			s.closed[d.Round] = true
		}
	}
	s.catalog = next
	return nil
}

func (s *server) add(d popeye.Delivery) {
	s.names++
	d.ID = strconv.Itoa(s.names)
	s.stream = append(s.stream, d)
	s.tell()
}

func (s *server) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// take hands out what it can of the stream, in order: everything but a seal of
// whose round a worker still holds a vote.
func (s *server) take(most int) []popeye.Delivery {
	var got, left []popeye.Delivery
	for _, d := range s.stream {
		if len(got) == most || d.Seal != 0 && s.holds(d.Seal) {
			left = append(left, d)
			continue
		}
		s.held[d.ID] = d
		got = append(got, d)
	}
	s.stream = left
	return got
}

func (s *server) holds(round int64) bool {
	for _, d := range s.held {
		if d.Vote.Round == round {
			return true
		}
	}
	return false
}
