package main

import (
	"context"
	"fmt"
	"time"

	"popeye/internal/load"
)

const (
	// pollID is the poll of a first start. The floors take any.
	pollID = "cats-dogs"
	// calm is a rate at which each vote finds everything quiet: two frames are
	// at least frameInterval apart.
	calm = 4
	// busy is a rate at which a large audience votes.
	busy = 2000
)

const broadcasterFloor = "empty SSE broadcaster"

// castToScreen measures the time from casting a vote to the frame that shows it.
func (b *bench) castToScreen(ctx context.Context) error {
	for round := range b.rounds {
		if err := b.screenRound(ctx, round); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) screenRound(ctx context.Context, round int) error {
	popeye, err := b.startPopeye(ctx)
	if err != nil {
		return err
	}
	defer popeye.stop()
	floor, err := b.startFloor(ctx, "viewers")
	if err != nil {
		return err
	}
	defer floor.stop()
	// Idle, they do not disturb each other, and take half the time together.
	idle, idleFloor, err := both(
		func() (load.Report, error) { return cast(ctx, popeye, b.lone, calm) },
		func() (load.Report, error) { return cast(ctx, floor, b.lone, calm) })
	if err != nil {
		return err
	}
	votes := int(b.stream.Seconds() * busy)
	rushFloor, err := cast(ctx, floor, votes, busy)
	if err != nil {
		return err
	}
	rush, err := cast(ctx, popeye, votes, busy)
	if err != nil {
		return err
	}
	b.say("cast to screen %d/%d: alone %s; at %d/s %s", round+1, b.rounds, idle.Screen, busy, rush.Screen)
	b.enterTime("cast to frame, idle, p50", 10, idle.Screen.P50, idleFloor.Screen.P50)
	b.enterTime("cast to frame, idle, p99", 50, idle.Screen.P99, idleFloor.Screen.P99)
	b.enterTime("cast to frame, 2,000 votes/s, p50", 0, rush.Screen.P50, rushFloor.Screen.P50)
	b.enterTime("cast to frame, 2,000 votes/s, p99", 250, rush.Screen.P99, rushFloor.Screen.P99)
	b.enterTime("cast, 2,000 votes/s, p99", 0, rush.Latency.P99, rushFloor.Latency.P99)
	return nil
}

func (b *bench) enterTime(name string, target float64, measured, floor time.Duration) {
	b.table.of(figure{name: name, target: target, format: "%.1f ms", floor: broadcasterFloor}).add(millis(measured), millis(floor))
}

// cast casts votes at that rate. It fails unless all are acknowledged, counted
// and shown.
func cast(ctx context.Context, p *process, votes int, rate float64) (load.Report, error) {
	report, err := load.Run(ctx, load.Config{URL: p.url, Poll: pollID, Votes: votes, Concurrency: 1, Rate: rate})
	if err == nil && (!report.OK || report.Acknowledged != int64(votes)) {
		err = fmt.Errorf("not all votes were counted:\n%s", report.String())
	}
	return report, err
}

// both runs two measurements at the same time.
func both(one, other func() (load.Report, error)) (load.Report, load.Report, error) {
	var second load.Report
	var secondErr error
	done := make(chan struct{})
	go func() {
		defer close(done)
		second, secondErr = other()
	}()
	first, err := one()
	<-done
	if err == nil {
		err = secondErr
	}
	return first, second, err
}
