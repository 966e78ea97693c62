package postgres

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"popeye"
	"popeye/internal/lab"
	"popeye/internal/lab/labtest"
)

const insufficientPrivilege = "42501"

// The roles of docs/postgres-roles.sql, on a server of their own: roles belong to
// no database.
type roles struct {
	worker, result, admin *Store
}

func openRoles(t *testing.T) *roles {
	t.Helper()
	server := labtest.Postgres(t, "fsync=off")
	as := func(role string) string { return lab.PostgresDSN(server.Addr(), role, "postgres") }
	grant(t, as("postgres"))
	if err := Migrate(t.Context(), as("popeye_migrate")); err != nil {
		t.Fatal(err)
	}
	grant(t, as("postgres"))
	grant(t, as("postgres")) // it may be run again
	return &roles{worker: openAt(t, as("popeye_worker")), result: openAt(t, as("popeye_result")), admin: openAt(t, as("popeye_admin"))}
}

func grant(t *testing.T, dsn string) {
	t.Helper()
	script, err := os.ReadFile("../../docs/postgres-roles.sql")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	if _, err := conn.PgConn().Exec(t.Context(), string(script)).ReadAll(); err != nil {
		t.Fatal(err)
	}
}

func TestEachRoleCanDoItsJob(t *testing.T) {
	t.Parallel()
	r := openRoles(t)
	p, q := createPoll(t, r.admin, "p", popeye.First), createPoll(t, r.admin, "q", popeye.Change)
	votes := append(newVotes(p, 0, 10), newVotes(q, 0, 10)...)
	changed := newVotes(q, 0, 1)[0]
	changed.Stamp, changed.Serial, changed.Choices = changed.Stamp+1, 2, 2
	parked := newVotes(q, 50, 1)[0]
	status := taken("a", "A", "1-0", 1)
	status.Accepted = map[int64]int64{p.Round: 10}
	for _, step := range []struct {
		what string
		do   func(ctx context.Context) error
	}{
		{"worker: Ready", r.worker.Ready},
		{"worker: Note", func(ctx context.Context) error { return r.worker.Note(ctx, status) }},
		{"worker: Lost", func(ctx context.Context) error { _, err := r.worker.Lost(ctx, status); return err }},
		{"worker: Restored", func(ctx context.Context) error { return r.worker.Restored(ctx, status) }},
		{"worker: NameVoterKey", func(ctx context.Context) error { return r.worker.NameVoterKey(ctx, "k2") }},
		{"worker: Record", func(ctx context.Context) error {
			_, err := r.worker.Record(ctx, votes, popeye.Progress{Server: "A", Worker: "w", Batch: 2})
			return err
		}},
		{"worker: Record a change", func(ctx context.Context) error {
			_, err := r.worker.Record(ctx, []popeye.Vote{changed}, popeye.Progress{})
			return err
		}},
		{"worker: Park", func(ctx context.Context) error {
			_, err := r.worker.Park(ctx, []popeye.Parked{{Vote: parked, Reason: "test"}})
			return err
		}},
		{"worker: Catalog", func(ctx context.Context) error { _, err := r.worker.Catalog(ctx); return err }},
		{"worker: Close", func(ctx context.Context) error { return r.worker.Close(ctx, p.Round) }},
		{"worker: Seal", func(ctx context.Context) error {
			_, err := r.worker.Seal(ctx, popeye.Seal{Round: p.Round, Place: "a", Server: "A", Places: []string{"a"}, Enough: 1})
			return err
		}},
		{"worker: Certify", r.worker.Certify},
		{"worker: Record what is late", func(ctx context.Context) error {
			_, err := r.worker.Record(ctx, newVotes(p, 90, 1), popeye.Progress{})
			return err
		}},
		{"worker: Verify", func(ctx context.Context) error { _, err := r.worker.Verify(ctx, func(int64, int64) {}); return err }},
		{"worker: Missing", func(ctx context.Context) error { _, err := r.worker.Missing(ctx, votes); return err }},
		{"worker: Ring", func(ctx context.Context) error { return newBell(t, r.worker).Ring(ctx, "p") }},
		{"result: Ready", r.result.Ready},
		{"result: Tally", func(ctx context.Context) error { _, err := r.result.Tally(ctx, "p"); return err }},
		{"result: Find", func(ctx context.Context) error {
			_, counted := r.result.Find(ctx, votes[0].Voter.Receipt())
			_, rejected := r.result.Find(ctx, parked.Voter.Receipt())
			return errors.Join(counted, rejected)
		}},
		{"result: Receipts", func(ctx context.Context) error { return r.result.Receipts(ctx, "p", func(string) error { return nil }) }},
		{"result: Lag", func(ctx context.Context) error { _, err := r.result.Lag(ctx); return err }},
		{"result: Listen", func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			b := newBell(t, r.result)
			if _, err := b.versions(ctx); err != nil {
				return err
			}
			return b.Listen(ctx, func(string) { cancel() })
		}},
		{"admin: Ready", r.admin.Ready},
		{"admin: Catalog", func(ctx context.Context) error { _, err := r.admin.Catalog(ctx); return err }},
		{"admin: Tally", func(ctx context.Context) error { _, err := r.admin.Tally(ctx, "p"); return err }},
		{"admin: Parked", func(ctx context.Context) error { _, err := r.admin.Parked(ctx); return err }},
		{"admin: Retry", func(ctx context.Context) error {
			if got, err := r.admin.Retry(ctx, q.Round); err != nil || got.Stored != 1 {
				return errors.Join(err, errors.New("it recorded nothing"))
			}
			return nil
		}},
		{"admin: Drop", func(ctx context.Context) error { _, err := r.admin.Drop(ctx, p.Round); return err }},
		{"admin: Close", func(ctx context.Context) error { return r.admin.Close(ctx, q.Round) }},
		{"admin: Declare", func(ctx context.Context) error { _, err := r.admin.Declare(ctx, "q"); return err }},
		{"admin: Open", func(ctx context.Context) error { _, err := r.admin.Open(ctx, "q"); return err }},
		{"admin: Apply", func(ctx context.Context) error {
			changed := testPoll("q", popeye.Change)
			changed.Question = "??"
			_, _, err := r.admin.Apply(ctx, changed, popeye.Open)
			return err
		}},
		{"admin: Delete", func(ctx context.Context) error { return r.admin.Delete(ctx, "p") }},
		{"admin: Ring", func(ctx context.Context) error { return newBell(t, r.admin).Ring(ctx, "p") }},
	} {
		if err := step.do(t.Context()); err != nil {
			t.Errorf("%s: %v", step.what, err)
		}
	}
}

func TestNoRoleCanDoMore(t *testing.T) {
	t.Parallel()
	r := openRoles(t)
	record(t, r.worker, newVotes(createPoll(t, r.admin, "p", popeye.First), 0, 1)...)
	for _, c := range []struct {
		role       *Store
		name       string
		statements string
	}{
		{r.result, "result", `SELECT choices FROM votes; SELECT prev FROM votes; SELECT * FROM votes; SELECT choices FROM parked;
			INSERT INTO polls VALUES ('x', 1, 1, '{}'); UPDATE ledgers SET total = 1; UPDATE tallies SET votes = 1;
			UPDATE rounds SET state = 'final'; UPDATE places SET pending = 0; DELETE FROM votes; DELETE FROM parked;
			DELETE FROM polls; INSERT INTO progress VALUES ('a', 'b', '{}'); UPDATE catalog SET version = 1; SELECT * FROM seals`},
		{r.worker, "worker", `DELETE FROM votes; DELETE FROM polls; INSERT INTO polls VALUES ('x', 1, 1, '{}');
			UPDATE polls SET definition = '{}'; UPDATE polls SET round = 2; UPDATE rounds SET options = 9; UPDATE rounds SET incomplete = true;
			DELETE FROM rounds; INSERT INTO rounds VALUES (1); DELETE FROM tallies; DELETE FROM parked; UPDATE parked SET dropped = true;
			SELECT choices FROM parked; DELETE FROM ledgers; DELETE FROM seals; UPDATE seals SET standing = 'eligible'`},
		{r.admin, "admin", `INSERT INTO places VALUES ('a'); UPDATE places SET recorded = '0'; INSERT INTO seals VALUES (1, 'a', 'b');
			DELETE FROM progress; DELETE FROM rounds; DELETE FROM ledgers; INSERT INTO parked VALUES (1); INSERT INTO catalog VALUES (true)`},
	} {
		const schema = `; ALTER TABLE votes ADD COLUMN x int; DROP TABLE votes; TRUNCATE votes; CREATE TABLE x (); CREATE INDEX ON votes (stamp);
			UPDATE popeye_migrations SET is_applied = false; CREATE ROLE x`
		for statement := range strings.SplitSeq(c.statements+schema, ";") {
			if _, err := c.role.pool.Exec(t.Context(), statement); sqlState(err) != insufficientPrivilege {
				t.Errorf("%s may %s: %v", c.name, strings.TrimSpace(statement), err)
			}
		}
	}
}
