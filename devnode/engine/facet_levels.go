package engine

import (
	"cmp"
	"container/heap"

	"github.com/RoaringBitmap/roaring/v2"

	"miroir/meili"
)

// facetLevel is a level of groups of a facet's values with the documents of each.
type facetLevel struct {
	meili.FacetLevel
	docs []*roaring.Bitmap
}

// facetLevels groups the values of a facet; see meili.FacetLevels.
func facetLevels[K comparable](keys []K, docs map[K]*roaring.Bitmap, regroups int) []facetLevel {
	var levels []facetLevel
	for l, groups := range meili.FacetLevels(len(keys), regroups) {
		level := facetLevel{groups, make([]*roaring.Bitmap, len(groups.First))}
		for i := range level.docs {
			if l == 0 {
				level.docs[i] = docs[keys[i]]
				continue
			}
			below := &levels[l-1]
			level.docs[i] = roaring.FastOr(below.docs[groups.Starts[i]:groups.End(i, &below.FacetLevel)]...)
		}
		levels = append(levels, level)
	}
	return levels
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
				heap.Push(&h, facetGroup{int(common.GetCardinality()), level, i, l.First[i], common.Minimum()})
			}
		}
	}
	top := len(levels) - 1
	push(top, 0, len(levels[top].docs))
	for h.Len() > 0 {
		g := heap.Pop(&h).(facetGroup)
		if g.level > 0 {
			l := &levels[g.level]
			push(g.level-1, l.Starts[g.index], l.End(g.index, &levels[g.level-1].FacetLevel))
		} else if !visit(g.index, g.count, g.doc) {
			return
		}
	}
}
