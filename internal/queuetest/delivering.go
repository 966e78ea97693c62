package queuetest

import (
	"context"
	"errors"

	"popeye"
)

var errStoreAway = errors.New("the store is away")

// deliveryPromises are what a worker can rely on.
func deliveryPromises() []promise {
	return []promise{
		{"an acknowledged vote is not delivered again", deliversOnce},
		{"a released vote is delivered again, or its caster is told and can cast it again", redelivers},
		{"a vote cast again while its first copy is with a worker is one vote", waitsForTheFirstCopy},
		{"deliveries have names of their own", namesDeliveries},
		{"acknowledging twice, or what was never delivered, does nothing", acksTwice},
		{"Receive returns when its context ends", receiveEnds},
		{"Receive with an ended context takes nothing", receivesNothingAfterTheEnd},
		{"a caster who gives up leaves at most one vote", givesUp},
	}
}

func deliversOnce(b *bench) {
	d := poll("p", 1, popeye.First)
	b.publish(d)
	cast := b.castLater(vote(1, 7, 1, 100))
	first := b.receive()
	b.ack(first)
	if r := await(b, cast, "the answer"); r.err != nil || r.answer.Outcome != popeye.Accepted {
		b.Fatalf("the cast got %q, %v", r.answer.Outcome, r.err)
	}
	wantVotes(b, b.pump().drain(d))
}

func redelivers(b *bench) {
	d := poll("p", 1, popeye.First)
	b.publish(d)
	c := vote(1, 7, 1, 100)
	cast := b.castLater(c)
	b.release(b.receive())
	p := b.pump()
	if r := await(b, cast, "the answer"); r.err != nil {
		if !errors.Is(r.err, popeye.ErrUnavailable) {
			b.Fatalf("a released vote's caster got %v, want unavailable", r.err)
		}
		b.wantCast(c, popeye.Accepted, mark(1, 100, 1))
	}
	b.wantCast(c, popeye.Repeated, mark(1, 100, 1))
	wantVotes(b, p.drain(d), popeye.Vote{Round: 1, Voter: voter(7), Choices: 1, Stamp: 100, Serial: 1})
}

func waitsForTheFirstCopy(b *bench) {
	d := poll("p", 1, popeye.First)
	b.publish(d)
	c := vote(1, 7, 1, 100)
	one := b.castLater(c)
	held := b.receive()
	two, other := b.castLater(c), b.castLater(vote(1, 7, 2, 200))
	b.ack(held)
	wantAnswer(b, await(b, one, "the first answer").answer, popeye.Accepted, mark(1, 100, 1))
	p := b.pump()
	wantAnswer(b, await(b, two, "the second answer").answer, popeye.Repeated, mark(1, 100, 1))
	wantAnswer(b, await(b, other, "the third answer").answer, popeye.Already, mark(1, 100, 1))
	wantVotes(b, p.drain(d))
}

func namesDeliveries(b *bench) {
	d := poll("p", 1, popeye.First)
	b.publish(d)
	p := b.pump()
	for n := range 20 {
		b.cast(vote(1, n, 1, 100))
	}
	p.drain(d)
	seen := make(map[string]bool)
	for _, d := range p.wait("everything", sealedRound(1)) {
		if d.ID == "" || seen[d.ID] {
			b.Fatalf("a delivery is named %q, which is no name or another's", d.ID)
		}
		seen[d.ID] = true
	}
}

func acksTwice(b *bench) {
	d := poll("p", 1, popeye.Change)
	b.publish(d)
	one := b.castLater(vote(1, 7, 1, 100))
	old := b.receive()
	b.ack(old)
	await(b, one, "the first answer")
	two := b.castLater(vote(1, 7, 2, 200))
	held := b.receive()
	b.ack(old)
	b.release(held)
	p := b.pump()
	if r := await(b, two, "the second answer"); r.err != nil {
		b.wantCast(vote(1, 7, 2, 200), popeye.Changed, mark(2, 200, 2))
	}
	wantVotes(b, p.drain(d), popeye.Vote{Round: 1, Voter: voter(7), Choices: 2, Stamp: 200, Serial: 2})
}

func receiveEnds(b *bench) {
	b.publish(poll("p", 1, popeye.First))
	ctx, cancel := context.WithCancel(b.ctx)
	ended := make(chan error, 1)
	go func() {
		_, err := b.q.Receive(ctx, 10)
		ended <- err
	}()
	cancel()
	if err := await(b, ended, "the end of Receive"); !errors.Is(err, context.Canceled) {
		b.Fatalf("Receive ended with %v, want its context's error", err)
	}
}

func receivesNothingAfterTheEnd(b *bench) {
	d := poll("p", 1, popeye.First)
	b.publish(d)
	cast := b.castLater(vote(1, 7, 1, 100))
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	if ds, err := b.q.Receive(ctx, 10); !errors.Is(err, context.Canceled) || len(ds) > 0 {
		b.Fatalf("Receive returned %d deliveries and %v, want its context's error", len(ds), err)
	}
	p := b.pump()
	wantAnswer(b, await(b, cast, "the answer").answer, popeye.Accepted, mark(1, 100, 1))
	if n := len(p.drain(d)); n != 1 {
		b.Fatalf("%d votes were delivered, want 1", n)
	}
}

func givesUp(b *bench) {
	d := poll("p", 1, popeye.First)
	b.publish(d)
	c := vote(1, 7, 1, 100)
	ctx, cancel := context.WithCancel(b.ctx)
	ended := make(chan error, 1)
	go func() {
		_, err := b.q.Enqueue(ctx, c)
		ended <- err
	}()
	cancel()
	if err := await(b, ended, "the end of Enqueue"); err != nil && !errors.Is(err, popeye.ErrUnavailable) {
		b.Fatalf("a caster who gave up got %v, want unavailable", err)
	}
	p := b.pump()
	if a := b.cast(c); !a.Outcome.Stands() {
		b.Fatalf("casting it again got %q", a.Outcome)
	}
	wantVotes(b, p.drain(d), popeye.Vote{Round: 1, Voter: voter(7), Choices: 1, Stamp: 100, Serial: 1})
}

func (b *bench) ack(ds ...popeye.Delivery) {
	b.Helper()
	if err := b.q.Ack(b.ctx, ds); err != nil {
		b.Fatalf("ack: %v", err)
	}
}

func (b *bench) release(ds ...popeye.Delivery) {
	b.Helper()
	if err := b.q.Release(b.ctx, ds, errStoreAway); err != nil {
		b.Fatalf("release: %v", err)
	}
}
