package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"popeye"
)

// What a server is to a round that it has sealed.
const (
	// eligible: it had its data before the round began, so that it has seen, of
	// the round, whatever it took.
	eligible = "eligible"
	// added: there was no server at its place before it, which came later than
	// the round.
	added = "new"
	// lost: it came, later than the round, in the place of another one, with
	// which votes may have gone.
	lost = "lost"
)

// Seal notes that everything a server took of a round is recorded, and makes the
// round final when no confirmed vote can be missing any more: when enough of the
// servers that were there from its beginning have nothing more, or all of them
// and none has lost its data. It returns whether the round is final. It fails
// with popeye.ErrExists while the round is not closed, with popeye.ErrUnavailable
// while the store lacks what the server has seen recorded, and with
// popeye.ErrNotFound.
func (s *Store) Seal(ctx context.Context, seal popeye.Seal) (final bool, err error) {
	err = s.edit(ctx, func(ctx context.Context, e *edit) error {
		state, err := e.state(ctx, seal.Round)
		if final = state == popeye.Final; err != nil || final {
			return err
		}
		if state != popeye.Closed {
			return notClosed(state)
		}
		if err := e.lacksNothing(ctx, &seal); err != nil {
			return err
		}
		if err := e.seal(ctx, &seal); err != nil {
			return err
		}
		if final, err = e.isComplete(ctx, &seal); err != nil || !final {
			return err
		}
		return e.enter(ctx, seal.Round, popeye.Final)
	})
	if err != nil {
		return false, fmt.Errorf("seal round %d at %s: %w", seal.Round, seal.Place, err)
	}
	return final, nil
}

// lacksNothing fails with popeye.ErrUnavailable where the store has lost what the
// server has seen recorded: votes that are replayed would come too late.
func (e *edit) lacksNothing(ctx context.Context, seal *popeye.Seal) error {
	var lost bool
	err := e.QueryRow(ctx, "SELECT "+lacking, progressOf(&popeye.QueueStatus{Server: seal.Server, Progress: seal.Progress})...).Scan(&lost)
	if err == nil && lost {
		return fmt.Errorf("%w: the store has lost votes of this queue, which have to be replayed first", popeye.ErrUnavailable)
	}
	return err
}

// seal keeps the first seal of each place.
func (e *edit) seal(ctx context.Context, seal *popeye.Seal) error {
	standing := added // where nothing is known of the place yet
	err := e.QueryRow(ctx, `SELECT CASE WHEN server = $2 AND since < $3 THEN $4 WHEN server = $2 AND NOT replaced THEN $5 ELSE $6 END
		FROM places WHERE place = $1`, seal.Place, seal.Server, seal.Round, eligible, added, lost).Scan(&standing)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	_, err = e.Exec(ctx, "INSERT INTO seals (round, place, standing) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
		seal.Round, seal.Place, standing)
	return err
}

func (e *edit) isComplete(ctx context.Context, seal *popeye.Seal) (complete bool, err error) {
	err = e.QueryRow(ctx, `SELECT count(*) FILTER (WHERE standing = $3) >= $4 OR count(*) = $5 AND count(*) FILTER (WHERE standing = $6) = 0
		FROM seals WHERE round = $1 AND place = ANY ($2)`,
		seal.Round, seal.Places, eligible, seal.Enough, len(seal.Places), lost).Scan(&complete)
	return complete, err
}
