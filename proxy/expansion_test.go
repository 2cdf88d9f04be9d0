package proxy

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"miroir/devnode"
	"miroir/fsm"
	"miroir/workers"
)

// twoOfThree is an index that lives whole on two nodes of three.
var twoOfThree = clusterShape{groups: 1, perGroup: 3, rf: 2, shards: 6, spread: fsm.SpreadAuto}

// filtersShards reports whether a node can filter index m by shard, for good.
func (c *writeCluster) filtersShards(id fsm.NodeID) bool {
	c.t.Helper()
	ready, err := c.server.FiltersShards(c.t.Context(), c.state.View().Index("m").ID, id)
	if err != nil {
		c.t.Error(err)
	}
	return ready
}

// allFilterShards looks whether every node that is read can be asked for some of the shards.
func (c *writeCluster) allFilterShards() {
	c.t.Helper()
	for _, id := range c.state.View().Index("m").Nodes(fsm.Active) {
		c.until("node "+string(id)+" to filter by shard", func() bool { return c.filtersShards(id) })
	}
}

// A node takes its time to make the shard field filterable. Red when the index is cut up before: the node would be asked for some of its
// shards and refuse, or when an index that lives whole has the field filterable from the start.
func TestAnIndexIsCutUpOnceItsNodesFilterByShard(t *testing.T) {
	c := newRepairCluster(t, twoOfThree, workers.Repair{})
	want := oracle{}
	c.fill("m", want, 30)
	holders := c.state.View().Index("m").Nodes(fsm.Active)
	for _, id := range holders {
		if c.filtersShards(id) {
			t.Errorf("node %s filters an index by shard that lives whole", id)
		}
	}
	slow := c.nodes[string(holders[0])]
	slow.PauseTasks()
	var asked atomic.Int32
	slow.Fail(func(r *http.Request) *devnode.Fault {
		if r.URL.Path == "/tasks" && strings.Contains(r.URL.RawQuery, "settingsUpdate") {
			asked.Add(1)
		}
		return nil
	})
	job := c.begun("PATCH", "/_miroir/indexes/m", `{"spread":3}`)
	c.until("the other node to filter by shard", func() bool { return c.filtersShards(holders[1]) })
	before := asked.Load()
	isWhole := func() bool { return c.state.View().Index("m").Whole() }
	c.until("the slow node to be asked again and again", func() bool { return asked.Load() > before+3 || !isWhole() })
	if !isWhole() {
		t.Error("the index is cut up, and a node of it cannot filter by shard")
	}
	slow.Fail(nil)
	slow.ResumeTasks()
	c.ended(job)
	c.balanced()
	c.allFilterShards()
	c.equalEverywhere("m", want)
}

// A node has failed when the index is cut up, and missed nothing else. Red when it is read on its return: it cannot filter by shard.
func TestAnAbsentNodeFiltersByShardWhenItIsReadAgain(t *testing.T) {
	c := newRepairCluster(t, twoOfThree, workers.Repair{})
	want := oracle{}
	c.fill("m", want, 30)
	absent := c.state.View().Index("m").Nodes(fsm.Active)[0]
	c.nodes[string(absent)].Stop()
	c.until("the node to be failed", func() bool { return c.state.View().Node(absent).State == fsm.NodeFailed })
	job := c.begun("PATCH", "/_miroir/indexes/m", `{"spread":3}`)
	c.until("the index to be cut up", func() bool { return !c.state.View().Index("m").Whole() })
	for shard := range fsm.ShardID(6) {
		if r := replicaAt(c.state.View().Index("m"), shard, absent); r.State == fsm.Active {
			t.Errorf("shard %d of the absent node is in sync", shard)
		}
	}
	c.nodes[string(absent)].Start()
	c.ended(job)
	c.balanced()
	c.allFilterShards()
	c.equalEverywhere("m", want)
}

// The only node of an index that lives whole filters by shard, and a change is accepted that takes the field away again. Red when the node
// counts as ready while that is left to it, or afterwards, or cannot be made ready anew.
func TestAChangeOnItsWayEndsFilteringByShard(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 4, spread: fsm.SpreadAuto})
	c.watchDrift(workers.Drift{})
	succeeded(t, addDocuments(c))
	ix := c.state.View().Index("m")
	makeReady := func() {
		t.Helper()
		c.until("the node to filter by shard", func() bool {
			ready, err := c.server.MakeShardsFilterable(t.Context(), ix.ID, "n0-0")
			return ready && err == nil
		})
		if !c.filtersShards("n0-0") {
			t.Error("what was made ready is not")
		}
	}
	makeReady()
	if check, err := c.server.CheckSettings(t.Context(), ix.ID, "n0-0"); err != nil || !check.Equal() || check.Unmarked {
		t.Errorf("the node has other settings than it should: %+v, %v", check, err)
	}
	c.nodes["n0-0"].PauseTasks()
	uid := c.accepted(c.call("PATCH", "/indexes/m/settings", `{"filterableAttributes":["genre"]}`))
	if c.filtersShards("n0-0") {
		t.Error("the node is ready although a change is left to it")
	}
	c.nodes["n0-0"].ResumeTasks()
	succeeded(t, c.await(uid))
	if c.filtersShards("n0-0") {
		t.Error("the node is ready without the field")
	}
	makeReady()
	c.nodes["n0-0"].PauseTasks()
	c.on("n0-0", "PUT", "/indexes/m/settings/filterable-attributes", `["genre"]`)
	if c.filtersShards("n0-0") {
		t.Error("the node is ready although it has a change to do that is not in the log, as when one is undone")
	}
	c.nodes["n0-0"].ResumeTasks()
	c.until("the node to have done the change", func() bool { return c.idle("n0-0") && !c.filtersShards("n0-0") })
	makeReady()
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1,"genre":"a"}]`))
	if got := c.get("/indexes/m/documents?filter=genre%3Da"); got["total"] != 1.0 {
		t.Errorf("the client's filter finds %v", got["total"])
	}
}
