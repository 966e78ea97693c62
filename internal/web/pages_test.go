package web_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"popeye"
	"popeye/internal/web"
)

func newPages(t *testing.T) *web.Pages {
	t.Helper()
	pages, err := web.NewPages()
	if err != nil {
		t.Fatalf("new pages: %v", err)
	}
	return pages
}

// nasty is what an organiser, or somebody who has become one, might write.
const nasty = `"'></title><script>alert(1)</script><img src=x onerror=alert(1)>{{.}}` + "`${1}`"

func sampleDefinition(state popeye.State) popeye.Definition {
	p := popeye.Poll{
		ID: "lunch", Question: "Where do we eat? " + nasty, Kind: popeye.Multiple, Min: 1, Max: 2,
		Options: []popeye.Option{
			{ID: "a", Label: nasty, Emoji: "🍜"},
			{ID: `b"><i>`, Label: "مطعم السمك", Color: "#fff"},
			{ID: "c", Label: "Canteen", Picture: `data:image/svg+xml,<svg onload="alert(1)"/>`},
			{ID: "d", Picture: "/pictures/d.png"},
			{ID: "e", Picture: "javascript:alert(1)"},
		},
		Opens: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC), Closes: time.Date(2026, 12, 31, 17, 0, 0, 0, time.UTC),
	}.WithDefaults()
	return popeye.Definition{Poll: p, Round: 7, State: state}
}

func sampleVote(state popeye.State) web.VoteView {
	d := sampleDefinition(state)
	return web.VoteView{
		Assets: "/p/_/", Poll: d, State: state, Token: "token." + nasty, Action: "/p/lunch", ResultURL: "/r/lunch",
		Now: time.Date(2026, 11, 22, 14, 3, 22, 0, time.UTC),
	}
}

func sampleResult(state popeye.State) web.ResultView {
	return web.ResultView{
		Assets: "/r/_/", Now: time.Date(2026, 11, 22, 14, 3, 22, 0, time.UTC), VoteURL: "https://vote.example/p/lunch",
		StreamURL: "/api/v1/results/lunch/stream", DataURL: "/api/v1/results/lunch", CSVURL: "/r/lunch.csv", JSONURL: "/r/lunch.json",
		ReceiptsURL: "/r/lunch/receipts", ListURL: "/api/v1/results/lunch/receipts",
		Tally: popeye.Tally{
			Definition: sampleDefinition(state), Version: 42, Votes: []int64{1200, 34, 0, 7, 8}, Total: 1234,
			Ledger: popeye.Ledger{Accepted: 1240, Stored: 1234, Queued: 5, Rejected: 1},
		},
	}
}

// everyPage calls show with a renderer of each page in each of its moods.
func everyPage(pages *web.Pages) map[string]func(http.ResponseWriter) {
	all := map[string]func(http.ResponseWriter){
		"empty list": func(w http.ResponseWriter) { pages.List(w, 200, web.ListView{Assets: "/p/_/"}) },
		"list": func(w http.ResponseWriter) {
			pages.List(w, 200, web.ListView{Assets: "/p/_/", Polls: []web.ListItem{
				{ID: "a", Question: nasty, State: popeye.Open, Closes: time.Unix(2e9, 0), URL: "/p/a", ResultURL: "/r/a"},
				{ID: "b", Question: "Later?", State: popeye.Draft, Opens: time.Unix(2e9, 0), URL: "/p/b"},
			}})
		},
		"error": func(w http.ResponseWriter) {
			pages.Error(w, 503, web.ErrorView{Assets: "/p/_/", Title: nasty, Detail: nasty, Status: 503, BackURL: "/p/lunch"})
		},
		"vote with nothing set":     func(w http.ResponseWriter) { pages.Vote(w, 200, web.VoteView{Assets: "/p/_/"}) },
		"result with nothing set":   func(w http.ResponseWriter) { pages.Result(w, 200, web.ResultView{Assets: "/r/_/"}) },
		"receipts with nothing set": func(w http.ResponseWriter) { pages.Receipts(w, 200, web.ReceiptsView{Assets: "/r/_/"}) },
		"receipts, nothing found":   func(w http.ResponseWriter) { pages.Receipts(w, 404, sampleReceipts(nil)) },
		"receipts, counted": func(w http.ResponseWriter) {
			pages.Receipts(w, 200, sampleReceipts(&popeye.Finding{Poll: "lunch", Fate: popeye.Counted, Cast: time.Unix(2e9, 0)}))
		},
		"receipts, rejected": func(w http.ResponseWriter) {
			pages.Receipts(w, 200, sampleReceipts(&popeye.Finding{Poll: "dinner", Fate: popeye.Rejected, Reason: nasty, Cast: time.Unix(2e9, 0)}))
		},
	}
	for _, state := range []popeye.State{popeye.Draft, popeye.Open, popeye.Closed, popeye.Final} {
		fresh := sampleVote(state)
		voted := fresh
		voted.Recorded, voted.Receipt, voted.Counted = fresh.Poll.Options[:2], "MZXW6YTBOI2DSNRV", true
		again := voted
		again.Changeable, again.After, again.Notice, again.Counted = true, 1234567, nasty, false
		again.ReceiptURL = "/r/lunch/receipts"
		empty := sampleResult(state)
		empty.Tally.Votes, empty.Tally.Total, empty.StreamURL = make([]int64, 5), 0, ""
		hidden := sampleResult(state)
		hidden.Hidden = nasty
		stale := sampleResult(state)
		stale.Stale = 12 * time.Second
		stale.Tally.Incomplete, stale.Tally.ReceiptsHash = true, strings.Repeat("1f", 32)
		for name, v := range map[string]web.VoteView{"fresh": fresh, "voted": voted, "again": again} {
			all[fmt.Sprintf("vote, %s, %s", state, name)] = func(w http.ResponseWriter) { pages.Vote(w, 200, v) }
		}
		for name, v := range map[string]web.ResultView{"full": sampleResult(state), "empty": empty, "hidden": hidden, "stale": stale} {
			all[fmt.Sprintf("result, %s, %s", state, name)] = func(w http.ResponseWriter) { pages.Result(w, 200, v) }
		}
	}
	return all
}

// element is a start tag, with the text directly below it.
type element struct {
	name string
	attr map[string]string
	text string
}

// elementsOf returns the elements of a page in order, and fails the test where
// tags are not closed in the order in which they were opened.
func elementsOf(t *testing.T, page io.Reader) []*element {
	t.Helper()
	var all, open []*element
	for z := html.NewTokenizer(page); ; {
		kind := z.Next()
		token := z.Token()
		switch kind {
		case html.ErrorToken:
			if err := z.Err(); !errors.Is(err, io.EOF) {
				t.Errorf("tokenize: %v", err)
			}
			if len(open) > 0 {
				t.Errorf("<%s> is not closed", open[len(open)-1].name)
			}
			return all
		case html.TextToken:
			if len(open) > 0 {
				open[len(open)-1].text += token.Data
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			e := newElement(t, token)
			all = append(all, e)
			if kind == html.StartTagToken && !isVoid(e.name) {
				open = append(open, e)
			}
		case html.EndTagToken:
			if len(open) == 0 || open[len(open)-1].name != token.Data {
				t.Fatalf("</%s> closes what is not open", token.Data)
			}
			open = open[:len(open)-1]
		default:
		}
	}
}

func newElement(t *testing.T, token html.Token) *element {
	t.Helper()
	e := &element{name: token.Data, attr: map[string]string{}}
	for _, a := range token.Attr {
		if _, twice := e.attr[a.Key]; twice {
			t.Errorf("<%s> has %s twice", e.name, a.Key)
		}
		e.attr[a.Key] = a.Val
	}
	return e
}

func isVoid(name string) bool {
	return slices.Contains([]string{"meta", "link", "input", "img", "br"}, name)
}

func find(all []*element, name string) []*element {
	return slices.DeleteFunc(slices.Clone(all), func(e *element) bool { return e.name != name })
}

func byID(all []*element, id string) *element {
	for _, e := range all {
		if e.attr["id"] == id {
			return e
		}
	}
	return nil
}

func TestEveryPageIsWellFormedAndObeysItsPolicy(t *testing.T) {
	pages := newPages(t)
	for name, show := range everyPage(pages) {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			show(w)
			if strings.Contains(w.Body.String(), "ZgotmplZ") {
				t.Error("the template refused a value that it should show")
			}
			all := elementsOf(t, w.Body)
			ids := map[string]bool{}
			for _, e := range all {
				checkElement(t, e)
				if id, ok := e.attr["id"]; ok && ids[id] {
					t.Errorf("id %q is there twice", id)
				} else {
					ids[id] = true
				}
			}
			for _, e := range all {
				for id := range strings.FieldsSeq(e.attr["aria-labelledby"]) {
					if !ids[id] {
						t.Errorf("<%s> is labelled by %q, which is not there", e.name, id)
					}
				}
			}
			if n := len(find(all, "h1")); n != 1 {
				t.Errorf("there are %d first headings", n)
			}
		})
	}
}

// checkElement holds e to what the content security policy would refuse, or
// what would ask a third party.
func checkElement(t *testing.T, e *element) {
	t.Helper()
	for key, value := range e.attr {
		switch {
		case key == "style" || strings.HasPrefix(key, "on"):
			t.Errorf("<%s> has the attribute %s=%q", e.name, key, value)
		case key != "href" && key != "src" && key != "action":
		case strings.HasPrefix(value, "/"), e.name == "img" && strings.HasPrefix(value, "data:image/"), e.name == "a" && strings.HasPrefix(value, "https://vote.example/"):
		case value != "":
			t.Errorf("<%s> has %s=%q", e.name, key, value)
		}
	}
	if e.name == "style" || e.name == "base" || e.name == "iframe" {
		t.Errorf("there is a <%s>", e.name)
	}
	if e.name == "script" && (e.attr["src"] == "" || e.text != "") {
		t.Errorf("there is an inline script: %q", e.text)
	}
	if e.name == "img" && e.attr["alt"] != "" {
		t.Errorf("a picture beside its label is read twice: %q", e.attr["alt"])
	}
}

func TestEveryLinkedFileIsServedForEver(t *testing.T) {
	pages := newPages(t)
	for name, show := range everyPage(pages) {
		w := httptest.NewRecorder()
		show(w)
		files := 0
		for _, e := range elementsOf(t, w.Body) {
			address := e.attr["href"] + e.attr["src"]
			if e.name != "link" && e.name != "script" {
				continue
			}
			files++
			prefix := address[:len("/p/_/")]
			got := httptest.NewRecorder()
			pages.Assets(prefix).ServeHTTP(got, httptest.NewRequest(http.MethodGet, address, nil))
			if got.Code != http.StatusOK || got.Header().Get("Cache-Control") != "public, max-age=31536000, immutable" {
				t.Errorf("%s: %s answers %d, Cache-Control %q", name, address, got.Code, got.Header().Get("Cache-Control"))
			}
		}
		if files < 4 {
			t.Errorf("%s links to %d files only", name, files)
		}
	}
}

func TestWhatOrganisersWriteIsTextAndNothingElse(t *testing.T) {
	pages := newPages(t)
	w := httptest.NewRecorder()
	v := sampleVote(popeye.Open)
	v.Notice = nasty
	pages.Vote(w, 200, v)
	all := elementsOf(t, w.Body)
	if got := find(all, "h1")[0].text; got != v.Poll.Question {
		t.Errorf("the question reads %q", got)
	}
	var labels, values []string
	for _, e := range all {
		if e.attr["class"] == "label" {
			labels = append(labels, e.text)
		}
		if e.attr["name"] == "vote" {
			values = append(values, e.attr["value"])
		}
	}
	for i, o := range v.Poll.Options {
		if labels[i] != o.Label || values[i] != o.ID {
			t.Errorf("option %d reads %q and posts %q", i, labels[i], values[i])
		}
	}
	for _, e := range find(all, "img") {
		if src := e.attr["src"]; !strings.HasPrefix(src, "/") && !strings.HasPrefix(src, "data:image/") {
			t.Errorf("a picture is asked for at %q", src)
		}
	}
}

func TestHeadersKeepPagesSafeAndPrivate(t *testing.T) {
	pages := newPages(t)
	secret, public := sampleResult(popeye.Open), sampleResult(popeye.Open)
	secret.Tally.Results = popeye.AfterVote
	for name, c := range map[string]struct {
		show  func(http.ResponseWriter)
		cache string
	}{
		"vote":                      {func(w http.ResponseWriter) { pages.Vote(w, 409, sampleVote(popeye.Open)) }, "private, no-store"},
		"list":                      {func(w http.ResponseWriter) { pages.List(w, 409, web.ListView{Assets: "/p/_/"}) }, "private, no-store"},
		"error":                     {func(w http.ResponseWriter) { pages.Error(w, 409, web.ErrorView{Assets: "/p/_/"}) }, "private, no-store"},
		"result for all":            {func(w http.ResponseWriter) { pages.Result(w, 409, public) }, "no-cache"},
		"result for those who have": {func(w http.ResponseWriter) { pages.Result(w, 409, secret) }, "private, no-store"},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			c.show(w)
			if w.Code != 409 {
				t.Errorf("status is %d", w.Code)
			}
			for key, want := range map[string]string{
				"Content-Type": "text/html; charset=utf-8", "Cache-Control": c.cache, "Referrer-Policy": "same-origin",
				"X-Content-Type-Options": "nosniff", "Content-Length": fmt.Sprint(w.Body.Len()),
				"Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; " +
					"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
			} {
				if got := w.Header().Get(key); got != want {
					t.Errorf("%s is %q, want %q", key, got, want)
				}
			}
		})
	}
}

func TestAHiddenResultHoldsNoNumber(t *testing.T) {
	v := sampleResult(popeye.Open)
	v.Tally.Votes, v.Tally.Total, v.Tally.Version = []int64{98761, 98762, 98763, 98764, 98765}, 98766, 98767
	v.Tally.Ledger = popeye.Ledger{Accepted: 98768, Stored: 98769}
	v.Hidden = "The result is shown when voting is over."
	w := httptest.NewRecorder()
	newPages(t).Result(w, http.StatusForbidden, v)
	text := strings.ReplaceAll(w.Body.String(), ",", "")
	if strings.Contains(text, "9876") || strings.Contains(text, "%") || strings.Contains(text, "/stream") {
		t.Errorf("the page tells of the result:\n%s", text)
	}
	if !strings.Contains(text, v.Hidden) {
		t.Error("the page does not say why")
	}
}

func TestBallotIsFilledInAsTheVoterLeftIt(t *testing.T) {
	pages := newPages(t)
	voted := sampleVote(popeye.Open)
	voted.Recorded, voted.Changeable, voted.After = voted.Poll.Options[1:3], true, 1234567
	refused := voted
	refused.Selected = []string{"a", "c", "d"}
	first := sampleVote(popeye.Open)
	for name, c := range map[string]struct {
		view    web.VoteView
		checked []string
		after   string
	}{
		"a first vote":     {first, nil, ""},
		"a vote to change": {voted, []string{`b"><i>`, "c"}, "1234567"},
		"a refused form":   {refused, []string{"a", "c", "d"}, "1234567"},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			pages.Vote(w, 200, c.view)
			var checked []string
			fields := map[string]string{}
			for _, e := range find(elementsOf(t, w.Body), "input") {
				if _, ok := e.attr["checked"]; ok {
					checked = append(checked, e.attr["value"])
				}
				fields[e.attr["name"]] = e.attr["value"]
			}
			if !slices.Equal(checked, c.checked) || fields["after"] != c.after || fields["voter"] != c.view.Token {
				t.Errorf("checked %q, after %q, voter %q", checked, fields["after"], fields["voter"])
			}
		})
	}
}

func TestNoFormWhereNoVoteIsTaken(t *testing.T) {
	pages := newPages(t)
	final := sampleVote(popeye.Open)
	final.Recorded = final.Poll.Options[:1]
	for name, v := range map[string]web.VoteView{
		"draft": sampleVote(popeye.Draft), "closed": sampleVote(popeye.Closed), "final": sampleVote(popeye.Final), "the first vote stands": final,
	} {
		w := httptest.NewRecorder()
		pages.Vote(w, 200, v)
		if strings.Contains(w.Body.String(), "<form") {
			t.Errorf("%s: there is a form", name)
		}
	}
}

func TestPillSaysHowSettledTheResultIs(t *testing.T) {
	pages := newPages(t)
	closed := sampleResult(popeye.Closed)
	settled := sampleResult(popeye.Closed)
	settled.Tally.Ledger.Queued = 0
	stale, incomplete := sampleResult(popeye.Open), sampleResult(popeye.Final)
	stale.Stale, incomplete.Stale, incomplete.Tally.Incomplete = 90*time.Second, 90*time.Second, true
	for want, v := range map[string]web.ResultView{
		"as of 14:03:22 UTC": sampleResult(popeye.Open), "provisional, 5 in flight": closed, "provisional": settled,
		"final": sampleResult(popeye.Final), "final, incomplete": incomplete, "stale for 90 s": stale,
	} {
		w := httptest.NewRecorder()
		pages.Result(w, 200, v)
		if got := byID(elementsOf(t, w.Body), "pill-text").text; got != want {
			t.Errorf("the pill says %q, want %q", got, want)
		}
	}
}
