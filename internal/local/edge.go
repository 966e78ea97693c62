package local

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// idle is how many connections to each process the edge keeps.
	idle = 64
	// idleLimit is for how long it keeps them: less long than the processes do.
	idleLimit = time.Minute
)

// Edge returns what stands before the roles where people look: it sends each
// request to a process of the role that serves its address, in turn, and to the
// next one where nobody listens. It is no more than what the simplest ingress
// does.
func (s *Setup) Edge() (http.Handler, error) {
	e := edge{}
	transport := &http.Transport{MaxIdleConnsPerHost: idle, IdleConnTimeout: idleLimit, DisableCompression: true}
	for _, role := range []Role{Poll, Result, Admin} {
		r := &replicas{transport: transport}
		for _, address := range s.URLs(role) {
			u, err := url.Parse(address)
			if err != nil {
				return nil, fmt.Errorf("read the address of a process of the role %s: %w", role, err)
			}
			r.hosts = append(r.hosts, u.Host)
		}
		if len(r.hosts) == 0 {
			return nil, fmt.Errorf("there is no process of the role %s", role)
		}
		e[role] = newProxy(r)
	}
	return e, nil
}

func newProxy(r *replicas) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport: r,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme = "http"
			r.Out.Host = r.In.Host // by which pages of other sites are told from ours
			r.SetXForwarded()
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			http.Error(w, "The process that should have answered did not.", http.StatusBadGateway)
		},
		ErrorLog: noLog(),
	}
}

// noLog keeps it from the default logger that somebody has left while a page was
// sent.
func noLog() *log.Logger { return log.New(io.Discard, "", 0) }

// edge has a way to the processes of each role.
type edge map[Role]http.Handler

// ServeHTTP answers a request with the answer of a role.
func (e edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e[roleOf(r.URL.Path)].ServeHTTP(w, r)
}

// roleOf returns the role that serves a path.
func roleOf(path string) Role {
	for _, route := range []struct {
		prefix string
		role   Role
	}{
		{"/r/", Result},
		{"/api/v1/results/", Result},
		{"/api/v1/receipts/", Result},
		{"/admin/", Admin},
	} {
		if strings.HasPrefix(path+"/", route.prefix) {
			return route.role
		}
	}
	return Poll
}

// replicas are the processes of a role, where requests go to in turn.
type replicas struct {
	transport http.RoundTripper
	hosts     []string
	turn      atomic.Uint64
}

// RoundTrip sends a request to one process. Only where nobody listens it takes
// the next one: as soon as a byte was sent, a vote may have been taken.
func (r *replicas) RoundTrip(request *http.Request) (*http.Response, error) {
	turn := r.turn.Add(1)
	var errs []error
	for i := range uint64(len(r.hosts)) {
		attempt := request.Clone(request.Context())
		attempt.URL.Host = r.hosts[(turn+i)%uint64(len(r.hosts))]
		if request.Body != nil {
			attempt.Body = io.NopCloser(request.Body) // an attempt that fails closes it
		}
		response, err := r.transport.RoundTrip(attempt)
		if err == nil || !isUnreached(err) {
			return response, err
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func isUnreached(err error) bool {
	var failed *net.OpError
	return errors.As(err, &failed) && failed.Op == "dial"
}
