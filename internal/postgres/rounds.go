package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"popeye"
)

// Close ends voting in a round: from open or draft to closed. It changes
// nothing where that is done already, and fails with popeye.ErrNotFound.
func (s *Store) Close(ctx context.Context, round int64) error {
	err := s.edit(ctx, func(ctx context.Context, e *edit) error {
		from, err := e.state(ctx, round)
		if err != nil || from == popeye.Closed || from == popeye.Final {
			return err
		}
		return e.enter(ctx, round, popeye.Closed)
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
	err := s.edit(ctx, func(ctx context.Context, e *edit) error { return e.finalise(ctx, round) })
	if err != nil {
		return fmt.Errorf("finalise round %d: %w", round, err)
	}
	return nil
}

func (e *edit) finalise(ctx context.Context, round int64) error {
	from, err := e.state(ctx, round)
	if err != nil || from == popeye.Final {
		return err
	}
	if from != popeye.Closed {
		return notClosed(from)
	}
	return e.enter(ctx, round, popeye.Final)
}

func notClosed(state popeye.State) error {
	return fmt.Errorf("%w: it is not closed but %s", popeye.ErrExists, state)
}

// state fails with popeye.ErrNotFound where there is no such round, or its poll
// is deleted.
func (e *edit) state(ctx context.Context, round int64) (state popeye.State, err error) {
	err = e.QueryRow(ctx, "SELECT state FROM rounds WHERE round = $1 AND poll IS NOT NULL", round).Scan(&state)
	if errors.Is(err, pgx.ErrNoRows) {
		return state, popeye.ErrNotFound
	}
	return state, err
}

// Declare makes a poll's closed round final although votes may be missing, and
// says so in its definition. It changes nothing where the round is final
// already, and fails with popeye.ErrExists while it is not closed and with
// popeye.ErrNotFound.
func (s *Store) Declare(ctx context.Context, poll string) (popeye.Definition, error) {
	var t popeye.Tally
	err := s.edit(ctx, func(ctx context.Context, e *edit) (err error) {
		if t, err = e.current(ctx, poll); err != nil || t.State == popeye.Final {
			return err
		}
		if t.State != popeye.Closed {
			return notClosed(t.State)
		}
		if _, err := e.Exec(ctx, "UPDATE rounds SET incomplete = true WHERE round = $1", t.Round); err != nil {
			return err
		}
		if err := e.enter(ctx, t.Round, popeye.Final); err != nil {
			return err
		}
		t, err = e.current(ctx, poll)
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
	err := s.edit(ctx, func(ctx context.Context, e *edit) error {
		if _, err := e.Exec(ctx, `UPDATE polls SET version = greatest(version + 1, $1)
			WHERE round IN (SELECT round FROM rounds WHERE voter_key = '')`, e.now); err != nil {
			return err
		}
		named, err := e.Exec(ctx, "UPDATE rounds SET voter_key = $1 WHERE voter_key = ''", name)
		e.changed = named.RowsAffected() > 0
		return err
	})
	if err != nil {
		return fmt.Errorf("name the voter key: %w", err)
	}
	return nil
}
