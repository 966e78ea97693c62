package drill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"popeye"
	"popeye/internal/web"
)

const (
	// maxAnswer bounds the answer to a vote, in bytes.
	maxAnswer = 1 << 20
	// maxWords bounds what is kept of an answer that is no problem, in bytes.
	maxWords = 80
	// firstWait is the time between the first two attempts, maxWait that between
	// later ones at most.
	firstWait = 50 * time.Millisecond
	maxWait   = 2 * time.Second
)

// answer is what came back to an attempt.
type answer struct {
	status     int
	retryAfter time.Duration
	// detail is why a server did not take the vote, where it says so.
	detail string
	// said is what a success and a conflict tell.
	said struct {
		Choices []string     `json:"choices"`
		Stamp   popeye.Stamp `json:"stamp"`
		Receipt string       `json:"receipt"`
	}
}

// vote is what an attempt sends.
type vote struct {
	poll, key string
	choice    string
	after     popeye.Stamp
}

// errUnsent says that no server has seen an attempt.
var errUnsent = errors.New("nobody listens")

// attempt sends a vote to one server, and waits for a while for the answer.
func (c *caster) attempt(ctx context.Context, server string, v vote) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	body, err := json.Marshal(struct {
		Choices []string     `json:"choices"`
		After   popeye.Stamp `json:"after,omitempty"`
	}{[]string{v.choice}, v.after})
	if err != nil {
		return answer{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, server+"/api/v1/votes/"+v.poll, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", v.key)
	response, err := c.http.Do(request)
	var network *net.OpError
	if errors.As(err, &network) && network.Op == "dial" {
		return answer{}, fmt.Errorf("%w: %w", errUnsent, err)
	}
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }() // read to its end, or the connection is lost
	return readAnswer(response)
}

// readAnswer reads what the caller goes by. A success or a conflict that does not
// say what stands is no answer.
func readAnswer(response *http.Response) (answer, error) {
	a := answer{status: response.StatusCode}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return a, err
	}
	if seconds, err := strconv.ParseUint(response.Header.Get("Retry-After"), 10, 16); err == nil {
		a.retryAfter = time.Duration(seconds) * time.Second
	}
	switch a.status {
	case http.StatusOK, http.StatusCreated, http.StatusConflict:
		if err := json.Unmarshal(text, &a.said); err != nil || len(a.said.Choices) != 1 || len(a.said.Receipt) != receiptLength {
			return a, fmt.Errorf("the answer %d does not say what stands", a.status)
		}
	default:
		a.detail = detailOf(text)
	}
	return a, nil
}

// detailOf returns the detail of a problem (RFC 9457), or else the beginning of
// what may be a proxy's own words.
func detailOf(text []byte) string {
	var problem web.Problem
	if err := json.Unmarshal(text, &problem); err == nil {
		return problem.Detail
	}
	return strings.Join(strings.Fields(strings.ToValidUTF8(string(text[:min(len(text), maxWords)]), "")), " ")
}

// choice returns the position of the option that the answer says to stand.
func (a answer) choice(names []string) int { return slices.Index(names, a.said.Choices[0]) }

// pause waits before an attempt is repeated, for as long as the server asks for
// within bounds, and reports whether there is time for another one.
func pause(ctx context.Context, attempts int, asked time.Duration) bool {
	d := min(firstWait<<min(attempts, 10), maxWait)
	if asked > 0 {
		d = min(asked, maxWait)
	}
	// Those who were refused together do not come back together.
	return sleep(ctx, d/2+rand.N(d)) //nolint:gosec // nobody gains by guessing it
}

// sleep waits, and reports whether ctx was not done meanwhile.
func sleep(ctx context.Context, d time.Duration) bool { return wait(ctx.Done(), d) }

// wait waits, and reports whether done was not closed meanwhile.
func wait(done <-chan struct{}, d time.Duration) bool {
	select {
	case <-done:
		return false
	case <-time.After(d):
	}
	select {
	case <-done:
		return false
	default:
		return true
	}
}
