package postgres

import (
	"context"
	"errors"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"popeye"
	"popeye/internal/lab"
	"popeye/internal/lab/labtest"
)

// Many first starts at once, on a server that takes fewer connections than there
// are of them: none fails, and one migrates.
func TestManyFirstStartsAtOnceAllSucceed(t *testing.T) {
	t.Parallel()
	server := labtest.Postgres(t, "fsync=off", "max_connections=20")
	dsn := server.DSN("postgres")
	var g errgroup.Group
	for range 60 {
		g.Go(func() error { return Migrate(t.Context(), dsn) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	s := openAt(t, dsn)
	if n := count1(t, s, "SELECT count(*) FROM "+versionTable+" WHERE version_id = 1"); n != 1 {
		t.Errorf("the first migration was made %d times", n)
	}
	createPoll(t, s, "p", popeye.First)
}

func TestReadyTellsWhatIsMissing(t *testing.T) {
	t.Parallel()
	dsn := labtest.Database(t)
	s := openAt(t, dsn)
	err := s.Ready(t.Context())
	if !errors.Is(err, popeye.ErrUnavailable) || !strings.Contains(err.Error(), "schema is at 0, this version needs 1: run popeye migrate") {
		t.Errorf("Ready without a schema = %v", err)
	}
	if _, err := s.Record(t.Context(), newVotes(popeye.Definition{Round: 1}, 0, 1), popeye.Progress{}); !errors.Is(err, popeye.ErrUnavailable) {
		t.Errorf("Record without a schema = %v; want ErrUnavailable", err)
	}
	if err := Migrate(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("Ready = %v", err)
	}
}

// Migrations only expand: what is there works with the code of the release
// before, too.
func TestANewerSchemaIsFine(t *testing.T) {
	t.Parallel()
	dsn := labtest.Database(t)
	s := openMigrated(t, dsn)
	if _, err := s.pool.Exec(t.Context(), "INSERT INTO "+versionTable+" (version_id, is_applied) VALUES (99, true)"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Ready(t.Context()), Migrate(t.Context(), dsn)); err != nil {
		t.Error(err)
	}
}

func TestADatabaseThatIsAwayIsNoReasonToEnd(t *testing.T) {
	t.Parallel()
	port, err := lab.NewPort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { labtest.Do(t, port.Close) })
	dsn := lab.PostgresDSN(port.Addr(), "postgres", "popeye")
	s := openAt(t, dsn)
	_, tally := s.Tally(t.Context(), "p")
	_, recorded := s.Record(t.Context(), newVotes(popeye.Definition{Round: 1}, 0, 1), popeye.Progress{})
	for what, err := range map[string]error{
		"Migrate": Migrate(t.Context(), dsn), "Ready": s.Ready(t.Context()), "Tally": tally, "Record": recorded,
	} {
		if !errors.Is(err, popeye.ErrUnavailable) {
			t.Errorf("%s = %v; want ErrUnavailable", what, err)
		}
	}
}

func TestADatabaseInAnotherEncodingIsRefused(t *testing.T) {
	t.Parallel()
	server := labtest.Postgres(t, "fsync=off")
	if err := server.Exec(t.Context(), "postgres", "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0"); err != nil {
		t.Fatal(err)
	}
	err := Migrate(t.Context(), server.DSN("latin"))
	if err == nil || errors.Is(err, popeye.ErrUnavailable) || !strings.Contains(err.Error(), "LATIN1") {
		t.Errorf("Migrate = %v; want it to refuse LATIN1, for good", err)
	}
}

func TestAnAddressIsNeverToldWithItsPassword(t *testing.T) {
	t.Parallel()
	for _, dsn := range []string{
		"postgres://user:hidden@host:port/", "postgres://user:hid den@[::/", "host=h password=hidden sslmode=odd",
		"postgres://user:hidden@127.0.0.1:1/x?connect_timeout=1&sslmode=disable",
	} {
		s, opened := Open(t.Context(), Config{DSN: dsn})
		if opened == nil {
			s.Shutdown()
		}
		for _, err := range []error{opened, Migrate(context.WithoutCancel(t.Context()), dsn)} {
			if err != nil && (strings.Contains(err.Error(), "hid") || strings.Contains(err.Error(), " den")) {
				t.Errorf("the error says %v", err)
			}
		}
	}
}
