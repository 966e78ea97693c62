package drill

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os/exec"
	"time"

	"popeye/internal/local"
)

const (
	// recoveryLimit bounds the wait until all is well again after a fault.
	recoveryLimit = time.Minute
	// execLimit bounds a command of a plan, and undoLimit the end of a fault: what a
	// command has to wait for may be a machine that starts.
	execLimit = 5 * time.Minute
	undoLimit = execLimit
	// outputDelay bounds the wait for what a command that was ended has started.
	outputDelay = 10 * time.Second
)

// saboteur breaks one part at a time, and mends it before the next.
type saboteur struct {
	// setup is nil where it is not ours.
	setup *local.Setup
	book  *book
	// tell is told what happens.
	tell func(line string)
}

// run carries out a plan until ctx is done or the plan ends. A fault that has
// begun is ended in any case.
func (s *saboteur) run(ctx context.Context, plan iter.Seq[Step]) error {
	for step := range plan {
		if !sleep(ctx, step.Wait) {
			return nil
		}
		if step.Action == "" {
			continue
		}
		if err := s.carryOut(ctx, step); err != nil {
			return fmt.Errorf("%s: %w", step, err)
		}
		if ctx.Err() != nil {
			return nil
		}
	}
	return nil
}

// carryOut breaks a part for a while, and waits until all is well again.
func (s *saboteur) carryOut(ctx context.Context, step Step) error {
	s.book.fault(step.Action)
	s.tell(step.String())
	undo, err := s.begin(ctx, step)
	if err == nil {
		sleep(ctx, step.For)
	}
	if undo != nil {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
		defer cancel()
		err = errors.Join(err, undo(ending))
	}
	if err != nil {
		return err
	}
	return s.recover(ctx)
}

// begin begins a fault, and returns what ends it, also where it has failed halfway.
func (s *saboteur) begin(ctx context.Context, step Step) (undo func(context.Context) error, err error) {
	if step.Action == Exec {
		return func(ctx context.Context) error { return command(ctx, step.Undo) }, s.exec(ctx, step)
	}
	if s.setup == nil {
		return nil, errors.New("only exec can be done to a Popeye that the drill has not started")
	}
	part := s.setup.Part(step.Target)
	if part == nil {
		return nil, errors.New("there is no such part")
	}
	switch step.Action {
	case Kill:
		return part.Start, part.Kill()
	case Restart:
		return part.Start, part.Stop()
	case Wipe:
		return part.Start, part.Wipe()
	case Pause:
		return func(context.Context) error { return part.Resume() }, part.Pause()
	default:
		return s.partition(step.Action, part)
	}
}

// exec runs a command of a plan to its end, though the drill may be over before: what
// ends a fault that is half done nobody knows.
func (s *saboteur) exec(ctx context.Context, step Step) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), execLimit)
	defer cancel()
	return command(ctx, step.Exec)
}

// partition breaks what leads to a server.
func (s *saboteur) partition(a Action, part *local.Part) (undo func(context.Context) error, err error) {
	link := part.Link()
	if link == nil {
		return nil, fmt.Errorf("nothing leads to %s that could be cut", part.Name)
	}
	mend := func(context.Context) error { return link.Mend() }
	switch a {
	case Cut:
		return mend, link.Cut()
	case Freeze:
		return mend, link.Freeze()
	case Mute:
		return mend, link.Mute()
	default:
		return nil, fmt.Errorf("nobody knows how to %s", a)
	}
}

// recover waits until every part is there again and every vote cast before is
// settled: then the next fault is the only one.
func (s *saboteur) recover(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, recoveryLimit)
	defer cancel()
	mended := time.Now()
	if s.setup != nil { // else the plan's own command has waited for the parts
		if err := s.startWhatEnded(ctx); err != nil {
			return err
		}
	}
	s.book.awaitSettled(ctx, mended)
	return nil
}

// startWhatEnded makes every part ready. That one has ended by itself is a problem,
// for none does because another one is away.
func (s *saboteur) startWhatEnded(ctx context.Context) error {
	for _, part := range s.setup.Parts() {
		if part.Running() {
			continue
		}
		s.book.problem(part.Name + " ended by itself, and was started again")
		if err := part.Start(ctx); err != nil {
			return err
		}
	}
	err := s.setup.AwaitReady(ctx)
	if err != nil && !errors.Is(ctx.Err(), context.Canceled) {
		s.book.problem(fmt.Sprintf("not all was well %s after a fault: %v", recoveryLimit, err))
	}
	return nil
}

// command runs a program, if there is one.
func command(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return nil
	}
	c := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // it stands in the plan
	c.WaitDelay = outputDelay
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}
