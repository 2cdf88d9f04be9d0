package proxy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"miroir/fsm"
)

// newHangingCluster is a cluster of two nodes with 40 documents spread over both, of which one hangs, and how many documents the
// other one has.
func newHangingCluster(t *testing.T, limit string, timeout time.Duration) (*writeCluster, int) {
	t.Helper()
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 8, spread: fsm.SpreadAll})
	c.stop()
	c.options.RequestTimeout = timeout
	c.start()
	var documents strings.Builder
	for i := range 40 {
		fmt.Fprintf(&documents, "{\"id\":%d}\n", i)
	}
	succeeded(t, c.await(c.accepted(c.send("POST", "/indexes/a/documents", "application/x-ndjson", []byte(documents.String())))))
	if answer := c.manage("PATCH", "/_miroir/config", `{"scatter.node_timeout_ms":60000`+limit+"}"); answer.Code != http.StatusOK {
		t.Fatal(answer.Body)
	}
	c.nodes["n0-1"].Freeze()
	t.Cleanup(c.nodes["n0-1"].Thaw)
	return c, len(c.documentsOn("n0-0", "a"))
}

// TestReadsOutOfTime: what a hanging node was asked for is missing once the time is over, long before its own timeout, and
// nothing else; the node is not blamed for it.
func TestReadsOutOfTime(t *testing.T) {
	const quick = 100 * time.Millisecond
	for name, test := range map[string]struct {
		limit      string // of the configuration
		timeout    time.Duration
		path, body string
	}{
		"a search":              {``, quick, "/indexes/a/search", `{"limit":100}`},
		"a query":               {`,"multi_search.per_query_timeout_ms":100`, time.Minute, "/multi-search", `{"queries":[{"indexUid":"a","limit":100},{"indexUid":"a","q":"","limit":100}]}`},
		"a multi-search":        {`,"multi_search.total_timeout_ms":100`, time.Minute, "/multi-search", `{"queries":[{"indexUid":"a","limit":100}]}`},
		"a federated search":    {`,"multi_search.total_timeout_ms":100`, time.Minute, "/multi-search", `{"federation":{"limit":100},"queries":[{"indexUid":"a"}]}`},
		"a request of searches": {``, quick, "/multi-search", `{"federation":{"limit":100},"queries":[{"indexUid":"a"}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, held := newHangingCluster(t, test.limit, test.timeout)
				defer c.stop()
				began := time.Now()
				answer := c.call("POST", test.path, test.body)
				if took := time.Since(began); answer.Code != http.StatusOK || took > time.Second {
					t.Fatalf("status %d after %s: %s", answer.Code, took, answer.Body)
				}
				if shards := answer.Header().Get("X-Miroir-Degraded"); !strings.HasPrefix(shards, "shards=") {
					t.Errorf("not marked as degraded, but %q", shards)
				}
				type result struct{ Hits []json.RawMessage }
				var got struct {
					result
					Results []result
				}
				if err := json.Unmarshal(answer.Body.Bytes(), &got); err != nil {
					t.Fatal(err)
				}
				for _, r := range append(got.Results, got.result)[:max(1, len(got.Results))] {
					if len(r.Hits) != held {
						t.Errorf("%d hits, the node that answers has %d", len(r.Hits), held)
					}
				}
				if !c.server.alive(c.state.View(), "n0-1") {
					t.Error("the node is taken for dead")
				}
				c.nodes["n0-0"].Freeze()
				t.Cleanup(c.nodes["n0-0"].Thaw)
				if answer := c.call("POST", test.path, test.body); answer.Code != http.StatusServiceUnavailable || answer.Header().Get("Retry-After") == "" {
					t.Errorf("with no node that answers: status %d: %s", answer.Code, answer.Body)
				}
			})
		})
	}
}
