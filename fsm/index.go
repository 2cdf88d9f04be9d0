package fsm

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"
)

// IndexID numbers an index for ever; names come and go.
type IndexID uint64

// ShardID is one of the slices of an index, 0 ≤ id < Index.Shards.
type ShardID uint32

// Index is one index as clients know it. Values inside a View are immutable.
type Index struct {
	ID      IndexID `json:"id"`
	UID     string  `json:"uid"`     // client name: the visible one, or before creation has finished the name it will get
	NodeUID string  `json:"nodeUid"` // its name on the nodes; never shown to clients
	// PrimaryKey is what finished tasks made of it, "" for none; NextPrimaryKey is what the end of the log makes of it and
	// what the next write must use. The same holds for Settings and NextSettings (full settings, nil for defaults).
	PrimaryKey     string `json:"primaryKey,omitempty"`
	NextPrimaryKey string `json:"nextPrimaryKey,omitempty"`
	// EmptyKey and NextEmptyKey say that the key was set, to the empty name, which no document has.
	EmptyKey     bool            `json:"emptyKey,omitempty"`
	NextEmptyKey bool            `json:"nextEmptyKey,omitempty"`
	Settings     json.RawMessage `json:"settings,omitempty"`
	NextSettings json.RawMessage `json:"nextSettings,omitempty"`
	// SettingsVersion counts finished settings changes. NextVersion counts changes of any Next* value, for Expect.
	SettingsVersion uint64    `json:"settingsVersion"`
	NextVersion     uint64    `json:"nextVersion"`
	CreatedAt       time.Time `json:"createdAt"`
	UpdatedAt       time.Time `json:"updatedAt"`
	Shards          uint32    `json:"shards"`   // fixed at creation
	Spread          int       `json:"spread"`   // SpreadAuto, SpreadAll or a number of nodes per group
	Visible         bool      `json:"visible"`  // its creation has finished
	Deleting        bool      `json:"deleting"` // its deletion is accepted but not finished
	// Placement[g] has one entry when the index lives whole on its nodes, else Placement[g][s] are the replicas of shard s.
	// Replicas are sorted by node id. All groups have the same number of entries.
	Placement map[GroupID][][]Replica `json:"placement"`
	// Pending are the accepted, unfinished changes of this index in log order.
	Pending []Pending `json:"pending,omitempty"`
	// Frozen is set while the index takes no writes, other than those that can end it.
	Frozen *Freeze `json:"frozen,omitempty"`
}

// Spread values; positive ones are a number of nodes.
const (
	SpreadAuto = 0
	SpreadAll  = -1
)

// NextHasKey reports whether the next write finds key as the primary key.
func (ix *Index) NextHasKey(key string) bool {
	return ix.NextPrimaryKey == key && ix.NextEmptyKey == (key == "")
}

// setKey sets the primary key, "" included.
func (ix *Index) setKey(key string) { ix.PrimaryKey, ix.EmptyKey = key, key == "" }

// Whole reports whether the index is not cut up: each of its nodes holds every shard.
func (ix *Index) Whole() bool {
	for _, slots := range ix.Placement {
		return len(slots) == 1
	}
	return true
}

// Divided reports whether some node of the index holds only some of the shards.
func (ix *Index) Divided() bool {
	held := map[NodeID]int{}
	for _, slots := range ix.Placement {
		for _, replicas := range slots {
			for _, r := range replicas {
				held[r.Node]++
			}
		}
	}
	for _, shards := range held {
		if shards < ix.NumSlots() {
			return true
		}
	}
	return false
}

// IsGathered reports that the index is cut up and that one node of a group still has all of it: it has outgrown that node, or the group
// had no other. What is on its way in does not count.
func (ix *Index) IsGathered(g GroupID) bool {
	slots := ix.Placement[g]
	if len(slots) < 2 {
		return false
	}
	return slices.ContainsFunc(slots[0], func(first Replica) bool {
		return !slices.ContainsFunc(slots, func(replicas []Replica) bool {
			i := position(replicas, first.Node)
			return i < 0 || replicas[i].Fresh
		})
	})
}

// NumSlots is the number of placement entries per group: 1 for a whole index, else Shards.
func (ix *Index) NumSlots() int {
	for _, slots := range ix.Placement {
		return len(slots)
	}
	return 0
}

// Replicas returns the replicas of one shard in one group, nil when the group has none. Read only.
func (ix *Index) Replicas(g GroupID, s ShardID) []Replica {
	slots := ix.Placement[g]
	switch {
	case len(slots) == 1:
		return slots[0]
	case int(s) < len(slots):
		return slots[s]
	}
	return nil
}

// Nodes returns the ids of all nodes that have a replica in one of the states, sorted; without states, in any.
func (ix *Index) Nodes(states ...ReplicaState) []NodeID {
	return ix.nodesWhere(func(r Replica) bool { return len(states) == 0 || r.in(states) })
}

// Pending is one accepted change of an index whose task has not taken effect yet. What does not apply is zero.
type Pending struct {
	Task       uint32          `json:"task"`
	Done       bool            `json:"done,omitempty"`   // the task succeeded and waits for earlier ones
	Create     bool            `json:"create,omitempty"` // the index becomes visible
	Delete     bool            `json:"delete,omitempty"`
	Firm       bool            `json:"firm,omitempty"` // of a deletion: it can not be taken back any more
	PrimaryKey *string         `json:"primaryKey,omitempty"`
	Settings   json.RawMessage `json:"settings,omitempty"` // full settings after the change
	Base       json.RawMessage `json:"base,omitempty"`     // full settings before the change
	Swaps      []BoundSwap     `json:"swaps,omitempty"`    // set on every index concerned, which are
	Indexes    []IndexID       `json:"indexes,omitempty"`
	// AwaitsNodes holds Swaps back until the task's nodes have done their part.
	AwaitsNodes bool `json:"awaitsNodes,omitempty"`
}

// BoundSwap is a swap with the indexes that its names were routed to when it was accepted. It takes effect on them or on none.
type BoundSwap struct {
	Swap
	IndexA IndexID `json:"indexA"`
	IndexB IndexID `json:"indexB,omitempty"` // 0 for a rename
}

// Leftover is an index that a node may still hold although Miroir forgot it: the node missed the deletion.
type Leftover struct {
	Node    NodeID `json:"node"`
	NodeUID string `json:"nodeUid"`
}

// ForgetLeftover says that a node holds a left-over index no more.
type ForgetLeftover struct {
	Leftover Leftover `json:"leftover"`
}

// SetSpread changes how many nodes of a group share an index; the rebalancer moves replicas afterwards.
type SetSpread struct {
	Index  IndexID   `json:"index"`
	Spread int       `json:"spread"`
	Now    time.Time `json:"now,omitzero"`
	Job    *Job      `json:"job,omitempty"` // started with it
}

// ExpandIndex turns a whole index into one placement entry per shard, each with the replicas it had; moves follow.
type ExpandIndex struct {
	Index IndexID `json:"index"`
}

func (ForgetLeftover) Result() (r None) { return }
func (SetSpread) Result() (r None)      { return }
func (ExpandIndex) Result() (r None)    { return }

func (c ForgetLeftover) apply(t *txn) (any, error) {
	i := slices.Index(t.view.Leftovers, c.Leftover)
	if i < 0 {
		return nil, refuse(CodeNotFound, "no index %s is left over on node %s", c.Leftover.NodeUID, c.Leftover.Node)
	}
	t.view.Leftovers = slices.Delete(slices.Clone(t.view.Leftovers), i, i+1)
	t.put(bucketMeta, rowLeftovers, t.view.Leftovers)
	return None{}, nil
}

func (c SetSpread) apply(t *txn) (any, error) {
	if c.Spread < SpreadAll {
		return nil, refuse(CodeInvalid, "spread %d is neither auto, all nor a number of nodes", c.Spread)
	}
	if t.view.Indexes[c.Index] == nil {
		return nil, refuse(CodeNotFound, "index %d does not exist", c.Index)
	}
	if err := t.checkJob(c.Job); err != nil {
		return nil, err
	}
	t.startJob(c.Job, c.Now)
	t.editIndex(c.Index).Spread = c.Spread
	return None{}, nil
}

func (c ExpandIndex) apply(t *txn) (any, error) {
	ix := t.view.Indexes[c.Index]
	switch {
	case ix == nil:
		return nil, refuse(CodeNotFound, "index %d does not exist", c.Index)
	case !ix.Whole() || ix.Shards == 1:
		return nil, refuse(CodeWrongState, "index %s is cut up already", ix.UID)
	}
	ix = t.editPlacement(c.Index)
	for g, slots := range ix.Placement {
		expanded := make([][]Replica, ix.Shards)
		for s := range expanded {
			expanded[s] = slices.Clone(slots[0])
		}
		ix.Placement[g] = expanded
	}
	return None{}, nil
}

// createIndex adds an invisible index routed by uid. The caller has checked that the name is free and nodes exist.
func (t *txn) createIndex(c BeginWrite, placement map[GroupID][][]NodeID, id IndexID, nodeUID string) *Index {
	now := c.Now.UTC()
	ix := &Index{
		ID: id, UID: *c.IndexUID, NodeUID: nodeUID, CreatedAt: now, UpdatedAt: now,
		Shards: c.numShards(t), Spread: c.spread(t), Placement: map[GroupID][][]Replica{},
	}
	for g, slots := range placement {
		ix.Placement[g] = make([][]Replica, len(slots))
		for s, nodes := range slots {
			for _, node := range slices.Sorted(slices.Values(nodes)) {
				ix.Placement[g][s] = append(ix.Placement[g][s], Replica{Node: node, State: Active, Since: now, Epoch: t.index})
			}
		}
	}
	t.view.counters.NextIndexID = id
	t.setIndex(ix)
	t.replaced[id] = struct{}{}
	t.setRoute(ix.UID, id)
	return ix
}

// forgetIfDone forgets an index that nothing refers to any more: no name, no unfinished task, no pending change. Nodes
// that may still hold it are remembered, and those that are being filled: what is on its way there makes the index anew.
func (t *txn) forgetIfDone(id IndexID) {
	ix := t.view.Indexes[id]
	if ix == nil || ix.Visible || len(ix.Pending) > 0 {
		return
	}
	if _, open := t.firstOpen(id); open {
		return
	}
	for _, node := range ix.nodesWhere(func(r Replica) bool { return !ix.Deleting || r.State != Active }) {
		t.addLeftover(Leftover{Node: node, NodeUID: ix.NodeUID})
	}
	t.freeName(ix.NodeUID)
	t.dropIndex(id)
}

// addLeftover remembers an index that a node may still hold. A node that was removed is nobody's to clean.
func (t *txn) addLeftover(l Leftover) {
	if t.view.Nodes[l.Node] == nil {
		return
	}
	i, found := slices.BinarySearchFunc(t.view.Leftovers, l, func(a, b Leftover) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.NodeUID, b.NodeUID))
	})
	if !found {
		t.view.Leftovers = slices.Insert(slices.Clone(t.view.Leftovers), i, l)
		t.put(bucketMeta, rowLeftovers, t.view.Leftovers)
	}
}

// forgetLeftovers forgets that nodes missed the deletion of an index: it stays after all.
func (t *txn) forgetLeftovers(nodeUID string) {
	left := slices.DeleteFunc(slices.Clone(t.view.Leftovers), func(l Leftover) bool { return l.NodeUID == nodeUID })
	if len(left) < len(t.view.Leftovers) {
		t.view.Leftovers = left
		t.put(bucketMeta, rowLeftovers, left)
	}
}
