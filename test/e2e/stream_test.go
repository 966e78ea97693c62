package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// event is one event of a stream, or one comment.
type event struct{ name, data, id, comment string }

// stream is a result that somebody follows.
type stream struct {
	body  io.ReadCloser
	lines *bufio.Reader
}

// follow opens the stream of a poll. It ends with ctx.
func follow(ctx context.Context, base, poll string) (*stream, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/api/v1/results/"+poll+"/stream", nil)
	if err != nil {
		return nil, err
	}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" {
		_ = response.Body.Close()
		return nil, fmt.Errorf("the stream answers %s, %s", response.Status, response.Header.Get("Content-Type"))
	}
	return &stream{response.Body, bufio.NewReader(response.Body)}, nil
}

// follow opens a stream that lasts as long as the test, or until it ends itself.
func (p *process) follow(poll string) *stream {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	s, err := follow(ctx, p.base, poll)
	if err != nil {
		cancel()
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		cancel()
		_ = s.body.Close()
	})
	return s
}

// next returns the next event or comment.
func (s *stream) next() (event, error) {
	var e event
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			return e, err
		}
		line = strings.TrimSuffix(line, "\n")
		if line == "" && e != (event{}) {
			return e, nil
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "":
			e.comment += value
		case "event":
			e.name = value
		case "data":
			e.data += value
		case "id":
			e.id = value
		}
	}
}

// frame returns the next result.
func (s *stream) frame() (result, error) {
	for {
		e, err := s.next()
		if err != nil {
			return result{}, err
		}
		if e.name != "results" {
			continue
		}
		r, err := parseResult(e.data)
		if err == nil && e.id != fmt.Sprint(r.Version) {
			err = fmt.Errorf("a frame of version %d has the id %q", r.Version, e.id)
		}
		return r, err
	}
}

// until reads frames until one holds what is waited for.
func (s *stream) until(t *testing.T, fact string, holds func(result) bool) result {
	t.Helper()
	for {
		r, err := s.frame()
		if err != nil {
			t.Fatalf("before %s the stream ended: %v", fact, err)
		}
		if holds(r) {
			return r
		}
	}
}
