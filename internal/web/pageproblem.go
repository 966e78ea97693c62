package web

import (
	"net/http"
	"strings"
)

// Problem returns the Renderer that shows a problem as a page, whose static
// files are below assets.
func (p *Pages) Problem(assets string) Renderer {
	return func(w http.ResponseWriter, r *http.Request, problem *Problem) {
		// Back from an export is to the page that it is of: no page has a dot.
		page, _, _ := strings.Cut(r.URL.Path, ".")
		p.Error(w, problem.Status, ErrorView{
			Assets: assets, Title: problem.Title, Detail: problem.Detail, Status: problem.Status, BackURL: page,
		})
	}
}
