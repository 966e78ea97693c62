package pipeline_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"popeye"
	"popeye/internal/lab/labtest"
)

// Everything is started at once, and what the roles need comes last.
func TestRolesThatStartBeforeTheirPartsWaitAndSayForWhat(t *testing.T) {
	t.Parallel()
	queues, database := servers(t, 3), labtest.Postgres(t, quickPostgres()...)
	labtest.Do(t, database.Stop, queues[0].Stop, queues[1].Stop, queues[2].Stop)
	s := newSiteOn(t, database, "postgres", queues...)
	s.beginAll(2, 2, 2)
	migrations := []*role{s.migrate(), s.migrate()}
	for _, r := range slices.Concat(s.workers, s.results, []*role{s.admin}) {
		r.untilWaitingFor("database")
	}
	for _, r := range s.polls {
		r.untilWaitingFor("queue")
	}

	labtest.Start(t, database)
	for _, m := range migrations {
		m.ends(t)
	}
	s.admin.untilReady()
	labtest.Start(t, queues[1])
	for _, r := range s.workers {
		r.untilWaitingFor("queue") // one of three is not enough
	}
	labtest.Start(t, queues[2])
	s.allReady() // two of three are enough
	s.open(popeye.First)
	c := s.gather(4)
	c.more(50)
	labtest.Start(t, queues[0])
	c.more(50)
	s.closes(c.disperse())
}

// untilWaitingFor waits until the role says that it is not ready, and why.
func (r *role) untilWaitingFor(part string) {
	r.t.Helper()
	eventually(r.t, "the role says that it waits for the "+part, func() bool { return strings.Contains(r.ready(), part) })
}

func TestTwoWorkersAndTwoMigrationsStartOnAnEmptyDatabase(t *testing.T) {
	t.Parallel()
	s := newSite(t, servers(t, 1)...)
	s.beginWorker()
	s.beginWorker()
	migrations := []*role{s.migrate(), s.migrate(), s.migrate(), s.migrate()}
	s.beginAll(0, 1, 1)
	for _, m := range migrations {
		m.ends(t)
	}
	s.allReady()
	s.open(popeye.First)
	s.castAll("voter ", "a", 20)
	s.closes(map[string]int64{"a": 20, "b": 0})
	if r := s.get(s.polls[0], "/api/v1/polls"); r.status != http.StatusOK || strings.Count(r.body, `"id":"p"`) != 1 {
		t.Errorf("the polls are %s", r.body)
	}
}
