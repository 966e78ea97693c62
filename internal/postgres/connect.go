package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// defaultConns bounds the connections of one process. Databases allow few.
	defaultConns = 6
	// connectWithin bounds how long a new connection may take, and pongWithin how
	// long one that was idle may take to show that it is still there.
	connectWithin = 5 * time.Second
	pongWithin    = 2 * time.Second
)

// errDSN stands for all that can be wrong with a DSN: saying more might tell the
// password in it.
var errDSN = errors.New("it is not one of PostgreSQL, such as postgres://user:password@host:5432/database")

// poolConfig reads a DSN. Its connections work where it leads to a pool that
// gives each transaction another session: statements have no names, and what a
// statement takes and returns is asked once and remembered on this side.
func poolConfig(dsn string) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("read the database's address: %w", errDSN)
	}
	if !strings.Contains(dsn, "pool_max_conns") {
		cfg.MaxConns = defaultConns
	}
	cfg.PingTimeout = pongWithin
	cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	if cfg.ConnConfig.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = connectWithin
	}
	if cfg.ConnConfig.RuntimeParams["application_name"] == "" {
		cfg.ConnConfig.RuntimeParams["application_name"] = "popeye"
	}
	return cfg, nil
}

// begin begins a transaction of several steps. Between two of them it may hold
// what others wait for. So when whoever has begun it dies, sleeps or is cut off,
// the database ends it.
const begin = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '5s'"

// inTx runs do in a transaction of several steps, and commits it unless do fails.
func (s *Store) inTx(ctx context.Context, do func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{BeginQuery: begin}, do)
}

// sessions tells whether connections have sessions of their own, so that a
// statement can be planned once and used often. Planning the one that records
// costs as much as a hundred votes.
type sessions struct {
	own, shared atomic.Bool
}

// mode returns how to run a statement that is run often.
func (s *sessions) mode() pgx.QueryExecMode {
	if s.own.Load() && !s.shared.Load() {
		return pgx.QueryExecModeCacheStatement
	}
	return pgx.QueryExecModeCacheDescribe
}

// ask finds out about a new connection. A pool answers with the number of the
// session that it has just taken, which is not the one that it gave this
// connection.
//
// A plan that is kept must not depend on how large a table was when it was made.
// So a session of one's own goes by indexes.
func (s *sessions) ask(ctx context.Context, conn *pgx.Conn) error {
	var pid uint32
	if err := conn.QueryRow(ctx, "SELECT pg_backend_pid()", pgx.QueryExecModeSimpleProtocol).Scan(&pid); err != nil {
		return fmt.Errorf("ask for the session: %w", err)
	}
	if pid != conn.PgConn().PID() {
		s.shared.Store(true)
		return nil
	}
	if _, err := conn.Exec(ctx, "SET enable_seqscan = off; SET jit = off"); err != nil {
		return fmt.Errorf("set up the session: %w", err)
	}
	s.own.Store(true)
	return nil
}

// doubt notes from what a statement failed with that a connection has no session
// of its own after all.
func (s *sessions) doubt(err error) bool {
	state := sqlState(err)
	if state != noStatement && state != sameStatement {
		return false
	}
	s.shared.Store(true)
	return true
}
