package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"popeye"
)

const (
	definitionColumns = "p.definition, p.round, p.version, r.state, r.voter_key, r.incomplete"
	currentRounds     = " FROM polls p JOIN rounds r ON r.round = p.round"
)

// Catalog returns every poll in its current round, as they all are at one
// moment. Its version grows with each change of any of them.
func (s *Store) Catalog(ctx context.Context) (*popeye.Catalog, error) {
	catalog, err := s.catalog(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the catalog: %w", unavailable(err))
	}
	return catalog, nil
}

func (s *Store) catalog(ctx context.Context) (*popeye.Catalog, error) {
	tx, err := s.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }() // it has only read
	var version int64
	if err := tx.QueryRowContext(ctx, "SELECT version FROM catalog").Scan(&version); err != nil {
		return nil, err
	}
	all, err := definitions(ctx, tx)
	if err != nil {
		return nil, err
	}
	return popeye.NewCatalog(version, all), nil
}

func definitions(ctx context.Context, tx *sql.Tx) ([]popeye.Definition, error) {
	rows, err := tx.QueryContext(ctx, "SELECT "+definitionColumns+currentRounds)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err tells what went wrong
	var all []popeye.Definition
	for rows.Next() {
		var d popeye.Definition
		if err := scanDefinition(rows, &d); err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, rows.Err()
}

// Tally returns a poll's result at one moment. What it costs depends on the
// number of options, not of votes.
func (s *Store) Tally(ctx context.Context, id string) (popeye.Tally, error) {
	t, err := current(ctx, s.reader, id)
	if err != nil {
		return popeye.Tally{}, fmt.Errorf("read the tally of poll %s: %w", id, unavailable(err))
	}
	return t, nil
}

// Lag returns zero: nothing is on its way to this store that has been
// acknowledged.
func (s *Store) Lag(context.Context) (time.Duration, error) { return 0, nil }

// querier is a database, or a transaction on it.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// current reads a poll, its round and its counts in one statement, that is, as
// they are at one moment. It fails with popeye.ErrNotFound.
func current(ctx context.Context, from querier, id string) (t popeye.Tally, err error) {
	row := from.QueryRowContext(ctx, "SELECT "+definitionColumns+`, r.shown, r.total, r.stored, r.rejected, r.receipts_hash,
		(SELECT json_group_array(votes ORDER BY option) FROM tallies WHERE round = p.round)`+
		currentRounds+" WHERE p.id = ?", id)
	var votes []byte
	err = scanDefinition(row, &t.Definition, &t.Version, &t.Total, &t.Ledger.Stored, &t.Ledger.Rejected, &t.ReceiptsHash, &votes)
	if errors.Is(err, sql.ErrNoRows) {
		return t, popeye.ErrNotFound
	}
	if err != nil {
		return t, err
	}
	t.Ledger.Accepted = t.Ledger.Stored + t.Ledger.Rejected
	return t, json.Unmarshal(votes, &t.Votes)
}

// scanDefinition reads the definitionColumns of a row, and the columns after.
func scanDefinition(row interface{ Scan(into ...any) error }, d *popeye.Definition, more ...any) error {
	var text []byte
	if err := row.Scan(append([]any{&text, &d.Round, &d.Version, &d.State, &d.VoterKey, &d.Incomplete}, more...)...); err != nil {
		return err
	}
	return json.Unmarshal(text, &d.Poll)
}
