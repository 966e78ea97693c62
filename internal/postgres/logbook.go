package postgres

import (
	"context"
	"fmt"
	"time"

	"popeye"
)

// beginning is the position before everything that a queue has, as queues write
// positions.
const beginning = "0"

// lacking is whether the store lacks a batch of server $1 that the server has
// seen acknowledged: of each worker in $2, all batches up to that in $3. The note
// is made with the batch, and the acknowledgement after it. So this is only ever
// so where the store has lost what it had committed.
const lacking = `EXISTS (
	SELECT 1 FROM unnest($2::text[], $3::bigint[]) AS seen (worker, batch) WHERE batch > 0 AND NOT EXISTS (
		SELECT 1 FROM progress p WHERE p.server = $1 AND p.worker = seen.worker AND p.batches @> int8range(1, seen.batch, '[]')))`

// progressOf returns the arguments $1 to $3 of lacking.
func progressOf(q *popeye.QueueStatus) []any {
	workers, batches := make([]string, 0, len(q.Progress)), make([]int64, 0, len(q.Progress))
	for worker, batch := range q.Progress {
		workers, batches = append(workers, worker), append(batches, batch)
	}
	return []any{q.Server, workers, batches}
}

// Lost returns the position from which a server has to be replayed because the
// store lacks what the server has seen recorded, or has older definitions than the
// server; empty when it does not: as when the database was put back to an earlier
// moment.
func (s *Store) Lost(ctx context.Context, q popeye.QueueStatus) (from string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = s.read(ctx, func(ctx context.Context) error {
		var lost bool
		var recorded *string
		err := s.pool.QueryRow(ctx, "SELECT "+lacking+` OR $5 > (SELECT version FROM catalog),
			(SELECT recorded FROM places WHERE place = $4 AND server = $1)`, append(progressOf(&q), q.Place, q.Catalog)...).Scan(&lost, &recorded)
		switch {
		case err != nil || !lost:
			from = ""
		case recorded == nil: // the store has lost that there is such a server
			from = beginning
		default:
			from = *recorded
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("compare with what the queue at %s has seen recorded: %w", q.Place, unavailable(err))
	}
	return from, nil
}

// noteStatus keeps a status. A server that another one has followed at its place is not
// believed to be back while that one is heard of: whoever says so slept.
//
// The position moves on only while the store lacks nothing before it. What
// workers did that the server has forgotten, or of servers that are long gone, is
// forgotten here too, unless it is so new that the server may not know of it yet.
const noteStatus = `WITH state AS (SELECT ` + lacking + ` AS lacking), forgotten AS (
	DELETE FROM progress WHERE server = $1 AND worker <> ALL ($2) AND noted < now() - interval '1 day'
		OR server <> $1 AND noted < now() - interval '30 days' AND server NOT IN (SELECT server FROM places)
)
INSERT INTO places AS p (place, server, since, recorded, pending, oldest, accepted)
SELECT $4, $1, (SELECT round FROM catalog), CASE WHEN lacking THEN $9 ELSE $5 END, $6, $7, $8 FROM state
ON CONFLICT (place) DO UPDATE SET
	server = excluded.server,
	since = CASE WHEN p.server = excluded.server THEN p.since ELSE excluded.since END,
	replaced = p.replaced OR p.server <> excluded.server,
	past = CASE WHEN p.server = excluded.server THEN p.past ELSE (p.past || p.server)[cardinality(p.past) - 8 :] END,
	recorded = CASE WHEN p.server = excluded.server AND (SELECT lacking FROM state) THEN p.recorded ELSE excluded.recorded END,
	pending = excluded.pending, oldest = excluded.oldest, accepted = excluded.accepted, noted = now()
WHERE p.server = excluded.server OR excluded.server <> ALL (p.past) OR p.noted < now() - $10 * interval '1 second'`

// Note keeps how a server is, so that those who cannot ask it can tell. While
// the store lacks anything that the server has seen recorded, the position from
// which to replay stays where it is.
func (s *Store) Note(ctx context.Context, q popeye.QueueStatus) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var oldest *time.Time
	if !q.Oldest.IsZero() {
		oldest = &q.Oldest
	}
	accepted := q.Accepted
	if accepted == nil {
		accepted = map[int64]int64{}
	}
	err := s.retry(ctx, func(ctx context.Context) error {
		_, err := s.pool.Exec(ctx, noteStatus, append(progressOf(&q), q.Place, q.Recorded, q.Pending, oldest, accepted,
			beginning, silence.Seconds())...)
		return err
	})
	if err != nil {
		return fmt.Errorf("note how the queue at %s is: %w", q.Place, unavailable(err))
	}
	return nil
}

// lostRounds is more than the rounds that anybody begins at once.
const lostRounds = 1000

// Restored says that everything is there again which was recorded when the
// server had that status. The catalog gets a version above the server's: the queue
// may have one that the store has lost, and has to take this one again. The numbers
// of rounds that the store may have lost are left out.
func (s *Store) Restored(ctx context.Context, q popeye.QueueStatus) error {
	err := s.edit(ctx, func(ctx context.Context, e *edit) error {
		e.changed = true
		e.version = max(e.version, q.Catalog)
		e.lastRound += lostRounds
		_, err := e.Exec(ctx, `INSERT INTO progress AS p (server, worker, batches)
			SELECT $1, worker, int8multirange(int8range(1, batch, '[]'))
			FROM unnest($2::text[], $3::bigint[]) AS seen (worker, batch) WHERE batch > 0 ORDER BY worker
			ON CONFLICT (server, worker) DO UPDATE SET batches = p.batches + excluded.batches, noted = now()`, progressOf(&q)...)
		return err
	})
	if err != nil {
		return fmt.Errorf("note that all is there again of the queue at %s: %w", q.Place, err)
	}
	return nil
}
