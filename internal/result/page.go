package result

import (
	"errors"
	"net/http"
	"strings"

	"popeye"
	"popeye/internal/web"
)

// page is GET /r/{poll}, and the exports /r/{poll}.csv and /r/{poll}.json: a
// pattern of the mux cannot tell them apart, but no poll has a dot in its ID.
func (s *Result) page(w http.ResponseWriter, r *http.Request) error {
	poll, extension, _ := strings.Cut(r.PathValue("poll"), ".")
	b, current, err := s.board(r.Context(), poll)
	if err != nil {
		return err
	}
	switch refused := s.mayShow(r, current); {
	case extension == "":
		return s.showPage(w, b, current, refused)
	case refused != nil && extension == "json":
		web.Render(w, r, web.RenderJSON, web.ProblemOf(refused))
		return nil
	case refused != nil && extension == "csv":
		return refused
	case extension == "csv" || extension == "json":
		return web.Export(w, &current.tally, extension)
	default:
		return web.NewProblem(http.StatusNotFound, "A result is exported as .csv or .json.")
	}
}

// showPage shows the result or, where it may not be shown, why not.
func (s *Result) showPage(w http.ResponseWriter, b *board, current *snapshot, refused error) error {
	t := current.tally
	view := web.ResultView{
		Assets: assets, Tally: t, Now: s.cfg.Now(), Stale: b.stale(), VoteURL: "/p/" + t.ID,
		StreamURL: "/api/v1/results/" + t.ID + "/stream", DataURL: "/api/v1/results/" + t.ID,
		CSVURL: "/r/" + t.ID + ".csv", JSONURL: "/r/" + t.ID + ".json",
		ReceiptsURL: receiptsURL(t.ID), ListURL: listURL(t.ID),
	}
	if refused == nil {
		s.cfg.Pages.Result(w, http.StatusOK, view)
		return nil
	}
	var problem *web.Problem
	if !errors.As(refused, &problem) {
		return refused
	}
	view.Hidden = problem.Detail
	view.Tally = popeye.Tally{Definition: t.Definition}
	s.cfg.Pages.Result(w, problem.Status, view)
	return nil
}
