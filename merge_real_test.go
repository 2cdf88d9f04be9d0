package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"

	"miroir/scripts/cluster"
)

// seedsOfReal is how many seeds a normal run tries on real servers.
const seedsOfReal = 6

// TestRealServersMergeTheSame is TestAnySplitMergesTheSame with Meilisearch itself: one server alone, and a pod over three.
func TestRealServersMergeTheSame(t *testing.T) {
	p := openRealPair(t)
	first, seeds := seedsAsked(t, seedsOfReal)
	for seed := first; seed < first+seeds; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { p.trySeed(t, seed) })
	}
}

// openRealPair is a server alone, and a pod over three others. It skips the test where there is no program.
func openRealPair(t *testing.T) *pair {
	program, err := cluster.FindMeilisearch()
	if err != nil {
		t.Skip(err)
	}
	var urls []string
	for i := range 4 {
		node, err := cluster.StartNode(t.Context(), program, filepath.Join(t.TempDir(), fmt.Sprintf("node-%d", i)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := node.Stop(); err != nil {
				t.Error(err)
			}
		})
		urls = append(urls, node.URL)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	pod := openTestPod(t, 3, func(o *podOptions) {
		o.NodeTransport, o.Cluster.Shards = transport, 16
		for i := range o.Nodes {
			o.Nodes[i].Address = urls[i+1]
		}
	})
	return &pair{alone: testServer{transport, urls[0]}, miroir: testServer{transport, pod.ClientURL()}}
}
