package proxy

import (
	"context"
	"slices"
)

// Lists by count of nodes that cut them at the client's maximum, completed by asking again. A node that does not answer
// then leaves its list as it is, and is noted among the search's losses.

// maxRecounts bounds the rounds of one facet.
const maxRecounts = 4

// recount completes the lists of one facet in parts until the values that belong to the merged list are certain, by the
// threshold algorithm: a value that a cut list does not hold has at most the count of that list's end. parts[i] belongs to
// calls[i]. With discover, nodes are also asked for values that no list holds.
func (q *search) recount(ctx context.Context, calls []Call, parts []*facets, field string, maxValues int, discover bool) {
	lists := make([]cutList, len(parts))
	anyCut := false
	for i, part := range parts {
		lists[i] = newCutList(part, field, maxValues)
		anyCut = anyCut || lists[i].cut
	}
	for round := 0; anyCut && round < maxRecounts; round++ {
		doubts, unseen := doubtful(lists, maxValues)
		unseen = unseen && discover
		if len(doubts) == 0 && !unseen {
			break
		}
		q.s.meter.secondRounds.Inc()
		for i := range lists {
			if ctx.Err() != nil {
				return
			}
			if values := doubts[i]; len(values) > 0 {
				q.countValues(ctx, calls[i], field, values, &lists[i], maxValues)
			} else if unseen && lists[i].cut {
				q.findMore(ctx, calls[i], field, lists, i, maxValues)
			}
		}
	}
	for i, part := range parts {
		if part != nil && anyCut {
			part.values[field] = lists[i].values()
		}
	}
}

// cutList is what is known of one node's counts of one facet.
type cutList struct {
	counts map[string]facetValue // by normalized value
	order  []string              // keys of counts, in the order met
	cut    bool                  // the node has more values, each at most tail times
	tail   uint64
}

func newCutList(part *facets, field string, maxValues int) cutList {
	l := cutList{counts: map[string]facetValue{}}
	if part == nil {
		return l
	}
	l.append(part.values[field], maxValues)
	return l
}

// isCut reports whether a list of n values may have been cut: at the client's maximum, or at the longer one that nodes of
// spread indexes are given where facets are listed by count.
func isCut(n, maxValues int) bool { return n == maxValues || n >= max(maxValues, nodeFacetValues) }

// append adds a list as the node cut it.
func (l *cutList) append(values []facetValue, maxValues int) {
	for _, value := range values {
		l.set(value)
	}
	if l.cut = isCut(len(values), maxValues); l.cut && len(values) > 0 {
		l.tail = values[len(values)-1].count
	}
}

func (l *cutList) set(value facetValue) {
	key := normalizeFacet(value.text)
	if _, known := l.counts[key]; !known {
		l.order = append(l.order, key)
	}
	l.counts[key] = value
}

func (l *cutList) values() []facetValue {
	values := make([]facetValue, 0, len(l.order))
	for _, key := range l.order {
		if l.counts[key].count > 0 {
			values = append(values, l.counts[key])
		}
	}
	return values
}

// doubtful returns, for each list, the values it does not hold that may belong to the first maxValues of all lists
// together, and whether a value that no list holds may.
func doubtful(lists []cutList, maxValues int) (doubts map[int][]string, unseen bool) {
	least := map[string]uint64{} // counts known
	texts := map[string]string{}
	var tails uint64
	for _, l := range lists {
		for key, value := range l.counts {
			least[key] += value.count
			texts[key] = value.text
		}
		if l.cut {
			tails += l.tail
		}
	}
	bar := nthLargest(least, maxValues)
	doubts = map[int][]string{}
	for key, count := range least {
		most := count
		var open []int
		for i, l := range lists {
			if _, known := l.counts[key]; !known && l.cut {
				most += l.tail
				open = append(open, i)
			}
		}
		if most >= bar {
			for _, i := range open {
				doubts[i] = append(doubts[i], texts[key])
			}
		}
	}
	for i := range doubts {
		slices.Sort(doubts[i])
	}
	return doubts, tails > bar || tails == bar && tails > 0
}

// nthLargest is the n-th largest count, 0 when there are fewer.
func nthLargest(counts map[string]uint64, n int) uint64 {
	if len(counts) < n || n == 0 {
		return 0
	}
	sorted := make([]uint64, 0, len(counts))
	for _, count := range counts {
		sorted = append(sorted, count)
	}
	slices.Sort(sorted)
	return sorted[len(sorted)-n]
}

// countValues asks a node for its counts of some values: first as a facet of the documents that have them; where that
// list is cut as well, value by value.
func (q *search) countValues(ctx context.Context, call Call, field string, values []string, l *cutList, maxValues int) {
	for chunk := range slices.Chunk(values, max(1, maxValues)) {
		answer, err := q.askCounts(ctx, call, []countQuery{{filter: fieldIn(field, chunk), facets: &[]string{field}}})
		if err != nil {
			return
		}
		listed := map[string]facetValue{}
		if answer[0].facets != nil {
			for _, value := range answer[0].facets.values[field] {
				listed[normalizeFacet(value.text)] = value
			}
		}
		var rest []string
		for _, value := range chunk {
			switch found, ok := listed[normalizeFacet(value)]; {
			case ok:
				l.set(found)
			case !isCut(len(listed), maxValues):
				l.set(facetValue{text: value})
			default:
				rest = append(rest, value)
			}
		}
		q.countEach(ctx, call, field, rest, l)
	}
}

func (q *search) countEach(ctx context.Context, call Call, field string, values []string, l *cutList) {
	if len(values) == 0 {
		return
	}
	queries := make([]countQuery, len(values))
	for i, value := range values {
		queries[i].filter = fieldIn(field, []string{value})
	}
	answers, err := q.askCounts(ctx, call, queries)
	if err != nil {
		return
	}
	for i, value := range values {
		l.set(facetValue{value, uint64(answers[i].total)})
	}
}

// findMore asks a node for values behind the end of its list: those of documents that have none of the values known.
func (q *search) findMore(ctx context.Context, call Call, field string, lists []cutList, i, maxValues int) {
	known := map[string]string{}
	for _, l := range lists {
		for key, value := range l.counts {
			known[key] = value.text
		}
	}
	values := make([]string, 0, len(known))
	for _, text := range known {
		values = append(values, text)
	}
	slices.Sort(values)
	answers, err := q.askCounts(ctx, call, []countQuery{{filter: "NOT " + fieldIn(field, values), facets: &[]string{field}}})
	if err != nil || answers[0].facets == nil {
		lists[i].cut = false
		return
	}
	lists[i].append(answers[0].facets.values[field], maxValues)
}
