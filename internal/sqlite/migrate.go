package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
)

// applicationID is what the first migration writes into the file's header.
const applicationID = 0x506f7079

//go:embed migrations/*.sql
var embedded embed.FS

// migrations returns the steps from an empty file to today's schema, in the
// order of their names. The schema's version is how many were taken.
func migrations() fs.FS { return embedded }

// steps lists the migrations in fsys in their order.
func steps(fsys fs.FS) ([]string, error) {
	names, err := fs.Glob(fsys, "migrations/*.sql")
	if err != nil {
		return nil, fmt.Errorf("list the migrations: %w", err)
	}
	return names, nil
}

// migrate takes the steps that the database has not taken yet, each in a
// transaction together with the note that it was taken.
func migrate(ctx context.Context, db *sql.DB, fsys fs.FS) error {
	var taken int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&taken); err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	names, err := steps(fsys)
	if err != nil {
		return err
	}
	for i, name := range names {
		if i < taken {
			continue
		}
		if err := take(ctx, db, fsys, name, i+1); err != nil {
			return fmt.Errorf("migrate the database with %s: %w", name, err)
		}
	}
	return nil
}

func take(ctx context.Context, db *sql.DB, fsys fs.FS, name string, version int) error {
	script, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // no more than a formality after Commit
	if _, err := tx.ExecContext(ctx, string(script)); err != nil {
		return err
	}
	// A PRAGMA takes no parameters.
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", version)); err != nil {
		return err
	}
	return tx.Commit()
}
