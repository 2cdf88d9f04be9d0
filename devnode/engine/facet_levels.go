package engine

import (
	"cmp"
	"container/heap"

	"github.com/RoaringBitmap/roaring/v2"
)

// Meilisearch keeps the values of a facet in levels of ever larger groups of neighbours. Which of several values with equal
// counts come first, and so which of them a limit cuts off, depends on those groups: the constants are milli's.
const (
	facetGroupSize    = 4
	facetMinLevel     = 5    // a level is made while it has this many entries
	facetMaxGroupSize = 8    // in place of facetGroupSize when groups are made again
	maxSmallFacet     = 1000 // facets of up to this many values are regrouped in place
	maxPasses         = 8    // more make no difference
)

// facetLevel is a level of groups. Group i covers the entries from starts[i] up to the start of the next group of the level
// below; at level 0 groups are the values themselves.
type facetLevel struct {
	docs   []*roaring.Bitmap
	starts []int
	first  []int // first value of each group
}

// end is one past the last entry of group i, which has the rest of below entries when it is the last.
func (l *facetLevel) end(i, below int) int {
	if i+1 < len(l.starts) {
		return l.starts[i+1]
	}
	return below
}

// facetLevels groups the values of a facet as one batch of documents leaves them. Whenever settings change after that, the
// values outside of objects and arrays are written again, which regroups them: passes counts how often.
func facetLevels[K comparable](keys []K, docs map[K]*roaring.Bitmap, passes int) []facetLevel {
	base := facetLevel{docs: make([]*roaring.Bitmap, len(keys)), first: make([]int, len(keys))}
	for i, k := range keys {
		base.docs[i], base.first[i] = docs[k], i
	}
	levels := []facetLevel{base}
	grow := func() bool {
		top := &levels[len(levels)-1]
		if len(top.docs) < facetGroupSize*facetMinLevel {
			return false
		}
		levels = append(levels, groupLevel(top, evenStarts(len(top.docs))))
		return true
	}
	if len(keys) > maxSmallFacet { // levels are all made at once, each time
		for grow() {
		}
		return levels
	}
	grow()
	for range min(passes, maxPasses) {
		for i := 1; i < len(levels); i++ {
			levels[i] = groupLevel(&levels[i-1], regroup(&levels[i], &levels[i-1]))
		}
		grow()
	}
	return levels
}

func evenStarts(n int) []int {
	var starts []int
	for i := 0; i < n; i += facetGroupSize {
		starts = append(starts, i)
	}
	return starts
}

// groupLevel makes the level above below with groups that begin at starts.
func groupLevel(below *facetLevel, starts []int) facetLevel {
	level := facetLevel{starts: starts}
	for i, start := range starts {
		level.docs = append(level.docs, roaring.FastOr(below.docs[start:level.end(i, len(below.docs))]...))
		level.first = append(level.first, below.first[start])
	}
	return level
}

// regroup cuts each group of old anew after the entries below changed: in halves, as long as enough are left.
func regroup(old, below *facetLevel) []int {
	index := make(map[int]int, len(below.first)) // entry below by its first value
	for i, first := range below.first {
		index[first] = i
	}
	var starts []int
	for i, first := range old.first {
		from, to := index[first], len(below.docs)
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

// facetGroup is an entry of a level: a value at level 0.
type facetGroup struct {
	count, level, index int
	edge                int    // first value
	doc                 uint32 // first candidate
}

// facetHeap has the group to visit next on top: the greatest count, then the lowest level, then the last in order.
type facetHeap []facetGroup

func (h facetHeap) Len() int      { return len(h) }
func (h facetHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h facetHeap) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(h[j].count, h[i].count), cmp.Compare(h[i].level, h[j].level), cmp.Compare(h[j].edge, h[i].edge)) < 0
}
func (h *facetHeap) Push(x any) { *h = append(*h, x.(facetGroup)) }
func (h *facetHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// countedFacets visits the values that candidates have, the most frequent first: index, count, first document.
func countedFacets(levels []facetLevel, candidates *roaring.Bitmap, visit func(i, count int, doc uint32) bool) {
	var h facetHeap
	push := func(level, from, to int) {
		l := &levels[level]
		for i := from; i < to; i++ {
			if common := roaring.And(l.docs[i], candidates); !common.IsEmpty() {
				heap.Push(&h, facetGroup{int(common.GetCardinality()), level, i, l.first[i], common.Minimum()})
			}
		}
	}
	top := len(levels) - 1
	push(top, 0, len(levels[top].docs))
	for h.Len() > 0 {
		g := heap.Pop(&h).(facetGroup)
		if g.level > 0 {
			l := &levels[g.level]
			push(g.level-1, l.starts[g.index], l.end(g.index, len(levels[g.level-1].docs)))
		} else if !visit(g.index, g.count, g.doc) {
			return
		}
	}
}
