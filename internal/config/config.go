// Package config reads what Popeye is told: flags, environment and files. It is
// read once and checked once; everything else takes the values as arguments.
// The same declarations print the help and docs/config.md.
package config

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/mattn/go-isatty"
)

// CLI is the command line.
type CLI struct {
	All     All     `cmd:"" default:"withargs" help:"Serve everything in one process: vote, count, show, manage. The default."`
	Polls   Polls   `cmd:"" help:"Manage the polls of a running Popeye."`
	Load    Load    `cmd:"" help:"Cast many votes, follow the result, and check that every acknowledged vote is counted once."`
	Docs    Docs    `cmd:"" hidden:"" help:"Print the reference of all commands and settings as Markdown."`
	Version Version `cmd:"" help:"Print the version."`
}

// All is what "popeye all" takes.
type All struct {
	Listen         string         `default:":8080" placeholder:"ADDR" help:"Address of the pages and the API."`
	OpsAddr        string         `default:"127.0.0.1:9090" placeholder:"ADDR" help:"Address of /livez, /readyz and /metrics."`
	Data           string         `placeholder:"DIR" type:"path" help:"Folder of popeye.db and of the keys; made when missing. Default: popeye in the user's data directory ($$XDG_DATA_HOME, or ~/.local/share)."`
	Polls          string         `placeholder:"FILE" type:"path" help:"Polls to apply at the start, as YAML."`
	AdminTokenFile string         `placeholder:"FILE" type:"path" help:"File with the administration token. Default: admin-token in the data folder, generated and printed at the first start."`
	VoterKeyFile   string         `placeholder:"FILE" type:"path" help:"Keys that turn voters into pseudonyms, one a line; new rounds use the first. Default: voter.keys in the data folder, generated at the first start."`
	CookieKeyFile  string         `placeholder:"FILE" type:"path" help:"Keys that sign voters' cookies, one a line; the first signs, all are believed. Default: cookie.keys in the data folder, generated at the first start."`
	TrustedProxies []netip.Prefix `placeholder:"CIDR" help:"Networks of reverse proxies, separated by commas, whose X-Forwarded-Proto and X-Forwarded-For are believed."`
	RateLimit      float64        `default:"0" placeholder:"N" help:"Votes a second allowed to each network (IPv4 address, IPv6 /64), with bursts of 5 N. 0: no limit; a reverse proxy usually does this."`
	MaxViewers     int            `default:"50000" placeholder:"N" help:"Most live streams open at a time."`
	QueueCapacity  int            `default:"65536" placeholder:"N" help:"Most votes waiting to be recorded; more are answered 503."`
	LogLevel       string         `default:"info" enum:"debug,info,warn,error" placeholder:"LEVEL" help:"debug, info, warn or error."`
	LogFormat      string         `default:"auto" enum:"auto,text,json" placeholder:"FORMAT" help:"text, json, or auto: text on a terminal, json elsewhere."`
}

// Polls is what "popeye polls" takes.
type Polls struct {
	Server    string `default:"http://localhost:8080" placeholder:"URL" help:"Address of Popeye."`
	Data      string `placeholder:"DIR" type:"path" help:"Data folder of a Popeye on this machine, for its administration token. Default: popeye in the user's data directory."`
	TokenFile string `placeholder:"FILE" type:"path" help:"File with the administration token. Default: admin-token in the data folder."`

	Apply  PollsApply  `cmd:"" help:"Create or update the polls of a file, one by one; others stay. Doing it again changes nothing."`
	List   PollsList   `cmd:"" help:"List all polls."`
	Open   PollsOpen   `cmd:"" help:"Open a draft, or begin a new round, from zero, of a closed poll. Export its result before: only the newest round is shown."`
	Close  PollsClose  `cmd:"" help:"Close a poll. What was acknowledged is counted, then the result is final."`
	Delete PollsDelete `cmd:"" help:"Delete a poll with all its votes."`
	Export PollsExport `cmd:"" help:"Print a poll's result."`
}

// PollsApply is what "popeye polls apply" takes.
type PollsApply struct {
	File string `short:"f" required:"" placeholder:"FILE" help:"The polls as YAML; - for standard input."`
}

// PollsList is what "popeye polls list" takes.
type PollsList struct {
	JSON bool `name:"json" help:"Print the API's answer."`
}

// PollsOpen is what "popeye polls open" takes.
type PollsOpen struct {
	Poll string `arg:"" help:"Id of the poll."`
}

// PollsClose is what "popeye polls close" takes.
type PollsClose struct {
	Poll string `arg:"" help:"Id of the poll."`
}

// PollsDelete is what "popeye polls delete" takes.
type PollsDelete struct {
	Poll string `arg:"" help:"Id of the poll."`
}

// PollsExport is what "popeye polls export" takes.
type PollsExport struct {
	Poll   string `arg:"" help:"Id of the poll."`
	Format string `short:"o" default:"csv" enum:"csv,json" placeholder:"FORMAT" help:"csv or json."`
}

// Load is what "popeye load" takes.
type Load struct {
	URL         string        `name:"url" default:"http://localhost:8080" placeholder:"URL" help:"Address of Popeye."`
	Poll        string        `placeholder:"ID" help:"Poll to vote in; nobody else should vote there meanwhile. Default: the only open one."`
	Votes       int           `default:"10000" placeholder:"N" help:"Votes to cast, each by a voter of its own."`
	Concurrency int           `default:"64" placeholder:"C" help:"Votes in flight at a time."`
	Rate        float64       `default:"0" placeholder:"R" help:"Votes to begin each second, whatever the answers do (open loop). 0: each answer begins the next vote."`
	Viewers     int           `default:"0" placeholder:"V" help:"More live streams to follow meanwhile."`
	Timeout     time.Duration `default:"10s" placeholder:"D" help:"How long to wait for one answer."`
}

// Docs is "popeye docs".
type Docs struct{}

// Version is "popeye version".
type Version struct{}

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

// Parse reads the command line and the environment. It returns the settings and
// the command, such as "polls open <poll>". Every flag can be set by a variable,
// POPEYE_ and the flag's name in capitals; the flag wins.
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
		return nil, "", fmt.Errorf("%w\nSee popeye --help", err)
	}
	if err := cli.complete(parsed.Command(), env.Getenv); err != nil {
		return nil, "", err
	}
	return cli, parsed.Command(), nil
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
			set := variable(v.Flag)
			if v.Default != "" {
				set = "default " + v.Default + ", " + set
			}
			return v.Help + " [" + set + "]"
		}),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.UsageOnError(),
	)
}

// variable returns the name of the environment variable that sets flag.
func variable(flag *kong.Flag) string {
	return "POPEYE_" + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
}

// variables resolves flags from the environment.
func variables(getenv func(string) string) kong.Resolver {
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		if value := getenv(variable(flag)); value != "" && flag.Name != "help" {
			return value, nil
		}
		return nil, nil //nolint:nilnil // how a resolver says that it knows nothing
	})
}

// complete fills in what depends on the environment, and checks what kong
// cannot.
func (c *CLI) complete(command string, getenv func(string) string) error {
	switch {
	case command == "all":
		return c.All.complete(getenv)
	case strings.HasPrefix(command, "polls"):
		return c.Polls.complete(getenv)
	case command == "load":
		return c.Load.check()
	default:
		return nil
	}
}

func (a *All) complete(getenv func(string) string) error {
	if a.Data == "" {
		dir, err := dataDir(getenv)
		if err != nil {
			return err
		}
		a.Data = dir
	}
	if !(a.RateLimit >= 0) || math.IsInf(a.RateLimit, 1) || a.MaxViewers < 1 || a.QueueCapacity < 1 {
		return errors.New("--rate-limit must be 0 or more, --max-viewers and --queue-capacity at least 1")
	}
	return nil
}

func (p *Polls) complete(getenv func(string) string) error {
	if err := checkURL("--server", p.Server); err != nil {
		return err
	}
	if p.TokenFile != "" {
		return nil
	}
	dir := p.Data
	if dir == "" {
		var err error
		if dir, err = dataDir(getenv); err != nil {
			return err
		}
	}
	p.TokenFile = filepath.Join(dir, AdminTokenName)
	return nil
}

func (l *Load) check() error {
	if l.Votes < 1 || l.Concurrency < 1 || l.Rate < 0 || l.Timeout <= 0 {
		return errors.New("--votes and --concurrency must be at least 1, --rate 0 or more, --timeout above 0")
	}
	return checkURL("--url", l.URL)
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
