package meili

// Meilisearch keeps the values of a facet in levels of ever larger groups of neighbours. Which of several values with equal
// counts come first, and so which of them a limit cuts off, depends on those groups: the constants are milli's.
const (
	facetGroupSize    = 4
	facetMinLevel     = 5    // a level is made while it has this many groups
	facetMaxGroupSize = 8    // in place of facetGroupSize when groups are made again
	maxSmallFacet     = 1000 // facets of up to this many values have one level of groups, which changes of settings regroup
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
	base := FacetLevel{First: make([]int, numValues)}
	for i := range base.First {
		base.First[i] = i
	}
	levels := []FacetLevel{base}
	grow := func() bool {
		top := &levels[len(levels)-1]
		if len(top.First) < facetGroupSize*facetMinLevel {
			return false
		}
		var starts []int
		for i := 0; i < len(top.First); i += facetGroupSize {
			starts = append(starts, i)
		}
		levels = append(levels, groupFacets(top, starts))
		return true
	}
	if numValues > maxSmallFacet { // levels are all made at once, each time
		for grow() {
		}
		return levels
	}
	grow()
	for range min(regroups, maxRegroups) {
		for i := 1; i < len(levels); i++ {
			levels[i] = groupFacets(&levels[i-1], regroupFacets(&levels[i], &levels[i-1]))
		}
		grow()
	}
	return levels
}

// groupFacets makes the level above below with groups that begin at starts.
func groupFacets(below *FacetLevel, starts []int) FacetLevel {
	level := FacetLevel{Starts: starts}
	for _, start := range starts {
		level.First = append(level.First, below.First[start])
	}
	return level
}

// regroupFacets cuts each group of old anew over the entries below: in halves, as long as enough are left.
func regroupFacets(old, below *FacetLevel) []int {
	index := make(map[int]int, len(below.First)) // entry below by its first value
	for i, first := range below.First {
		index[first] = i
	}
	var starts []int
	for i, first := range old.First {
		from, to := index[first], len(below.First)
		last := i+1 == len(old.First)
		if !last {
			to = index[old.First[i+1]]
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
