package sqlite

import (
	"bytes"
	"crypto/rand"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"popeye"
)

func TestAFileThatCannotBeUsedIsRefusedAndLeftAlone(t *testing.T) {
	t.Parallel()
	const backup = "put a backup in its place"
	for name, c := range map[string]struct {
		file func(t *testing.T, path string)
		says string
	}{
		"no database":        {writes([]byte("These are not the votes you are looking for.\n")), backup},
		"noise":              {writes(noise(100_000)), backup},
		"cut in half":        {damages(5000, 16, func(file []byte) []byte { return file[:len(file)/2] }), backup},
		"a page of noise":    {damages(5000, 16, func(file []byte) []byte { copy(file[40*4096:], noise(4096)); return file }), backup},
		"a page of zeros":    {damages(5000, 16, func(file []byte) []byte { clear(file[41*4096 : 42*4096]); return file }), backup},
		"swapped rows":       {damages(5000, 16, swapVoters), backup},
		"the schema's page":  {damages(10, 16, func(file []byte) []byte { copy(file[100:], noise(2000)); return file }), backup},
		"large, zeros in it": {damages(7000, 700, func(file []byte) []byte { clear(file[999*4096 : 1000*4096]); return file }), backup},
		"large, cut":         {damages(7000, 700, func(file []byte) []byte { return file[:len(file)-4096] }), backup},
		"another program's":  {executes("CREATE TABLE cats (name); INSERT INTO cats VALUES ('Zoë')"), "database of another program"},
		"a newer Popeye's":   {executes("PRAGMA application_id = 1349480569; PRAGMA user_version = 1000; CREATE TABLE t (x)"), "a newer Popeye"},
		"only a log":         {onlyLog, "is missing, but the log"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "popeye.db")
			c.file(t, path)
			expectRefusal(t, path, c.says)
		})
	}
}

// The last user was killed and has left a log: it belongs to the file, and
// goes on doing so.
func TestADamagedFileWithALogIsLeftAlone(t *testing.T) {
	t.Parallel()
	for _, index := range []string{"with", "without"} {
		t.Run(index+" the log's index", func(t *testing.T) {
			t.Parallel()
			path := killed(t)
			file := read(t, path)
			copy(file[4096:], noise(len(file)-4096))
			write(t, path, file)
			if index == "without" {
				if err := os.Remove(path + "-shm"); err != nil {
					t.Fatal(err)
				}
			}
			expectRefusal(t, path, "put a backup in its place")
		})
	}
}

func TestAFileWithALogIsUsedAsItIs(t *testing.T) {
	t.Parallel()
	for _, index := range []string{"with", "without"} {
		t.Run(index+" the log's index", func(t *testing.T) {
			t.Parallel()
			path := killed(t)
			if index == "without" {
				if err := os.Remove(path + "-shm"); err != nil {
					t.Fatal(err)
				}
			}
			expectVotes(t, openAt(t, path), 5000)
		})
	}
}

// What a check has no time for is found when it is come upon.
func TestDamageFoundLaterLosesNoVoteSilently(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "popeye.db")
	s := openAt(t, path)
	d := createPoll(t, s, "p", popeye.First)
	record(t, s, newVotes(d, 0, 5000)...)
	if _, err := s.writer.ExecContext(t.Context(), "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA shrink_memory"); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if _, err := file.WriteAt(noise(100*4096), 10*4096); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Record(t.Context(), newVotes(d, 5000, 1000), popeye.Progress{}); !damaged(err) || errors.Is(err, popeye.ErrUnrecordable) {
		t.Fatalf("Record = %v; want the damage", err)
	}
}

func TestAnEmptyFileIsANewDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "popeye.db")
	write(t, path, nil)
	createPoll(t, openAt(t, path), "p", popeye.First)
}

func expectRefusal(t *testing.T, path, says string) {
	t.Helper()
	before := folder(t, path)
	s, err := Open(t.Context(), Config{Path: path})
	if err == nil {
		t.Fatal(errors.Join(errors.New("it was opened"), s.Shutdown()))
	}
	if text := err.Error(); !strings.Contains(text, path) || !strings.Contains(text, says) {
		t.Errorf("Open = %v; want it to name %s and to say %q", err, path, says)
	}
	after := folder(t, path)
	for _, files := range []map[string][]byte{before, after} {
		delete(files, filepath.Base(path)+".lock")
	}
	if index := filepath.Base(path) + "-shm"; before[index] != nil {
		after[index] = before[index] // SQLite's scratch pad: it may be written to, but not be made
	}
	if !maps.EqualFunc(before, after, bytes.Equal) {
		t.Error("the files have changed")
	}
}

// killed leaves behind what a killed process leaves: votes of which some are
// in the file and some only in its log.
func killed(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "popeye.db")
	s := openAt(t, path)
	d := createPoll(t, s, "p", popeye.First)
	record(t, s, newVotes(d, 0, 3000)...)
	if _, err := s.writer.ExecContext(t.Context(), "PRAGMA wal_checkpoint(PASSIVE)"); err != nil {
		t.Fatal(err)
	}
	record(t, s, newVotes(d, 3000, 2000)...)
	copied := filepath.Join(t.TempDir(), "popeye.db")
	for _, suffix := range []string{"", "-wal", "-shm"} {
		write(t, copied+suffix, read(t, path+suffix))
	}
	return copied
}

func writes(content []byte) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		t.Helper()
		write(t, path, content)
	}
}

func onlyLog(t *testing.T, path string) {
	t.Helper()
	write(t, path+"-wal", noise(5000))
}

// damages writes a good database with so many votes, the names of their voters
// so many bytes long, and damages it.
func damages(votes, name int, damage func(file []byte) []byte) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		t.Helper()
		s, err := Open(t.Context(), Config{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		d := createPoll(t, s, "p", popeye.First)
		if _, err := s.writer.ExecContext(t.Context(), `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
			INSERT INTO votes SELECT ?, randomblob(?), 1, 0, 1 << 50, 1, 0 FROM n ORDER BY 2`, votes, d.Round, name); err != nil {
			t.Fatal(err)
		}
		if err := s.Shutdown(); err != nil {
			t.Fatal(err)
		}
		write(t, path, damage(read(t, path)))
	}
}

// swapVoters leaves every page whole, and one of them out of order.
func swapVoters(file []byte) []byte {
	page := file[50*4096 : 51*4096]
	a, b := int(page[8])<<8|int(page[9]), int(page[10])<<8|int(page[11])
	page[8], page[9], page[10], page[11] = byte(b>>8), byte(b), byte(a>>8), byte(a)
	return file
}

// executes writes a database that a script has made.
func executes(script string) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		t.Helper()
		db, err := connect(path, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), script); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// folder returns what is beside a file, itself included.
func folder(t *testing.T, path string) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if err != nil {
		t.Fatal(err)
	}
	content := map[string][]byte{}
	for _, f := range files {
		content[filepath.Base(f)] = read(t, f)
	}
	return content
}
