package lab_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"popeye/internal/lab"
)

func TestRedisKeepsWhatItHasAcknowledgedUntilItIsWiped(t *testing.T) {
	t.Parallel()
	server, err := lab.StartRedis(t.Context(), lab.RedisConfig{Options: []string{"--maxmemory", "64mb"}})
	if err != nil {
		t.Fatal(err)
	}
	defer do(t, server.Close)
	ask := func(command, want string) {
		t.Helper()
		c := call(t, server.Addr())
		c.say(command)
		c.hear(want + "\r")
	}
	start := func() error { return server.Start(t.Context()) }
	ask("SET vote a", "+OK")
	do(t, server.Kill, start)
	ask("EXISTS vote", ":1")
	do(t, server.Pause, server.Resume)
	ask("EXISTS vote", ":1")
	do(t, server.Stop, start)
	ask("EXISTS vote", ":1")
	do(t, server.Wipe, start)
	ask("EXISTS vote", ":0")

	c := call(t, server.Addr())
	c.say("CONFIG GET maxmemory")
	for _, line := range []string{"*2", "$9", "maxmemory", "$8", "67108864"} {
		c.hear(line + "\r")
	}
	if !strings.HasPrefix(server.URL(), "redis://127.0.0.1:") {
		t.Errorf("its URL is %s", server.URL())
	}
}

func TestRedisWithAnOptionThatItDoesNotKnowSaysSo(t *testing.T) {
	t.Parallel()
	_, err := lab.StartRedis(t.Context(), lab.RedisConfig{Options: []string{"--no-such-thing", "yes"}})
	if err == nil || !strings.Contains(err.Error(), "no-such-thing") {
		t.Errorf("the start says %v", err)
	}
}

func TestPostgresKeepsWhatItHasCommitted(t *testing.T) {
	t.Parallel()
	server, err := lab.StartPostgres(t.Context(), lab.PostgresConfig{Settings: []string{"work_mem=1MB"}})
	if err != nil {
		t.Fatal(err)
	}
	defer do(t, server.Close)
	run := func(database, statement string) func() error {
		return func() error { return server.Exec(t.Context(), database, statement) }
	}
	start := func() error { return server.Start(t.Context()) }
	const name = `it's "odd"`
	do(t,
		func() error { return server.CreateDatabase(t.Context(), name) },
		run(name, "CREATE TABLE votes (n int); INSERT INTO votes VALUES (1)"),
		server.Kill, start, run(name, "INSERT INTO votes SELECT 1/n FROM votes"),
		server.Pause, server.Resume, run(name, "SELECT n FROM votes"),
		server.Stop, start, run(name, "DO $$ BEGIN ASSERT (SELECT count(*) FROM votes) = 2; ASSERT current_setting('work_mem') = '1MB'; END $$"),
	)
	for _, c := range []struct{ database, statement, complaint string }{
		{name, "SELECT 1/0", "22012"},
		{name, "SELECT * FROM nothing", "42P01"},
		{"nowhere", "SELECT 1", "3D000"},
	} {
		if err := server.Exec(t.Context(), c.database, c.statement); err == nil || !strings.Contains(err.Error(), c.complaint) {
			t.Errorf("%s: %v, want %s", c.statement, err, c.complaint)
		}
	}
	do(t, func() error { return server.DropDatabase(t.Context(), name) }, server.Pause)
}

func TestKilledPostgresLeavesNoProcessThatHoldsItsData(t *testing.T) {
	t.Parallel()
	server, err := lab.StartPostgres(t.Context(), lab.PostgresConfig{Settings: []string{"fsync=off"}})
	if err != nil {
		t.Fatal(err)
	}
	defer do(t, server.Close)
	// A server does not start on data that one of its former processes holds.
	for range 3 {
		busy := make(chan error)
		go func() { busy <- server.Exec(t.Context(), "postgres", "SELECT pg_sleep(600)") }()
		do(t, server.Kill, func() error { return server.Start(t.Context()) })
		if err := <-busy; err == nil {
			t.Error("a statement survived a kill")
		}
	}
}

func TestServersGoOnWithAFolderThatTheyAreGiven(t *testing.T) {
	t.Parallel()
	folder, err := os.MkdirTemp("", "popeye-lab-") //nolint:usetesting // unlike t.TempDir, the server's user may reach it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	do(t, func() error { return os.Chmod(folder, 0o755) })
	for range 2 {
		redis, err := lab.StartRedis(t.Context(), lab.RedisConfig{Dir: filepath.Join(folder, "redis")})
		if err != nil {
			t.Fatal(err)
		}
		c := call(t, redis.Addr())
		c.say("INCR starts")
		postgres, err := lab.StartPostgres(t.Context(), lab.PostgresConfig{Dir: filepath.Join(folder, "postgres"), LogFile: filepath.Join(folder, "log")})
		if err != nil {
			t.Fatal(err)
		}
		do(t,
			func() error {
				return postgres.Exec(t.Context(), "postgres", "CREATE SEQUENCE IF NOT EXISTS starts; SELECT nextval('starts')")
			},
			postgres.Close, redis.Close,
		)
	}
	if text, err := os.ReadFile(filepath.Join(folder, "log")); err != nil || strings.Count(string(text), "ready to accept connections") != 2 {
		t.Errorf("its log is %q, %v", text, err)
	}
}
