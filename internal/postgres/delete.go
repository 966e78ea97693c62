package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// sweepRows is how many rows one transaction of a sweep deletes.
const sweepRows = 5000

// Delete removes a poll with all its rounds and votes, or fails with
// popeye.ErrNotFound. The poll is gone at once; its votes go in small steps, so
// that nobody has to wait for them. Steps that could not be taken, the next
// Delete takes.
func (s *Store) Delete(ctx context.Context, id string) error {
	if err := s.edit(ctx, func(ctx context.Context, e *edit) error { return e.forget(ctx, id) }); err != nil {
		return fmt.Errorf("delete poll %s: %w", id, err)
	}
	if err := s.sweep(ctx); err != nil {
		return fmt.Errorf("poll %s is deleted, but its votes still take up space: %w", id, err)
	}
	return nil
}

// forget deletes the poll itself. Its rounds stay behind without one, shut, so
// that no vote gets into them any more.
func (e *edit) forget(ctx context.Context, id string) error {
	old, err := e.current(ctx, id)
	if err != nil {
		return err
	}
	// In the order in which those who record pass several ledgers.
	if _, err := e.Exec(ctx, `WITH held AS (
			SELECT l.round FROM ledgers l JOIN rounds r USING (round) WHERE r.poll = $1 ORDER BY l.round FOR UPDATE OF l
		) UPDATE ledgers l SET shut = true FROM held WHERE l.round = held.round`, id); err != nil {
		return err
	}
	e.changed = true
	e.highWater = max(e.highWater, old.Version, old.Definition.Version)
	_, err = e.Exec(ctx, "DELETE FROM polls WHERE id = $1", id)
	return err
}

// sweep deletes what belongs to rounds of no poll.
func (s *Store) sweep(ctx context.Context) error {
	for more := true; more; {
		within, cancel := context.WithTimeout(ctx, patience)
		err := s.retry(within, func(ctx context.Context) error {
			return s.inTx(ctx, func(tx pgx.Tx) (err error) {
				more, err = sweepSome(ctx, tx)
				return err
			})
		})
		cancel()
		if err != nil {
			return unavailable(err)
		}
	}
	return nil
}

// deleted is the state of a round that has nothing left but its number.
const deleted = "deleted"

// sweepSome deletes a number of votes of one such round, or what else belongs to
// it when it has none left. Its number is kept, and its ledger, shut: so a vote
// that comes late is known to be one of a deleted poll, and gets nowhere. It
// reports whether there may be more to do.
func sweepSome(ctx context.Context, tx pgx.Tx) (more bool, err error) {
	var round int64
	err = tx.QueryRow(ctx, "SELECT round FROM rounds WHERE poll IS NULL AND state <> $1 ORDER BY round LIMIT 1", deleted).Scan(&round)
	if errors.Is(err, pgx.ErrNoRows) {
		// Votes that were on their way are parked without a poll.
		_, err := tx.Exec(ctx, "DELETE FROM parked USING rounds WHERE parked.round = rounds.round AND rounds.poll IS NULL")
		return false, err
	}
	if err != nil {
		return false, err
	}
	for _, some := range []string{
		`DELETE FROM votes WHERE round = $1 AND voter IN
			(SELECT voter FROM votes WHERE round = $1 ORDER BY voter LIMIT $2)`,
		`DELETE FROM parked WHERE round = $1 AND voter IN
			(SELECT voter FROM parked WHERE round = $1 ORDER BY voter LIMIT $2)`,
	} {
		swept, err := tx.Exec(ctx, some, round, sweepRows)
		if err != nil || swept.RowsAffected() > 0 {
			return true, err
		}
	}
	for _, rest := range []string{"DELETE FROM tallies WHERE round = $1", "DELETE FROM seals WHERE round = $1"} {
		if _, err := tx.Exec(ctx, rest, round); err != nil {
			return false, err
		}
	}
	_, err = tx.Exec(ctx, "UPDATE rounds SET state = $2 WHERE round = $1", round, deleted)
	return true, err
}
