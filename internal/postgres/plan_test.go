package postgres

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"popeye"
)

// Whatever the database takes the table of votes to be like, and it may know
// nothing of it yet, recording and looking up must not read it from one end to
// the other, nor compile anything first.
func TestPlansDoNotDependOnWhatIsKnownOfTheVotes(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	d := createPoll(t, s, "p", popeye.Change)
	for n := range 20 {
		record(t, s, newVotes(d, n*1000, 1000)...)
	}
	c := columnsOf(newVotes(d, 19_500, 1000))
	now, rounds := s.now().UnixMilli(), []int64{d.Round}
	for _, analyzed := range []bool{false, true} {
		if analyzed {
			if _, err := s.pool.Exec(t.Context(), "ANALYZE"); err != nil {
				t.Fatal(err)
			}
		}
		for name, q := range map[string]struct {
			sql  string
			args []any
		}{
			"record": {recordVotes, []any{c.rounds, c.voters, c.choices, c.stamps, c.serials, c.unconfirmed, rounds, now, []string{"s"}, []string{"w"}, []int64{1}}},
			"park": {parkVotes, []any{
				c.rounds, c.voters, c.choices, c.stamps, c.serials, c.unconfirmed,
				rounds, make([]string, len(c.rounds)), true, now,
			}},
			"missing": {missingVotes, []any{c.rounds, c.voters, c.choices, c.stamps, c.serials, c.unconfirmed}},
		} {
			plan := explain(t, s, q.sql, q.args...)
			if strings.Contains(plan, "Seq Scan on votes") || strings.Contains(plan, "JIT") {
				t.Errorf("%s, analyzed %v, is planned as\n%s", name, analyzed, plan)
			}
		}
	}
}

func explain(t *testing.T, s *Store, sql string, args ...any) string {
	t.Helper()
	conn, err := s.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	// As in a session that is not one's own.
	if _, err := conn.Exec(t.Context(), "RESET enable_seqscan; RESET jit"); err != nil {
		t.Fatal(err)
	}
	rows, err := conn.Query(t.Context(), "EXPLAIN "+sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// A session of one's own keeps its plans. They were made when there was next to
// nothing in the table, which then grows.
func TestAPlanThatIsKeptIsOneForATableOfAnySize(t *testing.T) {
	t.Parallel()
	s := openNew(t)
	if mode := s.sessions.mode(); mode != pgx.QueryExecModeCacheDescribe {
		t.Fatalf("before anything is known of the sessions, statements run in mode %s", mode)
	}
	d := createPoll(t, s, "p", popeye.First)
	if mode := s.sessions.mode(); mode != pgx.QueryExecModeCacheStatement {
		t.Fatalf("on sessions of its own, statements run in mode %s", mode)
	}
	for n := range 20 {
		record(t, s, newVotes(d, n, 1)...)
		if _, err := s.pool.Exec(t.Context(), "VACUUM ANALYZE votes"); err != nil && n == 0 {
			t.Fatal(err)
		}
	}
	read := func() int64 {
		if _, err := s.pool.Exec(t.Context(), "SELECT pg_stat_force_next_flush()"); err != nil && sqlState(err) != "42883" { // new in 15
			t.Fatal(err)
		}
		return count1(t, s, "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'votes'")
	}
	before := read()
	for n := range 5 {
		record(t, s, newVotes(d, 1000*(n+1), 1000)...)
	}
	until(t, "the statistics are there", func() bool {
		return read() >= 0 && count1(t, s, "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'votes'") >= 5000
	})
	if n := read() - before; n > 5000 {
		t.Errorf("recording 5000 votes read the rows of %d", n)
	}
}
