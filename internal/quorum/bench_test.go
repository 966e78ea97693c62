package quorum_test

import (
	"context"
	"encoding/binary"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"popeye"
	"popeye/internal/quorum"
)

// agreeable is a server that takes every vote at once.
type agreeable struct{ fake }

func (*agreeable) Put(_ context.Context, c popeye.Cast, _ time.Duration) (popeye.Answer, error) {
	return c.Begin(), nil
}

// The queue's own share of a cast.
func BenchmarkEnqueue(b *testing.B) {
	for name, n := range map[string]int{"one server": 1, "two of three": 3} {
		b.Run(name, func(b *testing.B) {
			c := quorum.Config{Copies: n/2 + 1, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()}
			for i := range n {
				s := &agreeable{}
				s.publish(popeye.NewCatalog(1, []popeye.Definition{definition(popeye.First, popeye.Open)}))
				c.Servers = append(c.Servers, quorum.Place{Name: string(rune('a' + i)), Server: s})
			}
			q := quorum.New(c)
			b.ReportAllocs()
			cast := cast(1, 100)
			for i := uint64(0); b.Loop(); i++ {
				binary.BigEndian.PutUint64(cast.Voter[:], i)
				if _, err := q.Enqueue(b.Context(), cast); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
