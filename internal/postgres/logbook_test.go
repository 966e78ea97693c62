package postgres

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"popeye"
	"popeye/internal/lab/labtest"
)

// taken is a queue server's status after so many batches of worker w.
func taken(place, server, recorded string, batches int64) popeye.QueueStatus {
	q := popeye.QueueStatus{Place: place, Server: server, Recorded: recorded, Progress: map[string]int64{}}
	if batches > 0 {
		q.Progress["w"] = batches
	}
	return q
}

func note(t *testing.T, s *Store, statuses ...popeye.QueueStatus) {
	t.Helper()
	for _, q := range statuses {
		if err := s.Note(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
}

func expectLost(t *testing.T, s *Store, q popeye.QueueStatus, want string) {
	t.Helper()
	if from, err := s.Lost(t.Context(), q); err != nil || from != want {
		t.Errorf("Lost(%+v) = %q, %v; want %q", q, from, err, want)
	}
}

// batch records batch n of worker w from server A.
func batch(t *testing.T, s *Store, n int64, votes ...popeye.Vote) {
	t.Helper()
	if _, err := s.Record(t.Context(), votes, popeye.Progress{Server: "A", Worker: "w", Batch: n}); err != nil {
		t.Fatal(err)
	}
}

func TestAStoreThatHasEverythingHasLostNothing(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	expectLost(t, s, taken("a", "A", "0-0", 0), "")
	for n := range int64(5) {
		batch(t, s, n+1)
		batch(t, s, n+1) // again, after a lost reply
		note(t, s, taken("a", "A", "1-1", n+1))
		expectLost(t, s, taken("a", "A", "1-1", n+1), "")
	}
	expectLost(t, s, taken("a", "A", "1-1", 4), "")
	expectLost(t, s, taken("b", "B", "1-1", 0), "")
}

func TestALostBatchStaysLostWhateverIsRecordedAfterIt(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	batch(t, s, 1)
	note(t, s, taken("a", "A", "5-0", 1))
	for n := int64(3); n < 10; n++ { // the second is lost
		batch(t, s, n)
		note(t, s, taken("a", "A", "9-0", n))
		expectLost(t, s, taken("a", "A", "9-0", n), "5-0")
	}
	if err := s.Restored(t.Context(), taken("a", "A", "9-0", 7)); err != nil {
		t.Fatal(err)
	}
	// What came while it was replayed was recorded, and counts.
	expectLost(t, s, taken("a", "A", "9-0", 9), "")
	expectLost(t, s, taken("a", "A", "9-0", 10), "5-0")
	note(t, s, taken("a", "A", "9-0", 9))
	expectLost(t, s, taken("a", "A", "9-0", 10), "9-0")
}

func TestAStoreThatKnowsNothingOfAServerHasLostEverything(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	batch(t, s, 1)
	note(t, s, taken("a", "A", "5-0", 1))
	expectLost(t, s, taken("a", "B", "7-0", 3), beginning)
	note(t, s, taken("a", "B", "7-0", 3))
	expectLost(t, s, taken("a", "B", "8-0", 3), beginning)
	if err := s.Restored(t.Context(), taken("a", "B", "7-0", 3)); err != nil {
		t.Fatal(err)
	}
	note(t, s, taken("a", "B", "7-0", 3))
	expectLost(t, s, taken("a", "B", "8-0", 3), "")
	expectLost(t, s, taken("a", "B", "8-0", 4), "7-0")
}

// Of what an organiser has changed there is no batch that could be missing.
func TestAStoreWithOlderDefinitionsThanTheQueueHasLostSome(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	d := createPoll(t, s, "p", popeye.First)
	q := taken("a", "A", "5-0", 0)
	q.Catalog = version(t, s)
	note(t, s, q)
	expectLost(t, s, q, "")
	q.Catalog = time.Now().Add(time.Hour).UnixMilli() // versions are times, if they can be
	expectLost(t, s, q, "5-0")
	note(t, s, q)
	expectLost(t, s, q, "5-0")
	if err := s.Restored(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	expectLost(t, s, q, "")
	if got := version(t, s); got <= q.Catalog {
		t.Errorf("the definitions have version %d, want one above the queue's, %d", got, q.Catalog)
	}
	if e := createPoll(t, s, "q", popeye.First); e.Round <= d.Round+lostRounds {
		t.Errorf("a number was given that the queue may know: %d, after %d", e.Round, d.Round)
	}
}

func version(t *testing.T, s *Store) int64 {
	t.Helper()
	c, err := s.Catalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c.Version()
}

// A copy of the database taken earlier takes its place, as after a failover to a
// replica that lagged, or from a backup.
func TestADatabasePutBackToAnEarlierMomentIsNoticedAndMended(t *testing.T) {
	t.Parallel()
	dsn := labtest.Database(t)
	s := openMigrated(t, dsn)
	d := createPoll(t, s, "p", popeye.First)
	batch(t, s, 1, newVotes(d, 0, 10)...)
	note(t, s, taken("a", "A", "5-0", 1))
	earlier := copyOf(t, s, dsn)

	batch(t, s, 2, newVotes(d, 10, 10)...)
	e := createPoll(t, s, "q", popeye.First)
	if err := s.Close(t.Context(), d.Round); err != nil {
		t.Fatal(err)
	}
	if err := s.Finalise(t.Context(), d.Round); err != nil {
		t.Fatal(err)
	}
	published := version(t, s)

	r := openAt(t, earlier)
	r.rounds.add(map[int64]round{d.Round: {policy: popeye.First, options: 2, final: true}}) // what a worker remembers
	batch(t, r, 3, newVotes(d, 20, 10)...)
	now := taken("a", "A", "9-0", 3)
	note(t, r, now)
	expectLost(t, r, now, "5-0")
	for _, replayed := range [][]popeye.Vote{newVotes(d, 10, 10), newVotes(d, 0, 10)} {
		record(t, r, replayed...)
	}
	if err := r.Restored(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	expectLost(t, r, now, "")
	expectTotal(t, r, "p", 30)
	expectVerified(t, r)

	// The queue has a catalog that this database has lost, and a round whose number
	// must not be given to another one.
	if got := version(t, r); got <= published {
		t.Errorf("the catalog has version %d, want one above %d, which the queue has", got, published)
	}
	if f := createPoll(t, r, "q", popeye.First); f.Round == e.Round {
		t.Errorf("round %d was given again", f.Round)
	}
}

// copyOf makes a copy of a store's database as it is now.
func copyOf(t *testing.T, s *Store, dsn string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	u.Path = "/postgres"
	server := openAt(t, u.String())
	s.pool.Reset() // nobody may be using it
	until(t, "nobody uses it", func() bool {
		return count1(t, server, "SELECT count(*) FROM pg_stat_activity WHERE datname = $1", name) == 0
	})
	copied := fmt.Sprintf("%s_%d", name, time.Now().UnixNano())
	if _, err := server.pool.Exec(t.Context(), "CREATE DATABASE "+copied+" TEMPLATE "+name); err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + copied
	return u.String()
}

func TestAServerThatWasFollowedByAnotherIsNotBelievedToBeBack(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	d := createPoll(t, s, "p", popeye.First)
	note(t, s, taken("a", "A", "1-0", 0), taken("a", "B", "2-0", 0))
	note(t, s, taken("a", "A", "1-0", 0)) // by a worker that slept
	if n := count1(t, s, "SELECT count(*) FROM places WHERE server = 'B' AND recorded = '2-0'"); n != 1 {
		t.Fatal("the place was given back to a server that is gone")
	}
	// When nobody has heard of B for a while, it is A that is there.
	if _, err := s.pool.Exec(t.Context(), "UPDATE places SET noted = now() - interval '11 seconds'"); err != nil {
		t.Fatal(err)
	}
	note(t, s, taken("a", "A", "1-0", 0))
	if n := count1(t, s, "SELECT count(*) FROM places WHERE server = 'A' AND since >= $1 AND replaced", d.Round); n != 1 {
		t.Fatal("the place does not say that A has come back")
	}
	for range 30 {
		note(t, s, taken("a", "C", "1-0", 0), taken("a", "D", "1-0", 0))
		if _, err := s.pool.Exec(t.Context(), "UPDATE places SET noted = now() - interval '11 seconds'"); err != nil {
			t.Fatal(err)
		}
	}
	if n := count1(t, s, "SELECT cardinality(past) FROM places"); n > 20 {
		t.Errorf("it remembers %d servers; want some", n)
	}
}

func TestBatchesOfSeveralServersAreNotedInOneTransaction(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	done := []popeye.Progress{
		{Server: "B", Worker: "w", Batch: 1},
		{},
		{Server: "A", Worker: "w", Batch: 2},
		{Server: "A", Worker: "v", Batch: 1},
		{Server: "A", Worker: "w", Batch: 1},
		{Server: "A", Worker: "w", Batch: 1},
	}
	if _, err := s.Record(t.Context(), nil, done...); err != nil {
		t.Fatal(err)
	}
	expectLost(t, s, taken("b", "B", "1-1", 1), "")
	whole := taken("a", "A", "1-1", 2)
	whole.Progress["v"] = 1
	expectLost(t, s, whole, "")
	expectLost(t, s, taken("a", "A", "1-1", 3), "0")
}

func TestTheProgressOfForgottenWorkersIsForgotten(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	for _, worker := range []string{"w", "old", "idle"} {
		if _, err := s.Record(t.Context(), nil, popeye.Progress{Server: "A", Worker: worker, Batch: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Record(t.Context(), nil, popeye.Progress{Server: "gone", Worker: "w", Batch: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.pool.Exec(t.Context(), "UPDATE progress SET noted = now() - interval '40 days' WHERE worker <> 'w' OR server = 'gone'"); err != nil {
		t.Fatal(err)
	}
	q := taken("a", "A", "1-0", 1)
	q.Progress["idle"] = 1
	note(t, s, q, q)
	if n := count1(t, s, "SELECT count(*) FROM progress WHERE server = 'A' AND worker IN ('w', 'idle')"); n != 2 {
		t.Errorf("%d of 2 workers that the server knows are left", n)
	}
	if n := count1(t, s, "SELECT count(*) FROM progress"); n != 2 {
		t.Errorf("%d are left; want 2", n)
	}
}

func TestTheLedgerCountsWhatIsOnItsWay(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	d := createPoll(t, s, "p", popeye.First)
	a, b := taken("a", "A", "1-0", 0), taken("b", "B", "1-0", 0)
	a.Accepted, b.Accepted = map[int64]int64{d.Round: 7, d.Round + 1: 100}, map[int64]int64{d.Round: 5}
	note(t, s, a, b)
	record(t, s, newVotes(d, 0, 4)...)
	if _, err := s.Park(t.Context(), []popeye.Parked{{Vote: newVotes(d, 100, 1)[0], Reason: "test"}}); err != nil {
		t.Fatal(err)
	}
	expectLedger(t, s, popeye.Ledger{Accepted: 12, Queued: 7, Stored: 4, Rejected: 1})
	record(t, s, newVotes(d, 0, 20)...) // more than the servers have said yet
	expectLedger(t, s, popeye.Ledger{Accepted: 21, Stored: 20, Rejected: 1})
	a.Accepted[d.Round] = 100
	note(t, s, a)
	expectLedger(t, s, popeye.Ledger{Accepted: 105, Queued: 84, Stored: 20, Rejected: 1})
	if err := s.Close(t.Context(), d.Round); err != nil {
		t.Fatal(err)
	}
	expectLedger(t, s, popeye.Ledger{Accepted: 105, Queued: 84, Stored: 20, Rejected: 1})
	if err := s.Finalise(t.Context(), d.Round); err != nil {
		t.Fatal(err)
	}
	expectLedger(t, s, popeye.Ledger{Accepted: 21, Stored: 20, Rejected: 1})
}

func expectLedger(t *testing.T, s *Store, want popeye.Ledger) {
	t.Helper()
	if got, err := s.Tally(t.Context(), "p"); err != nil || got.Ledger != want {
		t.Errorf("the ledger is %+v, %v; want %+v", got.Ledger, err, want)
	}
}

func TestLagIsHowLongVotesMayHaveWaited(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	near := func(want time.Duration) {
		t.Helper()
		// The tests of a package share a machine: what is asked late is older.
		if lag, err := s.Lag(t.Context()); err != nil || lag < want || lag > want+20*time.Second || want == 0 && lag != 0 {
			t.Errorf("Lag = %v, %v; want %v", lag, err, want)
		}
	}
	age := func(place, column string, by time.Duration) {
		if _, err := s.pool.Exec(t.Context(), "UPDATE places SET "+column+" = now() - $2 * interval '1 second' WHERE place = $1", place, by.Seconds()); err != nil {
			t.Fatal(err)
		}
	}
	near(0) // nothing is known of a queue
	note(t, s, taken("a", "A", "1-0", 0), taken("b", "B", "1-0", 0))
	near(0)
	age("a", "oldest", 0)
	near(0)
	age("a", "oldest", 5*time.Minute)
	age("b", "oldest", time.Hour)
	near(time.Hour)
	age("b", "noted", time.Minute) // its server is away: what waits there is as good as lost sight of
	near(5 * time.Minute)
	age("a", "noted", 2*time.Minute)
	near(time.Minute) // there is no worker
}
