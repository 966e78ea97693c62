package queuetest

import (
	"errors"
	"slices"
	"sync"

	"popeye"
)

// racePromises are about many at the same time.
func racePromises() []promise {
	return []promise{
		{"500 voters at once give exactly 500 votes", countsFiveHundred},
		{"of racing votes of one voter under first, exactly one is accepted", acceptsOneOfARace},
		{"of racing votes of one voter under change, the one that stands is the newest delivered", settlesARaceOfChanges},
		{"the same vote racing with itself is one vote", acceptsARepeatedRaceOnce},
		{"two workers share the votes and neither gets the other's", sharesTheVotes},
		{"of catalogs that workers publish at once the newest stays", keepsTheNewestOfARace},
	}
}

// castAll casts all at once and returns what became of each.
func (b *bench) castAll(casts []popeye.Cast) []result {
	results := make([]result, len(casts))
	start := make(chan struct{})
	var done sync.WaitGroup
	for i, c := range casts {
		done.Go(func() {
			<-start
			a, err := b.q.Enqueue(b.ctx, c)
			results[i] = result{cast: c, answer: a, err: err}
		})
	}
	close(start)
	done.Wait()
	return results
}

// count counts the outcomes of casts that must have none but these.
func (b *bench) count(results []result) map[popeye.Outcome]int {
	b.Helper()
	n := make(map[popeye.Outcome]int)
	for _, r := range results {
		if r.err != nil {
			b.Fatalf("a cast of a race got %v", r.err)
		}
		n[r.answer.Outcome]++
	}
	return n
}

func countsFiveHundred(b *bench) {
	const voters = 500
	d := poll("p", 1, popeye.First)
	b.publish(d)
	p := b.pump()
	var casts []popeye.Cast
	for n := range voters {
		casts = append(casts, vote(1, n, 1<<(n%3), 100))
	}
	if n := b.count(b.castAll(casts))[popeye.Accepted]; n != voters {
		b.Fatalf("%d were accepted, want %d", n, voters)
	}
	seen := make(map[popeye.Voter]bool)
	votes := p.drain(d)
	for _, v := range votes {
		seen[v.Voter] = true
	}
	if len(votes) != voters || len(seen) != voters {
		b.Fatalf("%d votes of %d voters were delivered, want %d of each", len(votes), len(seen), voters)
	}
}

func acceptsOneOfARace(b *bench) {
	d := poll("p", 1, popeye.First)
	b.publish(d)
	p := b.pump()
	var casts []popeye.Cast
	for i := range 60 {
		casts = append(casts, vote(1, 7, 1<<(i%3), popeye.Stamp(100+i)))
	}
	results := b.castAll(casts)
	n := b.count(results)
	if n[popeye.Accepted] != 1 || n[popeye.Repeated] != 19 || n[popeye.Already] != 40 {
		b.Fatalf("the race ended in %v, want 1 accepted, 19 repeated and 40 already", n)
	}
	votes := p.drain(d)
	if len(votes) != 1 {
		b.Fatalf("%d votes were delivered, want 1", len(votes))
	}
	for _, r := range results {
		if r.answer.Mark != mark(votes[0].Choices, votes[0].Stamp, 1) {
			b.Fatalf("an answer shows %+v, but %+v was delivered", r.answer.Mark, votes[0])
		}
	}
}

func settlesARaceOfChanges(b *bench) {
	d := poll("p", 1, popeye.Change)
	b.publish(d)
	p := b.pump()
	var casts []popeye.Cast
	for i := range 60 {
		casts = append(casts, vote(1, 7, popeye.Choices(i+1), popeye.Stamp(100+i)))
	}
	n := b.count(b.castAll(casts))
	if n[popeye.Accepted] != 1 || n[popeye.Accepted]+n[popeye.Changed]+n[popeye.Conflict] != len(casts) {
		b.Fatalf("the race ended in %v, want 1 accepted, and the others changed or conflict", n)
	}
	newest := vote(1, 7, 60, 159)
	if a := b.cast(newest); a.Outcome != popeye.Repeated {
		b.Fatalf("after the race, its newest vote got %q, want that it stands", a.Outcome)
	}
	votes := p.drain(d)
	if len(votes) != n[popeye.Accepted]+n[popeye.Changed] {
		b.Fatalf("%d votes were delivered, %v were answered", len(votes), n)
	}
	last := slices.MaxFunc(votes, func(v, w popeye.Vote) int { return int(v.Stamp - w.Stamp) })
	if last.Choices != newest.Choices || last.Serial != int64(len(votes)) {
		b.Fatalf("the newest delivered is %+v, want the newest cast as number %d", last, len(votes))
	}
}

func acceptsARepeatedRaceOnce(b *bench) {
	d := poll("p", 1, popeye.Change)
	b.publish(d)
	p := b.pump()
	n := b.count(b.castAll(slices.Repeat([]popeye.Cast{vote(1, 7, 1, 100)}, 50)))
	if n[popeye.Accepted] != 1 || n[popeye.Repeated] != 49 {
		b.Fatalf("the race ended in %v, want 1 accepted and 49 repeated", n)
	}
	if votes := p.drain(d); len(votes) != 1 {
		b.Fatalf("%d votes were delivered, want 1", len(votes))
	}
}

func sharesTheVotes(b *bench) {
	const voters = 200
	d := poll("p", 1, popeye.First)
	b.publish(d)
	one, two := b.pump(), b.pump()
	var casts []popeye.Cast
	for n := range voters {
		casts = append(casts, vote(1, n, 1, 100), vote(1, n, 2, 100))
	}
	n := b.count(b.castAll(casts))
	if n[popeye.Accepted] != voters || n[popeye.Already] != voters {
		b.Fatalf("the votes ended in %v, want %d accepted and as many already", n, voters)
	}
	seen := make(map[popeye.Voter]int)
	for _, p := range []*pump{one, two} {
		p.mu.Lock()
		for _, v := range votesOf(p.log, 1) {
			seen[v.Voter]++
		}
		p.mu.Unlock()
	}
	for v, n := range seen {
		if n != 1 {
			b.Fatalf("voter %s was delivered %d times", v.Receipt(), n)
		}
	}
}

func keepsTheNewestOfARace(b *bench) {
	const workers = 20
	var done sync.WaitGroup
	start := make(chan struct{})
	for version := range int64(workers) {
		done.Go(func() {
			<-start
			if err := b.q.Publish(b.ctx, popeye.NewCatalog(version+1, []popeye.Definition{poll("p", version+1, popeye.First)})); err != nil {
				b.Errorf("publish: %v", err)
			}
		})
	}
	close(start)
	done.Wait()
	b.version = workers
	b.wantCatalog(poll("p", workers, popeye.First))
	b.pump()
	b.wantCast(vote(workers, 7, 1, 100), popeye.Accepted, mark(1, 100, 1))
}

// refusesWhenFull wants that a queue with room for fewer than tooMany casts
// takes some, refuses the others, and delivers exactly those that it took.
func refusesWhenFull(b *bench, tooMany int) {
	d := poll("p", 1, popeye.First)
	b.publish(d)
	answered := make(chan result, tooMany)
	for n := range tooMany {
		go func() {
			c := vote(1, n, 1, 100)
			a, err := b.q.Enqueue(b.ctx, c)
			answered <- result{cast: c, answer: a, err: err}
		}()
	}
	var refused []popeye.Cast
	var p *pump // from the first refusal on, so that it comes
	for range tooMany {
		r := await(b, answered, "an answer")
		switch {
		case errors.Is(r.err, popeye.ErrFull):
			refused = append(refused, r.cast)
		case r.err != nil:
			b.Fatalf("a cast got %v, want full", r.err)
		}
		if p == nil && len(refused) > 0 {
			p = b.pump()
		}
	}
	if p == nil {
		b.Fatalf("the queue took all %d casts", tooMany)
	}
	for _, c := range refused {
		b.castWhenThereIsRoom(c)
	}
	if n := len(p.drain(d)); n != tooMany {
		b.Fatalf("%d votes were delivered, want %d", n, tooMany)
	}
}

func (b *bench) castWhenThereIsRoom(c popeye.Cast) {
	b.Helper()
	b.until("room", func() bool {
		a, err := b.q.Enqueue(b.ctx, c)
		if err == nil && a.Outcome != popeye.Accepted {
			b.Fatalf("a cast refused before got %q, want accepted", a.Outcome)
		}
		return !errors.Is(err, popeye.ErrFull)
	})
}
