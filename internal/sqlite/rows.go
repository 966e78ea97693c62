package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"popeye"
)

// Marks returns the votes that stand in a round, of those voters who have one.
func (s *Store) Marks(ctx context.Context, round int64, voters []popeye.Voter) (map[popeye.Voter]popeye.Mark, error) {
	marks, err := lookUp(ctx, nil, s.sql.look, round, voters)
	if err != nil {
		return nil, fmt.Errorf("look up %d voters: %w", len(voters), unavailable(err))
	}
	return marks, nil
}

// lookUp is Marks, within a transaction if there is one.
func lookUp(ctx context.Context, tx *sql.Tx, stmts manyRows, round int64, voters []popeye.Voter) (map[popeye.Voter]popeye.Mark, error) {
	marks := map[popeye.Voter]popeye.Mark{}
	args := make([]any, 0, 1+maxRows)
	err := stmts.each(len(voters), func(stmt *sql.Stmt, from, to int) error {
		args = append(args[:0], round)
		for i := from; i < to; i++ {
			args = append(args, voters[i][:])
		}
		rows, err := within(ctx, tx, stmt).QueryContext(ctx, args...) //nolint:sqlclosecheck // closes with tx
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }() // Err tells what went wrong
		for rows.Next() {
			if err := scanMark(rows, marks); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	return marks, err
}

func scanMark(rows *sql.Rows, into map[popeye.Voter]popeye.Mark) error {
	var voter sql.RawBytes
	var choices int64
	var m popeye.Mark
	if err := rows.Scan(&voter, &choices, &m.Stamp, &m.Serial, &m.Unconfirmed); err != nil {
		return err
	}
	m.Choices = fromColumn(choices)
	into[popeye.Voter(voter)] = m
	return nil
}

// insert adds the rows of voters who have none, or fails with errKnown.
func (s *Store) insert(ctx context.Context, tx *sql.Tx, votes []popeye.Vote) error {
	args := make([]any, 0, 6*maxRows)
	return s.sql.insert.each(len(votes), func(stmt *sql.Stmt, from, to int) error {
		args = args[:0]
		for i := from; i < to; i++ {
			v := &votes[i]
			args = append(args, v.Round, v.Voter[:], toColumn(v.Choices), int64(v.Stamp), v.Serial, v.Unconfirmed)
		}
		inserted, err := run(ctx, tx, stmt, args...)
		if err != nil {
			return fmt.Errorf("insert %d votes: %w", to-from, err)
		}
		if inserted != int64(to-from) {
			return errKnown
		}
		return nil
	})
}

// replace puts the votes in the place of those that stand.
func (s *Store) replace(ctx context.Context, tx *sql.Tx, votes []popeye.Vote) error {
	for i := range votes {
		v := &votes[i]
		if _, err := run(ctx, tx, s.sql.replace,
			toColumn(v.Choices), int64(v.Stamp), v.Serial, v.Unconfirmed, v.Round, v.Voter[:]); err != nil {
			return fmt.Errorf("replace a vote of round %d: %w", v.Round, err)
		}
	}
	return nil
}

// raise gives the rows of the votes their higher serials.
func (s *Store) raise(ctx context.Context, tx *sql.Tx, votes []popeye.Vote) error {
	for i := range votes {
		v := &votes[i]
		if _, err := run(ctx, tx, s.sql.raise, v.Serial, v.Round, v.Voter[:]); err != nil {
			return fmt.Errorf("raise the serial of a vote of round %d: %w", v.Round, err)
		}
	}
	return nil
}

// A column holds the 64 bits of choices as a signed number: the bits matter,
// not the number.

func toColumn(c popeye.Choices) int64 { return int64(c) }

func fromColumn(n int64) popeye.Choices { return popeye.Choices(n) }
