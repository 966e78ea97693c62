package worker

import (
	"context"
	"fmt"
	"time"

	"popeye"
)

const (
	// ackFor is how long a batch that is recorded is tried to be acknowledged, about
	// as long as a server takes to be started again. What is not acknowledged
	// comes again, which changes nothing but takes its time.
	ackFor = 5 * time.Second
	// sealTries is how often a server's seals are followed before they are left to
	// come again by themselves: votes must not wait for a seal that cannot be
	// followed.
	sealTries = 5
)

// mover moves votes from one consumer into the store.
type mover struct {
	*server
	consumer Consumer
	// holds: the consumer may have votes in hand that nobody else can take, as
	// behind a full batch, or a failure.
	holds bool
}

// moveAll moves batch after batch until ctx is done. After a failure it takes
// nothing for a while: what it takes it has to be able to record.
func (m *mover) moveAll(ctx context.Context) {
	var retry backoff
	for ctx.Err() == nil {
		b, err := m.receive(ctx)
		if err == nil {
			err = m.move(ctx, b)
		}
		wait(ctx, retry.after(err))
	}
}

// receive takes the next batch. From a server it takes none while the store is
// away; of the embedded queue, the casters are then told. What the consumer may
// have in hand waits for no turn: whoever has that may be waiting for votes to
// come.
func (m *mover) receive(ctx context.Context) (*batch, error) {
	full := false
	if !m.holds {
		if !m.turns.take(ctx) {
			return nil, ctx.Err()
		}
		defer func() { m.turns.give(full) }()
	}
	if m.isWatched() {
		m.worker.health.await(ctx)
	}
	deliveries, err := m.consumer.Receive(ctx, m.worker.Batch)
	full = len(deliveries) >= m.worker.Batch
	m.holds = full || err != nil
	if err != nil {
		if ctx.Err() == nil {
			m.failed(ctx, opReceive, err)
		}
		return nil, err
	}
	return newBatch(deliveries), nil
}

// move records and acknowledges b, once received even if ctx ends meanwhile.
//
// Where a caster waits for its vote, what cannot be recorded is released, and
// the caster told. On a server nobody waits, and giving votes back would only
// have them taken again: they are kept in hand and tried again until ctx is
// done. Whatever happens, votes that are kept for too long are delivered to
// others too, and recorded twice, which changes nothing.
//
// It returns the last failure, which has been told and dealt with.
func (m *mover) move(ctx context.Context, b *batch) error {
	var retry backoff
	err := m.try(ctx, b)
	for tries := 1; err != nil && m.keeps(b, tries) && ctx.Err() == nil; tries++ {
		wait(ctx, retry.after(err))
		err = m.try(ctx, b)
	}
	m.giveBack(ctx, b, err)
	m.look.give()
	return err
}

// keeps reports whether b, which was tried before, is to be tried again.
func (m *mover) keeps(b *batch, tries int) bool {
	return m.isWatched() && (!b.isRecorded() || len(b.seals) > 0 && tries < sealTries)
}

// try does what is left to be done for b, within Grace.
func (m *mover) try(ctx context.Context, b *batch) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), Grace)
	defer cancel()
	// No vote comes behind its round's seal: recording all votes first is
	// recording all that is before each seal.
	if err := m.record(ctx, b); err != nil {
		return err
	}
	return m.followSeals(ctx, b)
}

// record stores the votes of b and only then acknowledges them: a crash in
// between repeats a vote, and a repeat changes nothing.
//
// Acknowledging tells the server how far the store has come. So what has a
// progress is acknowledged when the store has noted that, and no part of it
// earlier: else the store would seem to have lost something.
func (m *mover) record(ctx context.Context, b *batch) error {
	for len(b.parts) > 0 {
		recorded, err := m.worker.recordNext(ctx, m.Place, b)
		if err != nil {
			return err
		}
		if !b.hasProgress() {
			m.ack(ctx, recorded)
			continue
		}
		b.recorded = append(b.recorded, recorded...)
	}
	if !b.isRecorded() {
		if _, err := m.worker.store(ctx, m.Place, b, nil, b.progress); err != nil {
			return err
		}
		b.noted = true
	}
	m.ack(ctx, b.recorded)
	b.recorded = nil
	return nil
}

// ack acknowledges what is recorded, whether there is time left of ctx or not: this
// consumer holds it, and nobody else can take it as long as this one lives. What
// cannot be acknowledged is delivered and recorded again, which changes nothing.
func (m *mover) ack(ctx context.Context, deliveries []popeye.Delivery) {
	if len(deliveries) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ackFor)
	defer cancel()
	var retry backoff
	for ctx.Err() == nil {
		err := m.consumer.Ack(ctx, deliveries)
		if err == nil {
			return
		}
		m.failed(ctx, opAck, fmt.Errorf("acknowledge %d deliveries: %w", len(deliveries), err))
		wait(ctx, retry.after(err))
	}
}

// giveBack releases what is left of b, if anything is.
func (m *mover) giveBack(ctx context.Context, b *batch, cause error) {
	left := b.left()
	if len(left) == 0 || m.isWatched() && b.isRecorded() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), Grace)
	defer cancel()
	if err := m.consumer.Release(ctx, left, cause); err != nil {
		m.failed(ctx, opRelease, fmt.Errorf("release %d deliveries: %w", len(left), err))
	}
}
