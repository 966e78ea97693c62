package redis_test

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/rueidis"

	"popeye"
	"popeye/internal/redis"
)

var errStoreAway = errors.New("the store is away")

func TestASealWaitsForWhatOtherConsumersHold(t *testing.T) {
	t.Parallel()
	_, s := opened(t, redis.Config{})
	putAll(t, s, 1, 2)
	one, two := s.Consumer("one"), s.Consumer("two")
	first, second := receive(t, one, 1), receive(t, two, 1)
	publish(t, s, 2, in(popeye.Closed, round("p", 1, popeye.First)))
	ack(t, one, first...)
	receivesNothing(t, one, soon)
	ack(t, two, second...)
	if ds := receive(t, one, 10); len(ds) != 1 || ds[0].Seal != 1 || ds[0].Progress.Server == "" {
		t.Fatalf("received %+v, want the seal", ds)
	}
}

func TestASealIsWithOneConsumerAtATime(t *testing.T) {
	t.Parallel()
	at, s := opened(t, redis.Config{Lease: later})
	publish(t, s, 2, in(popeye.Closed, round("p", 1, popeye.First)))
	one, two := s.Consumer("one"), s.Consumer("two")
	first := receive(t, one, 10)
	receivesNothing(t, two, soon)
	second := receive(t, two, 10) // one has died
	ack(t, one, first...)         // or has it?
	if !strings.HasSuffix(sealOf(t, raw(t, at), 1), " 0") {
		t.Fatal("the seal counts as acknowledged, though it was handed out anew")
	}
	third := receive(t, one, 10)
	if second[0].Seal != 1 || third[0].Seal != 1 {
		t.Fatalf("received %+v and %+v, want the seal", second, third)
	}
	ack(t, one, third...)
	receivesNothing(t, two, 2*soon)
}

func TestOneSealFollowsAnotherAndEveryRoundGetsItsOwn(t *testing.T) {
	t.Parallel()
	_, s := start(t, redis.Config{})
	var open, closed []popeye.Definition
	want := map[int64]bool{}
	for n := int64(1); n <= 20; n++ {
		d := round("p"+strings.Repeat("x", int(n)), n, popeye.First)
		open, closed = append(open, d), append(closed, in(popeye.Closed, d))
		want[n] = true
	}
	publish(t, s, 1, open...)
	publish(t, s, 2, closed...)
	consumer := s.Consumer("c")
	for len(want) > 0 {
		ds := receive(t, consumer, 3)
		for _, d := range ds {
			if !want[d.Seal] {
				t.Fatalf("received %+v, which is no seal or comes twice", d)
			}
			delete(want, d.Seal)
		}
		ack(t, consumer, ds...)
	}
}

// A store may lose what was made of a seal. As long as the round is not final
// there, the seal comes again.
func TestTheSealOfARoundThatStaysClosedComesAgainUntilItIsFinal(t *testing.T) {
	t.Parallel()
	at, s := opened(t, redis.Config{})
	c, consumer := raw(t, at), s.Consumer("c")
	closed := in(popeye.Closed, round("p", 1, popeye.First))
	publish(t, s, 2, closed)
	ack(t, consumer, receive(t, consumer, 10)...)
	receivesNothing(t, consumer, soon)
	passHalfAMinute(t, c)
	seal := receive(t, consumer, 10)
	if seal[0].Seal != 1 {
		t.Fatalf("received %+v, want the seal again", seal)
	}
	publish(t, s, 3, in(popeye.Final, closed))
	ack(t, consumer, seal...)
	if n := number(t, c, "HLEN", "{popeye}:seals"); n != 0 {
		t.Fatalf("%d rounds wait for their seal, want none", n)
	}
}

// passHalfAMinute makes every seal due.
func passHalfAMinute(t *testing.T, c rueidis.Client) {
	t.Helper()
	fields := strings.Fields(sealOf(t, c, 1))
	fields[1] = "1"
	do(t, c, "HSET", "{popeye}:seals", "1", strings.Join(fields, " "))
}

// sealOf returns what the server knows of the seal of a round.
func sealOf(t *testing.T, c rueidis.Client, round int) string {
	t.Helper()
	m := do(t, c, "HGET", "{popeye}:seals", strconv.Itoa(round))
	text, err := m.ToString()
	if err != nil {
		t.Fatalf("read a seal: %v", err)
	}
	return text
}

func TestARoundThatIsPublishedNoMoreGetsItsSealAndIsForgotten(t *testing.T) {
	t.Parallel()
	at, s := opened(t, redis.Config{Memory: 1})
	putAll(t, s, 1, 1)
	publish(t, s, 2)
	consumer := s.Consumer("c")
	ack(t, consumer, receiveAll(t, consumer, 1)...)
	seal := receive(t, consumer, 10)
	if seal[0].Seal != 1 {
		t.Fatalf("received %+v, want the seal", seal)
	}
	ack(t, consumer, seal...)
	tend(t, s)
	c := raw(t, at)
	keys := list(t, c, "KEYS", "{popeye}:*")
	names := make([]string, len(keys))
	for i, k := range keys {
		name, err := k.ToString()
		if err != nil {
			t.Fatal(err)
		}
		names[i] = name
	}
	slices.Sort(names)
	if want := []string{"{popeye}:catalog", "{popeye}:progress", "{popeye}:server", "{popeye}:votes"}; !slices.Equal(names, want) {
		t.Fatalf("left are %v, want %v", names, want)
	}
}

func TestAReleasedSealComesAgain(t *testing.T) {
	t.Parallel()
	_, s := opened(t, redis.Config{})
	publish(t, s, 2, in(popeye.Closed, round("p", 1, popeye.First)))
	consumer := s.Consumer("c")
	seal := receive(t, consumer, 10)
	if err := consumer.Release(limited(t), seal, errStoreAway); err != nil {
		t.Fatalf("release: %v", err)
	}
	again := receive(t, consumer, 10)
	if len(again) != 1 || again[0].Seal != 1 || again[0].Progress.Batch != seal[0].Progress.Batch+1 {
		t.Fatalf("received %+v, want the seal in the next batch", again)
	}
}
