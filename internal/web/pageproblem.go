package web

import "net/http"

// Problem returns the Renderer that shows a problem as a page, whose static
// files are below assets.
func (p *Pages) Problem(assets string) Renderer {
	return func(w http.ResponseWriter, r *http.Request, problem *Problem) {
		p.Error(w, problem.Status, ErrorView{
			Assets: assets, Title: problem.Title, Detail: problem.Detail, Status: problem.Status, BackURL: r.URL.Path,
		})
	}
}
