package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"miroir/devnode"
	"miroir/fsm"
)

// filledCluster is a coordinator over embedded nodes that hold 120 documents in an index "docs".
func filledCluster(t *testing.T, l layout) (*readCluster, map[string]*devnode.Node) {
	t.Helper()
	nodes := map[string]*devnode.Node{}
	var addresses []string
	for i := range l.groups * l.nodes {
		host := fmt.Sprintf("node%d", i)
		nodes[host] = devnode.New(devnode.Options{MasterKey: testMasterKey})
		t.Cleanup(nodes[host].Close)
		addresses = append(addresses, "http://"+host)
	}
	return fill(t, newReadCluster(t, devnode.Transport(nodes), addresses, l)), nodes
}

// fill makes the index "docs" of 120 documents.
func fill(t *testing.T, c *readCluster) *readCluster {
	t.Helper()
	ask(t, c, "POST", "/indexes", `{"uid":"docs","primaryKey":"id"}`)
	ask(t, c, "PATCH", "/indexes/docs/settings", `{"filterableAttributes":["id","color","price"],"sortableAttributes":["price","title"],
		"rankingRules":["words","typo","proximity","attribute","sort","exactness"],"embedders":{"e":{"source":"userProvided","dimensions":2}}}`)
	var documents []string
	for i := range 120 {
		documents = append(documents, fmt.Sprintf(`{"id":%d,"title":"document %s %d","color":%q,"price":%d,"_vectors":{"e":[%d,%d]}}`,
			i, []string{"ocean", "desert", "island"}[i%3], i, []string{"red", "green", "blue", "black"}[i%4], i*37%101, 100+i, 300-2*i))
	}
	ask(t, c, "POST", "/indexes/docs/documents", "["+strings.Join(documents, ",")+"]")
	return c
}

type reply struct {
	status int
	header http.Header
	body   []byte
}

func ask(t *testing.T, c http.Handler, method, path, body string) reply {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+testMasterKey)
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	return reply{w.Code, w.Header(), w.Body.Bytes()}
}

// reads are requests whose answers must not depend on how the documents lie on nodes, ties excepted.
var reads = []struct{ method, path, body string }{
	{"POST", "/indexes/docs/search", `{"q":"ocean","sort":["price:asc","title:desc"],"limit":7,"offset":3,"facets":["color","price"]}`},
	{"POST", "/indexes/docs/search", `{"q":"docment island","sort":["price:desc","title:asc"],"page":2,"hitsPerPage":5,"showRankingScore":true}`},
	{"POST", "/indexes/docs/search", `{"filter":"color = red AND id IN [4, 8, 15]","sort":["price:asc"],"attributesToRetrieve":["id"]}`},
	{"POST", "/indexes/docs/search", `{"filter":"id = 17","facets":["color"]}`},
	{"POST", "/indexes/docs/search", `{"filter":"id = missing","facets":["color"]}`},
	{"POST", "/indexes/docs/search", `{"filter":"nope = 1"}`},
	{"POST", "/indexes/docs/search", `{"filter":"price > > 1"}`},
	{"POST", "/indexes/docs/search", `{"sort":["title:asc"],"distinct":"color","page":1,"hitsPerPage":10}`},
	{"POST", "/indexes/docs/search", `{"q":"document","limit":0,"facets":["*"]}`},
	{"POST", "/indexes/docs/search", `{"sort":["price:asc"],"page":0}`},
	{"POST", "/indexes/docs/search", `{"sort":["price:asc"],"hitsPerPage":0}`},
	{"POST", "/indexes/docs/search", `{"vector":[1,0.3],"hybrid":{"embedder":"e","semanticRatio":1},"limit":5,"attributesToRetrieve":["title"],"retrieveVectors":true}`},
	{"GET", "/indexes/docs/search?q=desert&sort=price:desc,title:asc&limit=4&attributesToHighlight=title", ""},
	{"POST", "/indexes/docs/facet-search", `{"facetName":"color","facetQuery":"bl"}`},
	{"POST", "/indexes/docs/facet-search", `{"facetName":"color","filter":"price < 50"}`},
	{"POST", "/indexes/docs/facet-search", `{"facetName":"title"}`},
	{"POST", "/indexes/docs/documents/fetch", `{"sort":["price:desc","title:asc"],"offset":5,"limit":6,"fields":["id","price"]}`},
	{"POST", "/indexes/docs/documents/fetch", `{"filter":"price = 37"}`},
	{"POST", "/indexes/docs/documents/fetch", `{"ids":[7],"retrieveVectors":true}`},
	{"GET", "/indexes/docs/documents/33?fields=id,title", ""},
	{"GET", "/indexes/docs/documents/999", ""},
	{"GET", "/indexes/docs/stats", ""},
	{"POST", "/multi-search", `{"queries":[{"indexUid":"docs","q":"ocean","sort":["price:asc","title:asc"],"limit":2},{"indexUid":"docs","facets":["color"],"limit":0},{"indexUid":"docs","filter":"id = 5"}]}`},
	{"POST", "/multi-search", `{"queries":[{"indexUid":"docs","q":"ocean"},{"indexUid":"docs","filter":"x = 1"}]}`},
	{"POST", "/multi-search", `{"queries":[{"indexUid":"docs"},{"indexUid":"none"}]}`},
	{"POST", "/multi-search", `{"federation":{"limit":5,"offset":2,"facetsByIndex":{"docs":["color"]}},"queries":[{"indexUid":"docs","q":"ocean","sort":["price:asc","title:asc"]},{"indexUid":"docs","q":"island","sort":["price:asc","title:asc"]}]}`},
	{"POST", "/multi-search", `{"federation":{"mergeFacets":{},"facetsByIndex":{"docs":["color"]},"page":1,"hitsPerPage":3},"queries":[{"indexUid":"docs","q":"desert","sort":["title:asc"],"federationOptions":{"weight":0.5}}]}`},
	{"POST", "/multi-search", `{"federation":{},"queries":[{"indexUid":"docs","limit":1}]}`},
}

// sameAnswer compares two answers without what varies from one request to the next.
func sameAnswer(t *testing.T, name string, want, got reply) {
	t.Helper()
	clean := func(body []byte) string {
		var value any
		if json.Unmarshal(body, &value) != nil {
			return string(body)
		}
		var walk func(any)
		walk = func(v any) {
			switch v := v.(type) {
			case map[string]any:
				for _, key := range []string{"processingTimeMs", "requestUid", "queryUid", "rawDocumentDbSize", "avgDocumentSize"} {
					delete(v, key)
				}
				for _, inner := range v {
					walk(inner)
				}
			case []any:
				for _, inner := range v {
					walk(inner)
				}
			}
		}
		walk(value)
		text, _ := json.MarshalIndent(value, "", " ")
		return string(text)
	}
	if a, b := clean(want.body), clean(got.body); want.status != got.status || a != b {
		t.Errorf("%s\nwant %d %s\ngot  %d %s", name, want.status, want.body, got.status, got.body)
	}
	if bytes.Contains(got.body, []byte(shardField)) || bytes.Contains(got.body, []byte("docs__x")) {
		t.Errorf("%s shows what is hidden: %s", name, got.body)
	}
}

// TestLayoutsAnswerAlike asks the same of one node and of several layouts.
func TestLayoutsAnswerAlike(t *testing.T) {
	reference, _ := filledCluster(t, layout{groups: 1, nodes: 1, copies: 1, shards: 8, whole: true})
	for name, l := range map[string]layout{
		"spread over one":      {groups: 1, nodes: 1, copies: 1, shards: 8},
		"three nodes":          {groups: 1, nodes: 3, copies: 1, shards: 8},
		"three nodes, RF 2":    {groups: 1, nodes: 3, copies: 2, shards: 8},
		"two groups of two":    {groups: 2, nodes: 2, copies: 1, shards: 8},
		"whole on three nodes": {groups: 1, nodes: 3, copies: 2, shards: 8, whole: true},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := filledCluster(t, l)
			for _, r := range reads {
				sameAnswer(t, r.method+" "+r.path+" "+r.body, ask(t, reference, r.method, r.path, r.body), ask(t, c, r.method, r.path, r.body))
			}
		})
	}
}

// TestLayoutsAnswerAlikeOnRealServers is TestLayoutsAnswerAlike with real servers.
func TestLayoutsAnswerAlikeOnRealServers(t *testing.T) {
	rt, addresses := realNodes(t, 4)
	reference := fill(t, newReadCluster(t, rt, addresses[3:], layout{groups: 1, nodes: 1, copies: 1, shards: 8, whole: true}))
	c := fill(t, newReadCluster(t, rt, addresses[:3], layout{groups: 1, nodes: 3, copies: 2, shards: 8}))
	for _, r := range reads {
		sameAnswer(t, r.method+" "+r.path+" "+r.body, ask(t, reference, r.method, r.path, r.body), ask(t, c, r.method, r.path, r.body))
	}
}

// TestALostNodeIsNotMissed: with two copies of each shard the answers stay the same while one node is down, also when it
// fails in the middle of a request.
func TestALostNodeIsNotMissed(t *testing.T) {
	reference, _ := filledCluster(t, layout{groups: 1, nodes: 1, copies: 1, shards: 8, whole: true})
	for name, l := range map[string]layout{
		"RF 2":        {groups: 1, nodes: 3, copies: 2, shards: 8},
		"two groups":  {groups: 2, nodes: 2, copies: 1, shards: 8},
		"whole":       {groups: 1, nodes: 3, copies: 2, shards: 8, whole: true},
		"all on each": {groups: 1, nodes: 2, copies: 2, shards: 8},
	} {
		t.Run(name, func(t *testing.T) {
			c, nodes := filledCluster(t, l)
			nodes["node0"].Stop()
			for _, r := range reads {
				got := ask(t, c, r.method, r.path, r.body)
				sameAnswer(t, r.method+" "+r.path+" "+r.body, ask(t, reference, r.method, r.path, r.body), got)
				if degraded := got.header.Get("X-Miroir-Degraded"); degraded != "" {
					t.Errorf("%s %s is marked %s", r.path, r.body, degraded)
				}
			}
		})
	}
}

// TestMissingShardsAreNamed: with one copy a lost node's shards are missing, and the answer says so.
func TestMissingShardsAreNamed(t *testing.T) {
	c, nodes := filledCluster(t, layout{groups: 1, nodes: 3, copies: 1, shards: 8})
	nodes["node1"].Stop()
	const want = "shards=1,4,7"
	got := ask(t, c, "POST", "/indexes/docs/search", `{"limit":1000}`)
	if got.status != 200 || got.header.Get("X-Miroir-Degraded") != want {
		t.Errorf("search: %d, X-Miroir-Degraded: %s", got.status, got.header.Get("X-Miroir-Degraded"))
	}
	lost := []fsm.ShardID{1, 4, 7}
	for _, hit := range itemsOf(memberOf(got.body, "hits")) {
		if shard := ShardOf(string(memberOf(hit, "id")), 8); slices.Contains(lost, shard) {
			t.Errorf("document %s of shard %d was found", memberOf(hit, "id"), shard)
		}
	}
	got = ask(t, c, "POST", "/multi-search", `{"queries":[{"indexUid":"docs"}]}`)
	if degraded := got.header.Get("X-Miroir-Degraded"); degraded != "shards=docs/1,docs/4,docs/7" {
		t.Errorf("multi-search: %d, X-Miroir-Degraded: %s", got.status, degraded)
	}
	for i := range 120 {
		id := fmt.Sprint(i)
		got := ask(t, c, "GET", "/indexes/docs/documents/"+id, "")
		if isLost := slices.Contains(lost, ShardOf(id, 8)); isLost && got.status != 503 || !isLost && got.status != 200 {
			t.Errorf("document %s: %d %s", id, got.status, got.body)
		}
	}
	for host := range nodes {
		nodes[host].Stop()
	}
	if got := ask(t, c, "POST", "/indexes/docs/search", `{}`); got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("without nodes: %d %s", got.status, got.body)
	}
}

// TestPagesFitTogether: the pages of a search whose hits all tie neither repeat nor skip, on any layout.
func TestPagesFitTogether(t *testing.T) {
	for name, l := range map[string]layout{
		"three nodes, RF 2": {groups: 1, nodes: 3, copies: 2, shards: 8},
		"two groups":        {groups: 2, nodes: 2, copies: 1, shards: 8},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := filledCluster(t, l)
			for _, route := range []string{
				`/indexes/docs/search {"q":"document","limit":10,"offset":%d}`,
				`/indexes/docs/documents/fetch {"limit":10,"offset":%d}`,
			} {
				path, body, _ := strings.Cut(route, " ")
				seen := map[string]bool{}
				for offset := 0; offset < 120; offset += 10 {
					got := ask(t, c, "POST", path, fmt.Sprintf(body, offset))
					hits := itemsOf(memberOf(got.body, "hits"))
					if hits == nil {
						hits = itemsOf(memberOf(got.body, "results"))
					}
					for _, hit := range hits {
						id := string(memberOf(hit, "id"))
						if seen[id] {
							t.Errorf("%s: %s comes twice", path, id)
						}
						seen[id] = true
					}
				}
				if len(seen) != 120 {
					t.Errorf("%s: %d of 120 documents", path, len(seen))
				}
			}
		})
	}
}

func TestDocumentsWithoutVectorAreNotSimilar(t *testing.T) {
	a := scoredBySimilarity([]byte(`{"hits":[{"id":1,"_rankingScoreDetails":{"vectorSort":{"order":0,"similarity":0.0}}},`+
		`{"id":2,"_rankingScoreDetails":{"vectorSort":{"order":0,"similarity":null}}}]}`), "docs")
	if len(a.hits) != 1 {
		t.Errorf("%d hits, want the one with a vector", len(a.hits))
	}
}

func TestSimilarAcrossNodes(t *testing.T) {
	reference, _ := filledCluster(t, layout{groups: 1, nodes: 1, copies: 1, shards: 8, whole: true})
	c, _ := filledCluster(t, layout{groups: 1, nodes: 3, copies: 2, shards: 8})
	for _, body := range []string{
		`{"id":5,"embedder":"e","limit":12,"showRankingScore":true,"attributesToRetrieve":["title"]}`,
		`{"id":5,"embedder":"e","filter":"color = red","offset":2,"limit":3,"showRankingScoreDetails":true}`,
	} {
		want, got := ask(t, reference, "POST", "/indexes/docs/similar", body), ask(t, c, "POST", "/indexes/docs/similar", body)
		scores := func(r reply) (list []string) {
			for _, hit := range itemsOf(memberOf(r.body, "hits")) {
				list = append(list, string(memberOf(hit, "_rankingScore"))+string(memberOf(memberOf(memberOf(hit, "_rankingScoreDetails"), "vectorSort"), "similarity")))
			}
			return list
		}
		if !slices.Equal(scores(want), scores(got)) || string(memberOf(want.body, "estimatedTotalHits")) != string(memberOf(got.body, "estimatedTotalHits")) {
			t.Errorf("%s\nwant %s\ngot  %s", body, want.body, got.body)
		}
	}
	for _, body := range []string{`{"id":5,"embedder":"none"}`, `{"id":999,"embedder":"e"}`, `{"id":"a b","embedder":"e"}`, `{"id":5,"embedder":"e","filter":"x = 1"}`} {
		sameAnswer(t, body, ask(t, reference, "POST", "/indexes/docs/similar", body), ask(t, c, "POST", "/indexes/docs/similar", body))
	}
}
