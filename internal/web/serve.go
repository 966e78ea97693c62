package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Limits on a client that is slow or worse.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 16 << 10
	silentPatience    = 500 * time.Millisecond
)

// Server serves one handler on one listener, and ends without dropping what is
// in flight.
type Server struct {
	// Listener is closed by Run.
	Listener net.Listener
	Handler  http.Handler
	Log      *slog.Logger
	// Grace is how long requests in flight may take once Run is told to end.
	Grace time.Duration
	// Drain, if not nil, is called once when Run ends, while it waits for
	// requests: it ends what would not end by itself, such as event streams.
	Drain func()
}

// Run serves until ctx is done, then takes no new connections and returns when
// the requests in flight have their answers, or Grace is over. It returns nil
// after a clean end.
func (s *Server) Run(ctx context.Context) error {
	server := &http.Server{
		Handler:           s.Handler,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
	var silent silentConns
	server.ConnState = silent.note
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(s.Listener) }()
	var broken error
	select {
	case err := <-failed:
		broken = fmt.Errorf("serve on %s: %w", s.Listener.Addr(), err)
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.Grace)
	defer cancel()
	// Browsers open connections in advance. One that stays silent is not worth
	// the five seconds that net/http grants it.
	patience := time.AfterFunc(silentPatience, silent.close)
	defer patience.Stop()
	return errors.Join(broken, s.shutDown(ctx, server))
}

// shutDown takes no new connections, and waits until everything has ended.
func (s *Server) shutDown(ctx context.Context, server *http.Server) error {
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		if s.Drain != nil {
			s.Drain()
		}
	}()
	err := server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests were still in flight after %s: %w", s.Grace, err), server.Close())
	}
	select {
	case <-drained:
		return err
	case <-ctx.Done():
	}
	select {
	case <-drained: // both had come
		return err
	default:
		return errors.Join(err, fmt.Errorf("streams were still open after %s: %w", s.Grace, ctx.Err()))
	}
}

// silentConns are the connections on which nothing has come yet.
type silentConns struct {
	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// note is an http.Server's ConnState.
func (c *silentConns) note(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state != http.StateNew {
		delete(c.conns, conn)
		return
	}
	if c.conns == nil {
		c.conns = map[net.Conn]struct{}{}
	}
	c.conns[conn] = struct{}{}
}

func (c *silentConns) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.conns {
		_ = conn.Close() // its client has not begun, and will see
	}
}
