package redis_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
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
	disk := smallDisk(t)
	at := labtest.RedisLike(t, lab.RedisConfig{Dir: filepath.Join(disk, "data")})
	s := open(t, at, redis.Config{Timeout: time.Second})
	publish(t, s, 1, round("p", 1, popeye.First))
	v := &voters{t: t, server: s, journal: make(map[popeye.Voter]bool)}
	ctx, cancel := context.WithCancel(limited(t))
	defer cancel()
	all := v.vote(ctx, 20)
	until(t, "votes are acknowledged", func() bool { return v.acked.Load() > 100 })

	ballast := filepath.Join(disk, "ballast")
	fill(t, ballast)
	until(t, "the server ends", func() bool { return !at.Running() })
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	labtest.Start(t, at)
	before := v.acked.Load()
	until(t, "votes are acknowledged again", func() bool { return v.acked.Load() > before+100 })
	cancel()
	all.Wait()

	delivered := make(map[popeye.Voter]int)
	consumer := s.Consumer("c")
	until(t, "nothing is pending", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		drainWhile(ctx, t, consumer, delivered)
		return status(t, s).Pending == 0
	})
	for who, acknowledged := range v.journal {
		if acknowledged && delivered[who] == 0 {
			t.Errorf("an acknowledged vote is lost")
		}
	}
}

// smallDisk mounts a disk that is full soon. Where that is not allowed, the test
// is skipped.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	err := syscall.Mount("popeye-test", dir, "tmpfs", 0, "size=16m,mode=0700")
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

// fill leaves no byte free on the disk of a file.
func fill(t *testing.T, name string) {
	t.Helper()
	file, err := os.Create(name)
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
}
