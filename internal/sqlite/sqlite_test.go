package sqlite

import (
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"popeye"
	"popeye/internal/storetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Store {
		t.Helper()
		s, err := Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "popeye.db")}) // with a voter key yet to be named
		if err != nil {
			t.Fatal(err)
		}
		shutDown(t, s)
		return s
	})
}

func TestMarksTellWhatStands(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	d := createPoll(t, s, "p", popeye.Change)
	votes := newVotes(d, 0, 300)
	record(t, s, votes...)
	changed := votes[7]
	changed.Choices, changed.Stamp, changed.Serial = 2, changed.Stamp+1, 2
	record(t, s, changed)
	want := map[popeye.Voter]popeye.Mark{}
	for _, v := range append(votes, changed) {
		want[v.Voter] = popeye.Mark{Choices: v.Choices, Stamp: v.Stamp, Serial: v.Serial}
	}
	strangers := newVotes(d, 1000, 300)
	got, err := s.Marks(t.Context(), d.Round, voters(append(strangers, votes...)))
	if err != nil || !maps.Equal(got, want) {
		t.Fatalf("Marks found %d, %v; want the %d that stand", len(got), err, len(want))
	}
	for _, round := range []int64{d.Round + 1, -1} {
		if got, err := s.Marks(t.Context(), round, voters(votes)); err != nil || len(got) != 0 {
			t.Fatalf("Marks in round %d found %d, %v; want none", round, len(got), err)
		}
	}
}

func TestADeletedPollLeavesNothing(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	d := createPoll(t, s, "p", popeye.First)
	record(t, s, newVotes(d, 0, 2*sweepRows+1)...)
	if _, err := s.Park(t.Context(), []popeye.Parked{{Vote: newVotes(d, 1, 1)[0], Reason: "test"}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"polls", "rounds", "tallies", "votes", "parked"} {
		if n := count(t, s, table); n != 0 {
			t.Errorf("%d rows are left in %s", n, table)
		}
	}
}

func TestWhatAnInterruptedDeleteLeavesTheNextOneTakes(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	d := createPoll(t, s, "p", popeye.First)
	record(t, s, newVotes(d, 0, 10)...)
	createPoll(t, s, "q", popeye.First)
	if _, err := s.writer.ExecContext(t.Context(), "DELETE FROM polls WHERE id = 'p'"); err != nil { // then killed
		t.Fatal(err)
	}
	if err := s.Close(t.Context(), d.Round); !errors.Is(err, popeye.ErrNotFound) {
		t.Fatalf("Close of what is being deleted = %v; want ErrNotFound", err)
	}
	if _, err := s.Record(t.Context(), newVotes(d, 10, 1), popeye.Progress{}); !errors.Is(err, popeye.ErrUnrecordable) {
		t.Fatalf("Record into what is being deleted = %v; want ErrUnrecordable", err)
	}
	if err := s.Delete(t.Context(), "q"); err != nil {
		t.Fatal(err)
	}
	if n := count(t, s, "votes") + count(t, s, "rounds"); n != 0 {
		t.Fatalf("%d rows are left", n)
	}
}

func TestVersionsGrowWhenTheClockIsSetBack(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	s, err := Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "popeye.db"), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	shutDown(t, s)
	var last int64
	for i := range 4 {
		d := createPoll(t, s, "p", popeye.First)
		record(t, s, newVotes(d, 0, 1)...)
		got, err := s.Tally(t.Context(), "p")
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 && got.Definition.Version != now.UnixMilli() {
			t.Fatalf("version %d; want the clock's %d", got.Definition.Version, now.UnixMilli())
		}
		if got.Version <= got.Definition.Version || got.Definition.Version <= last {
			t.Fatalf("versions %d and %d after %d; want higher ones", got.Definition.Version, got.Version, last)
		}
		last = got.Version
		now = now.Add(-time.Hour)
		if err := s.Delete(t.Context(), "p"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpeningAPollWhoseTimeIsOverStartsANewRound(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	s, err := Open(t.Context(), Config{Path: filepath.Join(t.TempDir(), "popeye.db"), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	shutDown(t, s)
	p := testPoll("p", popeye.First)
	p.Closes = now.Add(time.Hour)
	d, _, err := s.Apply(t.Context(), p, popeye.Open)
	if err != nil {
		t.Fatal(err)
	}
	now = p.Closes
	e, err := s.Open(t.Context(), "p")
	if err != nil || e.Round == d.Round || !e.Closes.IsZero() {
		t.Fatalf("Open = %+v, %v; want a new round without a closing time", e, err)
	}
	if err := s.Finalise(t.Context(), d.Round); err != nil {
		t.Fatalf("the old round was left open: %v", err)
	}
}

func TestNewRoundsNameTheVoterKey(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "popeye.db")
	for i, key := range []string{"k1", "k2"} {
		s, err := Open(t.Context(), Config{Path: path, VoterKey: key})
		if err != nil {
			t.Fatal(err)
		}
		createPoll(t, s, key, popeye.First)
		if err := s.NameVoterKey(t.Context(), "k3"); err != nil { // there is nothing to name
			t.Fatal(err)
		}
		c, err := s.Catalog(t.Context())
		if err != nil || c.Find("k1").VoterKey != "k1" || c.All()[i].VoterKey != key {
			t.Fatalf("Catalog = %+v, %v; want each poll with the key of its day", c.All(), err)
		}
		if err := s.Shutdown(); err != nil {
			t.Fatal(err)
		}
	}
}

// No test can pull the plug, but it can ask whether SQLite minds.
func TestEveryCommitIsOnTheDisk(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	var journal string
	var synchronous int
	if err := s.writer.QueryRowContext(t.Context(), "SELECT journal_mode, synchronous FROM pragma_journal_mode, pragma_synchronous").
		Scan(&journal, &synchronous); err != nil || journal != "wal" || synchronous != 2 {
		t.Fatalf("journal_mode %s, synchronous %d, %v; want wal and 2 (FULL)", journal, synchronous, err)
	}
}

func TestOnlyItsOwnerCanReadTheDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "made when missing", "100% odd?#name", "popeye.db")
	s := openAt(t, path)
	createPoll(t, s, "p", popeye.First)
	files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if err != nil || len(files) != 4 { // the database, its log, the log's index, the lock
		t.Fatalf("the files are %v, %v", files, err)
	}
	for _, f := range append(files, filepath.Dir(path)) {
		info, err := os.Stat(f)
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v, %v", f, info.Mode(), err)
		}
	}
}

func TestASecondProcessIsKeptOut(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "popeye.db")
	s, err := Open(t.Context(), Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), Config{Path: path})
	if err == nil || !strings.Contains(err.Error(), "is another popeye running") || !strings.Contains(err.Error(), filepath.Dir(path)) {
		t.Fatalf("the second Open = %v; want it to say why", err)
	}
	createPoll(t, s, "p", popeye.First) // the first is none the worse
	if err := s.Shutdown(); err != nil {
		t.Fatal(err)
	}
	openAt(t, path)
}

func TestAFolderThatCannotBeUsedIsNamed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Config{Path: filepath.Join(file, "popeye.db")}); err == nil || !strings.Contains(err.Error(), file) {
		t.Fatalf("Open = %v; want an error that names %s", err, file)
	}
}

func openNew(t *testing.T) *Store {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "popeye.db"))
}

// openAt opens a store that is shut down when the test ends.
func openAt(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{Path: path, VoterKey: "k1"})
	if err != nil {
		t.Fatal(err)
	}
	shutDown(t, s)
	return s
}

func shutDown(t *testing.T, s *Store) {
	t.Helper()
	t.Cleanup(func() {
		if err := s.Shutdown(); err != nil {
			t.Error(err)
		}
	})
}

func testPoll(id string, policy popeye.Policy) popeye.Poll {
	p := popeye.Poll{ID: id, Question: "?", Policy: policy, Options: []popeye.Option{{ID: "a"}, {ID: "b"}}}
	return p.WithDefaults()
}

func createPoll(t *testing.T, s *Store, id string, policy popeye.Policy) popeye.Definition {
	t.Helper()
	d, _, err := s.Apply(t.Context(), testPoll(id, policy), popeye.Open)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// newVotes are votes for option a by n voters, numbered from start.
func newVotes(d popeye.Definition, start, n int) []popeye.Vote {
	votes := make([]popeye.Vote, n)
	for i := range votes {
		votes[i] = popeye.Vote{Round: d.Round, Choices: 1, Stamp: 1 << 50, Serial: 1}
		binary.LittleEndian.PutUint64(votes[i].Voter[:], uint64(start+i)*0x9e3779b97f4a7c15)
	}
	return votes
}

func record(t *testing.T, s *Store, votes ...popeye.Vote) {
	t.Helper()
	if _, err := s.Record(t.Context(), votes, popeye.Progress{}); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, s *Store, table string) (n int) {
	t.Helper()
	if err := s.reader.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// expectVotes checks that n votes are counted in poll p, and that n rows say the same.
func expectVotes(t *testing.T, s *Store, n int) {
	t.Helper()
	got, err := s.Tally(t.Context(), "p")
	if err != nil {
		t.Fatal(err)
	}
	if got.Total != int64(n) || got.Votes[0] != got.Total || got.Ledger.Stored != got.Total || count(t, s, "votes") != n {
		t.Fatalf("%+v with %d rows; want %d votes", got, count(t, s, "votes"), n)
	}
}

// recordUntil records batches of new voters until one fails, or ctx is done.
// It returns how many votes were recorded.
func recordUntil(ctx context.Context, s *Store, d popeye.Definition, start int) (int, error) {
	const size = 50
	for n := 0; ; n += size {
		if _, err := s.Record(ctx, newVotes(d, start+n, size), popeye.Progress{}); err != nil {
			return n, err
		}
	}
}

func isUnavailable(err error) bool { return errors.Is(err, popeye.ErrUnavailable) }
