package proxy

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"miroir/fsm"
	"miroir/tasks"
)

func isPoison(document []byte) bool { return bytes.Contains(document, []byte("poison")) }

// Topology: four groups of one node. Two nodes die of a document, a third has it still before it, and the fourth was away
// and would catch up with it. Red when nobody counts deaths, when a replay does not ask for them, and when nodes that
// return are not told to cancel.
func TestWriteThatKillsNodesIsStoppedAfterTheSecond(t *testing.T) {
	c, _, _ := newCatchUpCluster(t, clusterShape{groups: 4, perGroup: 1, rf: 1, shards: 4})
	want := oracle{}
	c.fill("m", want, 5)
	for _, n := range c.nodes {
		n.CrashOn(isPoison)
	}
	c.nodes["n3-0"].Stop()
	succeeded(t, c.do("POST", "/indexes/m/documents", want.put(6, map[string]any{"v": "missed"})))
	for _, id := range []string{"n0-0", "n1-0", "n2-0"} {
		c.nodes[id].PauseTasks()
	}
	stopped := c.accepted(c.call("POST", "/indexes/m/documents", `[{"id":7,"v":"poison"}]`))
	later := c.accepted(c.call("POST", "/indexes/m/documents", want.put(8, map[string]any{"v": "later"})))
	c.until("the results to be noted", func() bool { return c.state.View().NumOpenIntents == 0 }) // a death before would not count
	c.nodes["n0-0"].ResumeTasks()
	c.until("the first death", func() bool { return c.isDown("n0-0") })
	c.nodes["n3-0"].Start()
	c.until("the replay to come to the write", func() bool {
		return slices.ContainsFunc(c.workers.Repairs(), func(r tasks.Repair) bool { return strings.Contains(r.Error, "a node died of a write") })
	})
	c.nodes["n1-0"].ResumeTasks()
	c.until("the third to be told", func() bool {
		return c.on("n2-0", "GET", "/tasks?types=taskCancelation", "")["total"] != 0.0
	})
	c.nodes["n2-0"].ResumeTasks()
	task := c.await(stopped)
	failure, _ := task["error"].(map[string]any)
	if task["status"] != "failed" || failure["code"] != "miroir_write_stopped" || !strings.Contains(failure["message"].(string), "n0-0, n1-0") {
		t.Errorf("the task ended as %v", task)
	}
	succeeded(t, c.await(later))
	// Their supervisor restarts the dead; processing takes so long that they can be asked before they die again.
	for _, id := range []string{"n0-0", "n1-0"} {
		c.nodes[id].TaskDelay(50 * time.Millisecond)
	}
	c.until("all replicas to be in sync", func() bool {
		c.nodes["n0-0"].Start()
		c.nodes["n1-0"].Start()
		return c.replicas("m")[fsm.Active] == 4
	})
	c.equalEverywhere("m", want)
	for id := range c.nodes {
		if c.isDown(id) {
			t.Errorf("node %s died again", id)
		}
	}
}

func (c *writeCluster) isDown(id string) bool {
	c.t.Helper()
	request, _ := http.NewRequest("GET", "http://"+id+"/health", nil)
	answer, err := c.rt.RoundTrip(request)
	if err == nil {
		answer.Body.Close()
	}
	return err != nil
}
