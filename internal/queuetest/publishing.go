package queuetest

import (
	"errors"
	"time"

	"popeye"
)

// publishPromises are about which casts are taken at all.
func publishPromises() []promise {
	return []promise{
		{"a round that was never published is unknown", refusesTheUnknown},
		{"a draft, closed or final round takes no votes", refusesUnlessOpen},
		{"a round takes no votes before its opening time", opensOnTime},
		{"a round takes no votes from its closing time on, published or not", closesOnTime},
		{"being closed comes before having voted", closedComesFirst},
		{"an older definition neither reopens a round nor changes a poll", refusesOlder},
		{"publishing the same definitions again changes nothing", publishesTwice},
		{"a poll that is published no more is forgotten", forgets},
		{"a poll in a new round takes the same voter's vote again", reopens},
		{"a round that its poll has left takes no votes, though some are still under way", leavesARound},
		{"the catalog shows the newest definitions", showsTheCatalog},
	}
}

func refusesTheUnknown(b *bench) {
	b.wantRefused(vote(1, 7, 1, 100), popeye.ErrNotFound)
	b.publish(poll("p", 1, popeye.First))
	b.wantRefused(vote(2, 7, 1, 100), popeye.ErrNotFound)
	b.wantRefused(vote(0, 7, 1, 100), popeye.ErrNotFound)
}

func refusesUnlessOpen(b *bench) {
	for i, state := range []popeye.State{popeye.Draft, popeye.Closed, popeye.Final} {
		d := poll("p", int64(i+1), popeye.First)
		d.State = state
		b.publish(d)
		b.wantRefused(vote(d.Round, 7, 1, 100), popeye.ErrClosed)
	}
}

func opensOnTime(b *bench) {
	d := poll("p", 1, popeye.First)
	d.Opens = time.Now().Add(time.Hour)
	b.publish(d)
	b.pump()
	b.wantRefused(vote(1, 7, 1, 100), popeye.ErrClosed)

	d.Opens, d.Version = time.Now().Add(20*time.Millisecond), d.Version+1
	b.publish(d)
	b.until("the round opens", func() bool {
		_, err := b.q.Enqueue(b.ctx, vote(1, 7, 1, 100))
		return !errors.Is(err, popeye.ErrClosed)
	})
	if time.Now().Before(d.Opens) {
		b.Fatalf("the round opened before its time")
	}
	b.wantCast(vote(1, 7, 1, 100), popeye.Repeated, mark(1, 100, 1))
}

func closesOnTime(b *bench) {
	past := poll("past", 1, popeye.First)
	past.Closes = time.Now().Add(-time.Millisecond)
	soon := poll("soon", 2, popeye.First)
	soon.Closes = time.Now().Add(50 * time.Millisecond)
	b.publish(past, soon)
	p := b.pump()
	b.wantRefused(vote(1, 7, 1, 100), popeye.ErrClosed)

	accepted := 0
	b.until("the round closes", func() bool {
		_, err := b.q.Enqueue(b.ctx, vote(2, accepted, 1, 100))
		if err == nil {
			accepted++
		}
		return errors.Is(err, popeye.ErrClosed)
	})
	if time.Now().Before(soon.Closes) {
		b.Fatalf("the round closed before its time")
	}
	b.publish(past, closed(soon))
	if n := len(votesOf(p.wait("the seal", sealedRound(2)), 2)); n != accepted {
		b.Fatalf("%d votes were delivered, %d were accepted before the closing time", n, accepted)
	}
}

func closedComesFirst(b *bench) {
	d := poll("p", 1, popeye.First)
	b.publish(d)
	b.pump()
	b.cast(vote(1, 7, 1, 100))
	b.publish(closed(d))
	b.wantRefused(vote(1, 7, 1, 100), popeye.ErrClosed)
	b.wantRefused(vote(1, 7, 2, 100), popeye.ErrClosed)
}

func refusesOlder(b *bench) {
	d := poll("p", 1, popeye.First)
	b.publish(d)
	b.pump()
	b.publish(closed(d))
	b.publish(d)
	b.wantRefused(vote(1, 7, 1, 100), popeye.ErrClosed)

	next := poll("p", 2, popeye.First)
	next.Version = closed(d).Version + 1
	b.publish(next)
	b.publish(closed(d))
	b.wantCast(vote(2, 7, 1, 100), popeye.Accepted, mark(1, 100, 1))
	b.wantRefused(vote(1, 7, 1, 100), popeye.ErrClosed, popeye.ErrNotFound)
}

func publishesTwice(b *bench) {
	d := poll("p", 1, popeye.First)
	b.publish(d)
	p := b.pump()
	b.wantCast(vote(1, 7, 1, 100), popeye.Accepted, mark(1, 100, 1))
	b.publish(d)
	b.wantCast(vote(1, 7, 1, 100), popeye.Repeated, mark(1, 100, 1))
	b.wantCast(vote(1, 8, 1, 100), popeye.Accepted, mark(1, 100, 1))
	if n := len(p.drain(d)); n != 2 {
		b.Fatalf("%d votes were delivered, want 2", n)
	}
}

func forgets(b *bench) {
	kept, gone := poll("kept", 1, popeye.First), poll("gone", 2, popeye.First)
	b.publish(kept, gone)
	b.pump()
	b.cast(vote(2, 7, 1, 100))
	b.publish(kept)
	b.wantRefused(vote(2, 7, 1, 100), popeye.ErrNotFound)
	b.wantRefused(vote(2, 8, 1, 100), popeye.ErrNotFound)
	b.wantCast(vote(1, 7, 1, 100), popeye.Accepted, mark(1, 100, 1))
	b.until("the catalog forgets the poll", func() bool { return b.q.Catalog().Find("gone") == nil })
}

func reopens(b *bench) {
	d := poll("p", 1, popeye.First)
	b.publish(d)
	p := b.pump()
	b.wantCast(vote(1, 7, 1, 100), popeye.Accepted, mark(1, 100, 1))
	p.drain(d)
	next := poll("p", 2, popeye.First)
	next.Version = closed(d).Version + 1
	b.publish(next)
	b.wantMark(2, 7, popeye.Mark{})
	b.wantCast(vote(2, 7, 2, 200), popeye.Accepted, mark(2, 200, 1))
	b.wantRefused(vote(1, 8, 1, 100), popeye.ErrClosed, popeye.ErrNotFound)
	wantVotes(b, p.drain(next), popeye.Vote{Round: 2, Voter: voter(7), Choices: 2, Stamp: 200, Serial: 1})
}

func leavesARound(b *bench) {
	b.publish(poll("p", 1, popeye.First))
	cast := b.castLater(vote(1, 7, 1, 100))
	held := b.receive()
	b.publish(poll("p", 2, popeye.First))
	b.wantRefused(vote(1, 8, 1, 100), popeye.ErrClosed, popeye.ErrNotFound)
	b.ack(held)
	if r := await(b, cast, "the answer"); r.err != nil {
		b.Fatalf("a vote recorded after its poll left the round got %v", r.err)
	}
}

func showsTheCatalog(b *bench) {
	first, second := poll("a", 1, popeye.First), poll("b", 2, popeye.Change)
	b.publish(second, first)
	b.until("the catalog has both polls", func() bool { return len(b.q.Catalog().All()) == 2 })
	b.wantDefinition("a", first)
	b.wantDefinition("b", second)
	b.publish(closed(first), second)
	b.until("the catalog has the newer version", func() bool { return b.q.Catalog().Find("a").Version == closed(first).Version })
	b.wantDefinition("a", closed(first))
}

func (b *bench) wantDefinition(id string, want popeye.Definition) {
	b.Helper()
	got := b.q.Catalog().Find(id)
	if got == nil {
		b.Fatalf("the catalog has no poll %q", id)
	}
	if got.Round != want.Round || got.State != want.State || got.Version != want.Version || !got.SameBallot(want.Poll) {
		b.Fatalf("the catalog has %+v, want %+v", got, want)
	}
}
