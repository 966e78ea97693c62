// Package redis is one queue server: Redis, or another that speaks its protocol
// as of version 7.0. A Server is what poll and worker ask of it; a Consumer takes
// votes from it.
//
// All that Popeye keeps there is in keys that begin with {popeye}: and so in one
// slot of a cluster. What has to happen at once is a script, in lua/; they say
// what the keys hold.
package redis

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"net"
	"time"

	"github.com/redis/rueidis"

	"popeye"
)

// What a Config leaves out.
const (
	DefaultTimeout   = 5 * time.Second
	DefaultShare     = 0.8
	DefaultLease     = 10 * time.Second
	DefaultRetention = 10 * time.Minute
	DefaultMemory    = 24 * time.Hour
)

// Config is what a Server can be told. All but Place may be left out.
type Config struct {
	// Place is where the server is: host and port.
	Place string
	// Username and Password are those of the server's access control list. A
	// password alone is that of the default user.
	Username, Password string
	// TLS: the server is reached by TLS, and has to have a certificate from one of
	// Roots, or where that is nil, one that the system trusts.
	TLS   bool
	Roots *x509.CertPool
	// Timeout bounds how long the server may take to be reached, and to answer.
	// Zero means DefaultTimeout.
	Timeout time.Duration
	// Durability is what is asked of the server. Empty means Strict.
	Durability Durability
	// Share is how much of the server's memory may be in use for votes to be
	// taken: of its maxmemory, or where that is 0, of its machine's. Zero means
	// DefaultShare.
	Share float64
	// Lease is how long a consumer may hold a vote before others take it too. Zero
	// means DefaultLease.
	Lease time.Duration
	// Retention is for how long acknowledged votes are kept in the stream, as far
	// as there is room. Zero means DefaultRetention.
	Retention time.Duration
	// Memory is for how long it is kept who has voted in rounds that have ended,
	// and how far workers have come that have. Zero means DefaultMemory.
	Memory time.Duration
}

func (c Config) withDefaults() Config {
	c.Timeout = orElse(c.Timeout, DefaultTimeout)
	c.Durability = orElse(c.Durability, Strict)
	c.Share = orElse(c.Share, DefaultShare)
	c.Lease = orElse(c.Lease, DefaultLease)
	c.Retention = orElse(c.Retention, DefaultRetention)
	c.Memory = orElse(c.Memory, DefaultMemory)
	return c
}

func orElse[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

func (c Config) validate() error {
	if host, port, err := net.SplitHostPort(c.Place); err != nil || host == "" || port == "" {
		return fmt.Errorf("the place of a queue server is host and port, not %q", c.Place)
	}
	if c.Durability != Strict && c.Durability != Managed && c.Durability != None {
		return fmt.Errorf("the durability of a queue server is %s, %s or %s, not %q", Strict, Managed, None, c.Durability)
	}
	if c.Share < 0 || c.Share > 1 {
		return fmt.Errorf("the share of a queue server's memory is above 0 and at most 1, not %g", c.Share)
	}
	return nil
}

// Server is one queue server. Its methods may be used by several goroutines, and
// fail with popeye.ErrUnavailable while the server is away, or is not as durable
// as it has to be; as soon as that is mended they work again.
type Server struct {
	cfg     Config
	client  rueidis.Client
	scripts scripts
	casts   casts
	room    room
}

// Open returns the server, which need not be up. It has to be shut down.
func Open(c Config) (*Server, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, err
	}
	scripts, err := loadScripts()
	if err != nil {
		return nil, fmt.Errorf("load the scripts for a queue server: %w", err)
	}
	client, err := connect(&c)
	if err != nil {
		return nil, fmt.Errorf("set up the queue server %s: %w", c.Place, err)
	}
	s := &Server{cfg: c, client: client, scripts: scripts}
	s.room = room{share: c.Share, began: time.Now(), ask: s.memory}
	s.casts.send = s.send
	return s, nil
}

// Place returns where the server is: host and port.
func (s *Server) Place() string { return s.cfg.Place }

// Shutdown ends all connections, once every call under way has returned, which
// it does within the Timeout. Later calls fail.
func (s *Server) Shutdown() {
	s.casts.shut()
	s.client.Close()
}

// run runs a script. It never runs it twice, unless the server does not know it
// yet.
func (s *Server) run(ctx context.Context, script *rueidis.Lua, keys, args []string) rueidis.RedisResult {
	return script.Exec(ctx, s.client, keys, args)
}

// failed says what could not be done and wraps the error that the contract asks
// for. What a server says of a command that it does not know is cut short, since
// it repeats the command, which may be a vote.
func (s *Server) failed(doing string, err error) error {
	refusal, ok := rueidis.IsRedisErr(err)
	switch {
	case !ok:
		return fmt.Errorf("%w: %s on queue server %s: %w", popeye.ErrUnavailable, doing, s.cfg.Place, err)
	case isFull(refusal.Error()):
		return fmt.Errorf("%s on queue server %s: %w", doing, s.cfg.Place, popeye.ErrFull)
	default:
		return fmt.Errorf("%w: %s: the queue server %s says: %s", popeye.ErrUnavailable, doing, s.cfg.Place, brief(refusal.Error()))
	}
}

// newIdentity is what a server's data are to be known by if they have no name yet.
// Each is used once: what lost its data must not get the same again.
func newIdentity() string { return rand.Text() }

// isNil reports whether there is nothing where something was asked for.
func isNil(err error) bool { return err != nil && rueidis.IsRedisNil(err) }
