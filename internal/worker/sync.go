package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"popeye"
)

// syncEvery is how often the definitions are read and published again, so that
// a queue that lost them, or a change that nobody announced, does no harm for
// longer.
const syncEvery = 2 * time.Second

// Sync brings queue and store together, once: it closes the rounds whose
// closing time has come, publishes the definitions to the queue, and rings for
// the polls whose definition or state has changed since the last time. When it
// returns nil, casts are taken by what the store held when it was called.
func (w *Worker) Sync(ctx context.Context) error {
	if err := w.sync(ctx); err != nil {
		return err
	}
	select {
	case w.synced <- struct{}{}:
	default:
	}
	return nil
}

// keepInSync makes a pass at once, every syncEvery, at every closing time,
// after every Sync of somebody else, and sooner again after a failure.
func (w *Worker) keepInSync(ctx context.Context) {
	var retry backoff
	for ctx.Err() == nil {
		err := w.sync(ctx)
		if ctx.Err() != nil {
			return
		}
		pause := retry.after(err)
		if err != nil {
			w.failed(ctx, opSync, err)
		} else {
			pause = w.untilNextPass()
		}
		w.waitForPass(ctx, pause)
	}
}

func (w *Worker) sync(ctx context.Context) error {
	select {
	case w.syncing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-w.syncing }()
	within, cancel := context.WithTimeout(ctx, Grace)
	defer cancel()
	definitions, err := w.closeDue(within)
	if ctx.Err() != nil { // it is the caller who has left
		return errors.Join(err, ctx.Err())
	}
	w.health.store(err)
	if err != nil {
		return err
	}
	if err := w.Queue.Publish(within, definitions); err != nil {
		return fmt.Errorf("publish %d polls: %w", len(definitions), err)
	}
	w.health.publish()
	w.ringChanged(within, popeye.NewCatalog(definitions))
	return nil
}

// closeDue closes the rounds whose time has come and returns the definitions as
// they are then.
func (w *Worker) closeDue(ctx context.Context) ([]popeye.Definition, error) {
	definitions, err := w.definitions(ctx)
	if err != nil {
		return nil, err
	}
	now, due := w.Now(), false
	for _, d := range definitions {
		if !d.Due(now) {
			continue
		}
		due = true
		if err := w.Register.Close(ctx, d.Round); err != nil && !errors.Is(err, popeye.ErrNotFound) {
			return nil, fmt.Errorf("close poll %s: %w", d.ID, err)
		}
		w.Log.InfoContext(ctx, "poll closed on time", "poll_id", d.ID, "round", d.Round)
	}
	if !due {
		return definitions, nil
	}
	return w.definitions(ctx)
}

func (w *Worker) definitions(ctx context.Context) ([]popeye.Definition, error) {
	definitions, err := w.Register.Definitions(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the polls: %w", err)
	}
	return definitions, nil
}

// ringChanged rings for the polls that came, changed or went since the last
// pass. Where that fails, the next pass does it.
func (w *Worker) ringChanged(ctx context.Context, now *popeye.Catalog) {
	before := w.published.Load()
	var changed []string
	for _, d := range now.All() {
		if old := before.Find(d.ID); old == nil || old.Version != d.Version {
			changed = append(changed, d.ID)
		}
	}
	for _, d := range before.All() {
		if now.Find(d.ID) == nil {
			changed = append(changed, d.ID)
		}
	}
	if w.ring(ctx, changed) {
		w.published.Store(now)
	}
}

// ring rings and reports whether that was possible. Nobody waits for a ring
// that was not: results are also read again from time to time.
func (w *Worker) ring(ctx context.Context, polls []string) bool {
	if len(polls) == 0 {
		return true
	}
	if err := w.Bell.Ring(ctx, polls...); err != nil {
		w.failed(ctx, opRing, err)
		return false
	}
	return true
}

// untilNextPass returns the time to the next closing, at most syncEvery.
func (w *Worker) untilNextPass() time.Duration {
	now, pause := w.Now(), syncEvery
	for _, d := range w.published.Load().OpenAt(now) {
		if !d.Closes.IsZero() {
			pause = min(pause, d.Closes.Sub(now))
		}
	}
	return pause
}

func (w *Worker) waitForPass(ctx context.Context, pause time.Duration) {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-w.synced:
	case <-ctx.Done():
	}
}
