package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"popeye"
)

// parkedRows is how many parked votes one transaction takes. Votes of other
// polls wait for no more than that.
const parkedRows = 1000

// Parked tells how many votes of which rounds are parked for which reasons,
// sorted by round and reason. Those that were dropped are not among them.
func (s *Store) Parked(ctx context.Context) ([]popeye.ParkedVotes, error) {
	parked, err := s.parked(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the parked votes: %w", unavailable(err))
	}
	return parked, nil
}

func (s *Store) parked(ctx context.Context) ([]popeye.ParkedVotes, error) {
	rows, err := s.reader.QueryContext(ctx, `SELECT coalesce(r.poll, ''), k.round, k.reason, count(*), min(k.stamp), max(k.stamp)
		FROM parked k LEFT JOIN rounds r ON r.round = k.round WHERE NOT k.dropped
		GROUP BY k.round, k.reason ORDER BY k.round, k.reason`)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err tells what went wrong
	var all []popeye.ParkedVotes
	for rows.Next() {
		var p popeye.ParkedVotes
		var oldest, newest int64
		if err := rows.Scan(&p.Poll, &p.Round, &p.Reason, &p.Votes, &oldest, &newest); err != nil {
			return nil, err
		}
		p.Oldest, p.Newest = time.UnixMicro(oldest).UTC(), time.UnixMicro(newest).UTC()
		all = append(all, p)
	}
	return all, rows.Err()
}

// Drop forgets what the parked votes of a round chose, and why they were parked
// is no longer asked. It returns how many they were. They stay in the ledger as
// rejected, and known, so that none of them is counted again.
func (s *Store) Drop(ctx context.Context, round int64) (int64, error) {
	var dropped int64
	for more := true; more; {
		err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
			result, err := tx.ExecContext(ctx, `UPDATE parked SET dropped = 1, choices = 0 WHERE (round, voter, stamp) IN
				(SELECT round, voter, stamp FROM parked WHERE round = ? AND NOT dropped LIMIT ?)`, round, parkedRows)
			if err != nil {
				return err
			}
			n, err := result.RowsAffected()
			dropped, more = dropped+n, n > 0
			return err
		})
		if err != nil {
			return dropped, fmt.Errorf("drop the parked votes of round %d: %w", round, err)
		}
	}
	return dropped, nil
}

// Retry records those of a round's parked votes that can be recorded now, and
// takes them out of the rejected. The others stay, and all of them where there
// is no such round, or it is final.
func (s *Store) Retry(ctx context.Context, round int64) (popeye.Recorded, error) {
	var recorded popeye.Recorded
	for from := new(popeye.Vote); from != nil; {
		err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
			from, err = s.retrySome(ctx, tx, round, from, &recorded)
			return err
		})
		if err != nil {
			return recorded, fmt.Errorf("retry the parked votes of round %d: %w", round, err)
		}
	}
	recorded.Moved = slices.Compact(recorded.Moved)
	return recorded, nil
}

// retrySome retries some of the parked votes behind the vote from, and returns
// the last of them, nil when there are no more.
func (s *Store) retrySome(ctx context.Context, tx *sql.Tx, id int64, from *popeye.Vote, recorded *popeye.Recorded) (*popeye.Vote, error) {
	r, err := s.findRound(ctx, tx, id)
	if errors.Is(err, popeye.ErrNotFound) || err == nil && r.state == popeye.Final {
		return nil, nil //nolint:nilnil // nothing is left to be tried
	}
	if err != nil {
		return nil, err
	}
	parked, err := parkedBehind(ctx, tx, id, from)
	if err != nil || len(parked) == 0 {
		return nil, err
	}
	last := parked[len(parked)-1]
	var votes []popeye.Vote
	for i := range parked {
		if !parked[i].Choices.Within(r.options) {
			continue
		}
		if _, err := run(ctx, tx, s.sql.unpark, id, parked[i].Voter[:], int64(parked[i].Stamp)); err != nil {
			return nil, fmt.Errorf("take out a parked vote: %w", err)
		}
		votes = append(votes, parked[i])
	}
	c, err := s.writeVotes(ctx, tx, r, votes, false)
	if err != nil {
		return nil, err
	}
	c.rejected -= int64(len(votes))
	return &last, s.saveChange(ctx, tx, r, &c, recorded)
}

// parkedBehind returns some parked votes of a round in the order of their keys.
func parkedBehind(ctx context.Context, tx *sql.Tx, round int64, from *popeye.Vote) ([]popeye.Vote, error) {
	rows, err := tx.QueryContext(ctx, `SELECT voter, stamp, choices, serial, unconfirmed FROM parked
		WHERE round = ? AND (voter, stamp) > (?, ?) AND NOT dropped ORDER BY voter, stamp LIMIT ?`,
		round, from.Voter[:], int64(from.Stamp), parkedRows)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err tells what went wrong
	var votes []popeye.Vote
	for rows.Next() {
		v := popeye.Vote{Round: round}
		var voter sql.RawBytes
		var choices int64
		if err := rows.Scan(&voter, &v.Stamp, &choices, &v.Serial, &v.Unconfirmed); err != nil {
			return nil, err
		}
		v.Voter, v.Choices = popeye.Voter(voter), fromColumn(choices)
		votes = append(votes, v)
	}
	return votes, rows.Err()
}
