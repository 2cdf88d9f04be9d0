package proxy

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"miroir/fsm"
)

// Values that only duplicates have are not found in an index with a distinct attribute, also where there are more values than are
// listed. Topology: three nodes, every shard once.
func TestFacetSearchesOfDistinctIndexesStopAtTheSameValue(t *testing.T) {
	one := newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 8, spread: fsm.SpreadAuto})
	spread := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 8, spread: fsm.SpreadAll})
	var documents []string
	for id := range 60 {
		first := "v"
		if id >= 13 { // which others have the group of
			first = "a"
		}
		documents = append(documents, fmt.Sprintf(`{"id":%d,"g":"g%d","v":["%s%02d","v%02d","v%02d"]}`, id, id%13, first, id, id*11%40, id*3%29))
	}
	for _, c := range []*writeCluster{one, spread} {
		succeeded(t, c.do("PATCH", "/indexes/docs/settings",
			`{"filterableAttributes":["g","v"],"distinctAttribute":"g","rankingRules":["words"],"faceting":{"maxValuesPerFacet":5},"pagination":{"maxTotalHits":8}}`))
		succeeded(t, c.do("POST", "/indexes/docs/documents", "["+strings.Join(documents, ",")+"]"))
	}
	for _, body := range []string{`{"facetName":"v"}`, `{"facetName":"v","facetQuery":"a"}`, `{"facetName":"v","filter":"g != g3"}`} {
		want, got := one.call("POST", "/indexes/docs/facet-search", body).Body.Bytes(), spread.call("POST", "/indexes/docs/facet-search", body).Body.Bytes()
		if w, g := memberOf(want, "facetHits"), memberOf(got, "facetHits"); !bytes.Equal(w, g) {
			t.Errorf("%s: %s, want %s", body, g, w)
		}
	}
}
