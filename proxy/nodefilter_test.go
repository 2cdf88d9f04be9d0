package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"miroir/devnode"
	"miroir/fsm"
	"miroir/meili"
)

// TestUnequalOnNodesWithoutTheField: one document has a color, so one node of two knows of colors. Red without the rewriting: the
// other node finds none of its documents by !=, and keeps what a deletion should take.
func TestUnequalOnNodesWithoutTheField(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		nodes := map[string]*devnode.Node{}
		for _, id := range []string{"a", "b", "c"} {
			nodes[id] = devnode.New(devnode.Options{MasterKey: testMasterKey})
			t.Cleanup(nodes[id].Close)
		}
		unequalLikeOneServer(t, devnode.Transport(nodes), []string{"http://a", "http://b", "http://c"})
	})
	t.Run("real", func(t *testing.T) {
		rt, addresses := realNodes(t, 3)
		unequalLikeOneServer(t, rt, addresses)
	})
}

func unequalLikeOneServer(t *testing.T, rt http.RoundTripper, addresses []string) {
	c := newWriteClusterOver(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 8, spread: fsm.SpreadAll}, rt, addresses[:2])
	do := func(method, path, body string) {
		t.Helper()
		askServer(t, rt, method, addresses[2]+path, body)
		sameTask(t, c, rt, addresses[2], c.call(method, path, body).Body.Bytes())
	}
	same := func(method, path, body, member string) {
		t.Helper()
		want := memberOf([]byte(askServer(t, rt, method, addresses[2]+path, body).body), member)
		if got := memberOf(c.call(method, path, body).Body.Bytes(), member); want == nil || string(got) != string(want) {
			t.Errorf("%s %s: %s %s, want %s", path, body, member, got, want)
		}
	}
	sameAnswers := func() {
		t.Helper()
		for _, filter := range []string{
			`"color != red"`, `"NOT color != red"`, `["n > 3", ["color != red", "n = 1"]]`, `"size != 3"`, `"size != 3 OR color != blue"`,
			`"color != red AND (size != 3 OR (n != 4 AND color NOT EXISTS))"`} {
			same("POST", "/indexes/m/search", `{"filter":`+filter+`}`, "estimatedTotalHits")
			same("POST", "/indexes/m/documents/fetch", `{"filter":`+filter+`}`, "total")
			same("POST", "/indexes/m/facet-search", `{"facetName":"n","filter":`+filter+`}`, "facetHits")
			same("POST", "/multi-search", `{"federation":{"facetsByIndex":{"m":["n"]}},"queries":[{"indexUid":"m","filter":`+filter+`}]}`, "estimatedTotalHits")
		}
		same("POST", "/indexes/m/search", `{"filter":"color != red AND taste = 1"}`, "message") // quotes the client's filter
	}
	c.call("PATCH", "/experimental-features", `{"editDocumentsByFunction":true}`)
	askServer(t, rt, "PATCH", addresses[2]+"/experimental-features", `{"editDocumentsByFunction":true}`)
	do("POST", "/indexes", `{"uid":"m","primaryKey":"id"}`)
	do("PATCH", "/indexes/m/settings", `{"filterableAttributes":["color","n","size"]}`)
	documents := ""
	for n := range 12 {
		documents += fmt.Sprintf(`{"id":%d,"n":%d},`, n, n)
	}
	do("POST", "/indexes/m/documents", `[`+documents+`{"id":20,"n":20}]`)
	sameAnswers() // no document has a color: nothing is found by !=
	do("POST", "/indexes/m/documents/delete", `{"filter":"color != red"}`)
	do("POST", "/indexes/m/documents", `[{"id":20,"n":20,"color":"green"}]`)
	sameAnswers()
	do("POST", "/indexes/m/documents/edit", `{"filter":"color != red AND n < 4","function":"doc.size = 3"}`)
	sameAnswers()
	do("POST", "/indexes/m/documents/delete", `{"filter":["color != blue", "n > 6"]}`)
	sameAnswers()
	same("GET", "/indexes/m/documents?limit=50", "", "total")
}

// The write that brings the first color has not ended when a deletion by != is sent, or is accepted while that is looked at: the
// deletion goes by it nevertheless, on the node too that has no color. Topology: two nodes, every shard once.
func TestUnequalAfterAnUnfinishedWrite(t *testing.T) {
	for name, when := range map[string]struct{ before, meanwhile, behind bool }{
		"unfinished": {before: true}, "accepted meanwhile": {meanwhile: true}, "accepted while another is waited for": {meanwhile: true, behind: true},
	} {
		t.Run(name, func(t *testing.T) {
			nodes := map[string]*devnode.Node{}
			each := func(do func(*devnode.Node)) {
				for _, node := range nodes {
					do(node)
				}
			}
			for _, id := range []string{"a", "b"} {
				nodes[id] = devnode.New(devnode.Options{MasterKey: testMasterKey})
				t.Cleanup(nodes[id].Close)
			}
			through := devnode.Transport(nodes)
			var looks atomic.Int32 // of both nodes, before anything goes on
			looked, again := func() {}, func() {}
			rt := roundTrip(func(r *http.Request) (*http.Response, error) {
				asked := false
				if strings.HasSuffix(r.URL.Path, "/documents/fetch") {
					body, err := r.GetBody()
					if err != nil {
						return nil, err
					}
					text, _ := io.ReadAll(body) // from memory
					asked = strings.Contains(string(text), "EXISTS")
				}
				response, err := through.RoundTrip(r)
				if asked {
					switch looks.Add(1) {
					case 2:
						looked()
					case 6: // the second time was once the other had ended
						again()
					}
				}
				return response, err
			})
			c := newWriteClusterOver(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 8, spread: fsm.SpreadAll}, rt, []string{"http://a", "http://b"})
			succeeded(t, c.do("POST", "/indexes", `{"uid":"m","primaryKey":"id"}`))
			succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"filterableAttributes":["color","n"]}`))
			succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1},{"id":2},{"id":3},{"id":4},{"id":5},{"id":6},{"id":7},{"id":8}]`))
			bring := func() { c.call("POST", "/indexes/m/documents", `[{"id":9,"color":"red"}]`) }
			other, brought := make(chan struct{}), make(chan struct{}) // closed: may be done
			again = sync.OnceFunc(func() { close(brought) })
			defer again()
			looked = func() {
				if when.meanwhile {
					bring()
				}
				each((*devnode.Node).ResumeTasks)
				close(other)
			}
			if when.before {
				each((*devnode.Node).PauseTasks)
				bring()
			}
			if when.behind {
				each(func(n *devnode.Node) {
					var additions atomic.Int32
					n.FailTasks(func(kind meili.TaskKind) *meili.Error {
						if kind == meili.TaskDocumentAdditionOrUpdate && additions.Add(1) == 1 {
							<-other
						} else if kind == meili.TaskDocumentAdditionOrUpdate {
							<-brought
						}
						return nil
					})
				})
				c.call("POST", "/indexes/m/documents", `[{"id":1},{"id":2},{"id":3},{"id":4},{"id":5},{"id":6},{"id":7},{"id":8}]`)
			}
			deletion := c.accepted(c.call("POST", "/indexes/m/documents/delete", `{"filter":"color != red"}`))
			again()
			task := succeeded(t, c.await(deletion))
			if got := fmt.Sprint(task["details"].(map[string]any)["deletedDocuments"]); got != "8" {
				t.Errorf("%s documents were deleted, want 8", got)
			}
		})
	}
}
