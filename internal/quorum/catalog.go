package quorum

import (
	"context"
	"fmt"
	"sync"
	"time"

	"popeye"
)

// announceEvery is how often the voter key is announced to a server that has
// heard it: it may have lost its data since.
const announceEvery = 5 * time.Second

// polls is a catalog with its rounds.
type polls struct {
	catalog *popeye.Catalog
	rounds  map[int64]*popeye.Definition
}

// round returns the definition of a round, nil where it is nobody's current one.
func (p *polls) round(number int64) *popeye.Definition {
	if p == nil {
		return nil
	}
	return p.rounds[number]
}

// version is below that of any catalog where there is none.
func (p *polls) version() int64 {
	if p == nil {
		return -1
	}
	return p.catalog.Version()
}

// Catalog returns the newest catalog that any server has shown, nil before the
// first.
func (q *Queue) Catalog() *popeye.Catalog {
	if p := q.known.Load(); p != nil {
		return p.catalog
	}
	return nil
}

// Answering returns how many servers answered when they were asked last. Run asks
// them.
func (q *Queue) Answering() int {
	n := 0
	for _, p := range q.places {
		if p.health.Load() == answers {
			n++
		}
	}
	return n
}

// Run keeps the catalog fresh and announces the voter key until ctx is done, then
// returns nil. Servers that are away are waited for.
func (q *Queue) Run(ctx context.Context) error {
	var loops sync.WaitGroup
	for _, p := range q.places {
		loops.Go(func() { q.tend(ctx, p) })
	}
	loops.Wait()
	return nil
}

func (q *Queue) tend(ctx context.Context, p *place) {
	ticker := time.NewTicker(q.cfg.Refresh)
	defer ticker.Stop()
	var announced time.Time
	for ctx.Err() == nil {
		err := q.fetch(ctx, p)
		if err == nil && q.cfg.VoterKey != "" && q.cfg.Now().Sub(announced) >= announceEvery {
			if err = p.announce(ctx, q.cfg.VoterKey); err == nil {
				announced = q.cfg.Now()
			}
		}
		q.heard(ctx, p, err)
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

// heard notes whether a server did what it was asked, and tells of every change.
func (q *Queue) heard(ctx context.Context, p *place, err error) {
	if ctx.Err() != nil {
		return
	}
	now := answers
	if err != nil {
		now = isAway
	}
	p.metrics.answers(err == nil)
	switch changed := p.health.Swap(now) != now; {
	case changed && err == nil:
		q.cfg.Log.InfoContext(ctx, "queue server answers", "place", p.name)
	case changed:
		q.cfg.Log.WarnContext(ctx, "queue server does not answer", "place", p.name, "error", err)
	}
}

// fetch adopts the catalog of a server if it is the newest.
func (q *Queue) fetch(ctx context.Context, p *place) error {
	c, err := p.catalog(ctx, q.known.Load().version())
	if err != nil {
		return fmt.Errorf("read the polls: %w", err)
	}
	if c != nil {
		q.adopt(c)
	}
	return nil
}

func (q *Queue) adopt(c *popeye.Catalog) {
	next := &polls{catalog: c, rounds: make(map[int64]*popeye.Definition, len(c.All()))}
	for _, d := range c.All() {
		next.rounds[d.Round] = d
	}
	for {
		known := q.known.Load()
		if known.version() >= c.Version() || q.known.CompareAndSwap(known, next) {
			return
		}
	}
}

// definition returns the definition of a round, which may have been published a
// moment ago.
func (q *Queue) definition(ctx context.Context, round int64) (*popeye.Definition, error) {
	if d := q.known.Load().round(round); d != nil {
		return d, nil
	}
	q.refresh(ctx)
	known := q.known.Load()
	if d := known.round(round); d != nil {
		return d, nil
	}
	if known == nil && q.told.Load() == 0 {
		return nil, fmt.Errorf("%w: no queue server tells what polls there are", popeye.ErrUnavailable)
	}
	return nil, fmt.Errorf("round %d: %w", round, popeye.ErrNotFound)
}

// isGone reports whether a round that a server does not know is none any more.
// Otherwise that server has lost its data, and will be told again.
func (q *Queue) isGone(ctx context.Context, round int64) bool {
	q.refresh(ctx)
	return q.known.Load().round(round) == nil
}

// refresh asks all servers for their catalog, now. Casts that want that at the
// same time share one pass that began after each of them.
func (q *Queue) refresh(ctx context.Context) {
	before := q.passes.Load()
	select {
	case q.refreshing <- struct{}{}:
	case <-ctx.Done():
		return
	}
	defer func() { <-q.refreshing }()
	if q.passes.Load() > before {
		return
	}
	q.passes.Add(1)
	told := int64(0)
	for _, p := range q.places {
		// A server that does not answer has no say; Run logs it.
		if !p.isResting() && q.fetch(ctx, p) == nil {
			told++
		}
	}
	q.told.Store(told)
}
