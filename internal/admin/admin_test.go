package admin_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"popeye"
	"popeye/internal/admin"
)

// cabinet is a register, its rounds and its parked votes, as a test sets them.
// What working ones do is tested in internal/app, with one.
type cabinet struct {
	polls  []popeye.Definition
	parked []popeye.ParkedVotes
	// err is what everything fails with.
	err error
	// retried is what a retry records.
	retried popeye.Recorded
	asked   int
}

func (c *cabinet) Catalog(context.Context) (*popeye.Catalog, error) {
	c.asked++
	return popeye.NewCatalog(1, c.polls), c.err
}

func (c *cabinet) Apply(_ context.Context, p popeye.Poll, s popeye.State) (popeye.Definition, bool, error) {
	return popeye.Definition{Poll: p, State: s}, false, c.err
}

func (c *cabinet) Delete(context.Context, string) error { return c.err }

func (c *cabinet) Tally(context.Context, string) (popeye.Tally, error) {
	return popeye.Tally{Definition: c.polls[0]}, c.err
}

func (c *cabinet) Open(context.Context, string) (popeye.Definition, error) { return c.polls[0], c.err }

func (c *cabinet) Close(context.Context, int64) error {
	c.polls[0].State = popeye.Closed
	return c.err
}

func (c *cabinet) Declare(_ context.Context, poll string) (popeye.Definition, error) {
	d := &c.polls[0]
	switch d.State {
	case popeye.Closed:
		d.State, d.Incomplete = popeye.Final, true
	case popeye.Final:
	default:
		return popeye.Definition{}, fmt.Errorf("declare %s: %w", poll, popeye.ErrExists)
	}
	return *d, c.err
}

func (c *cabinet) Parked(context.Context) ([]popeye.ParkedVotes, error) { return c.parked, c.err }

func (c *cabinet) Retry(_ context.Context, round int64) (popeye.Recorded, error) {
	c.parked = slices.DeleteFunc(c.parked, func(p popeye.ParkedVotes) bool { return p.Round == round && p.Reason != "late" })
	return c.retried, c.err
}

func (c *cabinet) Drop(_ context.Context, round int64) (int64, error) {
	votes := int64(0)
	for _, p := range c.parked {
		if p.Round == round {
			votes += p.Votes
		}
	}
	return votes, c.err
}

// desk is an administration, and what it told the other roles of.
type desk struct {
	*admin.Admin

	told []string
}

func open(t *testing.T, c *cabinet) *desk {
	t.Helper()
	if c.polls == nil {
		p := popeye.Poll{ID: "p", Question: "Which?", Options: []popeye.Option{{ID: "a"}, {ID: "b"}}}
		c.polls = []popeye.Definition{{Poll: p.WithDefaults(), Round: 7, State: popeye.Open, Version: 3}}
	}
	d := &desk{}
	d.Admin = admin.New(admin.Config{
		Register: c, Rounds: c, Parking: c, Token: "secret",
		Changed: func(_ context.Context, poll string) error {
			d.told = append(d.told, poll)
			return nil
		},
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Now: time.Now,
	})
	return d
}

func (d *desk) ask(method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/admin/api/v1/"+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer secret")
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w
}

func TestClosedPollIsDeclaredFinalAndSaysThatVotesMayBeMissing(t *testing.T) {
	d := open(t, &cabinet{})
	if w := d.ask("PATCH", "polls/p", `{"state":"final"}`); w.Code != 409 || !strings.Contains(w.Body.String(), "Close it first") {
		t.Errorf("an open poll: %d %s", w.Code, w.Body)
	}
	d.ask("PATCH", "polls/p", `{"state":"closed"}`)
	for range 2 { // the second time changes nothing
		w := d.ask("PATCH", "polls/p", `{"state":"final"}`)
		if w.Code != 200 || !strings.Contains(w.Body.String(), `"state":"final"`) || !strings.Contains(w.Body.String(), `"incomplete":true`) {
			t.Errorf("a closed poll: %d %s", w.Code, w.Body)
		}
	}
	if d.told[len(d.told)-1] != "p" {
		t.Errorf("told of %v", d.told)
	}
	// What is answered may be sent back.
	answered := d.ask("GET", "polls/p", "").Body.String()
	if w := d.ask("PATCH", "polls/p", answered); w.Code != 200 {
		t.Errorf("sent back as it was answered: %d %s", w.Code, w.Body)
	}
	if w := d.ask("PATCH", "polls/p", `{"state":"draft"}`); w.Code != 422 {
		t.Errorf("no such order: %d", w.Code)
	}
}

// misfits are parked votes: of a poll, and of a round that never was.
func misfits() []popeye.ParkedVotes {
	return []popeye.ParkedVotes{
		{Poll: "p", Round: 7, Reason: "late", Votes: 2, Oldest: time.Unix(1e9, 0), Newest: time.Unix(2e9, 0)},
		{Poll: "p", Round: 7, Reason: "no such option", Votes: 3, Oldest: time.Unix(1e9, 0), Newest: time.Unix(1e9, 0)},
		{Round: -1, Reason: "no such round", Votes: 5, Oldest: time.Unix(1e9, 0), Newest: time.Unix(1e9, 0)},
	}
}

func TestParkedVotesAreListedByRoundAndReason(t *testing.T) {
	if w := open(t, &cabinet{}).ask("GET", "parked", ""); w.Body.String() != `{"parked":[]}`+"\n" {
		t.Errorf("none: %s", w.Body)
	}
	w := open(t, &cabinet{parked: misfits()[1:]}).ask("GET", "parked", "")
	want := `{"parked":[` +
		`{"poll":"p","round":7,"reason":"no such option","votes":3,"oldest":"2001-09-09T01:46:40Z","newest":"2001-09-09T01:46:40Z"},` +
		`{"round":-1,"reason":"no such round","votes":5,"oldest":"2001-09-09T01:46:40Z","newest":"2001-09-09T01:46:40Z"}]}` + "\n"
	if w.Code != 200 || w.Body.String() != want {
		t.Errorf("got %d %s, want %s", w.Code, w.Body, want)
	}
}

func TestRetryTellsWhatIsRecordedAndWhatStays(t *testing.T) {
	d := open(t, &cabinet{parked: misfits(), retried: popeye.Recorded{Moved: []string{"p"}, Stored: 3}})
	if w := d.ask("POST", "parked/7/retry", ""); w.Code != 200 || w.Body.String() != `{"recorded":3,"rejected":2}`+"\n" {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	if !slices.Equal(d.told, []string{"p"}) {
		t.Errorf("told of %v", d.told)
	}
}

func TestDropTellsHowManyItForgot(t *testing.T) {
	d := open(t, &cabinet{parked: misfits()})
	if w := d.ask("DELETE", "parked/-1", ""); w.Code != 200 || w.Body.String() != `{"dropped":5}`+"\n" {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	for method, path := range map[string]string{"DELETE": "parked/p", "POST": "parked/9999999999999999999/retry"} {
		if w := d.ask(method, path, ""); w.Code != 400 {
			t.Errorf("%s %s: %d", method, path, w.Code)
		}
	}
}

func TestParkedVotesNeedTheToken(t *testing.T) {
	d := open(t, &cabinet{parked: misfits()})
	for method, path := range map[string]string{"GET": "", "POST": "/7/retry", "DELETE": "/7"} {
		w := httptest.NewRecorder()
		d.ServeHTTP(w, httptest.NewRequest(method, "/admin/api/v1/parked"+path, nil))
		if w.Code != http.StatusUnauthorized || strings.Contains(w.Body.String(), "late") {
			t.Errorf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
	}
}

func TestDatabaseThatIsNotThereYetIsWaitedFor(t *testing.T) {
	c := &cabinet{err: fmt.Errorf("dial 10.0.0.1: %w", popeye.ErrUnavailable)}
	d := open(t, c)
	if err := d.Ready(); err == nil || !strings.Contains(err.Error(), "waiting for the database") {
		t.Errorf("ready: %v", err)
	}
	for method, path := range map[string]string{"GET": "polls", "POST": "parked/7/retry", "DELETE": "polls/p"} {
		w := d.ask(method, path, "")
		if w.Code != 503 || w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), "10.0.0.1") {
			t.Errorf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
	}
	c.err = nil
	if err := d.Ready(); err != nil {
		t.Errorf("the database is there: %v", err)
	}
	c.err = errors.New("away again")
	if before := c.asked; d.Ready() != nil || c.asked != before {
		t.Error("it asks again, or is not ready, once it was")
	}
}
