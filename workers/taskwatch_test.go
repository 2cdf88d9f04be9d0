package workers

import (
	"testing"

	"miroir/fsm"
)

// A share is inherited where a replica is in sync that the write was never sent to.
func TestInheritedShares(t *testing.T) {
	active := func(nodes ...fsm.NodeID) (replicas []fsm.Replica) {
		for _, id := range nodes {
			replicas = append(replicas, fsm.Replica{Node: id, State: fsm.Active})
		}
		return replicas
	}
	stale := []fsm.Replica{{Node: "a", State: fsm.Active}, {Node: "b", State: fsm.Stale}}
	whole, cut := &fsm.Index{Spread: 1}, &fsm.Index{Spread: fsm.SpreadAll, Shards: 2}
	for name, test := range map[string]struct {
		ix        *fsm.Index
		placement [][]fsm.Replica // by slot, in the only group
		tasks     []fsm.NodeTask
		task      []fsm.ShardID
		want      bool
	}{
		"whole, no other replica":        {whole, [][]fsm.Replica{active("a")}, []fsm.NodeTask{{Node: "a"}}, nil, false},
		"whole, another had it too":      {whole, [][]fsm.Replica{active("a", "b")}, []fsm.NodeTask{{Node: "a"}, {Node: "b"}}, nil, false},
		"whole, another came later":      {whole, [][]fsm.Replica{active("a", "b")}, []fsm.NodeTask{{Node: "a"}}, []fsm.ShardID{24}, true},
		"whole, another is still behind": {whole, [][]fsm.Replica{stale}, []fsm.NodeTask{{Node: "a"}}, nil, false},
		"cut, one shard came later":      {cut, [][]fsm.Replica{active("a", "b"), active("a")}, []fsm.NodeTask{{Node: "a", Shards: []fsm.ShardID{0, 1}}}, nil, false},
		"cut, both came later":           {cut, [][]fsm.Replica{active("a", "b"), active("a", "c")}, []fsm.NodeTask{{Node: "a", Shards: []fsm.ShardID{0, 1}}}, nil, true},
		"cut, another had other shards":  {cut, [][]fsm.Replica{active("a", "b"), active("c")}, []fsm.NodeTask{{Node: "a", Shards: []fsm.ShardID{0}}, {Node: "b", Shards: []fsm.ShardID{1}}}, nil, true},
		"cut, all that the task wrote":   {cut, [][]fsm.Replica{active("a"), active("a", "c")}, []fsm.NodeTask{{Node: "a"}}, []fsm.ShardID{1}, true},
	} {
		t.Run(name, func(t *testing.T) {
			ix := *test.ix
			ix.Placement = map[fsm.GroupID][][]fsm.Replica{0: test.placement}
			if got := inherited(&ix, &fsm.Task{NodeTasks: test.tasks, Shards: test.task}, test.tasks[0]); got != test.want {
				t.Errorf("%t, want %t", got, test.want)
			}
		})
	}
}

// The parts that count add up to one copy, however the shards lie.
func TestPartsOfACopy(t *testing.T) {
	active := func(nodes ...fsm.NodeID) (replicas []fsm.Replica) {
		for _, id := range nodes {
			replicas = append(replicas, fsm.Replica{Node: id, State: fsm.Active})
		}
		return replicas
	}
	whole, cut := fsm.Index{Spread: 1}, fsm.Index{Spread: fsm.SpreadAll, Shards: 2}
	for name, test := range map[string]struct {
		ix        fsm.Index
		placement map[fsm.GroupID][][]fsm.Replica
		want      map[fsm.NodeID]float64
	}{
		"whole":            {whole, map[fsm.GroupID][][]fsm.Replica{0: {active("a")}}, map[fsm.NodeID]float64{"a": 1, "b": 0}},
		"whole, twice":     {whole, map[fsm.GroupID][][]fsm.Replica{0: {active("a", "b")}}, map[fsm.NodeID]float64{"a": 0.5, "b": 0.5}},
		"in two groups":    {whole, map[fsm.GroupID][][]fsm.Replica{0: {active("a", "b")}, 1: {active("c", "d")}}, map[fsm.NodeID]float64{"a": 0.25, "c": 0.25}},
		"one is not read":  {whole, map[fsm.GroupID][][]fsm.Replica{0: {append(active("a"), fsm.Replica{Node: "b", State: fsm.Stale})}}, map[fsm.NodeID]float64{"a": 1, "b": 0}},
		"cut, each once":   {cut, map[fsm.GroupID][][]fsm.Replica{0: {active("a"), active("b")}}, map[fsm.NodeID]float64{"a": 1, "b": 1}},
		"cut, one is both": {cut, map[fsm.GroupID][][]fsm.Replica{0: {active("a", "b"), active("a")}}, map[fsm.NodeID]float64{"a": 0.75, "b": 0.5}},
	} {
		t.Run(name, func(t *testing.T) {
			test.ix.Placement = test.placement
			for id, want := range test.want {
				if got := partOf(&test.ix, id); got != want {
					t.Errorf("%s: %v, want %v", id, got, want)
				}
			}
		})
	}
}
