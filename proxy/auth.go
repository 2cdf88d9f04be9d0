package proxy

import (
	"crypto/subtle"
	"net"
	"net/http"
	"strings"

	"miroir/meili"
)

// authorize decides what the caller of a client route may do: a search-page token first, then everything
// Meilisearch knows (master key, API key, tenant token).
func (s *Server) authorize(r *request, action meili.Action) (*meili.Grant, error) {
	header, present := authorizationHeader(r.Request)
	if token, ok := strings.CutPrefix(header, "Bearer "); ok && isPageToken(token) {
		return s.authorizePage(r, token, action)
	}
	grant, err := meili.Authorize(s.opts.MasterKey, s.keysOf(r.View), header, present, action, r.uid(), s.opts.Now())
	if err != nil {
		return nil, err
	}
	return grant, nil
}

func authorizationHeader(r *http.Request) (string, bool) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return "", false
	}
	return values[0], true
}

// authorizeAdmin lets the operator in: by the admin key as bearer or X-Admin-Key, or, when no admin key is
// configured, from a loopback address.
func (s *Server) authorizeAdmin(r *http.Request) error {
	if s.opts.AdminKey == "" {
		if isLoopback(r.RemoteAddr) {
			return nil
		}
		return miroirError(codeInvalidAuth, "No admin key is configured, so /_miroir answers loopback addresses only. Set admin.api_key (--admin-api-key).")
	}
	given := r.Header.Get("X-Admin-Key")
	if given == "" {
		header, _ := authorizationHeader(r)
		given, _ = strings.CutPrefix(header, "Bearer ")
	}
	if !sameSecret(given, s.opts.AdminKey) {
		return miroirError(codeInvalidAuth, "The admin key is missing or wrong. Send it as `Authorization: Bearer <admin key>` or `X-Admin-Key`.")
	}
	return nil
}

func sameSecret(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func isLoopback(remoteAddr string) bool {
	host, _, err := net.SplitHostPort(remoteAddr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
