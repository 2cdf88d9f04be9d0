package fsm

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// ReplicaState is the state of one copy of a shard.
type ReplicaState string

// Replica states. Only active replicas are read; active, joining and leaving ones receive writes.
const (
	Active  ReplicaState = "active"  // in sync: holds every acknowledged write
	Stale   ReplicaState = "stale"   // missed a write, to be repaired
	Joining ReplicaState = "joining" // receives writes while it is being filled
	Leaving ReplicaState = "leaving" // displaced; its documents are deleted
)

// Replica is one copy of a shard (or of a whole index) on one node.
type Replica struct {
	Node  NodeID       `json:"node"`
	State ReplicaState `json:"state"`
	Since time.Time    `json:"since"` // when State was entered
	// Epoch is the Raft index of the command that last set the state, also when it set stale anew: a repair that began
	// under another epoch must not activate the replica.
	Epoch uint64 `json:"epoch"`
	// Fresh says that it has never been in sync here: it is on its way in, by a move or to fill up.
	Fresh bool `json:"fresh,omitempty"`
}

// ReplicaRef names one replica. Shard is 0 for an index that lives whole.
type ReplicaRef struct {
	Index IndexID `json:"index"`
	Group GroupID `json:"group"`
	Shard ShardID `json:"shard"`
	Node  NodeID  `json:"node"`
}

// ReplicaChange adds, changes or removes one replica.
type ReplicaChange struct {
	ReplicaRef
	From ReplicaState `json:"from"` // "": it must not exist yet
	To   ReplicaState `json:"to"`   // "": it is removed. Becoming active is left to ActivateReplica.
}

// MarkReplicas makes all changes or, when one is not possible (CodeWrongState, CodeNotFound, CodeLastCopy), none.
type MarkReplicas struct {
	Now     time.Time       `json:"now"`
	Changes []ReplicaChange `json:"changes"`
}

// ActivateReplica ends a repair: the joining replica becomes active and, if Displaced is not empty, that node's replica of
// the same shard becomes leaving. Refused (CodeWrongState) when the replica is not joining or Epoch is neither 0 nor its
// epoch, and (CodeOperationBusy) while an open intent touches the shard without having this node among its targets.
type ActivateReplica struct {
	Now time.Time `json:"now"`
	ReplicaRef
	Epoch     uint64 `json:"epoch,omitempty"`
	Displaced NodeID `json:"displaced,omitempty"`
}

func (MarkReplicas) Result() (r None)    { return }
func (ActivateReplica) Result() (r None) { return }

func (r Replica) in(states []ReplicaState) bool { return slices.Contains(states, r.State) }

func (ix *Index) nodesWhere(keep func(Replica) bool) []NodeID {
	var nodes []NodeID
	for _, slots := range ix.Placement {
		for _, replicas := range slots {
			for _, r := range replicas {
				if keep(r) {
					nodes = append(nodes, r.Node)
				}
			}
		}
	}
	slices.Sort(nodes)
	return slices.Compact(nodes)
}

// replica returns one replica, the zero value if there is none.
func (ix *Index) replica(ref ReplicaRef) Replica {
	replicas := ix.Replicas(ref.Group, ref.Shard)
	if i := position(replicas, ref.Node); i >= 0 {
		return replicas[i]
	}
	return Replica{}
}

func position(replicas []Replica, node NodeID) int {
	return slices.IndexFunc(replicas, func(r Replica) bool { return r.Node == node })
}

// hasInSync reports whether a shard has a replica in sync in any group, apart from those on the nodes given.
func (ix *Index) hasInSync(s ShardID, apartFrom ...NodeID) bool {
	for g := range ix.Placement {
		if slices.ContainsFunc(ix.Replicas(g, s), func(r Replica) bool {
			return r.State == Active && !slices.Contains(apartFrom, r.Node)
		}) {
			return true
		}
	}
	return false
}

// groups returns the groups that hold the index, sorted.
func (ix *Index) groups() []GroupID { return slices.Sorted(maps.Keys(ix.Placement)) }

// slot returns the placement entry of a shard.
func (ix *Index) slot(s ShardID) int {
	if ix.Whole() {
		return 0
	}
	return int(s)
}

// Slots returns the placement entries of the shards, rising and each once; nil means every shard.
func (ix *Index) Slots(shards []ShardID) []int {
	if shards == nil || ix.Whole() {
		all := make([]int, ix.NumSlots())
		for i := range all {
			all[i] = i
		}
		return all
	}
	var slots []int
	for _, s := range shards {
		if int(s) < ix.NumSlots() {
			slots = append(slots, int(s))
		}
	}
	slices.Sort(slots)
	return slices.Compact(slots)
}

func clonePlacement(p map[GroupID][][]Replica) map[GroupID][][]Replica {
	cloned := make(map[GroupID][][]Replica, len(p))
	for g, slots := range p {
		copies := make([][]Replica, len(slots))
		for s, replicas := range slots {
			copies[s] = slices.Clone(replicas)
		}
		cloned[g] = copies
	}
	return cloned
}

// replicasOn lists the replicas of a node, sorted by index, group and shard.
func (v *View) replicasOn(node NodeID) []ReplicaRef {
	var refs []ReplicaRef
	for _, id := range slices.Sorted(maps.Keys(v.Indexes)) {
		ix := v.Indexes[id]
		for _, g := range ix.groups() {
			for s, replicas := range ix.Placement[g] {
				if position(replicas, node) >= 0 {
					refs = append(refs, ReplicaRef{id, g, ShardID(s), node})
				}
			}
		}
	}
	return refs
}

// setReplica adds or changes a replica of an index whose placement may be edited.
func (t *txn) setReplica(ref ReplicaRef, state ReplicaState, now time.Time) {
	ix := t.editPlacement(ref.Index)
	slots := ix.Placement[ref.Group]
	if slots == nil {
		slots = make([][]Replica, max(ix.NumSlots(), 1))
		ix.Placement[ref.Group] = slots
	}
	s := ix.slot(ref.Shard)
	r := Replica{Node: ref.Node, State: state, Since: now.UTC(), Epoch: t.index}
	if i := position(slots[s], ref.Node); i >= 0 {
		r.Fresh = slots[s][i].Fresh && state != Active
		slots[s][i] = r
		return
	}
	r.Fresh = state != Active
	slots[s] = append(slots[s], r)
	slices.SortFunc(slots[s], func(a, b Replica) int { return cmp.Compare(a.Node, b.Node) })
}

func (t *txn) dropReplica(ref ReplicaRef) {
	ix := t.editPlacement(ref.Index)
	slots := ix.Placement[ref.Group]
	s := ix.slot(ref.Shard)
	slots[s] = slices.DeleteFunc(slots[s], func(r Replica) bool { return r.Node == ref.Node })
}

// makeStale makes an active or joining replica stale and reports whether it did.
func (t *txn) makeStale(ref ReplicaRef, now time.Time) bool {
	ix := t.view.Indexes[ref.Index]
	if ix == nil || !ix.replica(ref).in([]ReplicaState{Active, Joining}) {
		return false
	}
	t.setReplica(ref, Stale, now)
	return true
}

func (c MarkReplicas) apply(t *txn) (any, error) {
	if err := t.checkChanges(c.Changes); err != nil {
		return nil, err
	}
	for _, ch := range c.Changes {
		if ch.To == "" {
			t.dropReplica(ch.ReplicaRef)
		} else {
			t.setReplica(ch.ReplicaRef, ch.To, c.Now)
		}
	}
	return None{}, nil
}

// checkChanges judges all changes against the state before the first of them; a replica may occur once.
func (t *txn) checkChanges(changes []ReplicaChange) error {
	seen := map[ReplicaRef]bool{}
	lost := map[ReplicaRef][]NodeID{} // shard (without group and node) → nodes whose replica is in sync no more
	for _, ch := range changes {
		if err := t.checkChange(ch); err != nil {
			return err
		}
		ref := ch.ReplicaRef
		ref.Shard = ShardID(t.view.Indexes[ch.Index].slot(ch.Shard))
		if seen[ref] {
			return refuse(CodeInvalid, "replica of shard %d on %s is changed twice", ch.Shard, ch.Node)
		}
		seen[ref] = true
		if ch.From == Active {
			shard := ReplicaRef{Index: ref.Index, Shard: ref.Shard}
			lost[shard] = append(lost[shard], ch.Node)
		}
	}
	for shard, nodes := range lost {
		if ix := t.view.Indexes[shard.Index]; !ix.hasInSync(shard.Shard, nodes...) {
			return refuse(CodeLastCopy, "a shard of index %s would have no replica in sync", ix.UID)
		}
	}
	return nil
}

func (t *txn) checkChange(ch ReplicaChange) error {
	ix, n := t.view.Indexes[ch.Index], t.view.Nodes[ch.Node]
	switch {
	case ix == nil:
		return refuse(CodeNotFound, "index %d does not exist", ch.Index)
	case n == nil:
		return refuse(CodeNotFound, "node %s does not exist", ch.Node)
	case n.Group != ch.Group:
		return refuse(CodeInvalid, "node %s is in group %d, not %d", ch.Node, n.Group, ch.Group)
	case ix.slot(ch.Shard) >= max(ix.NumSlots(), 1):
		return refuse(CodeNotFound, "index %s has no shard %d", ix.UID, ch.Shard)
	case ch.To == Active:
		return refuse(CodeWrongState, "a replica becomes active by the end of its repair only")
	case ch.From == "" && ch.To != Joining && ch.To != Stale:
		return refuse(CodeWrongState, "a new replica begins joining or stale, not %q", ch.To)
	}
	if now := ix.replica(ch.ReplicaRef).State; now != ch.From {
		return refuse(CodeWrongState, "replica of shard %d of index %s on %s is %q, not %q", ch.Shard, ix.UID, ch.Node, now, ch.From)
	}
	return nil
}

func (c ActivateReplica) apply(t *txn) (any, error) {
	ix := t.view.Indexes[c.Index]
	if ix == nil {
		return nil, refuse(CodeNotFound, "index %d does not exist", c.Index)
	}
	if r := ix.replica(c.ReplicaRef); r.State != Joining || c.Epoch != 0 && c.Epoch != r.Epoch {
		return nil, refuse(CodeWrongState, "replica of shard %d of index %s on %s is %q since entry %d; its repair is void",
			c.Shard, ix.UID, c.Node, r.State, r.Epoch)
	}
	displaced := c.ReplicaRef
	displaced.Node = c.Displaced
	if c.Displaced != "" && ix.replica(displaced).State == "" {
		return nil, refuse(CodeNotFound, "node %s has no replica of shard %d of index %s", c.Displaced, c.Shard, ix.UID)
	}
	if w, ok := t.writeWithout(ix, c.ReplicaRef); ok {
		return nil, refuse(CodeOperationBusy, "write %s to the shard is still open and was not sent to %s", w, c.Node)
	}
	t.setReplica(c.ReplicaRef, Active, c.Now)
	if c.Displaced != "" {
		t.setReplica(displaced, Leaving, c.Now)
	}
	return None{}, nil
}

// writeWithout finds an open write that touches a shard but is not sent to the node.
func (t *txn) writeWithout(ix *Index, ref ReplicaRef) (id WriteID, found bool) {
	slot := ix.slot(ref.Shard)
	must(eachRow(t.tx, bucketIntents, func(_ []byte, in *Intent) {
		if in.Index == ref.Index && slices.Contains(ix.Slots(in.Shards), slot) && !in.reaches(ref.Node, slot) {
			id, found = in.WriteID, true
		}
	}))
	return id, found
}

// reaches reports whether the write was to be sent to a node for a placement entry.
func (in *Intent) reaches(node NodeID, slot int) bool {
	return slices.ContainsFunc(in.Targets, func(target Target) bool {
		return target.Node == node && (target.Shards == nil || slices.Contains(target.Shards, ShardID(slot)))
	})
}
