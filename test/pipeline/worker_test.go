package pipeline_test

import (
	"fmt"
	"net/http"
	"testing"

	"popeye"
	"popeye/internal/lab/labtest"
)

func TestVotesInTheHandsOfAKilledWorkerAreCountedOnce(t *testing.T) {
	t.Parallel()
	s := startSite(t, servers(t, 1), 1, 1, 1)
	s.open(popeye.First)
	s.castAll("early ", "a", 5)
	held := s.untilHeld(s.workers[0], "a")
	s.workers[0].kill()
	s.startWorker()
	s.castAll("later ", "b", 5)
	s.closes(map[string]int64{"a": 5 + held, "b": 5})
}

// untilHeld lets people vote until the only worker has taken a vote of theirs that
// it cannot record, because its way to the database is frozen from then on. It
// returns how many have voted: voter 0, voter 1, ...
func (s *site) untilHeld(w *role, option string) (votes int64) {
	s.t.Helper()
	eventually(s.t, "the worker holds votes that it cannot record", func() bool {
		labtest.Do(s.t, w.store.Mend)
		eventually(s.t, "the worker waits for votes", func() bool { return w.ready() == "" && s.drained(s.queues[0]) })
		labtest.Do(s.t, w.store.Freeze)
		s.castAll(fmt.Sprint("voter ", votes, " "), option, 1)
		votes++
		return soon(func() bool { return s.taken(s.queues[0]) > 0 })
	})
	return votes
}

func TestWorkersAreKilledUnderLoadAndEveryVoteCountsOnce(t *testing.T) {
	t.Parallel()
	s := startSite(t, servers(t, 1), 2, 2, 1)
	s.open(popeye.First)
	c := s.gather(8)
	for n := range 6 {
		c.more(100)
		victim := s.workers[n%2]
		eventually(t, "a worker holds votes", func() bool { return s.taken(s.queues[0]) > 0 })
		victim.kill()
		victim.begin()
	}
	s.closes(c.disperse())
}

// What a server has handed out while the way back was cut nobody has.
func TestVotesOnTheirWayToAWorkerSurviveTheLossOfTheConnection(t *testing.T) {
	t.Parallel()
	s := startSite(t, servers(t, 1), 1, 2, 1)
	s.open(popeye.First)
	link, voters := s.queues[0].toWorkers, 0
	eventually(t, "a vote is handed out and does not arrive", func() bool {
		eventually(t, "the worker waits for votes", func() bool { return s.workers[0].ready() == "" && s.drained(s.queues[0]) })
		labtest.Do(t, link.Mute)
		s.castAll(fmt.Sprint("after ", voters, " "), "a", 1)
		voters++
		lost := s.taken(s.queues[0]) > 0
		labtest.Do(t, link.Cut, link.Mend)
		return lost
	})
	c := s.gather(8)
	for range 10 {
		c.more(20)
		labtest.Do(t, link.Cut, link.Mend)
	}
	votes := c.disperse()
	votes["a"] += int64(voters)
	s.closes(votes)
}

// The database does what it is asked to, and the worker does not hear of it.
func TestVotesWhoseRecordingWasNotHeardOfCountOnce(t *testing.T) {
	t.Parallel()
	s := startSite(t, servers(t, 1), 1, 1, 1)
	s.open(popeye.First)
	link, votes := s.workers[0].store, int64(0)
	vote := func() {
		s.castAll(fmt.Sprint("voter ", votes, " "), "a", 1)
		votes++
	}
	eventually(t, "a vote is recorded and the worker does not hear of it", func() bool {
		vote() // the worker has its connection
		eventually(t, "the vote is done with", func() bool { return s.drained(s.queues[0]) })
		labtest.Do(t, link.Mute)
		vote()
		unheard := soon(func() bool { return s.result(s.results[0]).Total == votes && s.taken(s.queues[0]) > 0 })
		labtest.Do(t, link.Cut, link.Mend)
		return unheard
	})

	c := s.gather(8)
	for range 4 {
		c.more(30)
		labtest.Do(t, link.Mute)
		c.more(30)
		labtest.Do(t, link.Cut)
		c.more(5)
		labtest.Do(t, link.Mend)
	}
	all := c.disperse()
	all["a"] += votes
	s.closes(all)
}

func TestWorkerThatIsWokenAfterItsLeaseChangesNothing(t *testing.T) {
	t.Parallel()
	s := startSite(t, servers(t, 1), 1, 1, 1)
	s.open(popeye.Change)
	sleeper := s.workers[0]
	held := s.untilHeld(sleeper, "a")
	labtest.Do(t, sleeper.Pause)

	s.startWorker()
	s.counted(map[string]int64{"a": held, "b": 0}) // by the other one
	for n := range held {
		s.changes("voter "+fmt.Sprint(n)+" 0", "b")
	}
	s.counted(map[string]int64{"a": 0, "b": held})

	// What the sleeper was about to write arrives now.
	labtest.Do(t, sleeper.store.Mend, sleeper.Resume)
	sleeper.untilReady()
	s.castAll("later ", "a", 5)
	s.counted(map[string]int64{"a": 5, "b": held})
	s.workers[1].stop()
	s.castAll("latest ", "a", 5)
	s.closes(map[string]int64{"a": 10, "b": held})
}

// changes lets somebody who has voted choose something else.
func (s *site) changes(key, option string) {
	s.t.Helper()
	r, err := s.insist(s.t.Context(), key, option)
	if err != nil || r.status != http.StatusOK {
		s.t.Fatalf("a change got %d %s, %v", r.status, r.body, err)
	}
}

// What a worker publishes is held up on its way, the poll is closed meanwhile, and
// then it arrives.
func TestWorkerThatPublishesAnOldDefinitionReopensNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, servers(t, 1)...)
	s.migrate().ends(t)
	snare := newSnare(t, s.queues[0].Addr(), "Which one?")
	sleeper := s.withStore("worker", "--queue", "redis://"+snare.addr())
	s.beginAll(0, 2, 1)
	s.allReady()
	s.open(popeye.First)
	s.castAll("voter ", "a", 10)
	s.counted(map[string]int64{"a": 10, "b": 0})
	poll := popeye.Poll{ID: thePoll, Question: "Which one?", Options: []popeye.Option{{ID: "a"}, {ID: "b"}}}
	if _, _, err := s.organiser().Apply(t.Context(), poll); err != nil {
		t.Fatal(err)
	}
	<-snare.caught
	labtest.Do(t, sleeper.Pause)

	s.startWorker() // it knows the queue by another address
	s.set(popeye.Closed)
	s.closed()
	s.ended(map[string]int64{"a": 10, "b": 0})
	s.workers[0].stop() // so that nobody heals anything
	snare.release()
	again := s.polls[1]
	again.stop()
	again.begin()
	again.untilReady() // it knows what the queue knows
	for _, at := range s.polls {
		if r := s.answered(at, thePoll, "b", "Idempotency-Key", "somebody new"); r.status != http.StatusGone {
			t.Errorf("after the end a vote got %d: %s", r.status, r.body)
		}
	}

	// Nor does the sleeper reopen anything when it wakes.
	labtest.Do(t, sleeper.Resume)
	sleeper.untilReady()
	s.openPoll(popeye.Poll{ID: "next"})
	s.closed()
	s.ended(map[string]int64{"a": 10, "b": 0})
}
