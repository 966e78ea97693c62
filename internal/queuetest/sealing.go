package queuetest

import (
	"errors"
	"sync"

	"popeye"
)

// sealPromises are about the marker behind which no vote of a round can be.
func sealPromises() []promise {
	return []promise{
		{"an empty round that is closed gets its seal", sealsTheEmpty},
		{"a closed round is sealed once, however often that is published", sealsOnce},
		{"a final round needs no seal", sealsNothingFinal},
		{"a seal comes behind every vote accepted before, and no vote behind it", sealsBehindEveryVote},
		{"a vote that a worker still holds holds back the seal", sealWaits},
		{"a released seal is delivered again", redeliversTheSeal},
		{"a round closed before its poll was reopened is sealed all the same", sealsTheRoundLeft},
	}
}

func sealsTheEmpty(b *bench) {
	d := poll("p", 1, popeye.First)
	b.publish(closed(d))
	seal := b.receive()
	if seal.Seal != 1 {
		b.Fatalf("received %+v, want the seal of round 1", seal)
	}
	b.ack(seal)
}

func sealsOnce(b *bench) {
	d, fence := poll("p", 1, popeye.First), poll("fence", 2, popeye.First)
	b.publish(d, fence)
	p := b.pump()
	b.cast(vote(1, 7, 1, 100))
	b.publish(closed(d), fence)
	p.wait("the seal", sealedRound(1))
	b.publish(closed(d), fence)
	renamed := closed(d)
	renamed.Question, renamed.Version = "!", renamed.Version+1
	b.publish(renamed, fence)
	b.publish(renamed, closed(fence))
	if n := seals(p.wait("the fence", sealedRound(2)), 1); n != 1 {
		b.Fatalf("the round got %d seals, want 1", n)
	}
}

func sealsNothingFinal(b *bench) {
	d, fence := poll("p", 1, popeye.First), poll("fence", 2, popeye.First)
	d.State = popeye.Final
	b.publish(d, fence)
	p := b.pump()
	b.publish(d, closed(fence))
	if n := seals(p.wait("the fence", sealedRound(2)), 1); n != 0 {
		b.Fatalf("a final round got %d seals", n)
	}
}

func sealsBehindEveryVote(b *bench) {
	const casters, each = 20, 20
	d := poll("p", 1, popeye.First)
	b.publish(d)
	p := b.pump()
	accepted := make([]int, casters)
	var done sync.WaitGroup
	started := make(chan struct{}, casters)
	for i := range casters {
		done.Go(func() {
			for j := range each {
				_, err := b.q.Enqueue(b.ctx, vote(1, i*each+j, 1, 100))
				if err == nil {
					accepted[i]++
				}
				if err != nil && !errors.Is(err, popeye.ErrClosed) {
					b.Errorf("a cast around the closing got %v", err)
				}
				if j == 0 {
					started <- struct{}{}
				}
			}
		})
	}
	await(b, started, "the first cast")
	b.publish(closed(d))
	done.Wait()
	p.wait("the seal", sealedRound(1))
	fence := poll("fence", 2, popeye.First)
	b.publish(closed(d), fence)
	b.publish(closed(d), closed(fence))
	log := p.wait("the fence", sealedRound(2))
	want := 0
	for _, n := range accepted {
		want += n
	}
	if n := len(votesOf(log, 1)); n != want {
		b.Errorf("%d votes were delivered, %d were accepted", n, want)
	}
	if n := len(votesOf(behindSeal(log, 1), 1)); n != 0 {
		b.Errorf("%d votes were delivered behind their round's seal", n)
	}
}

func behindSeal(log []popeye.Delivery, round int64) []popeye.Delivery {
	for i, d := range log {
		if d.Seal == round {
			return log[i+1:]
		}
	}
	return nil
}

func sealWaits(b *bench) {
	d, fence := poll("p", 1, popeye.First), poll("fence", 2, popeye.First)
	b.publish(d, fence)
	cast := b.castLater(vote(1, 7, 1, 100))
	held := b.receive()
	b.publish(closed(d), fence)
	other := b.castLater(vote(2, 7, 1, 100))
	p := b.pump()
	await(b, other, "the answer of another round")
	log := p.wait("the vote of another round", func(log []popeye.Delivery) bool { return len(votesOf(log, 2)) > 0 })
	if seals(log, 1) != 0 {
		b.Fatalf("the seal came while a worker held a vote of its round")
	}
	b.ack(held)
	await(b, cast, "the answer")
	p.wait("the seal", sealedRound(1))
}

func redeliversTheSeal(b *bench) {
	d := poll("p", 1, popeye.First)
	b.publish(closed(d))
	b.release(b.receive())
	p := b.pump()
	p.wait("the seal", sealedRound(1))
}

func sealsTheRoundLeft(b *bench) {
	d := poll("p", 1, popeye.First)
	b.publish(d)
	cast := b.castLater(vote(1, 7, 1, 100))
	held := b.receive()
	b.publish(closed(d))
	b.publish(poll("p", 2, popeye.First))
	b.wantRefused(vote(1, 8, 1, 100), popeye.ErrClosed, popeye.ErrNotFound)
	b.ack(held)
	if r := await(b, cast, "the answer"); r.err != nil {
		b.Fatalf("a vote recorded after its poll was reopened got %v", r.err)
	}
	b.pump().wait("the seal", sealedRound(1))
}
