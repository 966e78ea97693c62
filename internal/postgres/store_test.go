package postgres

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"popeye"
	"popeye/internal/lab/labtest"
)

// 1e8 votes have to fit on the disk that was bought for them.
func TestAVoteTakesAtMost130BytesOnDisk(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	d := createPoll(t, s, "p", popeye.First)
	const votes = 50_000
	for range votes / 1000 {
		record(t, s, randomVotes(d, 1000)...)
	}
	if n := count1(t, s, "SELECT pg_total_relation_size('votes') / (SELECT count(*) FROM votes)"); n > 130 {
		t.Errorf("a vote takes %d bytes", n)
	}
}

func TestADeletedPollLeavesOnlyItsNumber(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	d := createPoll(t, s, "p", popeye.First)
	for n := range 2 * sweepRows / 1000 {
		record(t, s, newVotes(d, n*1000, 1000)...)
	}
	record(t, s, newVotes(d, 2*sweepRows, 1)...)
	park := func() {
		t.Helper()
		if _, err := s.Park(t.Context(), []popeye.Parked{{Vote: newVotes(d, 1, 1)[0], Reason: "test"}}); err != nil {
			t.Fatal(err)
		}
	}
	park()
	if err := s.Close(t.Context(), d.Round); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Seal(t.Context(), popeye.Seal{Round: d.Round, Place: "a", Places: []string{"a", "b"}, Enough: 1}); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"polls", "tallies", "votes", "parked", "seals"} {
		if n := count1(t, s, "SELECT count(*) FROM "+table); n != 0 {
			t.Errorf("%d rows are left in %s", n, table)
		}
	}
	park() // what was on its way
	createPoll(t, s, "q", popeye.First)
	if err := s.Delete(t.Context(), "q"); err != nil {
		t.Fatal(err)
	}
	if n := count1(t, s, "SELECT count(*) FROM parked"); n != 0 {
		t.Errorf("%d votes of a deleted poll are still parked", n)
	}
}

func TestVersionsGrowWhenTheClockIsSetBack(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	s := openWithClock(t, &now)
	var shown, version, round int64
	for i := range 4 {
		d := createPoll(t, s, "p", popeye.First)
		record(t, s, newVotes(d, 0, 1)...)
		got, err := s.Tally(t.Context(), "p")
		if err != nil {
			t.Fatal(err)
		}
		catalog, err := s.Catalog(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 && got.Definition.Version != now.UnixMilli() {
			t.Fatalf("version %d; want the clock's %d", got.Definition.Version, now.UnixMilli())
		}
		if got.Version <= got.Definition.Version || got.Definition.Version <= shown || catalog.Version() <= version || d.Round <= round {
			t.Fatalf("versions %d, %d and %d of round %d after %d, %d and %d; want higher ones",
				got.Definition.Version, got.Version, catalog.Version(), d.Round, shown, version, round)
		}
		shown, version, round = got.Version, catalog.Version(), d.Round
		now = now.Add(-time.Hour)
		if err := s.Delete(t.Context(), "p"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpeningAPollWhoseTimeIsOverStartsANewRound(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	s := openWithClock(t, &now)
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

func openWithClock(t *testing.T, now *time.Time) *Store {
	t.Helper()
	dsn := labtest.Database(t)
	if err := Migrate(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), Config{DSN: dsn, Now: func() time.Time { return *now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return s
}

// The administration has no keys: whoever has some names one.
func TestARoundWithoutAVoterKeyGetsTheFirstThatIsNamed(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := openWithClock(t, &now)
	d := createPoll(t, s, "p", popeye.First)
	before, err := s.Catalog(t.Context())
	if err != nil || d.VoterKey != "" {
		t.Fatalf("the round has the key %q, %v; want none", d.VoterKey, err)
	}
	for _, name := range []string{"", "k1", "k2"} {
		if err := s.NameVoterKey(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	after, err := s.Catalog(t.Context())
	if err != nil || after.Find("p").VoterKey != "k1" || after.Find("p").Version <= d.Version || after.Version() <= before.Version() {
		t.Errorf("the catalog has %+v, %v; want the key k1, and higher versions", after.Find("p"), err)
	}
}

// All that is Popeye's is in the migrations, and in nothing beside them.
func TestEveryMigrationIsEmbeddedAndNumbered(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("migrations/*.sql")
	if err != nil || len(names) == 0 || !slices.IsSorted(names) {
		t.Fatalf("the migrations are %v, %v", names, err)
	}
	if newest, err := newestMigration(); err != nil || newest != int64(len(names)) {
		t.Errorf("the newest of %d migrations is %d, %v", len(names), newest, err)
	}
}
