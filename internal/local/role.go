package local

import (
	"context"
	"errors"
	"strconv"

	"popeye/internal/lab"
)

// Role names what a process does.
type Role string

// The four roles.
const (
	Poll   Role = "poll"
	Worker Role = "worker"
	Result Role = "result"
	Admin  Role = "admin"
)

// Roles returns all roles.
func Roles() []Role { return []Role{Poll, Worker, Result, Admin} }

// newRole prepares a process of a role. It keeps its ports when it is started
// again.
func (s *Setup) newRole(ctx context.Context, role Role, name string) (*Part, error) {
	listen, err := lab.NewPort(ctx)
	if err != nil {
		return nil, err
	}
	ops, err := lab.NewPort(ctx)
	if err != nil {
		return nil, errors.Join(err, listen.Close())
	}
	ready := lab.ReadyAt("http://" + ops.Addr() + "/readyz")
	process, err := lab.NewProcess(lab.Command{
		Path: s.cfg.Binary, Args: s.arguments(role, listen.Addr(), ops.Addr()), Ready: ready, LogFile: s.logFile(name),
	})
	if err != nil {
		return nil, errors.Join(err, listen.Close(), ops.Close())
	}
	p := &Part{Name: name, Role: role, Process: process, ready: ready}
	if role != Worker {
		p.URL = "http://" + listen.Addr()
	}
	p.close = func() error { return errors.Join(process.Close(), listen.Close(), ops.Close()) }
	return p, nil
}

// arguments returns what a process of the role is started with.
func (s *Setup) arguments(role Role, listen, ops string) []string {
	args := []string{string(role), "--ops-addr", ops, "--log-format", "json"}
	if role != Worker {
		args = append(args, "--listen", listen)
	}
	if role == Poll || role == Worker {
		for _, server := range s.servers {
			args = append(args, "--queue", "redis://"+server.addr)
		}
		args = append(args, "--queue-copies", strconv.Itoa(s.cfg.Copies))
	}
	if role != Poll {
		args = append(args, "--database", s.dsn())
	}
	switch role {
	case Poll:
		args = append(args, "--voter-key-file", s.path(voterKeysName), "--cookie-key-file", s.path(cookieKeysName))
	case Result:
		args = append(args, "--cookie-key-file", s.path(cookieKeysName))
	case Admin:
		args = append(args, "--admin-token-file", s.path(tokenName))
	}
	return args
}
