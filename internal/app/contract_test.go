package app_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestFirstStartHasTheClassicPollToVoteOn(t *testing.T) {
	h := start(t, t.TempDir())
	h.voter().get("/").want(200)
	v := h.voter()
	v.form("/", "vote=a").want(303)
	if page := v.get("/p/cats-dogs").want(200); !strings.Contains(page.body, "Cats") {
		t.Error("the page does not show the vote")
	}
	got := h.result("cats-dogs")
	if got.Votes["a"] != 1 || got.Total != 1 || got.Ledger.Accepted != 1 || got.Ledger.Stored != 1 || got.State != "live" {
		t.Errorf("the result is %+v", got)
	}
}

func TestAcknowledgedVoteIsInTheVeryNextResult(t *testing.T) {
	h := start(t, t.TempDir())
	for i := range 50 {
		h.voter().cast("cats-dogs", `{"choices":["b"]}`).want(201)
		if got := h.result("cats-dogs"); got.Total != int64(i+1) {
			t.Fatalf("after %d votes the total is %d", i+1, got.Total)
		}
	}
}

func TestRepeatIsASuccessAndChangesNothing(t *testing.T) {
	h := start(t, t.TempDir())
	v := h.voter()
	first := v.cast("cats-dogs", `{"choices":["a"]}`).want(201)
	again := v.cast("cats-dogs", `{"choices":["a"]}`).want(200)
	if first.member("status") != "accepted" || again.member("status") != "repeated" {
		t.Errorf("first %s, then %s", first.body, again.body)
	}
	if first.member("stamp") != again.member("stamp") || first.member("receipt") != again.member("receipt") {
		t.Errorf("the repeat is another vote: %s, %s", first.body, again.body)
	}
	before := h.result("cats-dogs")
	v.form("/p/cats-dogs", "vote=a").want(303)
	if after := h.result("cats-dogs"); after.Version != before.Version || after.Ledger.Accepted != 1 {
		t.Errorf("%+v became %+v", before, after)
	}
}

func TestFirstVoteStands(t *testing.T) {
	h := start(t, t.TempDir())
	v := h.voter()
	v.cast("cats-dogs", `{"choices":["a"]}`).want(201)
	refused := v.cast("cats-dogs", `{"choices":["b"]}`).want(409)
	if got := fmt.Sprint(refused.member("outcome"), refused.member("choices")); got != "already[a]" {
		t.Errorf("got %s", refused.body)
	}
	if page := v.form("/p/cats-dogs", "vote=b").want(409); page.header.Get("Location") != "" {
		t.Error("a vote that does not stand redirects")
	}
	if got := h.result("cats-dogs"); got.Votes["a"] != 1 || got.Votes["b"] != 0 || got.Total != 1 {
		t.Errorf("the result is %+v", got)
	}
}

func TestChangeMovesAVoteAndNeverDoublesIt(t *testing.T) {
	h := start(t, t.TempDir())
	h.define(`,"policy":"change"`).want(201)
	v := h.voter()
	v.cast("p", `{"choices":["a"]}`).want(201)
	for i := range 10 {
		want := string("ba"[i%2])
		if got := v.cast("p", `{"choices":["`+want+`"]}`).want(200); got.member("status") != "changed" {
			t.Errorf("got %s", got.body)
		}
		shown := h.result("p")
		if shown.Votes[want] != 1 || shown.Votes["a"]+shown.Votes["b"] != 1 || shown.Total != 1 {
			t.Errorf("after a change to %s the result is %+v", want, shown)
		}
		if l := shown.Ledger; l.Accepted != int64(i+2) || l.Accepted != l.Stored+l.Rejected+l.Queued {
			t.Errorf("the ledger is %+v", l)
		}
	}
}

func TestChangeThatFollowsAnOlderVoteIsAConflict(t *testing.T) {
	h := start(t, t.TempDir())
	h.define(`,"policy":"change"`).want(201)
	v := h.voter()
	seen := v.cast("p", `{"choices":["a"]}`).want(201).stamp()
	after := func(choice string) string { return fmt.Sprintf(`{"choices":[%q],"after":%d}`, choice, seen) }
	v.cast("p", after("b")).want(200)
	conflict := v.cast("p", after("c")).want(409)
	if got := fmt.Sprint(conflict.member("outcome"), conflict.member("choices")); got != "conflict[b]" {
		t.Errorf("got %s", conflict.body)
	}
	v.form("/p/p", fmt.Sprintf("vote=c&after=%d", seen)).want(409)
	seen = conflict.stamp()
	v.cast("p", after("c")).want(200)
}

func TestLateRetryOfAnEarlierChangeMovesNothing(t *testing.T) {
	h := start(t, t.TempDir())
	h.define(`,"policy":"change"`).want(201)
	v := h.voter()
	v.get("/p/p").want(200)
	v.cast("p", `{"choices":["a"]}`, "Idempotency-Key", "1").want(201)
	v.cast("p", `{"choices":["b"]}`, "Idempotency-Key", "2").want(200)
	late := v.cast("p", `{"choices":["a"]}`, "Idempotency-Key", "1").want(200)
	if got := fmt.Sprint(late.member("status"), late.member("choices")); got != "repeated[b]" {
		t.Errorf("the late retry got %s", late.body)
	}
	if got := h.result("p"); got.Votes["b"] != 1 || got.Votes["a"] != 0 {
		t.Errorf("the result is %+v", got)
	}
}

func TestIdempotencyKeyNamesTheVoterOfABareRequest(t *testing.T) {
	h := start(t, t.TempDir())
	one := h.voter().cast("cats-dogs", `{"choices":["a"]}`, "Idempotency-Key", "k1").want(201)
	same := h.voter().cast("cats-dogs", `{"choices":["a"]}`, "Idempotency-Key", "k1").want(200)
	h.voter().cast("cats-dogs", `{"choices":["b"]}`, "Idempotency-Key", "k1").want(409)
	h.voter().cast("cats-dogs", `{"choices":["a"]}`, "Idempotency-Key", "k2").want(201)
	h.voter().cast("cats-dogs", `{"choices":["a"]}`, "Idempotency-Key", strings.Repeat("k", 256)).want(400)
	if one.member("receipt") != same.member("receipt") {
		t.Error("the same key made two voters")
	}
}

func TestBareFormVotesAreNewVotersEachTime(t *testing.T) {
	h := start(t, t.TempDir())
	for range 5 {
		if got := h.voter().form("/", "vote=b").want(303); got.header.Get("Set-Cookie") == "" {
			t.Error("the answer to a new voter sets no cookie")
		}
	}
	if got := h.result("cats-dogs"); got.Votes["b"] != 5 {
		t.Errorf("the result is %+v", got)
	}
}

func TestFormsVoterSurvivesALostCookie(t *testing.T) {
	h := start(t, t.TempDir())
	page := h.voter().get("/p/cats-dogs").want(200)
	token := regexp.MustCompile(`name="voter" value="([^"]+)"`).FindStringSubmatch(page.body)
	if token == nil {
		t.Fatalf("the form has no voter: %s", page.body)
	}
	for range 2 { // each by a browser that has lost the cookie
		h.voter().form("/p/cats-dogs", "vote=a&voter="+token[1]).want(303)
	}
	if got := h.result("cats-dogs"); got.Total != 1 {
		t.Errorf("one voter counts %d times", got.Total)
	}
}

func TestFiveHundredVotersAtOnceAreExactlyFiveHundred(t *testing.T) {
	h := start(t, t.TempDir())
	const voters = 500
	var group sync.WaitGroup
	for i := range voters {
		group.Go(func() {
			v := h.voter()
			key := fmt.Sprint(i)
			vote := func() reply {
				return v.cast("cats-dogs", `{"choices":["`+string("ab"[i%2])+`"]}`, "Idempotency-Key", key)
			}
			h.eventually("the vote is taken", func() bool { return vote().status/100 == 2 })
			// And each of them twice: a retry after an answer that was lost.
			h.eventually("the vote stands", func() bool { return vote().status == 200 })
		})
	}
	group.Wait()
	got := h.result("cats-dogs")
	if got.Total != voters || got.Votes["a"] != voters/2 || got.Ledger.Accepted != voters || got.Ledger.Stored != voters {
		t.Errorf("the result is %+v", got)
	}
}

func TestMultipleChoiceTakesMinToMaxOptions(t *testing.T) {
	h := start(t, t.TempDir())
	h.define(`,"kind":"multiple","min":2,"max":2`).want(201)
	h.voter().form("/p/p", "vote=a&vote=c").want(303)
	h.voter().cast("p", `{"choices":["c","a"]}`).want(201)
	for _, choices := range []string{`[]`, `["a"]`, `["a","b","c"]`, `["a","a"]`, `["a","z"]`} {
		h.voter().cast("p", `{"choices":`+choices+`}`).want(422)
	}
	if got := h.result("p"); got.Votes["a"] != 2 || got.Votes["c"] != 2 || got.Total != 2 {
		t.Errorf("the result is %+v", got)
	}
}

func TestBadInputGetsItsStatusAndCountsNothing(t *testing.T) {
	h := start(t, t.TempDir())
	h.define(`,"opens":"2999-01-01T00:00:00Z"`).want(201)
	huge := strings.Repeat("x", 1<<20)
	for name, c := range map[string]struct {
		got    reply
		status int
	}{
		"unknown poll":            {h.voter().cast("nothing", `{"choices":["a"]}`), 404},
		"unknown poll's page":     {h.voter().get("/p/nothing"), 404},
		"unknown poll's form":     {h.voter().form("/p/nothing", "vote=a"), 404},
		"unknown result":          {h.voter().get("/r/nothing"), 404},
		"unknown stream":          {h.voter().get("/api/v1/results/nothing/stream"), 404},
		"not open yet":            {h.voter().cast("p", `{"choices":["a"]}`), 410},
		"not open yet, form":      {h.voter().form("/p/p", "vote=a"), 410},
		"unknown option":          {h.voter().cast("cats-dogs", `{"choices":["z"]}`), 422},
		"unknown option, form":    {h.voter().form("/p/cats-dogs", "vote=z"), 422},
		"two of single":           {h.voter().cast("cats-dogs", `{"choices":["a","b"]}`), 422},
		"empty form":              {h.voter().form("/p/cats-dogs", ""), 422},
		"empty body":              {h.voter().cast("cats-dogs", ""), 400},
		"NUL":                     {h.voter().form("/p/cats-dogs", "vote=a%00"), 422},
		"invalid UTF-8":           {h.voter().form("/p/cats-dogs", "vote=%ff%fe"), 422},
		"invalid UTF-8, JSON":     {h.voter().cast("cats-dogs", "{\"choices\":[\"\xff\"]}"), 422},
		"300 characters":          {h.voter().form("/p/cats-dogs", "vote="+huge[:300]), 422},
		"a megabyte":              {h.voter().form("/p/cats-dogs", "vote="+huge), 413},
		"a megabyte of no type":   {h.voter().do(http.MethodPost, "/api/v1/votes/nothing", huge), 413},
		"10,000 fields":           {h.voter().form("/p/cats-dogs", strings.Repeat("f=&", 10_000)+"vote=a"), 400},
		"10,000 votes":            {h.voter().form("/p/cats-dogs", strings.Repeat("vote=a&", 9_000)), 422},
		"bad JSON":                {h.voter().cast("cats-dogs", `{"choices":`), 400},
		"choices of another type": {h.voter().cast("cats-dogs", `{"choices":"a"}`), 400},
		"wrong type":              {h.voter().do(http.MethodPost, "/api/v1/votes/cats-dogs", `{}`, "Content-Type", "text/plain"), 415},
		"JSON to the form":        {h.voter().do(http.MethodPost, "/p/cats-dogs", `{}`, "Content-Type", "application/json"), 415},
		"foreign origin":          {h.voter().form("/p/cats-dogs", "vote=a", "Origin", "https://evil.example"), 403},
		"foreign site":            {h.voter().cast("cats-dogs", `{"choices":["a"]}`, "Sec-Fetch-Site", "cross-site"), 403},
		"wrong method":            {h.voter().do(http.MethodPut, "/api/v1/votes/cats-dogs", ""), 405},
		"no such address":         {h.voter().get("/api/v2/votes"), 404},
		"traversal":               {h.voter().get("/p/..%2f..%2fetc%2fpasswd"), 404},
		"stamp that is no number": {h.voter().form("/p/cats-dogs", "vote=a&after=x"), 400},
	} {
		if c.got.status != c.status {
			t.Errorf("%s: got %d, want %d: %.200s", name, c.got.status, c.status, c.got.body)
		}
		if strings.Contains(c.got.body, "goroutine") || strings.Contains(c.got.body, ".go:") {
			t.Errorf("%s: the answer shows a stack: %s", name, c.got.body)
		}
	}
	if got := h.result("cats-dogs"); got.Total != 0 || got.Ledger.Accepted != 0 {
		t.Errorf("bad input counted: %+v", got)
	}
}

func TestForgedCookieMakesANewVoter(t *testing.T) {
	h := start(t, t.TempDir())
	v := h.voter()
	cookie := v.cast("cats-dogs", `{"choices":["a"]}`).want(201).header.Get("Set-Cookie")
	value, _, _ := strings.Cut(cookie, ";")
	h.voter().cast("cats-dogs", `{"choices":["b"]}`, "Cookie", value).want(409)
	for _, forged := range []string{value[:len(value)-4], value + "A", value[:len(value)-4] + "AAAA"} {
		h.voter().cast("cats-dogs", `{"choices":["b"]}`, "Cookie", forged).want(201)
	}
}

func TestClosedPollRefusesAndIsFinal(t *testing.T) {
	h := start(t, t.TempDir())
	h.voter().cast("cats-dogs", `{"choices":["a"]}`).want(201)
	h.admin(http.MethodPatch, "/cats-dogs", `{"state":"closed"}`).want(200)
	h.voter().cast("cats-dogs", `{"choices":["b"]}`).want(410)
	h.voter().form("/p/cats-dogs", "vote=b").want(410)
	h.voter().form("/", "vote=b").want(410)
	h.eventually("the result is final", func() bool { return h.result("cats-dogs").State == "final" })
	if got := h.result("cats-dogs"); got.Total != 1 {
		t.Errorf("the final result is %+v", got)
	}
}

func TestPollClosesByItsTime(t *testing.T) {
	h := start(t, t.TempDir())
	h.define(fmt.Sprintf(`,"closes":%q`, time.Now().Add(time.Second).Format(time.RFC3339Nano))).want(201)
	h.eventually("the poll refuses", func() bool { return h.voter().cast("p", `{"choices":["a"]}`).status == 410 })
	h.eventually("the result is final", func() bool { return h.result("p").State == "final" })
}

func TestReopenedPollBeginsFromZero(t *testing.T) {
	h := start(t, t.TempDir())
	v := h.voter()
	v.cast("cats-dogs", `{"choices":["a"]}`).want(201)
	h.admin(http.MethodPatch, "/cats-dogs", `{"state":"closed"}`).want(200)
	closed := h.result("cats-dogs")
	h.admin(http.MethodPatch, "/cats-dogs", `{"state":"open"}`).want(200)
	if got := h.result("cats-dogs"); got.Total != 0 || got.State != "live" || got.Version <= closed.Version {
		t.Errorf("%+v became %+v", closed, got)
	}
	v.cast("cats-dogs", `{"choices":["b"]}`).want(201)
	if got := h.result("cats-dogs"); got.Votes["b"] != 1 || got.Votes["a"] != 0 {
		t.Errorf("the new round is %+v", got)
	}
}

func TestAdministrationNeedsTheToken(t *testing.T) {
	h := start(t, t.TempDir())
	for _, token := range []string{"", "Bearer ", "Bearer wrong", "Basic eDp5"} {
		for _, c := range [][2]string{{"GET", ""}, {"POST", ""}, {"PATCH", "/cats-dogs"}, {"DELETE", "/cats-dogs"}} {
			h.voter().do(c[0], "/admin/api/v1/polls"+c[1], "{}", "Authorization", token, "Content-Type", "application/json").want(401)
		}
	}
	h.admin(http.MethodGet, "", "").want(200)
}

func TestOrganiserManagesPolls(t *testing.T) {
	h := start(t, t.TempDir())
	h.define("").want(201)
	h.define("").want(200) // the same again changes nothing
	h.voter().cast("p", `{"choices":["a"]}`).want(201)
	h.admin("PATCH", "/p", `{"question":"Which one?","results":"after-close"}`).want(200)
	if page := h.voter().get("/p/p").want(200); !strings.Contains(page.body, "Which one?") {
		t.Error("the voting page does not know the new question")
	}
	h.voter().get("/api/v1/results/p").want(403)
	h.voter().get("/r/p.csv").want(403)
	if got := h.admin("GET", "/p/results?format=csv", "").want(200); !strings.Contains(got.body, "a,a,1") {
		t.Errorf("the organiser's export is %q", got.body)
	}
	h.admin("PATCH", "/p", `{"options":[{"id":"a"},{"id":"z"}]}`).want(409)
	h.admin("PATCH", "/p", `{"id":"q"}`).want(422)
	h.admin("PATCH", "/p", `{"state":"final"}`).want(409) // it is open
	h.admin("PATCH", "/p", `{"state":"draft"}`).want(422)
	h.admin("PATCH", "/p", `{"polcy":"first"}`).want(400)
	h.admin("POST", "", `{"id":"Bad Id"}`).want(422)
	h.define(`,"state":"clsoed"`).want(422)
	h.admin("PATCH", "/nothing", `{"state":"open"}`).want(404)
	h.admin("DELETE", "/p", "").want(204)
	h.admin("DELETE", "/p", "").want(404)
	h.voter().get("/p/p").want(404)
	h.voter().get("/r/p").want(404)
	h.define("").want(201)
	if got := h.result("p"); got.Total != 0 {
		t.Errorf("votes of the deleted poll came back: %+v", got)
	}
}

func TestResultIsShownAfterTheVoteOnly(t *testing.T) {
	h := start(t, t.TempDir())
	h.define(`,"results":"after-vote"`).want(201)
	v := h.voter()
	for _, path := range []string{"/api/v1/results/p", "/r/p", "/r/p.csv", "/api/v1/results/p/stream"} {
		v.get(path).want(403)
	}
	v.form("/p/p", "vote=a").want(303)
	for _, path := range []string{"/api/v1/results/p", "/r/p", "/r/p.csv"} {
		v.get(path).want(200)
		h.voter().get(path).want(403)
	}
}

func TestEverythingSurvivesARestart(t *testing.T) {
	data := t.TempDir()
	h := start(t, data)
	v := h.voter()
	v.cast("cats-dogs", `{"choices":["a"]}`).want(201)
	before := h.result("cats-dogs")
	if code := h.stop(); code != 0 {
		t.Fatalf("Popeye ended with %d", code)
	}
	h = start(t, data)
	v.base = h.base
	if got := h.result("cats-dogs"); got.Total != 1 || got.Version < before.Version {
		t.Errorf("%+v became %+v", before, got)
	}
	v.cast("cats-dogs", `{"choices":["b"]}`).want(409)
}

func TestOperationsPort(t *testing.T) {
	h := start(t, t.TempDir())
	h.voter().cast("cats-dogs", `{"choices":["a"]}`).want(201)
	ops := h.voter()
	ops.base = h.ops
	ops.get("/livez").want(200)
	ops.get("/readyz").want(200)
	metrics := ops.get("/metrics").want(200)
	for _, name := range []string{`popeye_poll_casts_total{outcome="accepted"} 1`, "popeye_result_viewers", "popeye_worker_", "go_goroutines"} {
		if !strings.Contains(metrics.body, name) {
			t.Errorf("the metrics lack %s", name)
		}
	}
	h.voter().get("/metrics").want(404)
	h.voter().get("/api/openapi.yaml").want(200)
	if got := h.voter().get("/api/v1/polls").want(200); !strings.Contains(got.body, `"id":"cats-dogs"`) {
		t.Errorf("the polls are %s", got.body)
	}
}
