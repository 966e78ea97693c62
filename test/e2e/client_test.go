package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// reply is an answer, read to its end.
type reply struct {
	status int
	header http.Header
	body   string
}

// request is what is sent. Headers come in pairs.
type request struct {
	method, url, body string
	headers           []string
}

// send sends a request once. It never sends it again by itself, as Go does where
// there is an Idempotency-Key: what is sent again is for the test to know.
func (q request) send(ctx context.Context, client *http.Client) (reply, error) {
	r, err := http.NewRequestWithContext(ctx, q.method, q.url, strings.NewReader(q.body))
	if err != nil {
		return reply{}, err
	}
	if q.body != "" {
		r.GetBody = nil
	}
	for i := 0; i < len(q.headers); i += 2 {
		r.Header.Set(q.headers[i], q.headers[i+1])
	}
	response, err := client.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return reply{response.StatusCode, response.Header, string(text)}, err
}

// newClient returns a client that keeps cookies and follows no redirect.
func newClient(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Jar:           jar,
		Transport:     transport,
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// visitor is somebody with a browser of their own.
type visitor struct {
	t    *testing.T
	base string
	http *http.Client
}

func (p *process) visitor() *visitor {
	p.t.Helper()
	return &visitor{p.t, p.base, newClient(p.t)}
}

func (v *visitor) do(method, path, body string, headers ...string) reply {
	v.t.Helper()
	r, err := request{method, v.base + path, body, headers}.send(v.t.Context(), v.http)
	if err != nil {
		v.t.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

func (v *visitor) get(path string) reply {
	v.t.Helper()
	return v.do(http.MethodGet, path, "")
}

// cast votes by the API, form by the page of the poll p.
func (v *visitor) cast(poll, option string, headers ...string) reply {
	v.t.Helper()
	return v.do(http.MethodPost, "/api/v1/votes/"+poll, choosing(option), append(headers, "Content-Type", "application/json")...)
}

func (v *visitor) form(fields string) reply {
	v.t.Helper()
	return v.do(http.MethodPost, "/p/p", fields, "Content-Type", "application/x-www-form-urlencoded")
}

func choosing(option string) string { return fmt.Sprintf(`{"choices":[%q]}`, option) }

// wants checks a reply's status.
func (r reply) wants(t *testing.T, status int) reply {
	t.Helper()
	if r.status != status {
		t.Fatalf("got %d, want %d: %.500s", r.status, status, r.body)
	}
	return r
}

// json returns the members of an answer.
func (r reply) json(t *testing.T) map[string]any {
	t.Helper()
	members := map[string]any{}
	if err := json.Unmarshal([]byte(r.body), &members); err != nil {
		t.Fatalf("%v in %.500s", err, r.body)
	}
	return members
}

// cookie returns what makes a new voter known again: the header Cookie.
func (p *process) cookie(poll string) string {
	p.t.Helper()
	set := p.visitor().get("/p/"+poll).wants(p.t, http.StatusOK).header.Get("Set-Cookie")
	cookie, _, _ := strings.Cut(set, ";")
	return cookie
}

// token returns the administration token.
func (p *process) token() string {
	p.t.Helper()
	token, err := os.ReadFile(filepath.Join(p.data, "admin-token"))
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.TrimSpace(string(token))
}

// admin sends what an organiser sends.
func (p *process) admin(method, path, body string) reply {
	p.t.Helper()
	return p.visitor().do(method, "/admin/api/v1/polls"+path, body,
		"Authorization", "Bearer "+p.token(), "Content-Type", "application/json")
}

// operations asks the port for those who keep Popeye running.
func (p *process) operations(path string) reply {
	p.t.Helper()
	v := p.visitor()
	v.base = p.ops
	return v.get(path)
}

// ready reports whether Popeye says that it can do its work.
func (p *process) ready() bool {
	p.t.Helper()
	return p.operations("/readyz").status == http.StatusOK
}

// metrics returns what Popeye tells those who keep it running.
func (p *process) metrics() string {
	p.t.Helper()
	return p.operations("/metrics").wants(p.t, http.StatusOK).body
}

// result is a poll's result as everybody gets it.
type result struct {
	Poll    string
	Version int64
	State   string
	Total   int64
	Options []struct {
		ID    string
		Votes int64
	}
	Ledger   struct{ Accepted, Queued, Stored, Rejected int64 }
	Receipts struct{ SHA256 string }
}

func parseResult(text string) (result, error) {
	var r result
	err := json.Unmarshal([]byte(text), &r)
	return r, err
}

func (p *process) result(poll string) result {
	p.t.Helper()
	r, err := parseResult(p.visitor().get("/api/v1/results/"+poll).wants(p.t, http.StatusOK).body)
	if err != nil {
		p.t.Fatal(err)
	}
	return r
}

// votes returns the count of an option.
func (r result) votes(option string) int64 {
	for _, o := range r.Options {
		if o.ID == option {
			return o.Votes
		}
	}
	return -1
}

// addsUp returns what is wrong with the ledger, if anything.
func (r result) addsUp() error {
	if l := r.Ledger; l.Accepted != l.Stored+l.Queued+l.Rejected {
		return fmt.Errorf("the ledger does not add up: %+v", l)
	}
	return nil
}

// wantCounts checks that exactly the given votes are counted, each once.
func (r result) wantCounts(t *testing.T, accepted int64, counts map[string]int64) {
	t.Helper()
	var total int64
	for option, n := range counts {
		total += n
		if got := r.votes(option); got != n {
			t.Errorf("%s has %d votes, want the %d that were acknowledged", option, got, n)
		}
	}
	if r.Total != total {
		t.Errorf("the total is %d, want the %d that were acknowledged", r.Total, total)
	}
	if l := r.Ledger; l.Accepted != accepted || l.Stored != accepted || l.Queued != 0 || l.Rejected != 0 {
		t.Errorf("%d votes were acknowledged, and the ledger is %+v", accepted, l)
	}
}
