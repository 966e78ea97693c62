package client_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"popeye"
	"popeye/internal/client"
)

func serving(t *testing.T, h http.HandlerFunc) *client.Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return client.New(server.URL+"/", "secret")
}

func TestRedirectIsNeverTakenForSuccess(t *testing.T) {
	c := serving(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://example.com"+r.URL.Path, http.StatusMovedPermanently)
	})
	_, _, applied := c.Apply(t.Context(), popeye.Poll{ID: "p"})
	_, closed := c.SetState(t.Context(), "p", popeye.Closed)
	for name, err := range map[string]error{"delete": c.Delete(t.Context(), "p"), "apply": applied, "close": closed} {
		if err == nil || !strings.Contains(err.Error(), "https://example.com") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestServersReasonReachesTheOrganiser(t *testing.T) {
	c := serving(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.WriteHeader(http.StatusConflict)
		_, _ = w.Write([]byte(`{"detail":"Close it first."}`))
	})
	if err := c.Delete(t.Context(), "p"); err == nil || err.Error() != "Close it first." {
		t.Errorf("got %v", err)
	}
}

func TestParkedVotesAreListedRetriedAndDropped(t *testing.T) {
	c := serving(t, func(w http.ResponseWriter, r *http.Request) {
		answers := map[string]string{
			"GET /admin/api/v1/parked":          `{"parked":[{"round":7,"reason":"late","votes":2,"oldest":"2001-09-09T01:46:40Z","newest":"2001-09-09T01:46:40Z"}]}`,
			"POST /admin/api/v1/parked/7/retry": `{"recorded":3,"rejected":2}`,
			"DELETE /admin/api/v1/parked/-1":    `{"dropped":5}`,
		}
		_, _ = w.Write([]byte(answers[r.Method+" "+r.URL.Path]))
	})
	if got, err := c.Parked(t.Context()); err != nil || len(got) != 1 || got[0].Round != 7 || got[0].Votes != 2 || got[0].Reason != "late" {
		t.Errorf("listed %+v, %v", got, err)
	}
	if got, err := c.Retry(t.Context(), 7); err != nil || got.Recorded != 3 || got.Rejected != 2 {
		t.Errorf("retried %+v, %v", got, err)
	}
	if got, err := c.Drop(t.Context(), -1); err != nil || got != 5 {
		t.Errorf("dropped %d, %v", got, err)
	}
}

func TestWhatIsNotPopeyeIsSaid(t *testing.T) {
	c := serving(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) })
	if _, err := c.List(t.Context()); err == nil || !strings.Contains(err.Error(), "does not answer like Popeye") {
		t.Errorf("got %v", err)
	}
}
