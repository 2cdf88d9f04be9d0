package engine

import (
	"cmp"
	"math"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
)

// nodeKind is the role of a node in a query graph.
type nodeKind uint8

const (
	termNode nodeKind = iota
	startNode
	endNode
	deletedNode
)

// queryNode is one term of the query, or an end of the graph.
type queryNode struct {
	kind  nodeKind
	term  locatedTerm
	preds bitset
	succs bitset
}

// queryGraph holds every reading of a query: a path from node 0 (start) to node 1 (end) is one of them. A graph is not
// changed once a ranking rule has it.
type queryGraph struct{ nodes []queryNode }

const (
	graphStart = 0
	graphEnd   = 1
)

// buildGraph makes the graph of consecutive terms, with two and three neighbours joined where they can be. It also returns
// the terms followed by the joined ones.
func (q *queryContext) buildGraph(terms []placedTerm) (*queryGraph, []placedTerm) {
	all := slices.Clone(terms)
	g := &queryGraph{nodes: []queryNode{{kind: startNode}, {kind: endNode}}}
	add := func(t placedTerm, first, last int) {
		g.nodes = append(g.nodes, queryNode{term: locatedTerm{fullSubset(t.term), t.start, t.end, uint8(first), uint8(last)}})
	}
	for i, t := range terms {
		add(t, i, i)
		for _, n := range []int{1, 2} {
			if i < n {
				break
			}
			if joined := q.joinTerms(terms[i-n : i+1]); joined != nil {
				all = append(all, *joined)
				add(*joined, i-n, i)
			}
		}
	}
	g.connect()
	return g, all
}

// connect links every node to the nearest ones that start after it ends.
func (g *queryGraph) connect() {
	for id := range g.nodes {
		end := -1
		switch g.nodes[id].kind {
		case endNode:
			continue
		case termNode:
			end = int(g.nodes[id].term.idEnd)
		}
		nearest := math.MaxInt
		var succs bitset
		for other := range g.nodes {
			begin := math.MaxInt
			switch g.nodes[other].kind {
			case startNode:
				continue
			case termNode:
				begin = int(g.nodes[other].term.idStart)
			}
			if begin <= end || begin > nearest {
				continue
			}
			if begin < nearest {
				nearest, succs = begin, nil
			}
			succs.add(other)
		}
		g.nodes[id].succs = succs
		succs.each(func(s int) { g.nodes[s].preds.add(id) })
	}
}

func (g *queryGraph) clone() *queryGraph {
	c := &queryGraph{nodes: slices.Clone(g.nodes)}
	for i := range c.nodes {
		c.nodes[i].preds = c.nodes[i].preds.clone()
		c.nodes[i].succs = c.nodes[i].succs.clone()
	}
	return c
}

// bypass removes nodes and links what was before them to what was after.
func (g *queryGraph) bypass(nodes bitset) {
	nodes.each(func(id int) {
		n := &g.nodes[id]
		n.preds.each(func(p int) {
			g.nodes[p].succs.remove(id)
			g.nodes[p].succs.union(n.succs)
		})
		n.succs.each(func(s int) {
			g.nodes[s].preds.remove(id)
			g.nodes[s].preds.union(n.preds)
		})
		n.kind, n.preds, n.succs = deletedNode, nil, nil
	})
}

// removalOrder lists groups of nodes in the order in which the strategy drops them.
func (g *queryGraph) removalOrder(q *queryContext, strategy string) []bitset {
	switch strategy {
	case matchFrequency:
		return g.removeByCost(g.frequencyCosts(q))
	case matchAll:
		return nil
	}
	first, last := 255, 0
	for i := range g.nodes {
		if g.nodes[i].kind == termNode {
			first = min(first, int(g.nodes[i].term.idStart))
			last = max(last, int(g.nodes[i].term.idEnd))
		}
	}
	if first >= last {
		return nil
	}
	return g.removeByCost(func(id int) int { return 1 + last - id })
}

// frequencyCosts ranks terms by the number of documents they match: the most frequent, and those that match nothing, go first.
func (g *queryGraph) frequencyCosts(q *queryContext) func(int) int {
	docs := map[int]*roaring.Bitmap{}
	for i := range g.nodes {
		n := &g.nodes[i]
		if n.kind != termNode {
			continue
		}
		found := q.subsetDocs(nil, &n.term.termSubset)
		for id := int(n.term.idStart); id <= int(n.term.idEnd); id++ {
			docs[id] = unionInto(docs[id], found)
		}
	}
	type frequency struct {
		id    int
		count uint64
	}
	var list []frequency
	for id := range docs {
		count := uint64(math.MaxUint64)
		if docs[id] != nil && !docs[id].IsEmpty() {
			count = docs[id].GetCardinality()
		}
		list = append(list, frequency{id, count})
	}
	slices.SortFunc(list, func(a, b frequency) int {
		return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.id, b.id))
	})
	weights := map[int]int{}
	weight := 1
	for i, f := range list {
		weights[f.id] = weight
		if i+1 < len(list) && list[i+1].count != f.count {
			weight++
		}
	}
	return func(id int) int { return weights[id] }
}

// removeByCost groups droppable nodes by the cost of their dearest term, cheapest first. When everything could be dropped
// the last group stays.
func (g *queryGraph) removeByCost(costOf func(id int) int) []bitset {
	groups := map[int]bitset{}
	mandatory := false
	for i := range g.nodes {
		n := &g.nodes[i]
		if n.kind != termNode {
			continue
		}
		if n.term.originalPhrase() != nil || n.term.mandatory {
			mandatory = true
			continue
		}
		cost := 0
		for id := int(n.term.idStart); id <= int(n.term.idEnd); id++ {
			cost = max(cost, costOf(id))
		}
		group := groups[cost]
		group.add(i)
		groups[cost] = group
	}
	costs := make([]int, 0, len(groups))
	for cost := range groups {
		costs = append(costs, cost)
	}
	slices.Sort(costs)
	if !mandatory && len(costs) > 0 {
		costs = costs[:len(costs)-1]
	}
	out := make([]bitset, len(costs))
	for i, cost := range costs {
		out[i] = groups[cost]
	}
	return out
}

// numPhraseWords counts the words of quoted phrases.
func (g *queryGraph) numPhraseWords() int {
	n := 0
	for i := range g.nodes {
		if g.nodes[i].kind == termNode {
			if p := g.nodes[i].term.originalPhrase(); p != nil {
				n += p.count()
			}
		}
	}
	return n
}

// pathStep is one condition of a path: the term it leads to, and the term it leaves where the rule narrowed that one.
type pathStep struct {
	from *locatedTerm
	to   *locatedTerm
}

// graphFromPaths makes the graph that holds exactly the given paths. Paths share nodes only where they agree to the end.
func graphFromPaths(paths [][]pathStep) *queryGraph {
	type suffix struct {
		term locatedTerm
		rest int
	}
	ids := map[suffix]int{} // numbers of suffixes from 1; 0 is the empty one
	nodeOf := map[int]int{}
	g := &queryGraph{nodes: []queryNode{{kind: startNode}, {kind: endNode}}}
	for _, path := range paths {
		terms := pathTerms(path)
		chain := make([]int, len(terms))
		rest := 0
		for i := len(terms) - 1; i >= 0; i-- {
			key := suffix{terms[i], rest}
			if ids[key] == 0 {
				ids[key] = len(ids) + 1
			}
			rest = ids[key]
			chain[i] = rest
		}
		previous := graphStart
		for i, s := range chain {
			node, ok := nodeOf[s]
			if !ok {
				node = len(g.nodes)
				nodeOf[s] = node
				g.nodes = append(g.nodes, queryNode{term: terms[i]})
			}
			g.link(previous, node)
			previous = node
		}
		g.link(previous, graphEnd)
	}
	return g
}

func (g *queryGraph) link(a, b int) {
	g.nodes[a].succs.add(b)
	g.nodes[b].preds.add(a)
}

// pathTerms is the sequence of terms of a path; where one step ends and the next begins in the same term, both narrow it.
func pathTerms(path []pathStep) []locatedTerm {
	var out []locatedTerm
	var previous *locatedTerm
	for _, step := range path {
		switch {
		case previous == nil && step.from != nil:
			out = append(out, *step.from)
		case previous == nil:
		case step.from == nil:
			out = append(out, *previous)
		case step.from.idStart == previous.idStart && step.from.idEnd == previous.idEnd:
			merged := *step.from
			merged.intersect(previous.termSubset)
			out = append(out, merged)
		default:
			out = append(out, *previous, *step.from)
		}
		previous = step.to
	}
	if previous != nil {
		out = append(out, *previous)
	}
	return out
}
