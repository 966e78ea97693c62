package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"math/bits"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite" // the driver
)

// insertFloor is the least that can put votes on the disk: Popeye's own INSERT
// into a table like Popeye's, for whoever waits, in one transaction after the
// other, each on disk before those who waited go on.
type insertFloor struct {
	db *sql.DB
	// statements insert 1, 2, 4 ... rows.
	statements []*sql.Stmt
	waiting    chan row
}

// row is a vote that waits to be on disk.
type row struct {
	voter []byte
	done  chan error
}

const mostRows = 128

const votesTable = `CREATE TABLE votes (
	round INTEGER NOT NULL, voter BLOB NOT NULL, choices INTEGER NOT NULL, prev INTEGER NOT NULL,
	stamp INTEGER NOT NULL, serial INTEGER NOT NULL, PRIMARY KEY (round, voter)) STRICT, WITHOUT ROWID`

const insertVotes = "INSERT OR IGNORE INTO votes (round, voter, choices, prev, stamp, serial) VALUES (?, ?, ?, 0, ?, ?)"

// insertsPerSecond runs the floor with so many voters at a time.
func insertsPerSecond(ctx context.Context, dir string, voters int, d time.Duration) (float64, error) {
	f, err := openInsertFloor(ctx, dir, voters)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.db.Close() }()
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var inserted atomic.Int64
	var work sync.WaitGroup
	for range voters {
		work.Go(func() { f.vote(ctx, &inserted) })
	}
	begin := time.Now()
	if err := f.commitAll(ctx); err != nil {
		return 0, err
	}
	work.Wait()
	return float64(inserted.Load()) / time.Since(begin).Seconds(), nil
}

func openInsertFloor(ctx context.Context, dir string, voters int) (*insertFloor, error) {
	options := url.Values{
		"_txlock": {"immediate"},
		"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "wal_autocheckpoint(4000)", "cache_size(-8192)"},
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "floor.db")+"?"+options.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	f := &insertFloor{db: db, waiting: make(chan row, voters)}
	if _, err := db.ExecContext(ctx, votesTable); err != nil {
		return nil, err
	}
	for n := 1; n <= mostRows; n *= 2 {
		s, err := db.PrepareContext(ctx, insertVotes+strings.Repeat(", (?, ?, ?, 0, ?, ?)", n-1)) //nolint:sqlclosecheck // with the database
		if err != nil {
			return nil, fmt.Errorf("prepare for %d rows: %w", n, err)
		}
		f.statements = append(f.statements, s)
	}
	return f, nil
}

// vote inserts new voters one after the other until ctx is done.
func (f *insertFloor) vote(ctx context.Context, inserted *atomic.Int64) {
	done := make(chan error, 1)
	for ctx.Err() == nil {
		voter := make([]byte, 16)
		rand.Read(voter)
		select {
		case f.waiting <- row{voter, done}:
		case <-ctx.Done():
			return
		}
		select {
		case err := <-done:
			if err == nil {
				inserted.Add(1)
			}
		case <-ctx.Done():
			return
		}
	}
}

// commitAll commits what waits, again and again until ctx is done.
func (f *insertFloor) commitAll(ctx context.Context) error {
	for {
		var batch []row
		select {
		case r := <-f.waiting:
			batch = append(batch, r)
		case <-ctx.Done():
			return nil
		}
		for range len(f.waiting) {
			batch = append(batch, <-f.waiting)
		}
		slices.SortFunc(batch, func(a, b row) int { return bytes.Compare(a.voter, b.voter) })
		err := f.commit(context.WithoutCancel(ctx), batch)
		for _, r := range batch {
			r.done <- err
		}
		if err != nil {
			return err
		}
	}
}

func (f *insertFloor) commit(ctx context.Context, batch []row) error {
	tx, err := f.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	for len(batch) > 0 {
		i := min(bits.Len(uint(len(batch))), len(f.statements)) - 1
		n := 1 << i
		args := make([]any, 0, n*5)
		for _, r := range batch[:n] {
			args = append(args, 1, r.voter, 1, time.Now().UnixMicro(), 1)
		}
		insert := tx.StmtContext(ctx, f.statements[i]) //nolint:sqlclosecheck // with the transaction
		if _, err := insert.ExecContext(ctx, args...); err != nil {
			return err
		}
		batch = batch[n:]
	}
	return tx.Commit()
}
