package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"popeye/internal/config"
)

// file writes a file and returns its name.
func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func places(q config.QueueAccess) string {
	var all []string
	for _, s := range q.Servers {
		all = append(all, s.Place)
	}
	return strings.Join(all, " ")
}

func TestQueueServersComeFromFlagsVariablesAndFiles(t *testing.T) {
	const poll = "poll --voter-key-file /k"
	for _, given := range []struct {
		line      string
		variables []string
	}{
		{poll + " --queue redis://a --queue valkey://b:7000 --queue rediss://C:1/0", nil},
		{poll + " --queue redis://a,valkey://b:7000,rediss://C:1/0", nil},
		{poll, []string{"POPEYE_QUEUE=redis://a, valkey://b:7000,rediss://c:1"}},
		{poll, []string{"POPEYE_QUEUE_FILE=" + file(t, "redis://a,valkey://b:7000,rediss://c:1\n")}},
		{poll + " --queue redis://a,valkey://b:7000,rediss://c:1", []string{"POPEYE_QUEUE=redis://other", "POPEYE_QUEUE_FILE=/nowhere"}},
	} {
		cli, _, _, err := parse(t, given.line, given.variables...)
		if err != nil {
			t.Errorf("%v: %v", given, err)
			continue
		}
		if got := places(cli.Poll.QueueAccess); got != "a:6379 b:7000 c:1" || cli.Poll.Copies != 2 || !cli.Poll.Servers[2].TLS || cli.Poll.Servers[0].TLS {
			t.Errorf("%v: %s, %+v", given, got, cli.Poll.Queue)
		}
	}
}

func TestCopiesAreAMajority(t *testing.T) {
	for servers, copies := range map[int]int{1: 1, 2: 2, 3: 2, 4: 3, 5: 3} {
		var urls []string
		for i := range servers {
			urls = append(urls, fmt.Sprintf("redis://h%d", i))
		}
		line := "worker --database postgres://h/d --queue " + strings.Join(urls, ",")
		cli, _, _, err := parse(t, line)
		if err != nil || cli.Worker.Copies != copies {
			t.Errorf("%d servers: %d copies, %v", servers, cli.Worker.Copies, err)
		}
		for given := range servers + 2 {
			if given == 0 {
				continue
			}
			_, _, _, err := parse(t, fmt.Sprintf("%s --queue-copies %d", line, given))
			if allowed := given <= servers && 2*given > servers; allowed != (err == nil) {
				t.Errorf("%d copies of %d servers: %v", given, servers, err)
			}
		}
	}
	_, _, _, err := parse(t, "poll --voter-key-file /k --queue redis://a,redis://b,redis://c,redis://d --queue-copies 2")
	if err == nil || !strings.Contains(err.Error(), "more than half") || !strings.Contains(err.Error(), "at least 3") {
		t.Errorf("the reason is missing: %v", err)
	}
}

func TestSecretsComeFromFiles(t *testing.T) {
	password := file(t, "p@ss w'ord\\\n")
	cli, _, _, err := parse(t, "worker --queue redis://a,redis://u:own@b --queue-username all", "POPEYE_QUEUE_PASSWORD_FILE="+password,
		"POPEYE_DATABASE=postgres://popeye@db:5432/popeye", "POPEYE_DATABASE_PASSWORD_FILE="+password)
	if err != nil {
		t.Fatal(err)
	}
	a, b := cli.Worker.Servers[0], cli.Worker.Servers[1]
	if a.Username != "all" || a.Password.Reveal() != `p@ss w'ord\` || b.Username != "u" || b.Password.Reveal() != "own" {
		t.Errorf("%q %q, %q %q", a.Username, a.Password.Reveal(), b.Username, b.Password.Reveal())
	}
	if got := cli.Worker.DSN.Reveal(); got != `postgres://popeye:p%40ss%20w%27ord%5C@db:5432/popeye` {
		t.Errorf("the address is %s", got)
	}
	cli, _, _, err = parse(t, "result --database-password-file "+password, "POPEYE_DATABASE_FILE="+file(t, "host=db user=popeye\n"))
	if err != nil || cli.Result.DSN.Reveal() != `host=db user=popeye password='p@ss w\'ord\\'` {
		t.Errorf("%s, %v", cli.Result.DSN.Reveal(), err)
	}
}

func TestWrongSettingsOfRolesAreRefusedByName(t *testing.T) {
	const (
		poll   = "poll --voter-key-file /k "
		worker = "worker --database postgres://h/d --queue redis://a "
		result = "result --database postgres://h/d "
	)
	empty := file(t, "\n")
	for line, names := range map[string]string{
		"poll --queue redis://a":                                  "--voter-key-file",
		poll:                                                      "--queue",
		poll + "--queue http://a":                                 "redis://",
		poll + "--queue a:6379":                                   "redis://",
		poll + "--queue redis://":                                 "redis://",
		poll + "--queue redis://a/3":                              "database 0",
		poll + "--queue redis://a?db=3":                           "options",
		poll + "--queue redis://a,redis://A:6379":                 "twice",
		poll + "--queue redis://a --queue-copies -1":              "--queue-copies",
		poll + "--queue redis://a --queue-room 1.5":               "--queue-room",
		poll + "--queue redis://a --queue-room NaN":               "--queue-room",
		poll + "--queue redis://a --queue-durability maybe":       "--queue-durability",
		poll + "--queue redis://a --queue-username u":             "password",
		poll + "--queue redis://a --queue-password-file /nowhere": "--queue-password-file",
		poll + "--queue redis://a --queue-password-file " + empty: "empty",
		poll + "--queue redis://a --queue-ca-file /nowhere":       "rediss://",
		poll + "--queue rediss://a --queue-ca-file /nowhere":      "--queue-ca-file",
		poll + "--queue rediss://a --queue-ca-file " + empty:      "certificate",
		poll + "--queue redis://a --rate-limit -1":                "--rate-limit",
		poll + "--queue redis://a --queue-timeout 5s":             "--queue-timeout",
		poll + "--queue redis://a --max-casts 0":                  "--max-casts",
		worker + "--queue-retention -1s":                          "--queue-retention",
		worker + "--linger 2s":                                    "--linger",
		"worker --queue redis://a":                                "--database",
		"result --database mysql://h/d":                           "postgres://",
		"result --database h":                                     "postgres://",
		"result --database postgres://h:port/d":                   "postgres://",
		result + "--database-password-file /nowhere":              "--database-password-file",
		result + "--max-viewers 0":                                "--max-viewers",
		"result --database-password-file " + empty +
			" --database postgres://u:p@h/d": "only one",
		"admin --database postgres://h/d":                                               "--admin-token-file",
		"migrate --database postgres://h/d --wait -1s":                                  "--wait",
		"replay --database postgres://h/d --queue redis://a":                            "--since",
		"replay --database postgres://h/d --since 1h":                                   "--queue",
		"replay --database postgres://h/d --queue redis://a --since 0s":                 "--since",
		"verify --database postgres://h/d --queue redis://a,redis://b --queue-copies 1": "more than half",
		"health --ops-addr 9090":                                                        "--ops-addr",
		"parked retry one":                                                              "round",
		"parked drop":                                                                   "round",
		"polls finalise":                                                                "poll",
	} {
		if _, _, _, err := parse(t, line); err == nil || !strings.Contains(err.Error(), names) {
			t.Errorf("%q: got %v, want something about %s", line, err, names)
		}
	}
}

func TestVariableAndItsFileAtOnceAreAnError(t *testing.T) {
	_, _, _, err := parse(t, "result", "POPEYE_DATABASE=postgres://h/d", "POPEYE_DATABASE_FILE=/somewhere")
	if err == nil || !strings.Contains(err.Error(), "POPEYE_DATABASE and POPEYE_DATABASE_FILE") {
		t.Errorf("both: %v", err)
	}
	_, _, _, err = parse(t, "result", "POPEYE_DATABASE_FILE=/nowhere/dsn")
	if err == nil || !strings.Contains(err.Error(), "POPEYE_DATABASE_FILE") || !strings.Contains(err.Error(), "/nowhere/dsn") {
		t.Errorf("unreadable: %v", err)
	}
	// Any setting can stand in a file.
	cli, _, _, err := parse(t, "", "POPEYE_LISTEN_FILE="+file(t, ":1\r\n"))
	if err != nil || cli.All.Listen != ":1" {
		t.Errorf("%+v, %v", cli, err)
	}
}

func TestRolesRefuseWhatIsNotTheirs(t *testing.T) {
	own := map[string]string{
		"all":     "all",
		"poll":    "poll --queue redis://a --voter-key-file /k",
		"worker":  "worker --queue redis://a --database postgres://h/d",
		"result":  "result --database postgres://h/d",
		"admin":   "admin --database postgres://h/d --admin-token-file /t",
		"migrate": "migrate --database postgres://h/d",
	}
	foreign := map[string][]string{
		"all":     {"POPEYE_DATABASE", "POPEYE_DATABASE_FILE", "POPEYE_QUEUE"},
		"poll":    {"POPEYE_DATABASE", "POPEYE_DATABASE_FILE", "POPEYE_DATABASE_PASSWORD_FILE", "POPEYE_ADMIN_TOKEN_FILE", "POPEYE_ADMIN_TOKEN"},
		"worker":  {"POPEYE_LISTEN", "POPEYE_VOTER_KEY_FILE", "POPEYE_COOKIE_KEY_FILE", "POPEYE_ADMIN_TOKEN_FILE"},
		"result":  {"POPEYE_QUEUE", "POPEYE_QUEUE_FILE", "POPEYE_QUEUE_PASSWORD_FILE", "POPEYE_VOTER_KEY_FILE", "POPEYE_ADMIN_TOKEN_FILE"},
		"admin":   {"POPEYE_QUEUE", "POPEYE_QUEUE_FILE", "POPEYE_VOTER_KEY_FILE", "POPEYE_COOKIE_KEY_FILE"},
		"migrate": {"POPEYE_QUEUE", "POPEYE_VOTER_KEY_FILE", "POPEYE_ADMIN_TOKEN_FILE"},
	}
	for role, line := range own {
		if _, _, _, err := parse(t, line, "POPEYE_POLL_PORT=tcp://10.0.0.1:8080", "POPEYE_QUEUE_PORT=tcp://10.0.0.2:6379",
			"POPEYE_DATABASE_SERVICE_HOST=10.0.0.3", "POPEYE_OTHER=1"); err != nil {
			t.Errorf("%s minds what a cluster sets: %v", role, err)
		}
		for _, name := range foreign[role] {
			_, _, _, err := parse(t, line, name+"=/secret/value")
			if err == nil || !strings.Contains(err.Error(), name+" is set, but "+role) && !strings.Contains(err.Error(), "worker") {
				t.Errorf("%s with %s: %v", role, name, err)
			}
			if err != nil && strings.Contains(err.Error(), "/secret/value") {
				t.Errorf("%s with %s: the error shows the value: %v", role, name, err)
			}
		}
	}
	for line, why := range map[string]string{
		own["poll"] + " --database postgres://h/d": "poll never reaches the database",
		own["result"] + " --queue=redis://a":       "result never reaches the queue",
		own["worker"] + " --listen :80":            "nobody reaches the worker",
	} {
		if _, _, _, err := parse(t, line); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	const secret = "hunter2"
	for _, line := range []string{
		"poll --voter-key-file /k --queue redis://u:hunter2@h/1",
		"poll --voter-key-file /k --queue redis://u:hunter2@ho%st",
		"poll --voter-key-file /k --queue redis://u:hunter2",
		"poll --voter-key-file /k --queue redis://u:hunter2@a,redis://u:hunter2@a",
		"poll --voter-key-file /k --queue redis://u:hunter2@a --queue-copies 3",
		"result --database postgres://u:hunter2@h:x/d",
		"result --database mysql://u:hunter2@h/d",
		"result --database postgres://u:hunter2@h/d --nonsense",
		"migrate --database hunter2",
		"migrate postgres://u:hunter2@h/d",
		"poll redis://:hun/ter2:hunter2@h",
	} {
		if _, _, out, err := parse(t, line); err == nil || strings.Contains(err.Error()+out, secret) {
			t.Errorf("%q: %v %s", line, err, out)
		}
	}
	cli, _, _, err := parse(t, "worker --queue redis://u:hunter2@a --database postgres://u:hunter2@h/d")
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if printed := fmt.Sprintf(form, cli.Worker); strings.Contains(printed, secret) {
			t.Errorf("%s prints the secret: %s", form, printed)
		}
	}
}

func TestHealthAsksWhereTheRoleIs(t *testing.T) {
	cli, command, _, err := parse(t, "health", "POPEYE_OPS_ADDR=:9191", "POPEYE_DATABASE=postgres://h/d")
	if err != nil || command != "health" || cli.Health.OpsAddr != ":9191" || cli.Health.Live {
		t.Errorf("%+v, %v", cli.Health, err)
	}
}
