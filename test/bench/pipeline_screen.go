package main

import (
	"context"
	"fmt"
	"time"

	"popeye"
	"popeye/internal/load"
)

// crowd is a rate at which a very large audience votes.
const crowd = 5000

// throughToScreen measures the time from casting a vote to the frame that shows
// it, through a pipeline.
func (b *bench) throughToScreen(ctx context.Context) error {
	for round := range b.rounds {
		if err := b.pipedScreen(ctx, round); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) pipedScreen(ctx context.Context, round int) error {
	p, err := b.startPipeline(ctx, 1, popeye.First)
	if err != nil {
		return err
	}
	defer p.stop()
	floor, err := b.startFloor(ctx, "viewers")
	if err != nil {
		return err
	}
	defer floor.stop()
	idle, idleFloor, err := both(
		func() (load.Report, error) { return p.cast(ctx, b.lone, calm) },
		func() (load.Report, error) { return cast(ctx, floor, b.lone, calm) })
	if err != nil {
		return err
	}
	votes := int(b.stream.Seconds() * crowd)
	rushFloor, err := cast(ctx, floor, votes, crowd)
	if err != nil {
		return err
	}
	rush, err := p.cast(ctx, votes, crowd)
	if err != nil {
		return err
	}
	b.say("pipeline to screen %d/%d: alone %s; at %d/s %s", round+1, b.rounds, idle.Screen, crowd, rush.Screen)
	b.enterTime("pipeline: cast to frame, idle, p50", 15, idle.Screen.P50, idleFloor.Screen.P50)
	b.enterTime("pipeline: cast to frame, idle, p99", 60, idle.Screen.P99, idleFloor.Screen.P99)
	b.enterTime("pipeline: cast to frame, 5,000 votes/s, p99", 350, rush.Screen.P99, rushFloor.Screen.P99)
	return nil
}

// cast is cast for a pipeline, whose results are elsewhere than its polls.
func (p *pipeline) cast(ctx context.Context, votes int, rate float64) (load.Report, error) {
	report, err := load.Run(ctx, load.Config{
		URL: p.poll.url, ResultURL: p.result.url, Poll: pollID, Votes: votes, Concurrency: 1, Rate: rate,
	})
	if err == nil && (!report.OK || report.Acknowledged != int64(votes)) {
		err = fmt.Errorf("not all votes were counted:\n%s", report.String())
	}
	return report, err
}

// watchPipeline measures what viewers cost the result role, and casting.
func (b *bench) watchPipeline(ctx context.Context) error {
	p, err := b.startPipeline(ctx, 1, popeye.First)
	if err != nil {
		return err
	}
	defer p.stop()
	before, err := p.result.rss()
	if err != nil {
		return err
	}
	alone, err := p.cast(ctx, b.lone, calm)
	if err != nil {
		return err
	}
	audience, err := load.Watch(ctx, load.Config{URL: p.result.url, Poll: pollID, Viewers: b.viewers})
	if err != nil {
		return fmt.Errorf("seat %d viewers: %w", b.viewers, err)
	}
	defer audience.Close()
	used, err := p.result.cpu()
	if err != nil {
		return err
	}
	watched, err := p.cast(ctx, int(b.stream.Seconds()*calm), calm)
	if err != nil {
		return err
	}
	seen := audience.Report()
	now, err := p.result.cpu()
	if err != nil {
		return err
	}
	with, err := p.result.rss()
	if err != nil {
		return err
	}
	if err := wait(ctx, b.quiet); err != nil {
		return err
	}
	later, err := p.result.cpu()
	if err != nil {
		return err
	}
	enter := func(name, format string, target, value float64) {
		b.table.of(figure{name: fmt.Sprintf("pipeline, %d viewers: %s", b.viewers, name), target: target, format: format}).add(value, 0)
	}
	enter("CPU of result per delivery", "%.1f us", 14, float64((now-used).Nanoseconds())/1e3/float64(seen.Frames))
	enter("memory for each", "%.1f KiB", 12, (with-before)*1e6/1024/float64(b.viewers))
	enter("CPU without a change", "%.1f %% of a core", 0, 100*(later-now).Seconds()/b.quiet.Seconds())
	enter("frames without a change", "%.0f", 1, float64(audience.Report().Frames-seen.Frames))
	b.enterBeside("pipeline: acknowledged, idle, p50, viewers looking", watched.Latency.P50, alone.Latency.P50)
	return nil
}

func (b *bench) enterBeside(name string, measured, alone time.Duration) {
	b.table.of(figure{name: name, format: "%.1f ms", floor: "nobody looking"}).add(millis(measured), millis(alone))
}
