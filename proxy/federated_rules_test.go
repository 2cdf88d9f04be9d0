package proxy

import (
	"encoding/json"
	"strings"
	"testing"

	"miroir/fsm"
	"miroir/meili"
)

// The texts are those of one server, over the same indexes.
func TestMessagesOfRulesThatDoNotCompare(t *testing.T) {
	for _, test := range []struct{ name, body, rules, want string }{
		{"sorts", `{"federation":{},"queries":[{"indexUid":"a","sort":["p:asc"]},{"indexUid":"b","q":"x","sort":["p:desc"]}]}`, `["sort","typo","words","p:asc"]`, "Inside `.queries[1]`: " +
			"The results of queries #0 and #1 are incompatible: \n" +
			"  1. `queries[0].sort[0]`, `a.rankingRules[0]`: ascending sort rule(s) on field `p`\n" +
			"  2. `queries[1].sort[0]`, `b.rankingRules[0]`: descending sort rule(s) on field `p`\n" +
			"  - cannot compare two sort rules in opposite directions\n" +
			"  - note: The ranking rules of query #0 were modified during canonicalization:\n" +
			"    1. Removed relevancy rule `typo` at position #1 in ranking rules because the query is a placeholder search (`q`: \"\")\n" +
			"    2. Removed relevancy rule `words` at position #2 in ranking rules because the query is a placeholder search (`q`: \"\")\n" +
			"    3. Removed duplicate rule `p:asc` at position #3 in ranking rules as it already appears at position #0 in `query.sort` (as `sort` is #0 in ranking rules)\n" +
			"  - note: The ranking rules of query #1 were modified during canonicalization:\n" +
			"    1. Prepended rule `words` before first relevancy rule `typo` at position #1 in ranking rules\n" +
			"    2. Removed rule `words` at position #2 in ranking rules because it was previously prepended\n" +
			"    3. Removed duplicate rule `p:desc` at position #3 in ranking rules as it already appears at position #0 in `query.sort` (as `sort` is #0 in ranking rules)\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			multi, refused := meili.DecodeMultiSearch([]byte(test.body))
			if refused != nil {
				t.Fatal(refused)
			}
			f := &federated{multi: multi, indexes: map[string]*fsm.Index{}}
			for i, uid := range []string{"a", "b"} {
				f.indexes[uid] = &fsm.Index{ID: fsm.IndexID(2000 + i), UID: uid, NodeUID: uid, Settings: json.RawMessage(`{"rankingRules":` + test.rules + `}`)}
			}
			got := f.checkBetween()
			if got == nil || got.Message != test.want {
				t.Errorf("%v\nwant %s", got, test.want)
			}
		})
	}
}

func TestQueriesOfDifferentNodesMustCompare(t *testing.T) {
	check := func(body string, settings map[string]string) *meili.Error {
		t.Helper()
		multi, refused := meili.DecodeMultiSearch([]byte(body))
		if refused != nil {
			t.Fatal(refused)
		}
		f := &federated{multi: multi, indexes: map[string]*fsm.Index{}}
		for i, uid := range []string{"a", "b"} {
			f.indexes[uid] = &fsm.Index{ID: fsm.IndexID(1000 + i), UID: uid, NodeUID: uid, Settings: json.RawMessage(settings[uid])}
		}
		return f.checkBetween()
	}
	for _, test := range []struct {
		name, body, wantCode, wantText string
		settings                       map[string]string
	}{
		{"same rules", `{"federation":{},"queries":[{"indexUid":"a","q":"x"},{"indexUid":"b","q":"y"}]}`, "", "", nil},
		{"a placeholder has no relevancy", `{"federation":{},"queries":[{"indexUid":"a"},{"indexUid":"b","q":"y"}]}`, "", "", nil},
		{"opposite directions", `{"federation":{},"queries":[{"indexUid":"a","sort":["p:asc"]},{"indexUid":"b","sort":["p:desc"]}]}`,
			"invalid_multi_search_query_ranking_rules", "two sort rules in opposite directions", nil},
		{"relevancy against a custom rule", `{"federation":{},"queries":[{"indexUid":"a","q":"x"},{"indexUid":"b","q":"x"}]}`,
			"invalid_multi_search_query_ranking_rules", "relevancy rule with a sort rule", map[string]string{"b": `{"rankingRules":["price:asc","words"]}`}},
		{"facets in different orders", `{"federation":{"mergeFacets":{},"facetsByIndex":{"a":["c"],"b":["c"]}},"queries":[{"indexUid":"a"},{"indexUid":"b"}]}`,
			"invalid_multi_search_facet_order", "orders alphabetically, but index `b` orders by count", map[string]string{"b": `{"faceting":{"sortFacetValuesBy":{"c":"count"}}}`}},
	} {
		refused := check(test.body, test.settings)
		switch {
		case refused == nil && test.wantCode != "", refused != nil && string(refused.Code) != test.wantCode:
			t.Errorf("%s: %v, want %q", test.name, refused, test.wantCode)
		case refused != nil && !strings.Contains(refused.Message, test.wantText):
			t.Errorf("%s: %s", test.name, refused.Message)
		}
	}
}
