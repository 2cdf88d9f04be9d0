package proxy

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"miroir/devnode"
	"miroir/fsm"
)

// TestABadNodeCostsOneRetry: whatever one node does instead of answering, every read gets the reference's answer from other
// replicas, unmarked, after one timeout at most.
func TestABadNodeCostsOneRetry(t *testing.T) {
	answers := func(f devnode.Fault) func(*devnode.Node) {
		return func(n *devnode.Node) {
			n.Fail(func(r *http.Request) *devnode.Fault {
				if r.URL.Path == "/health" {
					return nil
				}
				return &f
			})
		}
	}
	for _, fault := range []struct {
		name  string
		apply func(*devnode.Node)
	}{
		{"dead", (*devnode.Node).Stop},
		{"hangs", (*devnode.Node).Freeze},
		{"breaks before", answers(devnode.Fault{DropBefore: true})},
		{"breaks after", answers(devnode.Fault{DropAfter: true})},
		{"half a body", answers(devnode.Fault{TruncateBytes: 10})},
		{"500", answers(devnode.Fault{Status: 500, Body: `{"message":"m","code":"internal","type":"internal","link":""}`})},
		{"429", answers(devnode.Fault{Status: 429, Body: `{}`})},
		{"a proxy's page", answers(devnode.Fault{Status: 502, Body: `<html>bad gateway</html>`})},
		{"garbage", answers(devnode.Fault{Status: 200, Body: `<html>hello</html>`})},
		{"no body", answers(devnode.Fault{Status: 200, Body: ``})},
		{"a cut answer", answers(devnode.Fault{Status: 200, Body: `{"hits":[{"id":1},{"id":2}`})},
		{"a cut list", answers(devnode.Fault{Status: 200, Body: `{"results":[{"id":1`})},
		{"other JSON", answers(devnode.Fault{Status: 200, Body: `{"status":"available"`})},
		{"a list", answers(devnode.Fault{Status: 200, Body: `[]`})},
		{"another key", answers(devnode.Fault{Status: 403, Body: `{"message":"m","code":"invalid_api_key","type":"auth","link":""}`})},
		{"no index", answers(devnode.Fault{Status: 404, Body: `{"message":"m","code":"index_not_found","type":"invalid_request","link":""}`})},
	} {
		t.Run(fault.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newSlowCluster(t, layout{groups: 1, nodes: 3, copies: 2, shards: 8}, func(config *fsm.Config) { config.Hedging.Enabled = false })
				fault.apply(c.nodes["node1"])
				for _, read := range reads {
					if strings.HasSuffix(read.path, "/stats") {
						continue // reported by all nodes
					}
					name := read.method + " " + read.path + " " + read.body
					time.Sleep(time.Minute) // the node is trusted again
					started := time.Now()
					got := ask(t, c, read.method, read.path, read.body)
					if took := time.Since(started); took > 6*time.Second {
						t.Errorf("%s took %v", name, took)
					}
					sameAnswer(t, name, ask(t, c.reference, read.method, read.path, read.body), got)
					if degraded := got.header.Get("X-Miroir-Degraded"); degraded != "" {
						t.Errorf("%s is marked %s", name, degraded)
					}
				}
				c.nodes["node1"].Thaw()
				synctest.Wait()
			})
		})
	}
}

// TestPartialReadsMayBeRefused: with the policy `error`, a read that misses shards fails, and so do all its forms.
func TestPartialReadsMayBeRefused(t *testing.T) {
	for policy, want := range map[string]int{"partial": 200, "error": 503} {
		c, nodes := filledCluster(t, layout{groups: 1, nodes: 3, copies: 1, shards: 8})
		view := *c.view.Load()
		view.Config.Reads.UnavailableShardPolicy = policy
		c.view.Store(&view)
		nodes["node1"].Stop()
		for _, read := range []struct{ path, body, shards string }{
			{"/indexes/docs/search", `{}`, "shards=1,4,7"},
			{"/indexes/docs/search", `{"filter":"id IN [0,1,2,3,4,5,6,7,8,9,10]"}`, "shards=4,7"},
			{"/indexes/docs/facet-search", `{"facetName":"color"}`, "shards=1,4,7"},
			{"/indexes/docs/documents/fetch", `{"limit":1000}`, "shards=1,4,7"},
			{"/indexes/docs/documents/fetch", `{"sort":["price:asc"]}`, "shards=1,4,7"},
			{"/multi-search", `{"queries":[{"indexUid":"docs"}]}`, "shards=docs/1,docs/4,docs/7"},
			{"/multi-search", `{"federation":{},"queries":[{"indexUid":"docs"}]}`, "shards=docs/1,docs/4,docs/7"},
		} {
			got := ask(t, c, "POST", read.path, read.body)
			if got.status != want {
				t.Errorf("%s: %s %s answers %d %s", policy, read.path, read.body, got.status, got.body)
			}
			if degraded := got.header.Get("X-Miroir-Degraded"); want == 200 && degraded != read.shards {
				t.Errorf("%s %s is marked %q, want %q", read.path, read.body, degraded, read.shards)
			}
			if code := text(memberOf(got.body, "code")); want == 503 && code != "miroir_shard_unavailable" {
				t.Errorf("%s %s fails with %s", read.path, read.body, code)
			}
		}
	}
}

func TestPlausible(t *testing.T) {
	for _, test := range []struct {
		path, body string
		want       bool
	}{
		{"/indexes/x/search", `{"hits":[],"query":""}`, true},
		{"/indexes/x/search?q=a", ` {"query":"","hits":[{"a":"}"}]} `, true},
		{"/indexes/x/search", `{"hits":{}}`, false},
		{"/indexes/x/search", `{"hits":[}`, false},
		{"/indexes/x/search", `{"hits":[]`, false},
		{"/indexes/x/search", `{"hits":[]}}`, false},
		{"/indexes/x/search", `{"hits":`, false},
		{"/indexes/x/search", `{}`, false},
		{"/indexes/x/search", ``, false},
		{"/multi-search", `{"results":[]}`, true},
		{"/multi-search", `{"hits":[],"limit":0}`, true},
		{"/indexes/x/facet-search", `{"facetHits":[]}`, true},
		{"/indexes/x/documents/fetch", `{"results":[{}]}`, true},
		{"/indexes/x/documents/1", `{}`, true},
		{"/indexes/x/documents/1", `{"id":1}`, true},
		{"/indexes/x/documents/1", `null`, false},
		{"/tasks/1/documents", "{}\n{}", true},
	} {
		if got := plausible(test.path, []byte(test.body)); got != test.want {
			t.Errorf("%s %s: %v", test.path, test.body, got)
		}
		if path, _, _ := strings.Cut(test.path, "?"); strings.HasSuffix(path, "/search") {
			if _, _, got := stripAnswer([]byte(test.body)); got != test.want {
				t.Errorf("%s is passed on: %v", test.body, got)
			}
		}
	}
}
