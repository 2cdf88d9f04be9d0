package fsm

import (
	"maps"
	"slices"
	"time"
)

// StepKind says what a step does to one replica.
type StepKind string

// The steps from the placement there is to the one there should be. What lies between them is repair.
const (
	StepExpand StepKind = "expand" // a whole index gets an entry per shard
	StepJoin   StepKind = "join"   // a node gets a replica, to be filled
	StepReturn StepKind = "return" // a leaving replica belongs there again
	StepRetire StepKind = "retire" // a replica leaves: others are in sync in its place
	StepPurge  StepKind = "purge"  // the documents of a leaving replica are deleted, then it is forgotten
)

// Step is one change towards the wanted placement. It is possible at once.
type Step struct {
	Kind StepKind
	ReplicaRef
	From ReplicaState
	// Displaces is, for a join, the node whose replica leaves once the new one is in sync; "" for none.
	Displaces NodeID
	// Heals says, for a join, that the group has fewer replicas of the shard in sync than it should.
	Heals bool
}

// Moves is how a placement gets from what it is to what it should be.
type Moves struct {
	Steps []Step // those possible now, by index; of joins those that heal come first
	// NumSteps counts all, also those beyond maxSteps that Steps leaves out.
	NumSteps int
	// Filling are the replicas that are on their way in and need no step but their repair.
	Filling []ReplicaRef
	// Waiting are the replicas that should not be there and can not go yet.
	Waiting []ReplicaRef

	perNode  map[NodeID]int
	perIndex map[IndexID]int
	perGroup map[GroupID]int
}

// maxSteps bounds the steps a plan lists.
const maxSteps = 10_000

// Remaining counts the steps and fills that concern the job.
func (m *Moves) Remaining(job *Job) int {
	switch {
	case job.Node != "":
		return m.perNode[job.Node]
	case job.Group != nil:
		return m.perGroup[*job.Group]
	case job.Index != 0:
		return m.perIndex[job.Index]
	}
	return m.NumSteps + len(m.Filling)
}

// Planner plans over one view. It is a pure function of committed states and the time now.
type Planner struct {
	view  *View
	nodes map[GroupID][]NodeID // candidates, sorted
}

// Planner prepares to plan as of now, which decides whether a failed node is still waited for.
func (v *View) Planner(now time.Time) *Planner {
	p := &Planner{view: v, nodes: map[GroupID][]NodeID{}}
	for _, g := range v.Groups {
		p.nodes[g.ID] = v.targetNodes(g.ID, now)
	}
	return p
}

// targetNodes are the nodes of a group that should have replicas, sorted: those in service, and those that failed a short
// time ago, for a short absence moves nothing.
func (v *View) targetNodes(g GroupID, now time.Time) []NodeID {
	grace := time.Duration(v.Config.Rebalancer.ReplaceFailedAfterS) * time.Second
	return slices.DeleteFunc(v.nodesIn(g, NodeActive, NodeDegraded, NodeFailed), func(id NodeID) bool {
		n := v.Nodes[id]
		return n.State == NodeFailed && (n.Dead || grace > 0 && now.Sub(n.Since) >= grace)
	})
}

// Nodes are the nodes of a group that should have replicas, sorted. Read only.
func (p *Planner) Nodes(g GroupID) []NodeID { return p.nodes[g] }

// Plan plans all indexes but those that settled says need nothing.
func (p *Planner) Plan(settled func(*Index) bool) *Moves {
	m := &Moves{perNode: map[NodeID]int{}, perIndex: map[IndexID]int{}, perGroup: map[GroupID]int{}}
	for _, id := range slices.Sorted(maps.Keys(p.view.Indexes)) {
		if ix := p.view.Indexes[id]; settled == nil || !settled(ix) {
			p.planIndex(ix, m)
		}
	}
	slices.SortStableFunc(m.Steps, func(a, b Step) int { return count(b.Heals) - count(a.Heals) })
	return m
}

func (m *Moves) add(step Step) {
	m.NumSteps++
	m.note(step.ReplicaRef)
	if step.Displaces != "" {
		m.perNode[step.Displaces]++
	}
	if len(m.Steps) < maxSteps || step.Heals {
		m.Steps = append(m.Steps, step)
	}
}

func (m *Moves) note(ref ReplicaRef) {
	m.perNode[ref.Node]++
	m.perIndex[ref.Index]++
	m.perGroup[ref.Group]++
}

// planIndex adds what one index needs.
func (p *Planner) planIndex(ix *Index, m *Moves) {
	if ix.Deleting || ix.NumSlots() == 0 {
		return
	}
	if ix.Whole() && ix.Shards > 1 && ix.Spread != SpreadAuto {
		m.add(Step{Kind: StepExpand, ReplicaRef: ReplicaRef{Index: ix.ID}})
		return
	}
	for _, g := range p.view.Groups {
		if g.State == GroupDraining {
			continue
		}
		for slot, want := range p.Targets(ix, g.ID) {
			p.planSlot(ix, g.ID, ShardID(slot), want, m)
		}
	}
}

// Targets are the nodes that should hold each placement entry of an index in a group, heaviest first.
func (p *Planner) Targets(ix *Index, g GroupID) [][]NodeID {
	spread := ix.Spread
	if spread == SpreadAuto && !ix.Whole() {
		spread = SpreadAll
	}
	return desiredSlots(ix.NodeUID, ix.Shards, spread, p.view.Config.ReplicationFactor, p.nodes[g])
}

func (p *Planner) planSlot(ix *Index, g GroupID, s ShardID, want []NodeID, m *Moves) {
	have := ix.Replicas(g, s)
	ref := func(node NodeID) ReplicaRef { return ReplicaRef{Index: ix.ID, Group: g, Shard: s, Node: node} }
	canceled := p.view.Rebalance == RebalanceCanceled
	inSync := 0 // of those wanted
	for _, node := range want {
		if i := position(have, node); i >= 0 {
			inSync += count(have[i].State == Active)
		} else if !canceled {
			m.add(Step{Kind: StepJoin, ReplicaRef: ref(node), Displaces: p.Displaced(ix, ref(node)), Heals: numPlaced(have, Active) < len(want)})
		}
	}
	for _, r := range have {
		wanted := slices.Contains(want, r.Node) && !(canceled && r.Fresh)
		switch {
		case r.State == Leaving && wanted:
			m.add(Step{Kind: StepReturn, ReplicaRef: ref(r.Node), From: Leaving})
		case r.State == Leaving && p.purgeable(ix, s, r.Node):
			m.add(Step{Kind: StepPurge, ReplicaRef: ref(r.Node), From: Leaving})
		case r.State == Leaving:
			m.Waiting = append(m.Waiting, ref(r.Node))
		case wanted && r.Fresh:
			m.Filling = append(m.Filling, ref(r.Node))
			m.note(ref(r.Node))
		case wanted:
		case r.Fresh, inSync == len(want) && inSync > 0 && numPlaced(have, Active, Stale, Joining) > p.view.Config.ReplicationFactor:
			m.add(Step{Kind: StepRetire, ReplicaRef: ref(r.Node), From: r.State})
		default: // it stays until its successor is in sync
			m.Waiting = append(m.Waiting, ref(r.Node))
		}
	}
}

// numPlaced counts the replicas in one of the states that are not on their way in.
func numPlaced(replicas []Replica, states ...ReplicaState) (n int) {
	for _, r := range replicas {
		n += count(!r.Fresh && r.in(states))
	}
	return n
}

// purgeable reports whether the documents of a leaving replica may be deleted: it can be reached, and a node that has not
// failed holds them in sync.
func (p *Planner) purgeable(ix *Index, s ShardID, node NodeID) bool {
	if n := p.view.Nodes[node]; n == nil || n.State == NodeFailed {
		return false
	}
	for g := range ix.Placement {
		for _, r := range ix.Replicas(g, s) {
			if n := p.view.Nodes[r.Node]; r.State == Active && n != nil && n.State != NodeFailed {
				return true
			}
		}
	}
	return false
}

// Displaced is the node whose replica of the shard leaves when the given one becomes active, "" for none: one that should
// not be there, the least useful first, once the group has as many as it should without the new one.
func (p *Planner) Displaced(ix *Index, ref ReplicaRef) NodeID {
	want := p.Targets(ix, ref.Group)
	slot := ix.slot(ref.Shard)
	if slot >= len(want) || !slices.Contains(want[slot], ref.Node) {
		return ""
	}
	have := ix.Replicas(ref.Group, ref.Shard)
	others := slices.DeleteFunc(slices.Clone(have), func(r Replica) bool { return r.Node == ref.Node })
	if numPlaced(others, Active, Stale) < p.view.Config.ReplicationFactor {
		return ""
	}
	var displaced NodeID
	best := -1
	for _, r := range others {
		if r.Fresh || r.State != Active && r.State != Stale || slices.Contains(want[slot], r.Node) {
			continue
		}
		n := p.view.Nodes[r.Node]
		if use := 2*count(r.State == Active) + count(n != nil && (n.State == NodeActive || n.State == NodeDegraded)); best < 0 || use < best {
			displaced, best = r.Node, use
		}
	}
	return displaced
}
