package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed static
var staticFiles embed.FS

// asset is one static file, ready to be sent.
type asset struct {
	kind   string
	hash   string
	body   []byte
	zipped []byte // nil where compression does not pay
}

// assets are the static files by name ("popeye.css").
type assets map[string]*asset

// loadAssets reads, fingerprints and compresses every file below static.
func loadAssets() (assets, error) {
	entries, err := fs.ReadDir(staticFiles, "static")
	if err != nil {
		return nil, fmt.Errorf("list the static files: %w", err)
	}
	all := make(assets, len(entries))
	for _, e := range entries {
		body, err := fs.ReadFile(staticFiles, path.Join("static", e.Name()))
		if err != nil {
			return nil, fmt.Errorf("read static file: %w", err)
		}
		if all[e.Name()], err = newAsset(e.Name(), body); err != nil {
			return nil, fmt.Errorf("prepare static file %s: %w", e.Name(), err)
		}
	}
	return all, nil
}

func newAsset(name string, body []byte) (*asset, error) {
	sum := sha256.Sum256(body)
	a := &asset{kind: contentType(path.Ext(name)), hash: hex.EncodeToString(sum[:6]), body: body}
	if a.kind == "" {
		return nil, fmt.Errorf("no content type is known for it")
	}
	var zipped bytes.Buffer
	zip, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := zip.Write(body); err != nil {
		return nil, err
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	if zipped.Len() < len(body)*9/10 {
		a.zipped = zipped.Bytes()
	}
	return a, nil
}

// contentType is not left to the mime package, which reads the machine's files.
func contentType(ext string) string {
	switch ext {
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".png":
		return "image/png"
	default:
		return ""
	}
}

// url returns the address below prefix of the file with this name, which
// changes whenever the file does.
func (all assets) url(prefix, name string) (string, error) {
	a, ok := all[name]
	if !ok {
		return "", fmt.Errorf("no static file %q", name)
	}
	ext := path.Ext(name)
	return prefix + strings.TrimSuffix(name, ext) + "." + a.hash + ext, nil
}

// find splits "popeye.0123456789ab.css" into name and hash and looks it up.
func (all assets) find(file string) (a *asset, hash string) {
	ext := path.Ext(file)
	stem, hash, ok := strings.Cut(strings.TrimSuffix(file, ext), ".")
	if !ok {
		return nil, ""
	}
	return all[stem+ext], hash
}

// Assets returns the handler of the static files at
// {prefix}{name}.{hash}.{ext}. A known hash may be kept for ever. A known name
// with another hash, as another release's page asks for during a rollout, gets
// the file as it is here, not to be kept: any replica can serve any page's
// files. All else is 404.
func (p *Pages) Assets(prefix string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "This address takes GET, HEAD.", http.StatusMethodNotAllowed)
			return
		}
		a, hash := p.assets.find(strings.TrimPrefix(r.URL.Path, prefix))
		if a == nil {
			http.Error(w, "There is no such file.", http.StatusNotFound)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		if hash == a.hash {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		}
		a.serve(w, r)
	})
}

func (a *asset) serve(w http.ResponseWriter, r *http.Request) {
	h, body, tag := w.Header(), a.body, `"`+a.hash+`"`
	if a.zipped != nil {
		h.Set("Vary", "Accept-Encoding")
		if acceptsGzip(r.Header.Get("Accept-Encoding")) {
			body, tag = a.zipped, `"`+a.hash+`-gzip"`
			h.Set("Content-Encoding", "gzip")
		}
	}
	h.Set("ETag", tag)
	h.Set("X-Content-Type-Options", "nosniff")
	if MatchesETag(r, tag) {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", a.kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) //nolint:gosec // the file is ours; and a client that has gone needs none
	}
}

// acceptsGzip reports whether an Accept-Encoding header names gzip, or
// anything, and does not give it weight zero.
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		coding, weight, _ := strings.Cut(part, ";")
		if coding = strings.TrimSpace(coding); coding != "gzip" && coding != "*" {
			continue
		}
		q, weighted := strings.CutPrefix(strings.TrimSpace(weight), "q=")
		return !weighted || strings.Trim(q, "0.") != ""
	}
	return false
}
