package proxy

import (
	"fmt"
	"net/http"
	"testing"

	"miroir/fsm"
)

func TestPrimaryKeyAndNameOfIndexChangeTogether(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 16, spread: fsm.SpreadAll})
	c.do("POST", "/indexes", `{"uid":"a"}`)
	task := c.do("PATCH", "/indexes/a", `{"primaryKey":"isbn","uid":"b"}`)
	succeeded(t, task)
	if got, want := fmt.Sprint(task["type"], " ", task["details"]), "indexUpdate map[newIndexUid:b oldIndexUid:a primaryKey:isbn]"; got != want {
		t.Errorf("task %s, want %s", got, want)
	}
	if got := c.get("/indexes/b"); got["uid"] != "b" || got["primaryKey"] != "isbn" {
		t.Errorf("the index is %v", got)
	}
	if got := c.call("GET", "/indexes/a", "").Code; got != http.StatusNotFound {
		t.Errorf("the old name answers %d", got)
	}
	for node := range c.nodes {
		if got := c.on(node, "GET", "/indexes/a", ""); got["primaryKey"] != "isbn" {
			t.Errorf("node %s has %v", node, got)
		}
	}
	succeeded(t, c.do("POST", "/indexes/b/documents", `[{"isbn":1,"id":7}]`))
	if got := c.get("/indexes/b/documents/1"); fmt.Sprint(got["id"]) != "7" {
		t.Errorf("the document is %v", got)
	}
}

func TestRefusedPrimaryKeyKeepsTheName(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	c.do("POST", "/indexes/a/documents", `[{"id":1}]`)
	task := c.do("PATCH", "/indexes/a", `{"primaryKey":"isbn","uid":"b"}`)
	if task["status"] != "failed" || task["error"].(map[string]any)["code"] != "index_primary_key_already_exists" {
		t.Errorf("task: %v", task)
	}
	if got := c.get("/indexes/a"); got["uid"] != "a" || got["primaryKey"] != "id" {
		t.Errorf("the index is %v", got)
	}
	if got := c.call("GET", "/indexes/b", "").Code; got != http.StatusNotFound {
		t.Errorf("the new name answers %d", got)
	}
	succeeded(t, c.do("POST", "/indexes/a/documents", `[{"id":2}]`))
}

// An update that leaves an index its key and its name is no change of it.
func TestUpdatesOfNothingLeaveTheDate(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 16, spread: fsm.SpreadAll})
	c.do("POST", "/indexes", `{"uid":"a"}`)
	made := c.get("/indexes/a")["updatedAt"]
	for _, body := range []string{`{"uid":"a"}`, `{}`} {
		succeeded(t, c.do("PATCH", "/indexes/a", body))
		if now := c.get("/indexes/a")["updatedAt"]; now != made {
			t.Errorf("after %s the date is %v, not %v", body, now, made)
		}
	}
	succeeded(t, c.do("PATCH", "/indexes/a", `{"uid":"a","primaryKey":"isbn"}`))
	if now := c.get("/indexes/a")["updatedAt"]; now == made {
		t.Error("a primary key leaves the date")
	}
}
