package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var embedded embed.FS

const (
	// versionTable says which migrations were made.
	versionTable = "popeye_migrations"
	// migrationLock is held by whoever migrates: "Popeye".
	migrationLock = 0x506f70657965
	// migrateWithin bounds Migrate, its waiting for others included.
	migrateWithin = 10 * time.Minute
)

// Migrate brings the database's schema up to what this version of Popeye needs.
// A schema that is there already, or a newer one, is left alone. Any number of
// processes may call it at the same time: one does it, the others wait, also for
// a connection where there are more of them than the database takes.
//
// The DSN must lead to the database itself: what holds the others back is bound
// to a session. Where the database is away, it fails with an error that wraps
// popeye.ErrUnavailable.
func Migrate(ctx context.Context, dsn string) error {
	ctx, cancel := context.WithTimeout(ctx, migrateWithin)
	defer cancel()
	for {
		err := migrate(ctx, dsn)
		if err == nil {
			return nil
		}
		if isAway(err) {
			err = unavailable(err)
		}
		if sqlState(err) != tooManyConnections || wait(ctx, rand.N(time.Second)) != nil { //nolint:gosec // spreads load, guards nothing
			return fmt.Errorf("migrate the database: %w", err)
		}
	}
}

func migrate(ctx context.Context, dsn string) (err error) {
	cfg, err := poolConfig(dsn)
	if err != nil {
		return err
	}
	db := stdlib.OpenDB(*cfg.ConnConfig)
	db.SetMaxOpenConns(1)
	defer func() { err = errors.Join(err, db.Close()) }()
	if done, err := isMigrated(ctx, db); done || err != nil {
		return err
	}
	locker, err := lock.NewPostgresSessionLocker(
		lock.WithLockID(migrationLock), lock.WithLockTimeout(1, uint64(migrateWithin/time.Second)))
	if err != nil {
		return err
	}
	scripts, err := fs.Sub(embedded, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, scripts,
		goose.WithTableName(versionTable), goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

// isMigrated reports whether there is nothing to do, and fails where nothing can
// be done.
func isMigrated(ctx context.Context, db *sql.DB) (bool, error) {
	var encoding string
	if err := db.QueryRowContext(ctx, "SHOW server_encoding").Scan(&encoding); err != nil {
		return false, err
	}
	if encoding != "UTF8" {
		return false, fmt.Errorf("the database is encoded in %s; create one WITH ENCODING 'UTF8' TEMPLATE template0", encoding)
	}
	newest, err := newestMigration()
	if err != nil {
		return false, err
	}
	var version int64
	err = db.QueryRowContext(ctx, selectVersion).Scan(&version)
	if sqlState(err) == undefinedTable {
		return false, nil
	}
	return version >= newest, err
}

const selectVersion = "SELECT coalesce(max(version_id) FILTER (WHERE is_applied), 0) FROM " + versionTable

// newestMigration returns the number of the last migration that this version of
// Popeye knows.
func newestMigration() (int64, error) {
	names, err := fs.Glob(embedded, "migrations/*.sql")
	if err != nil || len(names) == 0 {
		return 0, fmt.Errorf("list the migrations: %w", err)
	}
	return goose.NumericComponent(names[len(names)-1])
}
