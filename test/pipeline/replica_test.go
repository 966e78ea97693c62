package pipeline_test

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"popeye"
	"popeye/internal/lab"
	"popeye/internal/lab/labtest"
)

// A viewer is sent now to this result and now to that one. Under one version both
// show the same, and no higher version shows fewer votes.
func TestResultsWithoutStickinessAgree(t *testing.T) {
	t.Parallel()
	s := startSite(t, servers(t, 1), 2, 1, 2)
	s.open(popeye.First)
	streams := []*viewer{s.follow(s.results[0]), s.follow(s.results[1])}
	done := make(chan error, len(streams))
	c := s.gather(4)
	c.more(10)
	const enough = 400
	for _, v := range streams {
		go func() { done <- v.onlyGrows(enough) }()
	}
	shown := map[int64]result{}
	newest := result{}
	for n := 0; newest.Total < enough; n++ {
		r := s.result(s.results[n%2])
		// How many votes are on their way is an estimate of the moment.
		r.Ledger.Accepted, r.Ledger.Queued = 0, 0
		if before, ok := shown[r.Version]; ok && !reflect.DeepEqual(before, r) {
			t.Fatalf("one version is shown as %+v and as %+v", before, r)
		}
		if shown[r.Version] = r; r.Version <= newest.Version {
			continue // the page keeps what it has
		}
		if r.Total < newest.Total {
			t.Fatalf("after %+v came %+v", newest, r)
		}
		newest = r
	}
	votes := c.disperse()
	for range streams {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	s.closes(votes)
}

// onlyGrows reads results until one has enough votes, and says what is wrong with
// any that follows another.
func (v *viewer) onlyGrows(enough int64) error {
	var last result
	for last.Total < enough {
		r, err := v.frame()
		if err != nil {
			return err
		}
		if r.Version < last.Version || r.Total < last.Total {
			return fmt.Errorf("after %+v came %+v", last, r)
		}
		last = r
	}
	return nil
}

func TestViewerWhoMissedTheLastVoteWhileReconnectingGetsItAtOnce(t *testing.T) {
	t.Parallel()
	s := startSite(t, servers(t, 1), 1, 1, 2)
	s.open(popeye.First)
	s.castAll("early ", "a", 3)
	one, other := s.results[0], s.results[1]
	v := s.follow(one)
	v.until("the first votes", func(r result) bool { return r.Total == 3 })
	one.kill()
	s.castAll("missed ", "b", 1)
	s.shows(other, map[string]int64{"a": 3, "b": 1})
	if r, err := s.follow(other).frame(); err != nil || r.Total != 4 {
		t.Errorf("on return the viewer gets %+v, %v", r, err)
	}
	one.begin()
	one.untilReady()
	if r, err := s.follow(one).frame(); err != nil || r.Total != 4 {
		t.Errorf("from the result that was started again the viewer gets %+v, %v", r, err)
	}
}

func TestViewersSeeVotesAgainAfterTheDatabaseWasRestarted(t *testing.T) {
	t.Parallel()
	database := labtest.Postgres(t, quickPostgres()...)
	s := newSiteOn(t, database, "postgres", servers(t, 1)...)
	s.startAll(1, 1, 2)
	s.open(popeye.First)
	s.castAll("early ", "a", 5)
	s.counted(map[string]int64{"a": 5, "b": 0})
	v := s.follow(s.results[0])
	v.until("the first votes", func(r result) bool { return r.Total == 5 })
	for n, end := range []func() error{database.Kill, database.Stop} {
		labtest.Do(t, end)
		v.untilSaid("stale")
		s.castAll(fmt.Sprint("without a database ", n, " "), "b", 5)
		if got := s.result(s.results[1]).Total; got != int64(5+5*n) {
			t.Errorf("without a database %d votes are shown", got)
		}
		labtest.Start(t, database)
		v.until("the votes cast meanwhile", func(r result) bool { return r.Total == int64(10+5*n) })
		s.counted(map[string]int64{"a": 5, "b": int64(5 + 5*n)})
	}
	s.closes(map[string]int64{"a": 5, "b": 10})
}

// The file is written first everywhere, then the polls are started anew one by
// one, and in between both kinds serve the same voters.
func TestCookieKeysAreRotatedDuringARollingUpdateAndNobodyIsLoggedOut(t *testing.T) {
	t.Parallel()
	s := startSite(t, servers(t, 1), 1, 2, 1)
	s.open(popeye.Change)
	s.castAll("witness ", "a", 1)
	var cookies []string
	for _, at := range s.polls {
		cookies = append(cookies, s.newCookie(at))
	}
	for _, keys := range [][]string{{oldCookies}, {oldCookies, newCookies}, {newCookies, oldCookies}, {newCookies}} {
		s.write(s.cookieKeys, keys...)
		for n, next := range s.polls {
			next.stop()
			next.begin()
			next.untilReady()
			s.takes(next, thePoll)
			cookies[n] = s.renewed(next, cookies[n])
			for _, at := range s.polls {
				for voter, cookie := range cookies {
					s.changesMind(at, voter, cookie)
				}
			}
		}
	}
	for voter, cookie := range cookies {
		if r := s.answered(s.polls[voter], thePoll, "a", "Cookie", cookie); r.status != http.StatusOK {
			t.Errorf("voter %d got %d: %s", voter, r.status, r.body)
		}
	}
	s.closes(map[string]int64{"a": 3, "b": 0})
}

// newCookie returns the cookie of a new voter, who has voted.
func (s *site) newCookie(at *role) string {
	s.t.Helper()
	cookie := s.renewed(at, "")
	if r := s.answered(at, thePoll, "a", "Cookie", cookie); !r.stands() || cookieOf(r) != "" {
		s.t.Fatalf("a new voter got %d: %v %s", r.status, r.header, r.body)
	}
	return cookie
}

// renewed returns the cookie that a visit leaves a voter with.
func (s *site) renewed(at *role, cookie string) string {
	s.t.Helper()
	r, err := s.send(s.t.Context(), http.MethodGet, at.base+"/p/"+thePoll, "", "Cookie", cookie)
	if err != nil || r.status != http.StatusOK {
		s.t.Fatalf("the page answers %d, %v", r.status, err)
	}
	if set := cookieOf(r); set != "" {
		return set
	}
	return cookie
}

func cookieOf(r reply) string {
	cookie, _, _ := strings.Cut(r.header.Get("Set-Cookie"), ";")
	return cookie
}

// changesMind lets a voter change to b and back, each time as one who has voted.
func (s *site) changesMind(at *role, voter int, cookie string) {
	s.t.Helper()
	for _, option := range []string{"b", "a"} {
		if r := s.answered(at, thePoll, option, "Cookie", cookie); r.status != http.StatusOK {
			s.t.Errorf("voter %d is not known any more: %d %s", voter, r.status, r.body)
		}
	}
}

func TestDatabasePutBackToAnEarlierMomentIsMadeWhole(t *testing.T) {
	t.Parallel()
	database := labtest.Postgres(t, quickPostgres()...)
	if err := database.CreateDatabase(t.Context(), "popeye"); err != nil {
		t.Fatal(err)
	}
	s := newSiteOn(t, database, "popeye", servers(t, 3)...)
	s.startAll(2, 1, 2)
	s.open(popeye.First)
	s.castAll("early ", "a", 20)
	s.counted(map[string]int64{"a": 20, "b": 0})
	s.apart(func() { s.exec("postgres", "CREATE DATABASE backup TEMPLATE popeye") })
	s.castAll("later ", "b", 30)
	s.counted(map[string]int64{"a": 20, "b": 30})
	shown := s.result(s.results[0])

	s.apart(func() {
		s.exec("postgres", "DROP DATABASE popeye WITH (FORCE)")
		s.exec("postgres", "ALTER DATABASE backup RENAME TO popeye")
	})
	s.castAll("latest ", "a", 10)
	s.counted(map[string]int64{"a": 30, "b": 30})
	if now := s.result(s.results[0]); now.Version <= shown.Version {
		t.Errorf("the version fell from %d to %d", shown.Version, now.Version)
	}
	s.closes(map[string]int64{"a": 30, "b": 30})
}

// apart does something to the database while nobody uses it.
func (s *site) apart(do func()) {
	s.t.Helper()
	var links []*lab.Link
	for _, r := range append(append([]*role{s.admin}, s.workers...), s.results...) {
		links = append(links, r.store)
	}
	for _, l := range links {
		labtest.Do(s.t, l.Cut)
	}
	eventually(s.t, "nobody uses the database", func() bool {
		return s.postgres.Exec(s.t.Context(), "postgres",
			"SELECT 1 / (count(*) = 0)::int FROM pg_stat_activity WHERE datname = 'popeye'") == nil
	})
	do()
	for _, l := range links {
		labtest.Do(s.t, l.Mend)
	}
}
