package pipeline_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// ballot is a vote as its voter sends it.
type ballot struct{ key, option string }

// reply is an answer, read to its end.
type reply struct {
	status int
	header http.Header
	body   string
	// What the API says to a vote: what became of it (or a number, where that is
	// told by Outcome), and what stands.
	Status  any
	Outcome string
	Choices []string
	Stamp   int64
	Receipt string
	// tries is how often the vote was sent.
	tries int
}

// stands reports whether a vote was answered with success.
func (r reply) stands() bool { return r.status == http.StatusOK || r.status == http.StatusCreated }

// send sends a request, never twice: headers come in pairs.
func (s *site) send(ctx context.Context, method, url, body string, headers ...string) (reply, error) {
	q, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	if body != "" {
		// Go sends a request with an Idempotency-Key again by itself, where it can.
		q.GetBody = nil
	}
	for i := 0; i < len(headers); i += 2 {
		q.Header.Set(headers[i], headers[i+1])
	}
	response, err := s.http.Do(q)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	r := reply{status: response.StatusCode, header: response.Header, body: string(text)}
	if strings.Contains(r.header.Get("Content-Type"), "json") && err == nil {
		err = json.Unmarshal(text, &r)
	}
	return r, err
}

// get gets a page or an answer from a role, which must answer.
func (s *site) get(r *role, path string) reply {
	s.t.Helper()
	got, err := s.send(s.t.Context(), http.MethodGet, r.base+path, "")
	if err != nil {
		s.t.Fatalf("GET %s: %v\n%s", path, err, r.Log())
	}
	return got
}

// cast sends a vote to one poll, once. Headers such as an Idempotency-Key or a
// Cookie name the voter.
func (s *site) cast(at *role, option string, headers ...string) reply {
	s.t.Helper()
	r, err := s.castIn(s.t.Context(), at, thePoll, choosing(option), headers...)
	if err != nil {
		s.t.Fatalf("a vote got no answer: %v\n%s", err, at.Log())
	}
	return r
}

func (s *site) castIn(ctx context.Context, at *role, poll, body string, headers ...string) (reply, error) {
	return s.send(ctx, http.MethodPost, at.base+"/api/v1/votes/"+poll, body, append(headers, "Content-Type", "application/json")...)
}

func choosing(option string) string { return fmt.Sprintf(`{"choices":[%q]}`, option) }

// answered is cast for those who try again until they are told more than to do so:
// on a busy machine, a queue server may be too slow for its promise.
func (s *site) answered(at *role, poll, option string, headers ...string) (r reply) {
	s.t.Helper()
	eventually(s.t, "a vote is answered", func() bool {
		var err error
		r, err = s.castIn(s.t.Context(), at, poll, choosing(option), headers...)
		return err == nil && r.status != http.StatusServiceUnavailable
	})
	return r
}

// insist sends the vote of a voter to one poll after the other until it is
// answered with anything but 503, for voters know nothing of what is broken.
func (s *site) insist(ctx context.Context, key, option string) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for n := 1; ; n++ {
		r, err := s.castIn(ctx, s.polls[n%len(s.polls)], thePoll, choosing(option), "Idempotency-Key", key)
		if ctx.Err() != nil {
			return reply{}, ctx.Err()
		}
		if r.tries = n; err == nil && r.status != http.StatusServiceUnavailable {
			if w := s.witness.Load(); r.stands() && (w == nil || w.key == key) {
				s.witness.Store(&ballot{key, option})
			}
			return r, nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// castAll lets as many new voters vote, one after the other, until each is told
// that the vote is recorded.
func (s *site) castAll(prefix, option string, voters int) {
	s.t.Helper()
	for n := range voters {
		r, err := s.insist(s.t.Context(), fmt.Sprint(prefix, n), option)
		if err != nil || !r.stands() {
			s.t.Fatalf("a vote got %d %s, %v", r.status, r.body, err)
		}
	}
}
