package quorum

import (
	"encoding/binary"
	"log/slog"
	"slices"
	"testing"

	"popeye"
)

func orderOf(v popeye.Voter, names ...string) []string {
	var places []Place
	for _, n := range names {
		places = append(places, Place{Name: n})
	}
	q := newQueue(Config{Servers: places, Copies: 1, Log: slog.New(slog.DiscardHandler)})
	var visited []string
	servers := q.order(v)
	for p := servers.next(); p != nil; p = servers.next() {
		visited = append(visited, p.name)
	}
	return visited
}

// Replicas of different releases have to agree for as long as a round lasts: these
// orders must never change.
func TestOrderOfServersIsTheSameForeverAndEverywhere(t *testing.T) {
	for n, want := range [][]string{
		{"10.0.0.1:6379", "10.0.0.3:6379", "10.0.0.2:6379"},
		{"10.0.0.1:6379", "10.0.0.3:6379", "10.0.0.2:6379"},
		{"10.0.0.1:6379", "10.0.0.2:6379", "10.0.0.3:6379"},
		{"10.0.0.2:6379", "10.0.0.3:6379", "10.0.0.1:6379"},
	} {
		got := orderOf(popeye.Voter{byte(n), 0xff, 15: byte(n)}, "10.0.0.1:6379", "10.0.0.2:6379", "10.0.0.3:6379")
		if !slices.Equal(got, want) {
			t.Errorf("voter %d visits %v, want %v", n, got, want)
		}
		other := orderOf(popeye.Voter{byte(n), 0xff, 15: byte(n)}, "10.0.0.3:6379", "10.0.0.1:6379", "10.0.0.2:6379")
		if !slices.Equal(got, other) {
			t.Errorf("voter %d visits %v where the servers are named in another order, not %v", n, other, got)
		}
	}
}

func TestVotersAreSpreadEvenlyOverAllOrders(t *testing.T) {
	const voters = 6000
	orders := make(map[[3]string]int)
	for n := range uint64(voters) {
		var low, high popeye.Voter
		binary.BigEndian.PutUint64(low[:], n)
		binary.BigEndian.PutUint64(high[8:], n)
		for _, v := range []popeye.Voter{low, high} {
			orders[[3]string(orderOf(v, "redis-0:6379", "redis-1:6379", "redis-2:6379"))]++
		}
	}
	for order, n := range orders {
		if n < voters/6 || n > voters/2 {
			t.Errorf("%d of %d voters visit %v", n, 2*voters, order)
		}
	}
	if len(orders) != 6 {
		t.Errorf("there are %d orders", len(orders))
	}
}

func TestServerMoreMovesNoOther(t *testing.T) {
	for n := range byte(100) {
		v := popeye.Voter{n}
		three := orderOf(v, "a", "b", "c")
		four := slices.DeleteFunc(orderOf(v, "a", "b", "c", "d"), func(name string) bool { return name == "d" })
		if !slices.Equal(three, four) {
			t.Errorf("voter %d visits %v, and with one server more %v", n, three, four)
		}
	}
}
