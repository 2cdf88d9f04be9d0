package proxy

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"miroir/devnode"
	"miroir/fsm"
)

// TestRetention: finished tasks are forgotten by number and by age, unfinished ones stay.
func TestRetention(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 2, shards: 2, spread: fsm.SpreadAll})
	for i := range 5 {
		c.do("POST", "/indexes/a/documents", fmt.Sprintf(`[{"id":%d}]`, i))
	}
	if answer := c.manage("PATCH", "/_miroir/config", `{"tasks.max_tasks":3}`); answer.Code != http.StatusOK {
		t.Fatal(answer.Body)
	}
	number := func() int { return int(c.get("/tasks")["total"].(float64)) }
	c.stop()
	c.start()
	c.until("the oldest tasks to be forgotten", func() bool { return number() == 3 })
	if answer := c.call("GET", "/tasks/1", ""); answer.Code != http.StatusNotFound {
		t.Error("the second task is still there:", answer.Body)
	}
	if status := c.get("/tasks/4")["status"]; status != "succeeded" {
		t.Error("the newest task is", status)
	}

	for _, n := range c.nodes {
		n.PauseTasks()
	}
	waiting := c.accepted(c.call("POST", "/indexes/a/documents", `[{"id":9}]`))
	c.ahead.Store(int64(8 * 24 * time.Hour))
	c.stop()
	c.start()
	c.until("all finished tasks to be forgotten", func() bool { return number() == 1 })
	if status := c.get(fmt.Sprintf("/tasks/%d", waiting))["status"]; status != "enqueued" && status != "processing" {
		t.Error("the unfinished task is", status)
	}
}

// TestNodesForgetTheirTasks: a server deletes its oldest finished tasks when it has a million. It is not taken for one that
// lost its disk, and goes on taking writes.
func TestNodesForgetTheirTasks(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 2, shards: 2, spread: fsm.SpreadAll})
	c.do("POST", "/indexes/a/documents", `[{"id":1}]`)
	c.stop()
	for id := range c.nodes {
		c.on(id, "DELETE", "/tasks?statuses=succeeded", "")
		c.until("the node to forget", func() bool { return c.on(id, "GET", "/tasks?types=documentAdditionOrUpdate", "")["total"] == 0.0 })
	}
	var looks atomic.Int32
	for _, n := range c.nodes {
		n.Fail(func(r *http.Request) *devnode.Fault {
			if r.URL.Path == "/tasks" && r.URL.Query().Get("limit") == "1" {
				looks.Add(1)
			}
			return nil
		})
	}
	c.start()
	c.until("the look at the nodes' history", func() bool { return looks.Load() >= 2 })
	c.do("POST", "/indexes/a/documents", `[{"id":2}]`)
	if states := c.replicas("a"); states[fsm.Active] != 4 {
		t.Error("replicas:", states)
	}
}
