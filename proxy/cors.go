package proxy

import (
	"net/http"
	"slices"
	"strings"
)

// corsMethods are the methods that pages of other origins may use: all that HTTP names.
var corsMethods = []string{"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "CONNECT", "PATCH", "TRACE"}

// answerCORS allows any origin, as Meilisearch does. It reports whether the request was a preflight and is answered.
func answerCORS(w http.ResponseWriter, r *http.Request) bool {
	header := w.Header()
	header.Add("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
	wanted := r.Header.Get("Access-Control-Request-Method")
	if r.Method != http.MethodOptions || !isToken(wanted) {
		if len(r.Header["Origin"]) > 0 {
			header.Set("Access-Control-Allow-Origin", "*")
		}
		return false
	}
	if !slices.Contains(corsMethods, wanted) {
		header["Content-Type"] = nil // none, rather than what it looks like
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte("Requested method is not allowed")) // the client has gone
		return true
	}
	header.Set("Access-Control-Allow-Origin", "*")
	header.Set("Access-Control-Allow-Methods", strings.Join(corsMethods, ", "))
	if names := r.Header.Get("Access-Control-Request-Headers"); names != "" {
		header.Set("Access-Control-Allow-Headers", names)
	}
	header.Set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusOK)
	return true
}

// isToken reports whether a text could be a method (RFC 9110, section 5.6.2).
func isToken(text string) bool {
	return text != "" && strings.IndexFunc(text, func(c rune) bool {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		return !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
	}) < 0
}

// exposeDegraded lets pages of other origins read that an answer lacks something. Other answers have Meilisearch's headers.
func exposeDegraded(header http.Header) {
	if header.Get("X-Miroir-Degraded") != "" {
		header.Set("Access-Control-Expose-Headers", "X-Miroir-Degraded")
	}
}
