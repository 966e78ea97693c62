// Package postgres keeps polls, votes and tallies in PostgreSQL: the store of a
// Popeye whose roles are processes of their own, and the bell between them.
//
// Everything that must hold whatever happens holds in the database: a batch is
// one statement, which writes the votes, moves the counts by what it wrote and
// by nothing else, and notes how far the worker has come. It is a transaction of
// one step, so that a worker that dies or sleeps holds up nobody. And it needs no
// session, so that it works through a pool that gives each transaction another
// one.
package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"popeye"
)

// Config says where a store lives and what it gives to new rounds.
type Config struct {
	// DSN names the database as a URL or in the words of libpq. It may lead to a
	// pool that gives each transaction another session, such as PgBouncer's.
	// pool_max_conns bounds the connections; without it, they are defaultConns.
	DSN string
	// VoterKey names the key that makes the pseudonyms of new rounds. Empty where
	// there is none: they wait for NameVoterKey.
	VoterKey string
	// Now is the clock that versions and opening by hand go by. Nil means
	// time.Now.
	Now func() time.Time
}

// Store is a PostgreSQL database with Popeye's schema. Its methods may be called
// from any goroutine. What they cannot do because of the database or the way to
// it fails with an error that wraps popeye.ErrUnavailable and may succeed when
// tried again. What such a call was to do may have been done: repeating it then
// changes nothing.
type Store struct {
	pool     *pgxpool.Pool
	voterKey string
	now      func() time.Time
	rounds   roundCache
	sessions sessions
}

// Open returns a store at once. The database need not be there yet, nor have its
// schema: see Ready. It fails where the DSN is none.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	pc, err := poolConfig(cfg.DSN)
	if err != nil {
		return nil, err
	}
	s := &Store{voterKey: cfg.VoterKey, now: cfg.Now}
	if s.now == nil {
		s.now = time.Now
	}
	pc.AfterConnect = s.sessions.ask
	if s.pool, err = pgxpool.NewWithConfig(ctx, pc); err != nil {
		return nil, fmt.Errorf("make a pool of connections: %w", err)
	}
	return s, nil
}

// Shutdown closes the connections, after waiting for those in use.
func (s *Store) Shutdown() { s.pool.Close() }

// Ready returns nil when the database answers and its schema is what this
// version of Popeye needs, or a newer one; otherwise it says what is missing.
func (s *Store) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	newest, err := newestMigration()
	if err != nil {
		return err
	}
	var version int64
	err = s.read(ctx, func(ctx context.Context) error { return s.pool.QueryRow(ctx, selectVersion).Scan(&version) })
	if err != nil && sqlState(err) != undefinedTable {
		return fmt.Errorf("ask the database for its schema: %w", unavailable(err))
	}
	if version < newest {
		return fmt.Errorf("%w: the database's schema is at %d, this version needs %d: run popeye migrate",
			popeye.ErrUnavailable, version, newest)
	}
	return nil
}

// patience bounds a call, and each step of one that takes many.
const patience = 15 * time.Second
