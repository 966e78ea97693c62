package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"math/bits"
	"strings"
)

// maxRows is how many rows one statement takes: larger ones gain nothing.
const maxRows = 128

// statements are those that a vote meets on its way, prepared once: parsing
// them for each batch would cost as much as thirty votes. All but look belong
// to the writer. They close with their database.
type statements struct {
	round, replace, raise, tally, ledger, park, unpark *sql.Stmt
	find, insert, look                                 manyRows
}

func prepare(ctx context.Context, writer, reader *sql.DB) (s statements, err error) {
	for _, one := range []struct {
		into *(*sql.Stmt)
		text string
	}{
		{&s.round, `SELECT p.id, p.round = r.round, r.state, r.policy, r.options
			FROM rounds r JOIN polls p ON p.id = r.poll WHERE r.round = ?`},
		{&s.replace, `UPDATE votes SET prev = choices, choices = ?, stamp = ?, serial = ?, unconfirmed = ?
			WHERE round = ? AND voter = ?`},
		{&s.raise, "UPDATE votes SET serial = ? WHERE round = ? AND voter = ?"},
		{&s.tally, "UPDATE tallies SET votes = votes + ? WHERE round = ? AND option = ?"},
		{&s.ledger, `UPDATE rounds SET total = total + ?, stored = stored + ?, rejected = rejected + ?,
			shown = max(shown + 1, ?) WHERE round = ?`},
		{&s.park, `INSERT OR IGNORE INTO parked (round, voter, stamp, choices, serial, unconfirmed, reason)
			VALUES (?, ?, ?, ?, ?, ?, ?)`},
		{&s.unpark, "DELETE FROM parked WHERE round = ? AND voter = ? AND stamp = ?"},
	} {
		if *one.into, err = writer.PrepareContext(ctx, one.text); err != nil { //nolint:sqlclosecheck // closes with its database
			return s, fmt.Errorf("prepare a statement: %w", err)
		}
	}
	for _, many := range []struct {
		into *manyRows
		db   *sql.DB
		text func(rows int) string
	}{
		{&s.find, writer, selectVoters},
		{&s.insert, writer, insertVotes},
		{&s.look, reader, selectVoters},
	} {
		if *many.into, err = prepareRows(ctx, many.db, many.text); err != nil {
			return s, err
		}
	}
	return s, nil
}

func selectVoters(n int) string {
	return "SELECT voter, choices, stamp, serial, unconfirmed FROM votes WHERE round = ? AND voter IN (?" + strings.Repeat(", ?", n-1) + ")"
}

// insertVotes inserts OR IGNORE: the number of affected rows tells whether all
// were new. It also spares SQLite the journal that it keeps for statements
// that may fail half-way.
func insertVotes(n int) string {
	const row = "(?, ?, ?, 0, ?, ?, ?)"
	return "INSERT OR IGNORE INTO votes (round, voter, choices, prev, stamp, serial, unconfirmed) VALUES " + row + strings.Repeat(", "+row, n-1)
}

// manyRows is a statement prepared for 1, 2, 4 ... maxRows rows, so that any
// number of rows takes few executions.
type manyRows []*sql.Stmt

func prepareRows(ctx context.Context, db *sql.DB, text func(rows int) string) (manyRows, error) {
	var m manyRows
	for n := 1; n <= maxRows; n *= 2 {
		stmt, err := db.PrepareContext(ctx, text(n)) //nolint:sqlclosecheck // closes with its database
		if err != nil {
			return nil, fmt.Errorf("prepare a statement for %d rows: %w", n, err)
		}
		m = append(m, stmt)
	}
	return m, nil
}

// each covers the rows from 0 to n with calls of do: the statement to use, and
// the rows that it takes.
func (m manyRows) each(n int, do func(stmt *sql.Stmt, from, to int) error) error {
	for from := 0; from < n; {
		i := min(bits.Len(uint(n-from)), len(m)) - 1
		to := from + 1<<i
		if err := do(m[i], from, to); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// within returns a statement as part of a transaction, which closes it at its
// end, or as it is where there is none.
func within(ctx context.Context, tx *sql.Tx, stmt *sql.Stmt) *sql.Stmt {
	if tx == nil {
		return stmt
	}
	return tx.StmtContext(ctx, stmt)
}

// run executes a statement within a transaction and returns how many rows it
// touched.
func run(ctx context.Context, tx *sql.Tx, stmt *sql.Stmt, args ...any) (int64, error) {
	result, err := within(ctx, tx, stmt).ExecContext(ctx, args...) //nolint:sqlclosecheck // closes with tx
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}
