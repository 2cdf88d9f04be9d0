package proxy

import (
	"bytes"
	"context"
	"maps"
	"slices"

	"miroir/fsm"
	"miroir/meili"
	"miroir/tasks"
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
	lists, to := hitLists(answers), f.reach
	w := findWinners(lists, to, f.reach, f.distinct, q.unranked())
	if most := q.settings.MaxTotalHits(); len(w.open) == 0 || f.reach >= most {
		return w
	}
	wide := q.lean(&f)
	for i, part := range wide.again(ctx, answers, w.open, f) {
		lists[i] = part.hits
	}
	return findWinners(lists, to, f.reach, f.distinct, q.unranked())
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
	added, values := q.windowWinners(ctx, answers, f).valuesByNode(len(answers), f.distinct)
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

// maxFirstRounds bounds the requests that find the first documents of values, of one node.
const maxFirstRounds = 8

// countFirst counts as one server does for pages: of documents that share a value the winner of the window, and behind the
// window the one inserted first. It reports whether it could: nodes must list all values and show them, and documents have
// one value each.
func (q *search) countFirst(ctx context.Context, answers []answered[*nodeAnswer], f searchForm, c *counts) bool {
	if !q.canCount(f) || q.settings.Displayed() != nil && !q.shows(f.distinct) {
		return false
	}
	flat := *q
	query := *q.query
	query.Page, query.HitsPerPage, query.Distinct, query.Facets = nil, nil, new(tasks.NoField), nil
	flat.query = &query
	listed := flat.countAll(ctx, callsOf(answers), []countQuery{{facets: &[]string{f.distinct}}})
	if listed == nil {
		return false
	}
	holders, texts := map[string]map[int]int{}, map[string]string{} // value → list → documents
	for i, a := range listed {
		if a[0].facets == nil || isCut(len(a[0].facets.values[f.distinct]), q.settings.MaxValuesPerFacet()) {
			return false
		}
		documents := 0
		for _, value := range a[0].facets.values[f.distinct] {
			key := normalizeFacet(value.text)
			if holders[key] == nil {
				holders[key], texts[key] = map[int]int{}, value.text
			}
			holders[key][i] += int(value.count)
			documents += int(value.count)
		}
		if documents > a[0].total {
			return false // some document has several values
		}
	}
	added, won := q.windowWinners(ctx, answers, f).valuesByNode(len(answers), f.distinct)
	excluded := make([][]string, len(answers))
	for _, values := range won {
		for _, value := range values {
			for i := range holders[normalizeFacet(value)] {
				excluded[i] = append(excluded[i], value)
			}
			delete(holders, normalizeFacet(value))
		}
	}
	maps.DeleteFunc(holders, func(_ string, lists map[int]int) bool { return len(lists) < 2 })
	owners, ok := flat.firstHolders(ctx, callsOf(answers), f.distinct, holders, texts)
	if !ok {
		return false
	}
	filters := make([]string, len(answers))
	for _, key := range slices.Sorted(maps.Keys(holders)) {
		for i := range holders[key] {
			if i != owners[key] {
				excluded[i] = append(excluded[i], texts[key])
			}
		}
	}
	for i := range excluded {
		if len(excluded[i]) > 0 {
			filters[i] = "NOT " + fieldIn(f.distinct, excluded[i])
		}
	}
	return q.countBeside(ctx, answers, f, filters, added, won, c)
}

// firstHolders finds for each value the list with the document that was inserted first. holders tells how many documents
// each list has of it.
func (q *search) firstHolders(ctx context.Context, calls []Call, field string, holders map[string]map[int]int, texts map[string]string) (map[string]int, bool) {
	most := q.settings.MaxTotalHits()
	owners := map[string]int{}
	orders := make([]map[string][]byte, len(calls))
	ok := make([]bool, len(calls))
	eachAtOnce(len(calls), func(i int) {
		orders[i] = map[string][]byte{}
		var rounds [][]string
		room := 0
		for _, key := range slices.Sorted(maps.Keys(holders)) {
			n := holders[key][i]
			if n == 0 {
				continue
			}
			if n > most {
				return
			}
			if room < n {
				rounds, room = append(rounds, nil), most
			}
			rounds[len(rounds)-1] = append(rounds[len(rounds)-1], texts[key])
			room -= n
		}
		if len(rounds) > maxFirstRounds {
			return
		}
		for _, values := range rounds {
			got, err := q.askCounts(ctx, calls[i], []countQuery{{filter: fieldIn(field, values), ranked: most, retrieve: []string{field, orderField}}})
			if err != nil {
				return
			}
			for _, h := range got[0].hits {
				order := orderOf(h.raw)
				for _, value := range h.facetTexts(field) {
					key := normalizeFacet(value.text)
					if known, has := orders[i][key]; !has || bytes.Compare(order, known) < 0 {
						orders[i][key] = order
					}
				}
			}
		}
		ok[i] = true
	})
	if slices.Contains(ok, false) {
		return nil, false
	}
	for key, lists := range holders {
		best := -1
		for _, i := range slices.Sorted(maps.Keys(lists)) {
			if orders[i][key] == nil {
				return nil, false
			}
			if best < 0 || bytes.Compare(orders[i][key], orders[best][key]) < 0 {
				best = i
			}
		}
		owners[key] = best
	}
	return owners, true
}
