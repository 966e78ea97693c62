package drill

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"popeye/internal/client"
	"popeye/internal/local"
	"popeye/internal/progress"
)

// drill is one drill under way.
type drill struct {
	Config
	// setup is nil where the Popeye is not ours.
	setup  *local.Setup
	target *target
	book   *book
	bar    *progress.Bar
	// stage says what is being done.
	stage atomic.Pointer[string]
}

// What is being done, as it is shown.
const (
	starting  = "starting the parts"
	casting   = "casting"
	closing   = "waiting for the final results"
	comparing = "comparing what was counted with the journal"
)

func (d *drill) enter(stage string) { d.stage.Store(&stage) }

func (d *drill) run(ctx context.Context, plan iter.Seq[Step]) (report Report, err error) {
	d.book = newBook()
	d.enter(starting)
	d.bar = progress.Show(d.Progress, d.progress)
	defer d.bar.End()
	if err := d.start(ctx); err != nil {
		return report, err
	}
	if d.setup != nil {
		defer func() { //nolint:contextcheck // ends it even when ctx is done
			if end := d.setup.Close(); end != nil {
				report.Problems = append(report.Problems, end.Error())
			}
		}()
	}
	if err := d.target.open(ctx); err != nil {
		return report, err
	}
	d.enter(casting)
	elapsed, err := d.cast(ctx, plan)
	if err != nil {
		return report, err
	}
	report = d.report()
	report.Elapsed = elapsed
	err = d.compare(ctx, &report)
	return report, err
}

// start starts a Popeye, unless there is one.
func (d *drill) start(ctx context.Context) error {
	if d.Server != "" {
		d.target = newTarget([]string{d.Server}, []string{d.Server}, client.New(d.Server, d.Token))
		return nil
	}
	var err error
	d.setup, err = local.Start(ctx, local.Config{
		Binary: d.Binary, Dir: d.Dir, Servers: d.Servers, Copies: d.Copies, Linked: true,
		Replicas: map[local.Role]int{local.Poll: replicas, local.Worker: replicas, local.Result: replicas, local.Admin: 1},
	})
	if err != nil {
		return err
	}
	organiser := client.New(d.setup.URLs(local.Admin)[0], d.setup.Token)
	d.target = newTarget(d.setup.URLs(local.Poll), d.setup.URLs(local.Result), organiser)
	return nil
}

func (d *drill) journalFile() string { return filepath.Join(d.Dir, "journal") }

// cast casts the votes while parts are broken, and returns how long that took,
// when all is whole again.
func (d *drill) cast(ctx context.Context, plan iter.Seq[Step]) (time.Duration, error) {
	j, err := newJournal(d.journalFile())
	if err != nil {
		return 0, err
	}
	begin := d.book.start()
	s := &saboteur{setup: d.setup, book: d.book, tell: func(line string) {
		at := time.Since(begin).Round(100 * time.Millisecond)
		d.bar.Print(func() { fmt.Fprintf(d.Out, "%9s  %s\n", at, line) })
	}}
	group, both := errgroup.WithContext(ctx)
	casting, enough := context.WithTimeout(both, d.Duration)
	defer enough()
	breaking, stop := context.WithCancel(both)
	defer stop()
	var elapsed time.Duration
	group.Go(func() error {
		defer stop()
		err := newCaster(d.target, j, d.book, d.Config).castAll(both, d.Config, casting.Done())
		elapsed = time.Since(begin)
		return err
	})
	group.Go(func() error {
		err := s.run(breaking, plan)
		if d.endsWithPlan {
			enough()
		}
		return err
	})
	group.Go(func() error {
		select {
		case <-d.Enough:
			enough()
		case <-breaking.Done(): // it is enough already
		}
		return nil
	})
	err = errors.Join(group.Wait(), j.close())
	if err != nil {
		return 0, err
	}
	return elapsed, s.recover(ctx)
}

// progress tells how far the drill is.
func (d *drill) progress() (share float64, text string) {
	if stage := *d.stage.Load(); stage != casting {
		return 0, stage
	}
	acked, faults, elapsed := d.book.progress()
	share = max(float64(acked)/float64(d.Votes), float64(elapsed)/float64(d.Duration))
	return share, fmt.Sprintf("%d of %d votes, %s of %s, %d faults",
		acked, d.Votes, elapsed.Round(time.Second), d.Duration, faults)
}

// report returns what is known when the casting is over.
func (d *drill) report() Report {
	b := d.book
	b.mu.Lock()
	defer b.mu.Unlock()
	return Report{
		Seed: d.Seed, Plan: d.Plan, Faults: b.faults, Again: b.again,
		Silence: b.longest, SilenceAt: b.longestAt,
	}
}

// compare closes the polls and compares what was counted with the journal.
func (d *drill) compare(ctx context.Context, report *Report) error {
	d.enter(closing)
	results, differences, err := d.target.finish(ctx)
	if err != nil {
		return err
	}
	d.enter(comparing)
	file, err := os.Open(d.journalFile())
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // it was only read
	r := newReckoning(d.target.polls)
	if err := readJournal(file, r.read); err != nil {
		return err
	}
	report.Attempted, report.Acknowledged, report.Others = r.attempted, r.acknowledged, r.others
	report.Refused, report.Unknown = r.refused, int64(len(r.open))
	for i, account := range r.polls {
		if err := d.target.receipts(ctx, d.target.polls[i].id, account.list); err != nil {
			return err
		}
		report.add(account.verdict(results[i]), results[i])
	}
	d.complain(report, differences)
	return nil
}

// complain adds to the report what else should not have happened.
func (d *drill) complain(report *Report, differences []string) {
	d.book.mu.Lock()
	defer d.book.mu.Unlock()
	report.Problems = append(append(report.Problems, d.book.problems...), differences...)
	if d.book.trouble != nil && report.Unknown > 0 {
		report.Trouble = d.book.trouble.Error()
	}
	for status, votes := range report.Refused {
		report.Problems = append(report.Problems, fmt.Sprintf("%d votes were refused with %d while the poll was open", votes, status))
	}
}
