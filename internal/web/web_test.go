package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"popeye"
	"popeye/internal/web"
)

func logTo(t *testing.T) *slog.Logger {
	t.Helper()
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

// answer serves one request with h.
func answer(h http.Handler, method, path, contentType, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	h.ServeHTTP(w, r)
	return w
}

func TestErrorsBecomeProblemsOnceAtTheEdge(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		status int
	}{
		"not found":   {fmt.Errorf("look: %w", popeye.ErrNotFound), 404},
		"closed":      {popeye.ErrClosed, 410},
		"unknown":     {popeye.ErrUnknownOption, 422},
		"number":      {fmt.Errorf("%w: choose 1", popeye.ErrWrongNumber), 422},
		"definition":  {&popeye.InvalidError{Field: "id", Reason: "is bad"}, 422},
		"exists":      {popeye.ErrExists, 409},
		"too large":   {&http.MaxBytesError{Limit: 5}, 413},
		"full":        {popeye.ErrFull, 503},
		"unavailable": {fmt.Errorf("%w: secret host", popeye.ErrUnavailable), 503},
		"timeout":     {context.DeadlineExceeded, 503},
		"bug":         {errors.New("secret host"), 500},
		"a problem":   {fmt.Errorf("x: %w", web.NewProblem(418, "tea")), 418},
	} {
		h := web.Handle(logTo(t), web.RenderJSON, func(http.ResponseWriter, *http.Request) error { return c.err })
		w := answer(h, http.MethodGet, "/", "", "")
		var problem struct {
			Status int
			Title  string
			Type   string
		}
		if err := json.Unmarshal(w.Body.Bytes(), &problem); err != nil {
			t.Errorf("%s: %v in %s", name, err, w.Body)
		}
		if w.Code != c.status || problem.Status != c.status || problem.Title == "" || problem.Type == "" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s: the client was told what is internal: %s", name, w.Body)
		}
		if w.Code == 503 && w.Header().Get("Retry-After") != "1" {
			t.Errorf("%s: Retry-After is %q", name, w.Header().Get("Retry-After"))
		}
		if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
			t.Errorf("%s: Content-Type is %s", name, got)
		}
	}
}

func testMux(t *testing.T) *web.Mux {
	t.Helper()
	m := web.NewMux(logTo(t), func(w http.ResponseWriter, _ *http.Request, p *web.Problem) {
		w.WriteHeader(p.Status)
		fmt.Fprint(w, "page: ", p.Detail)
	})
	m.Render("/api/", web.RenderJSON)
	m.Handle("GET /api/things/{id}", func(w http.ResponseWriter, r *http.Request) error {
		web.JSON(w, http.StatusOK, r.PathValue("id"))
		return nil
	})
	m.Handle("GET /api/panic", func(http.ResponseWriter, *http.Request) error { panic("boom") })
	return m
}

func TestWhatNoRouteTakesIsAProblemToo(t *testing.T) {
	m := testMux(t)
	if w := answer(m, http.MethodGet, "/api/nothing", "", ""); w.Code != 404 || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("unknown address: %d %s", w.Code, w.Body)
	}
	w := answer(m, http.MethodDelete, "/api/things/1", "", "")
	if w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" || !strings.Contains(w.Body.String(), "GET, HEAD") {
		t.Errorf("wrong method: %d, Allow %q, %s", w.Code, w.Header().Get("Allow"), w.Body)
	}
	if w := answer(m, http.MethodGet, "/nothing", "", ""); w.Code != 404 || !strings.HasPrefix(w.Body.String(), "page: ") {
		t.Errorf("unknown page: %d %s", w.Code, w.Body)
	}
	if w := answer(m, http.MethodGet, "//api/things/1", "", ""); w.Code < 300 || w.Code > 399 {
		t.Errorf("unclean path: %d, want a redirect", w.Code)
	}
}

func TestPanicCostsItsOwnRequestOnly(t *testing.T) {
	m := testMux(t)
	w := answer(m, http.MethodGet, "/api/panic", "", "")
	if w.Code != 500 || strings.Contains(w.Body.String(), "boom") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	if w := answer(m, http.MethodGet, "/api/things/1", "", ""); w.Code != 200 {
		t.Errorf("the next request got %d", w.Code)
	}
}

func TestBodiesAreBoundedTypedAndWellFormed(t *testing.T) {
	readJSON := web.Handle(logTo(t), web.RenderJSON, func(w http.ResponseWriter, r *http.Request) error {
		var v struct{ A string }
		return web.ReadJSON(w, r, &v, true)
	})
	readForm := web.Handle(logTo(t), web.RenderJSON, func(w http.ResponseWriter, r *http.Request) error {
		_, err := web.ReadForm(w, r)
		return err
	})
	large := strings.Repeat("x", web.MaxBody+1)
	for name, c := range map[string]struct {
		h           http.Handler
		contentType string
		body        string
		status      int
	}{
		"good":                  {readJSON, "application/json", `{"A":"b"}`, 200},
		"with charset":          {readJSON, "application/json; charset=UTF-8", `{"A":"b"}`, 200},
		"other charset":         {readJSON, "application/json; charset=latin1", `{"A":"b"}`, 415},
		"too large":             {readJSON, "application/json", large, 413},
		"too large, wrong type": {readJSON, "text/plain", large, 413},
		"wrong type":            {readJSON, "text/plain", `{"A":"b"}`, 415},
		"no type":               {readJSON, "", `{"A":"b"}`, 415},
		"empty":                 {readJSON, "application/json", "", 400},
		"cut":                   {readJSON, "application/json", `{"A":`, 400},
		"trailing":              {readJSON, "application/json", `{"A":"b"} {}`, 400},
		"trailing brace":        {readJSON, "application/json", `{"A":"b"}}`, 400},
		"another type":          {readJSON, "application/json", `{"A":1}`, 400},
		"unknown member":        {readJSON, "application/json", `{"B":1}`, 400},
		"form":                  {readForm, "application/x-www-form-urlencoded", "vote=a", 200},
		"bad escape":            {readForm, "application/x-www-form-urlencoded", "vote=%zz", 400},
		"multipart":             {readForm, "multipart/form-data; boundary=x", "--x--", 415},
		"too many fields":       {readForm, "application/x-www-form-urlencoded", strings.Repeat("v=&", 20_000), 400},
	} {
		if w := answer(c.h, http.MethodPost, "/", c.contentType, c.body); w.Code != c.status {
			t.Errorf("%s: %d, want %d: %s", name, w.Code, c.status, w.Body)
		}
	}
}

func TestLimiterTellsNetworksApart(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	from := func(remote, forwarded string) *http.Request {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.RemoteAddr = remote
		if forwarded != "" {
			r.Header.Set("X-Forwarded-For", forwarded)
		}
		return r
	}
	exhaust := func(l *web.Limiter, r *http.Request) error {
		var err error
		for range 7 { // one a second, five at once
			err = l.Check(r)
		}
		return err
	}
	for name, c := range map[string]struct {
		first, second *http.Request
		shared        bool
	}{
		"two addresses":              {from("192.0.2.1:1", ""), from("192.0.2.2:1", ""), false},
		"one address":                {from("192.0.2.1:1", ""), from("192.0.2.1:2", ""), true},
		"one IPv6 network":           {from("[2001:db8::1]:1", ""), from("[2001:db8::2]:1", ""), true},
		"two IPv6 networks":          {from("[2001:db8::1]:1", ""), from("[2001:db8:0:1::1]:1", ""), false},
		"behind a proxy":             {from("10.0.0.1:1", "192.0.2.1"), from("10.0.0.1:1", "192.0.2.2"), false},
		"a client that claims":       {from("192.0.2.1:1", "192.0.2.8"), from("192.0.2.1:1", "192.0.2.9"), true},
		"claims through the proxy":   {from("10.0.0.1:1", "1.1.1.1, 192.0.2.1"), from("10.0.0.1:1", "2.2.2.2, 192.0.2.1"), true},
		"nonsense through the proxy": {from("10.0.0.1:1", "x"), from("10.0.0.1:1", "y"), true},
	} {
		l := web.NewLimiter(1, proxies)
		var problem *web.Problem
		if err := exhaust(l, c.first); !errors.As(err, &problem) || problem.Status != 429 || problem.RetryAfter == 0 {
			t.Errorf("%s: the seventh request at once got %v", name, err)
		}
		if limited := l.Check(c.second) != nil; limited != c.shared {
			t.Errorf("%s: limited together is %v, want %v", name, limited, c.shared)
		}
	}
	if exhaust(web.NewLimiter(0, nil), from("192.0.2.1:1", "")) != nil {
		t.Error("no limit limits")
	}
}

func TestReadinessTellsWhatIsMissing(t *testing.T) {
	var missing error
	h := web.Ops(http.NotFoundHandler(), web.Check{Name: "queue", Ready: func() error { return missing }})
	if w := answer(h, http.MethodGet, "/readyz", "", ""); w.Code != 200 {
		t.Errorf("ready: %d", w.Code)
	}
	missing = errors.New("waiting for Redis")
	if w := answer(h, http.MethodGet, "/readyz", "", ""); w.Code != 503 || w.Body.String() != "queue: waiting for Redis\n" {
		t.Errorf("not ready: %d %s", w.Code, w.Body)
	}
	if w := answer(h, http.MethodGet, "/livez", "", ""); w.Code != 200 {
		t.Errorf("alive, whatever is missing: %d", w.Code)
	}
}

func TestShutdownFinishesRequestsInFlight(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	arrived, proceed := make(chan struct{}), make(chan struct{})
	server := web.Server{
		Listener: listener, Log: logTo(t), Grace: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(arrived)
			<-proceed
			fmt.Fprint(w, "finished")
		}),
		// The request goes on only once nobody is let in any more.
		End: func() {
			untilRefused(t, listener.Addr().String())
			close(proceed)
		},
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	go func() {
		<-arrived
		stop()
	}()
	response, err := http.Get("http://" + listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if body, err := io.ReadAll(response.Body); string(body) != "finished" {
		t.Errorf("the request in flight got %q, %v", body, err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the server ended with %v", err)
	}
}

// pipes is a listener whose connections are in memory, so that a synctest
// bubble's clock is theirs.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (*pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func TestConnectionThatWasNeverUsedDoesNotHoldUpTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		server := web.Server{Listener: listener, Log: slog.New(slog.DiscardHandler), Grace: time.Minute, Handler: http.NotFoundHandler()}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- server.Run(ctx) }()
		near, far := net.Pipe()
		listener.conns <- far
		synctest.Wait()
		begin := time.Now()
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("the end took %s of the bubble's clock", took)
		}
		_ = near.Close()
	})
}

// bubbleClient sends one request over a connection of its own to a listener of a
// bubble, and reports whether the connection is closed behind the answer.
func bubbleClient(t *testing.T, listener *pipes) (closes bool) {
	t.Helper()
	near, far := net.Pipe()
	defer func() { _ = near.Close() }()
	listener.conns <- far
	go func() { _, _ = io.WriteString(near, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") }()
	response, err := http.ReadResponse(bufio.NewReader(near), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("the answer is %s, %v", response.Status, err)
	}
	return response.Close
}

func TestDrainGoesOnServingUntilNobodyComes(t *testing.T) {
	const most = 30 * time.Second
	for name, c := range map[string]struct {
		visits      int // one a second, after the end has begun
		least, upTo time.Duration
	}{
		"nobody comes":      {0, 2 * time.Second, 6 * time.Second},
		"some come":         {10, 12 * time.Second, 16 * time.Second},
		"they never stop":   {29, most, most + time.Second},
		"one comes at once": {1, 3 * time.Second, 7 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				listener := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
				server := web.Server{
					Listener: listener, Log: slog.New(slog.DiscardHandler), Grace: time.Minute, Drain: most,
					Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
				}
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- server.Run(ctx) }()
				if bubbleClient(t, listener) {
					t.Error("a connection is closed before the end has begun")
				}
				stop()
				begin := time.Now()
				for range c.visits {
					time.Sleep(time.Second)
					if !bubbleClient(t, listener) {
						t.Error("a connection is kept although the end has begun")
					}
				}
				if err := <-ended; err != nil {
					t.Errorf("the server ended with %v", err)
				}
				if took := time.Since(begin); took < c.least || took > c.upTo {
					t.Errorf("the end took %s of the bubble's clock", took)
				}
			})
		})
	}
}

func TestServerOfAPartThatFailedDoesNotDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		server := web.Server{
			Listener: listener, Log: slog.New(slog.DiscardHandler), Grace: time.Minute, Drain: time.Minute,
			Handler: http.NotFoundHandler(),
		}
		ctx, fail := context.WithCancelCause(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- server.Run(ctx) }()
		synctest.Wait()
		begin := time.Now()
		fail(errors.New("a part has ended"))
		if err := <-ended; err != nil || time.Since(begin) > time.Second {
			t.Errorf("it ended with %v, after %s of the bubble's clock", err, time.Since(begin))
		}
	})
}

// untilRefused waits until nobody listens on addr any more.
func untilRefused(t *testing.T, addr string) {
	t.Helper()
	for {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
		if err != nil {
			return
		}
		_ = conn.Close()
	}
}

func TestExportCannotBeTakenForFormulas(t *testing.T) {
	tally := popeye.Tally{
		Definition: popeye.Definition{Poll: popeye.Poll{ID: "p", Options: []popeye.Option{
			{ID: "a", Label: `=HYPERLINK("x")`}, {ID: "b", Label: "B, \"quoted\"\nline"},
		}}},
		Votes: []int64{3, 4},
	}
	w := httptest.NewRecorder()
	if err := web.Export(w, &tally, "csv"); err != nil {
		t.Fatal(err)
	}
	want := "option,label,votes\r\na,\"'=HYPERLINK(\"\"x\"\")\",3\r\nb,\"B, \"\"quoted\"\"\r\nline\",4\r\n"
	if got := w.Body.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
