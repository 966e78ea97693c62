package pipeline_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"

	"popeye"
	"popeye/internal/lab"
	"popeye/internal/lab/labtest"
)

func TestRedisWhoseDiskIsFullLosesNoVote(t *testing.T) {
	t.Parallel()
	disk := labtest.SmallDisk(t, 4)
	redis := labtest.RedisLike(t, lab.RedisConfig{Dir: filepath.Join(disk, "data")})
	s := startSite(t, []*lab.Redis{redis}, 1, 1, 1)
	s.open(popeye.First)
	s.castAll("early ", "a", 20)
	free := labtest.Fill(t, disk)
	var refused []string
	votes := 0
	for ; len(refused) < 20; votes++ {
		key := fmt.Sprint("voter ", votes)
		switch r := s.cast(s.polls[0], "b", "Idempotency-Key", key); {
		case r.status == http.StatusServiceUnavailable && r.header.Get("Retry-After") != "":
			refused = append(refused, key)
		case !r.stands():
			t.Fatalf("a vote got %d: %s", r.status, r.body)
		}
	}
	if redis.Running() {
		t.Error("Redis still runs: its disk was not full")
	}
	free()
	labtest.Start(t, redis)
	for _, key := range refused {
		if r, err := s.insist(t.Context(), key, "b"); err != nil || !r.stands() {
			t.Errorf("a vote that was refused got %d: %s, %v", r.status, r.body, err)
		}
	}
	s.closes(map[string]int64{"a": 20, "b": int64(votes)})
}

func TestOfThreeRedisServersOneWhoseDiskIsFullStopsNobody(t *testing.T) {
	t.Parallel()
	disk := labtest.SmallDisk(t, 4)
	redis := labtest.RedisLike(t, lab.RedisConfig{Dir: filepath.Join(disk, "data")})
	s := startSite(t, append(servers(t, 2), redis), 1, 1, 1)
	s.open(popeye.First)
	free := labtest.Fill(t, disk)
	votes := int64(0)
	for ; redis.Running() || votes < 50; votes++ {
		s.castAll(fmt.Sprint("voter ", votes, " "), "a", 1)
	}
	free()
	labtest.Start(t, redis)
	s.castAll("later ", "b", 10)
	s.closes(map[string]int64{"a": votes, "b": 10})
}
