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

// facetWrite is the documents whose values a write put into facets: those it stored or, if it changed settings, all.
type facetWrite struct {
	docs     *roaring.Bitmap
	settings bool
}

// maxFacetWrites bounds how many writes are told apart; of more, the oldest count as one.
const maxFacetWrites = 64

func (x *facetIndex) forgetWrites() {
	if len(x.writes) > maxFacetWrites {
		x.writes[1].docs.Or(x.writes[0].docs)
		x.writes = x.writes[1:]
		for _, field := range x.fields {
			field.since = max(0, field.since-1)
		}
	}
}

// reindexed notes that a change of settings has put all documents into an index that takes the place of old. A field that was a
// facet before gets only values outside of objects and arrays again.
func (x *facetIndex) reindexed(old *facetIndex) {
	if len(x.writes) == 0 {
		return
	}
	x.writes = append(old.writes, facetWrite{x.writes[0].docs, true})
	for f, field := range x.fields {
		field.since = len(x.writes) - 1
		if before := old.fields[f]; before != nil {
			field.since = before.since
		}
	}
	x.forgetWrites()
}

// writesOf are the documents of each write of a field's values.
func (x *facetIndex) writesOf(field *facetField) []*roaring.Bitmap {
	var writes []*roaring.Bitmap
	for i, write := range x.writes[min(field.since, len(x.writes)):] {
		docs := write.docs
		if write.settings && i > 0 {
			docs = roaring.And(docs, field.plain)
		}
		writes = append(writes, docs)
	}
	return writes
}

// facetLevels groups the values of a facet as writes put them in; see meili.FacetLevelsOf.
func facetLevels[K comparable](keys []K, docs map[K]*roaring.Bitmap, writes []*roaring.Bitmap) []facetLevel {
	batches := make([][]int, len(writes))
	for i, key := range keys {
		for n, write := range writes {
			if docs[key].Intersects(write) {
				batches[n] = append(batches[n], i)
			}
		}
	}
	var levels []facetLevel
	for l, groups := range meili.FacetLevelsOf(batches) {
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
