package proxy

import (
	"context"
	"slices"

	"miroir/fsm"
	"miroir/meili"
)

// canCount reports whether what one server counts beside distinct can be found out: nodes tell the values of the field,
// filters select them, and no threshold decides about candidates on the way.
func (q *search) canCount(f searchForm) bool {
	_, rule := meili.MatchFilterable(q.settings.Filterable(), f.distinct)
	return f.distinctFederated && rule != nil && rule.Equality && q.kind != meili.HybridSearch &&
		(q.query.RankingScoreThreshold == nil || q.unranked())
}

// windowWinners are the winners of the client's window. Where they may go on behind the nodes' lists, these are asked for
// as far as hits can be reached.
func (q *search) windowWinners(ctx context.Context, answers []answered[*nodeAnswer], f searchForm) winners {
	lists, to, most := hitLists(answers), f.reach, q.settings.MaxTotalHits()
	w := findWinners(lists, to, f.reach, f.distinct, q.unranked())
	if len(w.open) == 0 || f.reach >= most {
		return w
	}
	wide := q.lean(&f)
	for i, part := range wide.again(ctx, answers, w.open, f) {
		lists[i] = part.hits
	}
	return findWinners(lists, to, most, f.distinct, q.unranked())
}

// valuesByNode are the winners' values of the distinct field, those that lists[i] has at [i], each once.
func (w winners) valuesByNode(numLists int, distinct string) (added []hit, values [][]string) {
	values = make([][]string, numLists)
	known := map[string]bool{}
	for i := range w.hits {
		own := w.hits[i].facetTexts(distinct)
		if len(own) > 0 {
			added = append(added, w.hits[i])
		}
		for _, value := range own {
			if !known[normalizeFacet(value.text)] {
				known[normalizeFacet(value.text)] = true
				values[w.lists[i]] = append(values[w.lists[i]], value.text)
			}
		}
	}
	return added, values
}

// countWinners counts the candidates that share no value with a winner, and the winners. It reports whether it could.
func (q *search) countWinners(ctx context.Context, answers []answered[*nodeAnswer], f searchForm, c *counts) bool {
	if !q.canCount(f) {
		return false
	}
	w := q.windowWinners(ctx, answers, f)
	if hasSeveral(w.rejected, f.distinct) || w.short && len(w.open) > 0 {
		return false
	}
	added, values := w.valuesByNode(len(answers), f.distinct)
	filters := make([]string, len(answers))
	if all := slices.Concat(values...); len(all) > 0 {
		for i := range filters {
			filters[i] = "NOT " + fieldIn(f.distinct, all)
		}
	}
	return q.countBeside(ctx, answers, f, filters, added, values, c)
}

// countBeside counts the candidates that satisfy filters[i] on each node, and the winners added, whose values are
// values[i] there. It reports whether it could and leaves c alone otherwise.
func (q *search) countBeside(ctx context.Context, answers []answered[*nodeAnswer], f searchForm, filters []string, added []hit, values [][]string, c *counts) bool {
	counted := counts{total: len(added), added: added, parts: make([]*facets, len(answers)), filters: map[fsm.NodeID]string{}}
	winning := make([]*facets, len(answers))
	failed := make([]bool, len(answers))
	totals := make([]int, len(answers))
	eachAtOnce(len(answers), func(i int) {
		queries := []countQuery{{filter: filters[i], facets: q.query.Facets}}
		if len(values[i]) > 0 && q.query.Facets != nil {
			queries = append(queries, countQuery{filter: fieldIn(f.distinct, values[i]), facets: q.query.Facets, ranked: len(values[i])})
		}
		got, err := q.askCounts(ctx, answers[i].Call, queries)
		if failed[i] = err != nil; err != nil {
			return
		}
		totals[i], counted.parts[i] = got[0].total, got[0].facets
		if len(got) > 1 {
			winning[i] = got[1].facets
		}
	})
	if slices.Contains(failed, true) {
		return false
	}
	for i, a := range answers {
		counted.total += totals[i]
		counted.filters[a.Call.Node] = filters[i]
	}
	counted.addedFacets = winning
	*c = counted
	return true
}
