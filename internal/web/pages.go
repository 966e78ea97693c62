// Package web is what the roles have in common as servers: their life, their
// errors, and the pages that people see.
package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"time"

	"popeye"
)

//go:embed templates
var templateFiles embed.FS

// Pages renders Popeye's web pages. It is safe for concurrent use.
type Pages struct {
	vote, result, receipts, list, failure *template.Template

	assets assets
}

// NewPages parses the templates and prepares the static files. It fails only
// when the binary was built from broken ones.
func NewPages() (*Pages, error) {
	files, err := loadAssets()
	if err != nil {
		return nil, err
	}
	p := &Pages{assets: files}
	base, err := template.New("").Funcs(template.FuncMap{"asset": files.url, "count": countText}).
		ParseFS(templateFiles, "templates/layout.html", "templates/parts.html")
	if err != nil {
		return nil, fmt.Errorf("parse the layout: %w", err)
	}
	for name, page := range map[string]**template.Template{
		"vote": &p.vote, "result": &p.result, "receipts": &p.receipts, "list": &p.list, "error": &p.failure,
	} {
		if *page, err = parsePage(base, name); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func parsePage(base *template.Template, name string) (*template.Template, error) {
	t, err := base.Clone()
	if err != nil {
		return nil, fmt.Errorf("clone the layout: %w", err)
	}
	if t, err = t.ParseFS(templateFiles, "templates/"+name+".html"); err != nil {
		return nil, fmt.Errorf("parse page %s: %w", name, err)
	}
	return t.Lookup("layout"), nil
}

// VoteView is what the voting page shows.
type VoteView struct {
	// Assets is the path prefix of the static files, with its final slash.
	Assets string
	// Poll is the poll in its current round.
	Poll popeye.Definition
	// State is the state in effect now, opening and closing times included.
	State popeye.State
	// Token is the signed voter, repeated by the form as "voter".
	Token string
	// After is the stamp of the vote that the page shows, repeated by the form
	// as "after" when that vote can be changed. Zero: there is none.
	After popeye.Stamp
	// Recorded are the options of the vote that stands; nil: has not voted.
	Recorded []popeye.Option
	// Receipt finds the recorded vote again. It is shown only with Recorded.
	// ReceiptURL is where: a page that asks for it, for a receipt is in no address.
	Receipt, ReceiptURL string
	// Counted says that the vote is in the result already. If not, the page says
	// that it is safe, and counted in a moment.
	Counted bool
	// Changeable offers the form again, with the recorded choice selected.
	Changeable bool
	// Selected are the option IDs of a form that was refused: they are selected
	// again. Nil: those of Recorded are.
	Selected []string
	// ResultURL is the address of the result, empty while it may not be shown.
	ResultURL string
	// Notice says prominently why a form was refused. Empty: nothing was.
	Notice string
	// Action is the address that the form posts to.
	Action string
	// Now is the time at which the page was made.
	Now time.Time
}

// ResultView is what the result page shows.
type ResultView struct {
	// Assets is the path prefix of the static files, with its final slash.
	Assets string
	// Tally is the result. With Hidden, only its definition is used.
	Tally popeye.Tally
	// Now is the time at which the page was made.
	Now time.Time
	// VoteURL is the voting page's address. It is shown, to be typed in; where it
	// has no host, the script adds the one that the page came from. Empty: not
	// shown.
	VoteURL string
	// StreamURL and DataURL are the addresses of the event stream and of the
	// JSON result. Without StreamURL the page does not move by itself.
	StreamURL, DataURL string
	// CSVURL and JSONURL are the addresses of the exports. Empty: not shown.
	CSVURL, JSONURL string
	// ReceiptsURL is the address of the page that looks receipts up, ListURL that
	// of the final list, which is shown with its hash. Empty: not shown.
	ReceiptsURL, ListURL string
	// Hidden is the reason, a sentence, why the result may not be shown yet. The
	// page then holds no number at all.
	Hidden string
	// Stale is for how long votes may be missing, because the store could not be
	// read or is behind the queue; zero when it is up to date.
	Stale time.Duration
}

// ListView is what the list of polls shows.
type ListView struct {
	// Assets is the path prefix of the static files, with its final slash.
	Assets string
	// Polls are the polls in the order to show.
	Polls []ListItem
}

// ListItem is a poll in the list.
type ListItem struct {
	// ID and Question are the poll's.
	ID, Question string
	// State is the state in effect now.
	State popeye.State
	// Opens and Closes are the poll's; zero times are not shown.
	Opens, Closes time.Time
	// URL is the address of the voting page.
	URL string
	// ResultURL is the address of the result page. Empty: not shown.
	ResultURL string
}

// ErrorView is what a page shows in place of what was asked for.
type ErrorView struct {
	// Assets is the path prefix of the static files, with its final slash.
	Assets string
	// Title names the problem and Detail says what to do about it.
	Title, Detail string
	// Status is the HTTP status, shown small.
	Status int
	// BackURL is where to go back to or, after an error of the server, where to
	// try again. It is not shown when empty, or when nothing was found.
	BackURL string
}

// Vote writes the voting page.
func (p *Pages) Vote(w http.ResponseWriter, status int, v VoteView) {
	p.render(w, status, p.vote, privatePage, newBallot(v))
}

// Result writes the result page. It may be kept by nobody where what it shows
// depends on who asks, and be revalidated otherwise.
func (p *Pages) Result(w http.ResponseWriter, status int, v ResultView) {
	cache := "no-cache"
	if v.Tally.Results == popeye.AfterVote || v.Hidden != "" {
		cache = privatePage
	}
	p.render(w, status, p.result, cache, newScoreboard(v))
}

// List writes the list of polls.
func (p *Pages) List(w http.ResponseWriter, status int, v ListView) {
	p.render(w, status, p.list, privatePage, v)
}

// Error writes a page that says what went wrong.
func (p *Pages) Error(w http.ResponseWriter, status int, v ErrorView) {
	p.render(w, status, p.failure, privatePage, v)
}

// privatePage is the Cache-Control of pages that belong to one voter.
const privatePage = "private, no-store"

// pagePolicy lets a page use this host and nothing else, run no script and
// apply no style but its own files, and be framed by nobody.
const pagePolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// render executes t in full before it writes anything, so that a page is sent
// whole or not at all.
func (p *Pages) render(w http.ResponseWriter, status int, t *template.Template, cache string, view any) {
	var page bytes.Buffer
	if err := t.Execute(&page, view); err != nil {
		http.Error(w, "The page could not be made.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(page.Len()))
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Cache-Control", cache)
	h.Set("X-Content-Type-Options", "nosniff")
	// Not no-referrer: with it, browsers post forms with "Origin: null".
	h.Set("Referrer-Policy", "same-origin")
	w.WriteHeader(status)
	_, _ = page.WriteTo(w) // a client that has gone needs no page
}
