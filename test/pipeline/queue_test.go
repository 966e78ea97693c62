package pipeline_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"popeye"
	"popeye/internal/lab/labtest"
)

// The queue server does what it is asked to, and poll does not hear of it. Its
// voters, who have no cookie, try again elsewhere.
func TestVoteThatWasNotAnsweredIsRepeatedOnAnotherPollAndCountsOnce(t *testing.T) {
	t.Parallel()
	s := startSite(t, servers(t, 1), 1, 2, 1)
	s.open(popeye.First)
	one, other := s.polls[0], s.polls[1]
	link, voters := s.queues[0].toPolls, int64(0)
	key := func(n int64) string { return fmt.Sprint("voter ", n) }
	s.castAll("early ", "a", 1)
	eventually(t, "a vote reaches the queue and its answer does not arrive", func() bool {
		s.answered(one, thePoll, "a", "Idempotency-Key", "early 0") // now it has a connection
		labtest.Do(t, link.Mute)
		r := s.cast(one, "b", "Idempotency-Key", key(voters))
		if r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "" {
			t.Fatalf("without an answer of the queue a vote got %d: %s", r.status, r.body)
		}
		voters++
		entries := s.entries(s.queues[0])
		labtest.Do(t, link.Cut, link.Mend)
		return entries > 1
	})

	for n := range voters {
		again := s.answered(other, thePoll, "b", "Idempotency-Key", key(n))
		if n == voters-1 && (again.status != http.StatusOK || again.Status != "repeated") {
			t.Errorf("the vote, cast again elsewhere, got %d: %s", again.status, again.body)
		}
		s.answered(one, thePoll, "a", "Idempotency-Key", key(n)).wantsAlready(t, "b")
	}
	s.closes(map[string]int64{"a": 1, "b": voters})
}

// Whoever writes into the queue or the form what no voter can mean holds up nobody.
func TestNonsenseIsRefusedOrParkedAndHoldsUpNobody(t *testing.T) {
	t.Parallel()
	s := startSite(t, servers(t, 1), 1, 1, 1)
	s.open(popeye.First)
	for body, status := range map[string]int{
		choosing("c"):                      http.StatusUnprocessableEntity,
		choosing(strings.Repeat("a", 300)): http.StatusUnprocessableEntity,
		`{"choices":["a\u0000"]}`:          http.StatusUnprocessableEntity,
		`{"choices":["a","b"]}`:            http.StatusUnprocessableEntity,
		`{"choices":`:                      http.StatusBadRequest,
	} {
		if r, err := s.castIn(t.Context(), s.polls[0], thePoll, body); err != nil || r.status != status {
			t.Errorf("%.40q got %d, %v, want %d", body, r.status, err, status)
		}
	}
	if r, err := s.castIn(t.Context(), s.polls[0], "p%00", choosing("a")); err != nil || r.status != http.StatusNotFound {
		t.Errorf("a vote in a poll that cannot be got %d, %v", r.status, err)
	}
	s.castAll("early ", "a", 5)
	for _, nonsense := range []string{`\x01`, `\x01\x01nonsense`, `\x01\x02\x00\x00\x00\x00\x00\x00\x00\x01\x02\x10aaaaaaaaaaaaaaaa`} {
		s.put(s.queues[0], nonsense)
	}
	s.castAll("later ", "b", 5)
	s.counted(map[string]int64{"a": 5, "b": 5})
	eventually(t, "the nonsense is parked", func() bool {
		parked, err := s.organiser().Parked(t.Context())
		return err == nil && len(parked) > 0
	})
	s.closes(map[string]int64{"a": 5, "b": 5})
}
