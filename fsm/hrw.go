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
	heavier := func(a, b weighted) int { return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.node, b.node)) }
	var stack [8]weighted
	heaviest := stack[:0] // n is small beside the number of nodes: an insertion beats sorting them all
	seed := xxh3.HashString(key)
	for _, node := range nodes {
		one := weighted{node, mix(seed ^ xxh3.HashString(string(node)))}
		if len(heaviest) == n && (n == 0 || heavier(one, heaviest[n-1]) > 0) {
			continue
		}
		at, _ := slices.BinarySearchFunc(heaviest, one, heavier)
		if len(heaviest) == n {
			heaviest = heaviest[:n-1]
		}
		heaviest = slices.Insert(heaviest, at, one)
	}
	best := make([]NodeID, len(heaviest))
	for i := range best {
		best[i] = heaviest[i].node
	}
	return best
}

// mix is the finalizer of MurmurHash3 (Appleby): every bit of the input changes half of the output's. The hashes of key and
// node are mixed rather than the two hashed together, so that a key is hashed once for all nodes.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
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

// placeNew returns the nodes of a new index in a group: nodes in service first, others only to fill up to rf.
func (v *View) placeNew(name string, shards uint32, spread int, g GroupID) [][]NodeID {
	rf := v.Config.ReplicationFactor
	nodes := v.nodesIn(g, NodeActive, NodeDegraded)
	if missing := rf - len(nodes); missing > 0 {
		nodes = append(nodes, Rendezvous(name, v.nodesIn(g, NodeJoining, NodeFailed), missing)...)
	}
	return desiredSlots(name, shards, spread, rf, nodes)
}
