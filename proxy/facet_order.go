package proxy

import (
	"cmp"
	"container/heap"
	"slices"
)

// Which of several values that occur equally often come first in a list by count, and so which of them its maximum cuts
// off, depends in Meilisearch on how the index groups neighbouring values. What follows builds the groups that one server
// would have from the values of all nodes, and visits them as it does. The constants are milli's.
const (
	facetGroupSize    = 4
	facetMinLevel     = 5    // a level is made while it has this many groups
	facetMaxGroupSize = 8    // in place of facetGroupSize when groups are made again
	maxSmallFacet     = 1000 // facets of up to this many values have one level of groups, which changes of settings regroup
	maxRegroups       = 8    // more make no difference
)

// facetLevel is a level of groups. Group i covers the entries of the level below from starts[i] up to starts[i+1]; first
// is its first value. Level 0 has the values themselves and only first.
type facetLevel struct{ starts, first []int }

func (l *facetLevel) end(i, below int) int {
	if i+1 < len(l.starts) {
		return l.starts[i+1]
	}
	return below
}

// facetLevels groups numValues values, in order. regroups is the number of changes of settings since documents came.
func facetLevels(numValues, regroups int) []facetLevel {
	base := facetLevel{first: make([]int, numValues)}
	for i := range base.first {
		base.first[i] = i
	}
	levels := []facetLevel{base}
	grow := func() bool {
		top := &levels[len(levels)-1]
		if len(top.first) < facetGroupSize*facetMinLevel {
			return false
		}
		var starts []int
		for i := 0; i < len(top.first); i += facetGroupSize {
			starts = append(starts, i)
		}
		levels = append(levels, groupLevel(top, starts))
		return true
	}
	if numValues > maxSmallFacet {
		for grow() {
		}
		return levels
	}
	grow()
	for range min(regroups, maxRegroups) {
		for i := 1; i < len(levels); i++ {
			levels[i] = groupLevel(&levels[i-1], regroup(&levels[i], &levels[i-1]))
		}
		grow()
	}
	return levels
}

func groupLevel(below *facetLevel, starts []int) facetLevel {
	level := facetLevel{starts: starts}
	for _, start := range starts {
		level.first = append(level.first, below.first[start])
	}
	return level
}

// regroup cuts each group of old anew over the entries below: in halves, as long as enough are left.
func regroup(old, below *facetLevel) []int {
	index := make(map[int]int, len(below.first)) // entry below by its first value
	for i, first := range below.first {
		index[first] = i
	}
	var starts []int
	for i, first := range old.first {
		from, to := index[first], len(below.first)
		last := i+1 == len(old.first)
		if !last {
			to = index[old.first[i+1]]
		}
		for from < to {
			starts = append(starts, from)
			size := to - from
			switch {
			case last || size >= 2*facetMaxGroupSize: // the last group is not told apart from what follows the level
				size = facetMaxGroupSize
			case size >= facetGroupSize:
				size /= 2
			}
			from += size
		}
	}
	return starts
}

// facetTree is the groups of a facet with how many candidates have a value of each.
type facetTree struct {
	levels []facetLevel
	counts [][]uint64 // by level; of groups the sum of what they hold, until resolve learns the number of documents
	most   [][]uint64 // the largest count of a value in the group
	known  []map[int]bool
}

// newFacetTree counts the groups of levels; counts[i] is the number of candidates that have value i.
func newFacetTree(levels []facetLevel, counts []uint64) *facetTree {
	t := &facetTree{levels: levels, counts: [][]uint64{counts}, most: [][]uint64{counts}, known: []map[int]bool{nil}}
	for l := 1; l < len(levels); l++ {
		level, below := &levels[l], len(levels[l-1].first)
		sums, most := make([]uint64, len(level.starts)), make([]uint64, len(level.starts))
		for i, start := range level.starts {
			for j := start; j < level.end(i, below); j++ {
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
	h.add(top, 0, len(t.levels[top].first))
	var values []int
	for h.Len() > 0 {
		g := heap.Pop(h).(facetGroup)
		if g.level > 0 {
			level := &t.levels[g.level]
			h.add(g.level-1, level.starts[g.index], level.end(g.index, len(t.levels[g.level-1].first)))
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
		i, exact := slices.BinarySearch(t.levels[l].first, value)
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
	from, to := t.levels[g.level].first[g.index], len(t.levels[0].first)
	if g.index+1 < len(t.levels[g.level].first) {
		to = t.levels[g.level].first[g.index+1]
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
		cmp.Compare(t.levels[b.level].first[b.index], t.levels[a.level].first[a.index]),
	) < 0
}
func (h *facetHeap) Push(x any) { h.groups = append(h.groups, x.(facetGroup)) }
func (h *facetHeap) Pop() any {
	last := h.groups[len(h.groups)-1]
	h.groups = h.groups[:len(h.groups)-1]
	return last
}
