package proxy

import (
	"cmp"
	"slices"

	"github.com/zeebo/xxh3"

	"miroir/fsm"
)

// Plan says what a read will ask of which node. Each shard of the request is in exactly one call or in Missing.
type Plan struct {
	Index *fsm.Index
	Calls []Call // ordered by node id
	// Missing are the shards that no node can answer, ascending.
	Missing []fsm.ShardID
	// Narrowed says that the filter names document ids and the plan holds only their shards.
	Narrowed bool
}

// Call is one request to one node.
type Call struct {
	Node fsm.NodeID
	// Shards are what the node answers for, ascending.
	Shards []fsm.ShardID
	// Whole says that the node holds nothing else of the index, so that no shard filter is needed.
	Whole bool
}

// filterShards are the shards the call's filter must name, nil when it needs none.
func (c Call) filterShards() []fsm.ShardID {
	if c.Whole {
		return nil
	}
	return c.Shards
}

// direct reports that one node answers everything and needs no filter: its answer is the answer.
func (p *Plan) direct() bool { return len(p.Calls) == 1 && p.Calls[0].Whole && len(p.Missing) == 0 }

// planRequest is the input of planRead.
type planRequest struct {
	View  *fsm.View
	Index *fsm.Index
	// Shards to read, ascending; nil means all of the index.
	Shards []fsm.ShardID
	// Seed makes the choice among equal replicas: equal seeds choose equal nodes while the replicas stay as they are,
	// so that the pages of one query come from the same nodes.
	Seed uint64
	// Alive tells momentary health; nil trusts every node. A node that is not alive is asked only when no other can answer.
	Alive func(fsm.NodeID) bool
	// Avoid are nodes not to ask at all: they failed during this request.
	Avoid map[fsm.NodeID]bool

	failure error // why the last node was avoided, for the message when none is left
}

// planRead chooses one in-sync replica for each shard: from one group where possible, chosen by the seed; from few nodes;
// from other groups where that group has no live in-sync replica; from suspect nodes last. It does no I/O.
func planRead(r planRequest) Plan {
	c := newCover(r)
	for _, alive := range []bool{true, false} {
		for _, group := range r.groups() {
			c.take(group, alive)
		}
	}
	return c.plan()
}

// seedOf is a seed for reads of an index that should share their nodes: the same parts give the same seed.
func seedOf(parts ...string) uint64 {
	h := xxh3.New()
	for _, part := range parts {
		_, _ = h.WriteString(part)
		_, _ = h.Write([]byte{0})
	}
	return h.Sum64()
}

// draw is a number in [0, 1) that depends on the seed and a name only.
func draw(seed uint64, name string) float64 {
	return float64(xxh3.HashStringSeed(name, seed)>>11) / (1 << 53)
}

// groups are the groups that may be read, in the order in which they are tried.
func (r planRequest) groups() []fsm.GroupID {
	var ids []fsm.GroupID
	for _, g := range r.View.Groups {
		if g.State == fsm.GroupActive {
			ids = append(ids, g.ID)
		}
	}
	rank := func(g fsm.GroupID) float64 { return draw(r.Seed, "group"+string(rune(g))) }
	slices.SortFunc(ids, func(a, b fsm.GroupID) int { return cmp.Compare(rank(a), rank(b)) })
	return ids
}

// usable reports whether a node may be asked now, or at all when nothing better is left.
func (r planRequest) usable(id fsm.NodeID, alive bool) bool {
	n := r.View.Nodes[id]
	if n == nil || r.Avoid[id] || n.State == fsm.NodeJoining || n.State == fsm.NodeDrained {
		return false
	}
	healthy := n.State != fsm.NodeFailed && (r.Alive == nil || r.Alive(id))
	return healthy == alive
}

// cover is a set cover in the making: open slots are not assigned to a node yet. A slot is a shard, or the whole index.
type cover struct {
	request planRequest
	whole   bool
	open    []fsm.ShardID
	chosen  map[fsm.NodeID][]fsm.ShardID
}

func newCover(r planRequest) *cover {
	c := &cover{request: r, whole: r.Index.Whole(), chosen: map[fsm.NodeID][]fsm.ShardID{}}
	switch {
	case c.whole:
		c.open = []fsm.ShardID{0}
	case r.Shards != nil:
		c.open = slices.Clone(r.Shards)
	default:
		c.open = allShards(r.Index)
	}
	return c
}

func allShards(ix *fsm.Index) []fsm.ShardID {
	shards := make([]fsm.ShardID, ix.Shards)
	for i := range shards {
		shards[i] = fsm.ShardID(i)
	}
	return shards
}

// take assigns open slots to nodes of a group, the node that covers most first. Covering nearly as much is good enough,
// so that the seed spreads different queries over the nodes.
func (c *cover) take(group fsm.GroupID, alive bool) {
	for len(c.open) > 0 {
		offers := c.offers(group, alive)
		var best fsm.NodeID
		bestWorth := 0.0
		for id, slots := range offers {
			worth := float64(len(slots)) * (1 + 0.25*draw(c.request.Seed, string(id)))
			if worth > bestWorth || worth == bestWorth && id < best {
				best, bestWorth = id, worth
			}
		}
		if bestWorth == 0 {
			return
		}
		c.chosen[best] = append(c.chosen[best], offers[best]...)
		c.open = slices.DeleteFunc(c.open, func(s fsm.ShardID) bool { return slices.Contains(offers[best], s) })
	}
}

// offers are the open slots that each usable node of a group has in sync.
func (c *cover) offers(group fsm.GroupID, alive bool) map[fsm.NodeID][]fsm.ShardID {
	offers := map[fsm.NodeID][]fsm.ShardID{}
	for _, slot := range c.open {
		for _, replica := range c.request.Index.Replicas(group, slot) {
			if replica.State == fsm.Active && c.request.usable(replica.Node, alive) {
				offers[replica.Node] = append(offers[replica.Node], slot)
			}
		}
	}
	return offers
}

func (c *cover) plan() Plan {
	p := Plan{Index: c.request.Index, Narrowed: c.request.Shards != nil && !c.whole}
	for id, slots := range c.chosen {
		call := Call{Node: id, Shards: slots, Whole: c.whole || len(slots) == len(shardsOn(c.request.Index, id))}
		if c.whole {
			call.Shards = allShards(c.request.Index)
		}
		slices.Sort(call.Shards)
		p.Calls = append(p.Calls, call)
	}
	slices.SortFunc(p.Calls, func(a, b Call) int { return cmp.Compare(a.Node, b.Node) })
	p.Missing = c.open
	if c.whole && len(c.open) > 0 {
		p.Missing = allShards(c.request.Index)
	}
	return p
}

// shardsOn are the shards of which a node may hold documents: replicas in any state.
func shardsOn(ix *fsm.Index, id fsm.NodeID) []fsm.ShardID {
	var shards []fsm.ShardID
	for _, slots := range ix.Placement {
		for s, replicas := range slots {
			if slices.ContainsFunc(replicas, func(r fsm.Replica) bool { return r.Node == id }) {
				shards = append(shards, fsm.ShardID(s))
			}
		}
	}
	return shards
}
