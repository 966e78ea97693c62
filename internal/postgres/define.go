package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"popeye"
)

// querier is the database, or a transaction on it.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// edit is a transaction that may change definitions. Only one goes on at a time,
// so that what it has read stays so until it ends. It waits for those who record
// only where it touches a ledger, and never holds them up elsewhere.
type edit struct {
	pgx.Tx
	store *Store
	// now is the time as versions are written.
	now int64
	// version, lastRound and highWater are the catalog's, written back when
	// anything was changed.
	version, lastRound, highWater int64
	changed                       bool
}

// edit runs do in a transaction that may change definitions, again where it has
// to be repeated.
func (s *Store) edit(ctx context.Context, do func(context.Context, *edit) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return unavailable(s.retry(ctx, func(ctx context.Context) error {
		return s.inTx(ctx, func(tx pgx.Tx) error {
			e := &edit{Tx: tx, store: s, now: s.now().UnixMilli()}
			if err := e.begin(ctx); err != nil {
				return err
			}
			if err := do(ctx, e); err != nil {
				return err
			}
			return e.end(ctx)
		})
	}))
}

func (e *edit) begin(ctx context.Context) error {
	return e.QueryRow(ctx, "SELECT version, round, high_water FROM catalog FOR UPDATE").
		Scan(&e.version, &e.lastRound, &e.highWater)
}

func (e *edit) end(ctx context.Context) error {
	if !e.changed {
		return nil
	}
	_, err := e.Exec(ctx, "UPDATE catalog SET version = $1, round = $2, high_water = $3",
		e.next(e.version), e.lastRound, e.highWater)
	return err
}

// current reads a poll as it is.
func (e *edit) current(ctx context.Context, id string) (popeye.Tally, error) {
	return current(ctx, e, e.store.sessions.mode(), id)
}

// next is what a version becomes when something changes: it grows even when the
// clock is set back. It is the time otherwise, so that it is a new one even in a
// database that was put back to an earlier moment.
func (e *edit) next(version int64) int64 { return max(version+1, e.now) }

// beginningOfRounds is when the numbers of rounds begin, in seconds since 1970:
// 2020. Numbers of 32 bits take less space in the queue.
const beginningOfRounds = 1_577_836_800

// newRound returns a number for a round: the time in seconds, where no more
// rounds are begun than one a second. A database that was put back to an earlier
// moment must not give a number again that it has forgotten and the queue has
// not.
func (e *edit) newRound() int64 {
	e.lastRound = max(e.lastRound+1, e.now/1000-beginningOfRounds)
	return e.lastRound
}

// enter moves a round to another state, and the versions of its poll, when it is
// the current round. A final round's ledger is shut.
func (e *edit) enter(ctx context.Context, round int64, to popeye.State) error {
	e.changed = true
	for _, step := range []struct {
		sql  string
		args []any
	}{
		{"UPDATE ledgers SET shown = greatest(shown + 1, $2), shut = shut OR $3 WHERE round = $1", []any{round, e.now, to == popeye.Final}},
		{"UPDATE rounds SET state = $2 WHERE round = $1", []any{round, to}},
		{"UPDATE polls SET version = greatest(version + 1, $2) WHERE round = $1", []any{round, e.now}},
	} {
		if _, err := e.Exec(ctx, step.sql, step.args...); err != nil {
			return err
		}
	}
	return nil
}
