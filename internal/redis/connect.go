package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// Sizes of a connection's parts. Votes go through one connection, where they
// share what a call costs; a few more wait for votes.
const (
	bufferSize     = 64 << 10
	callsUnderWay  = 8 // as a power of two
	blockedAtATime = 64
)

var errNotAsked = errors.New("nobody has asked for a connection yet")

// connect returns a client that connects when it is first used.
func connect(c *Config) (rueidis.Client, error) {
	d := &dialer{cfg: c}
	option := rueidis.ClientOption{
		InitAddress: []string{c.Place},
		Username:    c.Username,
		Password:    c.Password,
		DialCtxFn:   d.dial,
		// A server that says nothing is asked whether it is there every fifth of the
		// timeout, and given up after three: between three and all five of them after
		// its last word. So a call needs no timer of its own.
		Dialer:           net.Dialer{Timeout: c.Timeout, KeepAlive: c.Timeout / 5},
		ConnWriteTimeout: c.Timeout * 3 / 5,

		ForceSingleClient: true,
		PipelineMultiplex: -1,
		// So that the loss of a connection is noticed at once, not by the next call.
		AlwaysPipelining: true,
		DisableRetry:     true,
		DisableCache:     true,
		ClientSetInfo:    rueidis.DisableClientSetInfo,

		ReadBufferEachConn:  bufferSize,
		WriteBufferEachConn: bufferSize,
		RingScaleEachConn:   callsUnderWay,
		BlockingPoolSize:    blockedAtATime,
	}
	if c.TLS {
		host, _, err := net.SplitHostPort(c.Place)
		if err != nil {
			return nil, fmt.Errorf("read its place: %w", err)
		}
		option.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host, RootCAs: c.Roots}
	}
	client, err := rueidis.NewClient(option)
	if client == nil || !errors.Is(err, errNotAsked) {
		return nil, err
	}
	d.asked.Store(true)
	return client, nil
}

// dialer makes connections to a server that is as durable as it has to be, and
// no others.
type dialer struct {
	cfg   *Config
	asked atomic.Bool
}

func (d *dialer) dial(ctx context.Context, place string, plain *net.Dialer, over *tls.Config) (net.Conn, error) {
	if !d.asked.Load() {
		return nil, errNotAsked
	}
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	conn, err := d.reach(ctx, place, plain, over)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	err = conn.SetDeadline(deadline)
	if err == nil {
		err = inspect(conn, d.cfg)
	}
	if err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	if err != nil {
		_ = conn.Close() // nothing was entrusted to it
		return nil, err
	}
	return conn, nil
}

func (d *dialer) reach(ctx context.Context, place string, plain *net.Dialer, over *tls.Config) (net.Conn, error) {
	if over == nil {
		return plain.DialContext(ctx, "tcp", place)
	}
	secure := tls.Dialer{NetDialer: plain, Config: over}
	return secure.DialContext(ctx, "tcp", place)
}
