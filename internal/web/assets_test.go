package web_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"popeye/internal/web"
)

// styleSheet returns the style sheet's address as pages have it.
func styleSheet(t *testing.T, pages *web.Pages) string {
	t.Helper()
	w := httptest.NewRecorder()
	pages.List(w, http.StatusOK, web.ListView{Assets: "/p/_/"})
	address := regexp.MustCompile(`/p/_/popeye\.[0-9a-f]{12}\.css`).FindString(w.Body.String())
	if address == "" {
		t.Fatal("the page links to no style sheet")
	}
	return address
}

func request(pages *web.Pages, method, address string, header ...string) *httptest.ResponseRecorder {
	w, r := httptest.NewRecorder(), httptest.NewRequest(method, address, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	pages.Assets("/p/_/").ServeHTTP(w, r)
	return w
}

func TestAnyReplicaServesTheFilesOfAnyPage(t *testing.T) {
	pages := newPages(t)
	ours := styleSheet(t, pages)
	other := "/p/_/popeye.000000000000.css"
	for address, want := range map[string]struct {
		status int
		cache  string
	}{
		ours:                          {200, "public, max-age=31536000, immutable"},
		other:                         {200, "no-store"},
		"/p/_/popeye.css":             {404, ""},
		"/p/_/nothing.0000000000.css": {404, ""},
		"/p/_/../pages.go":            {404, ""},
		"/p/_/":                       {404, ""},
	} {
		w := request(pages, http.MethodGet, address)
		if w.Code != want.status || w.Header().Get("Cache-Control") != want.cache {
			t.Errorf("%s answers %d, Cache-Control %q", address, w.Code, w.Header().Get("Cache-Control"))
		}
	}
	if a, b := request(pages, http.MethodGet, ours), request(pages, http.MethodGet, other); a.Body.String() != b.Body.String() {
		t.Error("another release's page gets another file")
	}
}

func TestFilesAreCompressedForThoseWhoTakeIt(t *testing.T) {
	pages := newPages(t)
	address := styleSheet(t, pages)
	plain := request(pages, http.MethodGet, address)
	for accept, zipped := range map[string]bool{
		"gzip": true, "br, gzip;q=0.8": true, "*": true, "": false, "br": false, "gzip;q=0": false, "gzip;q=0.0, br": false, "identity": false,
	} {
		w := request(pages, http.MethodGet, address, "Accept-Encoding", accept)
		if got := w.Header().Get("Content-Encoding") == "gzip"; got != zipped {
			t.Errorf("Accept-Encoding %q: compressed is %v", accept, got)
			continue
		}
		if w.Header().Get("Vary") != "Accept-Encoding" || w.Header().Get("Content-Length") != strconv.Itoa(w.Body.Len()) {
			t.Errorf("Accept-Encoding %q: header is %v", accept, w.Header())
		}
		if body := unzip(t, w.Body, zipped); body != plain.Body.String() {
			t.Errorf("Accept-Encoding %q: another body", accept)
		}
	}
}

func unzip(t *testing.T, r io.Reader, zipped bool) string {
	t.Helper()
	if zipped {
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatalf("unzip: %v", err)
		}
		r = z
	}
	body, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return string(body)
}

func TestFilesAreSentOnceOnly(t *testing.T) {
	pages := newPages(t)
	address := styleSheet(t, pages)
	for _, accept := range []string{"", "gzip"} {
		tag := request(pages, http.MethodGet, address, "Accept-Encoding", accept).Header().Get("ETag")
		again := request(pages, http.MethodGet, address, "Accept-Encoding", accept, "If-None-Match", "W/"+tag)
		if again.Code != http.StatusNotModified || again.Body.Len() > 0 {
			t.Errorf("Accept-Encoding %q: %d and %d bytes", accept, again.Code, again.Body.Len())
		}
	}
	if w := request(pages, http.MethodHead, address); w.Code != http.StatusOK || w.Body.Len() > 0 {
		t.Errorf("HEAD answers %d and %d bytes", w.Code, w.Body.Len())
	}
	if w := request(pages, http.MethodPost, address); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST answers %d", w.Code)
	}
}

// What is read must reach 4.5 to 1 against what it is read on, and what is
// looked at 3 to 1 (WCAG 2.2 AA), on light screens and on dark ones.
func TestColoursContrastInBothThemes(t *testing.T) {
	pages := newPages(t)
	css := request(pages, http.MethodGet, styleSheet(t, pages)).Body.String()
	light, dark, found := strings.Cut(css, "@media (prefers-color-scheme: dark)")
	if !found {
		t.Fatal("there is no dark theme")
	}
	for name, sheet := range map[string]string{"light": light, "dark": dark} {
		colors := map[string]float64{}
		for _, m := range regexp.MustCompile(`--([a-z0-9-]+): (#[0-9a-f]{3,6});`).FindAllStringSubmatch(sheet, -1) {
			if _, later := colors[m[1]]; !later {
				colors[m[1]] = luminance(t, m[2])
			}
		}
		read := "ink/sea soft/sea blue/sea red/sea good/sea warn/sea ink/sail soft/sail blue/sail red/sail good/sail warn/sail " +
			"blue-ink/blue ink/wash red/red-wash"
		for pair := range strings.FieldsSeq(read) {
			if got := contrast(t, colors, pair); got < 4.5 {
				t.Errorf("%s: the contrast of %s is %.2f", name, pair, got)
			}
		}
		for i := range 8 {
			pair := fmt.Sprintf("c%d/sea", i)
			if got := contrast(t, colors, pair); got < 3 {
				t.Errorf("%s: the contrast of %s is %.2f", name, pair, got)
			}
		}
	}
}

// contrast returns the contrast of a pair of colours, "ink/sea", from 1 to 21.
func contrast(t *testing.T, colors map[string]float64, pair string) float64 {
	t.Helper()
	text, ground, _ := strings.Cut(pair, "/")
	a, known := colors[text]
	b, knownToo := colors[ground]
	if !known || !knownToo {
		t.Fatalf("%s is not defined", pair)
	}
	return (max(a, b) + .05) / (min(a, b) + .05)
}

// luminance is the relative luminance of #rgb or #rrggbb, as WCAG defines it.
func luminance(t *testing.T, color string) float64 {
	t.Helper()
	digits := color[1:]
	if len(digits) == 3 {
		digits = strings.Repeat(digits[:1], 2) + strings.Repeat(digits[1:2], 2) + strings.Repeat(digits[2:], 2)
	}
	n, err := strconv.ParseUint(digits, 16, 32)
	if err != nil {
		t.Fatalf("colour %s: %v", color, err)
	}
	linear := func(channel uint64) float64 {
		c := float64(channel&0xff) / 255
		if c <= .04045 {
			return c / 12.92
		}
		return math.Pow((c+.055)/1.055, 2.4)
	}
	return .2126*linear(n>>16) + .7152*linear(n>>8) + .0722*linear(n)
}
