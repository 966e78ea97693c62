package poll_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"popeye"
)

// FuzzBallots: whatever is sent in place of a ballot is accepted for what it
// says, or refused for a reason that is the client's.
func FuzzBallots(f *testing.F) {
	for _, body := range []string{
		`{"choices":["a"]}`, `{"choices":["a","a"],"after":-1}`, `{"choices":null}`, `[]`, "vote=a", "vote=a&vote=b&after=9",
		"vote=%00", "vote=\xff&voter=x", "", "{", strings.Repeat("vote=a&", 1000),
	} {
		f.Add("/api/v1/votes/p", "application/json", body)
		f.Add("/p/p", "application/x-www-form-urlencoded", body)
	}
	f.Add("/", "multipart/form-data; boundary=x", "--x")
	f.Add("/p/p", "text/plain; charset=\"", "vote=a")
	f.Fuzz(func(t *testing.T, path, contentType, body string) {
		if !slices.Contains([]string{"/", "/p/p", "/api/v1/votes/p"}, path) {
			t.Skip()
		}
		var cast []popeye.Choices
		p := role(t, &script{enqueue: func(c popeye.Cast) (popeye.Answer, error) {
			cast = append(cast, c.Choices)
			return popeye.Answer{Outcome: popeye.Accepted, Mark: popeye.Mark{Choices: c.Choices, Stamp: c.Stamp, Serial: 1}}, nil
		}}, asIs)
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Header["Content-Type"] = []string{contentType}
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		stands := w.Code == http.StatusCreated || w.Code == http.StatusSeeOther
		if stands != (len(cast) == 1) || stands && cast[0].Count() != 1 {
			t.Errorf("%d, with %v cast", w.Code, cast)
		}
		if !stands && (w.Code < 400 || w.Code > 499) {
			t.Errorf("%d: %s", w.Code, w.Body)
		}
	})
}
