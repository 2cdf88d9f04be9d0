package proxy

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Headers as a server of version 1.50 sends them.
func TestPagesOfOtherOrigins(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	ask := func(method string, headers map[string]string) *http.Response {
		request := httptest.NewRequest(method, "/indexes", nil)
		for name, value := range headers {
			request.Header.Set(name, value)
		}
		answer := httptest.NewRecorder()
		c.server.ServeHTTP(answer, request)
		return answer.Result()
	}
	f := func(name string, answer *http.Response, status int, want map[string]string) {
		t.Helper()
		if answer.StatusCode != status {
			t.Errorf("%s: status %d, want %d", name, answer.StatusCode, status)
		}
		want["Vary"] = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
		for _, header := range []string{"Vary", "Access-Control-Allow-Origin", "Access-Control-Allow-Headers", "Access-Control-Max-Age", "Access-Control-Expose-Headers"} {
			if got := strings.Join(answer.Header[header], "; "); got != want[header] {
				t.Errorf("%s: %s %q, want %q", name, header, got, want[header])
			}
		}
	}
	const origin, method, names = "Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"
	f("no origin", ask("GET", nil), 401, map[string]string{})
	f("plain", ask("GET", map[string]string{origin: "http://x.y"}), 401, map[string]string{"Access-Control-Allow-Origin": "*"})
	f("preflight", ask("OPTIONS", map[string]string{origin: "http://x.y", method: "PATCH", names: "x-a, authorization"}), 200,
		map[string]string{"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "x-a, authorization", "Access-Control-Max-Age": "86400"})
	f("preflight of nobody", ask("OPTIONS", map[string]string{method: "GET"}), 200, map[string]string{"Access-Control-Allow-Origin": "*", "Access-Control-Max-Age": "86400"})
	f("unknown method", ask("OPTIONS", map[string]string{origin: "http://x.y", method: "BREW"}), 400, map[string]string{})
	f("no preflight", ask("OPTIONS", map[string]string{origin: "http://x.y", method: "no token"}), 405, map[string]string{"Access-Control-Allow-Origin": "*"})

	allowed := ask("OPTIONS", map[string]string{origin: "http://x.y", method: "GET"}).Header.Get("Access-Control-Allow-Methods")
	if got := len(strings.Split(allowed, ", ")); got != 9 {
		t.Errorf("%d methods are allowed: %s", got, allowed)
	}
	lacking := httptest.NewRecorder()
	lacking.Header().Set("X-Miroir-Degraded", "shards=3")
	(&statusWriter{ResponseWriter: lacking}).WriteHeader(200)
	if got := lacking.Header().Get("Access-Control-Expose-Headers"); got != "X-Miroir-Degraded" {
		t.Errorf("a degraded answer exposes %q", got)
	}
}
