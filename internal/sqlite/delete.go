package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// sweepRows is how many rows one transaction of a sweep deletes. Votes of other
// polls wait for no more than that.
const sweepRows = 5000

// Delete removes a poll with all its rounds and votes, or fails with
// popeye.ErrNotFound. The poll is gone at once; its votes go in small steps, so
// that nobody has to wait for them. Steps that could not be taken, the next
// Delete takes.
func (s *Store) Delete(ctx context.Context, id string) error {
	if err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) error { return forget(ctx, tx, id) }); err != nil {
		return fmt.Errorf("delete poll %s: %w", id, err)
	}
	if err := s.sweep(ctx); err != nil {
		return fmt.Errorf("poll %s is deleted, but its votes still take up space: %w", id, err)
	}
	return nil
}

// forget deletes the poll itself. Its rounds stay behind without one.
func forget(ctx context.Context, tx *sql.Tx, id string) error {
	old, err := current(ctx, tx, id)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE high_water SET version = max(version, ?, ?)",
		old.Version, old.Definition.Version); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM polls WHERE id = ?", id)
	return err
}

// sweep deletes all rounds that belong to no poll.
func (s *Store) sweep(ctx context.Context) error {
	for more := true; more; {
		err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
			more, err = sweepSome(ctx, tx)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// sweepParked deletes what was parked for rounds that were deleted: votes that
// were on their way. Rounds that never were have numbers above all others.
func sweepParked(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM parked
		WHERE round <= (SELECT seq FROM sqlite_sequence WHERE name = 'rounds') AND round NOT IN (SELECT round FROM rounds)`)
	return err
}

// sweepSome deletes a number of votes of one such round, or the round when it
// has none left. It reports whether there may be more to do.
func sweepSome(ctx context.Context, tx *sql.Tx) (more bool, err error) {
	var round int64
	err = tx.QueryRowContext(ctx, "SELECT round FROM rounds WHERE poll IS NULL LIMIT 1").Scan(&round)
	if errors.Is(err, sql.ErrNoRows) {
		return false, sweepParked(ctx, tx)
	}
	if err != nil {
		return false, err
	}
	for _, some := range []string{
		"DELETE FROM votes WHERE round = ?1 AND voter IN (SELECT voter FROM votes WHERE round = ?1 ORDER BY voter LIMIT ?2)",
		"DELETE FROM parked WHERE round = ?1 AND voter IN (SELECT voter FROM parked WHERE round = ?1 ORDER BY voter LIMIT ?2)",
	} {
		result, err := tx.ExecContext(ctx, some, round, sweepRows)
		if err != nil {
			return false, err
		}
		if n, err := result.RowsAffected(); err != nil || n > 0 {
			return true, err
		}
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM rounds WHERE round = ?", round)
	return true, err
}
