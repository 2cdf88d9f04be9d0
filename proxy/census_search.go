package proxy

import (
	"context"
	"slices"

	"miroir/meili"
	"miroir/tasks"
)

// countByCensus counts a search from all its documents, and finds those of its hits from the one at from to the end of the window. nil where there is no census, or
// nodes do not show all of these hits.
func (q *search) countByCensus(ctx context.Context, answers []answered[*nodeAnswer], f searchForm, from int) ([]hit, *counts) {
	fewest := 0
	for _, a := range answers {
		fewest += a.Value.total
	}
	limit := censusLimit(f.distinct != "")
	if fewest > limit || !canTakeCensus(q, f.distinct) {
		return nil, nil
	}
	taking := censusTaking{search: q, calls: callsOf(answers), facets: q.query.Facets, limit: limit, queries: []censusQuery{{query: q.query, kind: q.kind, distinct: f.distinct}}}
	c, rankings, err := taking.take(ctx)
	if err != nil {
		return nil, nil
	}
	x := extent{distinct: f.distinct, length: f.reach, reachable: q.settings.MaxTotalHits(), threshold: q.query.RankingScoreThreshold, paged: q.query.Paged()}
	found := c.merge([]found{c.find(q.query, q.kind, rankings[0], x)}, deref(q.query.Distinct), f.reach)
	shown, ok := q.show(ctx, answers, f, c, found.hits[min(from, len(found.hits)):])
	if !ok {
		return nil, nil
	}
	return shown, c.counts(found.candidates, facetsOfAnswers(answers))
}

// canTakeCensus reports whether nodes tell what a census needs. Of a hybrid search the half by vector has no words there, so
// that other dynamic search rules would hold for it.
func canTakeCensus(q *search, distinct string) bool {
	if q.kind == meili.HybridSearch && q.s.ruleBooks.of(q.view, q.ix.UID) != nil {
		return false
	}
	return distinct == "" || isFilterable(q.settings, distinct) || q.settings.Displayed() == nil || q.shows(distinct)
}

// counts are the documents of candidates, to be counted by their values of the fields that parts list.
func (c *census) counts(candidates []bool, parts []*facets) *counts {
	added := c.counted(candidates)
	empty := facets{values: map[string][]facetValue{}}
	for field := range fieldsOf(parts) {
		empty.values[field] = nil
	}
	out := &counts{total: len(added), added: added}
	if slices.ContainsFunc(parts, func(part *facets) bool { return part != nil }) {
		out.parts = []*facets{&empty}
	}
	return out
}

func facetsOfAnswers(answers []answered[*nodeAnswer]) []*facets {
	parts := make([]*facets, len(answers))
	for i, a := range answers {
		parts[i] = a.Value.facets
	}
	return parts
}

// show returns hits as nodes show them. A node did not list those that it took for duplicates: it is asked for them.
func (q *search) show(ctx context.Context, answers []answered[*nodeAnswer], f searchForm, c *census, hits []placed) ([]hit, bool) {
	shown := map[string]hit{}
	learn := func(list []hit) {
		for _, h := range list {
			shown[h.identity()] = h
		}
	}
	for _, list := range hitLists(answers) {
		learn(list)
	}
	var values []string
	for _, p := range hits {
		h := &c.docs[p.doc]
		if _, ok := shown[h.identity()]; !ok {
			for _, value := range h.facetTexts(f.distinct) {
				values = append(values, value.text)
			}
		}
	}
	if len(values) > 0 {
		wide, query := *q, *q.query
		query.Filter = meili.AndFilter(query.Filter, meili.AppendString(nil, fieldIn(f.distinct, values)))
		query.Distinct, query.Facets, query.RankingScoreThreshold = nil, nil, nil
		wide.query = &query
		f.reach, f.federated, f.distinct, f.distinctFederated = q.settings.MaxTotalHits(), true, tasks.NoField, true
		all := make([]int, len(answers))
		for i := range all {
			all[i] = i
		}
		for _, a := range wide.again(ctx, answers, all, f) {
			learn(a.hits)
		}
	}
	out := make([]hit, len(hits))
	for i, p := range hits {
		h, ok := shown[c.docs[p.doc].identity()]
		if !ok {
			return nil, false
		}
		out[i] = h
	}
	return out, true
}
