package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"popeye"
)

const (
	// lookEvery is how often the versions of all polls are looked at, for rings
	// that were not heard.
	lookEvery = time.Second
	// quietFor is how long a connection may be silent before it is asked whether
	// it is still there.
	quietFor = 5 * time.Second
	// firstPause and longestPause bound the time between two tries to connect.
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
)

// Listen calls heard with popeye.EveryPoll as soon as it hears, at first and
// whenever it does so again, and then for each poll that is rung for, until ctx
// is done; then it returns nil, and heard is not called again. It may be called
// by several goroutines at the same time, and must only take note.
//
// Rings are heard on a connection of its own. They are not where the DSN leads to
// a pool that gives each transaction another session, and while that connection
// is broken. So it also looks, every second, which polls' results have another
// version.
func (b *Bell) Listen(ctx context.Context, heard func(poll string)) error {
	var ears sync.WaitGroup
	ears.Go(func() { b.look(ctx, heard) })
	defer ears.Wait()
	pause := firstPause
	for {
		hearing := false
		err := b.hear(ctx, func(poll string) {
			hearing = true
			heard(poll)
		})
		if ctx.Err() != nil {
			return nil
		}
		level := slog.LevelDebug // one that goes on is told once
		if hearing || pause == firstPause {
			level, pause = slog.LevelWarn, firstPause
		}
		b.log.Log(ctx, level, "the bell is not heard and will be listened to again", "error", err)
		_ = wait(ctx, pause/2+rand.N(pause/2)) //nolint:gosec // spreads load, guards nothing
		pause = min(2*pause, longestPause)
	}
}

// hear listens on one connection until it is lost.
func (b *Bell) hear(ctx context.Context, heard func(poll string)) error {
	conn, err := pgx.ConnectConfig(ctx, b.store.pool.Config().ConnConfig)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), pongWithin)
		defer cancel()
		_ = conn.Close(within) // nobody is left who could use it
	}()
	if err := execWithin(ctx, conn, "LISTEN "+channel); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	heard(popeye.EveryPoll)
	for {
		poll, err := next(ctx, conn)
		if err != nil {
			return err
		}
		if ctx.Err() == nil && poll != popeye.EveryPoll {
			heard(poll)
		}
	}
}

// next returns the next poll that is rung for, or popeye.EveryPoll when all is
// quiet but the connection is there.
func next(ctx context.Context, conn *pgx.Conn) (string, error) {
	within, cancel := context.WithTimeout(ctx, quietFor)
	defer cancel()
	n, err := conn.WaitForNotification(within)
	if err == nil {
		return n.Payload, nil
	}
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		err = execWithin(ctx, conn, "SELECT 1")
	}
	if err != nil {
		return "", fmt.Errorf("wait for a ring: %w", err)
	}
	return popeye.EveryPoll, nil
}

func execWithin(ctx context.Context, conn *pgx.Conn, statement string) error {
	within, cancel := context.WithTimeout(ctx, pongWithin)
	defer cancel()
	_, err := conn.Exec(within, statement)
	return err
}

// look calls heard for each poll that came, went or has another version than
// the last time, until ctx is done. What was before the first time nobody knows.
func (b *Bell) look(ctx context.Context, heard func(poll string)) {
	var before map[string]int64
	for ctx.Err() == nil {
		now, err := b.versions(ctx)
		if err == nil && ctx.Err() == nil { // whoever shows results finds out about an error too
			for _, poll := range changed(before, now) {
				heard(poll)
			}
			before = now
		}
		_ = wait(ctx, lookEvery)
	}
}

func changed(before, now map[string]int64) []string {
	if before == nil {
		return []string{popeye.EveryPoll}
	}
	var polls []string
	for poll, version := range now {
		if before[poll] != version {
			polls = append(polls, poll)
		}
	}
	for poll := range before {
		if _, ok := now[poll]; !ok {
			polls = append(polls, poll)
		}
	}
	return polls
}

// versions returns the version of every poll's result.
func (b *Bell) versions(ctx context.Context) (map[string]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, ringWithin)
	defer cancel()
	rows, err := b.store.pool.Query(ctx, "SELECT id, shown FROM polls JOIN ledgers USING (round)")
	if err != nil {
		return nil, err
	}
	versions := make(map[string]int64)
	var poll string
	var version int64
	_, err = pgx.ForEachRow(rows, []any{&poll, &version}, func() error {
		versions[poll] = version
		return nil
	})
	return versions, err
}
