package config_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"popeye/internal/config"
)

// parse parses a command line in an environment given as NAME=value.
//
//nolint:revive // what is read, which command, what is printed, what is wrong: all are tested
func parse(t *testing.T, line string, variables ...string) (*config.CLI, string, string, error) {
	t.Helper()
	values := map[string]string{"HOME": "/home/o"}
	for _, v := range variables {
		name, value, _ := strings.Cut(v, "=")
		values[name] = value
	}
	var out bytes.Buffer
	cli, command, err := config.Parse(config.Environment{
		Args: strings.Fields(line), Stdout: &out, Stderr: &out,
		Getenv: func(name string) string { return values[name] },
	})
	return cli, command, out.String(), err
}

func TestAllIsTheDefaultCommand(t *testing.T) {
	for _, line := range []string{"", "all", "--listen :1234", "all --listen :1234"} {
		cli, command, _, err := parse(t, line)
		if err != nil || command != "all" {
			t.Fatalf("%q: command %q, %v", line, command, err)
		}
		if want := ":8080"; !strings.Contains(line, "listen") && cli.All.Listen != want {
			t.Errorf("%q: listens on %s", line, cli.All.Listen)
		}
		if cli.All.OpsAddr != "127.0.0.1:9090" || cli.All.Data != "/home/o/.local/share/popeye" {
			t.Errorf("%q: %+v", line, cli.All)
		}
	}
}

func TestFlagWinsOverVariableWinsOverDefault(t *testing.T) {
	cli, _, _, err := parse(t, "", "POPEYE_LISTEN=:1", "POPEYE_RATE_LIMIT=2.5", "POPEYE_TRUSTED_PROXIES=10.0.0.0/8,::1/128")
	if err != nil || cli.All.Listen != ":1" || cli.All.RateLimit != 2.5 || len(cli.All.TrustedProxies) != 2 {
		t.Errorf("from variables: %+v, %v", cli, err)
	}
	cli, _, _, err = parse(t, "--listen :2", "POPEYE_LISTEN=:1")
	if err != nil || cli.All.Listen != ":2" {
		t.Errorf("the flag: %+v, %v", cli, err)
	}
}

func TestFlagsMayStandBeforeAndBehindArguments(t *testing.T) {
	for _, line := range []string{
		"polls close --server http://h:1 --token-file /t cats",
		"polls close cats --server http://h:1 --token-file /t",
		"polls --server http://h:1 --token-file /t close cats",
	} {
		cli, command, _, err := parse(t, line)
		if err != nil || command != "polls close <poll>" {
			t.Fatalf("%q: command %q, %v", line, command, err)
		}
		if p := cli.Polls; p.Close.Poll != "cats" || p.Server != "http://h:1" || p.TokenFile != "/t" {
			t.Errorf("%q: %+v", line, p)
		}
	}
}

func TestDataFolderIsTheUsers(t *testing.T) {
	cli, _, _, err := parse(t, "", "XDG_DATA_HOME=/x")
	if err != nil || cli.All.Data != "/x/popeye" {
		t.Errorf("%+v, %v", cli, err)
	}
	if cli, _, _, err := parse(t, "polls list"); err != nil || cli.Polls.TokenFile != "/home/o/.local/share/popeye/admin-token" {
		t.Errorf("%+v, %v", cli, err)
	}
	if cli, _, _, err := parse(t, "polls list", "POPEYE_DATA=/d"); err != nil || cli.Polls.TokenFile != "/d/admin-token" {
		t.Errorf("%+v, %v", cli, err)
	}
	if _, _, _, err := parse(t, "", "HOME="); err == nil || !strings.Contains(err.Error(), "--data") {
		t.Errorf("without a home: %v", err)
	}
	if _, _, _, err := parse(t, "--data /d", "HOME="); err != nil {
		t.Errorf("with --data: %v", err)
	}
}

func TestWrongSettingsAreRefusedByName(t *testing.T) {
	for line, names := range map[string]string{
		"--nonsense":                        "nonsense",
		"--max-viewers 0":                   "--max-viewers",
		"--rate-limit -1":                   "--rate-limit",
		"--rate-limit NaN":                  "--rate-limit",
		"--trusted-proxies 10.0.0.0":        "trusted-proxies",
		"--log-level loud":                  "log-level",
		"polls":                             "apply",
		"polls apply":                       "--file",
		"polls list --server localhost":     "--server",
		"polls export cats --format xml":    "format",
		"load --votes 0":                    "--votes",
		"load --url example.com":            "--url",
		"vote":                              "vote",
		"polls open":                        "<poll>",
		"polls open cats dogs":              "dogs",
		"all --data /d --queue-capacity -5": "--queue-capacity",
	} {
		if _, _, _, err := parse(t, line); err == nil || !strings.Contains(err.Error(), names) {
			t.Errorf("%q: got %v, want something about %s", line, err, names)
		}
	}
}

func TestHelpNamesFlagsAndVariables(t *testing.T) {
	for line, words := range map[string][]string{
		"--help":              {"all", "polls", "load", "version"},
		"all --help":          {"--listen", "POPEYE_LISTEN", "--data", "POPEYE_DATA", "--ops-addr"},
		"polls --help":        {"apply", "list", "open", "close", "delete", "export"},
		"polls export --help": {"--format", "POPEYE_FORMAT", "--token-file"},
		"load --help":         {"--rate", "POPEYE_RATE"},
	} {
		_, _, out, err := parse(t, line)
		if !errors.Is(err, config.ErrHelp) {
			t.Errorf("%q: %v", line, err)
		}
		for _, word := range words {
			if !strings.Contains(out, word) {
				t.Errorf("%q does not mention %s: %s", line, word, out)
			}
		}
	}
}

func TestReferenceHoldsEveryFlag(t *testing.T) {
	var out bytes.Buffer
	if err := config.WriteDocs(&out); err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"## popeye all", "`--listen`", "`POPEYE_LISTEN`", "`:8080`", "## popeye polls apply", "`-f, --file`", "## popeye load"} {
		if !strings.Contains(out.String(), word) {
			t.Errorf("the reference lacks %s", word)
		}
	}
	if strings.Contains(out.String(), "popeye docs") {
		t.Error("the reference shows what is hidden")
	}
}

func TestSecretIsMadeOnceAndForItsOwnerOnly(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	text, isNew, err := config.MakeSecret(file, "one\n")
	if err != nil || !isNew || string(text) != "one\n" {
		t.Fatalf("%q, %v, %v", text, isNew, err)
	}
	text, isNew, err = config.MakeSecret(file, "two\n")
	if err != nil || isNew || string(text) != "one\n" {
		t.Errorf("the second time: %q, %v, %v", text, isNew, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if token, err := config.ReadToken(file); err != nil || token != "one" {
		t.Errorf("token %q, %v", token, err)
	}
	if err := os.WriteFile(file, []byte(" \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.ReadToken(file); err == nil {
		t.Error("an empty token was taken")
	}
}
