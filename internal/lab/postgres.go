package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

const (
	// superuser is the role that a cluster begins with.
	superuser = "postgres"
	// duplicateDatabase is the SQLSTATE of a database that is there already.
	duplicateDatabase = "42P04"
)

// PostgresConfig says how a PostgreSQL server is to be.
type PostgresConfig struct {
	// Dir is where its data lies, made if it is missing. Empty: a temporary one,
	// which Close removes.
	Dir string
	// Settings are lines of postgresql.conf such as "fsync=off".
	Settings []string
	// LogFile is where its log goes to. Empty: nowhere.
	LogFile string
}

// Postgres is a server with a cluster of its own, in which everybody on this
// machine is whom they say they are. It is small: 32 MB of buffers. The methods of
// Process break it; Start starts it again on the same port and data.
type Postgres struct {
	*Process
	port *Port
	dir  dir
}

// StartPostgres makes a cluster unless there is one in the folder, starts a
// server on it and waits until it takes connections. It has to be closed.
func StartPostgres(ctx context.Context, cfg PostgresConfig) (*Postgres, error) {
	p, err := newPostgres(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("set up PostgreSQL: %w", err)
	}
	if err := p.Start(ctx); err != nil {
		return nil, errors.Join(err, p.Close()) //nolint:contextcheck // ends it even when ctx is done
	}
	return p, nil
}

func newPostgres(ctx context.Context, cfg PostgresConfig) (*Postgres, error) {
	bin, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	account, err := unprivileged()
	if err != nil {
		return nil, err
	}
	p := &Postgres{}
	if p.dir, err = newDir(cfg.Dir); err != nil {
		return nil, err
	}
	if err := p.initialise(ctx, bin, account); err != nil {
		return nil, errors.Join(err, p.dir.remove())
	}
	if p.port, err = NewPort(ctx); err != nil {
		return nil, errors.Join(err, p.dir.remove())
	}
	p.Process, err = NewProcess(Command{
		Path: filepath.Join(bin, "postgres"), Args: p.arguments(cfg.Settings), Env: environment(),
		LogFile: cfg.LogFile, Account: account, Ready: p.ready,
		Quit: syscall.SIGINT, // "fast": it does not wait for clients to leave
	})
	if err != nil {
		return nil, errors.Join(err, p.port.Close(), p.dir.remove())
	}
	return p, nil
}

// initialise makes the cluster, unless it is there.
func (p *Postgres) initialise(ctx context.Context, bin string, account *Account) error {
	if _, err := os.Stat(p.data()); err == nil {
		return nil
	}
	if account != nil {
		if err := os.Chown(p.dir.path, int(account.UID), int(account.GID)); err != nil {
			return fmt.Errorf("give the folder to the server's user: %w", err)
		}
	}
	initdb, err := NewProcess(Command{
		Path: filepath.Join(bin, "initdb"),
		Args: []string{
			"--pgdata", p.data(), "--username", superuser, "--auth", "trust", "--encoding", "UTF8", "--locale", "C",
			"--no-sync", "--no-instructions",
		},
		Env: environment(), Account: account,
	})
	if err != nil {
		return err
	}
	if err := initdb.Begin(ctx); err != nil {
		return err
	}
	if err := initdb.Wait(ctx); err != nil {
		return fmt.Errorf("make a cluster: %w\n%s", errors.Join(err, initdb.Close()), initdb.Log())
	}
	return initdb.Close()
}

func (p *Postgres) arguments(settings []string) []string {
	args := []string{"-D", p.data()}
	for _, setting := range append([]string{
		"listen_addresses=127.0.0.1", "port=" + p.port.String(), "unix_socket_directories=" + p.dir.path,
		"shared_buffers=32MB", "max_connections=400", "logging_collector=off",
	}, settings...) {
		args = append(args, "-c", setting)
	}
	return args
}

func (p *Postgres) data() string { return filepath.Join(p.dir.path, "data") }

// Addr returns host and port.
func (p *Postgres) Addr() string { return p.port.Addr() }

// DSN returns the URL of a database, as the superuser.
func (p *Postgres) DSN(database string) string { return PostgresDSN(p.Addr(), superuser, database) }

// PostgresDSN returns the URL of a database at an address, such as that of a
// Link, as a user.
func PostgresDSN(addr, username, database string) string {
	return (&url.URL{
		Scheme: "postgres", User: url.User(username), Host: addr, Path: database, RawQuery: "sslmode=disable",
	}).String()
}

// Exec runs a statement in a database as the superuser, and returns what the
// server has against it.
func (p *Postgres) Exec(ctx context.Context, database, statement string) error {
	s, err := openSession(ctx, p.Addr(), superuser, database)
	if err != nil {
		return err
	}
	defer s.close()
	return s.run(statement)
}

// CreateDatabase makes an empty database. The name is quoted.
func (p *Postgres) CreateDatabase(ctx context.Context, name string) error {
	return p.Exec(ctx, "postgres", "CREATE DATABASE "+quote(name))
}

// EnsureDatabase makes a database unless there is one of that name.
func (p *Postgres) EnsureDatabase(ctx context.Context, name string) error {
	err := p.CreateDatabase(ctx, name)
	if err != nil && strings.Contains(err.Error(), duplicateDatabase) {
		return nil
	}
	return err
}

// DropDatabase removes a database, and throws out who uses it.
func (p *Postgres) DropDatabase(ctx context.Context, name string) error {
	return p.Exec(ctx, "postgres", "DROP DATABASE IF EXISTS "+quote(name)+" WITH (FORCE)")
}

// Close ends the server, and removes its cluster if its folder is a temporary
// one.
func (p *Postgres) Close() error {
	// One that is killed leaves a segment of shared memory behind.
	stopped := errors.Join(p.Resume(), p.Stop())
	return errors.Join(stopped, p.Process.Close(), p.port.Close(), p.dir.remove())
}

func (p *Postgres) ready(ctx context.Context) error {
	s, err := openSession(ctx, p.Addr(), superuser, "postgres")
	if err != nil {
		return err
	}
	s.close()
	return nil
}

// environment keeps the server's messages readable wherever it runs.
func environment() []string { return []string{"LC_ALL=C", "TZ=UTC"} }

// postgresPrograms returns the folder with the newest initdb and postgres: that
// of PATH, or where Debian keeps it.
func postgresPrograms() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		// PostgreSQL looks for its files beside its programs.
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path), nil
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", errors.New("PostgreSQL is not installed: make deps, or on Debian apt-get install postgresql")
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))) // what is no number is old
		return n
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return cmp.Compare(version(a), version(b)) })), nil
}

// unprivileged returns an account for the server where we are root, with whose
// rights PostgreSQL does not run.
func unprivileged() (*Account, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // nil is our own account
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, err
		}
		return &Account{uint32(uid), uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is no user postgres or nobody")
}
