package ui

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, path string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest("GET", path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, r)
	return w.Result()
}

// assetAddresses finds what the page links to, as absolute paths.
func assetAddresses(t *testing.T) []string {
	t.Helper()
	html, _ := io.ReadAll(get(t, "/ui/search/books").Body)
	var found []string
	for _, m := range regexp.MustCompile(`"\.\./(assets/[^"]+)"`).FindAllStringSubmatch(string(html), -1) {
		found = append(found, "/ui/"+m[1])
	}
	return found
}

func TestPageAndAssetsAreServed(t *testing.T) {
	page := get(t, "/ui/search/books")
	if page.StatusCode != 200 || page.Header.Get("Cache-Control") != revalidate || page.Header.Get("Content-Security-Policy") == "" {
		t.Fatalf("page: %d %v", page.StatusCode, page.Header)
	}
	assets := assetAddresses(t)
	if len(assets) < 4 {
		t.Fatalf("page links to %v", assets)
	}
	for _, address := range assets {
		got := get(t, address)
		if got.StatusCode != 200 || got.Header.Get("Cache-Control") != immutable || strings.HasPrefix(got.Header.Get("Content-Type"), "text/plain") {
			t.Errorf("%s: %d %v", address, got.StatusCode, got.Header)
		}
		again := get(t, address, "If-None-Match", got.Header.Get("ETag"))
		if again.StatusCode != http.StatusNotModified {
			t.Errorf("%s again: %d", address, again.StatusCode)
		}
	}
}

func TestUnknownPaths(t *testing.T) {
	for path, want := range map[string]int{
		"/ui/": 404, "/ui/search/": 404, "/ui/search/a/b": 404, "/ui/search/a/": 301, "/ui/assets/x/none.js": 404,
		"/ui/assets/x/search/index.html": 404, "/ui/assets/x/../embed.go": 404, "/ui/assets/old/search/main.js": 200,
	} {
		if got := get(t, path).StatusCode; got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	if cache := get(t, "/ui/assets/old/search/main.js").Header.Get("Cache-Control"); cache != revalidate {
		t.Errorf("an address of another version may be kept: %s", cache)
	}
}

// TestFirstLoadIsSmall holds everything a visitor loads, with all modules, under the budget.
func TestFirstLoadIsSmall(t *testing.T) {
	const budget = 60 << 10
	sum := 0
	for _, a := range mustLoad(files).assets {
		sum += len(a.packed)
	}
	t.Logf("%d bytes gzipped", sum)
	if sum > budget {
		t.Errorf("first load is %d bytes gzipped, budget %d", sum, budget)
	}
}

// TestPolicyForbidsInline keeps the page within its own policy.
func TestPolicyForbidsInline(t *testing.T) {
	for name, a := range mustLoad(files).assets {
		if !strings.HasSuffix(name, ".html") {
			continue
		}
		if bad := regexp.MustCompile(`<style|style=|<script>| on\w+=`).FindString(string(a.body)); bad != "" {
			t.Errorf("%s has %q", name, bad)
		}
	}
}
