package proxy

import (
	"net/http"
	"os"
	"testing"
)

// testLayouts are ways for documents to lie on nodes.
var testLayouts = map[string]layout{
	"one node":             {groups: 1, nodes: 1, copies: 1, shards: 8},
	"whole on three nodes": {groups: 1, nodes: 3, copies: 1, shards: 8, whole: true},
	"three nodes":          {groups: 1, nodes: 3, copies: 1, shards: 8},
	"three nodes, RF 2":    {groups: 1, nodes: 3, copies: 2, shards: 8},
	"two groups":           {groups: 2, nodes: 2, copies: 1, shards: 8},
}

// TestReadsLikeOneServer replays recorded searches of one server over several layouts. An index that is not cut up must
// answer every one alike; a spread one may differ where ties, estimates or facets cut by count are concerned, and its
// number of equal answers may only rise. MIROIR_READ_CONFORMANCE=all adds the long recordings and real servers.
func TestReadsLikeOneServer(t *testing.T) {
	nodes := map[string]func(*testing.T, int) (http.RoundTripper, []string){"embedded": embeddedNodes}
	recordings := map[string]int{"api-search.json": 162} // least number of equal answers of a spread index
	if os.Getenv("MIROIR_READ_CONFORMANCE") == "all" {
		nodes["real"] = realNodes
		recordings["search-packages.json.gz"] = 343
	}
	for kind, start := range nodes {
		for name, l := range testLayouts {
			for recording, floor := range recordings {
				t.Run(kind+"/"+name+"/"+recording, func(t *testing.T) {
					rt, addresses := start(t, l.groups*l.nodes)
					differing, total := replayReads(t, recording, newReadCluster(t, rt, addresses, l))
					if l.whole || l.nodes == 1 {
						floor = total
					}
					for _, line := range differing {
						t.Log(line)
					}
					t.Logf("%d of %d reads agree", total-len(differing), total)
					if total-len(differing) < floor {
						t.Errorf("%d of %d reads agree, expected at least %d", total-len(differing), total, floor)
					}
				})
			}
		}
	}
}
