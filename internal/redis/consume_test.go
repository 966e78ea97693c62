package redis_test

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"popeye"
	"popeye/internal/lab"
	"popeye/internal/redis"
)

// soon is a lease that a test can wait for, later one that does not end while a
// test makes sure that it holds.
const (
	soon  = 300 * time.Millisecond
	later = 5 * time.Second
)

// opened is a server with round 1 open under first.
func opened(tb testing.TB, c redis.Config, options ...string) (*lab.Redis, *redis.Server) {
	tb.Helper()
	at, s := start(tb, c, options...)
	publish(tb, s, 1, round("p", 1, popeye.First))
	return at, s
}

// putAll puts votes of voters from one number to another, each by itself.
func putAll(tb testing.TB, s *redis.Server, from, to int) {
	tb.Helper()
	for n := from; n <= to; n++ {
		put(tb, s, cast(n, 1, 100))
	}
}

// receiveAll receives until it has the votes of as many voters, and returns all.
func receiveAll(tb testing.TB, c *redis.Consumer, voters int) []popeye.Delivery {
	tb.Helper()
	var all []popeye.Delivery
	seen := make(map[popeye.Voter]bool)
	for len(seen) < voters {
		ds := receive(tb, c, 100)
		for _, d := range ds {
			if d.Seal == 0 {
				seen[d.Vote.Voter] = true
			}
		}
		all = append(all, ds...)
	}
	return all
}

func TestWhatADeadConsumerHeldIsClaimedByAnother(t *testing.T) {
	t.Parallel()
	_, s := opened(t, redis.Config{Lease: later})
	putAll(t, s, 1, 20)
	dead, other := s.Consumer("dead"), s.Consumer("other")
	held := receiveAll(t, dead, 20)
	receivesNothing(t, other, soon)
	claimed := receiveAll(t, other, 20)
	if len(claimed) != len(held) {
		t.Fatalf("%d votes were claimed, want %d", len(claimed), len(held))
	}
	ack(t, other, claimed...)
	if n := status(t, s).Pending; n != 0 {
		t.Fatalf("%d deliveries are pending, want none", n)
	}
}

func TestAConsumerThatWakesTooLateDoesNoHarm(t *testing.T) {
	t.Parallel()
	_, s := opened(t, redis.Config{Lease: soon})
	putAll(t, s, 1, 5)
	asleep, other := s.Consumer("asleep"), s.Consumer("other")
	held := receiveAll(t, asleep, 5)
	claimed := receiveAll(t, other, 5)
	ack(t, asleep, held...)
	ack(t, other, claimed...)
	putAll(t, s, 6, 6)
	if ds := receive(t, asleep, 10); len(ds) != 1 || ds[0].Vote.Voter != voter(6) {
		t.Fatalf("received %+v, want the one new vote", ds)
	}
}

func TestAConsumerThatLeavesHandsOverAtOnce(t *testing.T) {
	t.Parallel()
	at, s := opened(t, redis.Config{Lease: time.Hour})
	leaving, idle, other := s.Consumer("leaving"), s.Consumer("idle"), s.Consumer("other")
	putAll(t, s, 6, 6)
	ack(t, idle, receiveAll(t, idle, 1)...)
	putAll(t, s, 1, 5)
	receiveAll(t, leaving, 5)
	for _, c := range []*redis.Consumer{leaving, idle} {
		if err := c.Shutdown(limited(t)); err != nil {
			t.Fatalf("shutdown: %v", err)
		}
	}
	ack(t, other, receiveAll(t, other, 5)...)
	// The first one was deleted by nobody while it held something.
	if n := len(consumers(t, raw(t, at))); n != 2 {
		t.Fatalf("there are %d consumers, want the one that left with something and the other", n)
	}
	if err := leaving.Shutdown(limited(t)); err != nil {
		t.Fatalf("shutdown: %v", err)
	}
	if n := len(consumers(t, raw(t, at))); n != 1 {
		t.Fatalf("there are %d consumers, want the other only", n)
	}
}

func TestVotesOfOneEntryAreAcknowledgedOneByOneButByRedisTogether(t *testing.T) {
	t.Parallel()
	at, s := opened(t, redis.Config{Lease: soon})
	castAll(t, s, 200, 100)
	c := raw(t, at)
	entries := number(t, c, "XLEN", "{popeye}:votes")
	if entries == 200 {
		t.Fatal("no two of 200 votes cast at once share an entry")
	}
	consumer := s.Consumer("c")
	all := receiveAll(t, consumer, 200)
	last := all[len(all)-1]
	ack(t, consumer, all[:len(all)-1]...)
	if n := pending(t, c); n != 1 {
		t.Fatalf("with one vote left %d entries are pending, want 1", n)
	}
	// Its consumer dies now: all votes of that entry come again.
	other := s.Consumer("other")
	again := receive(t, other, 200)
	if !slices.ContainsFunc(again, func(d popeye.Delivery) bool { return d.Vote == last.Vote }) {
		t.Fatalf("%d votes came again, but not the one that was left", len(again))
	}
	ack(t, other, again...)
	if n := pending(t, c); n != 0 {
		t.Fatalf("%d entries are pending, want none", n)
	}
}

func TestReceiveGivesNoMoreThanAskedForAndAllInTheEnd(t *testing.T) {
	t.Parallel()
	_, s := opened(t, redis.Config{})
	const votes = 500
	castAll(t, s, votes, 100)
	consumer := s.Consumer("c")
	got := 0
	for _, most := range []int{1, 7, 100} {
		for got < votes/3*(1+slices.Index([]int{1, 7, 100}, most)) {
			ds := receive(t, consumer, most)
			if len(ds) > most {
				t.Fatalf("received %d, at most %d were asked for", len(ds), most)
			}
			got += len(ds)
			ack(t, consumer, ds...)
		}
	}
	for got < votes {
		ds := receive(t, consumer, 1000)
		got += len(ds)
		ack(t, consumer, ds...)
	}
	if n := status(t, s).Pending; got != votes || n != 0 {
		t.Fatalf("received %d of %d, %d are pending", got, votes, n)
	}
}

func TestReleasedVotesComeFirstAndNothingElseMeanwhile(t *testing.T) {
	t.Parallel()
	_, s := opened(t, redis.Config{})
	putAll(t, s, 1, 3)
	consumer := s.Consumer("c")
	held := receiveAll(t, consumer, 3)
	ack(t, consumer, held[0])
	if err := consumer.Release(limited(t), held, context.DeadlineExceeded); err != nil {
		t.Fatalf("release: %v", err)
	}
	putAll(t, s, 4, 4)
	again := receive(t, consumer, 10)
	if len(again) != 2 || again[0].Vote != held[1].Vote || again[1].Vote != held[2].Vote {
		t.Fatalf("received %+v, want the two that were released and not acknowledged", again)
	}
	ack(t, consumer, again...)
	if ds := receive(t, consumer, 10); len(ds) != 1 || ds[0].Vote.Voter != voter(4) {
		t.Fatalf("received %+v, want the new vote", ds)
	}
}

func TestBatchesAreNumberedOneAfterTheOtherAndNotedWithTheAcknowledgement(t *testing.T) {
	t.Parallel()
	_, s := opened(t, redis.Config{})
	consumer := s.Consumer("c")
	identity := status(t, s).Server
	for want := int64(1); want <= 3; want++ {
		put(t, s, cast(int(want), 1, 100))
		ds := receive(t, consumer, 10)
		p := ds[0].Progress
		if p.Batch != want || p.Server != identity || p.Worker == "c" || p.Worker == "" {
			t.Fatalf("the progress is %+v, want batch %d of server %s", p, want, identity)
		}
		if got := status(t, s).Progress[p.Worker]; got != want-1 {
			t.Fatalf("before the acknowledgement, batch %d is noted, want %d", got, want-1)
		}
		ack(t, consumer, ds...)
		if got := status(t, s).Progress[p.Worker]; got != want {
			t.Fatalf("after the acknowledgement, batch %d is noted, want %d", got, want)
		}
	}
	if s.Consumer("c") == consumer {
		t.Fatal("two consumers are one")
	}
}

func TestAnAcknowledgementThatFailedIsMadeUpFor(t *testing.T) {
	t.Parallel()
	_, s := opened(t, redis.Config{})
	putAll(t, s, 1, 2)
	consumer := s.Consumer("c")
	ds := receiveAll(t, consumer, 2)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	wantError(t, consumer.Ack(gone, ds), popeye.ErrUnavailable)
	if st := status(t, s); st.Pending != 2 {
		t.Fatalf("%d deliveries are pending, want 2", st.Pending)
	}
	ack(t, consumer, ds...)
	st := status(t, s)
	if st.Pending != 0 || st.Progress[ds[0].Progress.Worker] == 0 {
		t.Fatalf("the server is %+v, want nothing pending and the batch noted", st)
	}
}

func TestAnEntryOfANewerFormatIsLeftForWhoCanReadIt(t *testing.T) {
	t.Parallel()
	at, s := opened(t, redis.Config{Lease: soon})
	c := raw(t, at)
	do(t, c, "XADD", "{popeye}:votes", "*", "v", "\x02from the future")
	do(t, c, "XADD", "{popeye}:votes", "*", "other", "field")
	putAll(t, s, 1, 1)
	old, other := s.Consumer("old"), s.Consumer("other")
	ack(t, old, receiveAll(t, old, 1)...)
	publish(t, s, 2, in(popeye.Closed, round("p", 1, popeye.First)))
	// Neither who has them nor who could claim them delivers them, nor the seal of
	// what they may belong to.
	receivesNothing(t, other, 3*soon)
	receivesNothing(t, old, soon)
	// A newer worker may claim them at any time: nobody has touched them since.
	left := list(t, c, "XPENDING", "{popeye}:votes", "workers", "IDLE", strconv.FormatInt((3*soon).Milliseconds(), 10), "-", "+", "10")
	if len(left) != 2 {
		t.Fatalf("%d entries are pending and left alone, want the 2 of a newer format", len(left))
	}
	for _, id := range pendingIDs(t, c) {
		do(t, c, "XACK", "{popeye}:votes", "workers", id) // a newer worker does
	}
	if ds := receive(t, other, 10); len(ds) != 1 || ds[0].Seal != 1 {
		t.Fatalf("received %+v, want the seal", ds)
	}
}

func TestAMalformedEntryIsDeliveredAsWhatNoStoreCanRecord(t *testing.T) {
	t.Parallel()
	at, s := opened(t, redis.Config{})
	c := raw(t, at)
	for _, value := range []string{"\x01", "\x01\x00", "\x01\x05abc", "\x01\x01\x00\x00\x00\x00\x00\x00\x00\x01\x01\x03abc"} {
		do(t, c, "XADD", "{popeye}:votes", "*", "v", value)
	}
	putAll(t, s, 1, 1)
	consumer := s.Consumer("c")
	ds := receiveAll(t, consumer, 5)
	for _, d := range ds[:4] {
		if d.Vote.Round != 0 {
			t.Fatalf("a malformed entry is %+v, want a vote in round 0", d)
		}
	}
	if ds[4].Vote.Round != 1 || ds[4].Vote.Voter != voter(1) {
		t.Fatalf("the vote behind them is %+v", ds[4])
	}
	ack(t, consumer, ds...)
	publish(t, s, 2, in(popeye.Closed, round("p", 1, popeye.First)))
	if ds := receive(t, consumer, 10); len(ds) != 1 || ds[0].Seal != 1 {
		t.Fatalf("received %+v, want the seal", ds)
	}
}

func TestManyConsumersDrainWhatManyCast(t *testing.T) {
	t.Parallel()
	_, s := opened(t, redis.Config{})
	const votes = 3000
	done := make(chan map[popeye.Voter]int)
	ctx, cancel := context.WithCancel(limited(t))
	defer cancel()
	for n := range 3 {
		consumer := s.Consumer(strconv.Itoa(n))
		go func() {
			seen := make(map[popeye.Voter]int)
			for {
				ds, err := consumer.Receive(ctx, 100)
				if err != nil {
					done <- seen
					return
				}
				for _, d := range ds {
					seen[d.Vote.Voter]++
				}
				if err := consumer.Ack(context.WithoutCancel(ctx), ds); err != nil {
					t.Errorf("ack: %v", err)
				}
			}
		}()
	}
	castAll(t, s, votes, 50)
	until(t, "nothing is pending", func() bool { return status(t, s).Pending == 0 })
	cancel()
	all := make(map[popeye.Voter]int)
	for range 3 {
		for v, n := range <-done {
			all[v] += n
		}
	}
	for v, n := range all {
		if n != 1 {
			t.Errorf("voter %s was delivered %d times", v.Receipt(), n)
		}
	}
	if len(all) != votes {
		t.Errorf("%d votes were delivered, want %d", len(all), votes)
	}
}
