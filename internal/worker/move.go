package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"popeye"
)

// reasonUnrecordable stands with a parked vote. It holds no choice.
const reasonUnrecordable = "no such round, or an option that its poll does not have"

// moveAll moves batch after batch until ctx is done. After a failure it takes
// nothing for a while: what it takes it has to be able to record.
func (w *Worker) moveAll(ctx context.Context) {
	var retry backoff
	for ctx.Err() == nil {
		wait(ctx, retry.after(w.moveBatch(ctx)))
	}
}

// moveBatch receives one batch and moves it. Once received, the batch is
// finished even if ctx ends meanwhile, within Grace. It returns the last
// failure, which has been told and dealt with: every delivery is acknowledged
// or released.
func (w *Worker) moveBatch(ctx context.Context) error {
	deliveries, err := w.Queue.Receive(ctx, w.Batch)
	if err != nil {
		if ctx.Err() == nil {
			w.failed(ctx, opReceive, err)
		}
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), Grace)
	defer cancel()

	// No vote comes behind its round's seal: recording all votes first is
	// recording all that is before each seal.
	votes, seals := split(deliveries)
	if err := w.record(ctx, votes); err != nil {
		w.release(ctx, seals, err)
		return err
	}
	return w.finaliseAll(ctx, seals)
}

func split(deliveries []popeye.Delivery) (votes, seals []popeye.Delivery) {
	votes = make([]popeye.Delivery, 0, len(deliveries))
	for _, d := range deliveries {
		if d.Seal != 0 {
			seals = append(seals, d)
			continue
		}
		votes = append(votes, d)
	}
	return votes, seals
}

// record stores votes, tells those who show results, and only then
// acknowledges: a crash in between repeats a vote, and a repeat changes
// nothing. Where a vote can never be recorded, halving finds it.
func (w *Worker) record(ctx context.Context, votes []popeye.Delivery) error {
	if len(votes) == 0 {
		return nil
	}
	recorded, err := w.store(ctx, votes)
	switch {
	case err == nil:
		w.ring(ctx, recorded.Moved)
		return w.ack(ctx, votes)
	case !errors.Is(err, popeye.ErrUnrecordable):
		w.failed(ctx, opRecord, err)
		w.release(ctx, votes, err)
		return err
	case len(votes) == 1:
		return w.park(ctx, votes[0])
	}
	half := len(votes) / 2
	if err := w.record(ctx, votes[:half]); err != nil {
		w.release(ctx, votes[half:], err)
		return err
	}
	return w.record(ctx, votes[half:])
}

// store records votes in one transaction and measures it.
func (w *Worker) store(ctx context.Context, deliveries []popeye.Delivery) (popeye.Recorded, error) {
	votes := make([]popeye.Vote, len(deliveries))
	for i, d := range deliveries {
		votes[i] = d.Vote
	}
	began := time.Now()
	recorded, err := w.Recorder.Record(ctx, votes)
	w.metrics.duration.Observe(time.Since(began).Seconds())
	if errors.Is(err, popeye.ErrUnrecordable) {
		return popeye.Recorded{}, err
	}
	w.health.store(err)
	if err != nil {
		return popeye.Recorded{}, fmt.Errorf("record %d votes: %w", len(votes), err)
	}
	w.metrics.recorded.Add(float64(len(votes)))
	w.metrics.batches.Inc()
	w.metrics.batchSize.Observe(float64(len(votes)))
	return recorded, nil
}

// park puts a vote aside that can never be recorded.
func (w *Worker) park(ctx context.Context, d popeye.Delivery) error {
	err := w.Recorder.Park(ctx, []popeye.Parked{{Vote: d.Vote, Reason: reasonUnrecordable}})
	w.health.store(err)
	if err != nil {
		err = fmt.Errorf("park a vote: %w", err)
		w.failed(ctx, opPark, err)
		w.release(ctx, []popeye.Delivery{d}, err)
		return err
	}
	w.metrics.parked.Inc()
	w.Log.WarnContext(ctx, "vote parked: it can never be recorded", "round", d.Vote.Round, "reason", reasonUnrecordable)
	w.ring(ctx, w.pollsIn(d.Vote.Round))
	return w.ack(ctx, []popeye.Delivery{d})
}

// pollsIn returns the poll whose current round this is, if there is one.
func (w *Worker) pollsIn(round int64) []string {
	for _, d := range w.published.Load().All() {
		if d.Round == round {
			return []string{d.ID}
		}
	}
	return nil
}

// finaliseAll makes the rounds of the seals final. One that fails does not hold
// back the others.
func (w *Worker) finaliseAll(ctx context.Context, seals []popeye.Delivery) error {
	var failed error
	for _, s := range seals {
		if err := w.finalise(ctx, s); err != nil {
			failed = err
		}
	}
	return failed
}

func (w *Worker) finalise(ctx context.Context, seal popeye.Delivery) error {
	err := w.Register.Finalise(ctx, seal.Seal)
	if errors.Is(err, popeye.ErrNotFound) { // its poll was deleted
		return w.ack(ctx, []popeye.Delivery{seal})
	}
	w.health.store(err)
	if err != nil {
		err = fmt.Errorf("finalise round %d: %w", seal.Seal, err)
		w.failed(ctx, opFinalise, err)
		w.release(ctx, []popeye.Delivery{seal}, err)
		return err
	}
	// Sync rings for the poll. If it fails, the pass that follows does.
	if err := w.Sync(ctx); err != nil {
		w.failed(ctx, opSync, err)
	}
	return w.ack(ctx, []popeye.Delivery{seal})
}

func (w *Worker) ack(ctx context.Context, deliveries []popeye.Delivery) error {
	if err := w.Queue.Ack(ctx, deliveries); err != nil {
		err = fmt.Errorf("acknowledge %d deliveries: %w", len(deliveries), err)
		w.failed(ctx, opAck, err)
		return err
	}
	return nil
}

func (w *Worker) release(ctx context.Context, deliveries []popeye.Delivery, cause error) {
	if len(deliveries) == 0 {
		return
	}
	if err := w.Queue.Release(ctx, deliveries, cause); err != nil {
		w.failed(ctx, opRelease, fmt.Errorf("release %d deliveries: %w", len(deliveries), err))
	}
}
