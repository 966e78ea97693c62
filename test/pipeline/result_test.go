package pipeline_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"popeye"
)

// result is a poll's result as everybody gets it.
type result struct {
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

// result returns what one result shows of the poll.
func (s *site) result(at *role) result {
	s.t.Helper()
	got := s.get(at, "/api/v1/results/"+thePoll)
	if got.status != http.StatusOK {
		s.t.Fatalf("the result answers %d: %s", got.status, got.body)
	}
	r, err := parseResult(got.body)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func parseResult(text string) (r result, err error) { return r, json.Unmarshal([]byte(text), &r) }

// counts are the votes of each option.
func (r result) counts() map[string]int64 {
	counts := map[string]int64{}
	for _, o := range r.Options {
		counts[o.ID] = o.Votes
	}
	return counts
}

// wants says what is wrong with a result of exactly these votes, all recorded. How
// many votes are on their way is an estimate as long as it is not final.
func (r result) wants(counts map[string]int64) error {
	var total int64
	for option, votes := range counts {
		total += votes
		if got := r.counts()[option]; got != votes {
			return fmt.Errorf("%s has %d votes, want the %d that were acknowledged", option, got, votes)
		}
	}
	l := r.Ledger
	if r.Total != total || l.Stored < total || l.Accepted != l.Stored+l.Queued+l.Rejected || r.State == "final" && l.Queued != 0 {
		return fmt.Errorf("%d votes were acknowledged, and the result is %+v", total, r)
	}
	return nil
}

// counted waits until every result shows exactly these votes.
func (s *site) counted(counts map[string]int64) {
	s.t.Helper()
	for _, at := range s.results {
		s.shows(at, counts)
	}
}

// shows waits until one result shows exactly these votes.
func (s *site) shows(at *role, counts map[string]int64) {
	s.t.Helper()
	wrong := error(nil)
	defer func() {
		if wrong != nil {
			s.t.Logf("the last result was wrong: %v", wrong)
		}
	}()
	eventually(s.t, "exactly the acknowledged votes are counted", func() bool {
		wrong = s.result(at).wants(counts)
		return wrong == nil
	})
}

// closes closes the poll, waits until no poll takes votes any more and every
// result is final, and wants exactly the acknowledged votes to be counted.
func (s *site) closes(counts map[string]int64) {
	s.t.Helper()
	s.set(popeye.Closed)
	s.closed()
	s.ended(counts)
}

// closed waits until every poll refuses votes. It is asked by somebody who has
// voted, so that as long as they do not, nothing changes.
func (s *site) closed() {
	s.t.Helper()
	witness := s.witness.Load()
	for _, at := range s.polls {
		eventually(s.t, "poll refuses votes", func() bool {
			return s.cast(at, witness.option, "Idempotency-Key", witness.key).status == http.StatusGone
		})
	}
}

// ended waits until every result is final, and wants exactly these votes in it.
func (s *site) ended(counts map[string]int64) {
	s.t.Helper()
	for _, at := range s.results {
		if err := s.final(at).wants(counts); err != nil {
			s.t.Errorf("the final result is wrong: %v", err)
		}
	}
}

// final waits until one result is final.
func (s *site) final(at *role) (final result) {
	s.t.Helper()
	eventually(s.t, "the result is final", func() bool {
		final = s.result(at)
		return final.State == "final"
	})
	return final
}

// certified waits until every result has the same hash of all receipts.
func (s *site) certified() {
	s.t.Helper()
	var hash string
	for _, at := range s.results {
		eventually(s.t, "the list of receipts has its hash", func() bool { return s.result(at).Receipts.SHA256 != "" })
		now := s.result(at).Receipts.SHA256
		if hash != "" && now != hash {
			s.t.Errorf("the hashes of the receipts differ: %s and %s", hash, now)
		}
		hash = now
	}
}

// viewer follows the result live, by one connection.
type viewer struct {
	t     *testing.T
	lines *bufio.Reader
	leave func()
}

// follow opens a stream, which lasts as long as the test unless the viewer leaves,
// and no longer than a test has patience.
func (s *site) follow(at *role) *viewer {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*patience)
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, at.base+"/api/v1/results/"+thePoll+"/stream", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(q)
	if err != nil {
		s.t.Fatal(err)
	}
	leave := func() {
		cancel()
		_ = response.Body.Close()
	}
	s.t.Cleanup(leave)
	return &viewer{s.t, bufio.NewReader(response.Body), leave}
}

// next returns the next comment, or the data of the next event.
func (v *viewer) next() (comment, data string, err error) {
	for {
		line, err := v.lines.ReadString('\n')
		if err != nil {
			return "", "", err
		}
		line = strings.TrimSuffix(line, "\n")
		if comment, ok := strings.CutPrefix(line, ": "); ok {
			return comment, "", nil
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			return "", data, nil
		}
	}
}

// frame returns the next result.
func (v *viewer) frame() (result, error) {
	for {
		_, data, err := v.next()
		if err != nil {
			return result{}, err
		}
		if data != "" {
			return parseResult(data)
		}
	}
}

// until reads results until one holds what is waited for.
func (v *viewer) until(fact string, holds func(result) bool) result {
	v.t.Helper()
	for {
		r, err := v.frame()
		if err != nil {
			v.t.Fatalf("before %s the stream ended: %v", fact, err)
		}
		if holds(r) {
			return r
		}
	}
}

// untilSaid reads comments until one begins with a word.
func (v *viewer) untilSaid(word string) {
	v.t.Helper()
	for {
		comment, _, err := v.next()
		if err != nil {
			v.t.Fatalf("before it said %s the stream ended: %v", word, err)
		}
		if strings.HasPrefix(comment, word) {
			return
		}
	}
}
