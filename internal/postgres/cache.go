package postgres

import (
	"context"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"

	"popeye"
)

// round is what recording must know of a round. Policy and options never change.
type round struct {
	policy  popeye.Policy
	options int
	// final rounds are asked for each time: a database may be put back to a moment
	// when they were not. Whatever else is out of date, the ledger tells.
	final bool
}

// maxCached bounds the rounds that are remembered.
const maxCached = 4096

// roundCache remembers rounds, so that recording has nothing to ask first. The
// zero value is empty.
type roundCache struct {
	mu    sync.Mutex
	known map[int64]round
}

// find returns those of the rounds that are known, and the others.
func (c *roundCache) find(ids []int64) (known map[int64]round, unknown []int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known = make(map[int64]round, len(ids))
	for _, id := range ids {
		if r, ok := c.known[id]; ok {
			known[id] = r
			continue
		}
		unknown = append(unknown, id)
	}
	return known, unknown
}

func (c *roundCache) add(rounds map[int64]round) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known)+len(rounds) > maxCached {
		c.known = make(map[int64]round)
	}
	for id, r := range rounds {
		if !r.final {
			c.known[id] = r
		}
	}
}

func (c *roundCache) forget(ids []int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		delete(c.known, id)
	}
}

// findRounds returns what is to be known of rounds. It fails with
// popeye.ErrNotFound where one of them is not there, or its poll is deleted.
func (s *Store) findRounds(ctx context.Context, ids []int64) (map[int64]round, error) {
	rounds, unknown := s.rounds.find(ids)
	if len(unknown) == 0 {
		return rounds, nil
	}
	found, err := loadRounds(ctx, s.pool, unknown)
	if err != nil {
		return nil, err
	}
	s.rounds.add(found)
	for _, id := range unknown {
		r, ok := found[id]
		if !ok {
			return nil, fmt.Errorf("%w: there is no round %d", popeye.ErrNotFound, id)
		}
		rounds[id] = r
	}
	return rounds, nil
}

func loadRounds(ctx context.Context, from querier, ids []int64) (map[int64]round, error) {
	rows, err := from.Query(ctx, `SELECT round, policy, options, state = 'final' FROM rounds
		WHERE round = ANY ($1) AND poll IS NOT NULL`, ids)
	if err != nil {
		return nil, err
	}
	found := make(map[int64]round, len(ids))
	var id int64
	var r round
	_, err = pgx.ForEachRow(rows, []any{&id, &r.policy, &r.options, &r.final}, func() error {
		found[id] = r
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read %d rounds: %w", len(ids), err)
	}
	return found, nil
}
