package postgres

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"popeye"
	"popeye/internal/belltest"
	"popeye/internal/lab"
	"popeye/internal/lab/labtest"
)

func TestBell(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	belltest.Run(t, func(t *testing.T) belltest.Bell {
		t.Helper()
		return newBell(t, s)
	})
}

func newBell(t *testing.T, s *Store) *Bell {
	t.Helper()
	b := NewBell(s, slog.New(slog.NewTextHandler(t.Output(), nil)))
	t.Cleanup(b.Shutdown)
	return b
}

func ringFor(t *testing.T, b *Bell, polls ...string) {
	t.Helper()
	if err := b.Ring(t.Context(), polls...); err != nil {
		t.Fatal(err)
	}
}

// wire listens to what goes through the database.
type wire struct {
	t    *testing.T
	conn *pgx.Conn
}

func tap(t *testing.T, s *Store) *wire {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), s.pool.Config().ConnConfig)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	if _, err := conn.Exec(t.Context(), "LISTEN "+channel); err != nil {
		t.Fatal(err)
	}
	return &wire{t, conn}
}

// until returns what goes through, up to a poll and without it.
func (w *wire) until(last string) []string {
	w.t.Helper()
	var polls []string
	for {
		n, err := w.conn.WaitForNotification(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		if n.Payload == last {
			return polls
		}
		polls = append(polls, n.Payload)
	}
}

func TestRingsMergeAndTheLastIsNeverDropped(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	b, other, w := newBell(t, s), newBell(t, s), tap(t, s)
	began := time.Now()
	for n := range 2000 {
		ringFor(t, b, "p")
		if n%500 == 0 {
			ringFor(t, b, "q", "r")
		}
	}
	b.Shutdown()
	took := time.Since(began)
	ringFor(t, other, "end")
	count := map[string]int{}
	for _, p := range w.until("end") {
		count[p]++
	}
	// However slow the machine is: one at once, one at the end, and one each window
	// in between.
	if most := 2 + int(took/quiet); count["p"] < 2 || count["p"] > most || count["q"] < 1 || count["q"] != count["r"] {
		t.Errorf("within %v %v went out; want 2 to %d for p", took, count, most)
	}
}

func TestARingThatIsNotRepeatedGoesOutOnceAndAtOnce(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	b, w := newBell(t, s), tap(t, s)
	ringFor(t, b, "p")
	ringFor(t, b, "q", "p")
	ringFor(t, b, "end")
	if got := slices.Compact(w.until("end")); len(got) < 2 || got[0] != "p" || got[1] != "q" {
		t.Errorf("%v went out; want p and q at once", got)
	}
	b.Shutdown() // p again, if it was not yet
	ringFor(t, newBell(t, s), "end")
	w.until("end")
}

func TestARingThatFailsIsRepeated(t *testing.T) {
	t.Parallel()
	direct := openNew(t)
	link := labtest.Link(t, hostOf(direct))
	b := newBell(t, openAt(t, lab.PostgresDSN(link.Addr(), "postgres", databaseOf(direct))))
	w := tap(t, direct)
	labtest.Do(t, link.Cut)
	if err := b.Ring(t.Context(), "p"); !errors.Is(err, popeye.ErrUnavailable) {
		t.Fatalf("Ring = %v; want ErrUnavailable", err)
	}
	labtest.Do(t, link.Mend)
	w.until("p")
}

// hearing counts what a listener hears.
type hearing struct {
	mu    sync.Mutex
	times map[string]int
}

func listen(t *testing.T, b *Bell) *hearing {
	t.Helper()
	h := &hearing{times: map[string]int{}}
	ctx, cancel := context.WithCancel(t.Context())
	var works sync.WaitGroup
	works.Go(func() {
		if err := b.Listen(ctx, h.hear); err != nil {
			t.Errorf("Listen = %v", err)
		}
	})
	t.Cleanup(func() { cancel(); works.Wait() })
	return h
}

func (h *hearing) hear(poll string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.times[poll]++
}

func (h *hearing) heard(poll string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.times[poll]
}

func TestAListenerThatWasCutOffIsToldWhenItHearsAgain(t *testing.T) {
	t.Parallel()
	direct := openNew(t)
	link := labtest.Link(t, hostOf(direct))
	var noticed counter
	b := NewBell(openAt(t, lab.PostgresDSN(link.Addr(), "postgres", databaseOf(direct))), slog.New(slog.NewTextHandler(&noticed, nil)))
	t.Cleanup(b.Shutdown)
	h := listen(t, b)
	until(t, "it hears", func() bool { return h.heard(popeye.EveryPoll) >= 2 }) // by the bell, and by looking
	for n, breakIt := range []func() error{link.Cut, link.Freeze} {             // the second nobody is told of
		before := h.heard(popeye.EveryPoll)
		labtest.Do(t, breakIt)
		until(t, "it is noticed", func() bool { return noticed.Load() > int64(n) })
		labtest.Do(t, link.Mend)
		until(t, "it hears again", func() bool { return h.heard(popeye.EveryPoll) > before })
		ringFor(t, newBell(t, direct), "p")
		until(t, "a ring is heard", func() bool { return h.heard("p") > n })
	}
}

// counter counts what is written to it.
type counter struct{ atomic.Int64 }

func (c *counter) Write(line []byte) (int, error) {
	c.Add(1)
	return len(line), nil
}

// As through a pool that gives each transaction another session, or while the
// bell's connection is broken.
func TestAChangeThatNobodyRangForIsSeen(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	p, q := createPoll(t, s, "p", popeye.First), createPoll(t, s, "q", popeye.First)
	h := listen(t, newBell(t, s))
	until(t, "it hears", func() bool { return h.heard(popeye.EveryPoll) >= 2 })
	record(t, s, newVotes(p, 0, 1)...)
	until(t, "the vote is seen", func() bool { return h.heard("p") > 0 })
	createPoll(t, s, "r", popeye.First)
	until(t, "the new poll is seen", func() bool { return h.heard("r") > 0 })
	if err := s.Delete(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	until(t, "the end of the poll is seen", func() bool { return h.heard("p") > 1 })
	if err := s.Close(t.Context(), q.Round); err != nil {
		t.Fatal(err)
	}
	until(t, "the close is seen", func() bool { return h.heard("q") > 0 })
}
