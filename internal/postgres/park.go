package postgres

import (
	"context"
	"fmt"
	"slices"

	"popeye"
)

// late is why a vote that came after the end is parked.
const late = "late"

// parkVotes parks votes, each once, and counts them in the ledgers of their
// rounds, where there are any. With $9, it leaves out those that would have
// changed nothing, had they come in time: each is a repeat, or stands in the
// ledger with the vote that has replaced it.
const parkVotes = `WITH given AS (
	SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::boolean[], $8::text[])
		AS given (round, voter, choices, stamp, serial, unconfirmed, reason)
), added AS (
	INSERT INTO parked (round, voter, stamp, choices, serial, unconfirmed, reason)
	SELECT round, voter, stamp, choices, serial, unconfirmed, reason FROM given AS g WHERE NOT $9 OR NOT EXISTS (
		SELECT 1 FROM votes v, (SELECT g.round, g.choices, g.stamp, NULL::bigint AS serial, nullif(g.unconfirmed, false) AS unconfirmed) AS excluded
		WHERE v.round = g.round AND v.voter = g.voter AND NOT coalesce(` + replaces + `, false))
	ORDER BY round, voter, stamp
	ON CONFLICT DO NOTHING RETURNING round
), rejected AS (
	SELECT round, count(*) AS votes FROM added GROUP BY round
), held AS (
	SELECT round FROM ledgers WHERE round IN (SELECT round FROM rejected) ORDER BY round FOR UPDATE
), saved AS (
	UPDATE ledgers l SET rejected = l.rejected + r.votes, shown = greatest(l.shown + 1, $10)
	FROM rejected r JOIN held USING (round) WHERE l.round = r.round
)
SELECT polls.id, rejected.votes FROM rejected LEFT JOIN polls USING (round)`

// Park keeps votes that cannot be recorded, each with its reason, and counts
// them as rejected in the ledger of their round, if there is one. A vote that
// was parked before, dropped or not, changes nothing.
func (s *Store) Park(ctx context.Context, parked []popeye.Parked) (recorded popeye.Recorded, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	parked = slices.Clone(parked)
	slices.SortFunc(parked, func(a, b popeye.Parked) int { return a.Vote.Compare(b.Vote) })
	votes, reasons := make([]popeye.Vote, len(parked)), make([]string, len(parked))
	for i, p := range parked {
		votes[i], reasons[i] = p.Vote, p.Reason
	}
	err = s.retry(ctx, func(ctx context.Context) error {
		return s.park(ctx, votes, reasons, nil, &recorded)
	})
	if err != nil {
		return popeye.Recorded{}, fmt.Errorf("park %d votes: %w", len(parked), unavailable(err))
	}
	return recorded, nil
}

// reject parks what comes after a round's end: each vote that would have changed
// something, had it come in time. Changing are the rounds under policy change.
func (s *Store) reject(ctx context.Context, votes []popeye.Vote, changing []int64, recorded *popeye.Recorded) error {
	return s.park(ctx, votes, slices.Repeat([]string{late}, len(votes)), changing, recorded)
}

// park runs parkVotes on sorted votes, as late ones where changing is not nil.
func (s *Store) park(ctx context.Context, votes []popeye.Vote, reasons []string, changing []int64, recorded *popeye.Recorded) error {
	if len(votes) == 0 {
		return nil
	}
	c := columnsOf(votes)
	rows, err := s.pool.Query(ctx, parkVotes, c.rounds, c.voters, c.choices, c.stamps, c.serials, c.unconfirmed,
		changing, reasons, changing != nil, s.now().UnixMilli())
	if err != nil {
		return err
	}
	moved, rejected, err := collectMoves(rows)
	if err != nil {
		return err
	}
	recorded.Rejected += rejected
	recorded.Moved = append(recorded.Moved, moved...)
	return nil
}
