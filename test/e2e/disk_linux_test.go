package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

func TestFullDiskRefusesVotesLosesNoneAndRecovers(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t)
	l := launch{binary: plainBinary, data: filepath.Join(disk, "data")}
	p := l.start(t)
	hall := &hall{t: t, process: p, http: newClient(t), acknowledged: map[string]bool{}}
	hall.http.Jar = nil
	if hall.cast(); len(hall.refused) > 0 {
		t.Fatalf("before the disk is full %d votes are refused", len(hall.refused))
	}

	free := fill(t, disk)
	eventually(t, "votes are refused", func() bool { return hall.cast() > 0 })
	hall.cast()
	hall.check()
	p.visitor().get("/r/cats-dogs").wants(t, http.StatusOK)
	p.visitor().get("/p/cats-dogs").wants(t, http.StatusOK)
	eventually(t, "Popeye is not ready", func() bool { return !p.ready() })

	free()
	eventually(t, "all votes that were refused stand", hall.retry)
	eventually(t, "Popeye is ready again", p.ready)
	hall.cast()
	hall.check()

	// Nor is one lost by a kill and a start on a full disk.
	free = fill(t, disk)
	eventually(t, "votes are refused", func() bool { return hall.cast() > 0 })
	p.kill()
	hall.process = l.start(t)
	hall.check()
	free()
	eventually(t, "all votes that were refused stand", hall.retry)
	hall.check()
	hall.process.kill()
	hall.process = l.start(t)
	hall.check()
}

// hall is full of people who vote at the same time.
type hall struct {
	t       *testing.T
	process *process
	http    *http.Client

	mu           sync.Mutex
	people       int
	acknowledged map[string]bool
	refused      []string
}

// cast casts the votes of 50 more people and returns how many were refused.
func (h *hall) cast() int {
	h.t.Helper()
	before := len(h.refused)
	var keys []string
	for range 50 {
		h.people++
		keys = append(keys, fmt.Sprint("voter-", h.people))
	}
	h.castAll(keys)
	return len(h.refused) - before
}

// retry casts all votes again that were refused, and reports whether they stand.
func (h *hall) retry() bool {
	h.t.Helper()
	refused := h.refused
	h.refused = nil
	h.castAll(refused)
	return len(h.refused) == 0
}

func (h *hall) castAll(keys []string) {
	h.t.Helper()
	var casting sync.WaitGroup
	for _, key := range keys {
		casting.Go(func() { h.castOne(key) })
	}
	casting.Wait()
}

// castOne casts a vote, which must be acknowledged, or refused as it should be.
func (h *hall) castOne(key string) {
	q := request{
		http.MethodPost, h.process.base + "/api/v1/votes/cats-dogs", choosing("a"),
		[]string{"Content-Type", "application/json", "Idempotency-Key", key},
	}
	r, err := q.send(h.t.Context(), h.http)
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err != nil:
		h.t.Errorf("a vote got no answer: %v", err)
	case r.status == http.StatusServiceUnavailable && r.header.Get("Retry-After") != "":
		h.refused = append(h.refused, key)
	case r.status == http.StatusCreated, r.status == http.StatusOK:
		h.acknowledged[key] = true
	default:
		h.t.Errorf("a vote got %d, %v: %.300s", r.status, r.header, r.body)
	}
}

// check checks that every acknowledged vote is counted once, and of the refused
// ones at most each once, for a vote whose recording was not seen to its end may
// stand.
func (h *hall) check() {
	h.t.Helper()
	got := h.process.result("cats-dogs")
	least, most := int64(len(h.acknowledged)), int64(len(h.acknowledged)+len(h.refused))
	if got.Total < least || got.Total > most || got.addsUp() != nil {
		h.t.Errorf("%d votes are acknowledged, %d refused, and the result is %+v", least, len(h.refused), got)
	}
	if len(h.refused) == 0 {
		got.wantCounts(h.t, least, map[string]int64{"a": least, "b": 0})
	}
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
