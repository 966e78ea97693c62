package redis_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"popeye"
	"popeye/internal/redis"
)

func TestTrimmingNeverLosesWhatIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	at, s := opened(t, redis.Config{Retention: 1, Lease: soon})
	c, one, two := raw(t, at), s.Consumer("one"), s.Consumer("two")
	const votes = 1000
	putAll(t, s, 1, votes)
	var held []popeye.Delivery
	for n := 0; n < votes/2; {
		ds := receive(t, one, 100)
		held = append(held, ds...)
		n += len(ds)
	}
	ack(t, one, held[200:]...)
	tend(t, s)
	if n := number(t, c, "XLEN", "{popeye}:votes"); n != votes {
		t.Fatalf("%d entries are left, want all: the first is pending", n)
	}
	wantLag(t, c, votes/2)

	ack(t, one, held[:200]...)
	putOnce := number(t, c, "XLEN", "{popeye}:votes")
	tend(t, s)
	if n := number(t, c, "XLEN", "{popeye}:votes"); n >= putOnce || n < votes/2 {
		t.Fatalf("%d entries are left of %d, want those not delivered and some more", n, putOnce)
	}
	wantLag(t, c, votes/2)

	ack(t, two, receiveAll(t, two, votes/2)...)
	tend(t, s)
	wantLag(t, c, 0)
	if n := number(t, c, "XLEN", "{popeye}:votes"); n > 200 {
		t.Fatalf("%d entries are left, want what is of one block with the last", n)
	}
	putAll(t, s, votes+1, votes+3)
	wantLag(t, c, 3)
	ack(t, two, receiveAll(t, two, 3)...)
	wantLag(t, c, 0)
}

// wantLag wants that Redis can tell how many entries were not delivered.
func wantLag(t *testing.T, c rueidis.Client, want int64) {
	t.Helper()
	fields, err := list(t, c, "XINFO", "GROUPS", "{popeye}:votes")[0].AsMap()
	if err != nil {
		t.Fatal(err)
	}
	lag := fields["lag"]
	if n, err := lag.AsInt64(); err != nil || n != want {
		t.Fatalf("the group's lag is %d, %v, want %d", n, err, want)
	}
}

func TestAcknowledgedVotesAreKeptForAWhile(t *testing.T) {
	t.Parallel()
	at, s := opened(t, redis.Config{Retention: time.Hour})
	consumer := s.Consumer("c")
	putAll(t, s, 1, 500)
	ack(t, consumer, receiveAll(t, consumer, 500)...)
	tend(t, s)
	if n := number(t, raw(t, at), "XLEN", "{popeye}:votes"); n != 500 {
		t.Fatalf("%d entries are left, want 500", n)
	}
}

func TestAcknowledgedVotesGoSoonerWhenMemoryIsShort(t *testing.T) {
	t.Parallel()
	at, s := opened(t, redis.Config{Retention: time.Hour, Share: 0.001}, "--maxmemory", "1gb")
	c := raw(t, at)
	do(t, c, "CONFIG", "SET", "maxmemory", "100gb") // there is room for now
	consumer := s.Consumer("c")
	putAll(t, s, 1, 500)
	ack(t, consumer, receiveAll(t, consumer, 500)...)
	do(t, c, "CONFIG", "SET", "maxmemory", "1gb")
	tend(t, s)
	if n := number(t, c, "XLEN", "{popeye}:votes"); n > 200 {
		t.Fatalf("%d entries are left, want hardly any", n)
	}
}

func TestMarksAreFreedSomeTimeAfterARoundIsFinal(t *testing.T) {
	t.Parallel()
	at, s := opened(t, redis.Config{Memory: 1})
	c := raw(t, at)
	castAll(t, s, 2000, 64)
	tend(t, s)
	wantMark(t, s, 7, true)
	publish(t, s, 2, in(popeye.Closed, round("p", 1, popeye.First)))
	tend(t, s)
	wantMark(t, s, 7, true)
	publish(t, s, 3, in(popeye.Final, round("p", 1, popeye.First)))
	later := open(t, at, redis.Config{}) // which waits for a day
	tend(t, later)
	wantMark(t, s, 7, true)
	tend(t, s)
	wantMark(t, s, 7, false)
	if keys := list(t, c, "KEYS", "{popeye}:round:*"); len(keys) != 1 {
		t.Fatalf("%d keys are left of the round, want 1", len(keys))
	}
	if _, err := s.Put(limited(t), cast(7, 1, 200), patience); err == nil {
		t.Fatal("a final round without marks takes a vote again")
	}
}

func wantMark(t *testing.T, s *redis.Server, n int, want bool) {
	t.Helper()
	if _, ok, err := s.Mark(limited(t), 1, voter(n)); err != nil || ok != want {
		t.Fatalf("there is a mark: %v, %v, want %v", ok, err, want)
	}
}

func TestMarksAreFreedInPartsThatHoldUpNobody(t *testing.T) {
	t.Parallel()
	at, s := opened(t, redis.Config{Memory: 1})
	c := raw(t, at)
	// As if there were a million voters.
	do(t, c, "HSET", "{popeye}:round:1", "marks", "1000000")
	publish(t, s, 2, in(popeye.Final, round("p", 1, popeye.First)))
	tend(t, s)
	freed := number(t, c, "HGET", "{popeye}:round:1", "freed")
	if freed == 0 || freed > 1000000/24 {
		t.Fatalf("%d buckets were freed at once, want some", freed)
	}
	until(t, "all are freed", func() bool {
		tend(t, s)
		return number(t, c, "HEXISTS", "{popeye}:round:1", "freed") == 0
	})
}

func TestConsumersThatAreLongGoneAreDeletedUnlessTheyHoldSomething(t *testing.T) {
	t.Parallel()
	at, s := opened(t, redis.Config{})
	c := raw(t, at)
	putAll(t, s, 1, 2)
	busy, idle := s.Consumer("busy"), s.Consumer("idle")
	receive(t, busy, 1)
	ack(t, idle, receive(t, idle, 1)...)
	tend(t, s)
	if n := len(consumers(t, c)); n != 2 {
		t.Fatalf("there are %d consumers, want 2: they were heard of", n)
	}
	hasty := open(t, at, redis.Config{Lease: time.Millisecond})
	until(t, "one of two consumers is deleted", func() bool {
		tend(t, hasty)
		return len(consumers(t, c)) < 2
	})
	left := consumers(t, c)
	if len(left) != 1 {
		t.Fatalf("there are %d consumers, want the one that holds a vote", len(left))
	}
	fields, err := left[0].AsMap()
	if err != nil {
		t.Fatal(err)
	}
	pending := fields["pending"]
	if n, err := pending.AsInt64(); err != nil || n != 1 {
		t.Fatalf("the consumer that is left holds %d, %v, want 1", n, err)
	}
}

// What a voter costs decides how many there is room for.
func TestAVoterCostsLessThan48BytesBesideTheVote(t *testing.T) {
	t.Parallel()
	const voters = 100_000
	at, s := opened(t, redis.Config{Durability: redis.None}, "--appendonly", "no")
	c := raw(t, at)
	before := usedMemory(t, c)
	castAll(t, s, voters, 128)
	stream := number(t, c, "MEMORY", "USAGE", "{popeye}:votes", "SAMPLES", "0")
	marks := usedMemory(t, c) - before - stream
	t.Logf("a voter's mark takes %.1f bytes, the vote in the stream %.1f", float64(marks)/voters, float64(stream)/voters)
	if marks > 48*voters {
		t.Errorf("a voter's mark takes %.1f bytes, want less than 48", float64(marks)/voters)
	}
	if stream > 64*voters {
		t.Errorf("a vote takes %.1f bytes of the stream, want less than 64", float64(stream)/voters)
	}
	for _, n := range []int{1, 2, voters / 2, voters - 1, voters} {
		wantMark(t, s, n, true)
	}
	wantMark(t, s, voters+1, false)
	if n := status(t, s).Accepted[1]; n != voters {
		t.Errorf("%d votes are said to be accepted, want %d", n, voters)
	}
}

func usedMemory(t *testing.T, c rueidis.Client) int64 {
	t.Helper()
	m := do(t, c, "INFO", "memory")
	info, err := m.ToString()
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(info, "used_memory:")
	value, _, _ := strings.Cut(rest, "\r\n")
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
