package proxy

import (
	"net/http"
	"testing"
)

// TestReadsLikeOneServer replays recorded conversations over several layouts and compares the reads. With embedded nodes
// the reference is what one embedded node answers.
func TestReadsLikeOneServer(t *testing.T) {
	layouts := map[string]layout{
		"one node":             {groups: 1, nodes: 1, copies: 1, shards: 8},
		"whole on three nodes": {groups: 1, nodes: 3, copies: 1, shards: 8, whole: true},
		"three nodes":          {groups: 1, nodes: 3, copies: 1, shards: 8},
		"three nodes, RF 2":    {groups: 1, nodes: 3, copies: 2, shards: 8},
		"two groups":           {groups: 2, nodes: 2, copies: 1, shards: 8},
	}
	nodes := map[string]func(*testing.T, int) (http.RoundTripper, []string){"embedded": embeddedNodes, "real": realNodes}
	for kind, start := range nodes {
		for name, l := range layouts {
			for _, recording := range []string{"search-packages.json.gz", "api-search.json", "api-vectors.json"} {
				t.Run(kind+"/"+name+"/"+recording, func(t *testing.T) {
					rt, addresses := start(t, l.groups*l.nodes)
					differing, total := replayReads(t, recording, newReadCluster(t, rt, addresses, l))
					for _, line := range differing {
						t.Log(line)
					}
					t.Logf("%d of %d reads agree", total-len(differing), total)
				})
			}
		}
	}
}
