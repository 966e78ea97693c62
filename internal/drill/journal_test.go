package drill

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestRecordIsInTheFileWhenWriteReturns(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "journal")
	j, err := newJournal(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := j.close(); err != nil {
			t.Error(err)
		}
	}()
	all := []record{
		{event: attempted, cast: 1, poll: 1, voter: 3, choice: 4},
		{event: acknowledged, cast: 1, choice: 4, receipt: "AAAAAAAAAAAAAAAA"},
		{event: otherStands, cast: 2, choice: -1, receipt: "BBBBBBBBBBBBBBBB"},
		{event: refused, cast: 3, status: 410},
	}
	for i, r := range all {
		if err := j.write(r); err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, file); !slices.Equal(got, all[:i+1]) {
			t.Errorf("the file has %+v", got)
		}
	}
}

func readAll(t *testing.T, file string) []record {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []record
	if err := readJournal(strings.NewReader(string(text)), func(r record) error {
		all = append(all, r)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestManyWriteAtTheSameTime(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "journal")
	j, err := newJournal(file)
	if err != nil {
		t.Fatal(err)
	}
	var writing sync.WaitGroup
	const writers, each = 20, 50
	for i := range writers {
		writing.Go(func() {
			for k := range each {
				if err := j.write(record{event: attempted, cast: i*each + k}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	if err := j.close(); err != nil {
		t.Error(err)
	}
	seen := map[int]bool{}
	for _, r := range readAll(t, file) {
		seen[r.cast] = true
	}
	if len(seen) != writers*each {
		t.Errorf("%d of %d records are there", len(seen), writers*each)
	}
}

func TestJournalThatCannotBeKeptFailsForEverybody(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("no disk is full here: %v", err)
	}
	j := &journal{file: full, wake: make(chan struct{}, 1), done: make(chan struct{}), next: newPage()}
	go j.run()
	for range 3 {
		if err := j.write(record{event: attempted}); err == nil {
			t.Error("a record was kept on a full disk")
		}
	}
	if err := j.close(); err != nil {
		t.Error(err)
	}
}

func TestJournalIsReadUpToWhereItWasCutOff(t *testing.T) {
	t.Parallel()
	n := 0
	err := readJournal(strings.NewReader("attempted 1 0 1 2\nacknowledged 1 2 AAAA"), func(record) error {
		n++
		return nil
	})
	if err != nil || n != 1 {
		t.Errorf("%d records, %v", n, err)
	}
	for _, line := range []string{"guessed 1\n", "attempted 1 x\n", "\n"} {
		if err := readJournal(strings.NewReader(line), func(record) error { return nil }); err == nil {
			t.Errorf("%q was read", line)
		}
	}
}
