package ui

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"miroir/testdata"
)

// fake stands in for the API behind the page: the cities, searched naively. Its hooks make the awkward moments.
type fake struct {
	*httptest.Server
	docs []map[string]any

	mu       sync.Mutex
	config   json.RawMessage
	before   func(r *http.Request, queries []query) *answer // nil, or an answer to give instead
	headers  map[string]string
	sessions int
	searches [][]query
}

type answer struct {
	status int
	body   string
}

type query struct {
	IndexUID string   `json:"indexUid"`
	Q        string   `json:"q"`
	Offset   int      `json:"offset"`
	Limit    int      `json:"limit"`
	Facets   []string `json:"facets"`
	Filter   []any    `json:"filter"`
	Sort     []string `json:"sort"`
	Pre      string   `json:"highlightPreTag"`
	Post     string   `json:"highlightPostTag"`
}

func newFake(t testing.TB) *fake {
	data, _ := testdata.Find("cities")
	in, err := data.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	f := &fake{config: data.Page}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		var doc map[string]any
		if err := json.Unmarshal(lines.Bytes(), &doc); err != nil {
			t.Fatal(err)
		}
		f.docs = append(f.docs, doc)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /ui/", Handler())
	mux.HandleFunc("GET /ui/search/{index}/config.json", f.serveConfig)
	mux.HandleFunc("GET /_miroir/ui/search/{index}/session", f.serveSession)
	mux.HandleFunc("POST /multi-search", f.serveSearch)
	f.Server = httptest.NewServer(mux)
	t.Cleanup(f.Server.Close)
	return f
}

// set changes the fake under its lock.
func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// queries returns the first query of every multi-search so far.
func (f *fake) queries() []query {
	f.mu.Lock()
	defer f.mu.Unlock()
	var first []query
	for _, q := range f.searches {
		first = append(first, q[0])
	}
	return first
}

func (f *fake) serveConfig(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("index") != "cities" {
		reply(w, 404, `{"message":"Index not found.","code":"index_not_found","type":"invalid_request","link":""}`)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	reply(w, 200, string(f.config))
}

func (f *fake) serveSession(w http.ResponseWriter, r *http.Request) {
	f.set(func() { f.sessions++ })
	expires := time.Now().Add(15 * time.Minute).UTC().Format(time.RFC3339)
	reply(w, 200, fmt.Sprintf(`{"token":"t0ken","expires_at":%q,"index":"cities","rate_limit":"60/minute"}`, expires))
}

func (f *fake) serveSearch(w http.ResponseWriter, r *http.Request) {
	var body struct{ Queries []query }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.Header.Get("Authorization") != "Bearer t0ken" {
		reply(w, 403, `{"message":"The provided API key is invalid.","code":"invalid_api_key","type":"auth","link":""}`)
		return
	}
	f.mu.Lock()
	f.searches = append(f.searches, body.Queries)
	before, headers := f.before, f.headers
	f.mu.Unlock()
	if before != nil {
		if a := before(r, body.Queries); a != nil {
			w.Header().Set("Retry-After", "0")
			reply(w, a.status, a.body)
			return
		}
	}
	for name, value := range headers {
		w.Header().Set(name, value)
	}
	results := []any{}
	for _, q := range body.Queries {
		results = append(results, f.search(q))
	}
	out, _ := json.Marshal(map[string]any{"results": results})
	reply(w, 200, string(out))
}

func reply(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write([]byte(body))
}

func (f *fake) search(q query) map[string]any {
	words := strings.Fields(strings.ToLower(q.Q))
	var found []map[string]any
	for _, doc := range f.docs {
		text := strings.ToLower(fmt.Sprint(doc["name"], " ", doc["other_names"], " ", doc["description"]))
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) }) && passes(doc, q.Filter) {
			found = append(found, doc)
		}
	}
	if len(q.Sort) > 0 {
		field, order, _ := strings.Cut(q.Sort[0], ":")
		slices.SortStableFunc(found, func(a, b map[string]any) int {
			c := cmp.Or(cmp.Compare(number(a[field]), number(b[field])), cmp.Compare(fmt.Sprint(a[field]), fmt.Sprint(b[field])))
			if order == "desc" {
				return -c
			}
			return c
		})
	}
	distribution, stats := facetsOf(found, q.Facets)
	hits := []any{}
	for _, doc := range found[min(q.Offset, len(found)):min(q.Offset+q.Limit, len(found))] {
		hits = append(hits, formatted(doc, words, q))
	}
	return map[string]any{"hits": hits, "estimatedTotalHits": len(found), "processingTimeMs": 2, "facetDistribution": distribution, "facetStats": stats}
}

func number(v any) float64 { n, _ := v.(float64); return n }

var expression = regexp.MustCompile(`^"(\w+)" (?:(=|>=|<=) "?([^"]*)"?|(-?[\d.]+) TO (-?[\d.]+))$`)

// passes evaluates what the page sends: an array whose members are an expression or an array of alternatives.
func passes(doc map[string]any, filter []any) bool {
	for _, part := range filter {
		any1, ok := part.([]any)
		if !ok {
			any1 = []any{part}
		}
		if !slices.ContainsFunc(any1, func(e any) bool { return holds(doc, e.(string)) }) {
			return false
		}
	}
	return true
}

func holds(doc map[string]any, text string) bool {
	m := expression.FindStringSubmatch(text)
	if m == nil {
		return false
	}
	value := doc[m[1]]
	bound, _ := strconv.ParseFloat(m[3], 64)
	switch {
	case m[2] == ">=":
		return number(value) >= bound
	case m[2] == "<=":
		return number(value) <= bound
	case m[2] == "=":
		return slices.Contains(values(value), m[3])
	}
	low, _ := strconv.ParseFloat(m[4], 64)
	high, _ := strconv.ParseFloat(m[5], 64)
	return number(value) >= low && number(value) <= high
}

func values(v any) []string {
	switch v := v.(type) {
	case []any:
		var all []string
		for _, one := range v {
			all = append(all, fmt.Sprint(one))
		}
		return all
	case float64:
		return []string{strconv.FormatFloat(v, 'f', -1, 64)}
	case nil:
		return nil
	}
	return []string{fmt.Sprint(v)}
}

func facetsOf(found []map[string]any, facets []string) (map[string]map[string]int, map[string]any) {
	if slices.Contains(facets, "*") {
		facets = []string{"continent", "country", "kind", "languages", "population", "elevation", "_geo"}
	}
	distribution, stats := map[string]map[string]int{}, map[string]any{}
	for _, facet := range facets {
		counts := map[string]int{}
		low, high, numeric := 0.0, 0.0, false
		for _, doc := range found {
			for _, v := range values(doc[facet]) {
				counts[v]++
			}
			if n, ok := doc[facet].(float64); ok {
				if !numeric {
					low, high, numeric = n, n, true
				}
				low, high = min(low, n), max(high, n)
			}
		}
		distribution[facet] = counts
		if numeric {
			stats[facet] = map[string]float64{"min": low, "max": high}
		}
	}
	return distribution, stats
}

// formatted adds _formatted with the words marked in every string.
func formatted(doc map[string]any, words []string, q query) map[string]any {
	out, marked := map[string]any{}, map[string]any{}
	var mark func(v any) any
	mark = func(v any) any {
		switch v := v.(type) {
		case string:
			for _, w := range words {
				v = regexp.MustCompile(`(?i)`+regexp.QuoteMeta(w)).ReplaceAllString(v, q.Pre+"$0"+q.Post)
			}
			return v
		case []any:
			all := make([]any, len(v))
			for i := range v {
				all[i] = mark(v[i])
			}
			return all
		}
		return v
	}
	for name, value := range doc {
		out[name], marked[name] = value, mark(value)
	}
	out["_formatted"] = marked
	return out
}
