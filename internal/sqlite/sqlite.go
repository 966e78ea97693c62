// Package sqlite keeps polls, votes and tallies in one SQLite file: the store
// of a Popeye that runs as one process.
//
// All that is written goes through one connection, so that transactions follow
// one another and a tally is never computed from a value that has moved since.
// What is read goes through a few others, which the write-ahead log lets work
// beside it.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Config says where a store lives and what it gives to new rounds.
type Config struct {
	// Path is the database file. The file and its folder are made when missing,
	// for the user's eyes only.
	Path string
	// VoterKey names the key that makes the pseudonyms of new rounds.
	VoterKey string
	// Now is the clock that versions and opening by hand go by. Nil means
	// time.Now.
	Now func() time.Time
}

// Store is a database file in use by this process alone. Its methods may be
// called from any goroutine. What they cannot do because of the disk fails
// with an error that wraps popeye.ErrUnavailable, has changed nothing, and may
// succeed when tried again.
type Store struct {
	voterKey string
	now      func() time.Time
	lock     io.Closer
	writer   *sql.DB
	reader   *sql.DB
	sql      statements
}

// Open opens the database, creates it or brings its schema up to date. It
// refuses a file that another process uses, that is damaged, that is not
// Popeye's, or that a newer Popeye has written; such a file is left as it is,
// byte for byte.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	path, err := filepath.Abs(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", cfg.Path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	s := &Store{voterKey: cfg.VoterKey, now: cfg.Now}
	if s.now == nil {
		s.now = time.Now
	}
	if s.lock, err = acquire(path + ".lock"); err != nil {
		return nil, err
	}
	if err := s.open(ctx, path); err != nil {
		return nil, errors.Join(err, s.Shutdown())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, path string) (err error) {
	if err := check(ctx, path); err != nil {
		return err
	}
	if s.writer, err = openWriter(path); err != nil {
		return err
	}
	if err := migrate(ctx, s.writer, migrations()); err != nil {
		return err
	}
	if s.reader, err = openReader(path); err != nil {
		return err
	}
	s.sql, err = prepare(ctx, s.writer, s.reader)
	return err
}

// IsUnused reports whether there has never been a poll in the store.
func (s *Store) IsUnused(ctx context.Context) (bool, error) {
	var unused bool
	err := s.writer.QueryRowContext(ctx, "SELECT NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'rounds')").Scan(&unused)
	return unused, unavailable(err)
}

// Shutdown moves what is in the write-ahead log into the database file and
// gives the file free. Nothing is lost without it: the next Open reads the log.
func (s *Store) Shutdown() error {
	var errs []error
	for _, db := range []*sql.DB{s.reader, s.writer} { // the last one to go cleans up
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

// write runs do in a transaction and commits it, or undoes all of it. Once
// begun, it is brought to its end: giving up in the middle would save nothing.
func (s *Store) write(ctx context.Context, do func(context.Context, *sql.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return unavailable(err)
	}
	if err := do(ctx, tx); err != nil {
		_ = tx.Rollback() // fails where SQLite has rolled back by itself, as on a full disk
		return unavailable(err)
	}
	return unavailable(tx.Commit())
}

// nextVersion is what a version becomes when something changes: it grows even
// when the clock is set back.
func (s *Store) nextVersion(version int64) int64 { return max(version+1, s.now().UnixMilli()) }
