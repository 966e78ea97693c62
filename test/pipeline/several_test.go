package pipeline_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"popeye"
	"popeye/internal/lab/labtest"
)

func TestQueueServerThatMissedAVoteDoesNotTakeTheVotersSecondOne(t *testing.T) {
	t.Parallel()
	const voters = 12
	s := startSite(t, servers(t, 3), 1, 1, 1)
	s.open(popeye.First)
	missing, gone := s.queues[0], s.queues[1]
	labtest.Do(t, missing.Kill)
	s.castAll("voter ", "a", voters)
	labtest.Start(t, missing)
	s.untilAnswering(3)
	labtest.Do(t, gone.Kill)
	for n := range voters {
		second := s.cast(s.polls[0], "b", "Idempotency-Key", fmt.Sprint("voter ", n)) // once
		if second.status != http.StatusServiceUnavailable {
			second.wantsAlready(t, "a")
		}
	}
	labtest.Start(t, gone)
	for n := range voters {
		second, err := s.insist(t.Context(), fmt.Sprint("voter ", n), "b")
		if err != nil {
			t.Fatal(err)
		}
		second.wantsAlready(t, "a")
	}
	s.closes(map[string]int64{"a": voters, "b": 0})
}

// untilAnswering waits until so many queue servers answer to all who use them.
func (s *site) untilAnswering(n float64) {
	s.t.Helper()
	for _, at := range s.polls {
		eventually(s.t, "the servers answer to poll", func() bool { return at.metric("popeye_queue_answers") == n })
	}
	for _, at := range s.workers {
		eventually(s.t, "the servers answer to the worker", func() bool { return at.metric("popeye_worker_queue_up") == n })
	}
}

// wantsAlready checks that a vote was told that another one stands.
func (r reply) wantsAlready(t *testing.T, option string) {
	t.Helper()
	if r.status != http.StatusConflict || r.Outcome != "already" || len(r.Choices) != 1 || r.Choices[0] != option {
		t.Errorf("where a vote for %s stands another one got %d: %s", option, r.status, r.body)
	}
}

// One of three servers has votes that no worker has seen, and is away when the
// poll ends. Some of them it alone has: their voters were told to try again, and
// never did.
func TestQueueServerThatReturnsWithOldVotesMovesNoFinalResult(t *testing.T) {
	t.Parallel()
	s := startSite(t, servers(t, 3), 1, 1, 2)
	s.untilNoted(3)
	s.open(popeye.First)
	s.castAll("early ", "a", 10)
	s.counted(map[string]int64{"a": 10, "b": 0})
	lost := s.queues[2]
	labtest.Do(t, lost.toWorkers.Cut)
	s.castAll("voter ", "b", 30)
	s.untilAlone(lost)
	labtest.Do(t, lost.Kill)
	s.closes(map[string]int64{"a": 10, "b": 30})
	s.certified()
	final := s.result(s.results[0])

	labtest.Start(t, lost)
	labtest.Do(t, lost.toWorkers.Mend)
	eventually(t, "the old votes are taken and acknowledged", func() bool { return s.drained(lost) })
	s.ended(map[string]int64{"a": 10, "b": 30})
	s.certified()
	for _, at := range s.results {
		eventually(t, "the old votes are rejected", func() bool { return s.result(at).Ledger.Rejected > 0 })
	}
	if now := s.result(s.results[0]); now.Receipts != final.Receipts {
		t.Errorf("the final list of receipts moved: %+v, then %+v", final, now)
	}
}

// untilNoted waits until the database knows so many queue servers, from which on a
// server that loses its data can be told from one that never had any.
func (s *site) untilNoted(n int) {
	s.t.Helper()
	eventually(s.t, "the queue servers are noted", func() bool {
		return s.postgres.Exec(s.t.Context(), s.database, fmt.Sprintf("SELECT 1 / (count(*) = %d)::int FROM places", n)) == nil
	})
}

// untilAlone lets people vote, once, until one server has taken a vote that no
// other one has.
func (s *site) untilAlone(q *queue) {
	s.t.Helper()
	voters := 0
	eventually(s.t, "a server takes a vote alone", func() bool {
		before := s.entries(q)
		for _, other := range s.queues {
			if other != q {
				labtest.Do(s.t, other.toPolls.Cut)
			}
		}
		r := s.cast(s.polls[0], "a", "Idempotency-Key", fmt.Sprint("unheard ", voters))
		if r.status != http.StatusServiceUnavailable {
			s.t.Fatalf("with two of three servers away a vote got %d: %s", r.status, r.body)
		}
		voters++
		for _, other := range s.queues {
			labtest.Do(s.t, other.toPolls.Mend)
		}
		return s.entries(q) > before
	})
}

// Somebody has the ballot open twice and chooses differently, at the same time and
// through different polls.
func TestTwoTabsThatRaceOnThreeServersMakeOneVote(t *testing.T) {
	t.Parallel()
	const voters = 40
	s := startSite(t, servers(t, 3), 1, 2, 1)
	s.open(popeye.First)
	standing := map[string]int64{"a": 0, "b": 0}
	for n := range voters {
		headers := []string{"Idempotency-Key", fmt.Sprint("voter ", n)}
		if n%2 == 0 {
			headers = []string{"Cookie", s.renewed(s.polls[0], "")}
		}
		replies := s.race(headers...)
		winner, loser := replies[0], replies[1]
		if !winner.stands() {
			winner, loser = loser, winner
		}
		if !winner.stands() || len(winner.Choices) != 1 {
			t.Fatalf("neither tab is told that its vote stands: %+v", replies)
		}
		loser.wantsAlready(t, winner.Choices[0])
		standing[winner.Choices[0]]++
	}
	s.castAll("witness ", "a", 1)
	standing["a"]++
	s.closes(standing)
}

// race casts a vote for a through one poll and one for b through another.
func (s *site) race(headers ...string) []reply {
	s.t.Helper()
	replies := make([]reply, 2)
	var tabs sync.WaitGroup
	for i, option := range []string{"a", "b"} {
		tabs.Go(func() {
			for replies[i].status == 0 || replies[i].status == http.StatusServiceUnavailable {
				var err error
				if replies[i], err = s.castIn(s.t.Context(), s.polls[i], thePoll, choosing(option), headers...); err != nil {
					s.t.Error(err)
					return
				}
			}
		})
	}
	tabs.Wait()
	return replies
}

// A change is sent once more, long after the voter has changed again, to a poll
// that does not know of it and while the server that was there is away.
func TestLateCopyOfAnEarlierChangeMovesNoVoteBack(t *testing.T) {
	t.Parallel()
	s := startSite(t, servers(t, 3), 1, 2, 1)
	s.open(popeye.Change)
	missing, gone := s.queues[0], s.queues[1]
	voters := make([]*fickle, 6)
	first := make([]int64, len(voters)) // the stamps of their first votes
	for i := range voters {
		voters[i] = &fickle{site: s, cookie: s.renewed(s.polls[0], "")}
		first[i] = voters[i].chooses("a")
		voters[i].chooses("b")
	}
	labtest.Do(t, missing.Kill)
	for _, v := range voters {
		v.chooses("a")
	}
	labtest.Start(t, missing)
	s.untilAnswering(3)
	labtest.Do(t, gone.Kill)
	for i, v := range voters {
		if late := v.sends(s.polls[1], "b", first[i]); late.status != http.StatusServiceUnavailable && late.status != http.StatusConflict {
			t.Errorf("a late copy of an earlier change got %d: %s", late.status, late.body)
		}
	}
	labtest.Start(t, gone)
	s.castAll("witness ", "a", 1)
	s.closes(map[string]int64{"a": int64(len(voters)) + 1, "b": 0})
}

// fickle is a voter who changes from a page that shows the vote that stands.
type fickle struct {
	site   *site
	cookie string
	// shown is the stamp of that vote, zero before the first.
	shown int64
}

// sends sends one vote that follows another one.
func (f *fickle) sends(at *role, option string, after int64) reply {
	f.site.t.Helper()
	body := fmt.Sprintf(`{"choices":[%q],"after":%d}`, option, after)
	r, err := f.site.castIn(f.site.t.Context(), at, thePoll, body, "Cookie", f.cookie)
	if err != nil {
		f.site.t.Fatal(err)
	}
	return r
}

// chooses tries until the choice stands, and returns its stamp.
func (f *fickle) chooses(option string) int64 {
	f.site.t.Helper()
	eventually(f.site.t, "a choice stands", func() bool {
		r := f.sends(f.site.polls[0], option, f.shown)
		if r.stands() {
			f.shown = r.Stamp
		}
		return r.stands()
	})
	return f.shown
}
