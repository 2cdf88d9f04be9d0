package fsm

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"
)

// movedCluster is a machine whose placement is brought to its targets step by step, as the rebalancer and the repair do.
type movedCluster struct {
	*machine
	t *testing.T
	// floor is the least replication factor since all was in place: fewer replicas in sync no group may have.
	floor int
}

// settle carries out what is planned until nothing is left, a few steps at a time, in an order that random chooses. After
// each step no shard may be without a replica in sync.
func (c *movedCluster) settle(random *rand.Rand) {
	c.t.Helper()
	for range 10_000 {
		view := c.fsm.View()
		now := c.tick()
		planner := view.Planner(now)
		steps := planner.Plan(nil).Steps
		random.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
		for _, step := range steps[:min(3, len(steps))] {
			c.carryOut(step)
			c.check()
		}
		filled := c.fillOne(random)
		c.check()
		if len(steps) == 0 && !filled {
			return
		}
	}
	c.t.Fatal("the placement does not settle")
}

func (c *movedCluster) carryOut(step Step) {
	change := ReplicaChange{ReplicaRef: step.ReplicaRef, From: step.From}
	switch step.Kind {
	case StepExpand:
		do(c.machine, ExpandIndex{step.Index})
		return
	case StepJoin:
		change.To = Stale
	case StepReturn:
		change.To = Stale
	case StepRetire:
		change.To = Leaving
	}
	do(c.machine, MarkReplicas{Now: c.tick(), Changes: []ReplicaChange{change}})
}

// fillOne brings one replica in sync and reports whether there was one to fill.
func (c *movedCluster) fillOne(random *rand.Rand) bool {
	view := c.fsm.View()
	var out []ReplicaRef
	for id, ix := range view.Indexes {
		for g, slots := range ix.Placement {
			for s, replicas := range slots {
				for _, r := range replicas {
					if n := view.Nodes[r.Node]; r.State == Stale && n.State != NodeFailed {
						out = append(out, ReplicaRef{id, g, ShardID(s), r.Node})
					}
				}
			}
		}
	}
	if len(out) == 0 {
		return false
	}
	ref := out[random.IntN(len(out))]
	do(c.machine, MarkReplicas{Now: c.tick(), Changes: []ReplicaChange{{ref, Stale, Joining}}})
	now := c.tick()
	displaced := c.fsm.View().Planner(now).Displaced(c.fsm.View().Indexes[ref.Index], ref)
	do(c.machine, ActivateReplica{Now: now, ReplicaRef: ref, Displaced: displaced})
	return true
}

// check is what must hold at every moment: each group has as many replicas of a shard in sync as the floor says, and no
// node has two.
func (c *movedCluster) check() {
	c.t.Helper()
	for _, ix := range c.fsm.View().Indexes {
		for s := range ix.NumSlots() {
			for g, slots := range ix.Placement {
				if n := numPlaced(slots[s], Active); n < c.floor {
					c.t.Fatalf("group %d has %d replicas of shard %d of index %s in sync, not %d", g, n, s, ix.UID, c.floor)
				}
				seen := map[NodeID]bool{}
				for _, r := range slots[s] {
					if seen[r.Node] {
						c.t.Fatalf("node %s has two replicas of shard %d, group %d", r.Node, s, g)
					}
					seen[r.Node] = true
				}
			}
		}
	}
}

// settled checks the placement once nothing is planned: rf replicas in each group, all in sync, none on nodes that should
// have none.
func (c *movedCluster) settled(rf int) {
	c.t.Helper()
	view := c.fsm.View()
	for _, ix := range view.Indexes {
		for g, slots := range ix.Placement {
			for s, replicas := range slots {
				if len(replicas) != rf {
					c.t.Fatalf("index %s, group %d, shard %d has %d replicas, want %d", ix.UID, g, s, len(replicas), rf)
				}
				for _, r := range replicas {
					if n := view.Nodes[r.Node]; r.State != Active || n.State != NodeActive {
						c.t.Fatalf("index %s, group %d, shard %d: %+v on a node that is %s", ix.UID, g, s, r, n.State)
					}
				}
			}
		}
	}
}

// Random operations, one after another, some before the last one has settled. Red when a replica is retired before its
// successors are in sync, displaced twice, or planned onto a node that is drained.
func TestMovesSettleWhereTheyShould(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 7))
			spread := []int{SpreadAuto, SpreadAll, 2}[seed%3]
			c := &movedCluster{machine: newMachine(t), t: t, floor: 2}
			c.bootstrap(1+int(seed%2), 3, 2, spread)
			for i := range 3 {
				c.create(fmt.Sprintf("index%d", i))
			}
			rf := 2
			for round := range 6 {
				switch random.IntN(4) {
				case 0:
					do(c.machine, AddNode{Now: c.tick(), Node: Node{ID: NodeID(fmt.Sprintf("new-%d", round)), Address: "http://x"}})
				case 1:
					rf = 1 + random.IntN(3)
					c.floor = min(c.floor, rf)
					config := c.fsm.View().Config
					config.ReplicationFactor = rf
					do(c.machine, SetConfig{Config: config})
				case 2:
					do(c.machine, SetSpread{Index: IndexID(1 + random.IntN(3)), Spread: []int{SpreadAll, 1, 2, 3}[random.IntN(4)]})
				case 3:
					serving := c.fsm.View().nodesIn(0, NodeActive)
					if len(serving) > 3 {
						do(c.machine, SetNodeState{Now: c.tick(), Node: serving[random.IntN(len(serving))], State: NodeDraining})
					}
				}
				if random.IntN(2) == 0 {
					c.settle(random)
					c.floor = rf
				}
			}
			c.settle(random)
			c.settled(rf)
		})
	}
}

// From three nodes to four. Red when more moves than the new node's share.
func TestFourthNodeTakesItsShare(t *testing.T) {
	for name, spread := range map[string]int{"whole": SpreadAuto, "spread": SpreadAll} {
		c := &movedCluster{machine: newMachine(t), t: t}
		do(c.machine, Bootstrap{Now: c.tick(), ClusterID: "c", Config: Config{Shards: 64, ReplicationFactor: 2, Spread: spread},
			Nodes: []Node{{ID: "a", Address: "x"}, {ID: "b", Address: "x"}, {ID: "c", Address: "x"}}})
		indexes := 4
		if spread == SpreadAuto {
			indexes = 250
		}
		for i := range indexes {
			c.create(fmt.Sprintf("index%d", i))
		}
		total := len(c.fsm.View().replicasOn("a")) + len(c.fsm.View().replicasOn("b")) + len(c.fsm.View().replicasOn("c"))
		do(c.machine, AddNode{Now: c.tick(), Node: Node{ID: "d", Address: "x"}})
		moves := c.fsm.View().Planner(c.tick()).Plan(nil)
		for _, step := range moves.Steps {
			if step.Kind != StepJoin || step.Node != "d" || step.Displaces == "" {
				t.Errorf("%s: %+v", name, step)
			}
		}
		t.Logf("%s: %d of %d replicas move", name, moves.NumSteps, total)
		if n := moves.NumSteps; n > total/2 || n < total/5 || n > total*3/10 {
			t.Errorf("%s: %d of %d replicas move, a quarter should", name, n, total)
		}
	}
}

// A node that is drained, declared dead or removed from service is never a target, and a failed one is for its grace time.
func TestTargetsAreNodesInService(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f := func(state NodeState, dead bool, failedFor time.Duration, want bool) {
		t.Helper()
		v := &View{Config: DefaultConfig(), Groups: []*Group{{ID: 0}}, Nodes: map[NodeID]*Node{
			"a": {ID: "a", State: NodeActive}, "b": {ID: "b", State: state, Dead: dead, Since: now.Add(-failedFor)}}}
		if got := slices.Contains(v.Planner(now).nodes[0], "b"); got != want {
			t.Errorf("%s, dead %v, for %v: a target is %v", state, dead, failedFor, got)
		}
	}
	f(NodeActive, false, 0, true)
	f(NodeDegraded, false, 0, true)
	f(NodeJoining, false, 0, false)
	f(NodeDraining, false, 0, false)
	f(NodeDrained, false, 0, false)
	f(NodeFailed, false, 899*time.Second, true)
	f(NodeFailed, false, 900*time.Second, false)
	f(NodeFailed, true, 0, false)
}

// bigView is a cluster of many nodes and small indexes, all in place.
func bigView(numNodes, numIndexes, rf int) *View {
	v := &View{Config: DefaultConfig(), Groups: []*Group{{ID: 0, State: GroupActive}}, Nodes: map[NodeID]*Node{}, Indexes: map[IndexID]*Index{}}
	v.Config.ReplicationFactor = rf
	for _, id := range someNodes(numNodes) {
		v.Nodes[id] = &Node{ID: id, State: NodeActive}
	}
	p := v.Planner(time.Time{})
	for i := range numIndexes {
		ix := &Index{ID: IndexID(i + 1), UID: fmt.Sprintf("tenant_%d", i), NodeUID: fmt.Sprintf("tenant_%d", i), Shards: 64}
		slot := []Replica{}
		for _, id := range p.Targets(ix, 0)[0] {
			slot = append(slot, Replica{Node: id, State: Active})
		}
		ix.Placement = map[GroupID][][]Replica{0: {slot}}
		v.Indexes[ix.ID] = ix
	}
	return v
}

// A thousand nodes and ten thousand indexes, a node more. The bounds are far above what it takes, so that a busy machine
// does not fail the test; the log has the figures.
func TestPlanOfABigCluster(t *testing.T) {
	v := bigView(1000, 10_000, 2)
	v.Nodes["extra"] = &Node{ID: "extra", State: NodeActive}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	moves := v.Planner(time.Time{}).Plan(nil)
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	allocated := (after.TotalAlloc - before.TotalAlloc) >> 20
	t.Logf("%d steps planned in %v, %d MiB allocated", moves.NumSteps, took, allocated)
	if fair := 10_000 * 2 / 1001; moves.NumSteps > 3*fair || moves.NumSteps < fair/3 {
		t.Errorf("%d replicas move, the share of the new node is %d", moves.NumSteps, fair)
	}
	if took > 2*time.Minute || allocated > 100 {
		t.Errorf("planning took %v and %d MiB", took, allocated)
	}
}

// Moves are planned by need: what heals comes first, and the list is bounded while the count is not.
func TestPlanIsBoundedAndHealsFirst(t *testing.T) {
	v := bigView(3, 30_000, 1)
	v.Nodes["d"] = &Node{ID: "d", State: NodeActive}
	last := v.Indexes[30_000]
	last.Placement[0][0] = nil
	v.Groups = append(v.Groups, &Group{ID: 1, State: GroupActive})
	last.Placement[1] = [][]Replica{{{Node: "elsewhere", State: Active}}}
	v.Config.ReplicationFactor = 2
	moves := v.Planner(time.Time{}).Plan(nil)
	if len(moves.Steps) > 40_000 || moves.NumSteps < 30_000 {
		t.Errorf("%d steps listed of %d", len(moves.Steps), moves.NumSteps)
	}
	if !moves.Steps[0].Heals {
		t.Errorf("the first step is %+v", moves.Steps[0])
	}
}

// A replica is displaced only when the group has as many as it should without the new one, a stale one before one in sync.
func TestDisplaced(t *testing.T) {
	f := func(rf int, placed []Replica, want NodeID) {
		t.Helper()
		v := &View{Config: DefaultConfig(), Groups: []*Group{{ID: 0}}, Nodes: map[NodeID]*Node{
			"new": {ID: "new", State: NodeActive}, "drained": {ID: "drained", State: NodeDraining}, "dead": {ID: "dead", State: NodeFailed, Dead: true}}}
		v.Config.ReplicationFactor = rf
		ix := &Index{ID: 1, NodeUID: "i", Shards: 4, Placement: map[GroupID][][]Replica{0: {append(placed, Replica{Node: "new", State: Joining, Fresh: true})}}}
		if got := v.Planner(time.Time{}).Displaced(ix, ReplicaRef{Index: 1, Node: "new"}); got != want {
			t.Errorf("rf %d, %+v: %q is displaced, not %q", rf, placed, got, want)
		}
	}
	drained, dead := Replica{Node: "drained", State: Active}, Replica{Node: "dead", State: Stale}
	f(1, nil, "")
	f(1, []Replica{drained}, "drained")
	f(2, []Replica{drained}, "")
	f(2, []Replica{drained, dead}, "dead")
	f(1, []Replica{{Node: "drained", State: Leaving}}, "")
	f(1, []Replica{{Node: "drained", State: Joining, Fresh: true}}, "")
}

// A node is drained while one of its replicas is filled anew that was in sync before. Red when that one is neither filled, for it
// is not wanted, nor retired, for it does not count.
func TestAReplicaUnderRepairLeavesADrainedNode(t *testing.T) {
	c := &movedCluster{machine: newMachine(t), t: t, floor: 1}
	c.bootstrap(1, 2, 2, SpreadAll)
	c.create("index")
	var refs []ReplicaChange
	ix := c.fsm.View().Index("index")
	for s, replicas := range ix.Placement[0] {
		refs = append(refs, ReplicaChange{ReplicaRef{ix.ID, 0, ShardID(s), replicas[0].Node}, Active, Stale})
	}
	do(c.machine, MarkReplicas{Now: c.tick(), Changes: refs})
	for i := range refs {
		refs[i].From, refs[i].To = Stale, Joining
	}
	do(c.machine, MarkReplicas{Now: c.tick(), Changes: refs})
	config := c.fsm.View().Config
	config.ReplicationFactor = 1
	do(c.machine, SetConfig{Config: config})
	do(c.machine, SetNodeState{Now: c.tick(), Node: refs[0].Node, State: NodeDraining})
	moves := c.fsm.View().Planner(c.tick()).Plan(nil)
	if len(moves.Steps) != len(refs) || len(moves.Waiting) > 0 {
		t.Fatalf("steps %+v, waiting %+v; want that %d replicas retire", moves.Steps, moves.Waiting, len(refs))
	}
	for _, step := range moves.Steps {
		if step.Kind != StepRetire || step.From != Joining {
			t.Errorf("%+v", step)
		}
	}
}
