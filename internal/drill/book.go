package drill

import (
	"context"
	"sync"
	"time"
)

// book is what is known of a drill while it runs.
type book struct {
	mu    sync.Mutex
	begin time.Time
	// underWay is when each vote that is not settled began.
	underWay map[int]time.Time
	entered  int

	settled, acked, unknown int64
	// again counts for what reasons votes were sent again.
	again map[string]int64
	// lastAck is when a vote was last acknowledged, longest the longest time
	// without, which began longestAt after the begin.
	lastAck            time.Time
	longest, longestAt time.Duration
	// trouble is what went wrong with the last vote that is not known.
	trouble error
	// problems are what should not happen, a line each.
	problems []string
	faults   map[Action]int
}

func newBook() *book {
	return &book{underWay: map[int]time.Time{}, faults: map[Action]int{}, again: map[string]int64{}}
}

// start starts the clock.
func (b *book) start() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.begin = time.Now()
	b.lastAck = b.begin
	return b.begin
}

// enter notes that a vote is under way, until the function returned is called.
func (b *book) enter() (leave func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.entered++
	number := b.entered
	b.underWay[number] = time.Now()
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.underWay, number)
	}
}

// settle notes what became of a vote.
func (b *book) settle(o outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settled++
	for reason, times := range o.again {
		b.again[reason] += times
	}
	if o.event == "" {
		b.unknown++
		b.trouble = o.trouble
		b.measure(time.Now())
	}
}

// acknowledge notes an acknowledgement.
func (b *book) acknowledge() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.acked++
	now := time.Now()
	b.measure(now)
	b.lastAck = now
}

// measure measures the time without an acknowledgement.
func (b *book) measure(now time.Time) {
	if gap := now.Sub(b.lastAck); gap > b.longest {
		b.longest, b.longestAt = gap, b.lastAck.Sub(b.begin)
	}
}

func (b *book) problem(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.problems = append(b.problems, text)
}

func (b *book) fault(a Action) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults[a]++
}

// progress returns how many votes are acknowledged, how many faults there were,
// and the time since the begin.
func (b *book) progress() (acked int64, faults int, elapsed time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range b.faults {
		faults += n
	}
	return b.acked, faults, time.Since(b.begin)
}

// awaitSettled waits until no vote is under way that began before a time, or ctx
// is done.
func (b *book) awaitSettled(ctx context.Context, before time.Time) bool {
	for !b.isSettled(before) {
		if !sleep(ctx, 20*time.Millisecond) {
			return false
		}
	}
	return true
}

func (b *book) isSettled(before time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, began := range b.underWay {
		if began.Before(before) {
			return false
		}
	}
	return true
}
