package load

import (
	"context"
	"fmt"
	"time"
)

// pollInterval is the time between two looks at the result.
const pollInterval = 100 * time.Millisecond

// check waits until the result shows what was acknowledged, watches it a little
// longer, and enters into the report what it shows, and all that is wrong.
func (r *run) check(ctx context.Context, f *follower, a *Audience, report *Report) error {
	after, err := r.settle(ctx, report.Acknowledged)
	if err != nil {
		return fmt.Errorf("votes cannot be checked: %w", err)
	}
	report.Counted = after.Total - r.before.Total
	r.compare(after, report)
	r.look(f, a, report)
	report.OK = len(report.Problems) == 0
	return nil
}

// look enters what the viewers saw.
func (r *run) look(f *follower, a *Audience, report *Report) {
	var backwards bool
	report.Reconnects, backwards = f.state()
	if backwards {
		report.problem("the stream showed an older result after a newer one")
	}
	report.Screen, report.Unseen = r.screen.finish(report.Counted)
	if report.Unseen > 0 {
		report.problem("the stream never showed %d of the votes", report.Unseen)
	}
	if r.Viewers == 0 {
		return
	}
	v := a.Report()
	report.Viewing = &v
	if v.Lost > 0 || v.Behind > 0 {
		report.problem("%d viewers lost their stream, %d have not got the newest frame", v.Lost, v.Behind)
	}
}

// settle returns the result once it shows the acknowledged votes, on the stream
// too, and has nothing queued, and a little later still; or as it is when it had
// enough time for that.
func (r *run) settle(ctx context.Context, acknowledged int64) (resultInfo, error) {
	done := func(now resultInfo) bool { return r.shows(now, acknowledged) }
	now, err := r.await(ctx, r.Settle, done)
	if err != nil || !done(now) {
		return now, err
	}
	return r.await(ctx, r.Linger, func(resultInfo) bool { return false })
}

// await reads the result until it is as wanted, or time is over, and returns it
// as read last.
func (r *run) await(ctx context.Context, most time.Duration, wanted func(resultInfo) bool) (resultInfo, error) {
	deadline := time.Now().Add(most)
	again := time.NewTicker(pollInterval)
	defer again.Stop()
	for {
		now, err := r.results.result(ctx, r.poll.ID)
		if err == nil && wanted(now) {
			return now, nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return now, err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
		}
	}
}

// shows reports whether all that was acknowledged is counted and on the screen.
func (r *run) shows(now resultInfo, acknowledged int64) bool {
	return now.Total-r.before.Total >= acknowledged && now.Ledger.Queued == 0 && r.screen.total() >= now.Total
}

// compare holds what is counted against what was acknowledged. Votes whose fate
// is unknown may be counted or not.
func (r *run) compare(after resultInfo, report *Report) {
	report.compare("in all", report.Acknowledged, report.Unknown, report.Counted)
	before, now := votesByOption(r.before), votesByOption(after)
	for i, o := range r.poll.Options {
		p := Option{
			ID: o.ID, Acknowledged: r.book.ackedBy[i], Unknown: r.book.lostBy[i],
			Counted: now[o.ID] - before[o.ID],
		}
		report.Options = append(report.Options, p)
		report.compare("for "+o.ID, p.Acknowledged, p.Unknown, p.Counted)
	}
	l, accepted := after.Ledger, after.Ledger.Accepted-r.before.Ledger.Accepted
	report.compare("in the ledger", report.Acknowledged, report.Unknown, accepted)
	if l.Accepted != l.Stored+l.Rejected+l.Queued {
		report.problem("the ledger is wrong: %d accepted, but %d stored, %d rejected, %d queued",
			l.Accepted, l.Stored, l.Rejected, l.Queued)
	}
}

func votesByOption(r resultInfo) map[string]int64 {
	votes := make(map[string]int64, len(r.Options))
	for _, o := range r.Options {
		votes[o.ID] = o.Votes
	}
	return votes
}
