package web

import (
	"net/http"
	"strings"
)

// MatchesETag reports whether one of the entity tags of the request's
// If-None-Match is etag, by weak comparison (RFC 9110, section 13.1.2).
func MatchesETag(r *http.Request, etag string) bool {
	for tag := range strings.SplitSeq(strings.Join(r.Header.Values("If-None-Match"), ","), ",") {
		tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
		if tag == etag || tag == "*" {
			return true
		}
	}
	return false
}
