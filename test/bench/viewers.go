package main

import (
	"context"
	"fmt"
	"time"

	"popeye/internal/load"
)

// watched is what many viewers cost a server.
type watched struct {
	// before and with are its memory in MB, without and with the viewers.
	before, with float64
	// cpu is its processor time for one frame to one viewer.
	cpu time.Duration
	// deliveries is how many frames to one viewer that was measured on.
	deliveries int64
	viewing    load.Viewing
	// quietFrames and quietCPU are what it sent, and did, while nothing changed.
	quietFrames int64
	quietCPU    time.Duration
}

// manyViewers measures what viewers cost who look at the same poll.
func (b *bench) manyViewers(ctx context.Context) error {
	for round := range b.rounds {
		// How quiet it is when nothing changes takes long, and needs no floor.
		quiet := time.Duration(0)
		if round == 0 {
			quiet = b.quiet
		}
		floor, err := b.watch(ctx, 0, func() (*process, error) { return b.startFloor(ctx, "viewers") })
		if err != nil {
			return fmt.Errorf("the floor: %w", err)
		}
		popeye, err := b.watch(ctx, quiet, func() (*process, error) { return b.startPopeye(ctx) })
		if err != nil {
			return err
		}
		b.say("viewers %d/%d: %.0f MB (floor %.0f), %s a delivery (floor %s); %s", round+1, b.rounds,
			popeye.with, floor.with, popeye.cpu, floor.cpu, popeye.viewing)
		b.enterWatched(popeye, floor, quiet)
	}
	return nil
}

func (b *bench) enterWatched(popeye, floor watched, quiet time.Duration) {
	enter := func(name, format string, target, measured, least float64) {
		f := figure{name: name, target: target, format: format, floor: broadcasterFloor}
		b.table.of(f).add(measured, least)
	}
	who := fmt.Sprintf("%d viewers: ", b.viewers)
	kib := 1e6 / 1024 / float64(b.viewers)
	enter(who+"server's memory", "%.0f MB", 150, popeye.with, floor.with)
	enter(who+"memory for each", "%.1f KiB", 0, (popeye.with-popeye.before)*kib, (floor.with-floor.before)*kib)
	enter(who+"CPU per delivery", "%.1f us", 14, float64(popeye.cpu.Nanoseconds())/1e3, float64(floor.cpu.Nanoseconds())/1e3)
	enter(who+"last after first, p99", "%.0f ms", 0, millis(popeye.viewing.Spread.P99), millis(floor.viewing.Spread.P99))
	if quiet > 0 {
		f := figure{name: fmt.Sprintf("%sframes in %s without a change", who, quiet), target: 1, format: "%.0f"}
		b.table.of(f).add(float64(popeye.quietFrames), 0)
		f = figure{name: who + "CPU without a change", format: "%.1f %% of a core"}
		b.table.of(f).add(100*popeye.quietCPU.Seconds()/quiet.Seconds(), 0)
	}
}

// watch seats the viewers, casts votes one at a time, and waits a while.
func (b *bench) watch(ctx context.Context, quiet time.Duration, start func() (*process, error)) (w watched, err error) {
	p, err := start()
	if err != nil {
		return w, err
	}
	defer p.stop()
	if w.before, err = p.rss(); err != nil {
		return w, err
	}
	audience, err := load.Watch(ctx, load.Config{URL: p.url, Poll: pollID, Viewers: b.viewers})
	if err != nil {
		return w, fmt.Errorf("seat %d viewers (each needs an open file here and there, see ulimit -n): %w", b.viewers, err)
	}
	defer audience.Close()
	used, err := p.cpu()
	if err != nil {
		return w, err
	}
	if _, err := cast(ctx, p, int(b.stream.Seconds()*calm), calm); err != nil {
		return w, err
	}
	w.viewing = audience.Report()
	w.deliveries = w.viewing.Frames
	now, err := p.cpu()
	if err != nil {
		return w, err
	}
	if w.deliveries == 0 || w.viewing.Lost+w.viewing.Behind > 0 {
		return w, fmt.Errorf("not everybody saw the newest frame: %s", w.viewing)
	}
	w.cpu = (now - used) / time.Duration(w.deliveries)
	if w.with, err = p.rss(); err != nil || quiet == 0 {
		return w, err
	}
	if err := wait(ctx, quiet); err != nil {
		return w, err
	}
	later, err := p.cpu()
	w.quietCPU = later - now
	w.quietFrames = audience.Report().Frames - w.deliveries
	return w, err
}
