package result

import (
	"context"
	"encoding/base32"
	"errors"
	"net/http"
	"strings"
	"unicode"

	"popeye"
	"popeye/internal/web"
)

// receipt is GET /api/v1/receipts/{receipt}.
func (s *Result) receipt(w http.ResponseWriter, r *http.Request) error {
	code, found, err := s.find(r.Context(), r.PathValue("receipt"))
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "private, no-store")
	web.JSON(w, http.StatusOK, web.NewReceipt(code, found))
	return nil
}

// find looks up a receipt as somebody has written it, and returns it as it is
// written properly.
func (s *Result) find(ctx context.Context, written string) (string, *popeye.Finding, error) {
	code, ok := receiptOf(written)
	if !ok {
		return "", nil, web.NewProblem(http.StatusBadRequest, "This is no receipt: it has 16 characters, of the letters A to Z and the digits 2 to 7.")
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	found, err := s.cfg.Store.Find(ctx, code)
	switch {
	case errors.Is(err, popeye.ErrNotFound):
		return "", nil, s.notHere()
	case err != nil:
		return "", nil, away(err)
	default:
		return code, &found, nil
	}
}

// notHere is the problem of a receipt that the store does not know: of no vote,
// or of one that is on its way.
func (s *Result) notHere() error {
	detail := "No vote with this receipt is here yet. One that was just cast may still be on its way: please try again in a moment."
	if s.fresh.stale(s.cfg.Now()) > 0 {
		detail += " That takes longer than usual now."
	}
	return web.NewProblem(http.StatusNotFound, detail)
}

// receiptOf returns a receipt in capitals, without spaces and hyphens, and false
// where it cannot be one.
func receiptOf(written string) (string, bool) {
	code := strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || r == '-' {
			return -1
		}
		return unicode.ToUpper(r)
	}, written)
	bits, err := base32.StdEncoding.DecodeString(code)
	return code, err == nil && len(bits) == 10
}

// receiptsPage is GET /r/{poll}/receipts: a form to look a receipt up.
func (s *Result) receiptsPage(w http.ResponseWriter, r *http.Request) error {
	if r.PathValue("page") != "receipts" {
		return web.NewProblem(http.StatusNotFound, "There is nothing at this address.")
	}
	view, err := s.receiptsView(r)
	if err != nil {
		return err
	}
	s.cfg.Pages.Receipts(w, http.StatusOK, view)
	return nil
}

// lookUp is POST /r/{poll}/receipts: what became of the vote. It is a POST so
// that the receipt is in no address, no history and no access log.
func (s *Result) lookUp(w http.ResponseWriter, r *http.Request) error {
	form, err := web.ReadForm(w, r)
	if err != nil {
		return err
	}
	view, err := s.receiptsView(r)
	if err != nil {
		return err
	}
	view.Code = form.Get("receipt")
	status := http.StatusOK
	code, found, err := s.find(r.Context(), view.Code)
	if err != nil {
		problem := web.ProblemOf(err)
		if problem.Status >= http.StatusInternalServerError {
			return err
		}
		status, view.Notice = problem.Status, problem.Detail
	} else {
		view.Code, view.Found = code, found
	}
	s.cfg.Pages.Receipts(w, status, view)
	return nil
}

func (s *Result) receiptsView(r *http.Request) (web.ReceiptsView, error) {
	_, current, err := s.board(r.Context(), r.PathValue("poll"))
	if err != nil {
		return web.ReceiptsView{}, err
	}
	t := current.tally
	return web.ReceiptsView{
		Assets: assets, Tally: popeye.Tally{Definition: t.Definition, ReceiptsHash: t.ReceiptsHash},
		Action: receiptsURL(t.ID), ResultURL: "/r/" + t.ID, ListURL: listURL(t.ID),
	}, nil
}

// receiptsURL is the address of the page that looks receipts up, listURL that of
// the final list.
func receiptsURL(poll string) string { return "/r/" + poll + "/receipts" }

func listURL(poll string) string { return "/api/v1/results/" + poll + "/receipts" }
