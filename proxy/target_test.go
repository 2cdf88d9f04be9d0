package proxy

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// What a server of version 1.50 lets pass and what it does not.
func TestTargets(t *testing.T) {
	f := func(target string, want bool) {
		t.Helper()
		if got := targetAllowed(target); got != want {
			t.Errorf("%q: allowed %v, want %v", target, got, want)
		}
	}
	for _, b := range []byte{1, '\t', ' ', '<', '>', 0x7f, 0x80, 0xe9, 0xff} {
		f("/indexes/a"+string([]byte{b}), false)
		f("/indexes?a="+string([]byte{b}), false)
	}
	for _, text := range []string{"{", "}", "|", `\`, "^", "'", "[", "]", "%zz", "%3E", "!$&()*+,;=:@~"} {
		f("/indexes/a"+text, true)
		f("/indexes?a="+text, true)
	}
	f("/indexes/`", false)
	f("/indexes?a=`", true)
	f(`/indexes/"`, true)
	f(`/indexes?a="`, false)
	f("/health#>", true)
	f("", true)
}

func TestUnescapedTargetIsRefusedWithoutBody(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	request := httptest.NewRequest("GET", "/indexes/movies/documents", nil)
	request.RequestURI = "/indexes/movies/documents?filter=year>2000"
	request.URL.RawQuery = "filter=year>2000"
	request.Header.Set("Origin", "http://example.org")
	answer := httptest.NewRecorder()
	c.server.ServeHTTP(answer, request)
	if answer.Code != http.StatusBadRequest || answer.Body.Len() != 0 {
		t.Errorf("status %d, body %q", answer.Code, answer.Body)
	}
}
