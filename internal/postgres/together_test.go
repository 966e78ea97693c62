package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"popeye"
)

// Workers with the same voters in an order of their own, over many rounds, and
// with changes: each waits for others all the time, and never in a circle.
func TestWorkersWithTheSameVotersNeverDeadlock(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	polls := make([]popeye.Definition, 12)
	for i := range polls {
		polls[i] = createPoll(t, s, fmt.Sprintf("p%d", i), []popeye.Policy{popeye.First, popeye.Change}[i%2])
	}
	workers := []*Store{s, openAt(t, s.pool.Config().ConnString()), openAt(t, s.pool.Config().ConnString())}
	var g errgroup.Group
	for w, worker := range workers {
		for flow := range 2 {
			g.Go(func() error {
				for n := range 40 {
					p := popeye.Progress{Server: "s", Worker: fmt.Sprint(w, flow), Batch: int64(n + 1)}
					if _, err := worker.Record(t.Context(), someVotes(polls, 200), p); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	expectNoDeadlock(t, s)
	expectVerified(t, s)
}

// someVotes are votes of few voters in several polls, changed ones among them, in
// no order.
func someVotes(polls []popeye.Definition, n int) []popeye.Vote {
	votes := make([]popeye.Vote, 0, n)
	for range n {
		d := polls[rand.IntN(len(polls))]
		v := newVotes(d, rand.IntN(100), 1)[0]
		if d.Policy == popeye.Change {
			v.Serial = 1 + rand.Int64N(5)
			v.Stamp += popeye.Stamp(v.Serial)
			v.Choices = popeye.Choices(1 + v.Serial%2)
		} else {
			v.Unconfirmed = rand.IntN(2) == 0
		}
		votes = append(votes, v)
	}
	return votes
}

// Everything that organisers and other workers do to rounds, while votes are
// recorded in them: nothing fails but what has to, nothing deadlocks, what is
// final never moves again, and in the end all adds up.
func TestRecordingGoesOnWhateverHappensToTheRounds(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	current := make([]atomic.Pointer[popeye.Definition], 8)
	for i := range current {
		d := createPoll(t, s, fmt.Sprintf("p%d", i), []popeye.Policy{popeye.First, popeye.Change}[i%2])
		current[i].Store(&d)
	}
	var done atomic.Bool
	var recording, changing errgroup.Group
	for range 3 {
		recording.Go(func() error {
			for !done.Load() {
				polls := make([]popeye.Definition, len(current))
				for i := range current {
					polls[i] = *current[i].Load()
				}
				votes := someVotes(polls, 50)
				err := recordAtLast(t, s, votes)
				if errors.Is(err, popeye.ErrUnrecordable) { // of a deleted poll
					_, err = s.Park(t.Context(), []popeye.Parked{{Vote: votes[0], Reason: "test"}})
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	for i := range current {
		changing.Go(func() error { return endAndBegin(t.Context(), s, &current[i]) })
	}
	err := changing.Wait()
	done.Store(true)
	if err := errors.Join(err, recording.Wait()); err != nil {
		t.Fatal(err)
	}
	expectNoDeadlock(t, s)
	expectVerified(t, s)
}

// endAndBegin takes a poll through its life, again and again.
func endAndBegin(ctx context.Context, s *Store, current *atomic.Pointer[popeye.Definition]) error {
	for n := range 10 {
		d := *current.Load()
		if err := s.Close(ctx, d.Round); err != nil {
			return err
		}
		if err := endRound(ctx, s, d, n); err != nil {
			return err
		}
		before, err := s.Tally(ctx, d.ID)
		if err != nil {
			return err
		}
		if _, err := s.Retry(ctx, d.Round); err != nil {
			return err
		}
		after, err := s.Tally(ctx, d.ID)
		if err != nil {
			return err
		}
		if before.State != popeye.Final || !slices.Equal(before.Votes, after.Votes) || before.Ledger.Stored != after.Ledger.Stored {
			return fmt.Errorf("the final %+v became %+v", before, after)
		}
		if n%4 == 3 {
			if err := s.Delete(ctx, d.ID); err != nil {
				return err
			}
			d, _, err = s.Apply(ctx, d.Poll, popeye.Open)
		} else {
			d, err = s.Open(ctx, d.ID)
		}
		if err != nil {
			return err
		}
		current.Store(&d)
	}
	return nil
}

// endRound makes a closed round final in one of the ways there are.
func endRound(ctx context.Context, s *Store, d popeye.Definition, n int) error {
	switch n % 3 {
	case 0:
		return s.Finalise(ctx, d.Round)
	case 1:
		_, err := s.Declare(ctx, d.ID)
		return err
	default:
		final, err := s.Seal(ctx, popeye.Seal{Round: d.Round, Place: "a", Server: "s", Places: []string{"a"}, Enough: 1})
		if err == nil && !final {
			err = errors.New("sealed by all, and not final")
		}
		return err
	}
}

// The moment that matters, made to last: a batch has written its votes and is
// about to move the ledger when the round becomes final.
func TestABatchThatMeetsTheEndOfItsRoundIsLate(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	d, e := createPoll(t, s, "p", popeye.First), createPoll(t, s, "q", popeye.First)
	record(t, s, newVotes(d, 0, 10)...)
	if err := s.Close(t.Context(), d.Round); err != nil {
		t.Fatal(err)
	}
	var got popeye.Recorded
	whileHeld(t, s, d.Round, func() error {
		var err error
		got, err = s.Record(t.Context(), append(newVotes(d, 5, 10), newVotes(e, 0, 3)...), popeye.Progress{})
		return err
	}, func(ctx context.Context, e *edit) error { return e.finalise(ctx, d.Round) })
	if got.Stored != 3 || got.Rejected != 5 {
		t.Errorf("recorded %+v; want 3 votes of the open round, and 5 late", got)
	}
	tally, err := s.Tally(t.Context(), "p")
	if err != nil || tally.Total != 10 || tally.Ledger.Stored != 10 || tally.Ledger.Rejected != 5 {
		t.Errorf("the tally is %+v, %v; want 10 votes, 5 rejected", tally, err)
	}
	expectVerified(t, s)
}

func TestABatchThatMeetsTheDeletionOfItsPollIsUnrecordable(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	d := createPoll(t, s, "p", popeye.First)
	record(t, s, newVotes(d, 0, 10)...)
	var failed error
	whileHeld(t, s, d.Round, func() error {
		_, failed = s.Record(t.Context(), newVotes(d, 5, 10), popeye.Progress{})
		return nil
	}, func(ctx context.Context, e *edit) error { return e.forget(ctx, "p") })
	if !errors.Is(failed, popeye.ErrUnrecordable) || !errors.Is(failed, popeye.ErrNotFound) {
		t.Errorf("Record = %v; want ErrUnrecordable and ErrNotFound", failed)
	}
	if err := s.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := count1(t, s, "SELECT count(*) FROM votes"); n != 0 {
		t.Errorf("%d votes are left", n)
	}
}

// A round that this process remembers, and the database does not: one that was
// put back to an earlier moment.
func TestAVoteOfARoundThatIsRememberedOnlyHereIsUnrecordable(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	d := createPoll(t, s, "p", popeye.First)
	s.rounds.add(map[int64]round{d.Round + 1: {policy: popeye.First, options: 2}})
	votes := newVotes(d, 0, 1)
	votes[0].Round++
	if _, err := s.Record(t.Context(), votes, popeye.Progress{}); !errors.Is(err, popeye.ErrUnrecordable) {
		t.Errorf("Record = %v; want ErrUnrecordable", err)
	}
	if n := count1(t, s, "SELECT count(*) FROM votes"); n != 0 {
		t.Errorf("%d votes were written", n)
	}
}

// whileHeld holds the ledger of a round, waits until record waits for it, does
// change and lets go.
func whileHeld(t *testing.T, s *Store, round int64, record func() error, change func(context.Context, *edit) error) {
	t.Helper()
	tx, err := s.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e := &edit{Tx: tx, store: s, now: s.now().UnixMilli()}
	_, held := e.holdTotal(t.Context(), round)
	if err := errors.Join(e.begin(t.Context()), held); err != nil {
		t.Fatal(err)
	}
	var g errgroup.Group
	g.Go(record)
	until(t, "somebody waits for the ledger", func() bool {
		return count1(t, s, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'WITH given%'`) == 1
	})
	if err := errors.Join(change(t.Context(), e), e.end(t.Context()), tx.Commit(t.Context()), g.Wait()); err != nil {
		t.Fatal(err)
	}
}

// With two copies of each vote, every second delivery is a repeat.
func TestARepeatTouchesNoRow(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	d, e := createPoll(t, s, "p", popeye.First), createPoll(t, s, "q", popeye.Change)
	votes := append(newVotes(d, 0, 500), newVotes(e, 0, 500)...)
	record(t, s, votes...)
	const fingerprint = `SELECT count(*) + sum(votes.xmax::text::bigint) + sum(hashtext(votes.ctid::text || votes.xmin::text))
		+ (SELECT sum(hashtext(l.xmin::text)) FROM ledgers l) + (SELECT sum(hashtext(t.xmin::text)) FROM tallies t) FROM votes`
	before := count1(t, s, fingerprint)
	for i := range votes {
		votes[i].Unconfirmed = i%2 == 0
	}
	record(t, s, votes...)
	if after := count1(t, s, fingerprint); after != before {
		t.Error("a repeat has written or locked rows")
	}
}

// expectNoDeadlock asks the database, which counts them even where a retry has
// helped.
func expectNoDeadlock(t *testing.T, s *Store) {
	t.Helper()
	if n := count1(t, s, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"); n != 0 {
		t.Errorf("there were %d deadlocks", n)
	}
}

func expectVerified(t *testing.T, s *Store) {
	t.Helper()
	report, err := s.Verify(t.Context(), func(int64, int64) {})
	if err != nil || len(report.Faults) > 0 {
		t.Errorf("Verify = %+v, %v; want no faults", report, err)
	}
}

// count1 returns the one number that a query returns.
func count1(t *testing.T, s *Store, query string, args ...any) (n int64) {
	t.Helper()
	if err := s.pool.QueryRow(t.Context(), query, args...).Scan(&n); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		t.Fatal(err)
	}
	return n
}

// until waits for a fact.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !holds() {
		if wait(ctx, 10*time.Millisecond) != nil {
			t.Fatalf("it did not come that %s", what)
		}
	}
}
