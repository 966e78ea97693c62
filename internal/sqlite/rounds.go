package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"popeye"
)

// Close ends voting in a round: from open or draft to closed. It changes
// nothing where that is done already, and fails with popeye.ErrNotFound.
func (s *Store) Close(ctx context.Context, round int64) error {
	err := s.advance(ctx, round, func(from popeye.State) (popeye.State, error) {
		if from == popeye.Final {
			return from, nil
		}
		return popeye.Closed, nil
	})
	if err != nil {
		return fmt.Errorf("close round %d: %w", round, err)
	}
	return nil
}

// Finalise declares that no vote of a closed round is on its way any more: from
// now on, none changes it. It changes nothing where that is done already, and
// fails with popeye.ErrExists while the round is not closed and with
// popeye.ErrNotFound.
func (s *Store) Finalise(ctx context.Context, round int64) error {
	err := s.advance(ctx, round, func(from popeye.State) (popeye.State, error) {
		if from == popeye.Closed || from == popeye.Final {
			return popeye.Final, nil
		}
		return from, fmt.Errorf("%w: it is not closed but %s", popeye.ErrExists, from)
	})
	if err != nil {
		return fmt.Errorf("finalise round %d: %w", round, err)
	}
	return nil
}

// advance moves a round to the state that next returns for its present one,
// and the versions of its poll, when it is the current round.
func (s *Store) advance(ctx context.Context, round int64, next func(popeye.State) (popeye.State, error)) error {
	return s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var from popeye.State
		err := tx.QueryRowContext(ctx, "SELECT state FROM rounds WHERE round = ? AND poll IS NOT NULL", round).Scan(&from)
		if errors.Is(err, sql.ErrNoRows) {
			return popeye.ErrNotFound
		}
		if err != nil {
			return err
		}
		to, err := next(from)
		if err != nil || to == from {
			return err
		}
		now := s.now().UnixMilli()
		if _, err := tx.ExecContext(ctx, "UPDATE rounds SET state = ?, shown = max(shown + 1, ?) WHERE round = ?",
			to, now, round); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE polls SET version = max(version + 1, ?) WHERE round = ?", now, round)
		return err
	})
}
