package proxy

import (
	"cmp"
	"container/heap"
	"slices"

	"miroir/meili"
)

// facetTree is the groups that one server would have of a facet's values on all nodes, with how many candidates have a value
// of each. The order of a list by count follows from visiting them as that server does.
type facetTree struct {
	levels []meili.FacetLevel
	counts [][]uint64 // by level; of groups the sum of what they hold, until resolve learns the number of documents
	most   [][]uint64 // the largest count of a value in the group
	known  []map[int]bool
}

// newFacetTree counts the groups of levels; counts[i] is the number of candidates that have value i.
func newFacetTree(levels []meili.FacetLevel, counts []uint64) *facetTree {
	t := &facetTree{levels: levels, counts: [][]uint64{counts}, most: [][]uint64{counts}, known: []map[int]bool{nil}}
	for l := 1; l < len(levels); l++ {
		level, below := &levels[l], &levels[l-1]
		sums, most := make([]uint64, len(level.Starts)), make([]uint64, len(level.Starts))
		for i, start := range level.Starts {
			for j := start; j < level.End(i, below); j++ {
				sums[i] += t.counts[l-1][j]
				most[i] = max(most[i], t.most[l-1][j])
			}
		}
		t.counts, t.most, t.known = append(t.counts, sums), append(t.most, most), append(t.known, map[int]bool{})
	}
	return t
}

// facetGroup names an entry of a level.
type facetGroup struct{ level, index int }

// first returns the first limit values in the order of a list by count, all for limit 0.
func (t *facetTree) first(limit int) []int {
	h := &facetHeap{tree: t}
	top := len(t.levels) - 1
	h.add(top, 0, len(t.levels[top].First))
	var values []int
	for h.Len() > 0 {
		g := heap.Pop(h).(facetGroup)
		if g.level > 0 {
			level := &t.levels[g.level]
			h.add(g.level-1, level.Starts[g.index], level.End(g.index, &t.levels[g.level-1]))
			continue
		}
		if values = append(values, g.index); len(values) == limit {
			break
		}
	}
	return values
}

// doubtful are the groups above those values that occur least times, about which the order depends on more than sums: no
// value in them is more frequent, but several together may be, or may occur in the same documents.
func (t *facetTree) doubtful(values []int, least uint64) []facetGroup {
	seen := map[facetGroup]bool{}
	var groups []facetGroup
	for _, value := range values {
		if t.counts[0][value] != least {
			continue
		}
		for _, g := range t.doubtsAbove(value, least) {
			if !seen[g] {
				seen[g] = true
				groups = append(groups, g)
			}
		}
	}
	return groups
}

// doubtsAbove are the groups in doubt that hold a value, up to the first one known to have more documents.
func (t *facetTree) doubtsAbove(value int, least uint64) []facetGroup {
	var groups []facetGroup
	for l := 1; l < len(t.levels); l++ {
		i, exact := slices.BinarySearch(t.levels[l].First, value)
		if !exact {
			i--
		}
		if t.most[l][i] != least || t.known[l][i] && t.counts[l][i] > least {
			break
		}
		if t.counts[l][i] > least {
			groups = append(groups, facetGroup{l, i})
		}
	}
	return groups
}

// values are the values of a group that candidates have.
func (t *facetTree) values(g facetGroup) []int {
	from, to := t.levels[g.level].First[g.index], len(t.levels[0].First)
	if g.index+1 < len(t.levels[g.level].First) {
		to = t.levels[g.level].First[g.index+1]
	}
	var values []int
	for i := from; i < to; i++ {
		if t.counts[0][i] > 0 {
			values = append(values, i)
		}
	}
	return values
}

// resolve sets the number of candidates that have some value of a group.
func (t *facetTree) resolve(g facetGroup, numDocuments uint64) {
	t.counts[g.level][g.index] = max(numDocuments, t.most[g.level][g.index])
	t.known[g.level][g.index] = true
}

// facetHeap has the group to visit next on top: the greatest count, then the lowest level, then the last in order.
type facetHeap struct {
	tree   *facetTree
	groups []facetGroup
}

func (h *facetHeap) add(level, from, to int) {
	for i := from; i < to; i++ {
		if h.tree.counts[level][i] > 0 {
			heap.Push(h, facetGroup{level, i})
		}
	}
}

func (h *facetHeap) Len() int      { return len(h.groups) }
func (h *facetHeap) Swap(i, j int) { h.groups[i], h.groups[j] = h.groups[j], h.groups[i] }
func (h *facetHeap) Less(i, j int) bool {
	a, b, t := h.groups[i], h.groups[j], h.tree
	return cmp.Or(
		cmp.Compare(t.counts[b.level][b.index], t.counts[a.level][a.index]),
		cmp.Compare(a.level, b.level),
		cmp.Compare(t.levels[b.level].First[b.index], t.levels[a.level].First[a.index]),
	) < 0
}
func (h *facetHeap) Push(x any) { h.groups = append(h.groups, x.(facetGroup)) }
func (h *facetHeap) Pop() any {
	last := h.groups[len(h.groups)-1]
	h.groups = h.groups[:len(h.groups)-1]
	return last
}
