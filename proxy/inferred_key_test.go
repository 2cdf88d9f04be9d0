package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"miroir/devnode"
	"miroir/fsm"
)

// TestNodesFindTheKeyThatWasNotNamed, two nodes, every index cut up: nodes are told the primary key where the client named it, where
// their own first document leaves it open, and where they get no document.
func TestNodesFindTheKeyThatWasNotNamed(t *testing.T) {
	nodes, addresses := map[string]*devnode.Node{}, []string{}
	for _, name := range []string{"n0-0", "n0-1"} {
		nodes[name] = devnode.New(devnode.Options{MasterKey: testMasterKey})
		t.Cleanup(nodes[name].Close)
		addresses = append(addresses, "http://"+name)
	}
	var told sync.Map // "<index> <node>" -> struct{}
	inner := devnode.Transport(nodes)
	watched := roundTrip(func(r *http.Request) (*http.Response, error) {
		if index, found := strings.CutSuffix(r.URL.Path, "/documents"); found && r.Method == http.MethodPost && r.URL.Query().Has("primaryKey") {
			told.Store(strings.TrimPrefix(index, "/indexes/")+" "+r.URL.Host, struct{}{})
		}
		return inner.RoundTrip(r)
	})
	c := newWriteClusterOver(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 8, spread: fsm.SpreadAll}, watched, addresses)
	c.nodes = nodes
	count := func(index string) (n int) {
		told.Range(func(key, _ any) bool {
			if strings.HasPrefix(key.(string), index+" ") {
				n++
			}
			return true
		})
		return n
	}
	batch := func(second string) string {
		documents := []string{`{"title":"a","id":0}`}
		for i := range 39 {
			documents = append(documents, fmt.Sprintf(`{"title":"b",%s"id":%d}`, second, i+1))
		}
		return "[" + strings.Join(documents, ",") + "]"
	}
	succeeded(t, c.do("POST", "/indexes/found/documents", batch("")))
	succeeded(t, c.do("POST", "/indexes/named/documents?primaryKey=id", batch("")))
	succeeded(t, c.do("POST", "/indexes/open/documents", batch(`"authorId":7,`)))
	succeeded(t, c.do("POST", "/indexes/alone/documents", `[{"title":"a","id":0}]`))
	for index, want := range map[string]int{"found": 0, "named": 2, "open": 1, "alone": 0} {
		if got := count(index); got != want {
			t.Errorf("index %s: %d nodes were told the key, want %d", index, got, want)
		}
		if key := c.get("/indexes/" + index)["primaryKey"]; key != "id" {
			t.Errorf("index %s has the key %v", index, key)
		}
	}
	for name := range nodes {
		if key := c.on(name, "GET", "/indexes/alone", "")["primaryKey"]; key != "id" {
			t.Errorf("%s, which got no document perhaps, has the key %v", name, key)
		}
	}
}

// TestFieldsStandAsOnOneServer, three real servers, an index that lives whole and one that is cut up: the fields of a hit stand as in the
// first document, unless the key was named.
func TestFieldsStandAsOnOneServer(t *testing.T) {
	for _, spread := range []int{fsm.SpreadAuto, fsm.SpreadAll} {
		rt, addresses := realNodes(t, 3)
		c := newWriteClusterOver(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 8, spread: spread}, rt, addresses)
		var documents []string
		for i := range 12 {
			documents = append(documents, fmt.Sprintf(`{"title":"one","year":2001,"id":%d,"kind":"x"}`, i))
		}
		body := "[" + strings.Join(documents, ",") + "]"
		succeeded(t, c.do("PATCH", "/indexes/settled/settings", `{"filterableAttributes":["year"]}`))
		succeeded(t, c.do("POST", "/indexes/settled/documents", body))
		succeeded(t, c.do("PUT", "/indexes/made/documents", body))
		succeeded(t, c.do("POST", "/indexes/named/documents?primaryKey=id", body))
		// As one server answers the same requests.
		for index, want := range map[string]string{"made": `"title":"one","year":2001,"id":`, "settled": `"title":"one","year":2001,"id":`, "named": `"id":`} {
			answer := c.call("POST", "/indexes/"+index+"/search", `{"q":"one"}`).Body.String()
			if n := strings.Count(answer, "{"+want); n != 12 {
				t.Errorf("spread %d, index %s: %d of 12 hits begin with %s: %s", spread, index, n, want, answer)
			}
		}
	}
}
