package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"popeye"
)

const (
	definitionColumns = "p.definition, p.round, p.version, r.state, r.voter_key, r.incomplete"
	currentRounds     = " FROM polls p JOIN rounds r ON r.round = p.round"
)

// Catalog returns every poll in its current round, as they all are at one
// moment. Its version grows with each change of any of them.
func (s *Store) Catalog(ctx context.Context) (*popeye.Catalog, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var catalog *popeye.Catalog
	err := s.read(ctx, func(ctx context.Context) (err error) {
		catalog, err = s.catalog(ctx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the catalog: %w", unavailable(err))
	}
	return catalog, nil
}

// catalog reads version and definitions in one statement, that is, as they are
// at one moment. Where there is no poll, the only row has none.
func (s *Store) catalog(ctx context.Context) (*popeye.Catalog, error) {
	rows, err := s.pool.Query(ctx, "SELECT c.version, d.* FROM catalog c LEFT JOIN (SELECT "+
		definitionColumns+currentRounds+") AS d ON true")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var version int64
	var all []popeye.Definition
	for rows.Next() {
		if rows.RawValues()[1] == nil {
			if err := rows.Scan(&version, nil, nil, nil, nil, nil, nil); err != nil {
				return nil, err
			}
			continue
		}
		var d popeye.Definition
		if err := scanDefinition(rows, []any{&version}, &d); err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return popeye.NewCatalog(version, all), rows.Err()
}

// Tally returns a poll's result at one moment. What it costs depends on the
// number of options, not of votes.
func (s *Store) Tally(ctx context.Context, id string) (popeye.Tally, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var t popeye.Tally
	err := s.read(ctx, func(ctx context.Context) (err error) {
		t, err = current(ctx, s.pool, s.sessions.mode(), id)
		return err
	})
	if err != nil {
		return popeye.Tally{}, fmt.Errorf("read the tally of poll %s: %w", id, unavailable(err))
	}
	return t, nil
}

// current reads a poll, its round and its counts in one statement, that is, as
// they are at one moment. It fails with popeye.ErrNotFound.
//
// What the queue servers have taken and what is recorded are not of one moment:
// their difference is an estimate, and less than none is none.
func current(ctx context.Context, from querier, mode pgx.QueryExecMode, id string) (t popeye.Tally, err error) {
	row := from.QueryRow(ctx, "SELECT "+definitionColumns+`, l.shown, l.total, l.stored, l.rejected, r.receipts_hash,
		ARRAY(SELECT votes FROM tallies WHERE round = p.round ORDER BY option),
		CASE WHEN r.state = 'final' THEN 0 ELSE
			(SELECT coalesce(sum((accepted ->> p.round::text)::bigint), 0)::bigint FROM places) - l.stored - l.rejected END`+
		currentRounds+" JOIN ledgers l ON l.round = p.round WHERE p.id = $1", mode, id)
	err = scanDefinition(row, nil, &t.Definition,
		&t.Version, &t.Total, &t.Ledger.Stored, &t.Ledger.Rejected, &t.ReceiptsHash, &t.Votes, &t.Ledger.Queued)
	if errors.Is(err, pgx.ErrNoRows) {
		return t, popeye.ErrNotFound
	}
	t.Ledger.Queued = max(t.Ledger.Queued, 0)
	t.Ledger.Accepted = t.Ledger.Stored + t.Ledger.Rejected + t.Ledger.Queued
	return t, err
}

// scanDefinition reads the definitionColumns of a row, and the columns before
// and after.
func scanDefinition(row pgx.Row, before []any, d *popeye.Definition, after ...any) error {
	var text []byte
	into := append(before, &text, &d.Round, &d.Version, &d.State, &d.VoterKey, &d.Incomplete)
	if err := row.Scan(append(into, after...)...); err != nil {
		return err
	}
	return json.Unmarshal(text, &d.Poll)
}

const (
	// silence is how long nothing may be heard of the queue before that itself
	// means that votes may be missing: each server is noted more often.
	silence = 10 * time.Second
	// inTime is how long a vote may wait before it counts as waiting.
	inTime = 2 * time.Second
)

// Lag returns for how long votes may have been waiting in the queue that are not
// in the tallies; zero when there are none, or nothing of a queue is known.
func (s *Store) Lag(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// Of these, greatest and max ignore NULL, which is what there is not.
	var silent, waiting *float64
	err := s.read(ctx, func(ctx context.Context) error {
		return s.pool.QueryRow(ctx, `SELECT extract(epoch FROM now() - max(noted))::float8,
			extract(epoch FROM now() - min(oldest) FILTER (WHERE noted > now() - $1 * interval '1 second'))::float8 FROM places`,
			silence.Seconds()).Scan(&silent, &waiting)
	})
	if err != nil {
		return 0, fmt.Errorf("ask how far behind the store is: %w", unavailable(err))
	}
	if lag := seconds(silent); lag > silence {
		return lag, nil
	}
	if lag := seconds(waiting); lag > inTime {
		return lag, nil
	}
	return 0, nil
}

func seconds(n *float64) time.Duration {
	if n == nil {
		return 0
	}
	return time.Duration(*n * float64(time.Second))
}
