package web

import (
	"net/http"
	"strings"
)

// Check is one condition of readiness.
type Check struct {
	// Name says what is checked, in a word.
	Name string
	// Ready returns nil when the part can do its work, and else why it cannot.
	Ready func() error
}

// Ops returns the handler of the operations port: /livez answers 200 while the
// process runs and looks at no other part; /readyz answers 200 when all checks
// pass and 503 with the reasons otherwise; /metrics is metrics.
func Ops(metrics http.Handler, checks ...Check) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if reasons := failing(checks); reasons != "" {
			plain(w, http.StatusServiceUnavailable, reasons)
			return
		}
		plain(w, http.StatusOK, "ok\n")
	})
	mux.Handle("GET /metrics", metrics)
	return mux
}

func failing(checks []Check) string {
	var reasons strings.Builder
	for _, c := range checks {
		if err := c.Ready(); err != nil {
			reasons.WriteString(c.Name + ": " + err.Error() + "\n")
		}
	}
	return reasons.String()
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// A client that is gone is not an error.
	_, _ = w.Write([]byte(text))
}
