package proxy

import (
	"cmp"
	"math"
	"slices"
	"sync/atomic"

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

// holdsAll reports that the node holds all of an index and answers for it, so that it is asked as one server would be.
func (c Call) holdsAll(ix *fsm.Index) bool { return c.Whole && len(c.Shards) == int(ix.Shards) }

// heldByOne reports whether some node may hold all of an index in sync.
func heldByOne(ix *fsm.Index) bool {
	for group := range ix.Placement {
		for _, replica := range ix.Replicas(group, 0) {
			if replica.State == fsm.Active && numShardsOn(ix, replica.Node) == ix.NumSlots() {
				return true
			}
		}
	}
	return false
}

// planRequest is the input of planRead.
type planRequest struct {
	View  *fsm.View
	Index *fsm.Index
	// Shards to read, ascending; nil means all of the index.
	Shards []fsm.ShardID
	// Seed makes the choice among equal replicas: equal seeds choose equal nodes while the replicas stay as they are,
	// so that the pages of one query come from the same nodes.
	Seed uint64
	// Turn, when not 0, takes replicas in turn instead.
	Turn uint64
	// Scores weigh the replicas; nil: all are equal.
	Scores *scores
	// Alive tells momentary health; nil trusts every node. A node that is not alive is asked only when no other can answer.
	Alive func(fsm.NodeID) bool
	// Avoid are nodes not to ask at all: they failed during this request.
	Avoid map[fsm.NodeID]bool

	// Old says that the view may be older than a move of replicas, so that a node may hold shards it does not name.
	Old bool

	// Groups are the groups that may be read, in this order; nil: all active ones, in an order that follows the seed.
	Groups []fsm.GroupID

	pin      *sessionPin // what each node must have done before it is asked
	prepared *Plan       // the plan, when it was made before: what is sent must be what was foreseen
	alone    bool        // one answer is expected: no hedge may take several
	partly   bool        // whatever is answered will do, and nothing of it is a client's answer
	// hedges counts those of the whole query, over its rounds; nil forbids them.
	hedges  *atomic.Int32
	failure error // why the last node was avoided, for the message when none is left
	spent   bool  // the shards had their time, and no other replica is to be asked for them (scatter.retry_on_timeout)
}

// plan is the prepared plan, or a new one.
func (r planRequest) plan() Plan {
	if r.prepared != nil {
		return *r.prepared
	}
	return planRead(r)
}

// standing is how willingly a node is asked.
type standing int

const (
	preferred standing = iota
	excluded           // much slower than the others
	suspect            // did not answer lately
	never
)

// planRead chooses one in-sync replica for each shard: from one group where possible; from few nodes, as long as none is
// much slower than the fastest that could answer; from other groups where that group has no live in-sync replica; from
// excluded nodes next to last and from suspect ones last. It does no I/O.
func planRead(r planRequest) Plan {
	if r.Scores.explores(r.Seed) {
		r.Scores = nil
	}
	c := newCover(r)
	if r.spent {
		return c.plan()
	}
	groups := r.groups()
	for rank := preferred; rank < never; rank++ {
		for _, group := range groups {
			if len(c.open) > 0 {
				c.take(group, rank)
			}
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

// lot is a number in [0, 1) for weighted rendezvous hashing: of several names the one with the highest lot is chosen, each
// as often as its weight says, and a changed weight moves only what its own name gains or loses.
func (r planRequest) lot(name string, weight float64) float64 {
	lot := draw(r.Seed, name)
	if weight == 1 {
		return lot
	}
	return math.Pow(lot, 1/weight)
}

// groups are the groups that may be read, in the order in which they are tried.
func (r planRequest) groups() []fsm.GroupID {
	if r.Groups != nil {
		return r.Groups
	}
	ids := make([]fsm.GroupID, 0, len(r.View.Groups))
	for _, g := range r.View.Groups {
		if g.State == fsm.GroupActive {
			ids = append(ids, g.ID)
		}
	}
	if len(ids) < 2 {
		return ids
	}
	if r.Turn != 0 {
		first := int(r.Turn % uint64(len(ids)))
		return append(slices.Clone(ids[first:]), ids[:first]...)
	}
	lot := func(g fsm.GroupID) float64 {
		weight := 1.0
		if r.Scores != nil && r.Scores.groups[g] > 0 {
			weight = r.Scores.groups[g]
		}
		return r.lot("group"+string(rune(g)), weight)
	}
	slices.SortFunc(ids, func(a, b fsm.GroupID) int { return cmp.Compare(lot(b), lot(a)) })
	return ids
}

// standing judges a node.
func (r planRequest) standing(id fsm.NodeID) standing {
	n := r.View.Nodes[id]
	switch {
	case n == nil || r.Avoid[id] || n.State == fsm.NodeJoining || n.State == fsm.NodeDrained:
		return never
	case n.State == fsm.NodeFailed || n.State == fsm.NodeDegraded || r.Alive != nil && !r.Alive(id):
		return suspect
	case r.Scores.of(id).excluded:
		return excluded
	}
	return preferred
}

// cover is a set cover in the making: open slots are not assigned to a node yet. A slot is a shard, or the whole index.
type cover struct {
	request   planRequest
	whole     bool
	open      []fsm.ShardID
	chosen    []Call // Shards are slots
	standings map[fsm.NodeID]standing
}

// offer is what one node of a group could answer.
type offer struct {
	node  fsm.NodeID
	slots []fsm.ShardID
	score float64
	lot   float64
}

func newCover(r planRequest) *cover {
	c := &cover{request: r, whole: r.Index.Whole(), standings: make(map[fsm.NodeID]standing, 8)}
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

// slowerBy is how much slower than the fastest plan's slowest node a node may be and still be chosen for covering much.
const slowerBy = 1.5

// take assigns open slots to nodes of a group, the node that covers most first. Covering nearly as much is good enough,
// so that the seed spreads different queries over the nodes.
func (c *cover) take(group fsm.GroupID, rank standing) {
	offers := c.offers(group, rank)
	if len(c.open) > 1 {
		offers = withoutSlow(offers)
	}
	for len(offers) > 0 {
		best, bestWorth := -1, 0.0
		for i, o := range offers {
			if worth := float64(len(o.slots)) * (1 + 0.25*o.lot); worth > bestWorth || worth == bestWorth && best >= 0 && o.node < offers[best].node {
				best, bestWorth = i, worth
			}
		}
		if best < 0 {
			return
		}
		taken := offers[best].slots
		c.chosen = append(c.chosen, Call{Node: offers[best].node, Shards: taken})
		c.open = without(c.open, taken)
		offers = slices.Delete(offers, best, best+1)
		for i := range offers {
			offers[i].slots = without(offers[i].slots, taken)
		}
	}
}

// without removes from shards those of taken; both ascend.
func without(shards, taken []fsm.ShardID) []fsm.ShardID {
	kept, at := shards[:0], 0
	for _, s := range shards {
		for at < len(taken) && taken[at] < s {
			at++
		}
		if at == len(taken) || taken[at] != s {
			kept = append(kept, s)
		}
	}
	return kept
}

// offers are the open slots that each node of a group and standing has in sync.
func (c *cover) offers(group fsm.GroupID, rank standing) []offer {
	var offers []offer
	at := make(map[fsm.NodeID]int, 8)
	for _, slot := range c.open {
		for _, replica := range c.request.Index.Replicas(group, slot) {
			if replica.State != fsm.Active || c.standing(replica.Node) != rank {
				continue
			}
			i, known := at[replica.Node]
			if !known {
				i, at[replica.Node] = len(offers), len(offers)
				of := c.request.Scores.of(replica.Node)
				offers = append(offers, offer{node: replica.Node, score: of.coarse(), lot: c.request.lot(string(replica.Node), of.weight())})
			}
			offers[i].slots = append(offers[i].slots, slot)
		}
	}
	if turn := c.request.Turn; turn != 0 {
		slices.SortFunc(offers, func(a, b offer) int { return cmp.Compare(a.node, b.node) })
		for i := range offers {
			offers[i].lot = float64((uint64(i)+turn)%uint64(len(offers))) / float64(len(offers))
		}
	}
	return offers
}

func (c *cover) standing(id fsm.NodeID) standing {
	known, ok := c.standings[id]
	if !ok {
		known = c.request.standing(id)
		c.standings[id] = known
	}
	return known
}

// withoutSlow drops the offers of nodes that would hold up a plan which could do without them.
func withoutSlow(offers []offer) []offer {
	worst, best := 0.0, math.Inf(1)
	for _, o := range offers {
		worst, best = max(worst, o.score), min(best, o.score)
	}
	if worst <= slowerBy*best {
		return offers
	}
	fastest := map[fsm.ShardID]float64{}
	for _, o := range offers {
		for _, slot := range o.slots {
			if known, ok := fastest[slot]; !ok || o.score < known {
				fastest[slot] = o.score
			}
		}
	}
	limit := 0.0
	for _, score := range fastest {
		limit = max(limit, slowerBy*score)
	}
	return slices.DeleteFunc(offers, func(o offer) bool { return o.score > limit })
}

func (c *cover) plan() Plan {
	p := Plan{Index: c.request.Index, Narrowed: c.request.Shards != nil && !c.whole, Calls: c.chosen}
	var mixed map[fsm.NodeID]bool
	if !c.whole {
		mixed = mixedNodes(c.request.View)
	}
	for i := range p.Calls {
		call := &p.Calls[i]
		call.Whole = c.whole || !c.request.Old && !mixed[call.Node] && len(call.Shards) == numShardsOn(c.request.Index, call.Node)
		if c.whole {
			call.Shards = allShards(c.request.Index)
		}
	}
	slices.SortFunc(p.Calls, func(a, b Call) int { return cmp.Compare(a.Node, b.Node) })
	p.Missing = c.open
	if c.whole && len(c.open) > 0 {
		p.Missing = allShards(c.request.Index)
	}
	return p
}

// mixedNodes are those whose servers have documents of other nodes' shards: an address of another node leads there by mistake.
func mixedNodes(view *fsm.View) (mixed map[fsm.NodeID]bool) {
	for _, n := range view.Nodes {
		if n.LeadsTo != "" {
			if mixed == nil {
				mixed = map[fsm.NodeID]bool{}
			}
			mixed[n.LeadsTo] = true
		}
	}
	return mixed
}

// numShardsOn is the number of shards of which a node may hold documents: replicas in any state.
func numShardsOn(ix *fsm.Index, id fsm.NodeID) int {
	n := 0
	for _, slots := range ix.Placement {
		for _, replicas := range slots {
			for i := range replicas {
				if replicas[i].Node == id {
					n++
					break
				}
			}
		}
	}
	return n
}
