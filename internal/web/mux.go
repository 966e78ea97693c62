package web

import (
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
)

// Mux routes requests by patterns as http.ServeMux does. What no pattern takes
// is answered like any other error, by the Renderer of its prefix.
type Mux struct {
	mux       *http.ServeMux
	log       *slog.Logger
	renderers []prefixed
	otherwise Renderer
}

type prefixed struct {
	prefix string
	render Renderer
}

// NewMux returns a Mux that shows problems by render.
func NewMux(log *slog.Logger, render Renderer) *Mux {
	return &Mux{mux: http.NewServeMux(), log: log, otherwise: render}
}

// Render makes render show the problems of paths below prefix.
func (m *Mux) Render(prefix string, render Renderer) {
	m.renderers = append(m.renderers, prefixed{prefix, render})
}

// Handle routes a pattern such as "GET /p/{poll}" to h, whose errors are shown
// by the renderer of the pattern's path.
func (m *Mux) Handle(pattern string, h Handler) {
	path := pattern[strings.Index(pattern, "/"):]
	m.mux.Handle(pattern, Handle(m.log, m.rendererOf(path), h))
}

// Mount routes a pattern to a plain http.Handler.
func (m *Mux) Mount(pattern string, h http.Handler) { m.mux.Handle(pattern, h) }

func (m *Mux) rendererOf(path string) Renderer {
	for _, p := range m.renderers {
		if strings.HasPrefix(path, p.prefix) {
			return p.render
		}
	}
	return m.otherwise
}

// ServeHTTP answers r. A handler that panics costs its own request only.
func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer m.recover(w, r)
	if _, pattern := m.mux.Handler(r); pattern != "" {
		m.mux.ServeHTTP(w, r)
		return
	}
	refused := refusal{header: http.Header{}}
	m.mux.ServeHTTP(&refused, r)
	m.refuse(w, r, &refused)
}

// refuse answers as the standard mux would have, in our words.
func (m *Mux) refuse(w http.ResponseWriter, r *http.Request, refused *refusal) {
	if location := refused.header.Get("Location"); location != "" {
		http.Redirect(w, r, location, refused.status)
		return
	}
	p := NewProblem(http.StatusNotFound, "There is nothing at this address.")
	if refused.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", refused.header.Get("Allow"))
		p = NewProblem(refused.status, "This address takes "+refused.header.Get("Allow")+".")
	}
	Render(w, r, m.rendererOf(r.URL.Path), p)
}

func (m *Mux) recover(w http.ResponseWriter, r *http.Request) {
	reason := recover()
	if reason == nil {
		return
	}
	if reason == http.ErrAbortHandler { //nolint:errorlint // a panic's value, compared as net/http does
		panic(reason)
	}
	m.log.ErrorContext(r.Context(), "handler panicked", "method", r.Method, "route", r.Pattern, "panic", reason, "stack", string(debug.Stack()))
	Render(w, r, m.rendererOf(r.URL.Path), NewProblem(http.StatusInternalServerError, "Something went wrong on our side."))
}

// refusal keeps what the standard mux says to a request that it does not route.
type refusal struct {
	header http.Header
	status int
}

func (f *refusal) Header() http.Header         { return f.header }
func (f *refusal) Write(b []byte) (int, error) { return len(b), nil }
func (f *refusal) WriteHeader(status int)      { f.status = status }
