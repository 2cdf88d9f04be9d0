package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"miroir/fsm"
	"miroir/meili"
)

// newSpoolingCluster is two nodes over which everything is spread, and a pod that keeps hardly anything in memory.
func newSpoolingCluster(t *testing.T) *writeCluster {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 8, spread: fsm.SpreadAll})
	c.stop()
	c.options.BodyMemoryBytes = 64
	c.start()
	return c
}

// TestDeletionOfManyIDs: more ids than the memory of a body holds, of all kinds, each to the node that has it.
func TestDeletionOfManyIDs(t *testing.T) {
	c := newSpoolingCluster(t)
	var documents, ids strings.Builder
	for i := range 500 {
		fmt.Fprintf(&documents, "{\"id\":%d}\n", i)
		if i%5 > 0 {
			fmt.Fprintf(&ids, `%d,"%d",`, i, i) // named twice
		}
	}
	succeeded(t, c.await(c.accepted(c.send("POST", "/indexes/a/documents", "application/x-ndjson", []byte(documents.String())))))
	task := succeeded(t, c.do("POST", "/indexes/a/documents/delete-batch", "["+ids.String()+`"no id!","`+strings.Repeat("x", 1000)+`",{"a":1},null,-7]`))
	if details := fmt.Sprint(task["details"]); details != "map[deletedDocuments:400 originalFilter:<nil> providedIds:805]" {
		t.Error(details)
	}
	if page := c.get("/indexes/a/documents?limit=1000"); page["total"] != 100.0 {
		t.Errorf("%v documents are left, want 100", page["total"])
	}
	for _, body := range []string{`["no id!"]`, `[]`} {
		task := succeeded(t, c.do("POST", "/indexes/a/documents/delete-batch", body))
		if details := fmt.Sprint(task["details"]); !strings.Contains(details, "deletedDocuments:0") {
			t.Errorf("%s: %s", body, details)
		}
	}
	if task := succeeded(t, c.do("DELETE", "/indexes/a/documents/5", "")); !strings.Contains(fmt.Sprint(task["details"]), "deletedDocuments:1") {
		t.Error(task["details"])
	}
	before := c.get("/tasks")["total"]
	if answer := c.call("POST", "/indexes/a/documents/delete-batch", `["10",]`); answer.Code != http.StatusBadRequest || !strings.Contains(answer.Body.String(), "malformed_payload") {
		t.Error(answer.Code, answer.Body)
	}
	if c.get("/tasks")["total"] != before || c.get("/indexes/a/documents?limit=1000")["total"] != 99.0 {
		t.Error("a malformed deletion changed something")
	}
}

// TestIDsAreSortedAgain: the index that the ids are deleted from has other shards than the one they were sorted for.
func TestIDsAreSortedAgain(t *testing.T) {
	d := &deletion{writer: newSpoolingCluster(t).server.writer}
	if err := d.sort(2, func(visit func(string) error) error {
		return meili.EachDeletedID([]byte(`[1,2,3,"4","!",5,6,7]`), visit)
	}); err != nil {
		t.Fatal(err)
	}
	if err := d.sortAgain(16); err != nil {
		t.Fatal(err)
	}
	defer d.ids.Close()
	if d.provided != 8 || d.ids.numDocuments != 7 {
		t.Errorf("%d provided, %d kept", d.provided, d.ids.numDocuments)
	}
	for i := 1; i <= 7; i++ {
		id := fmt.Sprint(i)
		if d.ids.shardDocuments[ShardOf(id, 16)] == 0 {
			t.Errorf("nothing in the shard of %s", id)
		}
	}
}

// TestBodiesShareARoom: bodies that do not fit beside those being served are refused, whatever the route, and leave no trace.
func TestBodiesShareARoom(t *testing.T) {
	c := newSpoolingCluster(t)
	succeeded(t, c.do("POST", "/indexes/a/documents", `[{"id":1}]`))
	c.server.bodies.size = 1000
	large := strings.Repeat(" ", 2000)
	for _, test := range [][3]string{
		{"POST", "/indexes/a/search", `{}`}, {"POST", "/indexes/a/documents/delete-batch", `[1]`}, {"PATCH", "/indexes/a/settings", `{}`}, {"POST", "/multi-search", `{"queries":[]}`},
	} {
		if answer := c.call(test[0], test[1], test[2]+large); answer.Code != http.StatusServiceUnavailable || !strings.Contains(answer.Body.String(), "miroir_overloaded") || answer.Header().Get("Retry-After") == "" {
			t.Errorf("%s: status %d: %s", test[1], answer.Code, answer.Body)
		}
		if answer := c.call(test[0], test[1], test[2]+large[:500]); answer.Code >= 300 {
			t.Errorf("%s: status %d: %s", test[1], answer.Code, answer.Body)
		}
	}
	if used := c.server.bodies.used.Load(); used != 0 {
		t.Errorf("%d bytes were not given back", used)
	}
}
