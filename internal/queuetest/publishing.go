package queuetest

import (
	"errors"
	"reflect"
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
		{"an older catalog is refused as a whole", refusesOlder},
		{"an older catalog neither brings back a deleted poll nor forgets a new one", keepsToTheNewest},
		{"a round that was closed never opens again, whatever is published", neverReopens},
		{"publishing the same catalog again changes nothing", publishesTwice},
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
	b.publishAs(b.version-1, d)
	b.wantRefused(vote(1, 7, 1, 100), popeye.ErrClosed)

	next := poll("p", 2, popeye.First)
	b.publish(next)
	b.publishAs(b.version-1, closed(d))
	b.wantCast(vote(2, 7, 1, 100), popeye.Accepted, mark(1, 100, 1))
	b.wantRefused(vote(1, 7, 1, 100), popeye.ErrClosed, popeye.ErrNotFound)
	b.wantCatalog(next)
}

func keepsToTheNewest(b *bench) {
	kept, gone, added := poll("kept", 1, popeye.First), poll("gone", 2, popeye.First), poll("added", 3, popeye.First)
	b.publish(kept, gone)
	b.pump()
	b.cast(vote(2, 7, 1, 100))
	b.publish(kept)
	b.publishAs(b.version-1, kept, gone)
	b.wantRefused(vote(2, 7, 1, 100), popeye.ErrNotFound)
	b.wantRefused(vote(2, 8, 1, 100), popeye.ErrNotFound)

	b.publish(kept, added)
	b.publishAs(b.version-1, kept)
	b.publishAs(b.version-2, kept, gone)
	b.wantCast(vote(3, 7, 1, 100), popeye.Accepted, mark(1, 100, 1))
	b.wantCast(vote(1, 7, 1, 100), popeye.Accepted, mark(1, 100, 1))
	b.wantRefused(vote(2, 8, 1, 100), popeye.ErrNotFound)
	b.wantCatalog(added, kept)
}

// neverReopens: a store that was restored to a minute ago would have it open.
func neverReopens(b *bench) {
	d, fence := poll("p", 1, popeye.First), poll("fence", 3, popeye.First)
	b.publish(d, fence)
	p := b.pump()
	b.cast(vote(1, 7, 1, 100))
	b.publish(closed(d), fence)
	p.wait("the seal", sealedRound(1))
	refused := func(definitions ...popeye.Definition) {
		b.Helper()
		b.publish(definitions...)
		b.wantRefused(vote(1, 7, 1, 100), popeye.ErrClosed, popeye.ErrNotFound)
		b.wantRefused(vote(1, 8, 1, 100), popeye.ErrClosed, popeye.ErrNotFound)
	}
	open := d
	open.Version += 10
	refused(open, fence)
	refused(poll("p", 2, popeye.First), fence)
	refused(open, fence)
	refused(fence)
	refused(open, fence)
	b.publish(closed(d), fence)
	b.publish(closed(fence))
	log := p.wait("the fence", sealedRound(3))
	if n := len(votesOf(log, 1)); n != 1 {
		b.Fatalf("%d votes of the round were delivered, want the one before its end", n)
	}
	if n := seals(log, 1); n != 1 {
		b.Fatalf("the round got %d seals, want 1", n)
	}
}

func publishesTwice(b *bench) {
	d := poll("p", 1, popeye.First)
	b.publish(d)
	p := b.pump()
	b.wantCast(vote(1, 7, 1, 100), popeye.Accepted, mark(1, 100, 1))
	b.publishAs(b.version, d)
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
	b.wantCatalog(kept)
}

func reopens(b *bench) {
	d := poll("p", 1, popeye.First)
	b.publish(d)
	p := b.pump()
	b.wantCast(vote(1, 7, 1, 100), popeye.Accepted, mark(1, 100, 1))
	p.drain(d)
	next := poll("p", 2, popeye.First)
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
	first.Question, first.Results = "Ünïcode — „quoted“, 'single' & <tags>?", popeye.AfterClose
	first.Closes = time.Date(2100, 12, 31, 18, 0, 0, 0, time.UTC)
	second.Options[2] = popeye.Option{ID: "naïve/1", Label: "Zoë's", Emoji: "🐈", Picture: "/cat.png", Color: "#abc"}
	b.publish(second, first)
	b.wantCatalog(first, second)
	b.publish(closed(first), second)
	b.wantCatalog(closed(first), second)
}

// wantCatalog waits until the catalog is the newest published, and compares it.
func (b *bench) wantCatalog(want ...popeye.Definition) {
	b.Helper()
	b.until("the newest catalog", func() bool { return b.q.Catalog().Version() >= b.version })
	if got := b.q.Catalog().Version(); got != b.version {
		b.Fatalf("the catalog has version %d, want %d", got, b.version)
	}
	got := b.q.Catalog().All()
	if len(got) != len(want) {
		b.Fatalf("the catalog has %d polls, want %d", len(got), len(want))
	}
	for i := range want {
		if !reflect.DeepEqual(*got[i], want[i]) {
			b.Fatalf("the catalog has %+v\nwant %+v", *got[i], want[i])
		}
	}
}
