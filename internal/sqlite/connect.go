package sqlite

import (
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"modernc.org/sqlite"
)

// readers bounds the connections that read: results, definitions, marks.
const readers = 4

// openWriter opens the one connection that writes, on a file that is created
// when missing. Its transactions take the write lock at once, so that none can
// fail in its middle because another program writes too.
func openWriter(path string) (*sql.DB, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	return connect(path, 1, url.Values{
		"_txlock": {"immediate"},
		"_pragma": {
			"busy_timeout(5000)",
			"journal_mode(WAL)",
			"synchronous(FULL)", // an acknowledged vote is on the disk,
			"fullfsync(ON)",     // which macOS takes to mean more than its cache
			"foreign_keys(ON)",
			// 16 MiB of log: votes land on pages all over the file, and what is
			// written twice between two checkpoints is copied once.
			"wal_autocheckpoint(4000)",
			"cache_size(-4096)", // KiB; room for the pages of a large batch
		},
	})
}

// openReader opens the connections that only read.
func openReader(path string) (*sql.DB, error) {
	return connect(path, readers, url.Values{
		"mode":    {"ro"},
		"_pragma": {"busy_timeout(5000)", "cache_size(-1024)"},
	})
}

func connect(path string, most int, options url.Values) (*sql.DB, error) {
	connector, err := sqlite.NewConnector(fileURL(path, options))
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(most)
	db.SetMaxIdleConns(most) // an open connection keeps its statements
	return db, nil
}

// fileURL names an absolute path in the way SQLite reads it, whatever signs
// are in it and however the system writes paths.
func fileURL(path string, options url.Values) string {
	path = "/" + strings.TrimPrefix(filepath.ToSlash(path), "/")
	return (&url.URL{Scheme: "file", Path: path, RawQuery: options.Encode()}).String()
}
