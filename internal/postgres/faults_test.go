package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"popeye"
	"popeye/internal/lab"
	"popeye/internal/lab/labtest"
)

func TestEveryVoteCountsOnceThroughKillsOfTheDatabase(t *testing.T) {
	t.Parallel()
	server := labtest.Postgres(t)
	s := openMigrated(t, server.DSN("postgres"))
	d, e := createPoll(t, s, "p", popeye.First), createPoll(t, s, "q", popeye.Change)
	const flows, batches, size = 3, 120, 40
	var recorded atomic.Int64
	var g errgroup.Group
	for flow := range flows {
		g.Go(func() error {
			for n := range batches {
				start := (flow*batches + n) * size
				votes := append(newVotes(d, start, size), newVotes(e, start, size)...)
				if err := recordAtLast(t, s, votes); err != nil {
					return err
				}
				recorded.Add(1)
			}
			return nil
		})
	}
	for kills := range int64(4) {
		until(t, "there is something to lose", func() bool { return recorded.Load() > (kills+1)*flows*batches/6 })
		labtest.Do(t, server.Kill)
		labtest.Start(t, server)
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"p", "q"} {
		expectTotal(t, s, id, flows*batches*size)
	}
	expectVerified(t, s)
}

// recordAtLast records votes as a worker does: until it is done.
func recordAtLast(t *testing.T, s *Store, votes []popeye.Vote) error {
	t.Helper()
	for {
		_, err := s.Record(t.Context(), votes, popeye.Progress{})
		if !errors.Is(err, popeye.ErrUnavailable) {
			return err
		}
		if err := wait(t.Context(), 20*time.Millisecond); err != nil {
			return err
		}
	}
}

func TestAResultIsThereAfterTheDatabaseWasRestarted(t *testing.T) {
	t.Parallel()
	server := labtest.Postgres(t, "fsync=off")
	s := openMigrated(t, server.DSN("postgres"))
	record(t, s, newVotes(createPoll(t, s, "p", popeye.First), 0, 10)...)
	for _, end := range []func() error{server.Stop, server.Kill} {
		labtest.Do(t, end)
		if _, err := s.Tally(t.Context(), "p"); !errors.Is(err, popeye.ErrUnavailable) {
			t.Fatalf("Tally without a database = %v; want ErrUnavailable", err)
		}
		labtest.Start(t, server)
		expectTotal(t, s, "p", 10)
		labtest.Do(t, end)
		labtest.Start(t, server)
		expectTotal(t, s, "p", 10) // by a connection that nobody knows to be dead
	}
}

// The database has committed, and nobody hears of it.
func TestACommitThatNobodyHeardOfCountsOnce(t *testing.T) {
	t.Parallel()
	dsn := labtest.Database(t)
	direct := openMigrated(t, dsn)
	d := createPoll(t, direct, "p", popeye.First)
	link := labtest.Link(t, hostOf(direct))
	s := openAt(t, lab.PostgresDSN(link.Addr(), "postgres", databaseOf(direct)))
	votes := newVotes(d, 0, 100)
	record(t, s, votes[:1]...)
	labtest.Do(t, link.Mute)
	ctx, cancel := context.WithCancel(t.Context())
	var g errgroup.Group
	g.Go(func() error {
		_, err := s.Record(ctx, votes, popeye.Progress{})
		if err == nil {
			return errors.New("it was recorded, it says, and cannot know")
		}
		return nil
	})
	until(t, "the votes are there", func() bool { return count1(t, direct, "SELECT total FROM ledgers") == 100 })
	cancel()
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	labtest.Do(t, link.Cut, link.Mend)
	if err := recordAtLast(t, s, votes); err != nil {
		t.Fatal(err)
	}
	expectTotal(t, s, "p", 100)
	expectVerified(t, s)
}

// The reply that says that the statement is complete is not the one that says
// that it is committed: between the two, the connection may break.
func TestACompleteStatementIsNotTakenForACommit(t *testing.T) {
	t.Parallel()
	direct := openNew(t)
	d := createPoll(t, direct, "p", popeye.First)
	cut := newCutter(t, hostOf(direct))
	s := openAt(t, lab.PostgresDSN(cut.addr, "postgres", databaseOf(direct)))
	record(t, s, newVotes(d, 0, 1)...)
	cut.armed.Store(true)
	if _, err := s.Record(t.Context(), newVotes(d, 0, 10), popeye.Progress{}); !errors.Is(err, popeye.ErrUnavailable) {
		t.Fatalf("Record = %v; want ErrUnavailable", err)
	}
	if cut.armed.Load() {
		t.Fatal("nothing was cut")
	}
	record(t, s, newVotes(d, 0, 10)...)
	expectTotal(t, s, "p", 10)
}

// cutter passes everything on until it is armed: then it breaks a connection
// behind the next CommandComplete.
type cutter struct {
	addr, target string
	armed        atomic.Bool
}

func newCutter(t *testing.T, target string) *cutter {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{addr: listener.Addr().String(), target: target}
	var works sync.WaitGroup
	works.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			works.Go(func() { c.pass(near, &works) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		works.Wait()
	})
	return c
}

func (c *cutter) pass(near net.Conn, works *sync.WaitGroup) {
	defer func() { _ = near.Close() }()
	far, err := net.Dial("tcp", c.target)
	if err != nil {
		return
	}
	defer func() { _ = far.Close() }()
	works.Go(func() {
		defer func() { _ = far.Close() }()
		_, _ = io.Copy(far, near)
	})
	head := make([]byte, 5) // a letter and the length of what follows, itself included
	for {
		if _, err := io.ReadFull(far, head); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
		if _, err := io.ReadFull(far, body); err != nil {
			return
		}
		if _, err := near.Write(append(append([]byte{}, head...), body...)); err != nil {
			return
		}
		if head[0] == 'C' && c.armed.CompareAndSwap(true, false) {
			return
		}
	}
}

func TestAFrozenDatabaseIsGivenUpInTime(t *testing.T) {
	t.Parallel()
	direct := openNew(t)
	d := createPoll(t, direct, "p", popeye.First)
	link := labtest.Link(t, hostOf(direct))
	s := openAt(t, lab.PostgresDSN(link.Addr(), "postgres", databaseOf(direct)))
	record(t, s, newVotes(d, 0, 1)...)
	labtest.Do(t, link.Freeze)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := s.Record(ctx, newVotes(d, 0, 10), popeye.Progress{}); !errors.Is(err, popeye.ErrUnavailable) {
		t.Errorf("Record = %v; want ErrUnavailable", err)
	}
	if _, err := s.Tally(ctx, "p"); !errors.Is(err, popeye.ErrUnavailable) {
		t.Errorf("Tally = %v; want ErrUnavailable", err)
	}
	labtest.Do(t, link.Cut, link.Mend)
	if err := recordAtLast(t, s, newVotes(d, 0, 10)); err != nil {
		t.Fatal(err)
	}
	expectTotal(t, s, "p", 10)
}

// Whoever changes a definition holds the ledger of its round, from one step to the
// next. If it falls asleep there, votes do not wait until it wakes.
func TestVotesDoNotWaitForWhoeverFellAsleepWhileEndingTheirRound(t *testing.T) {
	t.Parallel()
	direct := openNew(t)
	d := createPoll(t, direct, "p", popeye.First)
	link := labtest.Link(t, hostOf(direct))
	s := openAt(t, lab.PostgresDSN(link.Addr(), "postgres", databaseOf(direct)))
	asleep, wake := make(chan struct{}), make(chan struct{})
	var g errgroup.Group
	g.Go(func() error {
		err := s.edit(t.Context(), func(ctx context.Context, e *edit) error {
			if err := e.enter(ctx, d.Round, popeye.Closed); err != nil {
				return err
			}
			close(asleep)
			<-wake
			return nil
		})
		if err == nil {
			return errors.New("it was ended by whoever woke much later")
		}
		return nil
	})
	<-asleep
	labtest.Do(t, link.Freeze)
	if err := recordAtLast(t, direct, newVotes(d, 0, 10)); err != nil {
		t.Fatal(err)
	}
	labtest.Do(t, link.Mend)
	close(wake)
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	tally, err := direct.Tally(t.Context(), "p")
	if err != nil || tally.State != popeye.Open || tally.Total != 10 {
		t.Errorf("the tally is %+v, %v; want an open round with 10 votes", tally, err)
	}
}

// A database may be there and yet not take anything: that is not a vote's fault.
func TestADatabaseThatOnlyReadsIsNoReasonToPark(t *testing.T) {
	t.Parallel()
	server := labtest.Postgres(t, "fsync=off")
	s := openMigrated(t, server.DSN("postgres"))
	d := createPoll(t, s, "p", popeye.First)
	mode := func(readOnly string) {
		for _, statement := range []string{"ALTER SYSTEM SET default_transaction_read_only = " + readOnly, "SELECT pg_reload_conf()"} {
			if err := server.Exec(t.Context(), "postgres", statement); err != nil {
				t.Fatal(err)
			}
		}
	}
	mode("on")
	until(t, "it only reads", func() bool {
		_, err := s.Record(t.Context(), newVotes(d, 0, 10), popeye.Progress{})
		if err != nil && (!errors.Is(err, popeye.ErrUnavailable) || errors.Is(err, popeye.ErrUnrecordable)) {
			t.Fatalf("Record = %v; want ErrUnavailable", err)
		}
		return err != nil
	})
	expectTotal(t, s, "p", count1(t, s, "SELECT count(*) FROM votes"))
	mode("off")
	if err := recordAtLast(t, s, newVotes(d, 0, 20)); err != nil {
		t.Fatal(err)
	}
	expectTotal(t, s, "p", 20)
}

func TestAFullDiskIsNoReasonToPark(t *testing.T) {
	t.Parallel()
	disk := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size=120m,mode=0755", "popeye-test", disk).CombinedOutput(); err != nil {
		t.Skipf("mounting a disk of its own needs root: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", disk).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	makeReadable(t, filepath.Dir(disk)) // it is not our own account that the server has
	server, err := lab.StartPostgres(t.Context(), lab.PostgresConfig{Dir: disk, Settings: []string{"max_wal_size=32MB"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { labtest.Do(t, server.Close) })
	s := openMigrated(t, server.DSN("postgres"))
	d := createPoll(t, s, "p", popeye.First)
	ballast := filepath.Join(disk, "ballast")
	if err := exec.CommandContext(t.Context(), "dd", "if=/dev/zero", "of="+ballast, "bs=1M", "count=200").Run(); err == nil {
		t.Fatal("the disk is larger than it was to be")
	}
	recorded := 0
	for {
		_, err = s.Record(t.Context(), newVotes(d, recorded, 1000), popeye.Progress{})
		if err != nil {
			break
		}
		recorded += 1000
	}
	if !errors.Is(err, popeye.ErrUnavailable) || errors.Is(err, popeye.ErrUnrecordable) {
		t.Fatalf("Record without room = %v; want ErrUnavailable", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if !server.Running() {
		labtest.Start(t, server)
	}
	if err := recordAtLast(t, s, newVotes(d, recorded, 1000)); err != nil {
		t.Fatal(err)
	}
	expectTotal(t, s, "p", int64(recorded+1000))
	expectVerified(t, s)
}

// Where a number is beyond all bounds, that is the vote's own fault.
func TestANumberBeyondAllBoundsIsUnrecordable(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	d := createPoll(t, s, "p", popeye.Change)
	votes := newVotes(d, 0, 3)
	votes[0].Serial, votes[1].Serial = 1<<63-1, 1<<63-1
	if _, err := s.Record(t.Context(), votes, popeye.Progress{}); !errors.Is(err, popeye.ErrUnrecordable) || errors.Is(err, popeye.ErrUnavailable) {
		t.Fatalf("Record = %v; want ErrUnrecordable", err)
	}
	expectTotal(t, s, "p", 0)
	record(t, s, votes[2])
}

func expectTotal(t *testing.T, s *Store, poll string, want int64) {
	t.Helper()
	tally, err := s.Tally(t.Context(), poll)
	if err != nil || tally.Total != want || tally.Votes[0] != want {
		t.Errorf("the tally of %s is %+v, %v; want %d votes", poll, tally, err, want)
	}
}

func hostOf(s *Store) string {
	cfg := s.pool.Config().ConnConfig
	return net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))
}

func databaseOf(s *Store) string { return s.pool.Config().ConnConfig.Database }
