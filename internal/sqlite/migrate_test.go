package sqlite

import (
	"io/fs"
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

func TestADatabaseOfAnEarlierReleaseIsTakenAlong(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "popeye.db")
	db, err := openWriter(path)
	if err != nil {
		t.Fatal(err)
	}
	const oldest = "migrations/0001_polls_and_votes.sql"
	script, err := fs.ReadFile(migrations(), oldest)
	if err != nil {
		t.Fatal(err)
	}
	if err := migrate(t.Context(), db, fstest.MapFS{oldest: &fstest.MapFile{Data: script}}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), `BEGIN; INSERT INTO polls VALUES ('p', 1, 7, '{"id": "p", "options": [{"id": "a"}, {"id": "b"}], "policy": "first"}');
		INSERT INTO rounds (poll, state, policy, options, voter_key, shown, total, stored, rejected) VALUES ('p', 'final', 'first', 2, 'k1', 7, 1, 1, 1);
		INSERT INTO tallies VALUES (1, 0, 1), (1, 1, 0);
		INSERT INTO votes VALUES (1, x'000102030405060708090a0b0c0d0e0f', 1, 0, 5, 1);
		INSERT INTO parked VALUES (1, x'100102030405060708090a0b0c0d0e0f', 6, 1, 1, 'late'); COMMIT`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	s := openAt(t, path)
	voter := popeye.Voter{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	marks, err := s.Marks(t.Context(), 1, []popeye.Voter{voter})
	if want := (popeye.Mark{Choices: 1, Stamp: 5, Serial: 1}); err != nil || marks[voter] != want {
		t.Fatalf("the mark is %+v, %v; want %+v", marks[voter], err, want)
	}
	if err := s.Certify(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, err := s.Catalog(t.Context())
	if err != nil || c.Version() < 1 || c.Find("p") == nil || c.Find("p").Incomplete {
		t.Fatalf("the catalog is %+v, %v", c.All(), err)
	}
	expectVotes(t, s, 1)
	if parked, err := s.Parked(t.Context()); err != nil || len(parked) != 1 || parked[0].Votes != 1 {
		t.Fatalf("parked are %+v, %v; want the one", parked, err)
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
