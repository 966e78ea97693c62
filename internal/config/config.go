// Package config reads what Popeye is told: flags, environment and files. It is
// read once and checked once; everything else takes the values as arguments.
// The same declarations print the help and docs/config.md.
package config

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/mattn/go-isatty"
)

// CLI is the command line.
type CLI struct {
	All All `cmd:"" default:"withargs" help:"Serve everything in one process: vote, count, show, manage. The default."`

	Poll    Poll    `cmd:"" help:"Serve the voting pages and take votes into the queue. It knows the polls from the queue and never reaches the database."`
	Worker  Worker  `cmd:"" help:"Move votes from the queue to the database, close polls on time, and tell the queue which votes to take. Nobody reaches it."`
	Result  Result  `cmd:"" help:"Serve results, live. It reads the database and never reaches the queue."`
	Admin   Admin   `cmd:"" help:"Serve the API for organisers. It reaches the database and never the queue."`
	Migrate Migrate `cmd:"" help:"Bring the database's schema up to date. Any number may run at the same time; what is done is not done again."`

	Polls   Polls   `cmd:"" help:"Manage the polls of a running Popeye."`
	Parked  Parked  `cmd:"" help:"Look at the votes that could not be recorded, and settle what becomes of them."`
	Replay  Replay  `cmd:"" help:"Record once more what the queue servers still keep, for a database that has lost its last commits. What is recorded already is not counted again."`
	Verify  Verify  `cmd:"" help:"Recount the votes in the database and compare them with the tallies and the ledger; with --queue, look also for every vote that the queue servers keep."`
	Secrets Secrets `cmd:"" help:"Make the Secrets of a Popeye on Kubernetes, from inside the cluster: random ones, once. What is there already is never changed."`
	Health  Health  `cmd:"" help:"Ask a role on this machine whether it is ready; exit 0 if so. For probes of containers that have no shell."`

	Load    Load    `cmd:"" help:"Cast many votes, follow the result, and check that every acknowledged vote is counted once."`
	Drill   Drill   `cmd:"" help:"Start a distributed Popeye on this machine, cast votes while its parts are killed, paused and cut off by a plan, and check that every acknowledged vote is counted exactly once."`
	Docs    Docs    `cmd:"" hidden:"" help:"Print the reference of all commands and settings as Markdown."`
	Version Version `cmd:"" help:"Print the version."`
}

// Environment is the process as Parse sees it.
type Environment struct {
	// Args are the arguments without the program's name.
	Args []string
	// Getenv looks up an environment variable; empty means unset.
	Getenv         func(string) string
	Stdout, Stderr io.Writer
}

// ErrHelp is returned when help was asked for, and printed.
var ErrHelp = errors.New("help was printed")

// Parse reads the command line, the environment, and the files in which secrets
// may stand. It returns the settings and the command, such as "polls open
// <poll>". Every flag can be set by a variable, POPEYE_ and the flag's name in
// capitals, or by a file that the same variable with _FILE behind it names; the
// flag wins. No error tells a secret.
func Parse(env Environment) (*CLI, string, error) {
	cli := &CLI{}
	helped := false
	parser, err := newParser(cli, env, func(int) { helped = true })
	if err != nil {
		return nil, "", err
	}
	parsed, err := parser.Parse(env.Args)
	if helped {
		return nil, "", ErrHelp
	}
	if err != nil {
		return nil, "", fmt.Errorf("%w\nSee popeye --help", explained(err, env.Args))
	}
	command := parsed.Command()
	if err := refuseForeign(command, env.Getenv); err != nil {
		return nil, "", err
	}
	if err := cli.complete(command, env.Getenv); err != nil {
		return nil, "", err
	}
	return cli, command, nil
}

func newParser(cli *CLI, env Environment, exit func(int)) (*kong.Kong, error) {
	return kong.New(cli,
		kong.Name("popeye"),
		kong.Description("Live polling that never loses a vote."),
		kong.Writers(env.Stdout, env.Stderr),
		kong.Exit(exit),
		kong.Resolvers(variables(env.Getenv)),
		kong.ValueFormatter(func(v *kong.Value) string {
			if v.Flag == nil || v.Name == "help" {
				return v.Help
			}
			set := variable(v.Flag.Name)
			if v.Default != "" {
				set = "default " + v.Default + ", " + set
			}
			return v.Help + " [" + set + "]"
		}),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.UsageOnError(),
	)
}

// complete fills in what depends on the environment, reads the files that hold
// secrets, and checks what kong cannot.
func (c *CLI) complete(command string, getenv func(string) string) error {
	word, _, _ := strings.Cut(command, " ")
	switch word {
	case "all":
		return c.All.complete(getenv)
	case "poll":
		return c.Poll.complete()
	case "worker":
		return c.Worker.complete()
	case "result":
		return c.Result.complete()
	case "admin":
		return c.Admin.complete()
	case "polls":
		return c.Polls.complete(getenv)
	case "parked":
		return c.Parked.complete(getenv)
	default:
		return c.completeTool(word)
	}
}

// completeTool is complete for the commands that are run by hand, or by a job.
func (c *CLI) completeTool(command string) error {
	switch command {
	case "migrate":
		return c.Migrate.complete()
	case "replay":
		return c.Replay.complete()
	case "verify":
		return c.Verify.complete()
	case "secrets":
		return c.Secrets.check()
	case "health":
		return c.Health.check()
	case "load":
		return c.Load.check()
	case "drill":
		return c.Drill.check()
	default:
		return nil
	}
}

func checkURL(flag, text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%s must be an address such as http://localhost:8080, is %q", flag, text)
	}
	return nil
}

// dataDir returns where a user's data belongs (XDG Base Directory
// Specification).
func dataDir(getenv func(string) string) (string, error) {
	if dir := getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "popeye"), nil
	}
	if home := getenv("HOME"); home != "" {
		return filepath.Join(home, ".local", "share", "popeye"), nil
	}
	return "", errors.New("there is no home folder to keep the data in: say where with --data DIR")
}

// IsTerminal reports whether w is a terminal.
func IsTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && isatty.IsTerminal(file.Fd())
}
