//go:build cluster

package cluster_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// silence is how long a page believes in a stream that says nothing, no heartbeat either.
const silence = 12 * time.Second

// screen follows a poll's stream as a page does: it comes back when the stream ends, or
// has fallen silent.
type screen struct {
	poll   string
	cancel context.CancelFunc
	done   chan struct{}

	mu        sync.Mutex
	total     int64
	backwards bool
	breaks    int
	away      time.Duration // the longest time without a stream
	blind     time.Duration // the longest time between two frames
	sighted   time.Duration // when that was over, from the begin
	began     time.Time
	last      time.Time
	lost      time.Time // when it broke, zero while it is there
}

// watch opens the stream.
func watch(t *testing.T, poll string) *screen {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s := &screen{poll: poll, cancel: cancel, done: make(chan struct{}), began: time.Now(), last: time.Now()}
	t.Cleanup(s.close)
	go func() {
		defer close(s.done)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		for ctx.Err() == nil {
			s.follow(ctx, client, poll)
			time.Sleep(100 * time.Millisecond)
		}
	}()
	return s
}

func (s *screen) follow(ctx context.Context, client *http.Client, poll string) {
	over := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watchdog := time.AfterFunc(silence, cancel)
	defer watchdog.Stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, *address+"/api/v1/results/"+poll+"/stream", nil)
	if err != nil {
		return
	}
	response, err := client.Do(request)
	if err != nil {
		return
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return
	}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		watchdog.Reset(silence)
		data, ok := strings.CutPrefix(lines.Text(), "data:")
		var frame struct {
			Total int64 `json:"total"`
		}
		if ok && json.Unmarshal([]byte(data), &frame) == nil {
			s.show(frame.Total)
		}
	}
	if over.Err() == nil {
		s.mu.Lock()
		s.breaks++
		s.lost = time.Now()
		s.mu.Unlock()
	}
}

func (s *screen) show(total int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if !s.lost.IsZero() {
		s.away = max(s.away, now.Sub(s.lost))
		s.lost = time.Time{}
	}
	if gap := now.Sub(s.last); gap > s.blind {
		s.blind, s.sighted = gap, now.Sub(s.began)
	}
	s.last = now
	s.backwards = s.backwards || total < s.total
	s.total = max(s.total, total)
}

// seen returns the greatest total that was shown.
func (s *screen) seen() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// beyond says that the total is at least so much.
func (s *screen) beyond(least int64) error {
	if now := s.seen(); now < least {
		return fmt.Errorf("the result is %d, and not %d yet", now, least)
	}
	return nil
}

// stale and fresh say what the result says of itself: that votes may be missing, or not.
func (s *screen) stale() error { return s.freshness(true) }
func (s *screen) fresh() error { return s.freshness(false) }

func (s *screen) freshness(stale bool) error {
	client := http.Client{Timeout: 10 * time.Second}
	response, err := client.Get(*address + "/api/v1/results/" + s.poll)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if said := response.Header.Get("Stale-For"); response.StatusCode != http.StatusOK || (said != "") != stale {
		return fmt.Errorf("the result answers %s, stale for %q s", response.Status, said)
	}
	return nil
}

func (s *screen) close() {
	s.cancel()
	<-s.done
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("stream         broke %d times, was back after %s at most, %s at most between two frames, until %s\n",
		s.breaks, s.away.Round(time.Millisecond), s.blind.Round(time.Millisecond), s.sighted.Round(time.Second))
}

// backWithin says that a stream that broke was soon back. While people vote, a stream that
// is there shows something new in that time.
func (s *screen) backWithin(t *testing.T, limit time.Duration) {
	t.Helper()
	before := s.seen()
	eventually(t, limit, func() error { return s.beyond(before + 1) })
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away > limit {
		t.Errorf("the stream was back after %s, and not within %s", s.away, limit)
	}
}
