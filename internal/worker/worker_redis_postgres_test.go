package worker_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"popeye"
	"popeye/internal/lab"
	"popeye/internal/lab/labtest"
	"popeye/internal/worker"
)

func TestVotesOfAWorkerThatDiesBetweenRecordingAndAcknowledgingCountOnce(t *testing.T) {
	t.Parallel()
	l := newLane(t, labtest.Database(t), 1, 1)
	died := make(chan struct{}, 2)
	first := l.work(trouble{consumer: func(c worker.Consumer) worker.Consumer { return deadly{c, died} }})
	d := l.open("p", popeye.First)
	l.put(l.servers[0], d, 0, 100)
	<-died
	first.dismiss()
	l.until("the dead worker's votes are recorded", func() bool { return l.tally(d).Total > 0 })
	l.work(trouble{})
	l.untilIdle()
	l.wantTally(d, []int64{100, 0, 0}, 100, 0)
	l.close(d)
	l.untilFinal(d)
	l.wantTally(d, []int64{100, 0, 0}, 100, 0)
}

func TestAWorkerThatSleepsBeyondItsLeaseChangesNothingWhenItWakes(t *testing.T) {
	t.Parallel()
	l := newLane(t, labtest.Database(t), 1, 1)
	reached, gate := make(chan struct{}, 1), make(chan struct{})
	open := sync.OnceFunc(func() { close(gate) })
	l.work(trouble{recorder: func(r worker.Recorder) worker.Recorder { return gated{r, reached, gate} }})
	t.Cleanup(open) // before the worker is dismissed
	d := l.open("p", popeye.Change)
	for n := range 50 {
		l.putOne(l.servers[0], cast(d.Round, n, 1))
	}
	<-reached
	l.work(trouble{})
	l.until("what the sleeper has in hand is taken from it", func() bool { return l.counts(d, 50) })
	for n := range 50 {
		c := cast(d.Round, n, 2)
		c.Stamp = 200
		l.putOne(l.servers[0], c)
	}
	l.until("the changes are recorded", func() bool { return l.tally(d).Votes[1] == 50 })
	open()
	l.untilIdle()
	l.wantTally(d, []int64{0, 50, 0}, 100, 0)
	l.close(d)
	l.untilFinal(d)
	l.wantTally(d, []int64{0, 50, 0}, 100, 0)
}

func TestOfChangesThatTwoWorkersRecordInAnyOrderTheNewestStands(t *testing.T) {
	t.Parallel()
	const voters, changes = 40, 9
	l := newLane(t, labtest.Database(t), 1, 1)
	for range 2 {
		l.work(trouble{batch: 7, recorder: func(r worker.Recorder) worker.Recorder {
			return slow{r, func() time.Duration { return rand.N(20 * time.Millisecond) }}
		}})
	}
	d := l.open("p", popeye.Change)
	for i := range changes {
		for n := range voters {
			c := cast(d.Round, n, 1<<((i+n)%3))
			c.Stamp += popeye.Stamp(i)
			l.putOne(l.servers[0], c)
		}
	}
	l.untilIdle()
	want := make([]int64, 3)
	for n := range voters {
		want[(changes-1+n)%3]++
	}
	l.wantTally(d, want, voters*changes, 0)
}

// restorable is a lane whose database can be put back to an earlier moment.
type restorable struct {
	*lane
	server *lab.Postgres
}

func newRestorable(t *testing.T) restorable {
	t.Helper()
	server := labtest.Postgres(t, "fsync=off")
	if err := server.CreateDatabase(t.Context(), "popeye"); err != nil {
		t.Fatal(err)
	}
	return restorable{newLane(t, server.DSN("popeye"), 2, 2), server}
}

func (r restorable) exec(statement string) {
	r.Helper()
	if err := r.server.Exec(r.Context(), "postgres", statement); err != nil {
		r.Fatalf("%s: %v", statement, err)
	}
}

// keep makes the copy that restore puts in the database's place. Afterwards the
// database is there again.
func (r restorable) keep() {
	r.Helper()
	r.exec("ALTER DATABASE popeye ALLOW_CONNECTIONS false")
	r.exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'popeye'")
	r.exec("CREATE DATABASE backup TEMPLATE popeye")
	r.exec("ALTER DATABASE popeye ALLOW_CONNECTIONS true")
	r.untilBack()
}

func (r restorable) restore() {
	r.Helper()
	r.exec("DROP DATABASE popeye WITH (FORCE)")
	r.exec("CREATE DATABASE popeye TEMPLATE backup")
	r.untilBack()
}

func (r restorable) untilBack() {
	r.Helper()
	r.until("the database is back", func() bool { _, err := r.store.Catalog(r.Context()); return err == nil })
}

func TestVotesThatARestoredDatabaseHasLostAreReplayed(t *testing.T) {
	t.Parallel()
	l := newRestorable(t)
	l.work(trouble{})
	l.work(trouble{})
	d, kept := l.open("p", popeye.First), l.open("kept", popeye.First)
	for _, s := range l.servers {
		l.put(s, d, 0, 50)
	}
	l.until("the first votes are recorded", func() bool { return l.counts(d, 50) })
	l.keep()
	for _, s := range l.servers {
		l.put(s, d, 50, 100)
		l.put(s, kept, 0, 20)
	}
	l.until("the later votes are recorded", func() bool { return l.counts(d, 100) && l.counts(kept, 20) })
	l.close(d)
	l.untilFinal(d)
	l.untilIdle()
	l.restore()

	l.until("the votes are back", func() bool { return l.counts(d, 100) && l.counts(kept, 20) })
	l.close(d) // which the database has lost too
	l.untilFinal(d)
	l.wantTally(d, []int64{100, 0, 0}, 100, 0)
	l.put(l.servers[0], kept, 20, 30)
	l.until("new votes are recorded", func() bool { return l.counts(kept, 30) })
}

// There is no vote that could be missing: only the queue knows more.
func TestAPollThatARestoredDatabaseHasLostTakesNoMoreVotes(t *testing.T) {
	t.Parallel()
	l := newRestorable(t)
	l.work(trouble{})
	kept := l.open("kept", popeye.First)
	l.untilNoted()
	l.keep()
	lost := l.open("p", popeye.First)
	l.restore()

	for i, s := range l.servers {
		l.until("the poll takes no more votes", func() bool {
			_, err := s.Put(t.Context(), cast(lost.Round, i, 1), patience)
			return errors.Is(err, popeye.ErrNotFound)
		})
	}
	again := l.open("p", popeye.First)
	for _, d := range []popeye.Definition{kept, again} {
		l.put(l.servers[0], d, 0, 10)
		l.until("votes are counted", func() bool { return l.counts(d, 10) })
	}
}

func TestAnEntryOfANewerFormatHoldsBackTheEndOfRoundsClosedAfterItAndNothingElse(t *testing.T) {
	t.Parallel()
	l := newLane(t, labtest.Database(t), 1, 1)
	l.work(trouble{})
	before, p, q := l.open("before", popeye.First), l.open("p", popeye.First), l.open("q", popeye.First)
	l.put(l.servers[0], before, 0, 10)
	l.put(l.servers[0], p, 0, 10)
	l.close(before)
	l.untilFinal(before)

	answer := l.redis(l.hosts[0], "XADD", "{popeye}:votes", "*", "v", "zzz")
	position := strings.Fields(answer)[1]
	l.put(l.servers[0], q, 0, 10)
	l.close(p)
	l.close(q)
	l.until("votes on both sides of it are recorded", func() bool { return l.counts(p, 10) && l.counts(q, 10) })
	nothing := time.After(3 * shortLease)
	<-nothing
	for _, d := range []popeye.Definition{p, q} {
		if state := l.tally(d).State; state != popeye.Closed {
			t.Errorf("with an entry that nobody can read, %s is %s, want closed", d.ID, state)
		}
	}
	l.redis(l.hosts[0], "XACK", "{popeye}:votes", "workers", position) // as a newer worker does
	l.untilFinal(p)
	l.untilFinal(q)
	l.wantTally(p, []int64{10, 0, 0}, 10, 0)
}

func TestOldVotesOfAServerThatReturnsAfterTheEndAreLate(t *testing.T) {
	t.Parallel()
	l := newLane(t, labtest.Database(t), 3, 2)
	first := l.work(trouble{})
	l.untilNoted()
	d := l.open("p", popeye.First)
	first.dismiss()
	for n := range 20 { // each on two servers, some of them on the third
		for i := range 2 {
			c := cast(d.Round, n, 1)
			c.Unconfirmed = i == 0
			l.putOne(l.servers[(n+i)%3], c)
		}
	}
	for n := 100; n < 105; n++ { // their voters were told to try again, and never did
		c := cast(d.Round, n, 2)
		c.Unconfirmed = true
		l.putOne(l.servers[2], c)
	}
	labtest.Do(t, l.hosts[2].Kill)
	l.work(trouble{})
	l.close(d)
	l.untilFinal(d)
	l.wantTally(d, []int64{20, 0, 0}, 20, 0)

	labtest.Start(t, l.hosts[2])
	l.untilIdle()
	l.wantTally(d, []int64{20, 0, 0}, 20, 5)
	if state := l.tally(d).State; state != popeye.Final {
		t.Errorf("the round is %s, want final", state)
	}
}
