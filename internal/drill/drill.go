// Package drill casts votes at a distributed Popeye while it kills, pauses,
// restarts and cuts off its parts, one at a time, and says at the end whether
// every acknowledged vote was counted exactly once. What it knows of the votes is
// what voters know: it sees Popeye from outside only.
package drill

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"time"
)

// Bounds of a drill.
const (
	MaxVotes    = 10_000_000
	MaxRate     = 100_000
	MaxDuration = 7 * 24 * time.Hour
	MaxServers  = 9
)

// replicas is how many processes each role has but admin, which has one.
const replicas = 2

// Config says what to drill.
type Config struct {
	// Seed makes up the votes, and the faults of a plan that leaves them to
	// chance. The same seed makes up the same ones.
	Seed uint64
	// Votes and Duration bound the casting, whichever is first: 1 to MaxVotes, and
	// up to MaxDuration.
	Votes    int
	Duration time.Duration
	// Rate is how many votes are cast a second, up to MaxRate.
	Rate float64
	// Plan is one of Plans, or a file of steps.
	Plan string
	// Binary is the popeye to start. Servers queue servers get Copies of each vote;
	// zero: three, two.
	Binary          string
	Servers, Copies int
	// Dir keeps the data, the logs and the journal, and is made if it is missing; it
	// must not hold a drill yet.
	// Empty: a temporary one, which is kept when something is wrong.
	Dir string
	// Server is the address of a Popeye that runs already, which is used instead
	// of starting one, and Token its administration token.
	Server, Token string
	// Timeout bounds one attempt. Zero: 3 s. Patience is how long a voter tries.
	// Zero: 2 min.
	Timeout, Patience time.Duration
	// Enough ends the casting when it is closed. Nil: nobody does.
	Enough <-chan struct{}
	// Out gets a line for each fault, and the report. Nil: nobody does.
	Out io.Writer
	// Progress gets a bar if it is a terminal, and otherwise a line every few
	// seconds. Nil: nobody does.
	Progress io.Writer

	// endsWithPlan: no vote is cast any more once the plan is carried out.
	endsWithPlan bool
}

// complete returns c with its defaults, or what is wrong with it.
func (c Config) complete() (Config, error) {
	c.Servers = cmp.Or(c.Servers, 3)
	c.Copies = cmp.Or(c.Copies, c.Servers/2+1)
	c.Timeout = cmp.Or(c.Timeout, 3*time.Second)
	c.Patience = cmp.Or(c.Patience, 2*time.Minute)
	if c.Out == nil {
		c.Out = io.Discard
	}
	for _, bound := range []struct {
		name               string
		value, least, most float64
	}{
		{"votes", float64(c.Votes), 1, MaxVotes},
		{"votes a second", c.Rate, 0.001, MaxRate},
		{"seconds", c.Duration.Seconds(), 0.001, MaxDuration.Seconds()},
		{"queue servers", float64(c.Servers), 1, MaxServers},
		{"copies of each vote, which is more than half of the queue servers", float64(c.Copies), float64(c.Servers/2 + 1), float64(c.Servers)},
	} {
		if !(bound.value >= bound.least && bound.value <= bound.most) { // nor NaN
			return c, fmt.Errorf("a drill has %.3g to %.0f %s, not %g", bound.least, bound.most, bound.name, bound.value)
		}
	}
	return c, nil
}

// plan returns the faults.
func (c Config) plan() (iter.Seq[Step], error) {
	chance := planned(c.Seed, size{
		kindRedis: c.Servers, kindPostgres: 1, kindPoll: replicas, kindWorker: replicas, kindResult: replicas, kindAdmin: 1,
	})
	if entries, ok := menu(c.Plan, c.Copies); ok {
		if c.Server != "" && len(entries) > 0 {
			return nil, fmt.Errorf("the plan %s breaks parts that the drill has started; for a Popeye that runs already, use quiet, or a file of exec steps", c.Plan)
		}
		return chance.choose(entries), nil
	}
	file, err := readPlan(c.Plan)
	if err != nil {
		return nil, fmt.Errorf("plan %q (not one of %v): %w", c.Plan, Plans(), err)
	}
	return file.resolve(chance)
}

// Run carries out a drill and reports. The error says why votes could not be
// cast, or not be compared with what was counted; that they do not agree is no
// error but in the report.
func Run(ctx context.Context, cfg Config) (Report, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return Report{}, err
	}
	plan, err := cfg.plan()
	if err != nil {
		return Report{}, err
	}
	temporary := cfg.Dir == ""
	if temporary {
		if cfg.Dir, err = temporaryDir(); err != nil {
			return Report{}, err
		}
	} else if err = os.MkdirAll(cfg.Dir, 0o711); err != nil { //nolint:gosec // as temporaryDir
		return Report{}, err
	}
	d := &drill{Config: cfg}
	report, err := d.run(ctx, plan)
	switch {
	case err != nil:
		err = fmt.Errorf("%w\nData, logs and journal are kept in %s", err, cfg.Dir)
	case temporary && report.OK():
		err = os.RemoveAll(cfg.Dir)
	default:
		report.Dir = cfg.Dir
	}
	if err == nil {
		_, err = io.WriteString(cfg.Out, report.String())
	}
	return report, err
}

// temporaryDir makes a folder which the database's user can get through, where
// that is another one than ours.
func temporaryDir() (string, error) {
	dir, err := os.MkdirTemp("", "popeye-drill-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o711) //nolint:gosec // see above; what is secret in it has rights of its own
}
