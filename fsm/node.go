package fsm

import (
	"cmp"
	"slices"
	"time"
)

// NodeID names one Meilisearch server. An id is never used twice.
type NodeID string

// GroupID numbers a replica group.
type GroupID uint32

// NodeState is what the leader committed about a node; each pod judges momentary health for itself.
type NodeState string

// A node's life: joining → active ⇄ degraded → failed → active; active → draining → drained → removed.
const (
	NodeJoining  NodeState = "joining"
	NodeActive   NodeState = "active"
	NodeDegraded NodeState = "degraded"
	NodeFailed   NodeState = "failed"
	NodeDraining NodeState = "draining"
	NodeDrained  NodeState = "drained"
)

// Node is one Meilisearch server.
type Node struct {
	ID      NodeID    `json:"id"`
	Address string    `json:"address"` // base URL
	Key     string    `json:"key"`     // Miroir's own key on that node; never shown to clients
	Group   GroupID   `json:"group"`
	State   NodeState `json:"state"`
	// LastTaskUID is the highest node task uid recorded, -1 before the first. A node whose newest task is lower lost its disk.
	LastTaskUID int64     `json:"lastTaskUid"`
	Version     string    `json:"version,omitempty"`
	Error       string    `json:"error,omitempty"` // last error, for people
	Since       time.Time `json:"since"`           // when State was entered
	// Dead says that an operator declared it dead: it is not waited for, and stays failed until they take it back.
	Dead bool `json:"dead,omitempty"`
	// LeadsTo is the node whose server Address leads to by mistake, "" for none: nothing is sent there.
	LeadsTo NodeID `json:"leadsTo,omitempty"`
}

// GroupState is the state of a replica group.
type GroupState string

// A group's life: initializing (written, not read) → active → draining (written, not read) → forgotten.
const (
	GroupInitializing GroupState = "initializing"
	GroupActive       GroupState = "active"
	GroupDraining     GroupState = "draining"
)

// Group is a set of nodes that together hold every shard. Nodes name their group; a group does not list its nodes.
type Group struct {
	ID    GroupID    `json:"id"`
	State GroupState `json:"state"`
	Since time.Time  `json:"since"`
}

// AddNode makes a node known. An empty State means active. A group that does not exist yet is created active when the
// cluster has no index, else initializing. Error: CodeExists when the id is or was in use.
// A Job is started with it; CodeOperationBusy when one runs on the node.
type AddNode struct {
	Now  time.Time `json:"now"`
	Node Node      `json:"node"`
	Job  *Job      `json:"job,omitempty"`
}

// SetNodeState changes what is committed about a node; empty State, Version, Address and Key mean unchanged; Error is always
// set. Refused (CodeChanged) when From is not empty and not the node's state.
type SetNodeState struct {
	Now     time.Time `json:"now"`
	Node    NodeID    `json:"node"`
	From    NodeState `json:"from,omitempty"`
	State   NodeState `json:"state,omitempty"`
	Version string    `json:"version,omitempty"`
	Address string    `json:"address,omitempty"`
	Key     string    `json:"key,omitempty"`
	Error   string    `json:"error,omitempty"`
	Dead    *bool     `json:"dead,omitempty"`
	LeadsTo *NodeID   `json:"leadsTo,omitempty"`
	Job     *Job      `json:"job,omitempty"`    // started with it
	EndJob  string    `json:"endJob,omitempty"` // canceled with it
}

// RemoveNode forgets a node and its replicas. Without Force it is refused (CodeWrongState) while replicas are left there;
// with Force it is refused (CodeLastCopy) when a shard would lose its last in-sync replica, unless AcceptLoss.
type RemoveNode struct {
	Now        time.Time `json:"now"`
	Node       NodeID    `json:"node"`
	Force      bool      `json:"force,omitempty"`
	AcceptLoss bool      `json:"acceptLoss,omitempty"`
}

// RemoveNodeResult lists the shards that have no in-sync replica any more.
type RemoveNodeResult struct {
	Lost []ReplicaRef `json:"lost,omitempty"`
}

// MarkNodeStale makes every active or joining replica of a node stale: its disk was wiped or restored from an old one.
// LastTaskUID, when not nil, replaces the recorded one, so that the node's new history is accepted.
// With an Index it is only that index which the node lost.
// A shard's last in-sync replica is made stale too: what is gone is gone, and the result lists it.
type MarkNodeStale struct {
	Now         time.Time `json:"now"`
	Node        NodeID    `json:"node"`
	LastTaskUID *int64    `json:"lastTaskUid,omitempty"`
	Index       IndexID   `json:"index,omitempty"`
}

// MarkNodeStaleResult tells how many replicas became stale and which shards lost their last in-sync replica.
type MarkNodeStaleResult struct {
	NumStale int          `json:"numStale"`
	Lost     []ReplicaRef `json:"lost,omitempty"`
}

// RecordNodeTask raises a node's LastTaskUID after tasks that belong to no client write (repair, verification).
type RecordNodeTask struct {
	Node NodeID `json:"node"`
	UID  int64  `json:"uid"`
}

// AddGroup makes a replica group, initializing, of nodes that are new: all of them or, when one can not be added, none.
type AddGroup struct {
	Now   time.Time `json:"now"`
	Group GroupID   `json:"group"`
	Nodes []Node    `json:"nodes,omitempty"`
	Job   *Job      `json:"job,omitempty"` // started with it
}

// SetGroupState changes a group's state. Activation is refused (CodeWrongState) while it has replicas that are not active,
// draining (CodeLastCopy) when no other group could answer in its place.
type SetGroupState struct {
	Now   time.Time  `json:"now"`
	Group GroupID    `json:"group"`
	State GroupState `json:"state"`
}

// RemoveGroup forgets a group and its replicas. Refused for the last active group, while it has nodes, and (CodeLastCopy)
// when another group has a shard without an in-sync replica.
type RemoveGroup struct {
	Now   time.Time `json:"now"`
	Group GroupID   `json:"group"`
}

// None is the result of commands that have nothing to say beyond success.
type None struct{}

func (AddNode) Result() (r None)                      { return }
func (SetNodeState) Result() (r None)                 { return }
func (RemoveNode) Result() (r RemoveNodeResult)       { return }
func (MarkNodeStale) Result() (r MarkNodeStaleResult) { return }
func (RecordNodeTask) Result() (r None)               { return }
func (AddGroup) Result() (r None)                     { return }
func (SetGroupState) Result() (r None)                { return }
func (RemoveGroup) Result() (r None)                  { return }

func (c AddNode) apply(t *txn) (any, error) {
	if err := t.checkNewNode(c.Node); err != nil {
		return nil, err
	}
	if err := t.checkJob(c.Job); err != nil {
		return nil, err
	}
	t.addNode(c.Node, c.Now)
	t.startJob(c.Job, c.Now)
	return None{}, nil
}

func (t *txn) checkNewNode(n Node) error {
	switch {
	case n.ID == "" || n.Address == "":
		return refuse(CodeInvalid, "a node needs an id and an address")
	case t.view.Nodes[n.ID] != nil:
		return refuse(CodeExists, "node %s exists already", n.ID)
	case slices.Contains(t.view.retired, n.ID):
		return refuse(CodeExists, "node id %s belonged to a node that was removed; choose another", n.ID)
	}
	return nil
}

// addNode adds a checked node and, if it is the first of its group, the group.
func (t *txn) addNode(n Node, now time.Time) {
	if n.State == "" {
		n.State = NodeActive
	}
	n.LastTaskUID = max(n.LastTaskUID, -1)
	if n.LastTaskUID == 0 {
		n.LastTaskUID = -1
	}
	n.Since = now.UTC()
	if t.view.Group(n.Group) == nil {
		state := GroupActive
		if len(t.view.Indexes) > 0 {
			state = GroupInitializing
		}
		t.setGroup(Group{ID: n.Group, State: state, Since: now.UTC()})
	}
	t.setNode(&n)
}

func (c SetNodeState) apply(t *txn) (any, error) {
	if t.view.Nodes[c.Node] == nil {
		return nil, refuse(CodeNotFound, "node %s does not exist", c.Node)
	}
	if now := t.view.Nodes[c.Node].State; c.From != "" && c.From != now {
		return nil, refuse(CodeChanged, "node %s is %s, not %s", c.Node, now, c.From)
	}
	if err := t.checkJob(c.Job); err != nil {
		return nil, err
	}
	if c.EndJob != "" {
		if _, err := (EndJob{Now: c.Now, ID: c.EndJob, State: JobCanceled}).apply(t); err != nil {
			return nil, err
		}
	}
	t.startJob(c.Job, c.Now)
	n := t.editNode(c.Node)
	if c.State != "" && c.State != n.State {
		n.State, n.Since = c.State, c.Now.UTC()
	}
	n.Version = cmp.Or(c.Version, n.Version)
	n.Address = cmp.Or(c.Address, n.Address)
	n.Key = cmp.Or(c.Key, n.Key)
	n.Error = c.Error
	if c.Dead != nil {
		n.Dead = *c.Dead
	}
	if c.LeadsTo != nil {
		n.LeadsTo = *c.LeadsTo
	}
	return None{}, nil
}

func (c RecordNodeTask) apply(t *txn) (any, error) {
	if t.view.Nodes[c.Node] == nil {
		return nil, refuse(CodeNotFound, "node %s does not exist", c.Node)
	}
	t.recordNodeTask(c.Node, c.UID)
	return None{}, nil
}

// recordNodeTask raises a node's LastTaskUID; unknown nodes are left alone.
func (t *txn) recordNodeTask(id NodeID, uid int64) {
	if n := t.view.Nodes[id]; n != nil && uid > n.LastTaskUID {
		t.editNode(id).LastTaskUID = uid
	}
}

func (c MarkNodeStale) apply(t *txn) (any, error) {
	if t.view.Nodes[c.Node] == nil {
		return nil, refuse(CodeNotFound, "node %s does not exist", c.Node)
	}
	var result MarkNodeStaleResult
	for _, ref := range t.view.replicasOn(c.Node) {
		if (c.Index == 0 || c.Index == ref.Index) && t.makeStale(ref, c.Now) {
			result.NumStale++
			if !t.view.Indexes[ref.Index].hasInSync(ref.Shard) {
				result.Lost = append(result.Lost, ref)
			}
		}
	}
	if c.LastTaskUID != nil {
		t.editNode(c.Node).LastTaskUID = *c.LastTaskUID
	}
	return result, nil
}

func (c RemoveNode) apply(t *txn) (any, error) {
	if t.view.Nodes[c.Node] == nil {
		return nil, refuse(CodeNotFound, "node %s does not exist", c.Node)
	}
	refs := t.view.replicasOn(c.Node)
	if len(refs) > 0 && !c.Force {
		return nil, refuse(CodeWrongState, "node %s still has %d replicas; drain it first or remove it by force", c.Node, len(refs))
	}
	result := RemoveNodeResult{Lost: t.view.OnlyCopies(c.Node)}
	if len(result.Lost) > 0 && !c.AcceptLoss {
		return nil, refuse(CodeLastCopy, "node %s holds the last copy of %d shards", c.Node, len(result.Lost))
	}
	for _, ref := range refs {
		t.dropReplica(ref)
	}
	for _, ref := range result.Lost {
		t.replaceLost(ref, c.Now)
	}
	t.dropNode(c.Node)
	t.view.Leftovers = slices.DeleteFunc(slices.Clone(t.view.Leftovers), func(l Leftover) bool { return l.Node == c.Node })
	t.put(bucketMeta, rowLeftovers, t.view.Leftovers)
	t.view.retired = append(slices.Clip(t.view.retired), c.Node)
	t.put(bucketMeta, rowRetired, t.view.retired)
	return result, nil
}

// OnlyCopies lists the shards that nobody has in sync without the node: its replica is the only one in sync, or there is none
// and its own was once.
func (v *View) OnlyCopies(id NodeID) (only []ReplicaRef) {
	for _, ref := range v.replicasOn(id) {
		ix := v.Indexes[ref.Index]
		if r := ix.replica(ref); (r.State == Active || !r.Fresh) && !ix.hasInSync(ref.Shard, id) {
			only = append(only, ref)
		}
	}
	return only
}

// replaceLost makes another replica of a lost shard the one that counts, so that the shard can be used again: the one that
// was in sync last, or an empty one on a node that should hold it. The operator has accepted what is lost by that.
func (t *txn) replaceLost(lost ReplicaRef, now time.Time) {
	ix := t.view.Indexes[lost.Index]
	best, since := ReplicaRef{}, time.Time{}
	for _, g := range ix.groups() {
		for _, r := range ix.Replicas(g, lost.Shard) {
			if !r.Fresh && r.State != Active && (best.Node == "" || r.Since.After(since)) {
				best, since = ReplicaRef{lost.Index, g, lost.Shard, r.Node}, r.Since
			}
		}
	}
	if best.Node == "" {
		p := t.view.Planner(now)
		p.nodes[lost.Group] = slices.DeleteFunc(p.nodes[lost.Group], func(id NodeID) bool { return id == lost.Node })
		want := p.Targets(ix, lost.Group)
		if slot := ix.slot(lost.Shard); slot < len(want) && len(want[slot]) > 0 {
			best = lost
			best.Node = want[slot][0]
		}
	}
	if best.Node != "" {
		t.setReplica(best, Active, now)
	}
}

func (c AddGroup) apply(t *txn) (any, error) {
	if t.view.Group(c.Group) != nil {
		return nil, refuse(CodeExists, "replica group %d exists already", c.Group)
	}
	ids := map[NodeID]bool{}
	for _, n := range c.Nodes {
		if err := t.checkNewNode(n); err != nil {
			return nil, err
		}
		if n.Group != c.Group || ids[n.ID] {
			return nil, refuse(CodeInvalid, "node %s is listed twice or for another group than %d", n.ID, c.Group)
		}
		ids[n.ID] = true
	}
	if err := t.checkJob(c.Job); err != nil {
		return nil, err
	}
	t.startJob(c.Job, c.Now)
	t.setGroup(Group{ID: c.Group, State: GroupInitializing, Since: c.Now.UTC()})
	for _, n := range c.Nodes {
		t.addNode(n, c.Now)
	}
	return None{}, nil
}

func (c SetGroupState) apply(t *txn) (any, error) {
	g := t.view.Group(c.Group)
	if g == nil {
		return nil, refuse(CodeNotFound, "replica group %d does not exist", c.Group)
	}
	if c.State == GroupActive && g.State == GroupInitializing {
		if missing := t.notInSync(c.Group); missing > 0 {
			return nil, refuse(CodeWrongState, "replica group %d still has %d shards without a replica in sync", c.Group, missing)
		}
	}
	if c.State == GroupDraining {
		if err := t.view.CheckDispensable(g); err != nil {
			return nil, err
		}
	}
	t.setGroup(Group{ID: c.Group, State: c.State, Since: c.Now.UTC()})
	return None{}, nil
}

// notInSync counts the shards of which a group has no replica in sync, or one that is still being filled.
func (t *txn) notInSync(g GroupID) (missing int) {
	for _, ix := range t.view.Indexes {
		slots := ix.Placement[g]
		if len(slots) == 0 {
			missing += ix.NumSlots()
		}
		for _, replicas := range slots {
			ready := slices.ContainsFunc(replicas, func(r Replica) bool { return r.State == Active }) &&
				!slices.ContainsFunc(replicas, func(r Replica) bool { return r.State == Joining || r.State == Stale })
			missing += count(!ready)
		}
	}
	return missing
}

func (c RemoveGroup) apply(t *txn) (any, error) {
	g := t.view.Group(c.Group)
	if g == nil {
		return nil, refuse(CodeNotFound, "replica group %d does not exist", c.Group)
	}
	if err := t.checkRemoveGroup(g); err != nil {
		return nil, err
	}
	for id, ix := range t.view.Indexes {
		if _, ok := ix.Placement[c.Group]; ok {
			delete(t.editPlacement(id).Placement, c.Group)
		}
	}
	t.view.Groups = slices.DeleteFunc(slices.Clone(t.view.Groups), func(o *Group) bool { return o.ID == c.Group })
	t.put(bucketMeta, rowGroups, t.view.Groups)
	return None{}, nil
}

func (t *txn) checkRemoveGroup(g *Group) error {
	for _, n := range t.view.Nodes {
		if n.Group == g.ID {
			return refuse(CodeWrongState, "replica group %d still has nodes; remove them first", g.ID)
		}
	}
	return t.view.CheckDispensable(g)
}

// CheckDispensable refuses (CodeLastCopy) to do without a group when the others do not have everything in sync.
func (v *View) CheckDispensable(g *Group) error {
	others := slices.ContainsFunc(v.Groups, func(o *Group) bool { return o.ID != g.ID && o.State == GroupActive })
	if g.State == GroupActive && !others {
		return refuse(CodeLastCopy, "replica group %d is the last active one", g.ID)
	}
	for _, ix := range v.Indexes {
		for s := range ix.NumSlots() {
			if !v.readableOutside(ix, ShardID(s), g.ID) {
				return refuse(CodeLastCopy, "the other replica groups have a shard of index %s without a replica in sync", ix.UID)
			}
		}
	}
	return nil
}

// readableOutside reports whether an active group other than one has a replica of the shard in sync.
func (v *View) readableOutside(ix *Index, s ShardID, group GroupID) bool {
	return slices.ContainsFunc(v.Groups, func(o *Group) bool {
		return o.ID != group && o.State == GroupActive &&
			slices.ContainsFunc(ix.Replicas(o.ID, s), func(r Replica) bool { return r.State == Active })
	})
}

// setGroup adds or replaces a group.
func (t *txn) setGroup(g Group) {
	groups := slices.DeleteFunc(slices.Clone(t.view.Groups), func(o *Group) bool { return o.ID == g.ID })
	groups = append(groups, &g)
	slices.SortFunc(groups, func(a, b *Group) int { return cmp.Compare(a.ID, b.ID) })
	t.view.Groups = groups
	t.put(bucketMeta, rowGroups, groups)
}
