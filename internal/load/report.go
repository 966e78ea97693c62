package load

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Report is what a run found.
type Report struct {
	// URL and Poll say where the votes were cast.
	URL, Poll string
	// Acknowledged is how many votes the server said to stand, Unknown how many
	// it may or may not have taken: the last attempt had no answer, or one like
	// 503, and each vote was tried many times under the same key.
	Acknowledged, Unknown int64
	// Refused counts votes refused for good, by the answer's status, and Unsent
	// those that never reached the server.
	Refused map[int]int64
	Unsent  int64
	// Retries counts attempts beyond the first.
	Retries int64
	// Elapsed is the time from the first cast to the last acknowledgement.
	Elapsed time.Duration
	// Latency is the time from when a vote was due to its acknowledgement, all
	// attempts included. In a closed loop it is due when it begins.
	Latency Quantiles
	// Late is how long a cast began after it was due, at most: much of that says
	// that the machine or the limit of connections holds this client back. Only
	// in an open loop.
	Late time.Duration
	// Screen is the time from when a vote was due to the arrival of the first
	// frame that must include it; exact with one vote in flight at a time, and
	// never too short. Unseen is how many acknowledged votes no frame showed.
	Screen Quantiles
	Unseen int64
	// Reconnects is how often the stream had to be opened again.
	Reconnects int
	// Counted is by how much the result grew, Options the same for each option.
	Counted int64
	Options []Option
	// Viewing is what the further viewers saw, nil without any.
	Viewing *Viewing
	// Problems says what is wrong, a line each. OK says that nothing is: every
	// acknowledged vote was counted once, where it belongs, and shown.
	Problems []string
	OK       bool
}

// Option is what was acknowledged and counted for one option.
type Option struct {
	ID                             string
	Acknowledged, Unknown, Counted int64
}

// report returns what is known when casting ends.
func (r *run) report() Report {
	b := r.book
	b.mu.Lock()
	defer b.mu.Unlock()
	report := Report{
		URL: r.target.url, Poll: r.poll.ID,
		Acknowledged: b.acked, Unknown: b.lost, Refused: b.refused, Unsent: b.unsent, Retries: b.retries,
		Elapsed: b.lastAck.Sub(b.start),
		Latency: b.latency.quantiles(),
	}
	if r.Rate > 0 {
		report.Late = b.late
	}
	return report
}

// VotesPerSecond returns how many votes a second were acknowledged.
func (r *Report) VotesPerSecond() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Acknowledged) / r.Elapsed.Seconds()
}

func (r *Report) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// compare notes a problem unless counted is what was acknowledged, and perhaps
// some of the unknown. where completes "votes missing ...".
func (r *Report) compare(where string, acknowledged, unknown, counted int64) {
	switch {
	case counted < acknowledged:
		r.problem("%d votes missing %s: %d acknowledged, %d counted", acknowledged-counted, where, acknowledged, counted)
	case counted > acknowledged+unknown:
		r.problem("%d votes too many %s: %d acknowledged, %d unknown, %d counted (did somebody else vote?)",
			counted-acknowledged-unknown, where, acknowledged, unknown, counted)
	}
}

// begun reports whether anything was cast.
func (r *Report) begun() bool { return r.URL != "" }

// String returns the report as people read it.
func (r *Report) String() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-15s "+format+"\n", append([]any{name}, args...)...)
	}
	line("poll", "%s at %s", r.Poll, r.URL)
	line("acknowledged", "%d votes in %s: %.0f votes/s", r.Acknowledged, round(r.Elapsed), r.VotesPerSecond())
	line("latency", "%s", r.Latency)
	if r.Screen.Count > 0 {
		line("vote to screen", "%s", r.Screen)
	}
	if r.Late > 0 {
		line("begun late", "by %s at most", round(r.Late))
	}
	r.trouble(line)
	if r.Viewing != nil {
		line("viewers", "%s", r.Viewing)
	}
	for _, o := range r.Options {
		line("option "+o.ID, "%d acknowledged, %d counted", o.Acknowledged, o.Counted)
	}
	if r.OK {
		line("counted", "%d votes: every acknowledged vote once", r.Counted)
	}
	for _, p := range r.Problems {
		line("WRONG", "%s", p)
	}
	return b.String()
}

// trouble adds lines for what went wrong on the way.
func (r *Report) trouble(line func(name, format string, args ...any)) {
	for _, status := range slices.Sorted(maps.Keys(r.Refused)) {
		line("refused", "%d votes: %d %s", r.Refused[status], status, http.StatusText(status))
	}
	for _, l := range []struct {
		name  string
		count int64
		what  string
	}{
		{"not sent", r.Unsent, "votes: no connection"},
		{"unknown", r.Unknown, "votes: never answered, counted or not"},
		{"repeated", r.Retries, "attempts"},
		{"stream", int64(r.Reconnects), "times opened again"},
	} {
		if l.count > 0 {
			line(l.name, "%d %s", l.count, l.what)
		}
	}
}

// String returns the times in milliseconds.
func (q Quantiles) String() string {
	if q.Count == 0 {
		return "nothing measured"
	}
	return fmt.Sprintf("p50 %s, p99 %s, max %s", millis(q.P50), millis(q.P99), millis(q.Max))
}

func millis(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

// round drops the digits of d that nobody reads.
func round(d time.Duration) time.Duration {
	if d > time.Second {
		return d.Round(10 * time.Millisecond)
	}
	return d.Round(10 * time.Microsecond)
}
