package proxy

import (
	"strings"
	"testing"

	"miroir/fsm"
)

// One server meets errors in this order: filters that cannot be read, what else queries say, then index by index what the
// index refuses, and at the end facets of indexes that no query uses.
func TestErrorsOfFederatedSearchesComeInOrder(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 8, spread: fsm.SpreadAuto})
	for _, uid := range []string{"a", "b", "c"} {
		succeeded(t, c.do("POST", "/indexes/"+uid+"/documents", `[{"id":1}]`))
	}
	succeeded(t, c.do("PATCH", "/indexes/b/settings", `{"filterableAttributes":["genre"],"sortableAttributes":["n"]}`))
	f := func(body, code, message string) {
		t.Helper()
		answer := c.call("POST", "/multi-search", body)
		if got := string(memberOf(answer.Body.Bytes(), "message")); answer.Code < 400 || got != `"`+message+`"` || string(memberOf(answer.Body.Bytes(), "code")) != `"`+code+`"` {
			t.Errorf("%s: status %d: %s\nwant %s", body, answer.Code, answer.Body, message)
		}
	}
	const unsortable = ": Attribute `n` is not sortable. This index does not have configured sortable attributes."
	f(`{"federation":{},"queries":[{"indexUid":"a","limit":3},{"indexUid":"none","filter":"x ="}]}`, "invalid_search_filter",
		"Inside `.queries[1]`: Was expecting a value but instead got nothing.\\n4:4 x =")
	f(`{"federation":{},"queries":[{"indexUid":"none"},{"indexUid":"a","sort":["n:asc"]}]}`, "invalid_search_sort", "Inside `.queries[1]`: Index `a`"+unsortable)
	f(`{"federation":{},"queries":[{"indexUid":"none"},{"indexUid":"zzz"},{"indexUid":"b","sort":["n:asc"]}]}`, "index_not_found", "Inside `.queries[0]`: Index `none` not found.")
	f(`{"federation":{},"queries":[{"indexUid":"c","sort":["n:asc"]},{"indexUid":"a","sort":["n:asc"]}]}`, "invalid_search_sort", "Inside `.queries[1]`: Index `a`"+unsortable)
	f(`{"federation":{},"queries":[{"indexUid":"a","q":"x","sort":["n:asc"]},{"indexUid":"c","sort":["n:asc"]}]}`, "invalid_search_sort", "Inside `.queries[0]`: Index `a`"+unsortable)

	f(`{"federation":{},"queries":[{"indexUid":"b","sort":["n:asc"]},{"indexUid":"c","sort":["n:up"]},{"indexUid":"c","sort":["n:desc"]}]}`, "invalid_search_sort",
		"Inside `.queries[1]`: Invalid syntax for the sort parameter: expected expression ending by `:asc` or `:desc`, found `n:up`.")

	unused := func(index, what string) string {
		return "Inside `.federation.facetsByIndex." + index + "`: " + what + "\\n - Note: index `" + index + "` is not used in queries"
	}
	f(`{"federation":{"facetsByIndex":{"b":["genre","x"],"none":[]}},"queries":[{"indexUid":"a"}]}`, "invalid_search_facets",
		unused("b", "Invalid facet distribution: Pattern `x` is not filterable. Available filterable attributes patterns are: `genre`."))
	f(`{"federation":{"facetsByIndex":{"b":["genre"],"none":[]}},"queries":[{"indexUid":"a"}]}`, "index_not_found", unused("none", "Index `none` not found."))
	f(`{"federation":{"facetsByIndex":{"none":[]}},"queries":[{"indexUid":"a","sort":["n:asc"]}]}`, "invalid_search_sort", "Inside `.queries[0]`: Index `a`"+unsortable)

	// Nodes know swapped indexes by their old names.
	succeeded(t, c.do("POST", "/swap-indexes", `[{"indexes":["a","b"]}]`))
	f(`{"federation":{},"queries":[{"indexUid":"b","q":"x","sort":["n:asc"]},{"indexUid":"a","filter":"x EXISTS","sort":["n:asc"]}]}`, "invalid_search_filter",
		"Inside `.queries[1]`: Index `a`: Attribute `x` is not filterable. Available filterable attribute patterns are: `genre`.\\n2:3 \\\"x\\\" EXISTS")

	answer := c.call("POST", "/multi-search", `{"federation":{},"queries":[{"indexUid":"a","q":"x"},{"indexUid":"a","sort":["n:asc"]}]}`)
	if message := answer.Body.String(); !strings.Contains(message, "`a.rankingRules") || strings.Contains(message, "`b.rankingRules") {
		t.Errorf("ranking rules of the name that clients know: %s", message)
	}

	c.do("PATCH", "/experimental-features", `{"foreignKeys":true}`)
	f(`{"federation":{},"queries":[{"indexUid":"a","filter":"x ="},{"indexUid":"zzz"},{"indexUid":"none"}]}`, "index_not_found", "Index `zzz` not found.")
}
