package fsm

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/zeebo/xxh3"
)

// Rendezvous (highest random weight) hashing after Thaler and Ravishankar, "A name-based mapping scheme for rendezvous"
// (1996): every node gets a weight from the hash of (key, node) and the heaviest hold the key. A node that comes takes
// over only the keys it is among the heaviest of; a node that goes leaves all others where they are.

// Rendezvous returns the n heaviest nodes for key, heaviest first; all of them when there are fewer. Nodes is not changed.
func Rendezvous(key string, nodes []NodeID, n int) []NodeID {
	type weighted struct {
		node   NodeID
		weight uint64
	}
	list := make([]weighted, len(nodes))
	buf := append([]byte(key), 0)
	for i, node := range nodes {
		buf = append(buf[:len(key)+1], node...)
		list[i] = weighted{node, xxh3.Hash(buf)}
	}
	slices.SortFunc(list, func(a, b weighted) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.node, b.node))
	})
	best := make([]NodeID, min(n, len(list)))
	for i := range best {
		best[i] = list[i].node
	}
	return best
}

// shardKey is the rendezvous key of one shard of a spread index.
func shardKey(index string, s ShardID) string {
	return index + "\x00" + strconv.FormatUint(uint64(s), 10)
}

// desiredSlots returns the nodes of each placement entry in one group. name is the node-side name, which never changes.
// With spread auto there is one entry; otherwise shards are dealt over the spread heaviest nodes of the index.
func desiredSlots(name string, shards uint32, spread, rf int, nodes []NodeID) [][]NodeID {
	if spread == SpreadAuto {
		return [][]NodeID{Rendezvous(name, nodes, rf)}
	}
	if spread > 0 {
		nodes = Rendezvous(name, nodes, max(spread, rf))
	}
	slots := make([][]NodeID, shards)
	for s := range slots {
		slots[s] = Rendezvous(shardKey(name, ShardID(s)), nodes, rf)
	}
	return slots
}

// DesiredNodes returns the nodes that should hold each placement entry of an index in a group, heaviest first, judged by
// committed node states. For an auto index that lives whole there is one entry, and one per shard once it is expanded.
func (v *View) DesiredNodes(ix *Index, g GroupID) [][]NodeID {
	spread := ix.Spread
	if spread == SpreadAuto && !ix.Whole() {
		spread = SpreadAll
	}
	return desiredSlots(ix.NodeUID, ix.Shards, spread, v.Config.ReplicationFactor, v.candidates(g))
}

// candidates are the nodes of a group that may get replicas, sorted. A failed node counts until it is drained or removed:
// a short absence moves nothing. Placing new indexes prefers live nodes, see placeNew.
func (v *View) candidates(g GroupID) []NodeID {
	return v.nodesIn(g, NodeJoining, NodeActive, NodeDegraded, NodeFailed)
}

func (v *View) nodesIn(g GroupID, states ...NodeState) []NodeID {
	var ids []NodeID
	for id, n := range v.Nodes {
		if n.Group == g && slices.Contains(states, n.State) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// placeNew returns the nodes of a new index in a group: live nodes first, failed ones only to fill up to rf.
func (v *View) placeNew(name string, shards uint32, spread int, g GroupID) [][]NodeID {
	rf := v.Config.ReplicationFactor
	nodes := v.nodesIn(g, NodeJoining, NodeActive, NodeDegraded)
	if missing := rf - len(nodes); missing > 0 {
		nodes = append(nodes, Rendezvous(name, v.nodesIn(g, NodeFailed), missing)...)
	}
	return desiredSlots(name, shards, spread, rf, nodes)
}
