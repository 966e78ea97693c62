package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"popeye"
	"popeye/internal/web"
)

// stage is a page in a tab of a real browser, before a server whose stream says
// what the test wants.
type stage struct {
	t     *testing.T
	ctx   context.Context //nolint:containedctx // it is the tab, as chromedp has it
	tally popeye.Tally
	// streams receives each connection of the page's stream.
	streams chan *stream
	// data receives what the JSON result is from then on.
	data chan popeye.Tally
	// stale is for how long the JSON result says that it is behind, in seconds.
	stale atomic.Int64
	// plain makes the stream's address answer with something else.
	plain bool
}

// stream is one connection: what is said is written, and closing it ends the
// answer.
type stream struct {
	say  chan string
	gone <-chan struct{}
}

func TestPagesInABrowser(t *testing.T) {
	browser := newBrowser(t)
	for name, c := range map[string]struct {
		tally  popeye.Tally
		plain  bool
		follow func(*stage)
	}{
		"the result moves by itself":                          {tally: demo(10, 0, 0), follow: (*stage).movesByItself},
		"no older result is shown after a newer one":          {tally: demo(10, 1, 1), follow: (*stage).isNeverOlder},
		"the pill tells how fresh the page is":                {tally: demo(10, 1, 1), follow: (*stage).tellsHowFresh},
		"a final result proves itself":                        {tally: demo(10, 1, 1), follow: (*stage).provesItself},
		"a poll that is deleted is said to be":                {tally: demo(10, 2, 1), follow: (*stage).saysDeleted},
		"the result moves where streams cannot be read":       {tally: demo(10, 2, 1), plain: true, follow: (*stage).movesWithoutStream},
		"the script shows what the server would":              {tally: demo(10, 0, 0, 0), follow: (*stage).showsWhatServerWould},
		"the ballot helps to choose, and is posted only once": {follow: (*stage).helpsToChoose},
	} {
		t.Run(name, func(t *testing.T) {
			tab, cancel := chromedp.NewContext(browser)
			t.Cleanup(cancel)
			if err := chromedp.Do(tab); err != nil {
				t.Fatalf("open a tab: %v", err)
			}
			ctx, cancel := context.WithTimeout(tab, time.Minute)
			t.Cleanup(cancel)
			c.follow(&stage{t: t, ctx: ctx, tally: c.tally, plain: c.plain, streams: make(chan *stream), data: make(chan popeye.Tally, 1)})
		})
	}
}

// newBrowser starts a headless browser, whose profile is thrown away.
func newBrowser(t *testing.T) context.Context {
	t.Helper()
	if _, err := exec.LookPath("chromium"); err != nil {
		t.Skip("no chromium here: the pages' scripts are not tested")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU, chromedp.ExecPath("chromium"),
		chromedp.WSURLReadTimeout(2*time.Minute))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start the browser: %v", err)
	}
	return ctx
}

// open serves h and shows the page at path.
func (s *stage) open(h http.Handler, path string) {
	s.t.Helper()
	server := httptest.NewServer(h)
	s.t.Cleanup(func() {
		_ = server.Listener.Close() // or else the page comes back, and its stream is waited for
		server.CloseClientConnections()
		server.Close()
	})
	// Numbers do not roll then, so that what is read is what is meant.
	calm := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: "reduce"}}}
	if _, err := chromedp.Call(s.ctx, emulation.SetEmulatedMedia, calm); err != nil {
		s.t.Fatalf("reduce motion: %v", err)
	}
	if err := chromedp.Do(s.ctx, chromedp.Navigate(server.URL+path)); err != nil {
		s.t.Fatalf("open the page: %v", err)
	}
}

// openResult shows the result page of the stage's tally.
func (s *stage) openResult() {
	s.t.Helper()
	s.open(s.handler(newPages(s.t)), "/r/demo")
}

func (s *stage) handler(pages *web.Pages) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/r/_/", pages.Assets("/r/_/"))
	mux.HandleFunc("/r/demo", func(w http.ResponseWriter, _ *http.Request) {
		pages.Result(w, http.StatusOK, web.ResultView{
			Assets: "/r/_/", Tally: s.tally, Now: time.Now(), StreamURL: "/stream", DataURL: "/data", VoteURL: "/p/demo",
			ReceiptsURL: "/r/demo/receipts", ListURL: "/list",
		})
	})
	mux.HandleFunc("/stream", s.serveStream)
	mux.HandleFunc("/data", s.serveData)
	return mux
}

func (s *stage) serveStream(w http.ResponseWriter, r *http.Request) {
	if s.plain {
		_, _ = w.Write([]byte("not a stream"))
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w)
	_ = flush.Flush()
	c := &stream{say: make(chan string), gone: r.Context().Done()}
	select {
	case s.streams <- c:
	case <-r.Context().Done():
		return
	}
	for {
		select {
		case text, ok := <-c.say:
			if !ok {
				return
			}
			_, _ = w.Write([]byte(text))
			_ = flush.Flush()
		case <-r.Context().Done():
			return
		}
	}
}

// serveData answers with the newest tally that the test has given.
func (s *stage) serveData(w http.ResponseWriter, r *http.Request) {
	select {
	case s.tally = <-s.data:
	default:
	}
	if stale := s.stale.Load(); stale > 0 {
		w.Header().Set("Stale-For", strconv.FormatInt(stale, 10))
	}
	tag := `"` + strconv.FormatInt(s.tally.Version, 10) + `"`
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	web.JSON(w, http.StatusOK, web.NewResult(&s.tally))
}

// connection waits for the page's next connection.
func (s *stage) connection() *stream {
	s.t.Helper()
	select {
	case c := <-s.streams:
		return c
	case <-s.ctx.Done():
		s.t.Fatal("the page does not connect")
		return nil
	}
}

// send writes to the stream.
func (s *stage) send(c *stream, text string) {
	s.t.Helper()
	select {
	case c.say <- text:
	case <-c.gone:
		s.t.Fatal("the page has left the stream")
	}
}

// frame is an event that carries tally.
func (s *stage) frame(tally *popeye.Tally) string {
	s.t.Helper()
	data, err := json.Marshal(web.NewResult(tally))
	if err != nil {
		s.t.Fatalf("marshal: %v", err)
	}
	return fmt.Sprintf("event: results\nid: %d\ndata: %s\n\n", tally.Version, data)
}

// until waits until the page makes the condition true. Not chromedp.Poll, which
// needs the eval that the content security policy forbids.
func (s *stage) until(condition string) {
	s.t.Helper()
	wait := `new Promise((done) => {
		const look = () => (` + condition + `) ? done(true) : setTimeout(look, 10);
		look();
	})`
	await := func(p *runtime.EvaluateParams) { p.AwaitPromise = new(true) }
	if _, err := chromedp.Run(s.ctx, chromedp.Evaluate[bool](wait, await)); err != nil {
		s.t.Fatalf("%v, waiting until %s; the page says:\n%s", err, condition, s.text())
	}
}

func (s *stage) text() string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText"))
	if err != nil {
		return err.Error()
	}
	return text
}

// cells returns what the page's rows show: votes and share of each.
func (s *stage) cells() [][2]string {
	s.t.Helper()
	cells, err := chromedp.Run(s.ctx, chromedp.Evaluate[[][2]string](
		`[...document.querySelectorAll('#rows tr')].map((r) => ['.votes', '.share'].map((c) => r.querySelector(c).textContent))`))
	if err != nil {
		s.t.Fatalf("read the rows: %v", err)
	}
	return cells
}

func demo(version int64, votes ...int64) popeye.Tally {
	p := popeye.Poll{ID: "demo", Question: "Cats or dogs?"}
	t := popeye.Tally{Version: version, Votes: votes}
	for i, n := range votes {
		p.Options = append(p.Options, popeye.Option{ID: "o" + strconv.Itoa(i), Label: "Option " + strconv.Itoa(i)})
		t.Total += n
	}
	t.Definition = popeye.Definition{Poll: p.WithDefaults(), State: popeye.Open}
	t.Ledger = popeye.Ledger{Accepted: t.Total, Stored: t.Total}
	return t
}

const (
	pill  = `document.getElementById('pill-text').textContent`
	total = `document.getElementById('total').textContent`
)

func (s *stage) movesByItself() {
	s.openResult()
	c := s.connection()
	s.until(`document.body.innerText.includes('No votes yet')`)
	moved := demo(11, 1500, 500)
	s.send(c, s.frame(&moved))
	s.until(`document.getElementById('total').textContent === '2,000' && !document.body.innerText.includes('No votes yet')`)
	s.until(`document.querySelector('#rows tr').matches('.leads') && document.title.startsWith('Option 0 75.0%')`)
	s.until(`document.querySelector('.bar rect').getBoundingClientRect().width > document.querySelector('.bar svg').clientWidth * .74`)
	s.until(pill + ` === 'live'`)
	s.until(`document.getElementById('invite').innerText.endsWith(location.host + '/p/demo')`)
	// Whatever a proxy makes of it, cut wherever the net likes.
	again := demo(12, 1500, 1500)
	for _, b := range []byte(strings.ReplaceAll(s.frame(&again), "\n", "\r\n")) {
		s.send(c, string(b))
	}
	s.until(total + ` === '3,000'`)
	if got, want := fmt.Sprint(s.cells()), "[[1,500 50.0%] [1,500 50.0%]]"; got != want {
		s.t.Errorf("rows are %s, want %s", got, want)
	}
}

func (s *stage) isNeverOlder() {
	s.openResult()
	older, newer, last := demo(11, 3, 3), demo(12, 4, 4), demo(13, 5, 4)
	c := s.connection()
	s.send(c, "retry: 10\n\n"+s.frame(&newer))
	s.until(total + ` === '8'`)
	close(c.say)
	c = s.connection() // another replica may be behind
	s.send(c, s.frame(&older)+": stale 7\n\n")
	s.until(pill + `.startsWith('stale')`) // so the frame before it was read
	s.until(total + ` === '8'`)
	// A newer one is no news of those that are still on their way.
	s.send(c, s.frame(&last))
	s.until(total + ` === '9' && ` + pill + `.startsWith('stale')`)
	s.send(c, ": fresh\n\n")
	s.until(pill + ` === 'live'`)
}

func (s *stage) provesItself() {
	s.tally.State, s.tally.Ledger.Queued = popeye.Closed, 3
	s.openResult()
	c := s.connection()
	s.send(c, s.frame(&s.tally)) // nothing new: the page knows already
	s.until(pill + ` === 'provisional, 3 in flight' && document.getElementById('proof').hidden`)
	final := demo(11, 1, 4)
	final.State, final.Incomplete, final.ReceiptsHash = popeye.Final, true, strings.Repeat("1f", 32)
	s.send(c, s.frame(&final))
	s.until(pill + ` === 'final, incomplete' && !document.getElementById('incomplete').hidden`)
	s.until(`!document.getElementById('proof').hidden && document.getElementById('receipts-hash').textContent === '1f'.repeat(32)`)
}

func (s *stage) tellsHowFresh() {
	s.openResult()
	c := s.connection()
	s.send(c, ": fresh\n\n")
	s.until(pill + ` === 'live'`)
	s.send(c, ": stale 12\r\n\r\n")
	s.until(`(/^stale for (\d+) s$/.exec(` + pill + `) ?? [])[1] >= 12`)
	s.send(c, ": fr")
	s.send(c, "esh\r\n")
	s.until(pill + ` === 'live'`)
	s.send(c, "retry: 60000\n\n")
	close(c.say)
	s.until(pill + ` === 'reconnecting'`)
	s.until(`dispatchEvent(new Event('online'))`) // the net is back: no more waiting
	c = s.connection()
	provisional, final := demo(11, 1, 1), demo(12, 1, 2)
	provisional.State, provisional.Ledger.Queued = popeye.Closed, 3
	final.State = popeye.Final
	s.send(c, s.frame(&provisional))
	s.until(pill + ` === 'provisional, 3 in flight' && document.getElementById('invite').hidden`)
	s.send(c, "retry: 10\n\n"+s.frame(&final))
	s.until(pill + ` === 'final'`)
	close(c.say)
	s.connection()
	s.until(pill + ` === 'final'`)
}

func (s *stage) saysDeleted() {
	s.openResult()
	s.send(s.connection(), "event: gone\ndata: {}\n\n")
	s.until(pill + ` === 'deleted' && document.getElementById('notice').innerText.includes('deleted')`)
	s.until(total + ` === '3'`)
}

func (s *stage) movesWithoutStream() {
	s.openResult()
	s.until(pill + ` === 'live'`)
	s.data <- demo(11, 2, 2)
	s.until(total + ` === '4'`)
	s.stale.Store(90)
	s.until(pill + `.startsWith('stale for 9')`)
	s.stale.Store(0)
	s.until(pill + ` === 'live'`)
}

// The script computes what the server does, digit by digit.
func (s *stage) showsWhatServerWould() {
	pages := newPages(s.t)
	s.openResult()
	c := s.connection()
	for i, votes := range [][]int64{{1, 1, 1}, {100001, 1, 0}, {2, 1, 0}, {7, 7, 6}, {123456, 654321, 333}, {999, 1, 1000000}} {
		tally := demo(int64(11+i), votes...)
		s.send(c, s.frame(&tally))
		s.until(fmt.Sprintf(total+` === (%d).toLocaleString('en-US')`, tally.Total))
		w := httptest.NewRecorder()
		pages.Result(w, http.StatusOK, web.ResultView{Assets: "/r/_/", Tally: tally})
		var want [][2]string
		for _, e := range elementsOf(s.t, w.Body) {
			switch e.attr["class"] {
			case "votes":
				want = append(want, [2]string{e.text})
			case "share":
				want[len(want)-1][1] = e.text
			}
		}
		if got := fmt.Sprint(s.cells()); got != fmt.Sprint(want) {
			s.t.Errorf("of %v the script shows %s, the server %s", votes, got, want)
		}
	}
}

func (s *stage) helpsToChoose() {
	pages := newPages(s.t)
	posted := make(chan []string, 1)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			_ = r.ParseForm()
			posted <- r.PostForm["vote"]
			w.WriteHeader(http.StatusNoContent)
			return
		}
		v := sampleVote(popeye.Open)
		v.Poll.Min = 2
		if r.URL.Path != "/" {
			pages.Assets("/p/_/").ServeHTTP(w, r)
			return
		}
		v.Action = "/"
		pages.Vote(w, http.StatusOK, v)
	})
	s.open(h, "/")
	s.until(`document.querySelector('[value=a]').click(), document.querySelector('[type=submit]').click(), true`)
	s.until(`document.querySelector('.tellback').textContent === 'Choose at least 2 first.'`)
	s.until(`document.querySelector('[value=c]').click(), document.querySelector('[value=d]').disabled`)
	s.until(`document.querySelector('.tellback').textContent === '2 of 2 chosen'`)
	s.until(`addEventListener('submit', (e) => { window.posts = (window.posts ?? 0) + !e.defaultPrevented; }), true`)
	s.until(`document.querySelector('[type=submit]').click(), document.querySelector('[type=submit]').click(), true`)
	s.until(`document.querySelector('[type=submit]').getAttribute('aria-disabled') === 'true' && window.posts === 1`)
	select {
	case got := <-posted:
		if fmt.Sprint(got) != "[a c]" {
			s.t.Errorf("the form posts %q", got)
		}
	case <-s.ctx.Done():
		s.t.Fatal("the form is not posted")
	}
}
