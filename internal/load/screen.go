package load

import (
	"sort"
	"sync"
	"time"
)

// screen measures how long votes take until a viewer sees them.
//
// A frame tells how many votes are counted, not which. What is measured is the
// time from when a vote was due (which is when it began, in a closed loop) to
// the arrival of the first frame that must include it. When its answer comes, a
// vote's rank is the number of votes begun by then: no more than these can have
// been counted before it or with it, so that a frame with that many more than
// before the run has it, given that votes are counted in an order in which none
// that began after another's answer overtakes it. (With several queue servers
// that is so but for small overtakings.)
//
// So no vote is taken for seen too early. The error is to the other side: a
// vote may have been in an earlier frame, by which it counts as seen later than
// it was, at most by the time in which the votes in flight beside it were
// counted. With one vote in flight at a time there is no error.
type screen struct {
	mu sync.Mutex
	// before is the result's total when the run began.
	before int64
	// begun counts the votes cast less those that are known not to count.
	begun  int64
	frames []shown
	// waiting are acknowledged votes that no frame has shown, in order of rank.
	waiting []pending
	times   spread
}

// shown is a frame that showed more than the one before it.
type shown struct {
	total int64
	at    time.Time
}

// pending is an acknowledged vote: seen once the total has grown by rank.
type pending struct {
	rank int64
	due  time.Time
}

func newScreen(before int64) *screen { return &screen{before: before, times: newSpread()} }

// begin notes that a vote is about to be sent.
func (s *screen) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun++
}

// withdraw notes that a vote that was begun will not be counted.
func (s *screen) withdraw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun--
}

// acknowledge notes that a vote that was begun is acknowledged.
func (s *screen) acknowledge(due time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := pending{rank: s.begun, due: due}
	if !s.see(p) {
		s.waiting = append(s.waiting, p)
	}
}

// show notes that a frame with this total arrived.
func (s *screen) show(total int64, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.frames); n > 0 && total <= s.frames[n-1].total {
		return
	}
	s.frames = append(s.frames, shown{total, at})
	seen := 0
	for seen < len(s.waiting) && s.see(s.waiting[seen]) {
		seen++
	}
	s.waiting = s.waiting[seen:]
}

// see measures p if a frame has shown it.
func (s *screen) see(p pending) bool {
	i := sort.Search(len(s.frames), func(i int) bool { return s.frames[i].total >= s.before+p.rank })
	if i == len(s.frames) {
		return false
	}
	s.times.add(s.frames[i].at.Sub(p.due))
	return true
}

// total returns the total on the screen, at least what it was before the run.
func (s *screen) total() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.frames) == 0 {
		return s.before
	}
	return max(s.before, s.frames[len(s.frames)-1].total)
}

// finish returns the times measured, and how many of the acknowledged votes no
// frame has shown. counted is by how much the result grew in all: a vote whose
// rank is beyond it, because others turned out not to count, is seen with the
// last of them.
func (s *screen) finish(counted int64) (Quantiles, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	unseen := int64(0)
	for _, p := range s.waiting {
		p.rank = min(p.rank, counted)
		if !s.see(p) {
			unseen++
		}
	}
	s.waiting = nil
	return s.times.quantiles(), unseen
}
