package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"popeye"
)

// errKnown says that a vote taken for its voter's first is not: what stands
// has to be read before the batch can be written.
var errKnown = errors.New("a voter is known already")

// Record counts the votes in one transaction, on disk when it returns nil. Of
// each voter one vote counts, in whatever order and however often votes are
// delivered: under policy first the confirmed one, or else the first to come,
// under change the one with the highest stamp. Where a vote can never be recorded, it fails with
// popeye.ErrUnrecordable and records none. Progress is not noted: there is no
// server to compare with.
func (s *Store) Record(ctx context.Context, votes []popeye.Vote, _ ...popeye.Progress) (popeye.Recorded, error) {
	batch := slices.Clone(votes)
	// Rows written in the order of their keys find their page where the one before has
	// left it.
	slices.SortFunc(batch, popeye.Vote.Compare)
	// Nearly every vote is its voter's first, and inserting it shows whether it
	// is. Reading beforehand would make each vote a quarter dearer.
	recorded, err := s.record(ctx, batch, true)
	if errors.Is(err, errKnown) {
		recorded, err = s.record(ctx, batch, false)
	}
	if err != nil {
		return popeye.Recorded{}, fmt.Errorf("record %d votes: %w", len(votes), err)
	}
	return recorded, nil
}

// record writes a sorted batch. Trusting, it takes votes that call themselves
// their voter's first for just that, and fails with errKnown where one is not.
func (s *Store) record(ctx context.Context, batch []popeye.Vote, trusting bool) (popeye.Recorded, error) {
	var recorded popeye.Recorded
	err := s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for votes := range byRound(batch) {
			r, err := s.loadRound(ctx, tx, votes)
			if err != nil {
				return err
			}
			c, err := s.writeVotes(ctx, tx, r, votes, trusting)
			if err != nil {
				return err
			}
			if err := s.saveChange(ctx, tx, r, &c, &recorded); err != nil {
				return err
			}
		}
		return nil
	})
	return recorded, err
}

// round is what recording must know of a round.
type round struct {
	id      int64
	poll    string
	current bool
	state   popeye.State
	policy  popeye.Policy
	options int
}

// loadRound finds the round of the votes and makes sure that it can take them.
func (s *Store) loadRound(ctx context.Context, tx *sql.Tx, votes []popeye.Vote) (*round, error) {
	r, err := s.findRound(ctx, tx, votes[0].Round)
	if errors.Is(err, popeye.ErrNotFound) {
		return nil, fmt.Errorf("%w: there is no round %d", popeye.ErrUnrecordable, votes[0].Round)
	}
	if err != nil {
		return nil, err
	}
	for i := range votes {
		if !votes[i].Choices.Within(r.options) {
			return nil, fmt.Errorf("%w: it names an option that round %d does not have", popeye.ErrUnrecordable, r.id)
		}
	}
	return r, nil
}

// findRound fails with popeye.ErrNotFound where there is no such round, or its
// poll is deleted.
func (s *Store) findRound(ctx context.Context, tx *sql.Tx, id int64) (*round, error) {
	r := round{id: id}
	err := within(ctx, tx, s.sql.round).QueryRowContext(ctx, id). //nolint:sqlclosecheck // closes with tx
									Scan(&r.poll, &r.current, &r.state, &r.policy, &r.options)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, popeye.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read round %d: %w", id, err)
	}
	return &r, nil
}

// writeVotes writes the rows of a round's votes and returns what they change.
func (s *Store) writeVotes(ctx context.Context, tx *sql.Tx, r *round, votes []popeye.Vote, trusting bool) (change, error) {
	if r.state == popeye.Final {
		return s.reject(ctx, tx, r, votes)
	}
	votes = popeye.OnePerVoter(votes, func(int64) popeye.Policy { return r.policy })
	asked := votes
	if trusting {
		asked = notFirst(votes)
	}
	standing, err := lookUp(ctx, tx, s.sql.find, r.id, voters(asked))
	if err != nil {
		return change{}, err
	}
	c := fold(r.policy, votes, standing)
	if err := s.insert(ctx, tx, c.fresh); err != nil {
		return change{}, err
	}
	if err := s.replace(ctx, tx, c.replacing); err != nil {
		return change{}, err
	}
	return c, s.raise(ctx, tx, c.raising)
}

// saveChange moves the counts of a round and its version, and adds to recorded
// what it has moved.
func (s *Store) saveChange(ctx context.Context, tx *sql.Tx, r *round, c *change, recorded *popeye.Recorded) error {
	if c.none() {
		return nil
	}
	for option, votes := range c.votes {
		if votes == 0 {
			continue
		}
		if _, err := run(ctx, tx, s.sql.tally, votes, r.id, option); err != nil {
			return fmt.Errorf("move the tally of round %d: %w", r.id, err)
		}
	}
	if _, err := run(ctx, tx, s.sql.ledger, c.total, c.stored, c.rejected, s.now().UnixMilli(), r.id); err != nil {
		return fmt.Errorf("move the ledger of round %d: %w", r.id, err)
	}
	recorded.Stored += c.stored
	recorded.Rejected += max(c.rejected, 0)
	if r.current {
		recorded.Moved = append(recorded.Moved, r.poll)
	}
	return nil
}
