package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"miroir/fsm"
	"miroir/proxy/node"
	"miroir/tasks"
	"miroir/workers"
)

// warnings are those of the status as one text.
func (c *writeCluster) warnings() string {
	c.t.Helper()
	return fmt.Sprint(c.admin("GET", "/_miroir/status", "", http.StatusOK)["warnings"])
}

// What is wrong is named, and so is what to do about it.
func TestStatusSaysWhatToDo(t *testing.T) {
	c := newRepairCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 2, shards: 4, spread: fsm.SpreadAll}, workers.Repair{})
	c.fill("m", oracle{}, 20)
	says := func(when string, want ...string) {
		t.Helper()
		got := c.warnings()
		for _, text := range want {
			if !strings.Contains(got, text) {
				t.Errorf("%s: %q is not in %s", when, text, got)
			}
		}
	}
	if got := c.warnings(); got != "[]" {
		t.Errorf("nothing is wrong: %s", got)
	}
	c.admin("POST", "/_miroir/rebalance/pause", "", http.StatusOK)
	says("moves are paused", "paused", "miroir rebalance resume")
	job := c.begun("POST", "/_miroir/nodes/n0-2/drain", "")
	status := c.admin("GET", "/_miroir/status", "", http.StatusOK)
	if text := fmt.Sprint(status["jobs"]); !strings.Contains(text, job) || !strings.Contains(text, "paused") {
		t.Errorf("jobs: %s", text)
	}
	c.admin("POST", "/_miroir/rebalance/resume", "", http.StatusOK)
	c.ended(job)
	says("a node is drained", "node n0-2 is drained", "miroir node remove n0-2")
	c.admin("POST", "/_miroir/nodes/n0-2/drain/cancel", "", http.StatusOK)
	c.balanced()

	c.nodes["n0-1"].Stop()
	failed := fsm.SetNodeState{Now: c.server.opts.Now(), Node: "n0-1", State: fsm.NodeFailed, Error: "connection refused"}
	if _, err := fsm.Do(t.Context(), c.state, failed); err != nil {
		t.Fatal(err)
	}
	says("a node has failed", "node n0-1 has failed (connection refused)", "copies are made anew elsewhere, at once with `miroir node fail n0-1`")
	c.config(func(config *fsm.Config) { config.Rebalancer.ReplaceFailedAfterS = 0 })
	says("failed nodes are never replaced", "bring it back, or `miroir node fail n0-1`")
	c.admin("POST", "/_miroir/nodes/n0-1/fail", "", http.StatusOK)
	says("a node was declared dead", "node n0-1 was declared dead", "miroir node remove n0-1 --force")
}

// Shards that nobody can answer are named.
func TestStatusNamesUncoveredShards(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 4, spread: fsm.SpreadAll})
	c.fill("m", oracle{}, 20)
	c.nodes["n0-0"].Stop()
	c.until("the node to be missed", func() bool {
		c.call("POST", "/indexes/m/search", `{}`)
		return strings.Contains(c.warnings(), "4 shards have no reachable in-sync replica (m/0, m/1, m/2, m/3)")
	})
	if got := c.warnings(); !strings.Contains(got, "replication_factor is 1") || !strings.Contains(got, "miroir topology set --replication-factor 2") {
		t.Error(got)
	}
}

// What settles by itself is counted, so that nobody takes the next node away before: copies out of sync on nodes that answer, and
// nodes on their way back. A node that is gone does not settle.
func TestStatusCountsWhatSettles(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 2, shards: 4, spread: fsm.SpreadAll}) // no repair
	c.fill("m", oracle{}, 20)
	settling := func() any {
		return c.admin("GET", "/_miroir/status", "", http.StatusOK)["shards"].(map[string]any)["settling"]
	}
	if got := settling(); got != 0.0 {
		t.Errorf("%v settle, and nothing is wrong", got)
	}
	failed := fsm.SetNodeState{Now: c.server.opts.Now(), Node: "n0-1", State: fsm.NodeFailed}
	stale := fsm.MarkNodeStale{Now: c.server.opts.Now(), Node: "n0-1"}
	if _, err := fsm.Do(t.Context(), c.state, failed); err != nil {
		t.Fatal(err)
	}
	if _, err := fsm.Do(t.Context(), c.state, stale); err != nil {
		t.Fatal(err)
	}
	if got := settling(); got != 5.0 {
		t.Errorf("%v settle, want the node and its four copies", got)
	}
	c.nodes["n0-1"].Stop()
	c.server.Nodes().Get(c.state.View().Node("n0-1")).ReportGarbage()
	if got := settling(); got != 0.0 {
		t.Errorf("%v settle on a node that is gone", got)
	}
}

// Jobs are listed by type and state.
func TestJobsAreFiltered(t *testing.T) {
	c := newRepairCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 4, spread: fsm.SpreadAll}, workers.Repair{})
	c.fill("m", oracle{}, 5)
	c.ended(c.begun("POST", "/_miroir/rebalance", ""))
	c.ended(c.begun("PATCH", "/_miroir/topology", `{"replication_factor":2}`))
	for query, want := range map[string]int{"": 2, "?type=rebalance": 1, "?state=succeeded": 2, "?state=running": 0, "?type=rebalance&state=succeeded": 1, "?type=drain_node": 0} {
		answer := c.manage("GET", "/_miroir/jobs"+query, "")
		if n := strings.Count(answer.Body.String(), `"phase"`); n != want {
			t.Errorf("%q: %d jobs, want %d: %s", query, n, want, answer.Body)
		}
	}
	if got := c.admin("GET", "/_miroir/jobs?state=done", "", http.StatusBadRequest); got["code"] != "miroir_invalid_argument" {
		t.Error(got)
	}
}

// Whatever pod is asked, its status is the leader's, who alone knows what is repaired and who wrote to nodes directly. A
// pod without a leader says that it speaks for itself.
func TestAnyPodTellsTheLeadersStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPodCluster(t)
		leader, follower := c.leader(), c.follower()
		c.pods[leader].server.ShowRepairs(func() []tasks.Repair {
			return []tasks.Repair{{Kind: "repair", Index: "m", Node: "n0", State: "copying", Error: "no space left on device"}}
		})
		for id := range c.pods {
			text := c.call(id, "GET", "/_miroir/status", "").Body.String()
			if !strings.Contains(text, "repair-n0-m") || !strings.Contains(text, "job repair-n0-m: no space left on device") {
				t.Errorf("pod %s: %s", id, text)
			}
		}
		c.cutOff(follower)
		time.Sleep(time.Minute)
		text := c.call(follower, "GET", "/_miroir/status", "").Body.String()
		if !strings.Contains(text, "the leader does not answer this pod") || !strings.Contains(text, "no pod leads") {
			t.Errorf("cut off: %s", text)
		}
		text = c.call(leader, "GET", "/_miroir/status", "").Body.String()
		if !strings.Contains(text, fmt.Sprintf(`"silent_pods":[%q]`, follower)) || !strings.Contains(text, "miroir cluster remove "+follower) {
			t.Errorf("with a pod away: %s", text)
		}
	})
}

// TestANodeThatRefusesTheKeyIsNotWell: an operator gave the wrong key. The client is not told that its own key is wrong, and
// the node's state says what is.
func TestANodeThatRefusesTheKeyIsNotWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 4, spread: fsm.SpreadAuto})
		c.stop()
		c.options.NodeKey = "wrong"
		c.start()
		defer c.stop()
		c.until("the nodes are not well", func() bool {
			for _, n := range c.state.View().Nodes {
				if n.State != fsm.NodeDegraded || !strings.Contains(n.Error, node.ErrKeyRefused.Error()) {
					return false
				}
			}
			return true
		})
		if got := c.call("POST", "/indexes/docs/documents", `{"id":1}`); got.Code != http.StatusServiceUnavailable || !strings.Contains(got.Body.String(), string(codeNoQuorum)) {
			t.Errorf("%d %s", got.Code, got.Body)
		}
	})
}
