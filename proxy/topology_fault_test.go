package proxy

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"miroir/devnode"
	"miroir/fsm"
	"miroir/workers"
)

// The disk of the node that replicas move to is full: the moves do not end, the sources stay in service, job and status say
// why, and once there is room everything arrives. Red when a failed task counts as done, or nobody hears of it.
func TestFullTargetDiskStopsTheMove(t *testing.T) {
	const full = `{"message":"There is no more space left on the device.","code":"no_space_left_on_device","type":"system","link":""}`
	c := newRepairCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 8, spread: fsm.SpreadAll, spare: 1}, workers.Repair{})
	movies(c, "m", 50)
	var hasRoom atomic.Bool
	c.nodes["s0"].Fail(func(r *http.Request) *devnode.Fault {
		uids := r.URL.Query().Get("uids")
		if hasRoom.Load() || r.URL.Path != "/tasks" || uids == "" || r.URL.Query().Has("statuses") {
			return nil
		}
		var results []string
		for uid := range strings.SplitSeq(uids, ",") {
			results = append(results, fmt.Sprintf(`{"uid":%s,"indexUid":"m","status":"failed","type":"documentAdditionOrUpdate","error":%s}`, uid, full))
		}
		return &devnode.Fault{Status: http.StatusOK, Body: `{"results":[` + strings.Join(results, ",") + `],"total":1,"limit":20,"from":0,"next":null}`}
	})
	job := c.begun("POST", "/_miroir/nodes", `{"id":"s0","address":"http://s0"}`)
	c.until("the job to say why it does not go on", func() bool {
		text := fmt.Sprint(c.admin("GET", "/_miroir/jobs/"+job, "", http.StatusOK))
		return strings.Contains(text, "no_space_left_on_device") && strings.Contains(text, "running")
	})
	if status := fmt.Sprint(c.admin("GET", "/_miroir/rebalance/status", "", http.StatusOK)); !strings.Contains(status, "no_space_left_on_device") {
		t.Errorf("status: %s", status)
	}
	ix := c.state.View().Index("m")
	for s := range fsm.ShardID(ix.Shards) {
		if replicaAt(ix, s, "s0").State == fsm.Active || !slices.ContainsFunc(ix.Replicas(0, s), func(r fsm.Replica) bool { return r.State == fsm.Active }) {
			t.Errorf("shard %d: %+v", s, ix.Replicas(0, s))
		}
	}
	if seen := c.streamed("m"); len(seen) != 50 {
		t.Errorf("%d documents can be read, want 50", len(seen))
	}
	hasRoom.Store(true)
	c.ended(job)
	c.balanced()
	c.placed()
	if seen := c.streamed("m"); len(seen) != 50 {
		t.Errorf("%d documents can be read after the move, want 50", len(seen))
	}
}

// A node that is drained hangs: its copies are made anew elsewhere, nobody waits for it to delete what it has, and the job says
// what it waits for. Red when a purge is tried on a node that does not answer: it holds the index's writes each time.
func TestADrainOfAHungNodeHoldsNothingUp(t *testing.T) {
	c := newRepairCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 2, shards: 4, spread: fsm.SpreadAuto}, workers.Repair{})
	c.fill("m", oracle{}, 20)
	id := c.holderOf("m")
	node := c.state.View().Node(fsm.NodeID(id))
	var deletions atomic.Int64
	var drains atomic.Bool
	c.nodes[id].Fail(func(r *http.Request) *devnode.Fault {
		if r.URL.Path == "/health" && !drains.Load() {
			return nil // or it is degraded before it can be drained
		}
		if r.Method == http.MethodDelete {
			deletions.Add(1)
		}
		return &devnode.Fault{DropBefore: true}
	})
	c.until("the node to be missed", func() bool {
		c.server.Nodes().Get(node).ReportGarbage()
		return !c.server.Nodes().Get(node).Alive()
	})
	job := c.begun("POST", "/_miroir/nodes/"+id+"/drain", "")
	drains.Store(true)
	c.until("its copies to be elsewhere", func() bool {
		c.server.Nodes().Get(node).ReportGarbage()
		counts := c.replicas("m")
		return counts[fsm.Active] == 2 && counts[fsm.Leaving] == 1
	})
	for range 100 {
		c.server.Nodes().Get(node).ReportGarbage()
		succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1,"v":"x"}]`))
	}
	if n := deletions.Load(); n != 0 {
		t.Errorf("%d deletions were sent to a node that does not answer", n)
	}
	got := c.admin("GET", "/_miroir/jobs/"+job, "", http.StatusOK)
	if got["state"] != "running" || got["phase"] != "deleting" || !strings.Contains(fmt.Sprint(got["error"]), "miroir node remove "+id+" --force") {
		t.Errorf("job: %v", got)
	}
	if !strings.Contains(c.warnings(), "node "+id+" does not answer: its copies are made anew elsewhere") {
		t.Errorf("warnings: %s", c.warnings())
	}
	c.nodes[id].Fail(nil)
	c.ended(job)
}
