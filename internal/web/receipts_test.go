package web_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"popeye"
	"popeye/internal/web"
)

// sampleReceipts returns the page on which a receipt was looked up: what was
// found, or a notice where nothing was.
func sampleReceipts(found *popeye.Finding) web.ReceiptsView {
	v := web.ReceiptsView{
		Assets: "/r/_/", Tally: popeye.Tally{Definition: sampleDefinition(popeye.Final), ReceiptsHash: strings.Repeat("1f", 32)},
		Action: "/r/lunch/receipts", ResultURL: "/r/lunch", ListURL: "/api/v1/results/lunch/receipts", Code: "MZXW6YTBOI2DSNRV", Found: found,
	}
	if found == nil {
		v.Code, v.Notice = nasty, nasty
	}
	return v
}

func TestOnlyAFinalResultThatIsCertifiedShowsItsProof(t *testing.T) {
	pages := newPages(t)
	certified := sampleResult(popeye.Final)
	certified.Tally.ReceiptsHash = strings.Repeat("1f", 32)
	for name, c := range map[string]struct {
		view  web.ResultView
		shown bool
	}{
		"open": {sampleResult(popeye.Open), false}, "final, not certified yet": {sampleResult(popeye.Final), false}, "certified": {certified, true},
	} {
		w := httptest.NewRecorder()
		pages.Result(w, 200, c.view)
		all := elementsOf(t, w.Body)
		_, hidden := byID(all, "proof").attr["hidden"]
		if hidden == c.shown || byID(all, "receipts-hash").text != c.view.Tally.ReceiptsHash {
			t.Errorf("%s: the proof is hidden: %v", name, hidden)
		}
	}
}
