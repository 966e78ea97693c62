package load

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Quantiles sums up measured times.
type Quantiles struct {
	// Count is how many were measured. The rest is zero if it is.
	Count         int64
	P50, P99, Max time.Duration
}

// spread collects times from a microsecond to ten minutes, in memory that does
// not grow, to three digits.
type spread struct{ *hdrhistogram.Histogram }

const longest = 10 * time.Minute

func newSpread() spread {
	return spread{hdrhistogram.New(1, longest.Microseconds(), 3)}
}

func (s spread) add(d time.Duration) {
	// Within the bounds there is no error.
	_ = s.RecordValue(min(max(d, 0), longest).Microseconds())
}

func (s spread) quantiles() Quantiles {
	if s.TotalCount() == 0 {
		return Quantiles{}
	}
	at := func(percent float64) time.Duration {
		return time.Duration(s.ValueAtQuantile(percent)) * time.Microsecond
	}
	return Quantiles{Count: s.TotalCount(), P50: at(50), P99: at(99), Max: at(100)}
}

// book is where casters note what became of votes. Its size does not depend on
// their number.
type book struct {
	mu    sync.Mutex
	start time.Time
	// lastAnswer is when a server last answered, first and last acknowledgement
	// bound the time that votes took.
	lastAnswer, lastAck time.Time
	latency             spread
	late                time.Duration
	done, acked, lost   int64
	// ackedBy and lostBy count, for each option, votes acknowledged and votes
	// whose fate is unknown.
	ackedBy, lostBy []int64
	refused         map[int]int64
	unsent          int64
	retries         int64
	// trouble is what went wrong last, nil when nothing has.
	trouble error
}

func newBook(options int) *book {
	return &book{
		latency: newSpread(),
		ackedBy: make([]int64, options), lostBy: make([]int64, options),
		refused: map[int]int64{},
	}
}

// begin starts the clock.
func (b *book) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.start = time.Now()
	b.lastAnswer, b.lastAck = b.start, b.start
}

// note enters a cast that was due and begun at these times.
func (b *book) note(options []int, o outcome, due, begun time.Time) {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done++
	b.late = max(b.late, begun.Sub(due))
	if o.fate != acknowledged {
		b.trouble = o.why()
	}
	switch o.fate {
	case acknowledged:
		b.acked++
		b.lastAck = now
		b.latency.add(now.Sub(due))
		tick(b.ackedBy, options)
	case unknown:
		b.lost++
		tick(b.lostBy, options)
	case refused:
		b.refused[o.status]++
	case unsent:
		b.unsent++
	}
	if o.fate == acknowledged || o.fate == refused {
		b.lastAnswer = now
	}
}

func tick(counts []int64, options []int) {
	for _, option := range options {
		counts[option]++
	}
}

func (b *book) retry() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.retries++
}

// progress returns how many casts are over, and how many acknowledged.
func (b *book) progress() (done, acked int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.done, b.acked
}

// hopeless returns why casting on makes no sense after o, or nil: the server
// would refuse every vote, or for a long time it answered none.
func (b *book) hopeless(o outcome) error {
	switch o.status {
	case http.StatusOK, http.StatusCreated, http.StatusConflict, http.StatusTooManyRequests:
		return nil
	case http.StatusGone, http.StatusNotFound:
		return errors.New("the poll was closed or deleted meanwhile")
	}
	if o.fate == refused {
		return fmt.Errorf("the server refuses votes: %w", o.why())
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if quiet := time.Since(b.lastAnswer); quiet > patience {
		return fmt.Errorf("no cast was answered for %s: %w", quiet.Round(time.Second), o.why())
	}
	return nil
}

// why says what went wrong last.
func (o outcome) why() error {
	if o.err != nil {
		return o.err
	}
	return fmt.Errorf("it answers %d %s", o.status, http.StatusText(o.status))
}
