package redis_test

import (
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/rueidis"

	"popeye"
	"popeye/internal/redis"
)

// BenchmarkPut casts votes of new voters from 64 goroutines. Beside what Go
// measures, it tells what the server spends on each, on itself and in the kernel,
// fsync included, and how many votes share a call.
func BenchmarkPut(b *testing.B) {
	at, s := start(b, redis.Config{})
	publish(b, s, 1, round("p", 1, popeye.First))
	c := raw(b, at)
	before := cpu(b, c)
	b.ReportAllocs()
	b.ResetTimer()
	castAll(b, s, b.N, 64)
	b.StopTimer()
	reportServer(b, c, before)
	b.ReportMetric(float64(b.N)/float64(number(b, c, "XLEN", "{popeye}:votes")), "votes/entry")
}

// BenchmarkFloor appends as many bytes to a stream, from as many goroutines, and
// does nothing else: what BenchmarkPut is to be compared with.
func BenchmarkFloor(b *testing.B) {
	at, _ := start(b, redis.Config{})
	c := raw(b, at)
	before := cpu(b, c)
	b.ReportAllocs()
	b.ResetTimer()
	from(64, b.N, func(int) bool {
		err := c.Do(b.Context(), c.B().Xadd().Key("floor").Id("*").FieldValue().FieldValue("v", "about as many bytes as a vote has").Build()).Error()
		if err != nil {
			b.Errorf("append: %v", err)
		}
		return err == nil
	})
	b.StopTimer()
	reportServer(b, c, before)
}

// BenchmarkDrain receives and acknowledges votes that 64 goroutines have cast, in
// batches of 1000.
func BenchmarkDrain(b *testing.B) {
	at, s := start(b, redis.Config{})
	publish(b, s, 1, round("p", 1, popeye.First))
	castAll(b, s, b.N, 64)
	c, consumer := raw(b, at), s.Consumer("drain")
	before := cpu(b, c)
	b.ReportAllocs()
	b.ResetTimer()
	for left := b.N; left > 0; {
		ds := receive(b, consumer, 1000)
		ack(b, consumer, ds...)
		left -= len(ds)
	}
	b.StopTimer()
	reportServer(b, c, before)
}

// castAll casts votes of n voters from some goroutines.
func castAll(tb testing.TB, s *redis.Server, n, goroutines int) {
	tb.Helper()
	from(goroutines, n, func(i int) bool {
		a, err := s.Put(tb.Context(), cast(i, 1<<(i%3), popeye.Stamp(i)), patience)
		if err != nil || a.Outcome != popeye.Accepted {
			tb.Errorf("the cast got %q, %v", a.Outcome, err)
			return false
		}
		return true
	})
}

// from does something n times, with the numbers from 1, from some goroutines.
func from(goroutines, n int, do func(i int) bool) {
	var last atomic.Int64
	var all sync.WaitGroup
	for range goroutines {
		all.Go(func() {
			for i := int(last.Add(1)); i <= n && do(i); i = int(last.Add(1)) {
				continue
			}
		})
	}
	all.Wait()
}

func reportServer(b *testing.B, c rueidis.Client, before float64) {
	b.Helper()
	b.ReportMetric((cpu(b, c)-before)*1e6/float64(b.N), "redis-us/op")
}

// cpu is how many seconds of CPU the server has used.
func cpu(tb testing.TB, c rueidis.Client) float64 {
	tb.Helper()
	m := do(tb, c, "INFO", "cpu")
	info, err := m.ToString()
	if err != nil {
		tb.Fatalf("info: %v", err)
	}
	sum := 0.0
	for _, found := range regexp.MustCompile(`(?m)^used_cpu_(?:user|sys):([0-9.]+)`).FindAllStringSubmatch(info, -1) {
		seconds, err := strconv.ParseFloat(found[1], 64)
		if err != nil {
			tb.Fatalf("info: %v", err)
		}
		sum += seconds
	}
	return sum
}
