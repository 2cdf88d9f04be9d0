package engine

import (
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
)

// The rules words, typo, proximity, attribute and exactness share one scheme. Each rule gives every way from one term to the
// next a cost; the cost of a document is that of its cheapest path through the query graph, and documents are returned in
// buckets of ascending cost. The paths that matched are the query that the next rule ranks.

// condition is one way to satisfy a term: comparable, so that equal ones are resolved once.
type condition interface {
	// resolve is the documents of universe that satisfy the condition, a new bitmap, and the terms it leaves behind:
	// from is nil unless the rule narrowed the term before.
	resolve(q *queryContext, universe *roaring.Bitmap) (docs *roaring.Bitmap, from *locatedTerm, to locatedTerm)
}

// pricedCondition is a condition with its cost.
type pricedCondition struct {
	cost int
	condition
}

// graphRule is what the rules differ in.
type graphRule interface {
	// edges are the ways from one term (nil at the start of the query) to the next.
	edges(q *queryContext, from, to *locatedTerm) []pricedCondition
	// score turns a rank, best when equal to the maximum, into a score detail.
	score(r rank) scoreDetail
}

// graphEdge leads to a node; without a condition it skips the node or ends the path.
type graphEdge struct {
	dest      int
	cost      int
	condition int    // index in graphRanking.conditions, -1 for none
	skip      bitset // nodes that this edge forbids to visit later on
	removed   bool   // its condition matches nothing any more
}

// resolvedCondition is a condition and what it matched of the universe it was last asked about.
type resolvedCondition struct {
	condition
	docs *roaring.Bitmap // nil until resolved
	size uint64          // of the universe docs was cut to
	from *locatedTerm
	to   locatedTerm
}

// graphRanking runs one graph rule over a universe.
type graphRanking struct {
	rule     graphRule
	strategy string // of the words rule: which words may be dropped; "" for other rules

	q          *queryContext
	graph      *queryGraph
	edges      [][]graphEdge // by node
	conditions []resolvedCondition
	costs      [][]int // by node: the possible costs from there to the end, ascending
	dead       deadEnds
	nextCost   int // of the next bucket at least
	maxCost    int // one above the greatest cost
}

func (r *graphRanking) start(q *queryContext, universe *roaring.Bitmap, query *queryGraph) {
	r.q, r.graph, r.nextCost, r.maxCost, r.dead = q, query, 0, 1, deadEnds{}
	skipAfter := make([]bitset, len(query.nodes))
	droppable := make([]bool, len(query.nodes))
	if r.strategy != "" {
		r.maxCost += max(query.numPhraseWords()-1, 0)
		var earlier bitset
		for _, group := range query.removalOrder(q, r.strategy) {
			group.each(func(n int) { droppable[n], skipAfter[n] = true, earlier.clone() })
			earlier.union(group)
		}
	}
	r.build(droppable, skipAfter)
	r.findCosts()
	if own := r.costs[graphStart]; len(own) > 0 {
		r.maxCost += own[len(own)-1]
	}
}

func (r *graphRanking) end() { r.graph, r.edges, r.conditions, r.costs = nil, nil, nil, nil }

// build lays the edges of the rule over the query graph.
func (r *graphRanking) build(droppable []bool, skipAfter []bitset) {
	known := map[condition]int{}
	r.conditions = nil
	r.edges = make([][]graphEdge, len(r.graph.nodes))
	for id := range r.graph.nodes {
		source := &r.graph.nodes[id]
		var from *locatedTerm
		if source.kind == termNode {
			from = &source.term
		}
		source.succs.each(func(dest int) {
			node := &r.graph.nodes[dest]
			if node.kind == endNode {
				r.edges[id] = append(r.edges[id], graphEdge{dest: dest, condition: -1})
				return
			}
			if droppable[dest] {
				r.edges[id] = append(r.edges[id], graphEdge{dest: dest, cost: node.term.numTerms(), condition: -1, skip: skipAfter[dest]})
			}
			for _, c := range r.rule.edges(r.q, from, &node.term) {
				index, ok := known[c.condition]
				if !ok {
					index = len(r.conditions)
					known[c.condition] = index
					r.conditions = append(r.conditions, resolvedCondition{condition: c.condition})
				}
				r.edges[id] = append(r.edges[id], graphEdge{dest: dest, cost: c.cost, condition: index})
			}
		})
	}
}

// findCosts computes the costs from every node to the end along edges that are left.
func (r *graphRanking) findCosts() {
	r.costs = make([][]int, len(r.graph.nodes))
	done := make([]bool, len(r.graph.nodes))
	var visit func(id int) []int
	visit = func(id int) []int {
		if done[id] {
			return r.costs[id]
		}
		done[id] = true
		if id == graphEnd {
			r.costs[id] = []int{0}
			return r.costs[id]
		}
		var own []int
		for i := range r.edges[id] {
			e := &r.edges[id][i]
			if e.removed {
				continue
			}
			for _, c := range visit(e.dest) {
				own = append(own, e.cost+c)
			}
		}
		slices.Sort(own)
		r.costs[id] = slices.Compact(own)
		return r.costs[id]
	}
	visit(graphStart)
}

// next is the bucket of the lowest cost not returned yet; false when there is none.
func (r *graphRanking) next(universe *roaring.Bitmap) (bucket, bool) {
	own := r.costs[graphStart]
	i, _ := slices.BinarySearch(own, r.nextCost)
	if i == len(own) {
		return bucket{}, false
	}
	cost := own[i]
	r.nextCost = cost + 1
	walk := pathWalk{r: r, universe: universe.Clone(), docs: roaring.New()}
	walk.from(graphStart, cost)
	if walk.removed {
		r.findCosts()
	}
	return bucket{
		query: graphFromPaths(walk.good),
		docs:  walk.docs,
		score: r.rule.score(rank{r.maxCost - cost, r.maxCost}),
	}, true
}

// resolve is the documents of universe that satisfy a condition, shared.
func (r *graphRanking) resolve(index int, universe *roaring.Bitmap) *roaring.Bitmap {
	c := &r.conditions[index]
	size := universe.GetCardinality()
	switch {
	case c.docs == nil:
		c.docs, c.from, c.to = c.condition.resolve(r.q, universe)
	case c.size != size:
		c.docs.And(universe)
	}
	c.size = size
	return c.docs
}

// remove takes away all edges of a condition that matches nothing: universes only shrink.
func (r *graphRanking) remove(condition int) {
	for id := range r.edges {
		for i := range r.edges[id] {
			if r.edges[id][i].condition == condition {
				r.edges[id][i].removed = true
			}
		}
	}
}
