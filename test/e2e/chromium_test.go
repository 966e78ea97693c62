package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// chromium is one browser without a window for all tests, started by the first
// that needs it.
type chromium struct {
	once  sync.Once
	ctx   context.Context //nolint:containedctx // chromedp keeps the browser in it
	err   error
	close func()
}

// errNoChromium says what to do about it.
var errNoChromium = errors.New("there is no chromium to test the pages with: run make deps")

// start starts the browser, once. It can reach this machine only.
func (c *chromium) start(dir string) {
	path := findChromium()
	if path == "" {
		c.err = errNoChromium
		return
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(path), chromedp.WSURLReadTimeout(patience),
		chromedp.UserDataDir(filepath.Join(dir, "chromium")),
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-default-apps", true),
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("disable-extensions", true),
		chromedp.Flag("disable-sync", true),
		// A page that nobody looks at is throttled, and no test looks.
		chromedp.Flag("disable-background-timer-throttling", true),
		chromedp.Flag("disable-backgrounding-occluded-windows", true),
		chromedp.Flag("disable-renderer-backgrounding", true),
		chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"),
	)
	ctx, cancel := chromedp.NewContext(allocator)
	c.ctx = ctx
	c.close = func() {
		within, done := context.WithTimeout(ctx, patience)
		defer done()
		_ = chromedp.Cancel(within) // what does not close is killed
		cancel()
		stop()
	}
	if err := chromedp.Do(ctx); err != nil {
		c.err = fmt.Errorf("start %s: %w", path, err)
	}
}

// end ends the browser, if it was ever started.
func (c *chromium) end() {
	if c.close != nil {
		c.close()
	}
}

func findChromium() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "/usr/bin/chromium"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// tab is a page that a person has open. Each person has a browser of their own:
// no cookie is shared.
type tab struct {
	t   *testing.T
	ctx context.Context //nolint:containedctx // chromedp keeps the tab in it
	// forgives is part of the complaints that the test causes.
	forgives string

	mu sync.Mutex
	// complaints are what the console shows in red or yellow, and what breaks the
	// page's own rules.
	complaints []string
	// asked are the hosts that the page has sent requests to.
	asked map[string]bool
}

// person opens an empty tab. At the end of the test it must not have complained,
// nor asked anybody but Popeye.
func person(t *testing.T) *tab {
	t.Helper()
	browser.once.Do(func() { browser.start(tempDir) })
	if errors.Is(browser.err, errNoChromium) && testing.Short() {
		t.Skip(browser.err)
	}
	if browser.err != nil {
		t.Fatal(browser.err)
	}
	b := &tab{t: t, asked: map[string]bool{}}
	ctx, cancel := chromedp.NewContext(browser.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(b.hear))
	b.ctx = ctx
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the page at the end: %s", b.text())
		}
		cancel()
		b.judge()
	})
	if _, err := chromedp.Call(ctx, audits.Enable, cdp.Empty{}); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	return b
}

// judge tells what a page must not do and has done.
func (b *tab) judge() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.complaints {
		if b.forgives == "" || !strings.Contains(c, b.forgives) {
			b.t.Errorf("the browser complains: %s", c)
		}
	}
	for host := range b.asked {
		if !strings.HasPrefix(host, "127.0.0.1:") {
			b.t.Errorf("the page asks %s", host)
		}
	}
}

// hear takes note of what the browser tells. It must not wait for anything.
func (b *tab) hear(told any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := told.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "warning" || e.Type == "assert" {
			b.complain("console.%s", e.Type)
		}
	case *runtime.EventExceptionThrown:
		b.complain("%s %v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception)
	case *log.EventEntryAdded:
		if e.Entry.Level == "error" || e.Entry.Level == "warning" {
			b.complain("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		}
	case *audits.EventIssueAdded:
		b.complain("issue: %s", e.Issue.Code)
	case *network.EventRequestWillBeSent:
		if u, err := url.Parse(e.Request.URL); err != nil || u.Host != "" {
			b.asked[u.Host] = true
		}
	}
}

func (b *tab) complain(format string, args ...any) {
	b.complaints = append(b.complaints, fmt.Sprintf(format, args...))
}

// withoutScripts turns JavaScript off.
func (b *tab) withoutScripts() *tab {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		b.t.Fatal(err)
	}
	return b
}

// do does what a person does, which must be possible within our patience.
func (b *tab) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

func (b *tab) open(url string) *tab {
	b.t.Helper()
	b.do("open "+url, chromedp.Navigate(url))
	return b
}

func (b *tab) reload() {
	b.t.Helper()
	b.do("reload", chromedp.Reload())
}

// click clicks on what a selector finds, once it can be seen.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.do("click "+selector, chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// sees waits until an expression is true on the page.
func (b *tab) sees(fact, expression string) {
	b.t.Helper()
	deadline := time.After(patience)
	for {
		// A page that is being left answers nothing; the next one will.
		holds, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		if err == nil && holds {
			return
		}
		select {
		case <-deadline:
			b.t.Fatalf("never: %s (%s, %v)", fact, expression, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// reads waits until the first element that a selector finds has a text, white
// space aside.
func (b *tab) reads(selector, text string) {
	b.t.Helper()
	b.sees(fmt.Sprintf("%s reads %q", selector, text),
		fmt.Sprintf(`document.querySelector(%q)?.textContent.trim().replace(/\s+/g, ' ') === %q`, selector, text))
}

// text returns what is on the page, for whoever has to find out why a test
// failed.
func (b *tab) text() string {
	ctx, cancel := context.WithTimeout(b.ctx, 10*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
	if err != nil {
		return err.Error()
	}
	return text
}

// tells checks that whoever hears the page instead of seeing it is told what
// each thing is that one can use or read, and that things of a role are there.
func (b *tab) tells(path, role string, things int) {
	b.t.Helper()
	tree, err := chromedp.Call(b.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	if err != nil {
		b.t.Fatal(err)
	}
	found := map[string]int{}
	for _, n := range tree.Nodes {
		if n.Ignored || n.Role == nil {
			continue
		}
		is := strings.Trim(string(n.Role.Value), `"`)
		found[is]++
		switch is {
		case "link", "button", "radio", "checkbox", "table", "heading", "img", "image", "textbox", "rowheader":
			if n.Name == nil || len(strings.Trim(string(n.Name.Value), `" `)) == 0 {
				b.t.Errorf("%s: a %s has no name", path, is)
			}
		}
	}
	if found[role] != things || found["heading"] == 0 || found["link"] == 0 {
		b.t.Errorf("%s: want %d of %s, and headings and links; found %v", path, things, role, found)
	}
}

// press moves the focus to an element and presses keys there.
func (b *tab) press(selector, keys string) {
	b.t.Helper()
	b.do("press "+selector, chromedp.Focus(chromedp.CSS(selector)), chromedp.KeyEvent(keys))
}
