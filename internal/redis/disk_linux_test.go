package redis_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"popeye"
	"popeye/internal/lab"
	"popeye/internal/lab/labtest"
	"popeye/internal/redis"
)

// A server that writes each vote to its disk ends when that is full. What it had
// acknowledged is there when it starts again.
func TestNothingAcknowledgedIsLostWhenTheDiskIsFull(t *testing.T) {
	t.Parallel()
	disk := labtest.SmallDisk(t, 16)
	at := labtest.RedisLike(t, lab.RedisConfig{Dir: filepath.Join(disk, "data")})
	s := open(t, at, redis.Config{Timeout: time.Second})
	publish(t, s, 1, round("p", 1, popeye.First))
	v := &voters{t: t, server: s, journal: make(map[popeye.Voter]bool)}
	ctx, cancel := context.WithCancel(limited(t))
	defer cancel()
	all := v.vote(ctx, 20)
	until(t, "votes are acknowledged", func() bool { return v.acked.Load() > 100 })

	free := labtest.Fill(t, disk)
	until(t, "the server ends", func() bool { return !at.Running() })
	free()
	labtest.Start(t, at)
	before := v.acked.Load()
	until(t, "votes are acknowledged again", func() bool { return v.acked.Load() > before+100 })
	cancel()
	all.Wait()

	delivered := make(map[popeye.Voter]int)
	consumer := s.Consumer("c")
	drainAll(t, s, consumer, delivered)
	for who, acknowledged := range v.journal {
		if acknowledged && delivered[who] == 0 {
			t.Errorf("an acknowledged vote is lost")
		}
	}
}
