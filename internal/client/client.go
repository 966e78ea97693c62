// Package client talks to the administration API of a running Popeye.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"popeye"
	"popeye/internal/web"
)

const (
	timeout   = 30 * time.Second
	maxAnswer = 16 << 20
)

// Client is an organiser's way to one Popeye. It is safe for concurrent use.
type Client struct {
	server, token string
	http          *http.Client
}

// New returns a client of the Popeye at server, such as http://localhost:8080,
// that bears token.
func New(server, token string) *Client {
	return &Client{server: strings.TrimRight(server, "/"), token: token, http: &http.Client{
		Timeout: timeout,
		// A redirected POST becomes a GET: what was asked would not be done, and
		// nobody would know.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// List returns all polls, drafts included.
func (c *Client) List(ctx context.Context) ([]web.Definition, error) {
	var answer struct {
		Polls []web.Definition `json:"polls"`
	}
	_, err := c.call(ctx, http.MethodGet, "polls", nil, &answer)
	return answer.Polls, err
}

// Apply creates or updates a poll, and reports whether it is new.
func (c *Client) Apply(ctx context.Context, p popeye.Poll) (d web.Definition, created bool, err error) {
	status, err := c.call(ctx, http.MethodPost, "polls", p, &d)
	return d, status == http.StatusCreated, err
}

// SetState opens or closes a poll, or declares a closed one final.
func (c *Client) SetState(ctx context.Context, poll string, s popeye.State) (web.Definition, error) {
	var d web.Definition
	_, err := c.call(ctx, http.MethodPatch, "polls/"+url.PathEscape(poll), map[string]popeye.State{"state": s}, &d)
	return d, err
}

// Delete deletes a poll with all its votes.
func (c *Client) Delete(ctx context.Context, poll string) error {
	_, err := c.call(ctx, http.MethodDelete, "polls/"+url.PathEscape(poll), nil, nil)
	return err
}

// Parked returns the votes that could not be recorded, by round and reason.
func (c *Client) Parked(ctx context.Context) ([]web.Parked, error) {
	var answer struct {
		Parked []web.Parked `json:"parked"`
	}
	_, err := c.call(ctx, http.MethodGet, "parked", nil, &answer)
	return answer.Parked, err
}

// Retry tries to record the parked votes of a round once more.
func (c *Client) Retry(ctx context.Context, round int64) (web.Retried, error) {
	var answer web.Retried
	_, err := c.call(ctx, http.MethodPost, parkedOf(round)+"/retry", nil, &answer)
	return answer, err
}

// Drop forgets the parked votes of a round, and returns how many they were.
func (c *Client) Drop(ctx context.Context, round int64) (int64, error) {
	var answer web.Dropped
	_, err := c.call(ctx, http.MethodDelete, parkedOf(round), nil, &answer)
	return answer.Dropped, err
}

func parkedOf(round int64) string { return "parked/" + strconv.FormatInt(round, 10) }

// Export returns a poll's result in the format "csv" or "json".
func (c *Client) Export(ctx context.Context, poll, format string) ([]byte, error) {
	text, _, err := c.send(ctx, http.MethodGet, "polls/"+url.PathEscape(poll)+"/results?format="+url.QueryEscape(format), nil)
	return text, err
}

// call sends body as JSON and reads the answer into answer, if that is not nil.
func (c *Client) call(ctx context.Context, method, path string, body, answer any) (int, error) {
	var sent []byte
	if body != nil {
		var err error
		if sent, err = json.Marshal(body); err != nil {
			return 0, fmt.Errorf("encode the request: %w", err)
		}
	}
	text, status, err := c.send(ctx, method, path, sent)
	if err != nil || answer == nil {
		return status, err
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return status, fmt.Errorf("%s does not answer like Popeye: %w", c.server, err)
	}
	return status, nil
}

func (c *Client) send(ctx context.Context, method, path string, body []byte) ([]byte, int, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.server+"/admin/api/v1/"+path, bytes.NewReader(body))
	if err != nil {
		return nil, 0, err
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, 0, fmt.Errorf("is Popeye running at %s? %w", c.server, err)
	}
	defer func() { _ = response.Body.Close() }() // read to its end, or the connection is lost
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, response.StatusCode, fmt.Errorf("read the answer of %s: %w", c.server, err)
	}
	if location := response.Header.Get("Location"); location != "" && response.StatusCode != http.StatusCreated {
		return nil, response.StatusCode, fmt.Errorf("%s redirects to %s: give the address that it ends at with --server", c.server, location)
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		if response.StatusCode == http.StatusUnauthorized {
			return nil, response.StatusCode, fmt.Errorf("%s does not know this token: "+
				"give its address with --server, and its token with --token-file", c.server)
		}
		return nil, response.StatusCode, refusal(response.StatusCode, text)
	}
	return text, response.StatusCode, nil
}

// refusal is the error that the server's problem details tell.
func refusal(status int, text []byte) error {
	var problem struct {
		Detail string `json:"detail"`
	}
	if err := json.Unmarshal(text, &problem); err != nil || problem.Detail == "" {
		return fmt.Errorf("the server answered %d %s", status, http.StatusText(status))
	}
	return errors.New(problem.Detail)
}
