package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"popeye"
)

// late is why a vote that came after the end is parked.
const late = "late"

// Park keeps votes that can never be recorded, each with its reason, and
// counts them as rejected in the ledger of their round, if there is one. A vote
// that is parked already changes nothing.
func (s *Store) Park(ctx context.Context, parked []popeye.Parked) error {
	err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		rejected := map[int64]int64{} // by round
		for i := range parked {
			kept, err := park(ctx, tx, &parked[i].Vote, parked[i].Reason)
			if err != nil {
				return err
			}
			rejected[parked[i].Vote.Round] += kept
		}
		for id, n := range rejected {
			if err := s.saveChange(ctx, tx, id, &change{rejected: n}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("park %d votes: %w", len(parked), err)
	}
	return nil
}

// reject parks what comes after a round's end: each vote that would have
// changed something, had it come in time. What would not is a repeat, or stands
// in the ledger with the vote that has replaced it.
func (s *Store) reject(ctx context.Context, tx *sql.Tx, r *round, votes []popeye.Vote) (change, error) {
	standing, err := lookUp(ctx, tx, s.sql.find, r.id, voters(votes))
	if err != nil {
		return change{}, err
	}
	var c change
	for i := range votes {
		v := &votes[i]
		if mark, known := standing[v.Voter]; known && !replaces(r.policy, v, mark) {
			continue
		}
		kept, err := park(ctx, tx, v, late)
		if err != nil {
			return change{}, err
		}
		c.rejected += kept
	}
	return c, nil
}

// park returns how many votes it added to the parked: one, or none when this
// one is there already.
func park(ctx context.Context, tx *sql.Tx, v *popeye.Vote, reason string) (int64, error) {
	result, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO parked (round, voter, stamp, choices, serial, reason)
		VALUES (?, ?, ?, ?, ?, ?)`, v.Round, v.Voter[:], int64(v.Stamp), toColumn(v.Choices), v.Serial, reason)
	if err != nil {
		return 0, fmt.Errorf("park a vote of round %d: %w", v.Round, err)
	}
	return result.RowsAffected()
}
