package engine

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"miroir/meili"
)

const vectorSettings = `{"embedders": {"e": {"source": "userProvided", "dimensions": 2}}, "filterableAttributes": ["g"]}`

func vectorIndex(t *testing.T) *Index {
	t.Helper()
	return newIndex(t, vectorSettings,
		`{"id": 0, "t": "north", "_vectors": {"e": [0, 1]}}`, `{"id": 1, "t": "east", "_vectors": {"e": [1, 0]}}`,
		`{"id": 2, "t": "both", "_vectors": {"e": [[0, 1], [1, 0]], "other": [1]}}`, `{"id": 3, "t": "none", "_vectors": {"e": null}}`)
}

func TestVectorSearch(t *testing.T) {
	ix := vectorIndex(t)
	r := search(t, ix, `{"vector": [1, 0], "hybrid": {"embedder": "e"}, "showRankingScoreDetails": true, "retrieveVectors": true}`)
	expect(t, "similarity", ranked(t, r, "vectorSort", "similarity"), "1=1 2=1 0=0.5 3=<nil>")
	expect(t, "vector", string(r.QueryVector), "[1.0,0.0]")
	if *r.SemanticHitCount != 4 {
		t.Errorf("%d semantic hits", *r.SemanticHitCount)
	}
	if !strings.Contains(string(r.Hits[1].Document), `"other":[1],"e":{"embeddings":[[0.0,1.0],[1.0,0.0]],"regenerate":false}`) {
		t.Errorf("vectors: %s", r.Hits[1].Document)
	}
	expect(t, "hybrid", ids(search(t, ix, `{"q": "none", "vector": [0, 1], "hybrid": {"embedder": "e"}}`)), "0 2 3 1")
	expect(t, "keywords suffice", ids(search(t, ix, `{"q": "none", "vector": [0, 1], "limit": 1, "hybrid": {"embedder": "e"}}`)), "3")
}

func TestVectorStoresHaveLimits(t *testing.T) {
	ix := newIndex(t, vectorSettings, `{"id": 0, "_vectors": {"e": [[1, 0], [-1, 0]]}}`, `{"id": 1, "_vectors": {"e": [2, 1]}}`,
		`{"id": 2, "_vectors": {"e": [[0, -1], [-2, -1]]}}`)
	total := func(hitsPerPage int) string {
		body := `{"vector": [1, 0], "hybrid": {"embedder": "e"}, "page": 1, "hitsPerPage": %d, "rankingScoreThreshold": 0.4}`
		return strconv.Itoa(search(t, ix, fmt.Sprintf(body, hitsPerPage)).TotalHits)
	}
	expect(t, "each document by its nearest vector", total(3), "3")
	expect(t, "a far second vector hides a nearer first one", total(1), "2")
	r, err := ix.Similar(SearchContext{}, &meili.Similar{ID: []byte("1"), Embedder: "e", Limit: new(1)})
	if err != nil {
		t.Fatal(err.Message)
	}
	expect(t, "similar", ids(r), "0")
}

func TestVectorErrors(t *testing.T) {
	ix := vectorIndex(t)
	f := func(body, want string) {
		t.Helper()
		expect(t, body, refusal(t, ix, body), want)
	}
	f(`{"vector": [1], "hybrid": {"embedder": "e"}}`, "invalid_vector_dimensions: Invalid vector dimensions: expected: `2`, found: `1`.")
	f(`{"vector": [1], "hybrid": {"embedder": "x"}}`, "invalid_search_embedder: Cannot find embedder with name `x`.")
	store := func(document string) string {
		_, err := ix.PutDocuments([]Document{{"9", []byte(document)}}, false)
		if err == nil {
			return ""
		}
		return string(err.Code)
	}
	expect(t, "no vectors", store(`{"id": 9}`), "vector_embedding_error")
	expect(t, "wrong size", store(`{"id": 9, "_vectors": {"e": [1, 2, 3]}}`), "invalid_vector_dimensions")
	expect(t, "no array", store(`{"id": 9, "_vectors": {"e": "x"}}`), "invalid_vectors_type")
	expect(t, "opted out", store(`{"id": 9, "_vectors": {"e": null}}`), "")
}

func TestVectorsAreKept(t *testing.T) {
	ix := vectorIndex(t)
	show := func() string {
		doc, _ := ix.Document("0", &meili.DocumentQuery{RetrieveVectors: true})
		return string(doc)
	}
	put(t, ix, `{"id": 0, "t": "replaced"}`)
	expect(t, "a replaced document keeps them", show(), `{"id":0,"t":"replaced","_vectors":{"e":{"embeddings":[[0.0,1.0]],"regenerate":false}}}`)
	applySettings(t, ix, `{"embedders": {"e": null}}`)
	expect(t, "without the embedder they are part of the document", show(), `{"id":0,"t":"replaced","_vectors":{"e":{"embeddings":[[0.0,1.0]],"regenerate":false}}}`)
	if n, docs := ix.Embeddings(); n != 0 || docs != 0 {
		t.Errorf("%d embeddings of %d documents", n, docs)
	}
}

func TestSimilar(t *testing.T) {
	ix := vectorIndex(t)
	r, err := ix.Similar(SearchContext{}, &meili.Similar{ID: []byte("0"), Embedder: "e"})
	if err != nil {
		t.Fatal(err.Message)
	}
	expect(t, "nearest first", fmt.Sprintf("%s of %d", ids(r), r.TotalHits), "2 1 of 3")
	if _, err := ix.Similar(SearchContext{}, &meili.Similar{ID: []byte("77"), Embedder: "e"}); err == nil || err.Code != meili.CodeNotFoundSimilarID {
		t.Error(err)
	}
}

func TestCompareWeighted(t *testing.T) {
	score := func(f float64) WeightedValue { return WeightedValue{Kind: WeightedScore, Score: f} }
	sorted := func(v string) WeightedValue { return WeightedValue{Kind: SortValue, Asc: true, Value: []byte(v)} }
	for _, c := range []struct {
		name string
		a, b []WeightedValue
		want int
	}{
		{"better score", []WeightedValue{score(0.9)}, []WeightedValue{score(0.8)}, 1},
		{"smaller first", []WeightedValue{sorted("1.0")}, []WeightedValue{sorted("2.0")}, 1},
		{"numbers before strings", []WeightedValue{sorted(`"a"`)}, []WeightedValue{sorted("2.0")}, -1},
		{"null last", []WeightedValue{sorted("null")}, []WeightedValue{sorted(`"z"`)}, -1},
		{"more entries", []WeightedValue{score(1), score(1)}, []WeightedValue{score(1)}, 1},
		{"kinds that do not compare", []WeightedValue{score(1)}, []WeightedValue{sorted("1.0")}, 0},
	} {
		got := CompareWeighted(c.a, 0.5, c.b, 0.5)
		if got > 0 != (c.want > 0) || got < 0 != (c.want < 0) {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
