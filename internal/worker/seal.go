package worker

import (
	"context"
	"errors"
	"fmt"

	"popeye"
)

// followSeals does what the seals of b are there for. One that fails does not
// hold back the others.
func (m *mover) followSeals(ctx context.Context, b *batch) error {
	if len(b.seals) == 0 {
		return nil
	}
	var followed, left []popeye.Delivery
	final := false
	var failed error
	for _, seal := range b.seals {
		isFinal, err := m.follow(ctx, seal)
		if err != nil {
			left, failed = append(left, seal), err
			m.failed(ctx, opSeal, err)
			continue
		}
		followed = append(followed, seal)
		final = final || isFinal
	}
	b.seals = left
	if final {
		m.tellFinal(ctx)
	}
	m.ack(ctx, followed)
	m.worker.metrics.seals.WithLabelValues(m.Place).Add(float64(len(followed)))
	return failed
}

// follow tells the store of a seal and returns whether its round became final.
func (m *mover) follow(ctx context.Context, seal popeye.Delivery) (bool, error) {
	isFinal, err := m.seal(ctx, seal)
	if errors.Is(err, popeye.ErrExists) {
		// No queue seals a round that the store has not closed. A store that takes it
		// for open has lost that, and nobody can vote there any more.
		if err = m.worker.Register.Close(ctx, seal.Seal); err == nil {
			isFinal, err = m.seal(ctx, seal)
		}
	}
	if errors.Is(err, popeye.ErrNotFound) { // its poll was deleted
		return false, nil
	}
	m.worker.health.store(err)
	if err != nil {
		return false, fmt.Errorf("seal round %d: %w", seal.Seal, err)
	}
	return isFinal, nil
}

// seal makes the round final where there is one queue, and otherwise says that
// this server has nothing more of it.
func (m *mover) seal(ctx context.Context, seal popeye.Delivery) (bool, error) {
	if !m.isWatched() {
		err := m.worker.Register.Finalise(ctx, seal.Seal)
		return err == nil, err
	}
	// All that the seal stands for was acknowledged before it was handed out, so
	// the server has seen it by now: the store can tell whether it still has it.
	status, err := m.Watched.Status(ctx)
	if err != nil {
		return false, fmt.Errorf("ask what the queue has seen recorded: %w", err)
	}
	places := make([]string, len(m.worker.servers))
	for i, s := range m.worker.servers {
		places[i] = s.Place
	}
	return m.worker.Logbook.Seal(ctx, popeye.Seal{
		Round:    seal.Seal,
		Place:    m.Place,
		Server:   m.identity(seal),
		Progress: status.Progress,
		Places:   places,
		Enough:   len(places) - m.worker.Copies + 1,
	})
}

// identity returns the identity of the server that sent the seal.
func (m *mover) identity(seal popeye.Delivery) string {
	if seal.Progress.Server != "" {
		return seal.Progress.Server
	}
	if id := m.lastIdentity.Load(); id != nil {
		return *id
	}
	return ""
}

// tellFinal lets everybody know that a round is final. In the embedded mode they
// do when it returns. Where there are several servers, one that hangs must not
// hold up this one's votes: the pass that follows tells them.
func (m *mover) tellFinal(ctx context.Context) {
	m.worker.ended.give()
	if m.isWatched() {
		m.worker.pass.give()
		return
	}
	// Sync rings for the poll. If it fails, the pass that follows does.
	if err := m.worker.Sync(ctx); err != nil {
		m.failed(ctx, opSync, err)
	}
}
