package worker

import (
	"context"
	"errors"
	"slices"
	"time"

	"popeye"
)

// Why a vote is parked. A reason holds no choice.
const (
	reasonNoRound      = "no such round"
	reasonUnrecordable = "no such round, or an option that its poll does not have"
)

// batch is what one Receive returned, on its way into the store. What is done
// of it stays done when the rest is tried again.
type batch struct {
	// progress is that of all its deliveries, noted whether the store has that.
	progress popeye.Progress
	noted    bool
	// parts are the votes that are not recorded: one part, until a vote that can
	// never be recorded has to be found.
	parts [][]popeye.Delivery
	// divided: one of them was found, or is looked for, and that concerns nobody
	// else.
	divided bool
	// recorded are the votes that are, and are yet to be acknowledged.
	recorded []popeye.Delivery
	// seals are those that are yet to be followed.
	seals []popeye.Delivery
}

func newBatch(deliveries []popeye.Delivery) *batch {
	b := &batch{progress: deliveries[0].Progress}
	votes := deliveries
	if slices.ContainsFunc(deliveries, isSeal) {
		votes = nil
		for _, d := range deliveries {
			if isSeal(d) {
				b.seals = append(b.seals, d)
				continue
			}
			votes = append(votes, d)
		}
	}
	if len(votes) > 0 {
		b.parts = [][]popeye.Delivery{votes}
	}
	return b
}

func isSeal(d popeye.Delivery) bool { return d.Seal != 0 }

// hasProgress reports whether the store is to note how far the worker has come.
func (b *batch) hasProgress() bool { return b.progress != popeye.Progress{} }

// isRecorded reports whether the store has all votes and the progress.
func (b *batch) isRecorded() bool { return len(b.parts) == 0 && (b.noted || !b.hasProgress()) }

// left returns what is not known to be done with.
func (b *batch) left() []popeye.Delivery {
	if b.isRecorded() {
		return b.seals
	}
	return slices.Concat(slices.Concat(b.parts...), b.recorded, b.seals)
}

// recordNext records the first part of b and returns it. Where that can never be
// done, it parks the part or divides it, and returns none if the latter. The
// progress is noted with the last part only, so as not to run ahead.
func (w *Worker) recordNext(ctx context.Context, place string, b *batch) ([]popeye.Delivery, error) {
	part := b.parts[0]
	var p popeye.Progress
	if len(b.parts) == 1 {
		p = b.progress
	}
	moved, err := w.store(ctx, place, b, part, p)
	switch {
	case errors.Is(err, popeye.ErrUnrecordable) && !isOne(part, err):
		b.parts, b.divided = slices.Concat(divide(part), b.parts[1:]), true
		return nil, nil
	case errors.Is(err, popeye.ErrUnrecordable):
		moved, err = w.park(ctx, place, part, err)
	case err == nil:
		b.noted = b.noted || p != popeye.Progress{}
	}
	if err != nil {
		return nil, err
	}
	b.parts = b.parts[1:]
	w.ring(ctx, moved)
	return slices.Clip(part), nil
}

// isOne reports whether the fault that err tells of is one of the whole part.
func isOne(part []popeye.Delivery, err error) bool {
	return len(part) == 1 || errors.Is(err, popeye.ErrNotFound) && !slices.ContainsFunc(part, func(d popeye.Delivery) bool {
		return d.Vote.Round != part[0].Vote.Round
	})
}

// divide divides a part in which there is a vote at fault: by rounds, since a
// round that is gone takes all its votes along, and in halves where there is one
// round only.
func divide(part []popeye.Delivery) [][]popeye.Delivery {
	var first, others []popeye.Delivery
	for _, d := range part {
		if d.Vote.Round == part[0].Vote.Round {
			first = append(first, d)
			continue
		}
		others = append(others, d)
	}
	if len(others) > 0 {
		return [][]popeye.Delivery{first, others}
	}
	half := len(part) / 2
	return [][]popeye.Delivery{part[:half], part[half:]}
}

// store records votes of b in one transaction, together with what other servers
// bring. It returns the polls whose shown result moved. Failures of the store are
// told, those of a vote are not.
func (w *Worker) store(ctx context.Context, place string, b *batch, part []popeye.Delivery, p popeye.Progress) ([]string, error) {
	votes := make([]popeye.Vote, len(part))
	for i, d := range part {
		votes[i] = d.Vote
	}
	record := w.joint.Record
	if b.divided {
		record = w.transact
	}
	recorded, err := record(ctx, votes, p)
	if errors.Is(err, popeye.ErrUnrecordable) {
		w.health.store(nil)
		return nil, err
	}
	w.health.store(err)
	if err != nil {
		w.failed(ctx, opRecord, place, err)
		return nil, err
	}
	w.metrics.record(place, len(votes), recorded)
	return recorded.Moved, nil
}

// transact records votes in one transaction and measures it.
func (w *Worker) transact(ctx context.Context, votes []popeye.Vote, done ...popeye.Progress) (popeye.Recorded, error) {
	began := time.Now()
	recorded, err := w.Recorder.Record(ctx, votes, done...)
	w.metrics.duration.Observe(time.Since(began).Seconds())
	return recorded, err
}

// park puts votes aside that can never be recorded, because of err. It returns
// the polls whose shown result moved.
func (w *Worker) park(ctx context.Context, place string, part []popeye.Delivery, err error) ([]string, error) {
	reason := reasonUnrecordable
	if errors.Is(err, popeye.ErrNotFound) {
		reason = reasonNoRound
	}
	parked := make([]popeye.Parked, len(part))
	for i, d := range part {
		parked[i] = popeye.Parked{Vote: d.Vote, Reason: reason}
	}
	recorded, err := w.Recorder.Park(ctx, parked)
	w.health.store(err)
	if err != nil {
		w.failed(ctx, opPark, place, err)
		return nil, err
	}
	w.metrics.park(len(part), recorded)
	w.Log.WarnContext(ctx, "votes parked: they can never be recorded",
		"place", place, "round", part[0].Vote.Round, "votes", len(part), "reason", reason)
	return recorded.Moved, nil
}
