package load

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"popeye"
)

// target is the Popeye to cast at.
type target struct {
	dialer
	// url is what people call it, without a slash at the end.
	url string
	// host and prefix are what every request begins with.
	host, prefix string
}

// pollInfo is what the API tells of a poll, as far as casting needs it.
type pollInfo struct {
	ID      string       `json:"id"`
	State   popeye.State `json:"state"`
	Min     int          `json:"min"`
	Options []struct {
		ID string `json:"id"`
	} `json:"options"`
}

// resultInfo is a result as the API and the stream show it.
type resultInfo struct {
	Version int64 `json:"version"`
	Total   int64 `json:"total"`
	Options []struct {
		ID    string `json:"id"`
		Votes int64  `json:"votes"`
	} `json:"options"`
	Ledger struct {
		Accepted int64 `json:"accepted"`
		Queued   int64 `json:"queued"`
		Stored   int64 `json:"stored"`
		Rejected int64 `json:"rejected"`
	} `json:"ledger"`
}

// newTarget returns the Popeye at address, reached as cfg says.
func newTarget(cfg Config, address string) (*target, error) {
	text := address
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("the URL must be like http://localhost:8080, is %.200q", address)
	}
	t := &target{
		url:    strings.TrimRight(text, "/"),
		host:   u.Host,
		prefix: strings.TrimRight(u.EscapedPath(), "/"),
		dialer: dialer{dial: cfg.Dial, timeout: cfg.Timeout},
	}
	port := u.Port()
	switch u.Scheme {
	case "http":
		port = cmp.Or(port, "80")
	case "https":
		port = cmp.Or(port, "443")
		t.tls = &tls.Config{ServerName: u.Hostname(), NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12}
	default:
		return nil, fmt.Errorf("the URL must begin with http:// or https://, is %.200q", address)
	}
	t.address = net.JoinHostPort(u.Hostname(), port)
	return t, nil
}

// choose returns the poll to vote in, which is open.
func (t *target) choose(ctx context.Context, id string) (pollInfo, error) {
	if id == "" {
		return t.onlyOpen(ctx)
	}
	var p pollInfo
	status, err := t.read(ctx, "/api/v1/polls/"+url.PathEscape(id), &p)
	switch {
	case status == http.StatusNotFound:
		return p, fmt.Errorf("there is no poll %q at %s", id, t.url)
	case err != nil:
		return p, err
	case p.State != popeye.Open:
		return p, fmt.Errorf("the poll %q takes no votes: it is %s", id, p.State)
	}
	return p, p.check(t.url)
}

func (t *target) onlyOpen(ctx context.Context) (pollInfo, error) {
	var list struct {
		Polls []pollInfo `json:"polls"`
	}
	if _, err := t.read(ctx, "/api/v1/polls", &list); err != nil {
		return pollInfo{}, err
	}
	var open []pollInfo
	var ids []string
	for _, p := range list.Polls {
		if p.State == popeye.Open {
			open = append(open, p)
			ids = append(ids, p.ID)
		}
	}
	switch len(open) {
	case 0:
		return pollInfo{}, fmt.Errorf("no poll is open at %s", t.url)
	case 1:
		return open[0], open[0].check(t.url)
	default:
		return pollInfo{}, fmt.Errorf("several polls are open at %s, choose one: %s", t.url, strings.Join(ids, ", "))
	}
}

func (p *pollInfo) check(url string) error {
	if len(p.Options) == 0 || p.Min > len(p.Options) {
		return fmt.Errorf("%s does not answer like Popeye: the poll %q has no options to choose", url, p.ID)
	}
	return nil
}

// result returns the poll's result as it is now.
func (t *target) result(ctx context.Context, poll string) (resultInfo, error) {
	var r resultInfo
	status, err := t.read(ctx, resultPath(poll), &r)
	if status == http.StatusForbidden {
		return r, fmt.Errorf("the result of %q is not shown to everybody, so votes cannot be checked; "+
			"use a poll with results: always", poll)
	}
	return r, err
}

func resultPath(poll string) string { return "/api/v1/results/" + url.PathEscape(poll) }

// get is a request for path, without the empty line at its end.
func (t *target) get(path string) string {
	return "GET " + t.prefix + path + " HTTP/1.1\r\nHost: " + t.host + "\r\nUser-Agent: popeye-load\r\n"
}

// read gets path on a connection of its own and decodes the answer into v.
func (t *target) read(ctx context.Context, path string, v any) (status int, err error) {
	c, err := t.connect(ctx)
	if err != nil {
		return 0, fmt.Errorf("cannot reach %s: %w", t.url, err)
	}
	defer c.close()
	a, err := c.exchange([]byte(t.get(path)+"Connection: close\r\n\r\n"), time.Now().Add(t.timeout), true)
	if err != nil {
		return 0, fmt.Errorf("get %s%s: %w", t.url, path, err)
	}
	if a.status != http.StatusOK {
		return a.status, fmt.Errorf("%s%s answered %d %s: is this a Popeye?", t.url, path, a.status, http.StatusText(a.status))
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		return a.status, fmt.Errorf("%s%s does not answer like Popeye: %w", t.url, path, err)
	}
	return a.status, nil
}
