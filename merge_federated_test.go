package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"miroir/fsm"
)

// Hits that another index's make duplicates are no hits, and are taken out of totals and facets as one server does it: twice
// where a hit shows a field inside of another one and tells it apart, never where a number is written otherwise than it is
// listed. It does not matter whether hits show what they are distinct by, nor how the indexes lie on nodes.
func TestFederatedDuplicatesOfAnotherIndex(t *testing.T) {
	documents := func(first int) json.RawMessage {
		list := make([]string, 12)
		for i := range list {
			list[i] = fmt.Sprintf(`{"id":%d,"group":%d,"at":{"level":%d},"size":%d.0,"n":%d}`, first+i, i%6, i%2, i%3, i%4)
		}
		return json.RawMessage("[" + strings.Join(list, ",") + "]")
	}
	fill := func(s testServer) {
		for i, uid := range []string{"one", "two"} {
			s.enqueue(t, "PATCH", "/indexes/"+uid+"/settings", object{"filterableAttributes": []string{"group", "at.level", "size", "n"}})
			s.finish(t, s.enqueue(t, "POST", "/indexes/"+uid+"/documents?primaryKey=id", documents(100*i)))
		}
	}
	search := json.RawMessage(`{"federation":{"distinct":"group","limit":4,"facetsByIndex":{"one":["*"],"two":["*"]}},
		"queries":[{"indexUid":"one","attributesToRetrieve":["id","at"]},{"indexUid":"two","attributesToRetrieve":["id"]}]}`)
	for _, spread := range []int{fsm.SpreadAuto, fsm.SpreadAll} {
		for _, numNodes := range []int{1, 3} {
			p := openPair(t, numNodes, 1, func(o *podOptions) { o.Cluster.Spread = spread })
			fill(p.alone)
			fill(p.miroir)
			wantStatus, want := p.alone.ask(t, "POST", "/multi-search", search)
			gotStatus, got := p.miroir.ask(t, "POST", "/multi-search", search)
			if wantStatus != gotStatus {
				t.Fatalf("%d %s, want %d %s", gotStatus, got, wantStatus, want)
			}
			compareRest(t, object{"spread": spread, "nodes": numNodes}, want, got, nil)
		}
	}
}
