package sqlite

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"popeye"
)

// A limit of SQLite's own stands for the disk: no rights needed.
func TestAFullDatabaseRefusesVotesAndRecovers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "popeye.db")
	s := openAt(t, path)
	d := createPoll(t, s, "p", popeye.First)
	limitPages(t, s, 60)
	recorded := fill(t, s, d, 0)
	limitPages(t, s, 1_000_000)
	record(t, s, newVotes(d, recorded, 100)...)
	expectVotes(t, s, recorded+100)
}

// The real thing, where the test may mount a small disk of its own.
func TestAFullDiskRefusesVotesAndRecovers(t *testing.T) {
	t.Parallel()
	disk := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size=3m", "popeye-test", disk).CombinedOutput(); err != nil {
		t.Skipf("mounting a disk of its own needs root: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", disk).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	path := filepath.Join(disk, "popeye.db")
	ballast := filepath.Join(disk, "ballast")
	write(t, ballast, make([]byte, 1<<20))

	s, err := Open(t.Context(), Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Shutdown() }) // where the test has failed before its own
	d := createPoll(t, s, "p", popeye.First)
	recorded := 0
	for _, space := range []int64{512 << 10, 0} { // given back in two steps
		recorded = fill(t, s, d, recorded)
		expectVotes(t, s, recorded)
		if err := os.Truncate(ballast, space); err != nil {
			t.Fatal(err)
		}
		record(t, s, newVotes(d, recorded, 50)...)
		recorded += 50
	}
	recorded = fill(t, s, d, recorded)
	if err := s.Shutdown(); err != nil {
		t.Log(err) // there may be no room to fold the log in; it is kept
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	expectVotes(t, openAt(t, path), recorded)
}

// fill records votes from number start on until there is no room, and tries a
// few times more. It returns the number of the first vote not recorded.
func fill(t *testing.T, s *Store, d popeye.Definition, start int) int {
	t.Helper()
	recorded := start
	for range 3 {
		n, err := recordUntil(t.Context(), s, d, recorded)
		if !isUnavailable(err) {
			t.Fatalf("Record without room = %v; want ErrUnavailable", err)
		}
		recorded += n
	}
	return recorded
}

func limitPages(t *testing.T, s *Store, most int) {
	t.Helper()
	if _, err := s.writer.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", most)); err != nil {
		t.Fatal(err)
	}
}
