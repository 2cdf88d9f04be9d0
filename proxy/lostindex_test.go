package proxy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"miroir/devnode"
	"miroir/fsm"
	"miroir/workers"
)

// takenAway is what somebody does to an index on a node directly, and what clients write right after it.
var takenAway = map[string]struct{ method, path, body, write string }{
	"deleted":                 {"DELETE", "/indexes/m", "", ""},
	"deleted, and written to": {"DELETE", "/indexes/m", "", `[{"id":3,"v":"later","n":3},{"id":1003,"v":"later","n":1003}]`},
	"renamed, and written to": {"PATCH", "/indexes/m", `{"uid":"away"}`, `[{"id":3,"v":"later","n":3},{"id":1003,"v":"later","n":1003}]`},
}

// take takes the index m away on a node, and writes.
func (c *writeCluster) take(node string, want oracle, how struct{ method, path, body, write string }) {
	c.t.Helper()
	summary := c.on(node, how.method, how.path, how.body)
	c.until("the node's task", func() bool {
		return c.on(node, "GET", fmt.Sprintf("/tasks/%v", summary["taskUid"]), "")["status"] == "succeeded"
	})
	if how.write == "" {
		return
	}
	want.put(3, map[string]any{"v": "later", "n": 3.0})
	want.put(1003, map[string]any{"v": "later", "n": 1003.0})
	succeeded(c.t, c.do("POST", "/indexes/m/documents", how.write))
}

// An index that somebody deletes on a node is noticed within one look at its tasks and filled again, also when a write has
// made it anew there. Red when deletions on nodes are not looked at: the node then answers with what came later.
func TestAnIndexTakenAwayOnANodeIsFilledAgain(t *testing.T) {
	for shapeName, shape := range repairShapes {
		for name, how := range takenAway {
			t.Run(shapeName+"/"+name, func(t *testing.T) {
				c := newWriteCluster(t, shape)
				want := oracle{}
				succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"filterableAttributes":["n"]}`))
				c.fill("m", want, 40)
				id := c.holderOf("m")
				set := c.auditEvery(5 * time.Millisecond)
				c.take(id, want, how)
				c.until("the deletion to be counted", func() bool {
					return counted(set, fmt.Sprintf(`miroir_foreign_node_tasks_total{node_id=%q}`, id)) == 1
				})
				c.repaired("m")
				c.equalEverywhere("m", want)
				if total := c.get("/indexes/m/documents?limit=0")["total"]; total != float64(len(want)) {
					t.Errorf("%v documents, want %d", total, len(want))
				}
				if found := c.find(`{"filter":"n >= 0"}`); found["estimatedTotalHits"] != float64(len(want)) {
					t.Errorf("a filter finds %v", found)
				}
			})
		}
	}
}

// While the node has settings of the index to change it cannot be told whether it lost it: it is looked at again. Red when the deletion
// is forgotten then, which only the check of settings would find, minutes later.
func TestADeletionIsLookedAtAgainOnceSettingsRest(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	want := oracle{}
	c.fill("m", want, 20)
	c.take("n1-0", want, takenAway["deleted"])
	c.nodes["n1-0"].PauseTasks()
	c.on("n1-0", "PATCH", "/indexes/m/settings", `{"rankingRules":["words"]}`)
	var turns atomic.Int32 // of the watch, after it was told of the open change
	c.nodes["n1-0"].Fail(func(r *http.Request) *devnode.Fault {
		query := r.URL.Query()
		isOpen := query.Get("statuses") == "enqueued,processing" && query.Get("types") == "settingsUpdate,indexCreation"
		isTurn := r.URL.Path == "/tasks" && len(query) == 1 && query.Get("limit") == "1"
		if isOpen || isTurn && turns.Load() > 0 {
			turns.Add(1)
		}
		return nil
	})
	set := c.auditEvery(5 * time.Millisecond)
	c.until("the watch to have looked", func() bool { return turns.Load() > 8 })
	c.nodes["n1-0"].ResumeTasks()
	c.until("the deletion to be counted", func() bool { return counted(set, `miroir_foreign_node_tasks_total{node_id="n1-0"}`) == 1 })
	c.repaired("m")
	c.equalEverywhere("m", want)
}

// When nobody has seen the deletion, as when the leader changed, the check of settings finds it.
func TestTheDriftCheckFindsLostIndexes(t *testing.T) {
	for name, how := range takenAway {
		t.Run(name, func(t *testing.T) {
			c := newWriteCluster(t, twoCopies)
			want := oracle{}
			c.fill("m", want, 20)
			c.take("n1-0", want, how)
			set := c.watchDrift(workers.Drift{Interval: time.Millisecond})
			c.until("its copy to be stale", func() bool { return c.replicas("m")[fsm.Stale] == 1 })
			if n := counted(set, driftRepairs); n != 0 {
				t.Errorf("%d settings were put right on an index that is gone", n)
			}
			if c.replicas("m")[fsm.Active] != 1 {
				t.Errorf("replicas %v", c.replicas("m"))
			}
		})
	}
}

// A copy whose index was deleted has no say in what is right, though it has been in sync longest.
func TestADeletedCopyHasNoSay(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	want := oracle{}
	c.fill("m", want, 20)
	other := fsm.ReplicaRef{Index: c.state.View().Index("m").ID, Group: 1, Node: "n1-0"}
	mark := fsm.MarkReplicas{Now: time.Now(), Changes: []fsm.ReplicaChange{{ReplicaRef: other, From: fsm.Active, To: fsm.Stale}}}
	if _, err := fsm.Do(t.Context(), c.state, mark); err != nil {
		t.Fatal(err)
	}
	c.audit(nil)
	c.repaired("m") // n0-0 has been in sync longer now
	c.take("n0-0", want, takenAway["deleted, and written to"])
	if pass := c.compared("/_miroir/anti-entropy/run", `{"index":"m"}`); pass.Stale != 1 {
		t.Errorf("pass %+v", pass)
	}
	c.repaired("m")
	c.equalEverywhere("m", want)
}

// What Miroir deletes itself is not taken for somebody else's doing.
func TestOwnDeletionsAreNotForeign(t *testing.T) {
	c := newRepairCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 6, spread: fsm.SpreadAll}, workers.Repair{PageSize: 5})
	want := oracle{}
	c.fill("m", want, 40)
	c.fill("gone", oracle{}, 5)
	set := c.auditEvery(5 * time.Millisecond)
	succeeded(t, c.do("DELETE", "/indexes/gone", ""))
	c.fill("gone", oracle{}, 5)
	c.ended(c.begun("POST", "/_miroir/nodes/n0-0/drain", ""))
	c.admin("POST", "/_miroir/nodes/n0-0/drain/cancel", "", http.StatusOK)
	c.balanced()
	for id := range c.nodes { // what is seen later is seen after the rest
		c.on(id, "POST", "/indexes/other/documents", `[{"id":1}]`)
		c.until("the foreign write to be counted", func() bool { return counted(set, fmt.Sprintf(`miroir_foreign_node_tasks_total{node_id=%q}`, id)) > 0 })
		if n := counted(set, fmt.Sprintf(`miroir_foreign_node_tasks_total{node_id=%q}`, id)); n != 1 {
			t.Errorf("node %s: %d foreign tasks", id, n)
		}
	}
	c.equalEverywhere("m", want)
}

// find is the answer of a search.
func (c *writeCluster) find(body string) map[string]any {
	c.t.Helper()
	answer := c.call("POST", "/indexes/m/search", body)
	found := map[string]any{}
	if err := json.Unmarshal(answer.Body.Bytes(), &found); err != nil {
		c.t.Fatalf("%d %s", answer.Code, answer.Body)
	}
	return found
}

// A node comes back with an empty or an older disk so soon that no health check misses it, and nobody writes. Red when the
// task history is looked at only after a missed check.
func TestALostDiskIsNoticedWithoutAMissedCheck(t *testing.T) {
	for name, lose := range map[string]func(n *devnode.Node, old *devnode.Snapshot){
		"wiped":       func(n *devnode.Node, _ *devnode.Snapshot) { n.Wipe() },
		"rolled back": func(n *devnode.Node, old *devnode.Snapshot) { n.Restore(old) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 2, shards: 8, spread: fsm.SpreadAll})
			want := oracle{}
			c.fill("m", want, 20)
			old := c.nodes["n0-1"].Snapshot()
			c.fill("m", want, 40)
			set := c.auditEvery(5 * time.Millisecond)
			c.on("n0-1", "POST", "/indexes/other/documents", `[{"id":1}]`)
			c.until("the node to be looked at", func() bool { return counted(set, `miroir_foreign_node_tasks_total{node_id="n0-1"}`) == 1 })
			lose(c.nodes["n0-1"], old)
			c.until("the loss to be noticed", func() bool {
				return c.replicas("m")[fsm.Stale] > 0 || counted(set, `miroir_repair_shards_total{reason="stale",result="repaired"}`) > 0
			})
			c.repaired("m")
			c.equalEverywhere("m", want)
		})
	}
}
