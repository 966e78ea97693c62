package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
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

// lull is for how long nobody has to come before a server that drains believes
// that nobody is sent to it any more: longer than a proxy takes to hear that.
const lull = 4 * time.Second

// Server serves one handler on one listener, and ends without dropping what is
// in flight.
type Server struct {
	// Listener is closed by Run.
	Listener net.Listener
	Handler  http.Handler
	Log      *slog.Logger
	// Grace is how long requests in flight may take once Run is told to end.
	Grace time.Duration
	// Drain is how long Run goes on serving at most once it is told to end, for
	// whoever has not heard of it yet. It ends earlier when nobody comes any more.
	// 0: not at all.
	Drain time.Duration
	// End, if not nil, is called once when nobody is let in any more, while Run
	// waits for requests: it ends what would not end by itself, such as event
	// streams.
	End func()
}

// Run serves until ctx is done, then drains, takes no new connections and
// returns when the requests in flight have their answers, or Grace is over. It
// returns nil after a clean end. Where the cause of the end is a part that has
// failed, nothing is drained: others serve better.
func (s *Server) Run(ctx context.Context) error {
	var (
		silent silentConns
		seen   visits
	)
	server := &http.Server{
		Handler:           seen.partingFrom(s.Handler),
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
	server.ConnState = func(conn net.Conn, state http.ConnState) {
		silent.note(conn, state)
		seen.note(state)
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(s.Listener) }()
	var broken error
	select {
	case broken = <-failed:
	case <-ctx.Done():
		if s.Drain > 0 && errors.Is(context.Cause(ctx), context.Canceled) {
			broken = seen.untilLull(s.Drain, failed)
		}
	}
	if broken != nil {
		broken = fmt.Errorf("serve on %s: %w", s.Listener.Addr(), broken)
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
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if s.End != nil {
			s.End()
		}
	}()
	err := server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests were still in flight after %s: %w", s.Grace, err), server.Close())
	}
	select {
	case <-ended:
		return err
	case <-ctx.Done():
	}
	select {
	case <-ended: // both had come
		return err
	default:
		return errors.Join(err, fmt.Errorf("streams were still open after %s: %w", s.Grace, ctx.Err()))
	}
}

// visits know, once untilLull has begun, when somebody came last, by a new
// connection or by a request on one that was kept.
type visits struct {
	last    atomic.Int64 // nanoseconds since 1970
	parting atomic.Bool
}

// note is an http.Server's ConnState.
func (v *visits) note(state http.ConnState) {
	if !v.parting.Load() {
		return
	}
	if state == http.StateNew || state == http.StateActive {
		v.last.Store(time.Now().UnixNano())
	}
}

// partingFrom returns h, which closes connections behind its answers once
// untilLull has begun. Connections that nobody uses stay open meanwhile: whoever
// sends a vote at the moment in which its connection is closed cannot know what
// became of it.
func (v *visits) partingFrom(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if v.parting.Load() {
			w.Header().Set("Connection", "close")
		}
		h.ServeHTTP(w, r)
	})
}

// untilLull waits until nobody has come for a while, or most is over. It returns
// an error early when the server has failed.
func (v *visits) untilLull(most time.Duration, failed <-chan error) error {
	v.last.Store(time.Now().UnixNano())
	v.parting.Store(true)
	over := time.NewTimer(most)
	defer over.Stop()
	for {
		rest := lull - time.Since(time.Unix(0, v.last.Load()))
		if rest <= 0 {
			return nil
		}
		select {
		case <-time.After(rest):
		case <-over.C:
			return nil
		case err := <-failed:
			return err
		}
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
