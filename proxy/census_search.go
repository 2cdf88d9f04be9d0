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
	shown := map[shownName]hit{}
	learn := func(list []hit) {
		for _, h := range list {
			shown[shownName{formOf(0, h.score), h.identity()}] = h
		}
	}
	name := func(p *placed) shownName { return shownName{formOf(0, p.score), c.docs[p.doc].identity()} }
	for _, list := range hitLists(answers) {
		learn(list)
	}
	for _, narrow := range []bool{false, true} {
		asked, taken := map[hitForm]*valuesAsked{}, []string(nil)
		for i := range hits {
			h := &c.docs[hits[i].doc]
			if _, ok := shown[name(&hits[i])]; ok {
				taken = append(taken, h.textsOf(f.distinct)...)
			} else {
				noteValues(asked, q.settings, formOf(0, hits[i].score), h, f.distinct)
			}
		}
		for form, values := range asked {
			if narrow && values.any {
				continue
			}
			filter := values.filter(narrow, taken)
			if form.semantic && q.kind == meili.HybridSearch { // those unlike the vector have that form only where no words count
				for _, list := range q.askFor(ctx, answers, f, form, filter, 1) {
					learn(list)
				}
			}
			for _, list := range q.askFor(ctx, answers, f, form, filter, nearlySemantic) {
				learn(list)
			}
		}
	}
	out := make([]hit, len(hits))
	for i := range hits {
		h, ok := shown[name(&hits[i])]
		if !ok {
			return nil, false
		}
		out[i] = h
	}
	return out, true
}

// askFor asks the nodes of answers for hits in a form that satisfy a filter; those found by vector with at least a share of
// vectors.
func (q *search) askFor(ctx context.Context, answers []answered[*nodeAnswer], f searchForm, form hitForm, filter string, semanticRatio float64) [][]hit {
	wide, query := *q, *q.query
	if filter != "" {
		query.Filter = meili.AndFilter(query.Filter, meili.AppendString(nil, filter))
	}
	query.Distinct, query.Facets, query.RankingScoreThreshold = nil, nil, nil
	form.askedOf(&query, q.settings.Ranking(), semanticRatio)
	wide.kind, _ = query.Kind(meili.AllFeatures())
	wide.query = &query
	f.reach, f.federated, f.distinct, f.distinctFederated = q.settings.MaxTotalHits(), true, tasks.NoField, true
	all := make([]int, len(answers))
	for i := range all {
		all[i] = i
	}
	var more []answered[*nodeAnswer]
	for i, a := range wide.again(ctx, answers, all, f) {
		more = append(more, answered[*nodeAnswer]{answers[i].Call, a})
	}
	wide.settleRanks(ctx, more, f)
	return hitLists(more)
}
