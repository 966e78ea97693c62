package worker_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"popeye"
	"popeye/internal/worker"
)

const lease = 10 * time.Second

var errCut = errors.New("the line is cut")

// station is a queue server as small as the contract allows, which hangs or
// fails on demand. It holds workers to what they owe it: what is acknowledged
// must be recorded, and progress noted in the store first.
type station struct {
	t     *testing.T
	place string
	book  *book

	mu       sync.Mutex
	hangs    bool  // every call waits for its context to end
	cut      error // what every call fails with, when set
	acks     error // what Ack fails with, when set
	key      string
	slow     time.Duration // what VoterKey takes
	catalog  *popeye.Catalog
	told     []*popeye.Catalog
	waiting  []popeye.Delivery
	grab     int // how many a consumer takes at least, to keep what is more than a batch
	held     map[string]popeye.Delivery
	acked    []popeye.Vote
	progress map[string]int64
	changed  chan struct{}
	replay   chan struct{} // what Replay waits for, when set

	began            []time.Time // of each Receive
	sizes            []int       // of each batch received
	looks, tended    int
	released         int
	sealed           map[int64]bool
	seals            map[int64]time.Time // when each seal is to be handed out
	names, consumers int
}

func newStation(t *testing.T, place string, b *book) *station {
	t.Helper()
	return &station{
		t: t, place: place, book: b,
		held:     make(map[string]popeye.Delivery),
		progress: make(map[string]int64),
		sealed:   make(map[int64]bool),
		seals:    make(map[int64]time.Time),
		changed:  make(chan struct{}),
	}
}

// server returns the station as a worker's configuration has it.
func (s *station) server(consumers int) worker.QueueServer {
	q := worker.QueueServer{Place: s.place, Publisher: s, Watched: s}
	for range consumers {
		s.consumers++
		q.Consumers = append(q.Consumers, &consumer{station: s, name: fmt.Sprintf("%s/%d", s.place, s.consumers)})
	}
	return q
}

// set changes or reads the station from outside.
func (s *station) set(change func(s *station)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
	s.tell()
}

// answers does something under the lock, unless the station hangs or is cut off.
func (s *station) answers(ctx context.Context, do func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.hangs && ctx.Err() == nil {
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		s.mu.Lock()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.cut != nil {
		return s.cut
	}
	return do()
}

func (s *station) tell() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// take takes votes from poll, which are durable from here on.
func (s *station) take(votes ...popeye.Vote) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range votes {
		s.add(popeye.Delivery{Vote: v})
	}
	s.tell()
}

func (s *station) add(d popeye.Delivery) {
	s.names++
	d.ID = strconv.Itoa(s.names)
	s.waiting = append(s.waiting, d)
}

func (s *station) Publish(ctx context.Context, c *popeye.Catalog) error {
	return s.answers(ctx, func() error {
		if s.catalog != nil && s.catalog.Version() > c.Version() {
			return nil
		}
		s.catalog = c
		s.told = append(s.told, c)
		for _, d := range c.All() {
			if d.State == popeye.Closed && !s.sealed[d.Round] {
				s.sealed[d.Round] = true
				s.seals[d.Round] = time.Now()
			}
		}
		s.tell()
		return nil
	})
}

func (s *station) Status(ctx context.Context) (st popeye.QueueStatus, err error) {
	err = s.answers(ctx, func() error {
		s.looks++
		st = popeye.QueueStatus{
			Place: s.place, Server: "identity of " + s.place,
			Recorded: strconv.Itoa(len(s.acked)),
			Pending:  int64(len(s.held) + len(s.waiting)),
			Progress: maps.Clone(s.progress),
		}
		return nil
	})
	return st, err
}

func (s *station) Tend(ctx context.Context) error {
	return s.answers(ctx, func() error { s.tended++; return nil })
}

func (s *station) VoterKey(ctx context.Context) (key string, err error) {
	err = s.answers(ctx, func() error { key = s.key; return nil })
	select {
	case <-time.After(s.slow):
	case <-ctx.Done():
		return "", ctx.Err()
	}
	return key, err
}

func (s *station) Replay(ctx context.Context, from string, do func(context.Context, []popeye.Vote) error) error {
	var votes []popeye.Vote
	err := s.answers(ctx, func() error {
		first, err := strconv.Atoi(from)
		votes = slices.Clone(s.acked[first:])
		return err
	})
	s.mu.Lock()
	gate := s.replay
	s.mu.Unlock()
	if gate != nil {
		<-gate
	}
	for portion := range slices.Chunk(votes, 7) {
		err = errors.Join(err, do(ctx, portion))
	}
	return err
}

// consumer is one of the ends of a station from which a worker takes votes.
type consumer struct {
	*station
	name  string
	batch int64
	again []popeye.Delivery
	kept  []popeye.Delivery
}

func (c *consumer) Receive(ctx context.Context, most int) (got []popeye.Delivery, err error) {
	c.set(func(s *station) { s.began = append(s.began, time.Now()) })
	for {
		var changed chan struct{}
		err := c.answers(ctx, func() error {
			got, changed = c.hand(most), c.changed
			return nil
		})
		if err != nil || len(got) > 0 {
			return got, err
		}
		select {
		case <-changed:
		case <-time.After(100 * time.Millisecond): // a seal may be due
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// hand hands out what it can, numbered: what this consumer has released and
// nothing else, or else what waits, and the seals that are due.
func (c *consumer) hand(most int) []popeye.Delivery {
	got := c.again
	c.again = nil
	if len(got) == 0 {
		if len(c.kept) == 0 {
			n := min(max(most, c.grab), len(c.waiting))
			c.kept, c.waiting = slices.Clone(c.waiting[:n]), c.waiting[n:]
		}
		n := min(most, len(c.kept))
		got, c.kept = slices.Clone(c.kept[:n]), c.kept[n:]
		got = append(got, c.handSeals()...)
	}
	if len(got) == 0 {
		return nil
	}
	c.batch++
	c.sizes = append(c.sizes, len(got))
	for i := range got {
		got[i].Progress = popeye.Progress{Server: "identity of " + c.place, Worker: c.name, Batch: c.batch}
		if got[i].Seal == 0 {
			c.held[got[i].ID] = got[i]
		}
	}
	return got
}

// handSeals hands out the seals of which every vote is acknowledged. Who has one
// has it for a while.
func (c *consumer) handSeals() []popeye.Delivery {
	var due []popeye.Delivery
	for round, from := range c.seals {
		if time.Now().Before(from) || len(c.held)+len(c.waiting) > 0 {
			continue
		}
		c.seals[round] = time.Now().Add(lease)
		due = append(due, popeye.Delivery{ID: fmt.Sprintf("seal %d", round), Seal: round})
	}
	return due
}

func (c *consumer) Ack(ctx context.Context, ds []popeye.Delivery) error {
	return c.answers(ctx, func() error {
		if c.acks != nil {
			return c.acks
		}
		for _, d := range ds {
			c.book.set(func(k *book) {
				if !k.progress[d.Progress] {
					c.t.Errorf("a delivery of %+v is acknowledged and the store has not noted that", d.Progress)
				}
				k.done = append(k.done, "ack")
			})
			if _, ok := c.held[d.ID]; ok {
				c.acked = append(c.acked, d.Vote)
			}
			delete(c.held, d.ID)
			delete(c.seals, d.Seal)
			c.progress[c.name] = max(c.progress[c.name], d.Progress.Batch)
		}
		return nil
	})
}

func (c *consumer) Release(ctx context.Context, ds []popeye.Delivery, _ error) error {
	return c.answers(ctx, func() error {
		c.released += len(ds)
		c.again = append(c.again, ds...)
		return nil
	})
}
