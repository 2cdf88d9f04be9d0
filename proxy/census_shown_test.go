package proxy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"miroir/fsm"
)

func TestFiltersForHitsToBeShown(t *testing.T) {
	for name, test := range map[string]struct {
		asked valuesAsked
		taken []string
		want  string
	}{
		"nodes do not filter": {valuesAsked{any: true, single: []string{"a"}}, []string{"b"}, ``},
		"one value each":      {valuesAsked{single: []string{"a", "b"}}, nil, `("g" IN ["a", "b"])`},
		"several values":      {valuesAsked{single: []string{"a"}, several: [][]string{{"b", "c"}}}, nil, `("g" IN ["a"] OR ("g" IN ["b"] AND "g" IN ["c"]))`},
		"beside others":       {valuesAsked{several: [][]string{{"b", "c"}}}, []string{"d", "B"}, `(("g" IN ["b"] AND "g" IN ["c"])) AND NOT "g" IN ["d"]`},
		"no value":            {valuesAsked{none: true}, nil, ``},
		"no value, others":    {valuesAsked{none: true}, []string{"d"}, `NOT "g" IN ["d"]`},
		"no value and some":   {valuesAsked{none: true, single: []string{"a"}}, []string{"d"}, `("g" IN ["a"] OR NOT "g" IN ["a"]) AND NOT "g" IN ["d"]`},
	} {
		test.asked.field = "g"
		if got := test.asked.filter(true, test.taken); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
	asked := valuesAsked{field: "g", single: []string{"a"}, several: [][]string{{"b", "c"}}}
	if got := asked.filter(false, []string{"d"}); got != `"g" IN ["b", "c", "a"]` {
		t.Error(got)
	}
	if asked.none = true; asked.filter(false, nil) != "" {
		t.Error("hits without values")
	}
}

// Hits with several values of a distinct field are found and counted as on one server also where more documents share their values
// than can be listed. Topology: three nodes, every shard once.
func TestDistinctHitsBehindManyDuplicates(t *testing.T) {
	one := newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 8, spread: fsm.SpreadAuto})
	spread := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 30, spread: fsm.SpreadAll})
	var documents []string
	random := rand.New(rand.NewPCG(3, 1))
	for id := range 90 {
		values := []string{}
		for _, value := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
			if random.IntN(id/15+3) == 0 { // fewer and fewer
				values = append(values, `"`+value+`"`)
			}
		}
		documents = append(documents, fmt.Sprintf(`{"id":%d,"n":%d,"g":[%s]}`, id, id, strings.Join(values, ",")))
	}
	for _, c := range []*writeCluster{one, spread} {
		succeeded(t, c.do("PATCH", "/indexes/docs/settings", `{"filterableAttributes":["g"],"sortableAttributes":["n"],"pagination":{"maxTotalHits":8},"rankingRules":["n:asc"]}`))
		succeeded(t, c.do("POST", "/indexes/docs/documents", "["+strings.Join(documents, ",")+"]"))
	}
	for limit := 1; limit <= 8; limit++ {
		body := fmt.Sprintf(`{"distinct":"g","limit":%d,"attributesToRetrieve":["id"]}`, limit)
		want, got := one.call("POST", "/indexes/docs/search", body).Body.Bytes(), spread.call("POST", "/indexes/docs/search", body).Body.Bytes()
		for _, member := range []string{"hits", "estimatedTotalHits"} {
			if w, g := memberOf(want, member), memberOf(got, member); string(w) != string(g) {
				t.Errorf("limit %d: %s are %s, want %s", limit, member, g, w)
			}
		}
	}
}
