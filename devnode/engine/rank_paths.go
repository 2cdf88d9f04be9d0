package engine

import (
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
)

// deadEnds is the conditions that lead nowhere, by the conditions taken before.
type deadEnds struct {
	forbidden bitset
	after     map[int]*deadEnds
}

// forbid rules a condition out after a prefix of conditions.
func (d *deadEnds) forbid(prefix []int, condition int) {
	for _, c := range prefix {
		if d.after == nil {
			d.after = map[int]*deadEnds{}
		}
		if d.after[c] == nil {
			d.after[c] = &deadEnds{}
		}
		d = d.after[c]
	}
	d.forbidden.add(condition)
}

// along collects what is forbidden after each prefix of a path.
func (d *deadEnds) along(path []int) bitset {
	out := d.forbidden.clone()
	for _, c := range path {
		if d = d.after[c]; d == nil {
			break
		}
		out.union(d.forbidden)
	}
	return out
}

// pathWalk goes depth first through the paths of one cost. A document belongs to the first path it matches. Conditions are
// resolved once a path to the end is known, and never more than needed: what was resolved first and for which documents shows
// in highlights, and in scores with byAttribute precision.
type pathWalk struct {
	r         *graphRanking
	universe  *roaring.Bitmap // documents not yet taken by a path
	docs      *roaring.Bitmap // documents taken
	good      [][]pathStep
	removed   bool   // some edges were taken away
	path      []int  // conditions so far
	visited   bitset // the same as a set
	forbidden bitset // conditions that lead nowhere after path
	skip      bitset // nodes not to be visited
	last      []int  // conditions of the path resolved last, as far as it matched
	matched   []*roaring.Bitmap
}

type walkResult int

const (
	noPath walkResult = iota
	somePath
	walkDone // no document is left
)

// from extends the path from a node with a budget that must be spent exactly.
func (w *pathWalk) from(node, budget int) walkResult {
	out := noPath
	for i := range w.r.edges[node] {
		e := &w.r.edges[node][i]
		rest := budget - e.cost
		if e.removed || rest < 0 {
			continue
		}
		if _, ok := slices.BinarySearch(w.r.costs[e.dest], rest); !ok {
			continue
		}
		switch w.follow(e, rest) {
		case walkDone:
			return walkDone
		case somePath:
			out = somePath
			w.forbidden = w.r.dead.along(w.path)
			if w.visited.intersects(w.forbidden) {
				return somePath
			}
		}
	}
	return out
}

// follow goes along an edge.
func (w *pathWalk) follow(e *graphEdge, rest int) walkResult {
	if e.condition < 0 {
		if e.dest == graphEnd {
			return w.finish()
		}
		skip := w.skip
		if len(e.skip) > 0 {
			w.skip = skip.clone()
			w.skip.union(e.skip)
		}
		out := w.from(e.dest, rest)
		w.skip = skip
		return out
	}
	if w.forbidden.has(e.condition) || w.skip.has(e.dest) {
		return noPath
	}
	w.path = append(w.path, e.condition)
	w.visited.add(e.condition)
	forbidden := w.forbidden
	w.forbidden = w.r.dead.along(w.path)
	out := w.from(e.dest, rest)
	w.forbidden = forbidden
	w.visited.remove(e.condition)
	w.path = w.path[:len(w.path)-1]
	return out
}

// finish takes the documents of a path to the end, if there are any.
func (w *pathWalk) finish() walkResult {
	if w.universe.IsEmpty() {
		return walkDone
	}
	same := 0
	for same < min(len(w.last), len(w.path)) && w.last[same] == w.path[same] {
		same++
	}
	w.last, w.matched = w.last[:same], w.matched[:same]
	for _, condition := range w.path[same:] {
		if !w.match(condition) {
			return somePath
		}
	}
	docs := w.universe
	if n := len(w.matched); n > 0 {
		docs = w.matched[n-1]
		w.last, w.matched = w.last[:n-1], w.matched[:n-1]
	}
	docs = docs.Clone()
	steps := make([]pathStep, len(w.path))
	for i, c := range w.path {
		resolved := &w.r.conditions[c]
		steps[i] = pathStep{resolved.from, &resolved.to}
	}
	w.good = append(w.good, steps)
	w.docs.Or(docs)
	w.universe.AndNot(docs)
	for _, m := range w.matched {
		m.AndNot(docs)
	}
	if w.universe.IsEmpty() {
		return walkDone
	}
	return somePath
}

// match narrows the documents of the path to those that satisfy one more condition; false when none do.
func (w *pathWalk) match(condition int) bool {
	own := w.r.resolve(condition, w.universe)
	if own.IsEmpty() {
		w.r.dead.forbid(nil, condition)
		w.r.remove(condition)
		w.removed = true
		return false
	}
	n := len(w.matched)
	docs := own
	if n > 0 {
		docs = roaring.And(w.matched[n-1], own)
	} else {
		docs = own.Clone()
	}
	if !docs.IsEmpty() {
		w.last, w.matched = append(w.last, condition), append(w.matched, docs)
		return true
	}
	w.r.dead.forbid(w.last, condition)
	for i := range n - 1 {
		if !own.Intersects(w.matched[i]) {
			w.r.dead.forbid(w.last[:i+1], condition)
		}
	}
	return false
}
