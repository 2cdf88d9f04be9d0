package proxy

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"miroir/fsm"
)

// bigIndex is an index of that many shards, two copies of each, over nodes of one group, as the planner would place it.
func bigIndex(view *fsm.View, id fsm.IndexID, shards uint32, spread int) *fsm.Index {
	ix := &fsm.Index{ID: id, UID: fmt.Sprint("i", id), NodeUID: fmt.Sprint("i", id), Shards: shards, PrimaryKey: "id", Spread: spread,
		Placement: map[fsm.GroupID][][]fsm.Replica{0: make([][]fsm.Replica, shards)}}
	for shard, nodes := range view.Planner(time.Time{}).Targets(ix, 0) {
		for _, node := range nodes {
			ix.Placement[0][shard] = append(ix.Placement[0][shard], fsm.Replica{Node: node, State: fsm.Active})
		}
	}
	return ix
}

// A search of an index of 1,024 shards on a thousand nodes is planned in milliseconds, and the placement of a thousand
// indexes of 64 shards is small. The bounds are far above what it takes, so that a busy machine does not fail the test; the log has the
// figures.
func TestPlansOfABigCluster(t *testing.T) {
	view := &fsm.View{Config: fsm.DefaultConfig(), Groups: []*fsm.Group{{ID: 0, State: fsm.GroupActive}}, Nodes: map[fsm.NodeID]*fsm.Node{}, Indexes: map[fsm.IndexID]*fsm.Index{}}
	view.Config.ReplicationFactor = 2
	for i := range 1000 {
		id := fsm.NodeID(fmt.Sprintf("node-%d", i))
		view.Nodes[id] = &fsm.Node{ID: id, State: fsm.NodeActive}
	}
	f := func(name string, ix *fsm.Index, bound time.Duration) {
		t.Helper()
		const times = 50
		calls := 0
		began := time.Now()
		for seed := range uint64(times) {
			plan := planRead(planRequest{View: view, Index: ix, Seed: seed})
			asked := map[fsm.ShardID]int{}
			for _, call := range plan.Calls {
				for _, shard := range call.Shards {
					asked[shard]++
				}
			}
			if len(asked) != int(ix.Shards) || len(plan.Missing) > 0 {
				t.Fatalf("%s: %d of %d shards are asked", name, len(asked), ix.Shards)
			}
			calls += len(plan.Calls)
		}
		took := time.Since(began) / times
		t.Logf("%s: planned in %v, %d nodes asked", name, took, calls/times)
		if took > bound {
			t.Errorf("%s: planning took %v", name, took)
		}
	}
	f("1,024 shards on all nodes", bigIndex(view, 1, 1024, fsm.SpreadAll), 2*time.Second)
	f("64 shards on all nodes", bigIndex(view, 2, 64, fsm.SpreadAll), time.Second)
	f("64 shards on 8 nodes", bigIndex(view, 3, 64, 8), time.Second)

	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 1000 {
		ix := bigIndex(view, fsm.IndexID(100+i), 64, fsm.SpreadAll)
		view.Indexes[ix.ID] = ix
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	held := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("1,000 indexes of 64 shards, two copies of each: %d KiB", held>>10)
	if held > 25<<20 { // two groups of these stay below 50 MiB
		t.Errorf("%d MiB", held>>20)
	}
	runtime.KeepAlive(view)
}
