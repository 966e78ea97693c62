// Package load casts votes at a running Popeye as its voters would, watches the
// result as its viewers would, and says whether what was acknowledged is what
// was counted. It sees Popeye from outside only, by its HTTP contract.
package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"time"

	"popeye/internal/progress"
)

// Bounds of a run.
const (
	MaxVotes       = 10_000_000
	MaxConcurrency = 16_384
	MaxViewers     = 200_000
)

// Config says how much to cast, and where.
type Config struct {
	// URL is the address of Popeye, such as http://localhost:8080. A path in it
	// is where Popeye is mounted.
	URL string
	// ResultURL is where results are, if not at URL: where no reverse proxy joins
	// the roles.
	ResultURL string
	// Poll is the poll to vote in, empty for the only open one. Nobody else
	// should vote there meanwhile: their votes would be taken for ours.
	Poll string
	// Votes is how many votes to cast, each by a voter of its own: 1 to MaxVotes.
	Votes int
	// Concurrency is how many voters cast at the same time in a closed loop: 1 to
	// MaxConcurrency. An open loop has as many as its schedule needs, up to this
	// number or 4096, whichever is more.
	Concurrency int
	// Rate is the number of casts to begin each second, whatever the answers do
	// (open loop). At zero each voter begins a cast when the one before is
	// answered (closed loop).
	Rate float64
	// Viewers is how many more streams to open and follow; see Audience.
	Viewers int
	// Timeout bounds one attempt of one request. Zero: 10 s.
	Timeout time.Duration
	// Settle bounds the wait for the result to show what was acknowledged.
	// Zero: 30 s.
	Settle time.Duration
	// Linger is how long the result is watched after that, for votes too many.
	// Zero: 1 s.
	Linger time.Duration
	// Dial makes connections, before TLS. Nil: the default of package net.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Out gets the report as text. Nil: nobody does.
	Out io.Writer
	// Progress gets a bar if it is a terminal, and otherwise a line every few
	// seconds. Nil: nobody does.
	Progress io.Writer
}

// Run casts the votes, waits for the result, and reports. The error says why
// the votes could not be cast, or not be checked; that votes are missing or too
// many is no error but in the report. Once ctx is done it casts no more, checks
// nothing, and returns what is known with an error.
func Run(ctx context.Context, cfg Config) (Report, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return Report{}, err
	}
	t, err := newTarget(cfg, cfg.URL)
	if err != nil {
		return Report{}, err
	}
	results, err := newTarget(cfg, cmp.Or(cfg.ResultURL, cfg.URL))
	if err != nil {
		return Report{}, err
	}
	p, err := t.choose(ctx, cfg.Poll)
	if err != nil {
		return Report{}, err
	}
	before, err := results.result(ctx, p.ID)
	if err != nil {
		return Report{}, err
	}
	r := newRun(cfg, t, p, before)
	r.results = results
	report, err := r.perform(ctx)
	if cfg.Out != nil && report.begun() {
		_, printErr := io.WriteString(cfg.Out, report.String())
		err = errors.Join(err, printErr)
	}
	return report, err
}

// complete returns c with its defaults, or what is wrong with it.
func (c Config) complete() (Config, error) {
	for _, bound := range []struct {
		name        string
		value       int
		least, most int
	}{
		{"votes", c.Votes, 1, MaxVotes},
		{"concurrency", c.Concurrency, 1, MaxConcurrency},
		{"viewers", c.Viewers, 0, MaxViewers},
	} {
		if bound.value < bound.least || bound.value > bound.most {
			return c, fmt.Errorf("%s must be %d to %d, is %d", bound.name, bound.least, bound.most, bound.value)
		}
	}
	if c.Rate < 0 || math.IsNaN(c.Rate) || c.Rate > MaxVotes {
		return c, fmt.Errorf("rate must be 0 to %d votes a second, is %g", MaxVotes, c.Rate)
	}
	c.Timeout = orElse(c.Timeout, 10*time.Second)
	c.Settle = orElse(c.Settle, 30*time.Second)
	c.Linger = orElse(c.Linger, time.Second)
	if c.Dial == nil {
		c.Dial = (&net.Dialer{}).DialContext
	}
	return c, nil
}

func orElse(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}

// run is one run under way.
type run struct {
	Config
	target *target
	// results is where the result is read and watched, mostly the target too.
	results *target
	poll    pollInfo
	before  resultInfo
	ballot  *ballot
	book    *book
	screen  *screen
}

func newRun(cfg Config, t *target, p pollInfo, before resultInfo) *run {
	return &run{
		Config: cfg, target: t, results: t, poll: p, before: before,
		ballot: newBallot(t, p),
		book:   newBook(len(p.Options)),
		screen: newScreen(before.Total),
	}
}

// perform follows the stream and casts while it does, then checks.
func (r *run) perform(ctx context.Context) (Report, error) {
	viewing, endViewing := context.WithCancel(ctx)
	defer endViewing()
	f, err := follow(viewing, r.results, r.poll.ID, r.screen.show)
	if err != nil {
		return Report{}, err
	}
	defer func() {
		endViewing()
		f.wait()
	}()
	audience, err := r.seat(viewing)
	if err != nil {
		return Report{}, err
	}
	defer audience.Close()
	stopped := r.castAll(ctx)
	report := r.report()
	if ctx.Err() != nil {
		return report, fmt.Errorf("interrupted after %d acknowledged votes: %w", report.Acknowledged, context.Cause(ctx))
	}
	if report.Acknowledged+report.Unknown == 0 {
		return report, r.noneCast(stopped)
	}
	err = r.check(ctx, f, audience, &report)
	return report, errors.Join(stopped, err)
}

// noneCast is the error of a run of which nothing can be checked.
func (r *run) noneCast(stopped error) error {
	if stopped != nil {
		return stopped
	}
	return fmt.Errorf("no vote was cast: %w", r.book.trouble)
}

func (r *run) seat(ctx context.Context) (*Audience, error) {
	if r.Viewers == 0 {
		return &Audience{}, nil
	}
	return watch(ctx, r.results, r.poll.ID, r.Viewers)
}

// progress returns which share of the votes is done after a while, and says so.
func (r *run) progress(after time.Duration) (share float64, text string) {
	done, acked := r.book.progress()
	return float64(done) / float64(r.Votes), fmt.Sprintf("%d of %d votes, %.0f/s", done, r.Votes, float64(acked)/after.Seconds())
}

// castAll casts all votes, and returns why it stopped before the last, or nil.
func (r *run) castAll(ctx context.Context) error {
	casting, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	begin := time.Now()
	bar := progress.Show(r.Progress, func() (float64, string) { return r.progress(time.Since(begin)) })
	defer bar.End()
	r.book.begin()
	if r.Rate > 0 {
		r.openLoop(ctx, casting, stop)
	} else {
		r.closedLoop(ctx, casting, stop)
	}
	if ctx.Err() != nil {
		return nil
	}
	return context.Cause(casting)
}
