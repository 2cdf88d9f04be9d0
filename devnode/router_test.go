package devnode

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// serve answers one request without a transport.
func (c *client) serve(method, path string, header http.Header, body io.Reader) *http.Response {
	c.t.Helper()
	r := httptest.NewRequest(method, path, body)
	for name, values := range header {
		r.Header[name] = values
	}
	recorder := httptest.NewRecorder()
	c.node.ServeHTTP(recorder, r)
	return recorder.Result()
}

func TestRouting(t *testing.T) {
	c := start(t, Options{})
	for _, test := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/health", 200, ""},
		{"GET", "/health/", 200, ""},
		{"GET", "/", 200, ""},
		{"POST", "/health", 405, "GET"},
		{"HEAD", "/health", 405, "GET"},
		{"GET", "/nope", 404, ""},
		{"GET", "/indexes/a/nope", 404, ""},
		{"PUT", "/indexes", 405, "GET, POST"},
		{"GET", "/tasks/cancel", 405, "POST"},
		{"GET", "/indexes/a/documents/fetch", 405, "POST"},
		{"PUT", "/indexes/a/documents/5", 405, "GET, DELETE"},
		{"POST", "/indexes/a/settings/typo-tolerance", 405, "GET, PATCH, DELETE"},
		{"GET", "/indexes/a/settings/nope", 404, ""},
		{"GET", "/indexes?limit=<5>", 400, ""},
	} {
		response := c.serve(test.method, test.path, nil, nil)
		if response.StatusCode != test.status || response.Header.Get("Allow") != test.allow {
			t.Errorf("%s %s: %d, allow %q", test.method, test.path, response.StatusCode, response.Header.Get("Allow"))
		}
		if body, _ := io.ReadAll(response.Body); test.status >= 400 && len(body) > 0 {
			t.Errorf("%s %s: body %s", test.method, test.path, body)
		}
	}
}

func TestPathSegmentsAreUnescaped(t *testing.T) {
	c := start(t, Options{})
	response := c.serve("GET", "/indexes/a%2Fb", nil, nil)
	body, _ := io.ReadAll(response.Body)
	if response.StatusCode != 400 || !strings.Contains(string(body), "`a/b` is not a valid index uid") {
		t.Errorf("%d %s", response.StatusCode, body)
	}
}

func TestBrowsersMayAsk(t *testing.T) {
	c := start(t, Options{MasterKey: "a master key"})
	preflight := c.serve("OPTIONS", "/indexes/a/search", http.Header{
		"Origin": {"http://x"}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"authorization"},
	}, nil)
	equal(t, "preflight", []any{
		preflight.StatusCode, preflight.Header.Get("Access-Control-Allow-Origin"), preflight.Header.Get("Access-Control-Allow-Headers"),
		preflight.Header.Get("Access-Control-Max-Age"),
	}, []any{200, "*", "authorization", "86400"})
	refused := c.serve("GET", "/indexes", http.Header{"Origin": {"http://x"}}, nil)
	equal(t, "refused", []any{refused.StatusCode, refused.Header.Get("Access-Control-Allow-Origin")}, []any{401, "*"})
}

func TestBodiesAreDecompressed(t *testing.T) {
	plain := []byte(`{"q":1}`)
	var out bytes.Buffer
	write := func(w io.WriteCloser) []byte {
		out.Reset()
		w.Write(plain)
		w.Close()
		return bytes.Clone(out.Bytes())
	}
	zw, err := zstd.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	bodies := map[string][]byte{
		"gzip":    write(gzip.NewWriter(&out)),
		"deflate": write(zlib.NewWriter(&out)),
		"br":      write(brotli.NewWriter(&out)),
		"zstd":    write(zw),
		"":        plain,
	}
	c := start(t, Options{})
	for encoding, body := range bodies {
		header := http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {encoding}}
		response := c.serve("POST", "/indexes/a/search", header, bytes.NewReader(body))
		answered, _ := io.ReadAll(response.Body)
		if !strings.Contains(string(answered), "invalid_search_q") {
			t.Errorf("%q: %s", encoding, answered)
		}
	}
	broken := c.serve("POST", "/indexes/a/search",
		http.Header{"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}}, bytes.NewReader(plain))
	equal(t, "broken", broken.StatusCode, 400)
}

func TestBodiesAreLimited(t *testing.T) {
	c := start(t, Options{PayloadLimitBytes: 1000})
	long := `{"uid":"` + strings.Repeat("x", 1000) + `"}`
	message := func(path string, chunked bool) any {
		t.Helper()
		r := httptest.NewRequest("POST", path, strings.NewReader(long))
		if chunked {
			r.ContentLength = -1
		}
		r.Header.Set("Content-Type", "application/json")
		recorder := httptest.NewRecorder()
		c.node.ServeHTTP(recorder, r)
		return []any{recorder.Code, recorder.Body.String()}
	}
	answer := func(text string) any {
		return []any{413, `{"message":"` + text + `","code":"payload_too_large","type":"invalid_request",` +
			`"link":"https://docs.meilisearch.com/errors#payload_too_large"}`}
	}
	equal(t, "JSON", message("/indexes", false), []any{500, `{"message":"JSON payload (1010 bytes) is larger than allowed ` +
		`(limit: 1000 bytes).","code":"internal","type":"internal","link":"https://docs.meilisearch.com/errors#internal"}`})
	equal(t, "JSON, chunked", message("/indexes", true), answer("JSON payload has exceeded limit (1000 bytes)."))
	equal(t, "documents", message("/indexes/a/documents", false),
		answer("The provided payload reached the size limit. The maximum accepted payload size is 1 KB."))
}

func TestReadableBytes(t *testing.T) {
	for n, want := range map[int64]string{
		100_000_000: "100 MB", 1000: "1 KB", 999: "999 B", 1024: "1 KiB", 100 << 20: "100 MiB", 1_500_000: "1.5 MB",
	} {
		if got := readableBytes(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
