package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"popeye"
)

// What PostgreSQL calls the errors that are told apart.
const (
	undefinedTable      = "42P01"
	noStatement         = "26000"
	sameStatement       = "42P05"
	notNull             = "23502"
	foreignKey          = "23503"
	serializationFailed = "40001"
	deadlock            = "40P01"
	readOnly            = "25006"
	tooManyConnections  = "53300"
	adminShutdown       = "57P01"
	crashShutdown       = "57P02"
)

// errShut says that a round took no votes any more, or was no more, when its
// ledger was to be moved: nothing was written.
var errShut = errors.New("the round is final or deleted")

// sqlState returns the code that the database gave an error, empty where it was
// not the database.
func sqlState(err error) string {
	if e := new(pgconn.PgError); errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// unavailable marks every error as popeye.ErrUnavailable that is not the
// caller's own and not one of the domain's: the database, the way to it or its
// surroundings are at fault, and that may pass.
func unavailable(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || isDomain(err) {
		return err
	}
	return fmt.Errorf("%w: %w", popeye.ErrUnavailable, err)
}

func isDomain(err error) bool {
	return slices.ContainsFunc([]error{
		popeye.ErrNotFound, popeye.ErrClosed, popeye.ErrExists, popeye.ErrUnrecordable, popeye.ErrUnavailable,
	}, func(known error) bool { return errors.Is(err, known) })
}

// isAway reports whether err says that the database cannot be reached, or takes
// nothing for now: that, and nothing else, passes by itself.
func isAway(err error) bool {
	state := sqlState(err)
	if state != "" {
		return state == readOnly || slices.Contains([]string{"08", "53", "57"}, state[:2])
	}
	connecting := new(pgconn.ConnectError)
	var network net.Error
	return errors.As(err, &connecting) || errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF) || pgconn.Timeout(err)
}

// recording translates what the recording statement fails with. Its two guards
// say that a round's end came first: NULL for the count of a ledger that is
// shut, and a new ledger for a round that is gone. Every other error of the
// classes 22 and 23 is one of the data, such as a number beyond all bounds.
func recording(err error) error {
	e := new(pgconn.PgError)
	if !errors.As(err, &e) {
		return err
	}
	switch {
	case e.Code == notNull && e.TableName == "ledgers", e.Code == foreignKey && e.TableName == "ledgers":
		return errShut
	case strings.HasPrefix(e.Code, "22"), strings.HasPrefix(e.Code, "23"):
		return fmt.Errorf("%w: the database refuses it: %w", popeye.ErrUnrecordable, err)
	default:
		return err
	}
}

// tries is how often what may be repeated at once is tried.
const tries = 5

// retry calls do again where that is sure to have done nothing and may do better
// at once: when the database chose it as the victim of a deadlock, when a round's
// end came first, when it got no further than a connection that was dead, and
// when a statement was looked for in another session.
func (s *Store) retry(ctx context.Context, do func(context.Context) error) error {
	var err error
	for i := range tries {
		err = do(ctx)
		state := sqlState(err)
		if state != deadlock && state != serializationFailed && !errors.Is(err, errShut) && !isStale(err) && !s.sessions.doubt(err) {
			return err
		}
		if wait(ctx, rand.N(time.Duration(i+1)*10*time.Millisecond)) != nil { //nolint:gosec // spreads load, guards nothing
			return err
		}
	}
	return err
}

// isStale reports whether err tells of a connection that was lost while idle.
// One that cannot be made is another matter: that takes longer to pass.
func isStale(err error) bool {
	connecting := new(pgconn.ConnectError)
	return pgconn.SafeToRetry(err) && !errors.As(err, &connecting) &&
		!errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// read calls do, which only reads, as retry does, and once more where the
// connection was lost meanwhile: others that were there before are lost as well.
func (s *Store) read(ctx context.Context, do func(context.Context) error) error {
	err := s.retry(ctx, do)
	if !isLost(err) {
		return err
	}
	s.pool.Reset()
	return s.retry(ctx, do)
}

// isLost reports whether err tells of a connection that broke, or that a server
// closed as it ended.
func isLost(err error) bool {
	connecting := new(pgconn.ConnectError)
	if err == nil || errors.As(err, &connecting) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	state := sqlState(err)
	return state == adminShutdown || state == crashShutdown || state == "" && !errors.Is(err, pgx.ErrNoRows) && !isDomain(err)
}

// wait waits for d, or until ctx is done.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
