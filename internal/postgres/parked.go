package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"popeye"
)

// parkedRows is how many parked votes one transaction takes.
const parkedRows = 1000

// Parked tells how many votes of which rounds are parked for which reasons,
// sorted by round and reason. Those that were dropped are not among them.
func (s *Store) Parked(ctx context.Context) ([]popeye.ParkedVotes, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var all []popeye.ParkedVotes
	err := s.read(ctx, func(ctx context.Context) error {
		rows, err := s.pool.Query(ctx, `SELECT coalesce(r.poll, ''), k.round, k.reason, count(*), min(k.stamp), max(k.stamp)
			FROM parked k LEFT JOIN rounds r USING (round) WHERE NOT k.dropped
			GROUP BY r.poll, k.round, k.reason ORDER BY k.round, k.reason`)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, scanParked)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the parked votes: %w", unavailable(err))
	}
	return all, nil
}

func scanParked(row pgx.CollectableRow) (popeye.ParkedVotes, error) {
	var p popeye.ParkedVotes
	var oldest, newest int64
	err := row.Scan(&p.Poll, &p.Round, &p.Reason, &p.Votes, &oldest, &newest)
	p.Oldest, p.Newest = time.UnixMicro(oldest).UTC(), time.UnixMicro(newest).UTC()
	return p, err
}

// Drop forgets what the parked votes of a round chose, and why they were parked
// is no longer asked. It returns how many they were. They stay in the ledger as
// rejected, and known, so that none of them is counted again.
func (s *Store) Drop(ctx context.Context, round int64) (int64, error) {
	var dropped int64
	err := s.inSteps(ctx, func(ctx context.Context, tx pgx.Tx) (func(), error) {
		tag, err := tx.Exec(ctx, `UPDATE parked SET dropped = true, choices = 0 WHERE round = $1 AND (voter, stamp) IN
			(SELECT voter, stamp FROM parked WHERE round = $1 AND NOT dropped ORDER BY voter, stamp LIMIT $2)`, round, parkedRows)
		if err != nil || tag.RowsAffected() == 0 {
			return nil, err
		}
		return func() { dropped += tag.RowsAffected() }, nil
	})
	if err != nil {
		return dropped, fmt.Errorf("drop the parked votes of round %d: %w", round, err)
	}
	return dropped, nil
}

// Retry records those of a round's parked votes that can be recorded now, and
// takes them out of the rejected. The others stay, and all of them where there
// is no such round, or it is final.
func (s *Store) Retry(ctx context.Context, round int64) (popeye.Recorded, error) {
	var recorded popeye.Recorded
	err := s.inSteps(ctx, func(ctx context.Context, tx pgx.Tx) (func(), error) {
		some, err := s.retrySome(ctx, tx, round)
		if err != nil || some == nil {
			return nil, err
		}
		return func() {
			recorded.Stored += some.Stored
			recorded.Moved = some.Moved
		}, nil
	})
	if err != nil {
		return recorded, fmt.Errorf("retry the parked votes of round %d: %w", round, err)
	}
	return recorded, nil
}

// inSteps makes one transaction after the other until a step has nothing to do,
// and returns nil. What a step returns is called when it is committed.
func (s *Store) inSteps(ctx context.Context, step func(context.Context, pgx.Tx) (func(), error)) error {
	for {
		var done func()
		within, cancel := context.WithTimeout(ctx, patience)
		err := s.retry(within, func(ctx context.Context) error {
			return s.inTx(ctx, func(tx pgx.Tx) (err error) {
				done, err = step(ctx, tx)
				return err
			})
		})
		cancel()
		if err != nil || done == nil {
			return unavailable(err)
		}
		done()
	}
}

// retrySome records some of the parked votes, and returns nil when there are no
// more that can be.
func (s *Store) retrySome(ctx context.Context, tx pgx.Tx, id int64) (*popeye.Recorded, error) {
	rounds, err := loadRounds(ctx, tx, []int64{id})
	if r, ok := rounds[id]; err != nil || !ok || r.final {
		return nil, err
	}
	votes, err := unpark(ctx, tx, id, rounds[id].options)
	if err != nil || len(votes) == 0 {
		return nil, err
	}
	var recorded popeye.Recorded
	if err := s.write(ctx, tx, &recordBatch{votes: onePerVoter(votes, rounds), rounds: rounds}, &recorded); err != nil {
		return nil, err
	}
	recorded.Moved = nil // once for all that moves here
	err = tx.QueryRow(ctx, `WITH saved AS (
			UPDATE ledgers SET rejected = greatest(rejected - $2, 0), shown = greatest(shown + 1, $3) WHERE round = $1
		) SELECT array_agg(id) FROM polls WHERE round = $1`, id, len(votes), s.now().UnixMilli()).Scan(&recorded.Moved)
	return &recorded, err
}

// unpark takes out some of a round's parked votes that name none but its options.
func unpark(ctx context.Context, tx pgx.Tx, round int64, options int) ([]popeye.Vote, error) {
	beyond := ^(popeye.Choices(1)<<options - 1)
	rows, err := tx.Query(ctx, `DELETE FROM parked WHERE round = $1 AND (voter, stamp) IN
			(SELECT voter, stamp FROM parked WHERE round = $1 AND NOT dropped AND choices & $2 = 0 ORDER BY voter, stamp LIMIT $3)
		RETURNING voter, stamp, choices, serial, unconfirmed`, round, toColumn(beyond), parkedRows)
	if err != nil {
		return nil, err
	}
	votes, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (popeye.Vote, error) {
		v := popeye.Vote{Round: round}
		var choices int64
		err := row.Scan((*[16]byte)(&v.Voter), &v.Stamp, &choices, &v.Serial, &v.Unconfirmed)
		v.Choices = fromColumn(choices)
		return v, err
	})
	slices.SortFunc(votes, popeye.Vote.Compare)
	return votes, err
}
