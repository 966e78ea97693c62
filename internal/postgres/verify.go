package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"popeye"
)

// Report is what Verify found.
type Report struct {
	// Rounds and Votes are how many were looked at.
	Rounds, Votes int64
	// Faults are what does not add up; none is what there should be.
	Faults []Fault
}

// Fault is a count that differs from what it counts.
type Fault struct {
	// Poll is empty where the poll is being deleted.
	Poll  string
	Round int64
	// What is counted: "votes for option 3", "voters", "stored votes" or "parked
	// votes", of which there may be fewer than were rejected but not more.
	What string
	// Counted is what the tally or the ledger says, Found what the votes come to.
	Counted, Found int64
}

// Verify counts the votes of every round again and compares them with tally and
// ledger, each round at one moment, while voting goes on. Now and then it calls
// progress with the number of votes looked at and that of all. It reads every
// vote, in steps that nobody waits for.
func (s *Store) Verify(ctx context.Context, progress func(done, total int64)) (Report, error) {
	var report Report
	rounds, total, err := s.allRounds(ctx)
	if err != nil {
		return report, fmt.Errorf("look which rounds there are: %w", unavailable(err))
	}
	for _, id := range rounds {
		err := s.inTx(ctx, func(tx pgx.Tx) error {
			// All that is read of a round is of one moment.
			if _, err := tx.Exec(ctx, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"); err != nil {
				return err
			}
			return report.verifyRound(ctx, tx, id, func() { progress(report.Votes, max(total, report.Votes)) })
		})
		if err != nil {
			return report, fmt.Errorf("verify round %d: %w", id, unavailable(err))
		}
	}
	return report, nil
}

func (s *Store) allRounds(ctx context.Context) (rounds []int64, total int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = s.pool.QueryRow(ctx, `SELECT coalesce(array_agg(round ORDER BY round), '{}'), coalesce(sum(total), 0)::bigint
		FROM ledgers JOIN rounds USING (round) WHERE poll IS NOT NULL`).Scan(&rounds, &total)
	return rounds, total, err
}

// count is what a round's votes come to.
type count struct {
	votes                   [popeye.MaxOptions]int64
	voters, stored, rejects int64
}

func (r *Report) verifyRound(ctx context.Context, tx pgx.Tx, id int64, progress func()) error {
	var poll string
	var noted, found count
	var options []int64
	err := tx.QueryRow(ctx, `SELECT r.poll, l.total, l.stored, l.rejected,
			ARRAY(SELECT votes FROM tallies t WHERE t.round = $1 ORDER BY option),
			(SELECT count(*) FROM parked k WHERE k.round = $1)
		FROM rounds r JOIN ledgers l USING (round) WHERE round = $1 AND poll IS NOT NULL`, id).
		Scan(&poll, &noted.voters, &noted.stored, &noted.rejects, &options, &found.rejects)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return err
	}
	for prefix := range prefixes(noted.voters) {
		before := found.voters
		if err := found.add(ctx, tx, id, prefix); err != nil {
			return err
		}
		r.Votes += found.voters - before
		progress()
	}
	r.Rounds++
	copy(noted.votes[:], options)
	r.compare(Fault{Poll: poll, Round: id}, &noted, &found)
	return nil
}

// add counts the votes whose receipts begin like this.
func (c *count) add(ctx context.Context, tx pgx.Tx, id int64, prefix string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	first, last, _ := span(prefix)
	rows, err := tx.Query(ctx, `SELECT choices, count(*), sum(coalesce(serial, 1))::bigint FROM votes
		WHERE round = $1 AND voter BETWEEN $2 AND $3 GROUP BY choices`, id, [16]byte(first), [16]byte(last))
	if err != nil {
		return err
	}
	var choices, voters, stored int64
	_, err = pgx.ForEachRow(rows, []any{&choices, &voters, &stored}, func() error {
		c.voters += voters
		c.stored += stored
		for i := range c.votes {
			if fromColumn(choices).Has(i) {
				c.votes[i] += voters
			}
		}
		return nil
	})
	return err
}

func (r *Report) compare(f Fault, noted, found *count) {
	differ := func(what string, counted, found int64) {
		if counted == found {
			return
		}
		f.What, f.Counted, f.Found = what, counted, found
		r.Faults = append(r.Faults, f)
	}
	differ("voters", noted.voters, found.voters)
	differ("stored votes", noted.stored, found.stored)
	if found.rejects > noted.rejects {
		differ("parked votes", noted.rejects, found.rejects)
	}
	for i := range noted.votes {
		differ(fmt.Sprintf("votes for option %d", i+1), noted.votes[i], found.votes[i])
	}
}

// missingVotes asks which votes leave no trace: no row of their voter that is
// this vote, one before which it does not count, or one that has replaced it,
// and nothing parked. Votes of rounds that are deleted leave none.
const missingVotes = `SELECT g.n FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::boolean[])
	WITH ORDINALITY AS g (round, voter, choices, stamp, serial, unconfirmed, n)
LEFT JOIN rounds r ON r.round = g.round
LEFT JOIN LATERAL (SELECT * FROM votes WHERE votes.round = g.round AND votes.voter = g.voter LIMIT 1) AS v ON true
WHERE (r.round IS NULL OR r.poll IS NOT NULL)
	AND (v.round IS NULL OR CASE WHEN r.policy = 'change' THEN v.stamp < g.stamp
		ELSE v.unconfirmed AND NOT g.unconfirmed AND (v.stamp, v.choices) <> (g.stamp, g.choices) END)
	AND NOT EXISTS (SELECT 1 FROM parked k WHERE k.round = g.round AND k.voter = g.voter AND k.stamp = g.stamp)
ORDER BY n`

// Missing returns those of the votes that are neither recorded, or replaced by
// another vote of their voter, nor parked. Deleted polls miss no votes.
func (s *Store) Missing(ctx context.Context, votes []popeye.Vote) ([]popeye.Vote, error) {
	var missing []popeye.Vote
	for some := range slices.Chunk(votes, 1000) {
		within, cancel := context.WithTimeout(ctx, patience)
		err := s.read(within, func(ctx context.Context) error {
			places, err := s.missingOf(ctx, some)
			for _, n := range places {
				missing = append(missing, some[n-1])
			}
			return err
		})
		cancel()
		if err != nil {
			return missing, fmt.Errorf("look for %d votes: %w", len(votes), unavailable(err))
		}
	}
	return missing, nil
}

// missingOf returns the places of missing votes, counted from 1.
func (s *Store) missingOf(ctx context.Context, votes []popeye.Vote) ([]int64, error) {
	c := columnsOf(votes)
	rows, err := s.pool.Query(ctx, missingVotes, c.rounds, c.voters, c.choices, c.stamps, c.serials, c.unconfirmed)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}
