// Package local runs a distributed Popeye on this machine: queue servers, a
// database, and several processes of each role, on free ports of 127.0.0.1. Every
// part can be broken by its name. The drill does that; whoever has no containers
// at hand can work with it.
package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"popeye/internal/lab"
)

const (
	// database is the name of Popeye's.
	database = "popeye"
	// migrateLimit bounds the making of the schema.
	migrateLimit = 2 * time.Minute

	// Names of the secrets.
	voterKeysName  = "voter.keys"
	cookieKeysName = "cookie.keys"
	tokenName      = "admin-token"
)

// Config says how large a Popeye is to be.
type Config struct {
	// Binary is the popeye to start.
	Binary string
	// Dir is where the data, the secrets and the logs lie, made if it is missing.
	// What is there already is gone on with.
	Dir string
	// Servers is how many queue servers there are, Copies how many of them get
	// each vote: more than half.
	Servers, Copies int
	// Replicas is how many processes each role has.
	Replicas map[Role]int
	// Linked puts a link before each server, by which it can be cut off. It costs
	// processor time.
	Linked bool
}

// Setup is a Popeye that runs. It has to be closed.
type Setup struct {
	cfg   Config
	parts []*Part
	// Token is the administration token.
	Token string

	servers  []*Part
	database *Part
}

// Start starts all parts and waits until they are ready.
func Start(ctx context.Context, cfg Config) (*Setup, error) {
	s := &Setup{cfg: cfg}
	for _, step := range []func(context.Context) error{s.prepare, s.startServers, s.migrate, s.startRoles} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, s.Close()) //nolint:contextcheck // ends it even when ctx is done
		}
	}
	return s, nil
}

// prepare makes the folders and the secrets.
func (s *Setup) prepare(context.Context) error {
	dir, err := filepath.Abs(s.cfg.Dir)
	if err != nil {
		return err
	}
	s.cfg.Dir = dir
	if err := os.MkdirAll(s.path("logs"), 0o755); err != nil { //nolint:gosec // the database's user has to get through
		return fmt.Errorf("make the folder: %w", err)
	}
	for _, name := range []string{voterKeysName, cookieKeysName} {
		if _, err := secret(s.path(name)); err != nil {
			return err
		}
	}
	s.Token, err = secret(s.path(tokenName))
	return err
}

func (s *Setup) path(name string) string { return filepath.Join(s.cfg.Dir, name) }

// secret returns the content of a file, which is made if it is missing.
func secret(file string) (string, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		text = []byte(rand.Text() + rand.Text())
		err = os.WriteFile(file, append(text, '\n'), 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("keep a secret: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

func (s *Setup) logFile(name string) string { return filepath.Join(s.path("logs"), name+".log") }

// migrate makes the schema.
func (s *Setup) migrate(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, migrateLimit)
	defer cancel()
	p, err := lab.NewProcess(lab.Command{
		Path: s.cfg.Binary, Args: []string{"migrate", "--database", s.dsn()}, LogFile: s.logFile("migrate"),
	})
	if err != nil {
		return err
	}
	if err = p.Begin(ctx); err == nil {
		err = p.Wait(ctx)
	}
	if err != nil {
		err = fmt.Errorf("popeye migrate: %w\n%s", err, p.Log())
	}
	return errors.Join(err, p.Close())
}

func (s *Setup) dsn() string { return lab.PostgresDSN(s.database.addr, "postgres", database) }

// startRoles starts all processes of all roles, in no order, as they have to
// bear.
func (s *Setup) startRoles(ctx context.Context) error {
	for _, role := range Roles() {
		for i := range s.cfg.Replicas[role] {
			p, err := s.newRole(ctx, role, fmt.Sprintf("%s-%d", role, i+1))
			if err != nil {
				return err
			}
			s.parts = append(s.parts, p)
		}
	}
	starting, ctx := errgroup.WithContext(ctx)
	for _, p := range s.parts {
		if p.Role != "" {
			starting.Go(func() error { return p.Start(ctx) })
		}
	}
	return starting.Wait()
}

// Parts returns all parts, servers first.
func (s *Setup) Parts() []*Part { return s.parts }

// Part returns the part of that name, or nil.
func (s *Setup) Part(name string) *Part {
	for _, p := range s.parts {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// URLs returns where the processes of a role serve.
func (s *Setup) URLs(role Role) []string {
	var urls []string
	for _, p := range s.parts {
		if p.Role == role {
			urls = append(urls, p.URL)
		}
	}
	return urls
}

// AwaitReady waits until every process of every role says that it is ready.
func (s *Setup) AwaitReady(ctx context.Context) error {
	waiting, ctx := errgroup.WithContext(ctx)
	for _, p := range s.parts {
		if p.Role != "" {
			waiting.Go(func() error { return p.awaitReady(ctx) })
		}
	}
	return waiting.Wait()
}

// Close ends all parts: first the roles, then the servers that they need.
func (s *Setup) Close() error {
	return errors.Join(
		endAll(s.parts, func(p *Part) bool { return p.Role != "" }),
		endAll(s.parts, func(p *Part) bool { return p.Role == "" }),
	)
}

// endAll ends some of the parts at the same time.
func endAll(parts []*Part, which func(*Part) bool) error {
	errs := make([]error, len(parts))
	var ending sync.WaitGroup
	for i, p := range parts {
		if which(p) {
			ending.Go(func() { errs[i] = p.end() })
		}
	}
	ending.Wait()
	return errors.Join(errs...)
}
