package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"popeye"
)

// replaces is whether a vote, excluded, takes the place of the row v that its
// voter has. $7 are the rounds under policy change.
//
// Under change the highest stamp stands; the very vote that stands, from a queue
// server that knows of more votes of this voter, says that the row stands for
// more. Under first only a confirmed vote replaces, and only an unconfirmed one:
// its voter was told that it stands, and nobody was told so of the other.
const replaces = `CASE WHEN excluded.round = ANY ($7) THEN excluded.stamp > v.stamp
		OR excluded.stamp = v.stamp AND coalesce(excluded.serial, 1) > coalesce(v.serial, 1)
	ELSE v.unconfirmed AND excluded.unconfirmed IS NULL AND (excluded.stamp, excluded.choices) <> (v.stamp, v.choices) END`

// recordVotes records a batch. Whatever it does it does in the order of the
// keys: votes first, then the ledgers of their rounds, then what these guard.
//
// What changes nothing is left out before it is written, or else it would lock
// and dirty its row; this reads the rows as they were when the statement began,
// so it decides nothing. What is really replaced, ON CONFLICT decides, on the
// newest row; prev and gained tell what it found there. With LIMIT each look-up
// is one by the key, however many rows the database takes the table to have.
//
// NULL for the count of a ledger that is shut, and the foreign key of a ledger
// that is gone, make the whole statement fail: see recording.
const recordVotes = `WITH given AS (
	SELECT round, voter, choices, stamp, nullif(serial, 1) AS serial, nullif(unconfirmed, false) AS unconfirmed
	FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::boolean[])
		AS given (round, voter, choices, stamp, serial, unconfirmed)
), news AS (
	SELECT excluded.* FROM given AS excluded LEFT JOIN LATERAL (
		SELECT * FROM votes WHERE votes.round = excluded.round AND votes.voter = excluded.voter LIMIT 1
	) AS v ON true WHERE v.round IS NULL OR ` + replaces + `
), written AS (
	INSERT INTO votes AS v (round, voter, choices, stamp, serial, unconfirmed)
	SELECT round, voter, choices, stamp, serial, unconfirmed FROM news ORDER BY round, voter
	ON CONFLICT (round, voter) DO UPDATE SET
		choices = excluded.choices, stamp = excluded.stamp, prev = v.choices,
		serial = nullif(greatest(coalesce(excluded.serial, 1), coalesce(v.serial, 1)), 1),
		gained = greatest(coalesce(excluded.serial, 1) - coalesce(v.serial, 1), 0),
		unconfirmed = excluded.unconfirmed
	WHERE ` + replaces + `
	RETURNING round, choices, prev, coalesce(gained, serial, 1) AS stored
), moves AS (
	SELECT round, choices, prev, count(*) AS votes, sum(stored) AS stored FROM written GROUP BY round, choices, prev
), saved AS (
	INSERT INTO ledgers AS l (round, shown, total, stored)
	SELECT round, $8, coalesce(sum(votes) FILTER (WHERE prev IS NULL), 0), sum(stored) FROM moves GROUP BY round ORDER BY round
	ON CONFLICT (round) DO UPDATE SET
		shown = greatest(l.shown + 1, excluded.shown), total = l.total + excluded.total,
		stored = CASE WHEN l.shut THEN NULL ELSE l.stored + excluded.stored END
	RETURNING round
), counted AS (
	INSERT INTO tallies AS t (round, option, votes)
	SELECT round, option, sum(moves.votes * ((choices >> option & 1) - (coalesce(prev, 0) >> option & 1)))
	FROM moves JOIN saved USING (round), generate_series(0, 63) AS option
	WHERE (choices # coalesce(prev, 0)) >> option & 1 = 1
	GROUP BY round, option ORDER BY round, option
	ON CONFLICT (round, option) DO UPDATE SET votes = t.votes + excluded.votes
), noted AS (
	INSERT INTO progress AS p (server, worker, batches)
	SELECT server, worker, range_agg(int8range(batch, batch, '[]'))
	FROM (SELECT count(*) FROM saved) AS afterwards, unnest($9::text[], $10::text[], $11::bigint[]) AS done (server, worker, batch)
	GROUP BY server, worker ORDER BY server, worker
	ON CONFLICT (server, worker) DO UPDATE SET batches = p.batches + excluded.batches, noted = now()
	WHERE NOT p.batches @> excluded.batches
)
SELECT polls.id, sum(moves.stored)::bigint FROM moves LEFT JOIN polls USING (round) GROUP BY moves.round, polls.id`

// Record counts the votes in one transaction, on the database's disk when it
// returns nil. Of each voter one vote counts, in whatever order and however
// often votes are delivered: under policy first the confirmed one, or else the
// first to come, under change the one with the highest stamp. What of done is not
// zero is noted in the same transaction; a batch that was lost is still missing
// after that of the next. What came too late is parked before.
//
// Where a vote can never be recorded, it fails with popeye.ErrUnrecordable and
// records none; with popeye.ErrNotFound as well where that is because its round
// is not there.
func (s *Store) Record(ctx context.Context, votes []popeye.Vote, done ...popeye.Progress) (recorded popeye.Recorded, err error) {
	if err := ctx.Err(); err != nil {
		return popeye.Recorded{}, fmt.Errorf("record %d votes: %w", len(votes), err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	batch := sorted(votes)
	err = s.retry(ctx, func(ctx context.Context) error {
		err := s.record(ctx, batch, done, &recorded)
		if errors.Is(err, errShut) { // what is remembered of a round is out of date
			s.rounds.forget(roundsOf(batch))
		}
		return err
	})
	if err != nil {
		return popeye.Recorded{}, fmt.Errorf("record %d votes: %w", len(votes), unavailable(err))
	}
	return recorded, nil
}

// record writes a sorted batch, and adds to recorded what that changes.
func (s *Store) record(ctx context.Context, batch []popeye.Vote, done []popeye.Progress, recorded *popeye.Recorded) error {
	rounds, err := s.findRounds(ctx, roundsOf(batch))
	if errors.Is(err, popeye.ErrNotFound) {
		return fmt.Errorf("%w: %w", popeye.ErrUnrecordable, err)
	}
	if err != nil {
		return err
	}
	var live, late []popeye.Vote
	for _, v := range batch {
		r := rounds[v.Round]
		if !v.Choices.Within(r.options) {
			return fmt.Errorf("%w: it names an option that round %d does not have", popeye.ErrUnrecordable, v.Round)
		}
		if r.final {
			late = append(late, v)
			continue
		}
		live = append(live, v)
	}
	b := recordBatch{votes: onePerVoter(live, rounds), rounds: rounds, done: done}
	if err := s.reject(ctx, late, b.changing(), recorded); err != nil {
		return err
	}
	return s.write(ctx, s.pool, &b, recorded)
}

// recordBatch is what one recording statement writes.
type recordBatch struct {
	votes  []popeye.Vote
	rounds map[int64]round
	done   []popeye.Progress
}

// changing returns the rounds of b that are under policy change.
func (b *recordBatch) changing() []int64 {
	ids := make([]int64, 0, len(b.rounds))
	for id, r := range b.rounds {
		if r.policy == popeye.Change {
			ids = append(ids, id)
		}
	}
	return ids
}

// progress returns what is to be noted, by column.
func (b *recordBatch) progress() (servers, workers []string, batches []int64) {
	for _, p := range b.done {
		if p != (popeye.Progress{}) {
			servers, workers, batches = append(servers, p.Server), append(workers, p.Worker), append(batches, p.Batch)
		}
	}
	return servers, workers, batches
}

// write runs the recording statement. It fails with errShut where a round's end
// has come first.
func (s *Store) write(ctx context.Context, on querier, b *recordBatch, recorded *popeye.Recorded) error {
	servers, workers, batches := b.progress()
	if len(b.votes) == 0 && len(batches) == 0 {
		return nil
	}
	c := columnsOf(b.votes)
	rows, err := on.Query(ctx, recordVotes, s.sessions.mode(), c.rounds, c.voters, c.choices, c.stamps, c.serials, c.unconfirmed,
		b.changing(), s.now().UnixMilli(), servers, workers, batches)
	if err != nil {
		return recording(err)
	}
	moved, stored, err := collectMoves(rows)
	if err != nil {
		return recording(err)
	}
	recorded.Stored += stored
	recorded.Moved = append(recorded.Moved, moved...)
	return nil
}

// collectMoves reads rows of a poll, which is NULL where the round is not its
// current one, and a number of votes. It returns the polls and the sum.
func collectMoves(rows pgx.Rows) (polls []string, votes int64, err error) {
	var poll *string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&poll, &n}, func() error {
		votes += n
		if poll != nil {
			polls = append(polls, *poll)
		}
		return nil
	})
	return polls, votes, err
}
