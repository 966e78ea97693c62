package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// RedisConfig says how a Redis server is to be.
type RedisConfig struct {
	// Program is redis-server or what is like it. Empty: the first that
	// RedisPrograms finds.
	Program string
	// Dir is where its data lies, made if it is missing. Empty: a temporary one,
	// which Close removes.
	Dir string
	// Options are settings of the command line such as "--maxmemory", "8mb",
	// behind those that make it durable.
	Options []string
	// Port is where it listens, for data that somebody knows by its address. Zero: a
	// free one.
	Port int
	// LogFile is where its log goes to. Empty: nowhere.
	LogFile string
}

// Redis is a server of its own, durable unless its options say otherwise:
// appendonly yes, appendfsync always, maxmemory-policy noeviction. The methods of
// Process break it; Start starts it again on the same port and data.
type Redis struct {
	*Process
	port *Port
	dir  dir
}

// RedisPrograms returns which servers that speak Redis's protocol are installed:
// redis-server and valkey-server, in this order.
func RedisPrograms() []string {
	return slices.DeleteFunc([]string{"redis-server", "valkey-server"}, func(name string) bool {
		_, err := exec.LookPath(name)
		return err != nil
	})
}

// StartRedis starts a server and waits until it answers. It has to be closed.
func StartRedis(ctx context.Context, cfg RedisConfig) (*Redis, error) {
	r, err := newRedis(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("set up Redis: %w", err)
	}
	if err := r.Start(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func newRedis(ctx context.Context, cfg RedisConfig) (*Redis, error) {
	if cfg.Program == "" {
		programs := RedisPrograms()
		if len(programs) == 0 {
			return nil, errors.New("redis-server is not installed: make deps, or on Debian apt-get install redis-server")
		}
		cfg.Program = programs[0]
	}
	r := &Redis{}
	var err error
	if r.dir, err = newDir(cfg.Dir); err != nil {
		return nil, err
	}
	if r.port, err = portFor(ctx, cfg.Port); err != nil {
		return nil, errors.Join(err, r.dir.remove())
	}
	r.Process, err = NewProcess(Command{
		Path: cfg.Program,
		Args: append([]string{
			"--bind", "127.0.0.1", "--port", r.port.String(), "--dir", r.dir.path, "--daemonize", "no",
			"--save", "", "--appendonly", "yes", "--appendfsync", "always", "--no-appendfsync-on-rewrite", "no",
			"--maxmemory-policy", "noeviction",
		}, cfg.Options...),
		LogFile: cfg.LogFile,
		Ready:   r.ready,
	})
	if err != nil {
		return nil, errors.Join(err, r.port.Close(), r.dir.remove())
	}
	return r, nil
}

func portFor(ctx context.Context, number int) (*Port, error) {
	if number == 0 {
		return NewPort(ctx)
	}
	return TakePort(ctx, number)
}

// Addr returns host and port.
func (r *Redis) Addr() string { return r.port.Addr() }

// URL returns the address as a redis:// URL.
func (r *Redis) URL() string { return "redis://" + r.Addr() }

// Wipe kills the server and removes its data, as if its disk were gone. Start
// then starts an empty one.
func (r *Redis) Wipe() error {
	if err := r.Kill(); err != nil {
		return err
	}
	return r.dir.empty()
}

// Close kills the server, and removes its data if its folder is a temporary one.
func (r *Redis) Close() error {
	return errors.Join(r.Process.Close(), r.port.Close(), r.dir.remove())
}

// ready sends a PING, to which a server that still loads its data does not
// answer PONG.
func (r *Redis) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", r.Addr())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // the answer is all that counts
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if answer = strings.TrimSpace(answer); answer != "+PONG" {
		return fmt.Errorf("it answers %s", answer)
	}
	return nil
}

// dir is a folder for data.
type dir struct {
	path      string
	temporary bool
}

// newDir returns the folder of that path, or a temporary one if path is empty.
func newDir(path string) (dir, error) {
	if path == "" {
		path, err := os.MkdirTemp("", "popeye-lab-")
		return dir{path, true}, err
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return dir{}, err
	}
	return dir{path, false}, os.MkdirAll(path, 0o700)
}

// empty removes all that is in the folder.
func (d dir) empty() error {
	entries, err := os.ReadDir(d.path)
	for _, entry := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(d.path, entry.Name())))
	}
	return err
}

func (d dir) remove() error {
	if !d.temporary {
		return nil
	}
	return os.RemoveAll(d.path)
}
