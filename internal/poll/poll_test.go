package poll_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"popeye"
	"popeye/internal/poll"
	"popeye/internal/voter"
	"popeye/internal/web"
)

const key = "0123456789abcdef0123456789abcdef"

// script is a queue that answers as a test wants. What a working queue does is
// tested in internal/app, with one.
type script struct {
	catalog *popeye.Catalog
	enqueue func(popeye.Cast) (popeye.Answer, error)
	// mark is every voter's, nil: nobody has one.
	mark    *popeye.Mark
	markErr error
}

func (s *script) Catalog() *popeye.Catalog { return s.catalog }

func (s *script) Enqueue(_ context.Context, c popeye.Cast) (popeye.Answer, error) {
	return s.enqueue(c)
}

func (s *script) Mark(context.Context, int64, popeye.Voter) (popeye.Mark, bool, error) {
	if s.mark != nil {
		return *s.mark, true, s.markErr
	}
	return popeye.Mark{}, false, s.markErr
}

// role returns a poll role that knows one open poll, "p" with options a and b.
func role(t *testing.T, s *script, change func(*popeye.Poll)) *poll.Poll {
	t.Helper()
	return roleWith(t, s, change, nil)
}

func roleWith(t *testing.T, s *script, change func(*popeye.Poll), l *web.Limiter) *poll.Poll {
	t.Helper()
	ring, err := voter.NewRing([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := web.NewPages()
	if err != nil {
		t.Fatal(err)
	}
	if s.catalog == nil && change != nil {
		p := popeye.Poll{ID: "p", Question: "Which?", Options: []popeye.Option{{ID: "a"}, {ID: "b"}}}
		change(&p)
		s.catalog = popeye.NewCatalog(1, []popeye.Definition{{
			Poll: p.WithDefaults(), Round: 1, State: popeye.Open, VoterKey: ring.Name(),
		}})
	}
	return poll.New(poll.Config{
		Queue: s, Voters: voter.New(voter.Config{Cookies: ring, Pseudonyms: ring}), Pages: pages,
		Timeout: time.Minute, MaxCasts: maxCasts, Limiter: l,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Metrics: prometheus.NewRegistry(), Now: time.Now,
	})
}

// maxCasts is how many votes may be on their way to the queue in these tests.
const maxCasts = 8

func asIs(*popeye.Poll) {}

func changeable(p *popeye.Poll) { p.Policy = popeye.Change }

func cast(p *poll.Poll, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/api/v1/votes/p", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w
}

func page(p *poll.Poll) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/p/p", nil))
	return w
}

func TestQueueThatRefusesIsSaidWithAStatusAndWhenToComeAgain(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		again  string
	}{
		{popeye.ErrFull, 503, "1"},
		{fmt.Errorf("redis at 10.0.0.1: %w", popeye.ErrUnavailable), 503, "1"},
		{context.DeadlineExceeded, 503, "1"},
		{popeye.ErrClosed, 410, ""},
		{popeye.ErrNotFound, 404, ""},
		{errors.New("redis at 10.0.0.1 has a bug"), 500, ""},
	} {
		p := role(t, &script{enqueue: func(popeye.Cast) (popeye.Answer, error) { return popeye.Answer{}, c.err }}, asIs)
		w := cast(p, `{"choices":["a"]}`)
		if w.Code != c.status || w.Header().Get("Retry-After") != c.again {
			t.Errorf("%v: %d, Retry-After %q", c.err, w.Code, w.Header().Get("Retry-After"))
		}
		if (c.status == 503) != strings.Contains(w.Body.String(), "Your vote is not confirmed") {
			t.Errorf("%v: the voter was told %s", c.err, w.Body)
		}
		if strings.Contains(w.Body.String(), "10.0.0.1") {
			t.Errorf("%v: the voter was told %s", c.err, w.Body)
		}
		if w.Header().Get("Set-Cookie") == "" {
			t.Errorf("%v: the voter has no cookie to try again with", c.err)
		}
	}
}

func TestOneVoteTooManyOnItsWayIsRefusedAtOnceAndTheOthersAreNot(t *testing.T) {
	arrived, goOn := make(chan struct{}, maxCasts), make(chan struct{})
	p := role(t, &script{enqueue: func(popeye.Cast) (popeye.Answer, error) {
		arrived <- struct{}{}
		<-goOn
		return popeye.Answer{Outcome: popeye.Accepted}, nil
	}}, asIs)
	answers := make(chan int, maxCasts)
	for range maxCasts {
		go func() { answers <- cast(p, `{"choices":["a"]}`).Code }()
	}
	for range maxCasts {
		<-arrived
	}
	w := cast(p, `{"choices":["a"]}`)
	if w.Code != 503 || w.Header().Get("Retry-After") != "1" || !strings.Contains(w.Body.String(), "too many are waiting") {
		t.Errorf("one more: %d, Retry-After %q, %s", w.Code, w.Header().Get("Retry-After"), w.Body)
	}
	close(goOn)
	for range maxCasts {
		if code := <-answers; code != 201 {
			t.Errorf("a vote before it: %d", code)
		}
	}
	if code := cast(p, `{"choices":["a"]}`).Code; code != 201 {
		t.Errorf("a vote after it: %d", code)
	}
}

func TestNothingIsTakenBeforeThePollsAreKnown(t *testing.T) {
	p := role(t, &script{}, nil)
	if p.Ready() == nil {
		t.Error("ready without polls")
	}
	for _, path := range []string{"/", "/p/p", "/api/v1/polls", "/api/v1/polls/p"} {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != 503 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if w := cast(p, `{"choices":["a"]}`); w.Code != 503 {
		t.Errorf("a cast got %d", w.Code)
	}
}

func TestChangeIsStampedAboveAMarkThatIsAhead(t *testing.T) {
	future := popeye.Stamp(time.Now().Add(time.Hour).UnixMicro())
	var stamps []popeye.Stamp
	p := role(t, &script{enqueue: func(c popeye.Cast) (popeye.Answer, error) {
		stamps = append(stamps, c.Stamp)
		mark := popeye.Mark{Choices: 1, Stamp: future, Serial: 1}
		return mark.Decide(popeye.Change, c), nil
	}}, changeable)
	if w := cast(p, `{"choices":["b"]}`); w.Code != 200 || len(stamps) != 2 || stamps[1] <= future || stamps[1] > future+2048 {
		t.Errorf("got %d, stamps %v, want the second to be just above %d", w.Code, stamps, future)
	}
}

// Where the queue is several servers, one may have missed a change. A cast that
// was stamped above a newer mark says so, and is not taken for a repeat there.
func TestCastThatIsStampedAgainNamesTheVoteThatItFollows(t *testing.T) {
	newest := popeye.Mark{Choices: 2, Stamp: popeye.Stamp(time.Now().Add(time.Hour).UnixMicro()), Serial: 2}
	missedIt := popeye.Mark{Choices: 1, Stamp: 7, Serial: 1}
	casts := 0
	p := role(t, &script{enqueue: func(c popeye.Cast) (popeye.Answer, error) {
		casts++
		if casts == 1 {
			return newest.Decide(popeye.Change, c), nil
		}
		return missedIt.Decide(popeye.Change, c), nil
	}}, changeable)
	if w := cast(p, `{"choices":["a"]}`); w.Code != 200 || !strings.Contains(w.Body.String(), `"status":"changed"`) {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestVoteThatIsChangedElsewhereAllTheTimeGivesUp(t *testing.T) {
	casts := 0
	p := role(t, &script{enqueue: func(c popeye.Cast) (popeye.Answer, error) {
		casts++
		return popeye.Answer{Outcome: popeye.Conflict, Mark: popeye.Mark{Choices: 1, Stamp: c.Stamp + 1}}, nil
	}}, changeable)
	if w := cast(p, `{"choices":["b"]}`); w.Code != 503 || casts > 10 {
		t.Errorf("got %d after %d casts", w.Code, casts)
	}
}

func TestConflictThatTheVoterAskedAboutIsNotStampedAgain(t *testing.T) {
	casts := 0
	p := role(t, &script{enqueue: func(popeye.Cast) (popeye.Answer, error) {
		casts++
		return popeye.Answer{Outcome: popeye.Conflict, Mark: popeye.Mark{Choices: 1, Stamp: 8}}, nil
	}}, changeable)
	if w := cast(p, `{"choices":["b"],"after":7}`); w.Code != 409 || casts != 1 {
		t.Errorf("got %d after %d casts", w.Code, casts)
	}
}

func TestPageIsShownWhereTheMarkCannotBeRead(t *testing.T) {
	w := page(role(t, &script{markErr: errors.New("away")}, asIs))
	if w.Code != 200 || !strings.Contains(w.Body.String(), "We cannot tell") {
		t.Errorf("got %d", w.Code)
	}
	if got := w.Header().Get("Cache-Control"); got != "private, no-store" {
		t.Errorf("a page with a voter in it is %q", got)
	}
}

// A round that has just begun waits a moment for its voter key.
func TestBallotIsShownBeforeTheRoundHasAKeyAndACastIsTriedAgain(t *testing.T) {
	poll := popeye.Poll{ID: "p", Question: "Which?", Options: []popeye.Option{{ID: "a"}, {ID: "b"}}}
	catalog := popeye.NewCatalog(1, []popeye.Definition{{Poll: poll.WithDefaults(), Round: 1, State: popeye.Open}})
	p := role(t, &script{catalog: catalog}, asIs)
	if w := page(p); w.Code != 200 || !strings.Contains(w.Body.String(), `value="b"`) {
		t.Errorf("the ballot: %d", w.Code)
	}
	if w := cast(p, `{"choices":["a"]}`); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("a cast: %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
}

func TestPageSaysHowFarAVoteIs(t *testing.T) {
	for name, c := range map[string]struct {
		mark          popeye.Mark
		says, saysNot string
	}{
		"recorded":    {popeye.Mark{Choices: 2, Stamp: 1, Serial: 1}, "Your vote is safe. It is counted in a moment.", "<form"},
		"unconfirmed": {popeye.Mark{Choices: 2, Stamp: 1, Serial: 1, Unconfirmed: true}, "Cast your vote again to be sure.", "Your vote is safe"},
	} {
		got := page(role(t, &script{mark: &c.mark}, asIs)).Body.String()
		if !strings.Contains(got, c.says) || strings.Contains(got, c.saysNot) {
			t.Errorf("%s: the page is %s", name, got)
		}
		if isKept := strings.Contains(got, `href="/r/p/receipts"`); isKept == c.mark.Unconfirmed {
			t.Errorf("%s: the receipt is shown: %v", name, isKept)
		}
		if c.mark.Unconfirmed && !strings.Contains(got, `value="b" checked`) {
			t.Errorf("%s: the form does not hold the vote", name)
		}
	}
}

func TestNetworksShareIsLimited(t *testing.T) {
	accepted := popeye.Answer{Outcome: popeye.Accepted, Mark: popeye.Mark{Choices: 1, Stamp: 1}}
	p := roleWith(t, &script{enqueue: func(popeye.Cast) (popeye.Answer, error) { return accepted, nil }}, asIs, web.NewLimiter(0.0001, nil))
	cast(p, `{"choices":["a"]}`)
	if w := cast(p, `{"choices":["a"]}`); w.Code != 429 || w.Header().Get("Retry-After") == "" {
		t.Errorf("the second vote got %d", w.Code)
	}
}
