package proxy

import (
	"net/http"
	"strings"
	"sync/atomic"
)

// Front is the handler of an open port. Before Serve it answers for a pod that has no state yet, because the cluster is
// still forming or the pod has not joined it: alive, not ready, and nobody is served. The zero value is ready for use.
type Front struct{ handler atomic.Pointer[http.Handler] }

// Serve lets h answer from now on.
func (f *Front) Serve(h http.Handler) { f.handler.Store(&h) }

func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if handler := f.handler.Load(); handler != nil {
		(*handler).ServeHTTP(w, r)
		return
	}
	switch r.URL.Path {
	case "/health":
		writeJSON(w, http.StatusOK, map[string]string{"status": "available"})
	case "/_miroir/ready":
		writeWaiting(w, []string{"state"})
	default:
		w.Header().Set("Retry-After", "1")
		writeError(w, miroirError(codeNoLeader, "This pod is starting and not part of a cluster with a leader yet. Retry in a moment; /_miroir/ready tells when it is."))
	}
}

// writeWaiting answers a readiness probe with what is still missing.
func writeWaiting(w http.ResponseWriter, missing []string) {
	w.Header().Set("Retry-After", "1")
	writeJSON(w, http.StatusServiceUnavailable, map[string]any{"status": "waiting", "waiting_for": missing})
}

// IsSearch reports whether a request by its method and target is a search of some kind: small, asked often, and answered at
// once.
func IsSearch(method, target string) bool {
	path, _, _ := strings.Cut(target, "?")
	return (method == http.MethodPost || method == http.MethodGet) && strings.HasSuffix(path, "search")
}
