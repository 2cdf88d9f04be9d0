package proxy

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"miroir/fsm"
)

func succeeded(t *testing.T, task map[string]any) map[string]any {
	t.Helper()
	if task["status"] != "succeeded" {
		t.Fatalf("task did not succeed: %v", task)
	}
	return task
}

// Topology: two groups of two nodes, every shard once per group, all indexes spread.
func TestCreateAddAndFinish(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 2, perGroup: 2, rf: 1, shards: 8, spread: fsm.SpreadAll})
	succeeded(t, c.do("POST", "/indexes", `{"uid":"books","primaryKey":"id"}`))
	task := succeeded(t, c.do("POST", "/indexes/books/documents", `[{"id":1,"t":"a"},{"id":"2","t":"b"},{"id":3},{"id":1,"t":"c"}]`))
	if got, want := fmt.Sprint(task["details"]), "map[indexedDocuments:3 receivedDocuments:4]"; got != want {
		t.Errorf("details: got %s, want %s", got, want)
	}
	for _, group := range []string{"n0-", "n1-"} {
		all := map[string]any{}
		for _, n := range []string{"0", "1"} {
			for id, document := range c.documentsOn(group+n, "books") {
				if all[id] != nil {
					t.Errorf("group %s holds document %s twice", group, id)
				}
				all[id] = document
			}
		}
		want := map[string]any{"1": map[string]any{"id": 1.0, "t": "c"}, "2": map[string]any{"id": "2", "t": "b"}, "3": map[string]any{"id": 3.0}}
		if len(all) != 3 || fmt.Sprint(all) != fmt.Sprint(want) {
			t.Errorf("group %s holds %v, want %v", group, all, want)
		}
	}
	if n := c.state.View().NumOpenIntents; n != 0 {
		t.Errorf("%d intents are open", n)
	}
	if got := c.replicas("books"); !reflect.DeepEqual(got, map[fsm.ReplicaState]int{fsm.Active: 16}) {
		t.Errorf("replicas: %v", got)
	}
}

// A payload without documents that names another primary key changes nothing.
func TestNoDocumentsWithAnotherKey(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 4, spread: fsm.SpreadAll})
	succeeded(t, c.do("POST", "/indexes/m/documents?primaryKey=id", `[{"id":1,"x":2}]`))
	succeeded(t, c.do("POST", "/indexes/m/documents?primaryKey=x", `[]`))
	if ix := c.call("GET", "/indexes/m", "").Body.String(); !strings.Contains(ix, `"primaryKey":"id"`) {
		t.Error(ix)
	}
	succeeded(t, c.do("POST", "/indexes/n/documents?primaryKey=x", `[]`))
	if ix := c.call("GET", "/indexes/n", "").Body.String(); !strings.Contains(ix, `"primaryKey":"x"`) {
		t.Error(ix)
	}
}
