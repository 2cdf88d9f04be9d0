package proxy

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"miroir/fsm"
)

// testIndex builds an index from lines like "0:a,b 1:c*" per group: shard 0 on nodes a and b, shard 1 stale on c.
// Suffixes: * stale, + joining, - leaving.
type testPlacement map[fsm.GroupID]map[fsm.ShardID]string

func testView(shards uint32, whole bool, placement testPlacement) (*fsm.View, *fsm.Index) {
	view := &fsm.View{Nodes: map[fsm.NodeID]*fsm.Node{}}
	ix := &fsm.Index{ID: 1, UID: "x", NodeUID: "x", Shards: shards, PrimaryKey: "id", Placement: map[fsm.GroupID][][]fsm.Replica{}}
	slots := int(shards)
	if whole {
		slots = 1
	}
	states := map[byte]fsm.ReplicaState{'*': fsm.Stale, '+': fsm.Joining, '-': fsm.Leaving}
	for g := fsm.GroupID(0); int(g) < len(placement); g++ {
		view.Groups = append(view.Groups, &fsm.Group{ID: g, State: fsm.GroupActive})
		ix.Placement[g] = make([][]fsm.Replica, slots)
		for s, names := range placement[g] {
			for i := 0; i < len(names); i++ {
				id := fsm.NodeID(fmt.Sprintf("%d%c", g, names[i]))
				state := fsm.Active
				if i+1 < len(names) && states[names[i+1]] != "" {
					i++
					state = states[names[i]]
				}
				ix.Placement[g][s] = append(ix.Placement[g][s], fsm.Replica{Node: id, State: state})
				view.Nodes[id] = &fsm.Node{ID: id, Group: g, State: fsm.NodeActive}
			}
		}
	}
	return view, ix
}

func TestPlanRead(t *testing.T) {
	down := func(names ...fsm.NodeID) func(fsm.NodeID) bool {
		return func(id fsm.NodeID) bool { return !slices.Contains(names, id) }
	}
	type call struct {
		node   fsm.NodeID
		shards []fsm.ShardID
		whole  bool
	}
	for _, test := range []struct {
		name      string
		shards    uint32
		whole     bool
		placement testPlacement
		only      []fsm.ShardID
		alive     func(fsm.NodeID) bool
		avoid     []fsm.NodeID
		old       bool
		want      []call
		missing   []fsm.ShardID
	}{
		{name: "a whole index is one call without a filter", shards: 4, whole: true, placement: testPlacement{0: {0: "a"}},
			want: []call{{"0a", []fsm.ShardID{0, 1, 2, 3}, true}}},
		{name: "each node is asked for all it holds", shards: 2, placement: testPlacement{0: {0: "a", 1: "b"}},
			want: []call{{"0a", []fsm.ShardID{0}, true}, {"0b", []fsm.ShardID{1}, true}}},
		{name: "an old view does not know what else a node holds by now", shards: 2, placement: testPlacement{0: {0: "a", 1: "b"}}, old: true,
			want: []call{{"0a", []fsm.ShardID{0}, false}, {"0b", []fsm.ShardID{1}, false}}},
		{name: "one node that holds everything suffices", shards: 2, placement: testPlacement{0: {0: "ab", 1: "b"}},
			want: []call{{"0b", []fsm.ShardID{0, 1}, true}}},
		{name: "a stale replica is not read but still calls for a filter", shards: 2, placement: testPlacement{0: {0: "ab*", 1: "b"}},
			want: []call{{"0a", []fsm.ShardID{0}, true}, {"0b", []fsm.ShardID{1}, false}}},
		{name: "joining and leaving replicas are not read", shards: 1, placement: testPlacement{0: {0: "a+b-c"}},
			want: []call{{"0c", []fsm.ShardID{0}, true}}},
		{name: "a narrowed plan filters", shards: 2, placement: testPlacement{0: {0: "a", 1: "a"}}, only: []fsm.ShardID{1},
			want: []call{{"0a", []fsm.ShardID{1}, false}}},
		{name: "a dead node gives way to a replica", shards: 1, placement: testPlacement{0: {0: "ab"}}, alive: down("0a"),
			want: []call{{"0b", []fsm.ShardID{0}, true}}},
		{name: "a dead node is asked when there is no other", shards: 1, placement: testPlacement{0: {0: "a"}}, alive: down("0a"),
			want: []call{{"0a", []fsm.ShardID{0}, true}}},
		{name: "a failed node is not asked again", shards: 2, placement: testPlacement{0: {0: "a", 1: "b"}}, avoid: []fsm.NodeID{"0a"},
			want: []call{{"0b", []fsm.ShardID{1}, true}}, missing: []fsm.ShardID{0}},
		{name: "another group stands in for one shard", shards: 2, placement: testPlacement{0: {0: "a*", 1: "b"}, 1: {0: "c", 1: "d*"}},
			want: []call{{"0b", []fsm.ShardID{1}, true}, {"1c", []fsm.ShardID{0}, true}}},
		{name: "an index nobody has in sync", shards: 2, whole: true, placement: testPlacement{0: {0: "a*"}},
			missing: []fsm.ShardID{0, 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			view, ix := testView(test.shards, test.whole, test.placement)
			avoid := map[fsm.NodeID]bool{}
			for _, id := range test.avoid {
				avoid[id] = true
			}
			plan := planRead(planRequest{View: view, Index: ix, Shards: test.only, Alive: test.alive, Avoid: avoid, Old: test.old})
			var got []call
			for _, c := range plan.Calls {
				got = append(got, call{c.Node, c.Shards, c.Whole})
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("calls %v, want %v", got, test.want)
			}
			if !slices.Equal(plan.Missing, test.missing) {
				t.Errorf("missing %v, want %v", plan.Missing, test.missing)
			}
		})
	}
}

// A node that missed its last health check may have come back without its disk. Red when it is read like the others.
// What was sent to a node whose address leads to another's server is there, until it is cleared.
func TestPlanAsksANodeThatGotWhatWasAnothersForItsOwnShardsOnly(t *testing.T) {
	view, ix := testView(2, false, testPlacement{0: {0: "a", 1: "bc"}})
	view.Nodes["0c"].LeadsTo, view.Nodes["0c"].State = "0a", fsm.NodeFailed
	for _, call := range planRead(planRequest{View: view, Index: ix}).Calls {
		if call.Whole != (call.Node == "0b") {
			t.Errorf("%s is asked for %d, without a filter %t", call.Node, call.Shards, call.Whole)
		}
	}
}

func TestPlanPrefersNodesThatPassedTheirLastCheck(t *testing.T) {
	for _, state := range []fsm.NodeState{fsm.NodeDegraded, fsm.NodeFailed} {
		for seed := range uint64(20) {
			view, ix := testView(1, false, testPlacement{0: {0: "ab"}})
			view.Nodes["0a"].State = state
			if calls := planRead(planRequest{View: view, Index: ix, Seed: seed}).Calls; len(calls) != 1 || calls[0].Node != "0b" {
				t.Fatalf("a node that is %s is asked: %v", state, calls)
			}
		}
	}
}

// TestPlanCoversEachShardOnce draws placements and checks what every plan must satisfy.
func TestPlanCoversEachShardOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		shards := 1 + r.Uint32N(8)
		placement := testPlacement{}
		for g := range 1 + r.IntN(2) {
			placement[fsm.GroupID(g)] = map[fsm.ShardID]string{}
			for s := range shards {
				names := ""
				for _, n := range r.Perm(4)[:r.IntN(4)] {
					names += string(rune('a'+n)) + []string{"", "", "*", "+", "-"}[r.IntN(5)]
				}
				placement[fsm.GroupID(g)][fsm.ShardID(s)] = names
			}
		}
		view, ix := testView(shards, false, placement)
		request := planRequest{View: view, Index: ix, Seed: r.Uint64(), Alive: func(id fsm.NodeID) bool { return id[1] != 'a' }}
		plan := planRead(request)
		if again := planRead(request); !reflect.DeepEqual(plan, again) {
			t.Fatalf("%v: two plans differ: %v, %v", placement, plan, again)
		}
		seen := map[fsm.ShardID]int{}
		for _, s := range plan.Missing {
			seen[s]++
			for g := range ix.Placement {
				for _, replica := range ix.Replicas(g, s) {
					if replica.State == fsm.Active {
						t.Fatalf("%v: shard %d is missing although %s has it", placement, s, replica.Node)
					}
				}
			}
		}
		for _, call := range plan.Calls {
			for _, s := range call.Shards {
				seen[s]++
				if !slices.ContainsFunc(ix.Replicas(view.Nodes[call.Node].Group, s), func(replica fsm.Replica) bool {
					return replica.Node == call.Node && replica.State == fsm.Active
				}) {
					t.Fatalf("%v: %s is asked for shard %d", placement, call.Node, s)
				}
			}
			if held := numShardsOn(ix, call.Node); call.Whole != (held == len(call.Shards)) {
				t.Fatalf("%v: %v is whole %v, the node holds %v", placement, call, call.Whole, held)
			}
		}
		for s := range shards {
			if seen[fsm.ShardID(s)] != 1 {
				t.Fatalf("%v: shard %d is read %d times", placement, s, seen[fsm.ShardID(s)])
			}
		}
	}
}

func TestPlanSpreadsQueries(t *testing.T) {
	placement := testPlacement{0: {}}
	for s := range fsm.ShardID(64) {
		placement[0][s] = []string{"ab", "bc", "ca"}[s%3]
	}
	view, ix := testView(64, false, placement)
	asked := map[fsm.NodeID]int{}
	for seed := range uint64(3000) {
		for _, call := range planRead(planRequest{View: view, Index: ix, Seed: seed}).Calls {
			asked[call.Node] += len(call.Shards)
		}
	}
	for id, n := range asked {
		if share := float64(n) / (3000 * 64); share < 0.25 || share > 0.42 {
			t.Errorf("%s answers %.2f of all shards", id, share)
		}
	}
}

func BenchmarkPlanRead(b *testing.B) {
	placement := testPlacement{0: {}}
	for s := range fsm.ShardID(64) {
		placement[0][s] = []string{"ab", "bc", "cd", "de", "ef", "fa"}[s%6]
	}
	view, ix := testView(64, false, placement)
	for b.Loop() {
		planRead(planRequest{View: view, Index: ix, Seed: 7})
	}
}
