package load

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// mostOpen is how many connections an open loop may use at least, whatever
// Concurrency is: it must not wait for answers.
const mostOpen = 4096

// Both loops begin no more casts once casting is done, and cut those under way
// only when ctx is done too.

// closedLoop casts all votes by Concurrency voters at a time.
func (r *run) closedLoop(ctx, casting context.Context, stop context.CancelCauseFunc) {
	var next atomic.Int64
	var casters sync.WaitGroup
	for range min(r.Concurrency, r.Votes) {
		casters.Go(func() {
			c := &caster{run: r, stop: stop}
			defer c.hangUp()
			for casting.Err() == nil {
				vote := int(next.Add(1) - 1)
				if vote >= r.Votes {
					return
				}
				c.cast(ctx, job{vote, time.Now()})
			}
		})
	}
	casters.Wait()
}

// openLoop begins casts on schedule. A vote's clock starts when it is due: that
// it had to wait for a connection, or for this program, is not left out.
func (r *run) openLoop(ctx, casting context.Context, stop context.CancelCauseFunc) {
	l := &schedule{run: r, stop: stop, jobs: make(chan job), most: max(mostOpen, r.Concurrency)}
	timer := time.NewTimer(0)
	defer timer.Stop()
	begin := time.Now()
	for vote := range r.Votes {
		due := begin.Add(time.Duration(float64(vote) / r.Rate * float64(time.Second)))
		if wait := time.Until(due); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-casting.Done():
			}
		}
		if casting.Err() != nil {
			break
		}
		l.hand(ctx, job{vote, due})
	}
	close(l.jobs)
	l.casters.Wait()
}

// schedule hands jobs to casters: to one that waits for a job, else to a new
// one while there may be more, else to whichever is free first.
type schedule struct {
	*run
	stop    context.CancelCauseFunc
	jobs    chan job
	casters sync.WaitGroup
	open    int
	most    int
}

func (l *schedule) hand(ctx context.Context, j job) {
	select {
	case l.jobs <- j:
		return
	default:
	}
	if l.open < l.most {
		l.open++
		l.casters.Go(func() { l.work(ctx, j) })
		return
	}
	select {
	case l.jobs <- j:
	case <-ctx.Done():
	}
}

func (l *schedule) work(ctx context.Context, j job) {
	c := &caster{run: l.run, stop: l.stop}
	defer c.hangUp()
	c.cast(ctx, j)
	for j := range l.jobs {
		c.cast(ctx, j)
	}
}
