package web

import (
	"net/http"
	"time"

	"popeye"
)

// Receipt is what the API says of a receipt. It never says what was chosen.
type Receipt struct {
	Receipt string      `json:"receipt"`
	Poll    string      `json:"poll,omitempty"`
	State   popeye.Fate `json:"state"`
	Cast    time.Time   `json:"cast"`
	Reason  string      `json:"reason,omitempty"`
}

// NewReceipt returns what the API says of code, of which f was found.
func NewReceipt(code string, f *popeye.Finding) Receipt {
	return Receipt{Receipt: code, Poll: f.Poll, State: f.Fate, Cast: f.Cast.UTC(), Reason: f.Reason}
}

// ReceiptsView is what the page shows on which receipts are looked up.
type ReceiptsView struct {
	// Assets is the path prefix of the static files, with its final slash.
	Assets string
	// Tally is the poll's result. Only its definition, its total and the hash of
	// its receipts are used.
	Tally popeye.Tally
	// Action is the address that the form posts to: a receipt is in no address.
	Action string
	// ResultURL is the address of the result page, ListURL that of the final list,
	// which is shown with its hash.
	ResultURL, ListURL string
	// Code is what was entered, Found what is known of it; nil: nothing.
	Code  string
	Found *popeye.Finding
	// Notice says why nothing is known of Code. Empty: nothing was asked, or it is
	// found.
	Notice string
}

// Receipts writes the page on which receipts are looked up.
func (p *Pages) Receipts(w http.ResponseWriter, status int, v ReceiptsView) {
	p.render(w, status, p.receipts, privatePage, v)
}
