package sqlite

import (
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"popeye"
)

func TestMigrationsAreTakenOnceAndInOrder(t *testing.T) {
	t.Parallel()
	db, err := openWriter(filepath.Join(t.TempDir(), "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	fsys := fstest.MapFS{}
	step := func(name, script string) { fsys["migrations/"+name] = &fstest.MapFile{Data: []byte(script)} }
	step("0002_more.sql", "ALTER TABLE t ADD COLUMN y; INSERT INTO t VALUES (1, 2);")
	step("0001_first.sql", "CREATE TABLE t (x);")
	for range 2 {
		if err := migrate(t.Context(), db, fsys); err != nil {
			t.Fatal(err)
		}
	}
	step("0003_broken.sql", "INSERT INTO t VALUES (3, 4); INSERT INTO nowhere VALUES (1);")
	if err := migrate(t.Context(), db, fsys); err == nil || !strings.Contains(err.Error(), "0003_broken.sql") {
		t.Fatalf("migrate = %v; want it to name 0003_broken.sql", err)
	}
	var rows, version int
	if err := db.QueryRowContext(t.Context(), "SELECT count(*), (SELECT user_version FROM pragma_user_version) FROM t").
		Scan(&rows, &version); err != nil || rows != 1 || version != 2 {
		t.Fatalf("%d rows at version %d, %v; want 1 at 2: a failed step leaves nothing behind", rows, version, err)
	}
	step("0003_broken.sql", "INSERT INTO t VALUES (3, 4);")
	if err := migrate(t.Context(), db, fsys); err != nil {
		t.Fatal(err)
	}
}

func TestTheSchemaSaysWhatItIs(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	names, err := steps(migrations())
	if err != nil || len(names) == 0 {
		t.Fatalf("steps = %v, %v", names, err)
	}
	var application, version int
	if err := s.reader.QueryRowContext(t.Context(), "SELECT application_id, user_version FROM pragma_application_id, pragma_user_version").
		Scan(&application, &version); err != nil || application != applicationID || version != len(names) {
		t.Fatalf("application %#x at version %d, %v; want %#x at %d", application, version, err, applicationID, len(names))
	}
}

func TestAReopenedDatabaseKeepsEverything(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "popeye.db")
	s, err := Open(t.Context(), Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	record(t, s, newVotes(createPoll(t, s, "p", popeye.First), 0, 300)...)
	before, err := s.Tally(t.Context(), "p")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(); err != nil {
		t.Fatal(err)
	}
	if files := folder(t, path); len(files) != 2 { // the database and its lock: the log is folded in
		t.Fatalf("%d files are left after Shutdown; want 2", len(files))
	}
	s = openAt(t, path)
	expectVotes(t, s, 300)
	if after, err := s.Tally(t.Context(), "p"); err != nil || after.Version != before.Version || after.Round != before.Round {
		t.Fatalf("the tally went from %+v to %+v, %v", before, after, err)
	}
}
