package load

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// dialing is how many viewers connect at the same time.
const dialing = 64

// Audience is a number of viewers of one poll's stream: a goroutine and some
// 5 KB for each. Its zero value is nobody.
type Audience struct {
	cancel  context.CancelFunc
	viewers sync.WaitGroup

	mu sync.Mutex
	// first says when the first of the viewers got each version.
	first  map[int64]time.Time
	seats  []seat
	spread spread
}

// seat is one viewer's progress.
type seat struct {
	// since is the version that the viewer got on connecting, last the newest.
	since, last int64
	// frames counts those after the first.
	frames int64
	lost   bool
}

// Viewing is what an audience saw.
type Viewing struct {
	// Viewers is how many there were, Lost how many streams broke before their
	// time.
	Viewers, Lost int
	// Frames counts the frames delivered, without each viewer's first; Merged
	// those that a viewer did not get because a newer one took their place.
	Frames, Merged int64
	// Behind is how many viewers have not got the newest frame.
	Behind int
	// Spread is how long after the first of all viewers another one got a frame.
	Spread Quantiles
}

// String returns the figures as people read them.
func (v Viewing) String() string {
	return fmt.Sprintf("%d, of which %d lost and %d behind; %d frames delivered, %d merged; after the first viewer: %s",
		v.Viewers, v.Lost, v.Behind, v.Frames, v.Merged, v.Spread)
}

// Watch seats cfg.Viewers viewers before the stream of cfg.Poll, which must be
// named, and returns when each has its first frame. They stay until Close, or
// until ctx is done. Of cfg only what says where to connect is used.
func Watch(ctx context.Context, cfg Config) (*Audience, error) {
	cfg.Votes, cfg.Concurrency = 1, 1
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	t, err := newTarget(cfg, cmp.Or(cfg.ResultURL, cfg.URL))
	if err != nil {
		return nil, err
	}
	return watch(ctx, t, cfg.Poll, cfg.Viewers)
}

func watch(ctx context.Context, t *target, poll string, viewers int) (*Audience, error) {
	ctx, cancel := context.WithCancel(ctx)
	a := &Audience{cancel: cancel, first: map[int64]time.Time{}, seats: make([]seat, viewers), spread: newSpread()}
	var connecting errgroup.Group
	connecting.SetLimit(dialing)
	for i := range viewers {
		connecting.Go(func() error { return a.sit(ctx, t, poll, i) })
	}
	if err := connecting.Wait(); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

// sit connects viewer i, waits for its first frame, and leaves it watching.
func (a *Audience) sit(ctx context.Context, t *target, poll string, i int) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e, err := t.open(ctx, poll)
	if err != nil {
		return fmt.Errorf("viewer %d: %w", i+1, err)
	}
	ev, err := e.nextResult()
	if err != nil {
		e.conn.close()
		return fmt.Errorf("viewer %d waits for the first frame: %w", i+1, err)
	}
	a.mu.Lock()
	a.seats[i] = seat{since: ev.id, last: ev.id}
	a.mu.Unlock()
	a.viewers.Go(func() { a.view(ctx, e, i) })
	return nil
}

// view notes the frames that a viewer gets until its stream ends.
func (a *Audience) view(ctx context.Context, e *events, i int) {
	defer e.conn.close()
	for {
		ev, err := e.nextResult()
		if err != nil {
			a.leave(i, ctx.Err() == nil)
			return
		}
		a.note(i, ev.id, time.Now())
	}
}

// nextResult waits for the next frame that shows a result.
func (e *events) nextResult() (event, error) {
	for {
		if ev, err := e.next(); err != nil || ev.name == "results" {
			return ev, err
		}
	}
}

func (a *Audience) note(i int, version int64, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := &a.seats[i]
	s.frames++
	s.last = max(s.last, version)
	first, known := a.first[version]
	if !known {
		a.first[version], first = at, at
	}
	a.spread.add(at.Sub(first))
}

func (a *Audience) leave(i int, lost bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seats[i].lost = lost
}

// Report returns what the viewers have seen until now.
func (a *Audience) Report() Viewing {
	a.mu.Lock()
	defer a.mu.Unlock()
	versions := make([]int64, 0, len(a.first))
	for v := range a.first {
		versions = append(versions, v)
	}
	slices.Sort(versions)
	v := Viewing{Viewers: len(a.seats), Spread: a.spread.quantiles()}
	for i := range a.seats {
		s := &a.seats[i]
		v.Frames += s.frames
		after, _ := slices.BinarySearch(versions, s.since+1)
		until, _ := slices.BinarySearch(versions, s.last+1)
		v.Merged += int64(until-after) - s.frames
		if s.lost {
			v.Lost++
		} else if until < len(versions) {
			v.Behind++
		}
	}
	return v
}

// Close sends all viewers away and returns when they are gone. It may be called
// again.
func (a *Audience) Close() {
	if a.cancel != nil {
		a.cancel()
	}
	a.viewers.Wait()
}
