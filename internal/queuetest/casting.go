package queuetest

import (
	"slices"

	"popeye"
)

// castPromises are what one voter after another is told.
func castPromises() []promise {
	return []promise{
		{"a new voter's vote is accepted and delivered once", acceptsOnce},
		{"the same vote again is a success and delivers nothing", repeats},
		{"under first, another vote of the same voter changes nothing", keepsTheFirst},
		{"under change, a newer vote replaces the older", changes},
		{"under change, a vote that follows one replaced since is a conflict", conflicts},
		{"under change, a vote stamped no higher can be stamped again", restamps},
		{"under change, the same choices are a vote of their own where what stands is older than what the voter saw", changesToTheSame},
		{"a voter of one round is new in another", separatesRounds},
		{"every one of the 64 options can be chosen", carriesEveryOption},
		{"the mark tells the vote that stands", tellsTheMark},
	}
}

func acceptsOnce(b *bench) {
	d := poll("p", 1, popeye.First)
	b.publish(d)
	p := b.pump()
	b.wantCast(vote(1, 7, 2, 100), popeye.Accepted, mark(2, 100, 1))
	wantVotes(b, p.drain(d), popeye.Vote{Round: 1, Voter: voter(7), Choices: 2, Stamp: 100, Serial: 1})
}

func repeats(b *bench) {
	for i, policy := range []popeye.Policy{popeye.First, popeye.Change} {
		round := int64(i + 1)
		d := poll("p", round, policy)
		b.publish(d)
		p := b.pump()
		b.wantCast(vote(round, 7, 2, 100), popeye.Accepted, mark(2, 100, 1))
		b.wantCast(vote(round, 7, 2, 100), popeye.Repeated, mark(2, 100, 1))
		b.wantCast(vote(round, 7, 2, 200), popeye.Repeated, mark(2, 100, 1))
		b.wantCast(after(vote(round, 7, 2, 300), 50), popeye.Repeated, mark(2, 100, 1))
		wantVotes(b, p.drain(d), popeye.Vote{Round: round, Voter: voter(7), Choices: 2, Stamp: 100, Serial: 1})
		p.stop()
	}
}

func keepsTheFirst(b *bench) {
	d := poll("p", 1, popeye.First)
	b.publish(d)
	p := b.pump()
	b.wantCast(vote(1, 7, 2, 100), popeye.Accepted, mark(2, 100, 1))
	b.wantCast(vote(1, 7, 1, 200), popeye.Already, mark(2, 100, 1))
	b.wantCast(after(vote(1, 7, 1, 200), 100), popeye.Already, mark(2, 100, 1))
	wantVotes(b, p.drain(d), popeye.Vote{Round: 1, Voter: voter(7), Choices: 2, Stamp: 100, Serial: 1})
}

func changes(b *bench) {
	d := poll("p", 1, popeye.Change)
	b.publish(d)
	p := b.pump()
	b.wantCast(vote(1, 7, 1, 100), popeye.Accepted, mark(1, 100, 1))
	b.wantCast(after(vote(1, 7, 2, 200), 100), popeye.Changed, mark(2, 200, 2))
	b.wantCast(vote(1, 7, 4, 300), popeye.Changed, mark(4, 300, 3))
	wantVotes(b, p.drain(d),
		popeye.Vote{Round: 1, Voter: voter(7), Choices: 1, Stamp: 100, Serial: 1},
		popeye.Vote{Round: 1, Voter: voter(7), Choices: 2, Stamp: 200, Serial: 2},
		popeye.Vote{Round: 1, Voter: voter(7), Choices: 4, Stamp: 300, Serial: 3})
}

func conflicts(b *bench) {
	d := poll("p", 1, popeye.Change)
	b.publish(d)
	p := b.pump()
	b.cast(vote(1, 7, 1, 100))
	b.cast(after(vote(1, 7, 2, 200), 100))
	b.wantCast(after(vote(1, 7, 4, 300), 100), popeye.Conflict, mark(2, 200, 2))
	b.wantCast(after(vote(1, 7, 4, 301), 200), popeye.Changed, mark(4, 301, 3))
	if n := len(p.drain(d)); n != 3 {
		b.Fatalf("%d votes were delivered, want 3: a conflict is none", n)
	}
}

func restamps(b *bench) {
	d := poll("p", 1, popeye.Change)
	b.publish(d)
	p := b.pump()
	b.cast(vote(1, 7, 1, 100))
	b.wantCast(vote(1, 7, 2, 99), popeye.Conflict, mark(1, 100, 1))
	b.wantCast(vote(1, 7, 2, 100), popeye.Conflict, mark(1, 100, 1))
	b.wantCast(vote(1, 7, 2, 101), popeye.Changed, mark(2, 101, 2))
	if n := len(p.drain(d)); n != 2 {
		b.Fatalf("%d votes were delivered, want 2", n)
	}
}

// changesToTheSame: the voter has seen a vote that this queue knows nothing of,
// so it cannot know that nothing changes.
func changesToTheSame(b *bench) {
	d := poll("p", 1, popeye.Change)
	b.publish(d)
	p := b.pump()
	b.cast(vote(1, 7, 1, 100))
	b.wantCast(after(vote(1, 7, 1, 200), 150), popeye.Changed, mark(1, 200, 2))
	b.wantCast(after(vote(1, 7, 1, 200), 250), popeye.Repeated, mark(1, 200, 2))
	b.wantCast(after(vote(1, 7, 1, 200), 150), popeye.Repeated, mark(1, 200, 2))
	if n := len(p.drain(d)); n != 2 {
		b.Fatalf("%d votes were delivered, want 2", n)
	}
}

func separatesRounds(b *bench) {
	first, second := poll("p", 1, popeye.First), poll("q", 2, popeye.First)
	b.publish(first, second)
	p := b.pump()
	b.wantCast(vote(1, 7, 1, 100), popeye.Accepted, mark(1, 100, 1))
	b.wantCast(vote(2, 7, 2, 100), popeye.Accepted, mark(2, 100, 1))
	b.wantCast(vote(1, 7, 2, 200), popeye.Already, mark(1, 100, 1))
	b.publish(closed(first), closed(second))
	p.wait("the first seal", sealedRound(1))
	log := p.wait("the second seal", sealedRound(2))
	wantVotes(b, votesOf(log, 1), popeye.Vote{Round: 1, Voter: voter(7), Choices: 1, Stamp: 100, Serial: 1})
	wantVotes(b, votesOf(log, 2), popeye.Vote{Round: 2, Voter: voter(7), Choices: 2, Stamp: 100, Serial: 1})
}

func carriesEveryOption(b *bench) {
	const stamp = popeye.Stamp(1<<53 - 1) // the highest that JSON carries
	d := poll("p", 1, popeye.First)
	b.publish(d)
	p := b.pump()
	var want []popeye.Vote
	for i := range popeye.MaxOptions {
		c := vote(1, i, 1<<i|1<<63, stamp)
		c.Voter[15], c.Voter[8] = 0, 0xff // any byte may be in a pseudonym
		b.wantCast(c, popeye.Accepted, mark(c.Choices, stamp, 1))
		c.Serial = 1
		want = append(want, c.Vote)
	}
	wantVotes(b, p.drain(d), want...)
}

func tellsTheMark(b *bench) {
	d := poll("p", 1, popeye.Change)
	b.publish(d)
	b.pump()
	b.wantMark(1, 7, popeye.Mark{})
	b.cast(vote(1, 7, 1, 100))
	b.wantMark(1, 7, mark(1, 100, 1))
	b.cast(vote(1, 7, 2, 200))
	b.wantMark(1, 7, mark(2, 200, 2))
	b.cast(after(vote(1, 7, 4, 300), 100)) // a conflict
	b.wantMark(1, 7, mark(2, 200, 2))
	b.wantMark(1, 8, popeye.Mark{})
	b.wantMark(2, 7, popeye.Mark{})
	b.publish(closed(d))
	b.wantMark(1, 7, mark(2, 200, 2))
}

// wantMark compares a voter's mark; the zero one stands for none.
func (b *bench) wantMark(round int64, n int, want popeye.Mark) {
	b.Helper()
	got, ok, err := b.q.Mark(b.ctx, round, voter(n))
	if err != nil {
		b.Fatalf("mark: %v", err)
	}
	if ok != (want != popeye.Mark{}) || got != want {
		b.Fatalf("the mark is %+v (%v), want %+v", got, ok, want)
	}
}

// wantVotes compares what was delivered, in order.
func wantVotes(t failer, got []popeye.Vote, want ...popeye.Vote) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("delivered were\n%+v, want\n%+v", got, want)
	}
}
