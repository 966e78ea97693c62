package result_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"popeye"
	"popeye/internal/result"
)

const code = "MZXW6YTBOI2DKNRX"

// knows makes the store know a receipt.
func (h *house) knows(f popeye.Finding) {
	h.store.mu.Lock()
	defer h.store.mu.Unlock()
	h.store.findings = map[string]popeye.Finding{code: f}
}

func TestReceiptTellsWhatBecameOfItsVote(t *testing.T) {
	h := newHouse(t, nil)
	for want, f := range map[string]popeye.Finding{
		`{"receipt":"MZXW6YTBOI2DKNRX","poll":"p","state":"counted","cast":"2026-12-31T17:00:00.123456Z"}`:                      {Poll: "p", Round: 1, Fate: popeye.Counted},
		`{"receipt":"MZXW6YTBOI2DKNRX","poll":"p","state":"rejected","cast":"2026-12-31T17:00:00.123456Z","reason":"late"}`:     {Poll: "p", Round: 1, Fate: popeye.Rejected, Reason: "late"},
		`{"receipt":"MZXW6YTBOI2DKNRX","state":"rejected","cast":"2026-12-31T17:00:00.123456Z","reason":"no such round there"}`: {Round: 9, Fate: popeye.Rejected, Reason: "no such round there"},
	} {
		f.Cast = time.Date(2026, 12, 31, 18, 0, 0, 123456000, time.FixedZone("", 3600))
		h.knows(f)
		for _, written := range []string{code, strings.ToLower(code), "MZXW-6YTB-OI2D-KNRX", "MZXW%206YTB%20OI2D%20KNRX"} {
			got := h.get("/api/v1/receipts/" + written)
			if got.status != 200 || got.body != want+"\n" || got.header.Get("Cache-Control") != "private, no-store" {
				t.Errorf("%s: got %d %s, Cache-Control %q; want %s", written, got.status, got.body, got.header.Get("Cache-Control"), want)
			}
		}
	}
}

func TestReceiptThatIsNotHereYetIsExplained(t *testing.T) {
	h := newHouse(t, nil)
	got := h.get("/api/v1/receipts/" + code)
	if got.status != 404 || !strings.Contains(got.body, "may still be on its way") || strings.Contains(got.body, "longer than usual") {
		t.Errorf("got %d %s", got.status, got.body)
	}
	h.lag(time.Minute)
	h.eventually("it is said that votes take longer", func() bool {
		return strings.Contains(h.get("/api/v1/receipts/"+code).body, "longer than usual")
	})
	for _, written := range []string{"x", code + "A", "MZXW6YTBOI2DKNR1", "MZXW6YTBOI======", "%00", strings.Repeat("A", 1000)} {
		if got := h.get("/api/v1/receipts/" + written); got.status != 400 || !strings.Contains(got.body, "16 characters") {
			t.Errorf("%q: got %d %s", written, got.status, got.body)
		}
	}
	h.fail(fmt.Errorf("dial 10.0.0.1: %w", popeye.ErrUnavailable))
	if got := h.get("/api/v1/receipts/" + code); got.status != 503 || got.header.Get("Retry-After") == "" || strings.Contains(got.body, "10.0.0.1") {
		t.Errorf("without a store: %d %s", got.status, got.body)
	}
}

func TestReceiptIsLookedUpOnAPageThatPutsItInNoAddress(t *testing.T) {
	h := newHouse(t, nil)
	empty := h.get("/r/p/receipts")
	if empty.status != 200 || !strings.Contains(empty.body, `<form class="lookup" method="post" action="/r/p/receipts"`) {
		t.Fatalf("got %d %s", empty.status, empty.body)
	}
	cast := time.Date(2026, 12, 31, 17, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		found  *popeye.Finding
		form   string
		status int
		says   string
	}{
		"counted":         {&popeye.Finding{Poll: "p", Fate: popeye.Counted, Cast: cast}, "receipt=mzxw6ytboi2dknrx", 200, "This vote is counted."},
		"of another poll": {&popeye.Finding{Poll: "q", Fate: popeye.Counted, Cast: cast}, "receipt=" + code, 200, `<a href="/r/q">another poll</a>`},
		"rejected":        {&popeye.Finding{Poll: "p", Fate: popeye.Rejected, Reason: "late", Cast: cast}, "receipt=" + code, 200, "This vote is not counted: late."},
		"not here":        {nil, "receipt=" + code, 404, "may still be on its way"},
		"mistyped":        {nil, "receipt=MZXW", 400, "16 characters"},
		"nothing entered": {nil, "", 400, "16 characters"},
	} {
		h.store.mu.Lock()
		h.store.findings = nil
		h.store.mu.Unlock()
		if c.found != nil {
			h.knows(*c.found)
		}
		got := h.send(http.MethodPost, "/r/p/receipts", c.form, "Content-Type", "application/x-www-form-urlencoded")
		if got.status != c.status || !strings.Contains(got.body, c.says) || got.header.Get("Cache-Control") != "private, no-store" {
			t.Errorf("%s: got %d %s", name, got.status, got.body)
		}
	}
	for path, status := range map[string]int{"/r/none/receipts": 404, "/r/p/other": 404, "/r/p/receipts/x": 404, "/r/_/receipts": 404} {
		if got := h.get(path); got.status != status {
			t.Errorf("%s answers %d", path, got.status)
		}
	}
}

// finish makes the poll final, with so many receipts.
func (h *house) finish(receipts int, change func(*table)) {
	h.store.mu.Lock()
	h.store.receipts = receipts
	if change != nil {
		change(h.store)
	}
	h.store.mu.Unlock()
	h.set(func(t *popeye.Tally) { t.State, t.Version = popeye.Final, t.Version+1 })
}

const list = "/api/v1/results/p/receipts"

func TestFinalListHasEveryReceiptAndTheHashOfTheResult(t *testing.T) {
	h := newHouse(t, nil)
	if got := h.get(list); got.status != 409 || !strings.Contains(got.body, "final") {
		t.Errorf("before the end: %d %s", got.status, got.body)
	}
	h.finish(10_000, nil)
	got := h.get(list)
	if got.status != 200 || got.body != strings.Join(receiptsOf(10_000), "\n")+"\n" {
		t.Fatalf("got %d with %d bytes", got.status, len(got.body))
	}
	if kind := got.header.Get("Content-Type"); kind != "text/plain; charset=utf-8" {
		t.Errorf("it is %s", kind)
	}
	sum := sha256.Sum256([]byte(got.body))
	hash := hex.EncodeToString(sum[:])
	h.set(func(t *popeye.Tally) { t.ReceiptsHash, t.Version = hash, t.Version+1 })
	if shown := h.get("/api/v1/results/p"); !strings.Contains(shown.body, `"receipts":{"sha256":"`+hash+`"}`) {
		t.Errorf("the result is %s", shown.body)
	}
	if page := h.get("/r/p"); !strings.Contains(page.body, hash) || !strings.Contains(page.body, `href="`+list+`"`) {
		t.Errorf("the page is %s", page.body)
	}
	if again := h.get(list, "If-None-Match", `"`+hash+`"`); again.status != 304 || again.body != "" {
		t.Errorf("a list that is known: %d and %d bytes", again.status, len(again.body))
	}
	if head := h.send(http.MethodHead, list, ""); head.status != 200 || head.header.Get("Etag") != `"`+hash+`"` {
		t.Errorf("its head: %d, %v", head.status, head.header)
	}
	h.finish(0, nil)
	if got := h.get(list); got.status != 200 || got.body != "" {
		t.Errorf("of no votes: %d %q", got.status, got.body)
	}
	if got := h.get("/api/v1/results/none/receipts"); got.status != 404 {
		t.Errorf("of no poll: %d", got.status)
	}
}

// The list is read, and hashed, some time after the end, and no bell rings then.
func TestHashThatComesLaterIsShownToWhoeverLooks(t *testing.T) {
	h := newHouse(t, nil)
	h.finish(1, nil)
	h.get("/api/v1/results/p")
	h.store.mu.Lock()
	certified := h.store.tallies["p"]
	certified.Version, certified.ReceiptsHash = certified.Version+1, strings.Repeat("1f", 32)
	h.store.tallies["p"] = certified
	h.store.mu.Unlock()
	h.eventually("the hash is shown", func() bool { return strings.Contains(h.get("/api/v1/results/p").body, `"sha256"`) })
	before := h.reads()
	h.get("/api/v1/results/p")
	if again := h.reads() - before; again != 0 {
		t.Errorf("a result that is complete was read %d times again", again)
	}
}

// The store gives the end of the list when its beginning was read, and not
// before: whoever keeps it all in memory first would wait for ever.
func TestListIsSentAsItIsRead(t *testing.T) {
	h := newHouse(t, nil)
	pause := make(chan struct{})
	h.finish(10_000, func(s *table) { s.pause = pause })
	body := bufio.NewReader(h.beginList())
	if first, err := body.ReadString('\n'); err != nil || first != receiptsOf(10_000)[0]+"\n" {
		t.Fatalf("the list begins with %q, %v", first, err)
	}
	close(pause)
	if rest, err := io.ReadAll(body); err != nil || len(rest) != 17*9_999 {
		t.Errorf("%d bytes follow, %v", len(rest), err)
	}
}

func TestListThatBreaksOffIsNotTakenForWhole(t *testing.T) {
	h := newHouse(t, nil)
	h.finish(10_000, func(s *table) { s.cut = errors.New("cut off") })
	if _, err := io.ReadAll(h.beginList()); err == nil {
		t.Error("it ends like a whole one")
	}
	// A short one was not begun yet.
	for _, c := range []struct {
		cut    error
		status int
	}{
		{popeye.ErrExists, 409}, {popeye.ErrNotFound, 404}, {popeye.ErrUnavailable, 503}, {errors.New("a bug"), 500},
	} {
		h.finish(10, func(s *table) { s.cut = c.cut })
		if got := h.get(list); got.status != c.status || strings.Contains(got.body, receiptsOf(10)[0]) {
			t.Errorf("%v: %d %s", c.cut, got.status, got.body)
		}
	}
}

func TestListThatIsLongDoesNotHoldUpTheEnd(t *testing.T) {
	h := newHouse(t, nil)
	pause := make(chan struct{})
	h.finish(10_000, func(s *table) { s.pause = pause })
	body := h.beginList()
	h.End()
	close(pause) // the store has the rest of it
	if text, err := io.ReadAll(body); err == nil {
		t.Errorf("it went on to its end, %d bytes", len(text))
	}
}

func TestListsThatAreReadAtATimeAreBounded(t *testing.T) {
	h := newHouse(t, nil)
	pause := make(chan struct{})
	h.finish(10_000, func(s *table) { s.pause = pause })
	var open []io.Reader
	for range 4 {
		open = append(open, h.beginList())
	}
	if got := h.get(list); got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("the fifth: %d", got.status)
	}
	close(pause)
	for _, body := range open {
		if _, err := io.Copy(io.Discard, body); err != nil {
			t.Error(err)
		}
	}
	h.eventually("there is room again", func() bool { return h.get(list).status == 200 })
}

func TestPublicResultIsExportedByItsAPI(t *testing.T) {
	h := newHouse(t, nil)
	h.vote()
	csv := h.get("/api/v1/results/p?format=csv")
	if csv.body != "option,label,votes\r\na,a,1\r\nb,'=B,0\r\n" || !strings.Contains(csv.header.Get("Content-Disposition"), `"p.csv"`) {
		t.Errorf("got %q, %v", csv.body, csv.header)
	}
	if got := h.get("/api/v1/results/p?format=json"); got.version() != h.version() || !strings.Contains(got.header.Get("Content-Disposition"), `"p.json"`) {
		t.Errorf("got %s, %v", got.body, got.header)
	}
	if got := h.get("/api/v1/results/p?format=pdf"); got.status != 400 {
		t.Errorf("an unknown format got %d", got.status)
	}
	h.set(func(t *popeye.Tally) { t.Results, t.Version = popeye.AfterClose, t.Version+1 })
	if got := h.get("/api/v1/results/p?format=csv"); got.status != 403 {
		t.Errorf("a hidden result got %d", got.status)
	}
}

func TestWithoutPassesAResultAfterTheVoteIsShownAfterTheClose(t *testing.T) {
	h := newHouse(t, func(cfg *result.Config) { cfg.Passes = nil })
	h.set(func(t *popeye.Tally) { t.Results, t.Version = popeye.AfterVote, t.Version+1 })
	if got := h.get("/api/v1/results/p", "Pass", "yes"); got.status != 403 || !strings.Contains(got.body, "when the poll is closed") {
		t.Errorf("open: %d %s", got.status, got.body)
	}
	h.set(func(t *popeye.Tally) { t.State, t.Version = popeye.Closed, t.Version+1 })
	if got := h.get("/api/v1/results/p"); got.status != 200 {
		t.Errorf("closed: %d %s", got.status, got.body)
	}
}
