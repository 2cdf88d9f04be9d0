package proxy

import (
	"bytes"
	"context"
	"slices"

	"miroir/meili"
	"miroir/tasks"
)

// Facet values are equal when their normalized forms are, and one server shows the spelling of the candidate that was
// inserted first (milli facet_distribution.rs). Each node shows that of its own first one. Where they differ, the nodes
// are asked for the numbers of the documents that have the value.

// Bounds of what is asked about spellings for one search: values, and documents on one node.
const (
	maxSpellings        = 50
	maxSpelledDocuments = 5000
)

// spelling is a value that some nodes spell differently than others: texts[i] and counts[i] are those of parts[i].
type spelling struct {
	field  string
	at     int // in the merged list
	texts  []string
	counts []uint64
}

// respell gives the values of merged facets the spelling one server shows. parts[i] are the facets of calls[i].
func (q *search) respell(ctx context.Context, calls []Call, parts []*facets, merged *facets) {
	doubts := q.spellings(parts, merged)
	if len(doubts) == 0 {
		return
	}
	first := make([][][]byte, len(calls)) // by call and doubt
	eachAtOnce(len(calls), func(i int) { first[i] = q.firstNumbers(ctx, calls[i], doubts, i) })
	for d, doubt := range doubts {
		var least []byte
		for i := range calls {
			if first[i] == nil || first[i][d] == nil {
				continue
			}
			if number := first[i][d]; least == nil || bytes.Compare(number, least) < 0 {
				least = number
				merged.values[doubt.field][doubt.at].text = doubt.texts[i]
			}
		}
	}
}

// firstSpelled is how many documents of each value a facet search looks at for its spelling: one server shows that of the
// first of all documents, which is among the first found.
const firstSpelled = 100

// respellAll is respell by all documents of the index instead of the search's candidates.
func (q *search) respellAll(ctx context.Context, calls []Call, parts []*facets, merged *facets) {
	all := *q
	all.query, all.others, all.within = &meili.SearchQuery{}, nil, nil
	counted := make([]*facets, len(parts))
	for i, part := range parts {
		counted[i] = &facets{values: map[string][]facetValue{}}
		for field, values := range part.values {
			for _, value := range values {
				counted[i].values[field] = append(counted[i].values[field], facetValue{value.text, firstSpelled})
			}
		}
	}
	all.respell(ctx, calls, counted, merged)
}

// spelledVariously reports that nodes spell some value differently. With distinct only the documents that are left count, which
// filters do not tell one by one.
func (q *search) spelledVariously(parts []*facets) bool {
	sum := sumFacets(parts)
	return sum != nil && len(q.spellings(parts, sum)) > 0
}

// spellings are the values of merged lists that nodes spell differently.
func (q *search) spellings(parts []*facets, merged *facets) []spelling {
	var doubts []spelling
	for field, values := range merged.values {
		if _, rule := meili.MatchFilterable(q.settings.Filterable(), field); rule == nil || !rule.Equality {
			continue
		}
		places := make(map[string]int, len(values))
		for at, value := range values {
			places[normalizeFacet(value.text)] = at
		}
		known := make([]spelling, len(values))
		differ := make([]bool, len(values))
		for i, part := range parts {
			if part == nil {
				continue
			}
			for _, value := range part.values[field] {
				at, listed := places[normalizeFacet(value.text)]
				if !listed {
					continue
				}
				s := &known[at]
				if s.texts == nil {
					*s = spelling{field, at, make([]string, len(parts)), make([]uint64, len(parts))}
				}
				s.texts[i], s.counts[i] = value.text, value.count
				differ[at] = differ[at] || value.text != values[at].text
			}
		}
		for at := range known {
			if differ[at] && len(doubts) < maxSpellings {
				doubts = append(doubts, known[at])
			}
		}
	}
	return doubts
}

// firstNumbers are, for each doubt, the least number of a candidate of one node that has the value; nil for none.
func (q *search) firstNumbers(ctx context.Context, call Call, doubts []spelling, part int) [][]byte {
	var queries []countQuery
	var asked []int
	found := slices.Concat([]*meili.SearchQuery{q.query}, q.others)
	for i, query := range found { // the first document counts, not the one that stands for its duplicates
		plain := *query
		plain.Distinct = new(tasks.NoField)
		found[i] = &plain
	}
	room := maxSpelledDocuments
	for d, doubt := range doubts {
		n := int(min(doubt.counts[part], uint64(q.settings.MaxTotalHits())))
		if n == 0 || n > room {
			continue
		}
		room -= n
		filter := fieldIn(doubt.field, []string{doubt.texts[part]})
		if within := q.within[call.Node]; within != "" {
			filter = "(" + within + ") AND " + filter
		}
		for _, query := range found {
			asked = append(asked, d)
			queries = append(queries, countQuery{query: query, filter: filter, ranked: n, retrieve: []string{orderField}})
		}
	}
	if len(queries) == 0 {
		return nil
	}
	answers, err := q.askCounts(ctx, call, queries)
	if err != nil {
		return nil
	}
	first := make([][]byte, len(doubts))
	for i, a := range answers {
		least := &first[asked[i]]
		for _, h := range a.hits {
			if number := orderOf(h.raw); number != nil && (*least == nil || bytes.Compare(number, *least) < 0) {
				*least = number
			}
		}
	}
	return first
}
