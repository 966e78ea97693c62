package helm

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"popeye"
	"popeye/internal/app"
	"popeye/internal/lab"
	"popeye/internal/lab/labtest"
	"popeye/internal/postgres"
)

// container is a folder that stands for the file system of a container, in which
// the chart's scripts run.
type container struct {
	t       *testing.T
	dir     string
	account *lab.Account
	env     []string
}

// newContainer returns one with the files of a ConfigMap and with secrets.
func newContainer(t *testing.T, configMap object, secrets map[string]string) *container {
	t.Helper()
	dir, err := os.MkdirTemp("", "popeye-chart-") //nolint:usetesting // unlike t.TempDir, the database's user may reach it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	c := &container{t: t, dir: dir}
	for _, folder := range []string{"config", "secrets", "run", "data", "backup", "scratch"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range configMap.object("data") {
		c.write("config", name, fmt.Sprint(text))
	}
	for name, text := range secrets {
		c.write("secrets", name, text)
	}
	c.own()
	return c
}

func (c *container) write(folder, name, text string) {
	c.t.Helper()
	text = strings.NewReplacer(
		"/etc/popeye/config", c.dir+"/config", "/etc/popeye/secrets", c.dir+"/secrets", "/run/popeye", c.dir+"/run",
		"dir /data", "dir "+c.dir+"/data", "/etc/popeye/superuser", c.dir+"/secrets", "/etc/popeye/rights", c.dir+"/config",
		"/backup", c.dir+"/backup", "/scratch", c.dir+"/scratch",
	).Replace(text)
	if err := os.WriteFile(filepath.Join(c.dir, folder, name), []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

// own gives the folder to a user that is not root, as PostgreSQL wants it.
func (c *container) own() {
	c.t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		c.t.Fatal(err)
	}
	uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(uidErr, gidErr); err != nil {
		c.t.Fatal(err)
	}
	c.account = &lab.Account{UID: uint32(uid), GID: uint32(gid)}
	err = filepath.WalkDir(c.dir, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Chown(path, int(uid), int(gid)))
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// process is a script of the ConfigMap, not yet started.
func (c *container) process(script string, ready func(context.Context) error) *lab.Process {
	c.t.Helper()
	path := "/usr/bin:/bin"
	if bin, err := filepath.Glob("/usr/lib/postgresql/*/bin"); err == nil && len(bin) > 0 {
		path = bin[len(bin)-1] + ":" + path
	}
	return labtest.Process(c.t, lab.Command{
		Path: "sh", Args: []string{filepath.Join(c.dir, "config", script)},
		Env: append(slices.Clone(c.env), "PATH="+path, "LC_ALL=C"), Account: c.account, Ready: ready,
	})
}

// run runs a script to its end.
func (c *container) run(script string) {
	c.t.Helper()
	p := c.process(script, nil)
	if err := errors.Join(p.Begin(c.t.Context()), p.Wait(c.t.Context())); err != nil {
		c.t.Fatalf("%s: %v\n%s", script, err, p.Log())
	}
}

// popeye runs a command of Popeye, and returns its exit code with what it said.
func (c *container) popeye(args ...string) (int, string) {
	c.t.Helper()
	var out bytes.Buffer
	code := app.Run(c.t.Context(), app.Process{Args: args, Getenv: func(string) string { return "" }, Stdout: &out, Stderr: &out})
	return code, out.String()
}

func free(t *testing.T) *lab.Port {
	t.Helper()
	port, err := lab.NewPort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = port.Close() })
	return port
}

// ask sends lines to a Redis, and returns the first line of each answer.
func ask(ctx context.Context, addr string, lines ...string) ([]string, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return nil, err
	}
	in := bufio.NewReader(conn)
	var answers []string
	for _, line := range lines {
		if _, err := conn.Write([]byte(line + "\r\n")); err != nil {
			return nil, err
		}
		answer, err := in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		answers = append(answers, strings.TrimSpace(answer))
	}
	return answers, nil
}

func hash(password string) string {
	sum := sha256.Sum256([]byte(password))
	return hex.EncodeToString(sum[:])
}

// newQueueServer starts a queue server as the chart does, and returns where it is.
func newQueueServer(t *testing.T) (addr string, server *lab.Process) {
	t.Helper()
	c := newContainer(t, find(t, render(t), "ConfigMap", "popeye-redis"), map[string]string{
		"poll-password-sha256":    hash("new") + "\n" + hash("old") + "\n", // while it is replaced
		"worker-password-sha256":  hash("w") + "\n",
		"metrics-password-sha256": hash("m") + "\n",
	})
	port := free(t)
	conf, err := os.ReadFile(filepath.Join(c.dir, "config", "redis.conf"))
	if err != nil {
		t.Fatal(err)
	}
	c.write("config", "redis.conf", string(conf)+"\nbind 127.0.0.1\nport "+port.String()+"\n")
	server = c.process("redis-start", func(ctx context.Context) error {
		answers, err := ask(ctx, port.Addr(), "AUTH probe -", "PING")
		if err == nil && answers[1] != "+PONG" {
			err = errors.New(answers[1])
		}
		return err
	})
	labtest.Start(t, server)
	return port.Addr(), server
}

// What a script writes stands in Redis's log as a transaction, and Redis asks for the
// rights of its default user when it reads the log again.
func TestQueueServerHasEveryVoteAgainWhenItIsKilled(t *testing.T) {
	t.Parallel()
	addr, server := newQueueServer(t)
	if answers, err := ask(t.Context(), addr, "AUTH popeye-poll new", "EVAL \"redis.call('HSET','{popeye}:round:1','a','b');redis.call('XADD','{popeye}:votes','*','a','b')\" 0"); err != nil || answers[1] != "$-1" {
		t.Fatalf("a vote: %v, %v", answers, err)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	labtest.Start(t, server)
	answers, err := ask(t.Context(), addr, "AUTH popeye-worker w", "HEXISTS {popeye}:round:1 a", "XRANGE {popeye}:votes - +")
	if err != nil || answers[1] != ":1" || answers[2] != "*1" {
		t.Errorf("what is left of a vote: %v, %v\n%s", answers, err, server.Log())
	}
}

func TestQueueServerKnowsItsUsersByTheHashesOfTheirPasswords(t *testing.T) {
	t.Parallel()
	addr, _ := newQueueServer(t)
	for _, try := range []struct{ user, password, command, want string }{
		{"popeye-poll", "new", "XADD {popeye}:votes * a b", "$"},
		{"popeye-poll", "old", "GET {popeye}:catalog", "$-1"},
		{"popeye-poll", "new", "XRANGE {popeye}:votes - +", "-NOPERM"},
		{"popeye-worker", "w", "XTRIM {popeye}:votes MAXLEN 5", ":"},
		{"popeye-worker", "w", "XADD {popeye}:votes * a b", "-NOPERM"},
		{"popeye-metrics", "m", "INFO server", "$"},
		{"popeye-metrics", "m", "GET {popeye}:catalog", "-NOPERM"},
	} {
		answers, err := ask(t.Context(), addr, "AUTH "+try.user+" "+try.password, try.command)
		if err != nil || answers[0] != "+OK" || !strings.HasPrefix(answers[1], try.want) {
			t.Errorf("%s may %s: %v, %v", try.user, try.command, answers, err)
		}
	}
	answers, err := ask(t.Context(), addr, "GET x", "AUTH popeye-poll "+hash("new"), "AUTH default x")
	if err != nil || !strings.HasPrefix(answers[0], "-NO") || !strings.HasPrefix(answers[1], "-WRONGPASS") {
		t.Errorf("strangers: %v, %v", answers, err)
	}
}

// database is a PostgreSQL with Popeye's roles and schema, made as the chart's job
// makes them.
func database(t *testing.T) (server *lab.Postgres, job *container) {
	t.Helper()
	server = labtest.Postgres(t, "fsync=off", "log_statement=all", "max_prepared_transactions=1")
	if err := server.EnsureDatabase(t.Context(), "popeye"); err != nil {
		t.Fatal(err)
	}
	secrets := map[string]string{"superuser": "s\n"}
	for _, role := range []string{"migrate", "worker", "result", "admin", "metrics"} {
		secrets[role] = "it's " + role + "\n"
	}
	job = newContainer(t, find(t, render(t), "ConfigMap", "popeye-migrate"), secrets)
	job.env = environment(t, server, "postgres")
	job.run("postgres-roles")
	if code, out := job.popeye("migrate", "--database="+dsnOf(server, "popeye_migrate")); code != 0 {
		t.Fatalf("migrate ends with %d: %s", code, out)
	}
	job.run("postgres-roles")
	return server, job
}

func environment(t *testing.T, server *lab.Postgres, user string) []string {
	t.Helper()
	host, port, err := net.SplitHostPort(server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return []string{"PGHOST=" + host, "PGPORT=" + port, "PGUSER=" + user, "PGDATABASE=popeye"}
}

func dsnOf(server *lab.Postgres, user string) string {
	return fmt.Sprintf("postgres://%s@%s/popeye?sslmode=disable", user, server.Addr())
}

// vote puts a vote into the database.
func vote(t *testing.T, server *lab.Postgres) {
	t.Helper()
	store, err := postgres.Open(t.Context(), postgres.Config{DSN: dsnOf(server, "postgres")})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Shutdown()
	poll := popeye.Poll{ID: "tea", Question: "Tea?", Options: []popeye.Option{{ID: "y"}, {ID: "n"}}}
	d, _, err := store.Apply(t.Context(), poll.WithDefaults(), popeye.Open)
	if err != nil {
		t.Fatal(err)
	}
	v := popeye.Vote{Round: d.Round, Voter: popeye.Voter{1}, Choices: 1, Stamp: popeye.NewStamp(time.Now(), 0, 1), Serial: 1}
	if _, err := store.Record(t.Context(), []popeye.Vote{v}, popeye.Progress{}); err != nil {
		t.Fatal(err)
	}
}

func TestBackupIsRestoredAndVerifiedBeforeItCounts(t *testing.T) {
	t.Parallel()
	server, job := database(t)
	vote(t, server)
	// What the job popeye-verify does, with the rights that it has.
	if code, out := job.popeye("verify", "--database="+dsnOf(server, "popeye_worker")); code != 0 {
		t.Errorf("verify ends with %d: %s", code, out)
	}
	files := find(t, render(t, "backup.enabled=true"), "ConfigMap", "popeye-backup")
	c := newContainer(t, files, map[string]string{"postgres-password": "it's migrate"})
	for n := range 4 { // of other days
		c.write("backup", fmt.Sprintf("popeye-2025010%dT000000Z.dump", n), "old")
	}
	c.own()
	c.env = environment(t, server, "popeye_migrate")
	c.run("backup")

	scratch, port := *c, free(t)
	scratch.env = []string{"PGPORT=" + port.String()}
	dsn := "postgres://postgres@" + port.Addr() + "/scratch?sslmode=disable"
	second := scratch.process("restore", func(ctx context.Context) error {
		return exec.CommandContext(ctx, "pg_isready", "--host=127.0.0.1", "--port="+port.String(), "--dbname=scratch").Run()
	})
	labtest.Start(t, second)
	if code, out := c.popeye("verify", "--database="+dsn); code != 0 {
		t.Fatalf("the restored database is not well: %d %s", code, out)
	}
	c.env = []string{"KEEP=3"}
	c.run("keep")
	dumps, err := filepath.Glob(filepath.Join(c.dir, "backup", "*"))
	if err != nil || len(dumps) != 3 || strings.HasSuffix(dumps[2], ".unverified") || !strings.Contains(dumps[0], "20250102") {
		t.Errorf("there are %v, %v", dumps, err)
	}
	labtest.Do(t, second.Stop)

	// Something terrible happens, and somebody goes back to the newest dump.
	if err := server.Exec(t.Context(), "popeye", "TRUNCATE votes"); err != nil {
		t.Fatal(err)
	}
	c.write("secrets", "superuser", "s")
	c.write("config", "postgres-roles.sql", fmt.Sprint(find(t, render(t), "ConfigMap", "popeye-migrate").object("data")["postgres-roles.sql"]))
	c.env = environment(t, server, "postgres")
	// A transaction that was prepared keeps the database from giving its name away.
	if err := server.Exec(t.Context(), "popeye", "BEGIN; TRUNCATE votes; PREPARE TRANSACTION 'stays'"); err != nil {
		t.Fatal(err)
	}
	failing := c.process("restore-database", nil)
	if err := errors.Join(failing.Begin(t.Context()), failing.Wait(t.Context())); err == nil {
		t.Fatal("the database was replaced while it is in use")
	}
	if err := server.Exec(t.Context(), "popeye", "ROLLBACK PREPARED 'stays'"); err != nil {
		t.Fatalf("a restore that fails locks everybody out: %v", err)
	}
	c.run("restore-database")
	if code, out := job.popeye("verify", "--database="+dsnOf(server, "popeye_worker")); code != 0 {
		t.Errorf("verify of what was restored ends with %d: %s", code, out)
	}
	if err := server.Exec(t.Context(), "popeye", "DO $$ BEGIN IF (SELECT count(*) FROM votes) <> 1 THEN RAISE EXCEPTION 'where is it?'; END IF; END $$"); err != nil {
		t.Error(err)
	}
}

func TestRolesOfTheDatabaseHaveTheirPasswords(t *testing.T) {
	t.Parallel()
	server, job := database(t)
	if err := server.Exec(t.Context(), "popeye", `DO $$ BEGIN
		IF (SELECT count(*) FROM pg_authid WHERE rolname LIKE 'popeye\_%' AND rolpassword LIKE 'SCRAM-SHA-256$%') <> 5 THEN
			RAISE EXCEPTION 'some have none';
		END IF;
		IF NOT pg_has_role('popeye_metrics', 'pg_monitor', 'MEMBER') THEN
			RAISE EXCEPTION 'metrics sees nothing';
		END IF;
	END $$`); err != nil {
		t.Error(err)
	}
	job.run("postgres-roles") // as often as one likes
	if log := server.Log(); strings.Contains(log, "it''s") || !strings.Contains(log, "GRANT pg_monitor") {
		t.Errorf("passwords are in the server's log, or nothing is:\n%s", log)
	}
}

func TestExporterOfRedisIsToldThePasswordOfEachServer(t *testing.T) {
	const password = `a "quoted" \\ % $one`
	c := newContainer(t, object{}, map[string]string{"redis-password": password + "\n"})
	given := find(t, render(t), "Deployment", "popeye-redis-exporter").list("spec.template.spec.containers")[0].texts("args")
	c.write("config", "start", given[0])
	c.write("config", "redis_exporter", "#!/bin/sh\ncat /run/popeye/passwords.json\n")
	if err := os.Chmod(filepath.Join(c.dir, "config", "redis_exporter"), 0o755); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "sh", append([]string{filepath.Join(c.dir, "config", "start")}, given[2:]...)...)
	command.Env = []string{"PATH=" + c.dir + "/config:/usr/bin:/bin", "REDIS_USER=popeye-metrics"}
	said, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	if err := json.Unmarshal(said, &got); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	for i := range 3 {
		for _, user := range []string{"", "popeye-metrics@"} {
			server := fmt.Sprintf("redis://%spopeye-redis-%d.popeye-redis.popeye.svc:6379", user, i)
			if got[server] != password {
				t.Errorf("of %s it knows %q", server, got[server])
			}
		}
	}
	if len(got) != 6 {
		t.Errorf("it knows %v", got)
	}
}
