package proxy

import (
	"encoding/json"
	"strings"
	"testing"

	"miroir/fsm"
	"miroir/meili"
)

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
