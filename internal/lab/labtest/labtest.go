// Package labtest gives tests real servers, and links that can be broken. What a
// test gets is its own, runs on free ports beside that of other tests, and is
// ended with the test; when the test fails, the end of the server's log is shown.
//
//	func TestMain(m *testing.M) { labtest.Main(m) }
//
//	func TestRecordIsThereAfterARestart(t *testing.T) {
//		t.Parallel()
//		server := labtest.Postgres(t)                    // or, where nothing is broken:
//		link := labtest.Link(t, server.Addr())           //   dsn := labtest.Database(t)
//		open(t, lab.PostgresDSN(link.Addr(), "postgres", "postgres"))
//		labtest.Do(t, server.Kill, link.Freeze, link.Mend)
//		labtest.Start(t, server)
//	}
//
// Nothing is skipped where a server is not installed: the test fails and says
// what to install.
package labtest

import (
	"context"
	"testing"
	"time"

	"popeye/internal/lab"
)

// patience bounds what is done to a server.
const patience = 2 * time.Minute

// Redis starts a server for one test: durable (appendonly yes, appendfsync
// always, maxmemory-policy noeviction) unless options such as "--maxmemory",
// "8mb" say otherwise.
func Redis(tb testing.TB, options ...string) *lab.Redis {
	tb.Helper()
	return RedisLike(tb, lab.RedisConfig{Options: options})
}

// RedisLike starts a server for one test; see lab.RedisPrograms for those that
// are installed.
func RedisLike(tb testing.TB, cfg lab.RedisConfig) *lab.Redis {
	tb.Helper()
	ctx, cancel := limit(tb)
	defer cancel()
	server, err := lab.StartRedis(ctx, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { finish(tb, "Redis", server, server.Close) })
	return server
}

// Postgres starts a server for one test, with settings such as "fsync=off". For
// tests that do not break the server, Database costs less.
func Postgres(tb testing.TB, settings ...string) *lab.Postgres {
	tb.Helper()
	ctx, cancel := limit(tb)
	defer cancel()
	server, err := lab.StartPostgres(ctx, lab.PostgresConfig{Settings: settings})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { finish(tb, "PostgreSQL", server, server.Close) })
	return server
}

// Link makes a link to a target (host:port) for one test.
func Link(tb testing.TB, target string) *lab.Link {
	tb.Helper()
	link, err := lab.NewLink(tb.Context(), target)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { Do(tb, link.Close) })
	return link
}

// Process prepares a process for one test, which begins with its Start.
func Process(tb testing.TB, c lab.Command) *lab.Process {
	tb.Helper()
	p, err := lab.NewProcess(c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { finish(tb, c.Path, p, p.Close) })
	return p
}

// Start starts again what was killed or stopped, and waits until it is ready.
func Start(tb testing.TB, part interface {
	Start(ctx context.Context) error
},
) {
	tb.Helper()
	ctx, cancel := limit(tb)
	defer cancel()
	if err := part.Start(ctx); err != nil {
		tb.Fatal(err)
	}
}

// Do does one thing after the other, each of which must work:
// labtest.Do(tb, server.Kill, link.Cut).
func Do(tb testing.TB, steps ...func() error) {
	tb.Helper()
	for _, step := range steps {
		if err := step(); err != nil {
			tb.Fatal(err)
		}
	}
}

func limit(tb testing.TB) (context.Context, context.CancelFunc) {
	tb.Helper()
	return context.WithTimeout(tb.Context(), patience)
}

// finish shows the log of a part after a failure, and ends it.
func finish(tb testing.TB, name string, part interface{ Log() string }, end func() error) {
	tb.Helper()
	if tb.Failed() {
		tb.Logf("The log of %s ends with:\n%s", name, part.Log())
	}
	if err := end(); err != nil {
		tb.Errorf("end %s: %v", name, err)
	}
}
