package worker

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"popeye"
)

// joint records together what several queue servers bring at about the same time.
// Each vote comes from as many servers as take a copy: in one transaction it is
// written once, and not first as one that is unconfirmed, to be changed at once.
//
// What comes while a transaction is under way waits for the next one. So does, for
// a moment, what comes first, unless nothing has come for a while.
type joint struct {
	// record makes a transaction, of size votes at most.
	record recordFunc
	size   int
	// servers are how many bring something, for which the first one waits no longer
	// than patience.
	servers  int
	patience time.Duration
	// quiet is how long nothing must have been recorded for the first one not to wait.
	quiet time.Duration

	mu      sync.Mutex
	waiting []*portion
	running bool
	// began is when the last transaction did.
	began time.Time
	// came is given with each portion.
	came signal
	work sync.WaitGroup
}

// recordFunc is Recorder's Record.
type recordFunc func(ctx context.Context, votes []popeye.Vote, done ...popeye.Progress) (popeye.Recorded, error)

// portion is what one server brings.
type portion struct {
	ctx      context.Context //nolint:containedctx // that of the caller, who waits
	votes    []popeye.Vote
	progress []popeye.Progress
	// done is closed when the rest is set.
	done     chan struct{}
	recorded popeye.Recorded
	err      error
	// alone: it was not recorded because something among all of it never can be.
	alone bool
}

// newJoint returns one for a number of servers, each of which begins a batch not
// sooner than linger after the last.
func newJoint(servers, size int, linger time.Duration, r recordFunc) *joint {
	return &joint{
		record: r, size: size, servers: servers, came: newSignal(),
		patience: linger / 4, quiet: 2 * linger,
	}
}

// Record is Recorder's. What a transaction did is counted by one of those who
// brought something.
func (j *joint) Record(ctx context.Context, votes []popeye.Vote, done ...popeye.Progress) (popeye.Recorded, error) {
	if j.servers == 1 || len(votes) >= j.size { // there is nothing to wait for
		return j.record(ctx, votes, done...)
	}
	mine := &portion{ctx: ctx, votes: votes, progress: done, done: make(chan struct{})}
	j.join(mine)
	<-mine.done // not later than the transaction under way, and ctx, end
	if mine.alone {
		return j.record(ctx, votes, done...)
	}
	return mine.recorded, mine.err
}

// join has p recorded, with what else is there by then.
func (j *joint) join(p *portion) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.waiting = append(j.waiting, p)
	j.came.give()
	if !j.running {
		j.running = true
		j.work.Go(j.run)
	}
}

// run records what waits until nothing does.
func (j *joint) run() {
	for {
		j.gather()
		portions := j.next()
		if len(portions) == 0 {
			return
		}
		j.settle(portions)
	}
}

// gather waits until there is something from every server, or for a moment.
func (j *joint) gather() {
	if j.isQuiet() {
		return
	}
	enough := time.After(j.patience)
	for !j.isComplete() {
		select {
		case <-j.came:
		case <-enough:
			return
		}
	}
}

func (j *joint) isQuiet() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return time.Since(j.began) >= j.quiet
}

func (j *joint) isComplete() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	votes := 0
	for _, p := range j.waiting {
		votes += len(p.votes)
	}
	return len(j.waiting) >= j.servers || votes >= j.size
}

// next returns the portions that are recorded next, as many as go together. With
// none the run is over.
func (j *joint) next() []*portion {
	j.mu.Lock()
	defer j.mu.Unlock()
	n, votes := 0, 0
	for n < len(j.waiting) && (n == 0 || votes+len(j.waiting[n].votes) <= j.size) {
		votes += len(j.waiting[n].votes)
		n++
	}
	if n == 0 {
		j.running = false
		return nil
	}
	portions := slices.Clone(j.waiting[:n])
	j.waiting = slices.Delete(j.waiting, 0, n)
	j.began = time.Now()
	return portions
}

// settle records portions and tells those who brought them.
func (j *joint) settle(portions []*portion) {
	var votes []popeye.Vote
	var done []popeye.Progress
	for _, p := range portions {
		votes = append(votes, p.votes...)
		done = append(done, p.progress...)
	}
	ctx, cancel := together(portions)
	defer cancel()
	recorded, err := j.record(ctx, votes, done...)
	for i, p := range portions {
		p.recorded, p.err = recorded, err
		p.alone = len(portions) > 1 && errors.Is(err, popeye.ErrUnrecordable)
		if i > 0 { // all of them ring for what has moved, only one counts
			p.recorded.Stored, p.recorded.Rejected = 0, 0
		}
		close(p.done)
	}
}

// together returns the context of a transaction, which is for all of them: it lasts
// as long as any of them may wait.
func together(portions []*portion) (context.Context, context.CancelFunc) {
	ctx := context.WithoutCancel(portions[0].ctx)
	var last time.Time
	for _, p := range portions {
		deadline, ok := p.ctx.Deadline()
		if !ok {
			return context.WithCancel(ctx)
		}
		if deadline.After(last) {
			last = deadline
		}
	}
	return context.WithDeadline(ctx, last)
}

// wait waits for what is under way, when nothing more comes.
func (j *joint) wait() { j.work.Wait() }
