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

// Declare makes a poll's closed round final although votes may be missing, and
// says so in its definition. It changes nothing where the round is final
// already, and fails with popeye.ErrExists while it is not closed and with
// popeye.ErrNotFound.
func (s *Store) Declare(ctx context.Context, poll string) (popeye.Definition, error) {
	var t popeye.Tally
	err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
		if t, err = current(ctx, tx, poll); err != nil || t.State == popeye.Final {
			return err
		}
		if t.State != popeye.Closed {
			return fmt.Errorf("%w: it is not closed but %s", popeye.ErrExists, t.State)
		}
		if _, err := tx.ExecContext(ctx, "UPDATE rounds SET incomplete = 1 WHERE round = ?", t.Round); err != nil {
			return err
		}
		if err := s.enter(ctx, tx, t.Round, popeye.Final); err != nil {
			return err
		}
		t, err = current(ctx, tx, poll)
		return err
	})
	if err != nil {
		return popeye.Definition{}, fmt.Errorf("declare the result of poll %s: %w", poll, err)
	}
	return t.Definition, nil
}

// NameVoterKey names the key of every round that has none. It does nothing where
// there is no such round, or no name.
func (s *Store) NameVoterKey(ctx context.Context, name string) error {
	if name == "" {
		return nil
	}
	err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE polls SET version = max(version + 1, ?)
			WHERE round IN (SELECT round FROM rounds WHERE voter_key = '')`, s.now().UnixMilli()); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "UPDATE rounds SET voter_key = ? WHERE voter_key = ''", name)
		return err
	})
	if err != nil {
		return fmt.Errorf("name the voter key: %w", err)
	}
	return nil
}

// advance moves a round to the state that next returns for its present one.
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
		return s.enter(ctx, tx, round, to)
	})
}

// enter moves a round to another state, and the versions of its poll, when it
// is the current round.
func (s *Store) enter(ctx context.Context, tx *sql.Tx, round int64, to popeye.State) error {
	now := s.now().UnixMilli()
	if _, err := tx.ExecContext(ctx, "UPDATE rounds SET state = ?, shown = max(shown + 1, ?) WHERE round = ?", to, now, round); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "UPDATE polls SET version = max(version + 1, ?) WHERE round = ?", now, round)
	return err
}
