package proxy

import (
	"fmt"
	"strings"
	"testing"

	"miroir/fsm"
)

// Topology: two nodes, every shard once. Some of the documents lack vectors, and only on their nodes would they be noticed.
func TestMissingVectorsFailTheWholeBatch(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 16, spread: fsm.SpreadAll})
	succeeded(t, c.do("POST", "/indexes", `{"uid":"m","primaryKey":"id"}`))
	succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"embedders":{"mine":{"source":"userProvided","dimensions":2}}}`))
	with := func(from, to int) string {
		var list []string
		for id := from; id < to; id++ {
			list = append(list, fmt.Sprintf(`{"id":%d,"_vectors":{"mine":[1,2]}}`, id))
		}
		return strings.Join(list, ",")
	}
	succeeded(t, c.do("POST", "/indexes/m/documents", "["+with(0, 8)+"]"))
	fails := func(method, body, want string) {
		t.Helper()
		task := c.do(method, "/indexes/m/documents", body)
		if task["status"] != "failed" || !strings.HasPrefix(fmt.Sprint(task["error"].(map[string]any)["message"]), "Index `m`: While embedding documents for embedder `mine`: "+want) {
			t.Errorf("%s %s: got %v, want an error that begins with %s", method, body, task, want)
		}
		if n := len(c.documentsOn("n0-0", "m")) + len(c.documentsOn("n0-1", "m")); n != 8 {
			t.Fatalf("%s %s: there are %d documents, want 8", method, body, n)
		}
	}
	fails("POST", "["+with(10, 20)+`,{"id":20}]`, "no vectors provided for document `20`\n")
	fails("PUT", "["+with(10, 20)+`,{"id":"a","_vectors":{}},{"id":3},{"id":"b"}]`, "no vectors provided for document `a` and at least 1 other document(s)\n")
	fails("POST", "["+with(10, 20)+`,{"id":10}]`, "no vectors provided for document `10`\n")
	fails("POST", "["+with(10, 20)+`,{"id":20,"_vectors":{"mime":[1,2]}}]`, "no vectors provided for document `20`\n- Note: `mine` has `source: userProvided`, "+
		"so documents must provide embeddings as an array in `_vectors.mine`.\n- Hint: try replacing `_vectors.mime` by `_vectors.mine` in 1 document(s).")

	succeeded(t, c.do("PUT", "/indexes/m/documents", `[{"id":0,"t":"known"},{"id":7,"t":"known"},{"id":20},{"id":20,"_vectors":{"mine":null}}]`))
	succeeded(t, c.do("PUT", "/indexes/m/documents", `[{"id":21,"_vectors":{"mine":[1,2]}},{"id":21,"t":"completed"}]`))
	succeeded(t, c.do("POST", "/indexes/m/documents?skipCreation=true", `[{"id":30},{"id":1,"_vectors":{"mine":null}}]`))
}

// Topology as above. What an earlier write brings is known once that has ended.
func TestMissingVectorsOfEarlierWrites(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 16, spread: fsm.SpreadAll})
	succeeded(t, c.do("POST", "/indexes", `{"uid":"m","primaryKey":"id"}`))
	succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"embedders":{"mine":{"source":"userProvided","dimensions":2}}}`))
	c.call("POST", "/indexes/m/documents", `[{"id":1,"_vectors":{"mine":[1,2]}},{"id":2,"_vectors":{"mine":[1,2]}}]`)
	succeeded(t, c.do("PUT", "/indexes/m/documents", `[{"id":1,"t":"x"},{"id":2,"t":"x"}]`))
}

// Topology as above. The first documents of an index may be written, and it may get its primary key, while a later payload is
// looked at.
func TestMissingVectorsOfWritesThatJustEnd(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 16, spread: fsm.SpreadAll})
	for i := range 40 {
		index := fmt.Sprintf("/indexes/m%d", i)
		c.call("PATCH", index+"/settings", `{"embedders":{"mine":{"source":"userProvided","dimensions":2}}}`)
		c.call("POST", index+"/documents?primaryKey=id", `[{"id":1,"_vectors":{"mine":[1,2]}},{"id":2,"_vectors":{"mine":[1,2]}}]`)
		succeeded(t, c.do("PUT", index+"/documents", `[{"id":1,"t":"x"},{"id":2,"t":"x"}]`))
	}
}
