package proxy

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"miroir/devnode"
	"miroir/fsm"
	"miroir/meili"
	"miroir/workers"
)

// config changes the configuration of the cluster.
func (c *writeCluster) config(change func(*fsm.Config)) {
	c.t.Helper()
	config := c.state.View().Config
	change(&config)
	if _, err := fsm.Do(c.t.Context(), c.state, fsm.SetConfig{Config: config}); err != nil {
		c.t.Fatal(err)
	}
}

// The replication factor rises and falls under load. Red when a surplus replica leaves before others are in sync.
func TestReplicationFactorChangesUnderLoad(t *testing.T) {
	for name, spread := range map[string]int{"whole": fsm.SpreadAuto, "spread": fsm.SpreadAll} {
		t.Run(name, func(t *testing.T) {
			c := newRepairCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 6, spread: spread}, workers.Repair{PageSize: 10})
			l := c.begin(2, 2)
			for _, rf := range []int{2, 3, 1} {
				c.ended(c.begun("PATCH", "/_miroir/topology", fmt.Sprintf(`{"replication_factor":%d}`, rf)))
				c.balanced()
				c.placed()
			}
			l.end()
		})
	}
}

// A write has been answered by its nodes and is not decided when the replication factor falls. Red when a replica that may be the only
// one to have the write is taken out of sync meanwhile.
func TestNoReplicaInSyncLeavesWhileAWriteIsOpen(t *testing.T) {
	for name, spread := range map[string]int{"whole": fsm.SpreadAuto, "spread": fsm.SpreadAll} {
		t.Run(name, func(t *testing.T) {
			c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 2, shards: 2, spread: spread})
			succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1}]`))
			c.stop()
			collected, decided := make(chan struct{}), make(chan struct{})
			c.options.OnWriteStep = func(step WriteStep, _ fsm.NodeID) {
				if step == StepCollected {
					close(collected)
					<-decided
				}
			}
			c.start()
			c.repair(workers.Repair{MaxHold: time.Minute})
			answered := make(chan int, 1)
			go func() { answered <- c.call("POST", "/indexes/m/documents", `[{"id":2}]`).Code }()
			<-collected
			job := c.begun("PATCH", "/_miroir/topology", `{"replication_factor":1}`)
			for end := time.After(300 * time.Millisecond); end != nil; { // turns come every millisecond
				select {
				case <-end:
					end = nil
				case <-time.After(time.Millisecond):
					if n := c.replicas("m")[fsm.Leaving]; n > 0 {
						t.Errorf("%d replicas leave", n)
						end = nil
					}
				}
			}
			close(decided)
			if code := <-answered; code != http.StatusAccepted {
				t.Errorf("status %d", code)
			}
			c.ended(job)
			c.balanced()
			c.placed()
			if got := c.get("/indexes/m/documents")["total"]; got != 2.0 {
				t.Errorf("%v documents, want 2", got)
			}
		})
	}
}

// A node accepts to drop the index that it no longer holds and fails. Red when the task of the node is not looked at.
func TestSurplusIndexThatANodeFailsToDropIsDroppedLater(t *testing.T) {
	c := newRepairCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 2, shards: 2, spread: fsm.SpreadAuto}, workers.Repair{})
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1}]`))
	for _, n := range c.nodes {
		failures := 0
		n.FailTasks(func(kind meili.TaskKind) *meili.Error {
			if kind != meili.TaskIndexDeletion || failures == 3 {
				return nil
			}
			failures++
			return meili.Errorf(meili.CodeInternal, "no space left")
		})
	}
	c.ended(c.begun("PATCH", "/_miroir/topology", `{"replication_factor":1}`))
	c.balanced()
	left := 0
	for node := range c.nodes {
		if c.on(node, "GET", "/indexes/m", "")["code"] != "index_not_found" {
			left++
		}
	}
	if left != 1 {
		t.Errorf("%d nodes have the index, want 1", left)
	}
}

// A second group is filled under load, activated, and the first one removed. Red when a group that is not complete is read.
func TestGroupsComeAndGoUnderLoad(t *testing.T) {
	for name, spread := range map[string]int{"whole": fsm.SpreadAuto, "spread": fsm.SpreadAll} {
		t.Run(name, func(t *testing.T) {
			c := newRepairCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 6, spread: spread, spare: 2}, workers.Repair{PageSize: 10})
			l := c.begin(2, 2)
			var early []string // reads that reach the new group before it is activated
			for _, id := range []string{"s0", "s1"} {
				c.nodes[id].Fail(func(r *http.Request) *devnode.Fault {
					if g := c.state.View().Group(7); strings.HasSuffix(r.URL.Path, "/search") && (g == nil || g.State != fsm.GroupActive) {
						early = append(early, r.URL.Path)
					}
					return nil
				})
			}
			c.admin("POST", "/_miroir/rebalance/pause", "", 200)
			job := c.begun("POST", "/_miroir/replica_groups", `{"id":7,"nodes":[{"id":"a","address":"http://s0"},{"id":"b","address":"http://s1"}]}`)
			refused := c.admin("POST", "/_miroir/replica_groups/7/activate", "", http.StatusPreconditionFailed)
			if !strings.Contains(refused["message"].(string), "m") || refused["code"] != "miroir_precondition_failed" {
				t.Errorf("activation too early: %v", refused)
			}
			c.admin("POST", "/_miroir/rebalance/resume", "", 200)
			c.ended(job)
			c.balanced()
			if status := c.admin("GET", "/_miroir/replica_groups/7/status", "", 200); status["state"] != "initializing" || status["shards_active"] != status["shards_total"] {
				t.Errorf("status of the full group: %v", status)
			}
			if len(early) > 0 {
				t.Errorf("%d searches went to the group before it was activated", len(early))
			}
			c.admin("POST", "/_miroir/replica_groups/7/activate", "", 200)
			c.placed()
			c.admin("DELETE", "/_miroir/replica_groups/0", "", http.StatusAccepted)
			c.admin("DELETE", "/_miroir/replica_groups/0", "", http.StatusConflict)
			c.admin("DELETE", "/_miroir/replica_groups/0?force=true", "", 200)
			c.admin("DELETE", "/_miroir/replica_groups/7", "", http.StatusConflict) // the last one
			l.end()
			if c.state.View().Group(0) != nil || c.state.View().Node("n0-0") != nil {
				t.Error("the group or its nodes are still known")
			}
		})
	}
}

// The last copies of an index were on nodes that lost their disks. Nothing is guessed, and removing such a node by force is refused
// by name, until the loss is accepted: then the index can be used again. Red when a copy that is stale is not counted as the
// last: the node goes without a word, and the shard stays without a copy for ever.
func TestWhatIsLostIsGivenUpByName(t *testing.T) {
	for name, spread := range map[string]int{"whole": fsm.SpreadAuto, "spread": fsm.SpreadAll} {
		t.Run(name, func(t *testing.T) {
			c := newRepairCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 4, spread: spread}, workers.Repair{PageSize: 10})
			c.fill("m", oracle{}, 20)
			id := c.holderOf("m")
			c.nodes[id].Wipe()
			if err := c.server.MarkDiskLost(t.Context(), fsm.NodeID(id), -1); err != nil {
				t.Fatal(err)
			}
			if got := c.warnings(); !strings.Contains(got, "they were last on "+id) || !strings.Contains(got, "--accept-data-loss") {
				t.Errorf("warnings: %s", got)
			}
			refused := c.admin("DELETE", "/_miroir/nodes/"+id+"?force=true", "", http.StatusConflict)
			if !strings.Contains(refused["message"].(string), "holds the last copy of m") {
				t.Errorf("refusal: %v", refused)
			}
			gone := c.admin("DELETE", "/_miroir/nodes/"+id+"?force=true&accept_data_loss=true", "", http.StatusOK)
			if len(gone["lost_shards"].([]any)) == 0 {
				t.Errorf("removed: %v", gone)
			}
			c.balanced()
			succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1},{"id":2},{"id":3}]`))
			answer := c.call("POST", "/indexes/m/search", `{}`)
			if answer.Code != http.StatusOK || answer.Header().Get("X-Miroir-Degraded") != "" {
				t.Errorf("search: %d %v %s", answer.Code, answer.Header(), answer.Body)
			}
			if got := c.warnings(); strings.Contains(got, "last on") {
				t.Errorf("warnings: %s", got)
			}
		})
	}
}

// A group that is the last to have a shard in sync is not removed, nor any of its nodes. Red when its nodes go one after another
// until one is refused. Activating a group that is active changes nothing.
func TestAGroupGoesAsAWhole(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 2, perGroup: 2, rf: 1, shards: 8, spread: fsm.SpreadAll})
	c.fill("m", oracle{}, 30)
	since := fmt.Sprint(c.state.View().Group(0).Since)
	c.admin("POST", "/_miroir/replica_groups/0/activate", "", http.StatusOK)
	if now := fmt.Sprint(c.state.View().Group(0).Since); now != since {
		t.Errorf("group 0 is active since %s, before since %s", now, since)
	}
	c.admin("DELETE", "/_miroir/replica_groups/1", "", http.StatusAccepted)
	ix := c.state.View().Index("m")
	for shard := range fsm.ShardID(8) {
		if ix.Replicas(1, shard)[0].Node == "n1-1" {
			ref := fsm.ReplicaRef{Index: ix.ID, Group: 0, Shard: shard, Node: ix.Replicas(0, shard)[0].Node}
			mark := fsm.MarkReplicas{Now: time.Now(), Changes: []fsm.ReplicaChange{{ReplicaRef: ref, From: fsm.Active, To: fsm.Stale}}}
			if _, err := fsm.Do(t.Context(), c.state, mark); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	c.admin("DELETE", "/_miroir/replica_groups/1?force=true", "", http.StatusConflict)
	if v := c.state.View(); v.Node("n1-0") == nil || v.Node("n1-1") == nil || v.Group(1) == nil {
		t.Errorf("a refused removal took nodes away: %v are left", nodesOf(v, 1))
	}
}

// All replicas of a new group are on their way in from the start, however many those are. Red when they come four by four, as
// moves do.
func TestReplicasOfANewGroupJoinAtOnce(t *testing.T) {
	c := newRepairCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 16, spread: fsm.SpreadAll, spare: 2}, workers.Repair{})
	c.fill("m", oracle{}, 20)
	for _, id := range []string{"s0", "s1"} {
		c.nodes[id].PauseTasks()
	}
	job := c.begun("POST", "/_miroir/replica_groups", `{"id":7,"nodes":[{"id":"a","address":"http://s0"},{"id":"b","address":"http://s1"}]}`)
	c.until("every shard to be on its way", func() bool {
		for shard := range fsm.ShardID(16) {
			if len(c.state.View().Index("m").Replicas(7, shard)) == 0 {
				return false
			}
		}
		return true
	})
	for _, id := range []string{"s0", "s1"} {
		c.nodes[id].ResumeTasks()
	}
	c.ended(job)
	c.balanced()
}

// An index outgrows one node while clients read and write it. Red when the growth is not noticed, or an answer differs.
func TestIndexSpreadsUnderLoad(t *testing.T) {
	c := newRepairCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 6, spread: fsm.SpreadAuto}, workers.Repair{PageSize: 10})
	l := c.begin(2, 2)
	c.config(func(config *fsm.Config) { config.SpreadThresholdDocuments = fixedDocuments - 1 })
	c.until("the index to spread", func() bool { return !c.state.View().Index("m").Whole() })
	c.balanced()
	c.placed()
	if n := len(c.state.View().Index("m").Nodes()); n != 3 {
		t.Errorf("the index is on %d nodes", n)
	}
	c.ended(c.begun("PATCH", "/_miroir/indexes/m", `{"spread":2}`))
	c.balanced()
	l.end()
	if n := len(c.state.View().Index("m").Nodes()); n != 2 {
		t.Errorf("the index is on %d nodes, not on the 2 it was told to", n)
	}
	if got := c.admin("GET", "/_miroir/indexes/m", "", 200); got["spread"] != 2.0 || got["effective_spread"] != 2.0 || got["documents"] == nil {
		t.Errorf("index: %v", got)
	}
}

// A node dies for good: after the grace time its copies are made anew, and when it returns after all it has its share
// again. Red when the grace is not kept, or never ends.
func TestFailedNodeIsReplaced(t *testing.T) {
	c := newRepairCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 2, shards: 6, spread: fsm.SpreadAll}, workers.Repair{PageSize: 10})
	l := c.begin(2, 1)
	c.nodes["n0-1"].Stop()
	c.until("the node to be failed", func() bool { return c.state.View().Node("n0-1").State == fsm.NodeFailed })
	if moves := c.server.plan(c.state.View()); moves.NumSteps != 0 {
		t.Errorf("%d steps are planned while the node is waited for", moves.NumSteps)
	}
	c.admin("POST", "/_miroir/nodes/n0-1/fail", "", 200)
	c.until("the copies to be made anew", func() bool {
		v := c.state.View()
		for s := range fsm.ShardID(6) {
			active := 0
			for _, r := range v.Index("m").Replicas(0, s) {
				if r.State == fsm.Active && r.Node != "n0-1" {
					active++
				}
			}
			if active < 2 {
				return false
			}
		}
		return true
	})
	c.nodes["n0-1"].Start()
	c.until("the node to answer", func() bool { return c.manage("POST", "/_miroir/nodes/n0-1/recover", "").Code == http.StatusAccepted })
	c.until("the node to be active", func() bool { return c.state.View().Node("n0-1").State == fsm.NodeActive })
	l.end()
	c.placed()
}

// The time after which a failed node is replaced counts from when it failed, and zero means never.
func TestGraceOfFailedNodes(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 2, shards: 6, spread: fsm.SpreadAll})
	c.fill("m", oracle{}, 3)
	failed := time.Now()
	if _, err := fsm.Do(t.Context(), c.state, fsm.SetNodeState{Now: failed, Node: "n0-1", State: fsm.NodeFailed}); err != nil {
		t.Fatal(err)
	}
	f := func(after time.Duration, graceS int, want bool) {
		t.Helper()
		c.config(func(config *fsm.Config) { config.Rebalancer.ReplaceFailedAfterS = graceS })
		moves := c.state.View().Planner(failed.Add(after)).Plan(nil)
		if got := moves.NumSteps > 0; got != want {
			t.Errorf("after %v with a grace of %d s: moves %v", after, graceS, got)
		}
		for _, step := range moves.Steps {
			if step.Node == "n0-1" && step.Kind == fsm.StepJoin {
				t.Errorf("the failed node is to get %+v", step)
			}
		}
	}
	f(899*time.Second, 900, false)
	f(900*time.Second, 900, true)
	f(time.Hour, 0, false)
}

// The only copy of some shards is on a node that is gone for good.
func TestForcedRemovalTellsWhatIsLost(t *testing.T) {
	c := newRepairCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 4, spread: fsm.SpreadAll}, workers.Repair{PageSize: 10})
	want := oracle{}
	c.fill("m", want, 60)
	ix := c.state.View().Route("m")
	var lost []string
	for s := range fsm.ShardID(4) {
		if ix.Replicas(0, s)[0].Node == "n0-1" {
			lost = append(lost, fmt.Sprintf("m/%d", s))
		}
	}
	c.nodes["n0-1"].Stop()
	refused := c.admin("DELETE", "/_miroir/nodes/n0-1?force=true", "", http.StatusConflict)
	if message := refused["message"].(string); refused["code"] != "miroir_topology_conflict" || !strings.Contains(message, strings.Join(lost, ", ")) {
		t.Errorf("refusal: %v, lost are %v", refused, lost)
	}
	if c.state.View().Node("n0-1") == nil {
		t.Fatal("the refused removal was carried out")
	}
	removed := c.admin("DELETE", "/_miroir/nodes/n0-1?force=true&accept_data_loss=true", "", 200)
	if got := removed["lost_shards"].([]any); len(got) != len(lost) {
		t.Errorf("lost %v, want %v", got, lost)
	}
	for id := range want {
		if ix.Replicas(0, ShardOf(id, 4))[0].Node == "n0-1" {
			delete(want, id)
		}
	}
	for i := range 20 {
		succeeded(t, c.do("POST", "/indexes/m/documents", want.put(1000+i, map[string]any{"v": "after"})))
	}
	c.equalEverywhere("m", want)
	answer := c.call("POST", "/indexes/m/search", `{"limit":1000}`)
	if degraded := answer.Header().Get("X-Miroir-Degraded"); degraded != "" {
		t.Errorf("degraded: %s", degraded)
	}
	c.admin("POST", "/_miroir/nodes", `{"id":"n0-1","address":"http://n0-9"}`, http.StatusConflict) // the id was used
}

// What is refused leaves the state as it was.
func TestTopologyRefusals(t *testing.T) {
	c := newRepairCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 2, shards: 4, spread: fsm.SpreadAll, spare: 3}, workers.Repair{})
	c.fill("m", oracle{}, 10)
	c.on("n0-0", "GET", "/health", "")
	call := func(node, method, path, body string) {
		request, _ := http.NewRequest(method, "http://"+node+path, strings.NewReader(body))
		request.Header.Set("Authorization", "Bearer "+testMasterKey)
		request.Header.Set("Content-Type", "application/json")
		if _, err := c.rt.RoundTrip(request); err != nil {
			t.Fatal(err)
		}
	}
	call("s1", "POST", "/indexes", `{"uid":"m"}`)
	c.nodes["s2"].Stop()
	c.until("the index to be there", func() bool {
		return c.manage("POST", "/_miroir/nodes", `{"id":"x","address":"http://s1","dry_run":true}`).Code == http.StatusConflict
	})
	for _, test := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"POST", "/_miroir/nodes", `{"id":"","address":"http://s0"}`, 400, "miroir_invalid_argument"},
		{"POST", "/_miroir/nodes", `{"id":"a/b","address":"http://s0"}`, 400, "miroir_invalid_argument"},
		{"POST", "/_miroir/nodes", `{"id":"x","address":"ftp://s0"}`, 400, "miroir_invalid_argument"},
		{"POST", "/_miroir/nodes", `{"id":"x","address":"http://s0","color":1}`, 400, "miroir_invalid_argument"},
		{"POST", "/_miroir/nodes", `{"id":"x","address":"http://s0"} x`, 400, "miroir_invalid_argument"},
		{"POST", "/_miroir/nodes", `{"id":"n0-0","address":"http://s0"}`, 409, "miroir_topology_conflict"},
		{"POST", "/_miroir/nodes", `{"id":"x","address":"http://n0-0"}`, 409, "miroir_topology_conflict"},
		{"POST", "/_miroir/nodes", `{"id":"x","address":"http://s1"}`, 409, "miroir_topology_conflict"}, // has an index of ours
		{"POST", "/_miroir/nodes", `{"id":"x","address":"http://s2"}`, 400, "miroir_invalid_argument"},  // does not answer
		{"POST", "/_miroir/nodes", `{"id":"x","address":"http://s0","key":"wrong"}`, 400, "miroir_invalid_argument"},
		{"POST", "/_miroir/nodes", `{"id":"x","address":"http://s0","replica_group":5}`, 404, "miroir_not_found"},
		{"POST", "/_miroir/nodes/nobody/drain", ``, 404, "miroir_not_found"},
		{"POST", "/_miroir/nodes/n0-0/drain", ``, 409, "miroir_topology_conflict"}, // replication factor 2
		{"DELETE", "/_miroir/nodes/n0-0", ``, 409, "miroir_topology_conflict"},
		{"DELETE", "/_miroir/nodes/n0-0?force=yes", ``, 400, "miroir_invalid_argument"},
		{"DELETE", "/_miroir/nodes/n0-0?accept_data_loss=true", ``, 400, "miroir_invalid_argument"},
		{"POST", "/_miroir/nodes/n0-0/drain/cancel", ``, 409, "miroir_topology_conflict"},
		{"POST", "/_miroir/nodes/n0-0/recover", ``, 409, "miroir_topology_conflict"},
		{"PATCH", "/_miroir/topology", `{}`, 400, "miroir_invalid_argument"},
		{"PATCH", "/_miroir/topology", `{"replication_factor":0}`, 400, "miroir_invalid_argument"},
		{"PATCH", "/_miroir/topology", `{"replication_factor":3}`, 409, "miroir_topology_conflict"},
		{"PATCH", "/_miroir/topology", `{"shards":5000}`, 400, "miroir_invalid_argument"},
		{"PATCH", "/_miroir/indexes/m", `{"spread":"some"}`, 400, "miroir_invalid_argument"},
		{"PATCH", "/_miroir/indexes/m", `{"spread":0}`, 400, "miroir_invalid_argument"},
		{"PATCH", "/_miroir/indexes/none", `{"spread":2}`, 404, "miroir_not_found"},
		{"POST", "/_miroir/replica_groups", `{"nodes":[]}`, 400, "miroir_invalid_argument"},
		{"POST", "/_miroir/replica_groups", `{"id":0,"nodes":[]}`, 409, "miroir_topology_conflict"},
		{"POST", "/_miroir/replica_groups", `{"id":1,"nodes":[{"id":"x","address":"http://s0"}]}`, 409, "miroir_topology_conflict"},
		{"POST", "/_miroir/replica_groups", `{"id":1,"nodes":[{"id":"x","address":"http://s0"},{"id":"x","address":"http://s0"}]}`, 400, "miroir_invalid_argument"},
		{"POST", "/_miroir/replica_groups/9/activate", ``, 404, "miroir_not_found"},
		{"DELETE", "/_miroir/replica_groups/0", ``, 409, "miroir_topology_conflict"},
		{"GET", "/_miroir/replica_groups/x/status", ``, 400, "miroir_invalid_argument"},
		{"POST", "/_miroir/rebalance", `{"index":"none"}`, 404, "miroir_not_found"},
		{"GET", "/_miroir/jobs/none", ``, 404, "miroir_not_found"},
		{"POST", "/_miroir/jobs/none/cancel", ``, 404, "miroir_not_found"},
	} {
		before := c.state.View()
		answer := c.admin(test.method, test.path, test.body, test.status)
		if answer["code"] != test.code {
			t.Errorf("%s %s %s: %v", test.method, test.path, test.body, answer)
		}
		after := c.state.View()
		same := reflect.DeepEqual(before.Groups, after.Groups) && reflect.DeepEqual(before.Indexes, after.Indexes) &&
			len(before.Nodes) == len(after.Nodes) && before.Config == after.Config && reflect.DeepEqual(before.Jobs, after.Jobs)
		if !same {
			t.Errorf("%s %s %s changed the state", test.method, test.path, test.body)
		}
	}
}

// Moves are paused, survive a new leader, go on, and are taken back. Red when a paused move starts, or a canceled one
// leaves something behind.
func TestPauseResumeCancel(t *testing.T) {
	c := newRepairCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 8, spread: fsm.SpreadAll, spare: 1}, workers.Repair{PageSize: 5})
	l := c.begin(1, 1)
	c.admin("POST", "/_miroir/rebalance/pause", "", 200)
	c.until("the node to be added", func() bool { // a busy machine may take it for one that does not answer
		return c.manage("POST", "/_miroir/nodes", `{"id":"new","address":"http://s0"}`).Code == http.StatusAccepted
	})
	c.repair(workers.Repair{PageSize: 5}) // a new leader
	if got := c.admin("GET", "/_miroir/rebalance/status", "", 200); got["state"] != "paused" || got["queued"] == 0.0 {
		t.Errorf("status: %v", got)
	}
	if n := c.server.topology(c.state.View()).Nodes; len(n) != 3 || n[2].ShardCount != 0 {
		t.Errorf("the new node has replicas while moves are paused: %+v", n[2])
	}
	c.config(func(config *fsm.Config) { config.Rebalancer.ThrottleDocsPerSec = 1 }) // so that a move can be seen
	c.admin("POST", "/_miroir/rebalance/resume", "", 200)
	c.until("a move to begin", func() bool { return c.replicas("m")[fsm.Joining] > 0 })
	if got := c.admin("POST", "/_miroir/rebalance/cancel", "", 200); got["state"] != "canceled" {
		t.Errorf("canceled: %v", got)
	}
	c.until("the moves to be taken back", func() bool {
		counts := c.replicas("m")
		return counts[fsm.Joining]+counts[fsm.Stale]+counts[fsm.Leaving] == 0
	})
	c.config(func(config *fsm.Config) { config.Rebalancer.ThrottleDocsPerSec = 0 })
	c.ended(c.begun("POST", "/_miroir/rebalance", ""))
	l.end()
	c.placed()
}

// Metrics tell of shards and replicas as they are now.
func TestShardMetrics(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 4, spread: fsm.SpreadAll})
	c.fill("m", oracle{}, 3)
	text := c.manage("GET", "/_miroir/metrics", "").Body.String()
	on := replicasByNode(c.state.View())
	for _, line := range []string{"miroir_shard_coverage 4", "miroir_degraded_shards_total 0", `miroir_replicas{state="active"} 4`,
		`miroir_replicas{state="stale"} 0`, fmt.Sprintf(`miroir_shard_distribution{node_id="n0-1"} %d`, on["n0-1"])} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("%q is missing in\n%s", line, text)
		}
	}
}

// A drain is canceled: what has moved comes home. Two operations on one node are refused.
func TestDrainIsCanceled(t *testing.T) {
	c := newRepairCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 8, spread: fsm.SpreadAll}, workers.Repair{PageSize: 5})
	l := c.begin(1, 1)
	c.config(func(config *fsm.Config) { config.Rebalancer.ThrottleDocsPerSec = 1 })
	before := c.server.topology(c.state.View()).Nodes[0].ShardCount
	if moves := c.admin("POST", "/_miroir/nodes/n0-0/drain", `{"dry_run":true}`, 200); len(moves["moves"].([]any)) != before {
		t.Errorf("%d replicas, dry run: %v", before, moves)
	}
	job := c.begun("POST", "/_miroir/nodes/n0-0/drain", "")
	for _, again := range []string{"POST /_miroir/nodes/n0-0/drain", "DELETE /_miroir/nodes/n0-0", "POST /_miroir/nodes/n0-0/fail"} {
		method, path, _ := strings.Cut(again, " ")
		if got := c.admin(method, path, "", http.StatusConflict); got["code"] != "miroir_operation_in_progress" {
			t.Errorf("%s: %v", again, got)
		}
	}
	c.admin("POST", "/_miroir/jobs/"+job+"/cancel", "", 200)
	if got := c.admin("GET", "/_miroir/jobs/"+job, "", 200); got["state"] != "canceled" {
		t.Errorf("job: %v", got)
	}
	c.config(func(config *fsm.Config) { config.Rebalancer.ThrottleDocsPerSec = 0 })
	l.end()
	c.placed()
	if got := c.server.topology(c.state.View()).Nodes[0].ShardCount; got != before {
		t.Errorf("%d replicas after the canceled drain, %d before", got, before)
	}
}

// A search goes by a view while shards move: the node that answers last has all the documents by then, and the one that
// answered first has handed its over. Red when an answer is not compared with the newest view before it is sent.
func TestReadThatShardsMovedUnderIsDoneAgain(t *testing.T) {
	c := newRepairCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 8, spread: fsm.SpreadAll}, workers.Repair{PageSize: 50, Metrics: metrics.NewSet()})
	c.fill("m", oracle{}, 60)
	moved := make(chan struct{})
	asked := make(chan struct{}, 10)
	c.nodes["n0-1"].Fail(func(r *http.Request) *devnode.Fault {
		if strings.HasSuffix(r.URL.Path, "/multi-search") || strings.HasSuffix(r.URL.Path, "/search") {
			asked <- struct{}{}
			<-moved
		}
		return nil
	})
	done := make(chan map[string]any)
	go func() { done <- c.get("/indexes/m/search?limit=1000") }()
	<-asked
	c.ended(c.begun("POST", "/_miroir/nodes/n0-0/drain", ""))
	close(moved)
	answer := <-done
	if hits, _ := answer["hits"].([]any); len(hits) != 60 || answer["estimatedTotalHits"] != 60.0 {
		t.Errorf("%d hits of 60 documents, total %v", len(hits), answer["estimatedTotalHits"])
	}
}

// A node takes over its share without a look at the placement in between but the first. Red when moves wait for the next one.
func TestMovesFollowOneAnother(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 2, shards: 32, spread: fsm.SpreadAll, spare: 1})
	movies(c, "m", 100)
	c.begun("POST", "/_miroir/nodes", `{"id":"s0","address":"http://s0"}`)
	view := c.state.View()
	want := 0
	for _, nodes := range view.Planner(time.Now()).Targets(view.Index("m"), 0) {
		if slices.Contains(nodes, "s0") {
			want++
		}
	}
	if want <= 4 {
		t.Fatalf("%d replicas belong on the new node: too few to show anything", want)
	}
	c.repair(workers.Repair{Interval: time.Hour})
	c.until("the new node to have its share", func() bool {
		have := 0
		for s := range fsm.ShardID(32) {
			if replicaAt(c.state.View().Index("m"), s, "s0").State == fsm.Active {
				have++
			}
		}
		return have == want
	})
}

// A filter that can match nothing is refused by name, rather than answered with no shards.
func TestShardsRefuseFiltersThatMatchNothing(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 4, spread: fsm.SpreadAll})
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1}]`))
	for query, named := range map[string]string{"state=gone": "`state`", "group=x": "`group`", "group=-1": "`group`"} {
		if refused := c.admin("GET", "/_miroir/shards?"+query, "", http.StatusBadRequest); !strings.Contains(refused["message"].(string), named) || refused["code"] != "miroir_invalid_argument" {
			t.Errorf("%s: %v", query, refused)
		}
	}
	if answer := c.manage("GET", "/_miroir/shards?state=active&group=0", ""); answer.Code != http.StatusOK || strings.Count(answer.Body.String(), `"index":"m"`) != 4 {
		t.Errorf("the shards in sync: %d %s", answer.Code, answer.Body)
	}
}
