package result

import (
	"fmt"
	"net/http"
	"strconv"

	"popeye"
	"popeye/internal/web"
)

// show is GET /api/v1/results/{poll}.
func (s *Result) show(w http.ResponseWriter, r *http.Request) error {
	b, current, err := s.board(r.Context(), r.PathValue("poll"))
	if err != nil {
		return err
	}
	if err := s.mayShow(r, current); err != nil {
		return err
	}
	format, err := web.ExportFormat(r, "")
	if err != nil {
		return err
	}
	if format != "" {
		return web.Export(w, &current.tally, format)
	}
	// Private unless everybody may see it; no-cache in any case: ask each time,
	// and get 304 when nothing has changed.
	w.Header().Set("Cache-Control", "no-cache")
	if current.tally.Results != popeye.Always {
		w.Header().Set("Cache-Control", "private, no-cache")
	}
	if stale := b.stale(); stale > 0 {
		w.Header().Set("Stale-For", strconv.FormatInt(seconds(stale), 10))
	}
	w.Header().Set("Etag", current.etag)
	if web.MatchesETag(r, current.etag) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	w.Header().Set("Content-Type", "application/json")
	// A client that is gone is not an error.
	_, _ = w.Write(current.json)
	return nil
}

// Why a result is not shown.
const (
	hiddenUntilVote  = "The result is shown to those who have voted."
	hiddenUntilClose = "The result is shown when the poll is closed."
)

// mayShow returns the problem 403 when the poll does not show its result to
// this client, or not yet.
func (s *Result) mayShow(r *http.Request, current *snapshot) error {
	t := current.tally
	switch {
	case t.IsPublic(s.cfg.Now()):
		return nil
	case t.Results == popeye.AfterClose, s.cfg.Passes == nil:
		return web.NewProblem(http.StatusForbidden, hiddenUntilClose)
	case s.cfg.Passes.HasPass(r, &t.Definition):
		return nil
	default:
		return web.NewProblem(http.StatusForbidden, hiddenUntilVote)
	}
}

// away says, where err is that the store is, what that means for those who look.
func away(err error) error {
	problem := web.ProblemOf(err)
	if problem.Status != http.StatusServiceUnavailable {
		return err
	}
	problem.Detail = "This cannot be read now: the database does not answer. Please try again in a moment."
	return fmt.Errorf("%w: %w", problem, err)
}
