package pipeline_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"popeye"
	"popeye/internal/client"
	"popeye/internal/lab"
	"popeye/internal/lab/labtest"
)

const (
	theVoterKey = "the voter key, of 32 bytes or more"
	oldCookies  = "the first cookie key, of 32 bytes or more"
	newCookies  = "the second cookie key, of 32 bytes or more"
	adminToken  = "a token for tests"
	// thePoll is the poll that most tests vote in.
	thePoll = "p"
)

// site is a distributed Popeye.
type site struct {
	t      *testing.T
	queues []*queue
	// postgres and database are where the votes end.
	postgres *lab.Postgres
	database string
	// The files that roles are given.
	voterKeys, cookieKeys, token string

	polls, workers, results []*role
	admin                   *role
	http                    *http.Client
	// witness is the vote of one voter that was acknowledged last.
	witness atomic.Pointer[ballot]
}

// queue is one queue server. The order in which a voter's servers are visited
// comes from their addresses: all polls have to use the same ones, and so do all
// workers.
type queue struct {
	*lab.Redis
	toPolls, toWorkers *lab.Link
}

// servers starts n queue servers.
func servers(t *testing.T, n int) []*lab.Redis {
	t.Helper()
	all := make([]*lab.Redis, n)
	for i := range all {
		all[i] = labtest.Redis(t)
	}
	return all
}

// newSite returns a site without roles on an empty database of the shared server.
func newSite(t *testing.T, queues ...*lab.Redis) *site {
	t.Helper()
	database := newDatabaseName()
	if err := sharedPostgres.CreateDatabase(t.Context(), database); err != nil {
		t.Fatal(err)
	}
	return newSiteOn(t, sharedPostgres, database, queues...)
}

var databases atomic.Int64

func newDatabaseName() string { return fmt.Sprint("site_", databases.Add(1)) }

// newSiteOn returns a site without roles, on parts that need not run.
func newSiteOn(t *testing.T, postgres *lab.Postgres, database string, queues ...*lab.Redis) *site {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	s := &site{
		t: t, postgres: postgres, database: database,
		http: &http.Client{Transport: transport, Timeout: patience},
	}
	s.voterKeys, s.token = s.file("voter.keys", theVoterKey), s.file("token", adminToken)
	s.cookieKeys = s.file("cookie.keys", oldCookies)
	for _, server := range queues {
		s.queues = append(s.queues, &queue{server, labtest.Link(t, server.Addr()), labtest.Link(t, server.Addr())})
	}
	return s
}

// startSite starts all roles, so many workers, polls and results of them, and
// waits until they are ready.
func startSite(t *testing.T, queues []*lab.Redis, workers, polls, results int) *site {
	t.Helper()
	s := newSite(t, queues...)
	s.startAll(workers, polls, results)
	return s
}

func (s *site) startAll(workers, polls, results int) {
	s.t.Helper()
	s.migrate().ends(s.t)
	s.beginAll(workers, polls, results)
	s.allReady()
}

// beginAll starts roles and waits for nothing.
func (s *site) beginAll(workers, polls, results int) {
	s.t.Helper()
	for range workers {
		s.beginWorker()
	}
	for range polls {
		s.beginPoll()
	}
	for range results {
		s.beginResult()
	}
	s.beginAdmin()
}

func (s *site) allReady() {
	s.t.Helper()
	for _, r := range slices.Concat(s.workers, s.polls, s.results, []*role{s.admin}) {
		r.untilReady()
	}
}

// migrate begins to bring the schema up to date.
func (s *site) migrate() *role {
	s.t.Helper()
	return newRole(s.t, nil, "migrate", "--database", s.postgres.DSN(s.database))
}

// beginWorker starts another worker. It has a link of its own to the database.
func (s *site) beginWorker() {
	s.t.Helper()
	s.workers = append(s.workers, s.withStore("worker", s.queueFlags(func(q *queue) *lab.Link { return q.toWorkers })...))
}

// startWorker starts another worker and waits until it is ready.
func (s *site) startWorker() {
	s.t.Helper()
	s.beginWorker()
	s.workers[len(s.workers)-1].untilReady()
}

func (s *site) beginPoll() {
	s.t.Helper()
	flags := append(s.queueFlags(func(q *queue) *lab.Link { return q.toPolls }),
		"--voter-key-file", s.voterKeys, "--cookie-key-file", s.cookieKeys)
	s.polls = append(s.polls, newRole(s.t, nil, "poll", flags...))
}

func (s *site) beginResult() {
	s.t.Helper()
	s.results = append(s.results, s.withStore("result"))
}

func (s *site) beginAdmin() {
	s.t.Helper()
	s.admin = s.withStore("admin", "--admin-token-file", s.token)
}

// withStore starts a role that reaches the database through a link of its own.
func (s *site) withStore(name string, flags ...string) *role {
	s.t.Helper()
	link := labtest.Link(s.t, s.postgres.Addr())
	return newRole(s.t, link, name, append(flags, "--database", lab.PostgresDSN(link.Addr(), "postgres", s.database))...)
}

// queueFlags say where the queue is, as it is reached through certain links.
func (s *site) queueFlags(through func(*queue) *lab.Link) []string {
	var flags []string
	for _, q := range s.queues {
		flags = append(flags, "--queue", "redis://"+through(q).Addr())
	}
	return flags
}

// file writes a file that roles are given.
func (s *site) file(name, text string) string {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), name)
	s.write(file, text)
	return file
}

func (s *site) write(file string, lines ...string) {
	s.t.Helper()
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) organiser() *client.Client { return client.New(s.admin.base, adminToken) }

// open creates the poll and waits until every poll and every result knows it.
func (s *site) open(policy popeye.Policy) {
	s.t.Helper()
	s.openPoll(popeye.Poll{ID: thePoll, Policy: policy})
}

// openPoll is open for any poll, with a question and the options a and b.
func (s *site) openPoll(p popeye.Poll) {
	s.t.Helper()
	p.Question, p.Options = "Which?", []popeye.Option{{ID: "a"}, {ID: "b"}}
	if _, _, err := s.organiser().Apply(s.t.Context(), p); err != nil {
		s.t.Fatal(err)
	}
	s.known(p.ID)
}

// known waits until every poll takes votes and every result knows what for.
func (s *site) known(poll string) {
	s.t.Helper()
	for _, r := range s.polls {
		s.takes(r, poll)
	}
	for _, r := range s.results {
		eventually(s.t, "result knows the poll", func() bool { return s.get(r, "/api/v1/results/"+poll).status == http.StatusOK })
	}
}

// takes waits until one poll takes votes: then it says what is wrong with one that
// nobody can count.
func (s *site) takes(at *role, poll string) {
	s.t.Helper()
	eventually(s.t, "poll takes votes", func() bool {
		r, err := s.castIn(s.t.Context(), at, poll, choosing("none of these"))
		return err == nil && r.status == http.StatusUnprocessableEntity
	})
}

// set changes the poll's state by its organiser.
func (s *site) set(state popeye.State) {
	s.t.Helper()
	if _, err := s.organiser().SetState(s.t.Context(), thePoll, state); err != nil {
		s.t.Fatal(err)
	}
}

// exec runs a statement in one of the databases of the site's server.
func (s *site) exec(database, statement string) {
	s.t.Helper()
	if err := s.postgres.Exec(s.t.Context(), database, statement); err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
}
