package meili

import "slices"

// Meilisearch keeps the values of a facet in levels of ever larger groups of neighbours. Which of several values with equal
// counts come first, and so which of them a limit cuts off, depends on those groups: the constants are milli's.
const (
	facetGroupSize    = 4
	facetMinLevel     = 5    // a level is made while it has this many groups
	facetMaxGroupSize = 8    // in place of facetGroupSize when groups are made again
	maxSmallFacet     = 1000 // a task that writes more values of a facet makes all its levels anew
	maxRegroups       = 8    // more make no difference
)

// FacetLevel is a level of groups. Group i covers the entries of the level below from Starts[i] up to End(i); First is its
// first value. Level 0 has the values themselves, in order, and only First.
type FacetLevel struct{ Starts, First []int }

// End is one past the last entry of group i in the level below.
func (l *FacetLevel) End(i int, below *FacetLevel) int {
	if i+1 < len(l.Starts) {
		return l.Starts[i+1]
	}
	return len(below.First)
}

// FacetLevels groups numValues values as one batch of documents leaves them; the first level has the values. Whenever
// settings change after that, values outside of objects and arrays are written again, which regroups them: regroups times.
func FacetLevels(numValues, regroups int) []FacetLevel {
	all := make([]int, numValues)
	for i := range all {
		all[i] = i
	}
	batches := make([][]int, 1+min(regroups, maxRegroups))
	for i := range batches {
		batches[i] = all
	}
	return FacetLevelsOf(batches)
}

// FacetLevelsOf groups values as tasks leave them that write the values of each batch, one after the other. A batch is in
// order; a value of several batches gets more documents. It follows milli's update/facet/new_incremental.rs, as far as
// values do not go away.
func FacetLevelsOf(batches [][]int) []FacetLevel {
	g := facetGroups{nil}
	for _, batch := range batches {
		if len(batch) > 0 {
			g.write(batch)
		}
	}
	return g.levels()
}

// facetGroups are the first values of the entries of each level, in order. Those of level 0 are all values.
type facetGroups [][]int

// write regroups what values that were just written change.
func (g *facetGroups) write(values []int) {
	all := slices.Concat((*g)[0], values)
	slices.Sort(all)
	(*g)[0] = slices.Compact(all)
	if len(values) > maxSmallFacet { // levels are all made at once
		*g = (*g)[:1]
		for g.grow() {
		}
		return
	}
	changed := slices.Clone(values)
	for level := 0; level < len(*g) && len(changed) > 0; level++ {
		changed = g.regroup(level, changed)
	}
	g.grow()
}

// regroup makes groups of a level that changed anew, and returns which of the level above that changes.
func (g facetGroups) regroup(level int, changed []int) (above []int) {
	top := level+1 == len(g)
	for _, first := range slices.Backward(changed) {
		if !top && (len(above) == 0 || first < above[len(above)-1]) {
			above = append(above, g.parent(level+1, first))
		}
		if level > 0 {
			g.cut(level, first)
		}
	}
	slices.Reverse(above)
	return above
}

// parent is the group of a level that an entry of the level below belongs to. One before all groups begins the first.
func (g facetGroups) parent(level, entry int) int {
	groups := g[level]
	at, found := slices.BinarySearch(groups, entry)
	if found {
		return entry
	}
	if at == 0 {
		groups[0] = g[level-1][0]
		return groups[0]
	}
	return groups[at-1]
}

// cut cuts a group of a level anew over the entries below: in halves, as long as enough are left. One that got another beginning by
// values before all groups begins where it did once more.
func (g *facetGroups) cut(level, first int) {
	groups, below := (*g)[level], (*g)[level-1]
	at, found := slices.BinarySearch(groups, first)
	next := at
	if found {
		next++
	}
	from, _ := slices.BinarySearch(below, first)
	to, last := len(below), next == len(groups)
	if !last {
		to, _ = slices.BinarySearch(below, groups[next])
	}
	var made []int
	for from < to {
		made = append(made, below[from])
		size := to - from
		switch {
		case last || size >= 2*facetMaxGroupSize: // the last group is not told apart from what follows the level
			size = facetMaxGroupSize
		case size >= facetGroupSize:
			size /= 2
		}
		from += size
	}
	(*g)[level] = slices.Replace(groups, at, next, made...)
}

// grow puts a level on top if there are entries enough.
func (g *facetGroups) grow() bool {
	top := (*g)[len(*g)-1]
	if len(top) < facetGroupSize*facetMinLevel {
		return false
	}
	var groups []int
	for group := range slices.Chunk(top, facetGroupSize) {
		groups = append(groups, group[0])
	}
	*g = append(*g, groups)
	return true
}

// levels are the groups with where each begins in the level below.
func (g facetGroups) levels() []FacetLevel {
	levels := make([]FacetLevel, len(g))
	for l, groups := range g {
		levels[l].First = groups
		for _, first := range groups {
			if l > 0 {
				at, _ := slices.BinarySearch(g[l-1], first)
				levels[l].Starts = append(levels[l].Starts, at)
			}
		}
	}
	return levels
}
