package pipeline_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"popeye"
	"popeye/internal/lab/labtest"
)

// Everybody votes until they are told that the poll is closed: no vote that was
// acknowledged is missing by then, and none counts that was only refused.
func TestClosedPollRefusesEverywhereAndEndsWithEveryAcknowledgedVote(t *testing.T) {
	t.Parallel()
	for _, queues := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d queue servers", queues), func(t *testing.T) {
			t.Parallel()
			s := startSite(t, servers(t, queues), 2, 2, 2)
			s.open(popeye.First)
			c := s.gather(16)
			c.more(300)
			s.set(popeye.Closed)
			s.closed()
			votes := c.disperse()
			final := s.final(s.results[0])
			for option, got := range final.counts() {
				if least, most := votes[option], votes[option]+c.doubtful[option]; got < least || got > most {
					t.Errorf("%s has %d votes: %d were acknowledged, and %d not answered", option, got, least, most-least)
				}
			}
			s.ended(final.counts()) // everywhere

			// It never moves again, though the world goes on.
			s.openPoll(popeye.Poll{ID: "next"})
			s.answered(s.polls[0], "next", "a")
			s.closed()
			s.ended(final.counts())
			s.certified()
		})
	}
}

func TestVotesAreTakenAndThePollClosesOnTimeWithWorkersAndDatabaseAway(t *testing.T) {
	t.Parallel()
	s := startSite(t, servers(t, 1), 1, 2, 1)
	s.open(popeye.First)
	closes := time.Now().Add(12 * time.Second)
	s.openPoll(popeye.Poll{ID: "timed", Closes: closes})
	s.workers[0].kill()
	labtest.Do(t, s.admin.store.Cut, s.results[0].store.Cut)

	if r := s.answered(s.polls[0], "timed", "a", "Idempotency-Key", "one"); !r.stands() {
		t.Fatalf("in time a vote got %d: %s", r.status, r.body)
	}
	s.castAll("voter ", "a", 50)
	again := s.polls[1]
	again.stop()
	again.begin()
	again.untilReady()
	s.castAll("later voter ", "b", 50)
	for _, at := range s.polls {
		eventually(t, "the poll closes by the clock of the queue", func() bool {
			return s.answered(at, "timed", "a", "Idempotency-Key", "one").status == http.StatusGone
		})
	}
	if time.Now().Before(closes) {
		t.Error("the poll was closed early")
	}

	labtest.Do(t, s.admin.store.Mend, s.results[0].store.Mend)
	s.workers[0].begin()
	s.closes(map[string]int64{"a": 50, "b": 50})
}

// A poll is reset while votes of its round are in the queue: they belong to that
// round, and never to the next one.
func TestVotesOfAnEarlierRoundNeverReachTheNext(t *testing.T) {
	t.Parallel()
	s := startSite(t, servers(t, 1), 1, 1, 1)
	s.open(popeye.First)
	s.castAll("early ", "a", 5)
	s.counted(map[string]int64{"a": 5, "b": 0})
	s.workers[0].kill()
	s.castAll("underway ", "a", 30)
	s.set(popeye.Closed)
	s.set(popeye.Open)
	s.counted(map[string]int64{"a": 0, "b": 0})

	s.workers[0].begin()
	eventually(t, "the next round takes votes", func() bool {
		return s.answered(s.polls[0], thePoll, "b", "Idempotency-Key", "early 0").stands()
	})
	for _, key := range []string{"underway 0", "new"} {
		s.answered(s.polls[0], thePoll, "b", "Idempotency-Key", key)
	}
	eventually(t, "all votes of both rounds are recorded", func() bool { return s.taken(s.queues[0]) == 0 })
	s.counted(map[string]int64{"a": 0, "b": 3})
	s.witness.Store(&ballot{"new", "b"})
	s.closes(map[string]int64{"a": 0, "b": 3})
}
