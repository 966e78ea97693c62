package pipeline_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"popeye"
	"popeye/internal/lab"
	"popeye/internal/lab/labtest"
)

func TestRedisWhoseDiskIsFullLosesNoVote(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t)
	redis := labtest.RedisLike(t, lab.RedisConfig{Dir: filepath.Join(disk, "data")})
	s := startSite(t, []*lab.Redis{redis}, 1, 1, 1)
	s.open(popeye.First)
	s.castAll("early ", "a", 20)
	free := fill(t, disk)
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
	disk := smallDisk(t)
	redis := labtest.RedisLike(t, lab.RedisConfig{Dir: filepath.Join(disk, "data")})
	s := startSite(t, append(servers(t, 2), redis), 1, 1, 1)
	s.open(popeye.First)
	free := fill(t, disk)
	votes := int64(0)
	for ; redis.Running() || votes < 50; votes++ {
		s.castAll(fmt.Sprint("voter ", votes, " "), "a", 1)
	}
	free()
	labtest.Start(t, redis)
	s.castAll("later ", "b", 10)
	s.closes(map[string]int64{"a": votes, "b": 10})
}

// smallDisk mounts a file system of a few megabytes for one test.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	err := syscall.Mount("popeye-test", dir, "tmpfs", 0, "size=4m,mode=0700")
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		t.Skipf("a small disk cannot be mounted here: %v", err)
	}
	if err != nil {
		t.Fatalf("mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount the small disk: %v", err)
		}
	})
	return dir
}

// fill leaves no byte free on a disk, until the function that it returns is
// called.
func fill(t *testing.T, disk string) (free func()) {
	t.Helper()
	file, err := os.Create(filepath.Join(disk, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for block := make([]byte, 4096); err == nil; {
		_, err = file.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("fill the disk: %v", err)
	}
	return func() {
		if err := os.Remove(file.Name()); err != nil {
			t.Fatal(err)
		}
	}
}
