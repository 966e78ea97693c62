package app_test

import (
	"net/http"
	"testing"
)

func TestWhoeverHasNotHeardOfTheEndIsServed(t *testing.T) {
	t.Parallel()
	h := startRole(t, nil, "all", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--drain", "30s")
	ready := func() int {
		ops := voter{t: t, base: h.ops, http: &http.Client{}}
		return ops.get("/readyz").status
	}
	h.eventually("it is ready", func() bool { return ready() == http.StatusOK })
	ended := make(chan int, 1)
	go func() { ended <- h.stop() }()
	h.eventually("nobody new should come", func() bool {
		h.voter().get("/p/cats-dogs").want(http.StatusOK) // or it would take it that nobody comes any more
		return ready() == http.StatusServiceUnavailable
	})
	late := h.voter().cast("cats-dogs", `{"choices": ["a"]}`).want(http.StatusCreated)
	if late.member("receipt") == nil {
		t.Errorf("a late vote got no receipt: %s", late.body)
	}
	if code := <-ended; code != 0 {
		t.Errorf("it ended with %d", code)
	}
}
