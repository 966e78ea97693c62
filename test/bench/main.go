// Command bench measures the figures that Popeye promises on this machine, each
// beside a floor: something that does as little as can be, measured in the same
// run and in turns with Popeye, so that a slow hour of the machine slows both.
// It prints a Markdown table. It needs Linux, wrk, and the Go toolchain.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// limit bounds the whole run.
const limit = 12 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// settings are what the flags say.
type settings struct {
	only   string
	short  bool
	popeye string
	rounds int
	// floor and listen are for the children of this program.
	floor, listen string
}

func parse(args []string, out io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&s.only, "only", "a,b,c,d", "what to measure. In one process: a casting, b cast to screen, c many viewers, d at rest. "+
		"As a pipeline: e casting, f draining, g cast to screen, h many viewers")
	flags.BoolVar(&s.short, "short", false, "a quick look: one round of shorter measurements, 2,000 viewers")
	flags.StringVar(&s.popeye, "popeye", "", "binary to measure (default: built from this checkout)")
	flags.IntVar(&s.rounds, "rounds", 3, "rounds of each measurement")
	flags.StringVar(&s.floor, "floor", "", "be a floor instead: cookie or viewers (used by bench itself)")
	flags.StringVar(&s.listen, "listen", "", "address of the floor")
	return s, flags.Parse(args)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if s.floor != "" {
		return serveFloor(ctx, s.floor, s.listen)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	dir, err := os.MkdirTemp("", "popeye-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b, err := newBench(ctx, s, dir, stderr)
	if err != nil {
		return err
	}
	err = b.measure(ctx, s.only)
	if len(b.table.figures) > 0 {
		fmt.Fprintf(stdout, "%s, %d cores, %s/%s; %d rounds, client and server on this machine\n\n%s",
			runtime.Version(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, b.rounds, b.table.String())
	}
	return err
}

// bench is one run.
type bench struct {
	scale
	// dir is for everything that is written; self and popeye are binaries.
	dir, self, popeye string
	table             *table
	log               io.Writer
}

// scale says how much is measured.
type scale struct {
	rounds int
	// blast is how long a load without pause lasts, stream how long one at a
	// fixed rate.
	blast, stream time.Duration
	// lone is the number of votes cast one at a time.
	lone    int
	viewers int
	quiet   time.Duration
	starts  int
}

func newBench(ctx context.Context, s settings, dir string, log io.Writer) (*bench, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	b := &bench{
		scale: scale{
			rounds: s.rounds, blast: 4 * time.Second, stream: 5 * time.Second, lone: 67,
			viewers: 10_000, quiet: 10 * time.Second, starts: 5,
		},
		dir: dir, self: self, popeye: s.popeye, table: &table{}, log: log,
	}
	if s.short {
		b.scale = scale{
			rounds: 1, blast: 2 * time.Second, stream: 2 * time.Second, lone: 20,
			viewers: 2000, quiet: 3 * time.Second, starts: 3,
		}
	}
	if b.popeye == "" {
		err = b.build(ctx)
	}
	return b, err
}

// build builds Popeye as it is released.
func (b *bench) build(ctx context.Context) error {
	b.say("building Popeye")
	b.popeye = filepath.Join(b.dir, "popeye")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", b.popeye, "popeye/cmd/popeye")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build Popeye: %w\n%s", err, out)
	}
	return nil
}

// measure measures what only names, in this order.
func (b *bench) measure(ctx context.Context, only string) error {
	for _, part := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"a", b.casting},
		{"b", b.castToScreen},
		{"c", b.manyViewers},
		{"d", b.atRest},
		{"e", b.throughPipeline},
		{"f", b.drain},
		{"g", b.throughToScreen},
		{"h", b.watchPipeline},
	} {
		if !strings.Contains(only, part.name) {
			continue
		}
		if err := part.do(ctx); err != nil {
			return fmt.Errorf("part %s: %w", part.name, err)
		}
	}
	return nil
}

func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.log, "bench: "+format+"\n", args...) }

// wait waits, or fails once ctx is done.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
