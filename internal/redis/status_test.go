package redis_test

import (
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	"popeye"
	"popeye/internal/lab/labtest"
	"popeye/internal/redis"
)

func TestStatusTellsHowAServerIs(t *testing.T) {
	t.Parallel()
	_, s := start(t, redis.Config{})
	empty := status(t, s)
	if empty.Place != s.Place() || empty.Server == "" || empty.Pending != 0 || !empty.Oldest.IsZero() || len(empty.Accepted) != 0 || len(empty.Progress) != 0 || empty.Catalog != 0 {
		t.Fatalf("an empty server is %+v", empty)
	}
	publish(t, s, 7, round("p", 1, popeye.First), round("q", 2, popeye.Change), in(popeye.Final, round("r", 3, popeye.First)))
	before := time.Now().Add(-2 * time.Second) // clocks of two processes, and whole milliseconds
	putAll(t, s, 1, 10)
	unconfirmed := cast(11, 1, 100)
	unconfirmed.Unconfirmed = true
	put(t, s, unconfirmed)
	got := status(t, s)
	if got.Server != empty.Server || got.Pending != 11 || got.Oldest.Before(before) || got.Oldest.After(time.Now()) || got.Catalog != 7 {
		t.Fatalf("the server is %+v, want 11 pending, of which the oldest was just cast, and definitions 7", got)
	}
	if want := map[int64]int64{1: 10, 2: 0}; !maps.Equal(got.Accepted, want) {
		t.Fatalf("accepted are %v, want %v", got.Accepted, want)
	}

	consumer := s.Consumer("c")
	ds := receiveAll(t, consumer, 11)
	ack(t, consumer, ds[2:]...)
	ack(t, consumer, ds[0])
	held := status(t, s)
	if held.Pending != 1 || held.Recorded <= got.Recorded {
		t.Fatalf("with one vote left the server is %+v, want 1 pending and the position moved from %s", held, got.Recorded)
	}
	ack(t, consumer, ds[1])
	if done := status(t, s); done.Pending != 0 || done.Recorded <= held.Recorded || done.Progress[ds[0].Progress.Worker] != ds[10].Progress.Batch {
		t.Fatalf("with all recorded the server is %+v", done)
	}
}

func TestPendingIsAboutRightHoweverVotesCame(t *testing.T) {
	t.Parallel()
	_, s := opened(t, redis.Config{})
	castAll(t, s, 2000, 64)
	if n := status(t, s).Pending; n < 1000 || n > 4000 {
		t.Fatalf("%d deliveries are said to be pending, 2000 are", n)
	}
}

func TestAServerThatLostItsDataHasAnotherIdentity(t *testing.T) {
	t.Parallel()
	at, s := opened(t, redis.Config{})
	again := open(t, at, redis.Config{})
	before := status(t, s)
	if got := status(t, again).Server; got != before.Server {
		t.Fatalf("one server is %q and %q", got, before.Server)
	}
	labtest.Do(t, at.Kill)
	labtest.Start(t, at)
	until(t, "the server is back", func() bool { _, err := s.Status(limited(t)); return err == nil })
	if got := status(t, s).Server; got != before.Server {
		t.Fatalf("after a restart the server is %q, was %q", got, before.Server)
	}
	labtest.Do(t, at.Wipe)
	labtest.Start(t, at)
	until(t, "the server is back", func() bool { _, err := s.Status(limited(t)); return err == nil })
	if got := status(t, again).Server; got == before.Server {
		t.Fatalf("without its data the server is still %q", got)
	}
}

// What a worker learns to be gone must be told from what came after.
func TestBatchesAreCountedAnewWhenAServerHasLostItsData(t *testing.T) {
	t.Parallel()
	at, s := opened(t, redis.Config{})
	consumer := s.Consumer("c")
	putAll(t, s, 1, 2)
	held := receiveAll(t, consumer, 2)
	labtest.Do(t, at.Wipe)
	labtest.Start(t, at)
	until(t, "the definitions are there again", func() bool {
		return s.Publish(limited(t), popeye.NewCatalog(1, []popeye.Definition{round("p", 1, popeye.First)})) == nil
	})
	// The consumer may take a moment to see what it has to do with.
	next, p := 2, held[0].Progress
	until(t, "the server's new identity", func() bool {
		next++
		put(t, s, cast(next, 1, 100))
		p = receive(t, consumer, 10)[0].Progress
		return p.Server == status(t, s).Server
	})
	ack(t, consumer, held...)
	if noted := status(t, s).Progress; p.Batch != 1 || noted[p.Worker] != 0 {
		t.Fatalf("the progress is %+v with %+v noted, want the first batch, and nothing noted", p, noted)
	}
}

func TestAnAcknowledgementSaysNothingOfOtherData(t *testing.T) {
	t.Parallel()
	at, s := opened(t, redis.Config{})
	consumer := s.Consumer("c")
	putAll(t, s, 1, 1)
	ds := receiveAll(t, consumer, 1)
	do(t, raw(t, at), "SET", "{popeye}:server", "another")
	ack(t, consumer, ds...)
	if noted := status(t, s).Progress; len(noted) != 0 {
		t.Fatalf("%v is noted for data that the batch was not taken from", noted)
	}
}

func TestADefinitionThatAServerLostIsPublishedAgain(t *testing.T) {
	t.Parallel()
	at, s := opened(t, redis.Config{})
	do(t, raw(t, at), "FLUSHALL")
	_, err := s.Put(limited(t), cast(1, 1, 100), patience)
	wantError(t, err, popeye.ErrNotFound)
	publish(t, s, 1, round("p", 1, popeye.First))
	putAll(t, s, 1, 1)
}

func TestTheVoterKeyIsWhatWasAnnouncedLast(t *testing.T) {
	t.Parallel()
	_, s := start(t, redis.Config{})
	for _, want := range []string{"", "1a2b3c4d", "1a2b3c4d", "5e6f7a8b"} {
		if want != "" {
			if err := s.Announce(limited(t), want); err != nil {
				t.Fatalf("announce: %v", err)
			}
		}
		if got, err := s.VoterKey(limited(t)); err != nil || got != want {
			t.Fatalf("the voter key is %q, %v, want %q", got, err, want)
		}
	}
}

func TestReplayPassesOnWhatWasRecordedFromAPositionOn(t *testing.T) {
	t.Parallel()
	_, s := opened(t, redis.Config{})
	consumer := s.Consumer("c")
	putAll(t, s, 1, 250)
	ack(t, consumer, receiveAll(t, consumer, 250)...)
	from := status(t, s).Recorded
	putAll(t, s, 251, 500)
	ack(t, consumer, receiveAll(t, consumer, 250)...)
	putAll(t, s, 501, 510) // not delivered yet

	wantReplayed(t, s, "", 1, 500)
	wantReplayed(t, s, from, 251, 500)
	wantReplayed(t, s, s.Position(time.Now().Add(-time.Hour)), 1, 500)
	wantReplayed(t, s, s.Position(time.Now().Add(time.Hour)), 1, 0)
	err := s.Replay(limited(t), "", func(context.Context, []popeye.Vote) error { return errStoreAway })
	wantError(t, err, errStoreAway)
}

// wantReplayed wants the votes of voters from one number to another, in order.
func wantReplayed(t *testing.T, s *redis.Server, from string, first, last int) {
	t.Helper()
	n := first
	err := s.Replay(limited(t), from, func(_ context.Context, votes []popeye.Vote) error {
		for _, v := range votes {
			if v.Voter != voter(n) {
				return errors.New("another voter's")
			}
			n++
		}
		return nil
	})
	if err != nil || n != last+1 {
		t.Fatalf("from %q on %d votes were replayed, %v, want %d", from, n-first, err, last+1-first)
	}
}

func TestReplayBringsBackTheSealsOfRoundsThatAreNotFinal(t *testing.T) {
	t.Parallel()
	_, s := start(t, redis.Config{})
	first, second := round("p", 1, popeye.First), round("q", 2, popeye.First)
	publish(t, s, 1, in(popeye.Closed, first), in(popeye.Closed, second))
	consumer := s.Consumer("c")
	for range 2 {
		ack(t, consumer, receive(t, consumer, 1)...)
	}
	publish(t, s, 2, in(popeye.Closed, first), in(popeye.Final, second))
	receivesNothing(t, consumer, soon)
	wantReplayed(t, s, "", 1, 0)
	if ds := receive(t, consumer, 10); len(ds) != 1 || ds[0].Seal != 1 {
		t.Fatalf("received %+v, want the seal of round 1", ds)
	}
}

func TestScanPassesOnEverythingInTheStream(t *testing.T) {
	t.Parallel()
	at, s := start(t, redis.Config{})
	count := func() int {
		n := 0
		seen := make(map[string]bool)
		err := s.Scan(limited(t), func(ds []popeye.Delivery) error {
			for _, d := range ds {
				seen[d.ID] = true
			}
			n += len(ds)
			return nil
		})
		if err != nil || n != len(seen) {
			t.Fatalf("%d deliveries were passed on, %d of them different, %v", n, len(seen), err)
		}
		return n
	}
	if n := count(); n != 0 {
		t.Fatalf("an empty stream has %d votes", n)
	}
	publish(t, s, 1, round("p", 1, popeye.First))
	castAll(t, s, 1000, 50)
	do(t, raw(t, at), "XADD", "{popeye}:votes", "*", "v", "\x02from the future")
	receiveAll(t, s.Consumer("c"), 10)
	if n := count(); n != 1000 {
		t.Fatalf("%d votes were passed on, want 1000", n)
	}
}
