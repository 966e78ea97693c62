package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
)

// Whoever starts Popeye waits for the check, so it does what tens of
// milliseconds allow. Damage that it misses fails whatever comes upon it.
const (
	// SQLite takes a file of one byte for an empty one.
	emptySize = 1
	// A file up to this size is checked in full.
	fullCheckSize = 4 << 20
	// Up to this size, some millions of votes, every page is looked at.
	pageCheckSize = 256 << 20
)

// errDamaged marks what a check found wrong with a file's content.
var errDamaged = errors.New("it is damaged")

// check refuses a file that Popeye cannot or must not write to. It only reads,
// and leaves nothing beside the file.
func check(ctx context.Context, path string) error {
	size, log := sizeOf(path), sizeOf(path+"-wal")
	if size <= emptySize && log > 0 {
		return fmt.Errorf("%s is missing, but the log that belongs to it is there, with votes in it: "+
			"put the file back beside it, or move %s-wal away to start empty", path, path)
	}
	if size <= emptySize || sizeOf(path+"-journal") > 0 {
		return nil // new, or killed in the first moment of its life, which SQLite undoes
	}
	if log > 0 {
		return checkWithLog(ctx, path, size)
	}
	// Immutable: SQLite makes no file and takes no lock.
	return checkFile(ctx, path, size, url.Values{"mode": {"ro"}, "immutable": {"1"}})
}

// checkWithLog checks a file whose last user was killed: it is whole only
// together with its log. SQLite reads that through an index, a file that it
// may have to make; a refusal takes it away again.
func checkWithLog(ctx context.Context, path string, size int64) error {
	index := path + "-shm"
	_, before := os.Stat(index)
	err := checkFile(ctx, path, size, url.Values{"mode": {"ro"}})
	if err != nil && errors.Is(before, os.ErrNotExist) {
		_ = os.Remove(index) // the refusal says more than a failure to tidy up
	}
	return err
}

func checkFile(ctx context.Context, path string, size int64, options url.Values) error {
	db, err := connect(path, 1, options)
	if err != nil {
		return err
	}
	err = checkIdentity(ctx, db)
	if err == nil {
		err = checkContent(ctx, db, size)
	}
	err = errors.Join(err, db.Close())
	if damaged(err) || errors.Is(err, errDamaged) {
		return fmt.Errorf("%s cannot be used (%w). It was left as it is: "+
			"put a backup in its place, or move it away to start empty", path, err)
	}
	if err != nil {
		return fmt.Errorf("check %s: %w", path, err)
	}
	return nil
}

func checkIdentity(ctx context.Context, db *sql.DB) error {
	known, err := steps(migrations())
	if err != nil {
		return err
	}
	var application, version, tables int
	err = db.QueryRowContext(ctx, `SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)
		FROM pragma_application_id, pragma_user_version`).Scan(&application, &version, &tables)
	switch {
	case err != nil:
		return err
	case tables == 0:
		return nil // made, but killed before its first migration
	case application != applicationID:
		return errors.New("it is the database of another program: choose another --data folder")
	case version > len(known):
		return fmt.Errorf("a newer Popeye has written it (schema %d; this one knows %d): use that one", version, len(known))
	default:
		return nil
	}
}

func checkContent(ctx context.Context, db *sql.DB, size int64) error {
	if size <= fullCheckSize {
		return pragma(ctx, db, "integrity_check(1)")
	}
	for _, table := range []string{"polls", "rounds", "tallies"} {
		if err := pragma(ctx, db, "integrity_check("+table+")"); err != nil {
			return err
		}
	}
	if size > pageCheckSize {
		return nil
	}
	// Counting visits every page of a table and reads none of its rows: a
	// hundredth of a second for a million votes.
	var rows int64
	return db.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM votes) + (SELECT count(*) FROM parked)").Scan(&rows)
}

// pragma runs a check of SQLite's own and reports its first finding.
func pragma(ctx context.Context, db *sql.DB, check string) error {
	var finding string
	if err := db.QueryRowContext(ctx, "PRAGMA "+check).Scan(&finding); err != nil {
		return err
	}
	if finding != "ok" {
		return fmt.Errorf("%w: %s", errDamaged, finding)
	}
	return nil
}

// sizeOf returns the size of a file, zero when there is none. Why it cannot be
// read, opening it will tell.
func sizeOf(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}
