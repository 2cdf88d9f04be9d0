package engine

import (
	"encoding/json"
	"fmt"
	"testing"

	"miroir/meili"
)

func TestFacetDistribution(t *testing.T) {
	documents := []string{
		`{"id": 0, "c": "Red", "n": 10}`, `{"id": 1, "c": "red", "n": 9}`, `{"id": 2, "c": ["blue", "Red"], "n": 9.5, "o": {"k": true}}`, `{"id": 3, "c": 7}`,
	}
	settings := `{"filterableAttributes": ["c", "n", "o", "unknown"], "faceting": {"maxValuesPerFacet": %d, "sortFacetValuesBy": {"*": "%s"}}}`
	f := func(limit int, order, body, wantCounts, wantStats string) {
		t.Helper()
		r := search(t, newIndex(t, fmt.Sprintf(settings, limit, order), documents...), body)
		expect(t, body, string(r.FacetDistribution), wantCounts)
		expect(t, body, string(r.FacetStats), wantStats)
	}
	f(100, "alpha", `{"facets": ["*"]}`, `{"c":{"7":1,"blue":1,"Red":3},"n":{"10":1,"9":1,"9.5":1},"o":{},"o.k":{"true":1}}`, `{"c":{"min":7.0,"max":7.0},"n":{"min":9.0,"max":10.0}}`)
	f(2, "alpha", `{"facets": ["c"]}`, `{"c":{"7":1,"blue":1}}`, `{"c":{"min":7.0,"max":7.0}}`)
	f(100, "count", `{"facets": ["c"]}`, `{"c":{"7":1,"Red":3,"blue":1}}`, `{"c":{"min":7.0,"max":7.0}}`)
	f(100, "alpha", `{"facets": ["o*"]}`, `{"o":{},"o.k":{"true":1}}`, `{}`)
}

func TestFacetsRefused(t *testing.T) {
	ix := newIndex(t, `{"filterableAttributes": ["c"]}`, `{"id": 0}`)
	expect(t, "unknown", refusal(t, ix, `{"facets": ["x"]}`),
		"invalid_search_facets: Invalid facet distribution: Pattern `x` is not filterable. Available filterable attributes patterns are: `c`.")
}

func facetHits(t *testing.T, ix *Index, body string) string {
	t.Helper()
	q, err := meili.DecodeFacetSearch([]byte(body))
	if err == nil {
		var hits *FacetHits
		if hits, err = ix.FacetSearch(SearchContext{}, q); err == nil {
			text, _ := json.Marshal(hits.Hits)
			return string(text)
		}
	}
	return string(err.Code)
}

func TestFacetSearch(t *testing.T) {
	ix := newIndex(t, `{"filterableAttributes": ["g"]}`,
		`{"id": 0, "g": ["Comédie", "Drama"], "t": "x"}`, `{"id": 1, "g": "comédie"}`, `{"id": 2, "g": "Documentary"}`)
	f := func(body, want string) {
		t.Helper()
		expect(t, body, facetHits(t, ix, body), want)
	}
	f(`{"facetName": "g"}`, `[{"value":"Comédie","count":2},{"value":"Documentary","count":1},{"value":"Drama","count":1}]`)
	f(`{"facetName": "g", "facetQuery": "d"}`, `[{"value":"Documentary","count":1},{"value":"Drama","count":1}]`)
	f(`{"facetName": "g", "facetQuery": "comedy"}`, `[{"value":"Comédie","count":2}]`)
	f(`{"facetName": "g", "facetQuery": "domcumen"}`, `[{"value":"Documentary","count":1}]`)
	f(`{"facetName": "g", "q": "x"}`, `[{"value":"Comédie","count":1},{"value":"Drama","count":1}]`)
	f(`{"facetName": "t"}`, `invalid_facet_search_facet_name`)
	applySettings(t, ix, `{"faceting": {"maxValuesPerFacet": 1, "sortFacetValuesBy": {"g": "count"}}}`)
	f(`{"facetName": "g"}`, `[{"value":"Comédie","count":2}]`)
	applySettings(t, ix, `{"facetSearch": false}`)
	f(`{"facetName": "g"}`, `facet_search_disabled`)
}
