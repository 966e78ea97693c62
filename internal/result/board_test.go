package result

import (
	"bufio"
	"context"
	"log/slog"
	"net"
	"strconv"
	"strings"
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
	mu                  sync.Mutex
	total, reads, looks int64
	lag                 time.Duration
}

func (c *counter) Tally(context.Context, string) (popeye.Tally, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads++
	return popeye.Tally{Version: c.total, Total: c.total}, nil
}

func (*counter) Find(context.Context, string) (popeye.Finding, error) {
	return popeye.Finding{}, popeye.ErrNotFound
}

func (*counter) Receipts(context.Context, string, func(string) error) error { return popeye.ErrExists }

func (c *counter) Lag(context.Context) (time.Duration, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.looks++
	return c.lag, nil
}

func (c *counter) readings() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reads
}

func (c *counter) lookings() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.looks
}

func (c *counter) fallBehind(lag time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lag = lag
}

func (c *counter) vote(b *board) {
	c.mu.Lock()
	c.total++
	c.mu.Unlock()
	b.ring()
}

// reader is the far end of a viewer's connection.
type reader struct {
	t *testing.T
	*bufio.Reader
}

// version reads one event or comment, and returns its version, zero for a
// comment.
func (r reader) version() int64 {
	r.t.Helper()
	version := int64(0)
	for {
		line, err := r.ReadString('\n')
		switch {
		case err != nil:
			r.t.Fatal(err)
		case line == "\n":
			return version
		case strings.HasPrefix(line, "id: "):
			if version, err = strconv.ParseInt(strings.TrimSpace(line[4:]), 10, 64); err != nil {
				r.t.Fatal(err)
			}
		}
	}
}

// watched returns a board with one viewer, who has read the first frame. It must
// be called in a synctest bubble, which the board's clock is then of.
func watched(t *testing.T) (*board, reader, *counter) {
	t.Helper()
	pages, err := web.NewPages()
	if err != nil {
		t.Fatal(err)
	}
	store := &counter{total: 1}
	s := New(Config{
		Store: store, Pages: pages, Interval: 200 * time.Millisecond, Heartbeat: 10 * time.Second, WriteTimeout: time.Hour,
		Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Now: time.Now,
	})
	b, first, err := s.board(t.Context(), "p")
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	if !b.join(newViewer(near, &first.tally), nil, first) {
		t.Fatal("the viewer was not let in")
	}
	r := reader{t, bufio.NewReader(far)}
	if version := r.version(); version != 1 {
		t.Fatalf("the first frame has version %d", version)
	}
	t.Cleanup(func() {
		if err := far.Close(); err != nil {
			t.Error(err)
		}
		s.End()
	})
	return b, r, store
}

func TestFirstChangeOfAQuietMomentIsSentAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, r, store := watched(t)
		for range 3 {
			time.Sleep(time.Second) // of the bubble's clock
			begin := time.Now()
			store.vote(b)
			if version := r.version(); version != store.total || time.Since(begin) != 0 {
				t.Errorf("version %d of %d came after %s", version, store.total, time.Since(begin))
			}
		}
	})
}

func TestNoMoreThanFiveFramesASecondAndTheLastNeverDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, r, store := watched(t)
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
			frames, last = frames+1, r.version()
		}
		if took := time.Since(begin); frames > 1+int(took/(200*time.Millisecond)) {
			t.Errorf("%d frames in %s", frames, took)
		}
	})
}

func TestViewerThatDoesNotReadMakesNobodyHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _, store := watched(t)
		before := store.readings()
		for range 1000 { // for two seconds
			store.vote(b)
			time.Sleep(2 * time.Millisecond) // of the bubble's clock
		}
		if reads := store.readings() - before; reads > 11 {
			t.Errorf("the store was read %d times in two seconds", reads)
		}
	})
}

func TestNothingButHeartbeatsIsSentWhileNothingChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, r, _ := watched(t)
		begin := time.Now()
		for range 3 {
			b.ring() // nothing is new, though
			if version := r.version(); version != 0 {
				t.Errorf("after %s version %d was sent again", time.Since(begin), version)
			}
		}
		if took := time.Since(begin); took != 30*time.Second {
			t.Errorf("three heartbeats took %s", took)
		}
	})
}

// The first viewer of a poll, who starts its publisher, may have come just before.
func TestNothingBeginsThatTheEndDoesNotWaitFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _, _ := watched(t)
		b.role.End()
		b.role.begin(func() { t.Error("something began after the end") })
		synctest.Wait()
	})
}

func TestViewerThatMissedFramesReadsTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, r, store := watched(t)
		for range 10 {
			store.vote(b)
			time.Sleep(time.Second) // of the bubble's clock
		}
		// The kernel had the first of them already, so to say.
		if first, second := r.version(), r.version(); first != 2 || second != store.total {
			t.Errorf("got versions %d and %d, want 2 and the newest, %d", first, second, store.total)
		}
	})
}

// silence is a bell that nobody rings.
type silence struct{}

func (silence) Listen(ctx context.Context, _ func(string)) error {
	<-ctx.Done()
	return nil
}

func TestStoreIsAskedOnceASecondHowFarBehindItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, r, store := watched(t)
		b.role.cfg.Bell = silence{}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.role.Run(ctx) }()
		for range 100 { // however many come
			b.stale()
			time.Sleep(100 * time.Millisecond) // of the bubble's clock
		}
		if looks := store.lookings(); looks < 9 || looks > 11 {
			t.Errorf("it was asked %d times in ten seconds", looks)
		}
		store.fallBehind(time.Minute)
		begin := time.Now()
		for b.stale() == 0 {
			r.version()
		}
		if took := time.Since(begin); took > lookEvery {
			t.Errorf("the viewers were told after %s", took)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
