package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"popeye"
)

// Sync brings queues and store together, once: it closes the rounds whose
// closing time has come, rings for the polls whose definition or state has
// changed since the last time, and publishes the definitions to every queue. When it returns nil, casts are taken
// by what the store held when it was called; where there are several servers, as
// many of them as take each vote know it then.
func (w *Worker) Sync(ctx context.Context) error {
	if err := w.sync(ctx); err != nil {
		return err
	}
	w.pass.give()
	return nil
}

// keepInSync makes a pass at once, every SyncEvery, at every closing time, when
// it is told to, and sooner again after a failure.
func (w *Worker) keepInSync(ctx context.Context) {
	var retry backoff
	for ctx.Err() == nil {
		err := w.sync(ctx)
		if ctx.Err() != nil {
			return
		}
		pause := retry.after(err)
		if err != nil {
			w.failed(ctx, opSync, "", err)
		} else {
			pause = w.untilNextPass()
		}
		waitOr(ctx, w.pass, pause)
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
	catalog, err := w.read(within)
	if ctx.Err() != nil { // it is the caller who has left
		return errors.Join(err, ctx.Err())
	}
	w.health.store(err)
	if err != nil {
		return err
	}
	// Before it is published, so that poll hears of no new round without a key, once
	// one was announced.
	if waitsForKey(catalog) && w.nameVoterKey(within) {
		if catalog, err = w.polls(within); err != nil {
			return err
		}
	}
	w.noteEnded(catalog)
	w.catalog.Store(catalog)
	w.ringChanged(within, catalog)
	return w.publish(within, catalog)
}

// read returns the definitions, after having closed what is due.
func (w *Worker) read(ctx context.Context) (*popeye.Catalog, error) {
	catalog, err := w.polls(ctx)
	if err != nil {
		return nil, err
	}
	closed, err := w.closeDue(ctx, catalog)
	if err != nil {
		return nil, err
	}
	if !closed {
		return catalog, nil
	}
	return w.polls(ctx)
}

// polls returns the definitions as the store has them.
func (w *Worker) polls(ctx context.Context) (*popeye.Catalog, error) {
	catalog, err := w.Register.Catalog(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the polls: %w", err)
	}
	return catalog, nil
}

// closeDue closes the rounds whose time has come and returns whether there were
// any.
func (w *Worker) closeDue(ctx context.Context, catalog *popeye.Catalog) (closed bool, err error) {
	now := w.Now()
	for _, d := range catalog.All() {
		if !d.Due(now) {
			continue
		}
		closed = true
		if err := w.Register.Close(ctx, d.Round); err != nil && !errors.Is(err, popeye.ErrNotFound) {
			return closed, fmt.Errorf("close poll %s: %w", d.ID, err)
		}
		w.Log.InfoContext(ctx, "poll closed on time", "poll_id", d.ID, "round", d.Round)
	}
	return closed, nil
}

// noteEnded has final rounds certified that were not final the last time.
func (w *Worker) noteEnded(catalog *popeye.Catalog) {
	before := w.catalog.Load()
	for _, d := range catalog.All() {
		old := before.Find(d.ID)
		if d.State == popeye.Final && (old == nil || old.Round != d.Round || old.State != popeye.Final) {
			w.ended.give()
			return
		}
	}
}

// ringChanged rings for the polls that came, changed or went since they were
// last rung for. Where that fails, the next pass does it.
func (w *Worker) ringChanged(ctx context.Context, now *popeye.Catalog) {
	before := w.rung.Load()
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
		w.rung.Store(now)
	}
}

// ring rings and reports whether that was possible. Nobody waits for a ring
// that was not: results are also read again from time to time.
func (w *Worker) ring(ctx context.Context, polls []string) bool {
	if len(polls) == 0 {
		return true
	}
	if err := w.Bell.Ring(ctx, polls...); err != nil {
		w.failed(ctx, opRing, "", err)
		return false
	}
	return true
}

// untilNextPass returns the time to the next closing, at most SyncEvery.
func (w *Worker) untilNextPass() time.Duration {
	now, pause := w.Now(), w.SyncEvery
	for _, d := range w.catalog.Load().OpenAt(now) {
		if !d.Closes.IsZero() {
			pause = min(pause, d.Closes.Sub(now))
		}
	}
	return pause
}
