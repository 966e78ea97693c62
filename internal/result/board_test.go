package result

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"popeye"
	"popeye/internal/web"
)

// counter is a store of one poll whose total is its version.
type counter struct {
	mu    sync.Mutex
	total int64
}

func (c *counter) Tally(context.Context, string) (popeye.Tally, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return popeye.Tally{Version: c.total, Total: c.total}, nil
}

func (c *counter) vote(b *board) {
	c.mu.Lock()
	c.total++
	c.mu.Unlock()
	b.ring()
}

// watched returns a role with one viewer, who has read the first frame. It must
// be called in a synctest bubble, which the board's clock is then of.
func watched(t *testing.T) (*board, *viewer, *counter) {
	t.Helper()
	pages, err := web.NewPages()
	if err != nil {
		t.Fatal(err)
	}
	store := &counter{total: 1}
	s := New(Config{
		Store: store, Pages: pages, Interval: 200 * time.Millisecond, Heartbeat: 10 * time.Second,
		Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Now: time.Now,
	})
	b := newBoard(s, "p")
	v := &viewer{mail: make(chan mail, 1)}
	if !b.join(t.Context(), v) {
		t.Fatal("the viewer was not let in")
	}
	if first := <-v.mail; first.version != 1 {
		t.Fatalf("the first frame has version %d", first.version)
	}
	t.Cleanup(func() {
		b.leave(v)
		s.End()
	})
	return b, v, store
}

func TestFirstChangeOfAQuietMomentIsSentAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, v, store := watched(t)
		for range 3 {
			time.Sleep(time.Second) // of the bubble's clock
			begin := time.Now()
			store.vote(b)
			if m := <-v.mail; m.version != store.total || time.Since(begin) != 0 {
				t.Errorf("version %d of %d came after %s", m.version, store.total, time.Since(begin))
			}
		}
	})
}

func TestNoMoreThanFiveFramesASecondAndTheLastNeverDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, v, store := watched(t)
		const votes = 1000
		go func() {
			for range votes { // for two seconds
				store.vote(b)
				time.Sleep(2 * time.Millisecond) // of the bubble's clock
			}
		}()
		begin := time.Now()
		frames, last := 0, int64(0)
		for last != votes+1 {
			m := <-v.mail
			frames, last = frames+1, m.version
		}
		if took := time.Since(begin); frames > 1+int(took/(200*time.Millisecond)) {
			t.Errorf("%d frames in %s", frames, took)
		}
	})
}

func TestNothingButHeartbeatsIsSentWhileNothingChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, v, _ := watched(t)
		begin := time.Now()
		for range 3 {
			b.ring() // nothing is new, though
			if m := <-v.mail; m.version != 0 || string(m.text) != ": fresh\n\n" {
				t.Errorf("after %s version %d was sent: %q", time.Since(begin), m.version, m.text)
			}
		}
		if took := time.Since(begin); took != 30*time.Second {
			t.Errorf("three heartbeats took %s", took)
		}
	})
}

func TestViewerThatMissedFramesReadsTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, v, store := watched(t)
		for range 10 {
			store.vote(b)
			time.Sleep(time.Second) // of the bubble's clock
		}
		if m := <-v.mail; m.version != store.total {
			t.Errorf("got version %d, want the newest, %d", m.version, store.total)
		}
	})
}
