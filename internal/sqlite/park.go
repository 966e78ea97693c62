package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	"popeye"
)

// late is why a vote that came after the end is parked.
const late = "late"

// Park keeps votes that cannot be recorded, each with its reason, and counts
// them as rejected in the ledger of their round, if there is one. A vote that
// was parked before, dropped or not, changes nothing.
func (s *Store) Park(ctx context.Context, parked []popeye.Parked) (popeye.Recorded, error) {
	var recorded popeye.Recorded
	err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		rejected := map[int64]int64{} // by round
		for i := range parked {
			kept, err := s.park(ctx, tx, &parked[i].Vote, parked[i].Reason)
			if err != nil {
				return err
			}
			rejected[parked[i].Vote.Round] += kept
		}
		for _, id := range slices.Sorted(maps.Keys(rejected)) {
			if err := s.saveRejected(ctx, tx, id, rejected[id], &recorded); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return popeye.Recorded{}, fmt.Errorf("park %d votes: %w", len(parked), err)
	}
	return recorded, nil
}

// saveRejected is saveChange for a round that there may be or not.
func (s *Store) saveRejected(ctx context.Context, tx *sql.Tx, id, n int64, recorded *popeye.Recorded) error {
	r, err := s.findRound(ctx, tx, id)
	if errors.Is(err, popeye.ErrNotFound) {
		recorded.Rejected += n
		return nil
	}
	if err != nil {
		return err
	}
	return s.saveChange(ctx, tx, r, &change{rejected: n}, recorded)
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
		kept, err := s.park(ctx, tx, v, late)
		if err != nil {
			return change{}, err
		}
		c.rejected += kept
	}
	return c, nil
}

// park returns how many votes it added to the parked: one, or none when this
// one is there already.
func (s *Store) park(ctx context.Context, tx *sql.Tx, v *popeye.Vote, reason string) (int64, error) {
	kept, err := run(ctx, tx, s.sql.park,
		v.Round, v.Voter[:], int64(v.Stamp), toColumn(v.Choices), v.Serial, v.Unconfirmed, reason)
	if err != nil {
		return 0, fmt.Errorf("park a vote of round %d: %w", v.Round, err)
	}
	return kept, nil
}
