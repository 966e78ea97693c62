package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sync/errgroup"

	"popeye/internal/lab"
)

// startServers starts the queue servers and the database.
func (s *Setup) startServers(ctx context.Context) error {
	s.servers = make([]*Part, s.cfg.Servers)
	var starting errgroup.Group
	for i := range s.servers {
		starting.Go(func() (err error) {
			s.servers[i], err = s.startRedis(ctx, fmt.Sprintf("redis-%d", i+1))
			return err
		})
	}
	starting.Go(func() (err error) {
		s.database, err = s.startPostgres(ctx)
		return err
	})
	err := starting.Wait()
	for _, p := range append(slices.Clone(s.servers), s.database) {
		if p != nil {
			s.parts = append(s.parts, p)
		}
	}
	return err
}

func (s *Setup) startRedis(ctx context.Context, name string) (*Part, error) {
	port, err := s.portOf(name)
	if err != nil {
		return nil, err
	}
	server, err := lab.StartRedis(ctx, lab.RedisConfig{
		Dir: s.path(name), LogFile: s.logFile(name), Port: port, Options: []string{"--maxmemory", "1gb"},
	})
	if err != nil {
		return nil, err
	}
	if err := s.keepPort(name, server.Addr()); err != nil {
		return nil, errors.Join(err, server.Close())
	}
	p := &Part{Name: name, Process: server.Process, wipe: server.Wipe, close: server.Close, addr: server.Addr()}
	return p, s.link(ctx, p)
}

// portOf returns the port that a queue server had the last time, or zero. The
// store knows queue servers by their addresses.
func (s *Setup) portOf(name string) (int, error) {
	text, err := os.ReadFile(s.path(name + ".port"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(text))
}

func (s *Setup) keepPort(name, addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	return os.WriteFile(s.path(name+".port"), []byte(port), 0o600)
}

func (s *Setup) startPostgres(ctx context.Context) (*Part, error) {
	server, err := lab.StartPostgres(ctx, lab.PostgresConfig{Dir: s.path("postgres"), LogFile: s.logFile("postgres")})
	if err != nil {
		return nil, err
	}
	p := &Part{Name: "postgres", Process: server.Process, close: server.Close, addr: server.Addr()}
	if err := s.link(ctx, p); err != nil {
		return p, err
	}
	return p, server.EnsureDatabase(ctx, database)
}

// link puts a link before a server if that is wanted.
func (s *Setup) link(ctx context.Context, p *Part) (err error) {
	if !s.cfg.Linked {
		return nil
	}
	if p.link, err = lab.NewLink(ctx, p.addr); err == nil {
		p.addr = p.link.Addr()
	}
	return err
}
