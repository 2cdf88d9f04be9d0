package engine

import (
	"fmt"
	"testing"

	"miroir/meili"
)

func TestFilters(t *testing.T) {
	ix := newIndex(t, `{"filterableAttributes": ["n", "s", "o", "_geo"], "sortableAttributes": ["_geo"]}`,
		`{"id": 0, "n": 1, "s": "Élan", "o": {"k": "v", "list": [{"x": 1}, {"x": "two"}]}, "_geo": {"lat": 48.8, "lng": 2.3}}`,
		`{"id": 1, "n": 2.5, "s": "", "o": {}, "_geo": {"lat": 10, "lng": 179.9}}`,
		`{"id": 2, "n": null, "s": ["b", "C"], "o": null}`,
		`{"id": 3, "n": [], "s": true}`,
		`{"id": 4, "n": "10", "s": "élan vital"}`)
	f := func(filter, want string) {
		t.Helper()
		expect(t, filter, ids(search(t, ix, fmt.Sprintf(`{"filter": %q}`, filter))), want)
	}
	f(`n = 1`, "0")
	f(`n != 1`, "1 2 3 4")
	f(`n = 10`, "4")
	f(`n > 1`, "1 4") // strings compare as texts
	f(`n 1 TO 3`, "0 1 4")
	f(`n <= 1`, "0")
	f(`n IN [1, "10", 7]`, "0 4")
	f(`n NOT IN [1]`, "1 2 3 4")
	f(`n EXISTS`, "0 1 2 3 4")
	f(`o NOT EXISTS`, "3 4")
	f(`n IS NULL`, "2")
	f(`n IS EMPTY`, "3")
	f(`s IS EMPTY`, "1")
	f(`s IS NOT EMPTY AND s EXISTS`, "0 2 3 4")
	f(`s = "ÉLAN"`, "0")
	f(`s = c OR s = true`, "2 3")
	f(`s STARTS WITH "él"`, "0 4")
	f(`s CONTAINS vit`, "4")
	f(`o.list.x = two`, "0")
	f(`NOT (n = 1 OR s = c)`, "1 3 4")
	f(`_geoRadius(48.8, 2.3, 1000)`, "0")
	f(`_geoBoundingBox([49, 3], [48, 2])`, "0")
	f(`_geoBoundingBox([11, -179], [9, 179])`, "1") // across the date line
}

func TestFilterRules(t *testing.T) {
	rule := `{"filterableAttributes": [{"attributePatterns": ["a*"], "features": {"facetSearch": false, "filter": {"equality": true, "comparison": false}}}]}`
	ix := newIndex(t, rule, `{"id": 0, "ab": 1}`)
	expect(t, "equality", ids(search(t, ix, `{"filter": "ab = 1"}`)), "0")
	if got := refusal(t, ix, `{"filter": "ab > 1"}`)[:21]; got != "invalid_search_filter" {
		t.Error(got)
	}
	expect(t, "a field no document has is not checked", ids(search(t, ix, `{"filter": "ax > 1"}`)), "")
	if got := refusal(t, ix, `{"filter": "b = 1"}`)[:21]; got != "invalid_search_filter" {
		t.Error(got)
	}
}

func TestDeleteByFilter(t *testing.T) {
	ix := newIndex(t, `{"filterableAttributes": ["n"]}`, `{"id": 0, "n": 1}`, `{"id": 1, "n": 2}`)
	if n, err := ix.DeleteByFilter(SearchContext{}, []byte(`"n > 1"`)); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	expect(t, "what is left", ids(search(t, ix, `{}`)), "0")
	expect(t, "reused number", fmt.Sprint(ix.FieldDistribution()), "map[id:1 n:1]")
}

func TestDocuments(t *testing.T) {
	ix := newIndex(t, `{"sortableAttributes": ["n"], "filterableAttributes": ["n"]}`, `{"id": 0, "n": 2, "o": {"a": 1, "b": 2}}`, `{"id": 1, "n": 1}`)
	page := func(q meili.DocumentsQuery) string {
		t.Helper()
		p, err := ix.Documents(SearchContext{}, &q)
		if err != nil {
			return err.Message
		}
		return fmt.Sprintf("%d %s", p.Total, p.Documents)
	}
	expect(t, "all", page(meili.DocumentsQuery{Limit: 1}), `2 [{"id":0,"n":2,"o":{"a":1,"b":2}}]`)
	expect(t, "fields", page(meili.DocumentsQuery{Limit: 9, Fields: &[]string{"o.a", "nope"}}), `2 [{"o":{"a":1}} {}]`)
	expect(t, "sorted", page(meili.DocumentsQuery{Limit: 9, Fields: &[]string{"id"}, Sort: &[]string{"n:asc"}}), `2 [{"id":1} {"id":0}]`)
	expect(t, "ids and filter", page(meili.DocumentsQuery{Limit: 9, Fields: &[]string{"id"}, IDs: &[]string{"1", "7"}, Filter: []byte(`"n = 1"`)}), `1 [{"id":1}]`)
	expect(t, "past the end", page(meili.DocumentsQuery{Limit: 9, Offset: 5}), `2 []`)
	if n, err := ix.UpdateDocuments([]Document{{"1", []byte(`{"id":1,"m":3}`)}, {"9", []byte(`{"id":9}`)}}, true); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	doc, _ := ix.Document("1", nil)
	expect(t, "merged", string(doc), `{"id":1,"n":1,"m":3}`)
	if _, ok := ix.Document("9", nil); ok {
		t.Error("skipCreation created a document")
	}
	if n := ix.Clear(); n != 2 || ix.NumDocuments() != 0 || ix.DocumentBytes() != 0 {
		t.Errorf("cleared %d, left %d", n, ix.NumDocuments())
	}
}
