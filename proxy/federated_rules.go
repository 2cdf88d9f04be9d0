package proxy

import (
	"maps"
	"slices"

	"miroir/meili"
)

// What a node checks between the queries of one federated search, checked here for queries whose indexes lie on different
// nodes: each of them sees its own part only.

// checkBetween refuses queries whose hits do not compare, and indexes that list a facet to merge in different orders.
// Errors: invalid_multi_search_query_ranking_rules, invalid_multi_search_facet_order.
func (f *federated) checkBetween() *meili.Error {
	if len(f.indexes) < 2 {
		return nil
	}
	if refused := f.checkRules(); refused != nil {
		return refused
	}
	return f.checkFacetOrders()
}

// checkRules takes indexes by name, then queries, as a node does. A sort that cannot be read ends it: a node says so.
func (f *federated) checkRules() *meili.Error {
	var ranking meili.FederatedRanking
	for _, uid := range slices.Sorted(maps.Keys(f.indexes)) {
		rules := settingsOf(f.indexes[uid]).Ranking()
		for i := range f.multi.Queries {
			query := &f.multi.Queries[i]
			if query.IndexUID != uid {
				continue
			}
			if query.Sort != nil {
				if _, refused := meili.ParseSort(*query.Sort, meili.CodeInvalidSearchSort); refused != nil {
					return nil
				}
			}
			if refused := ranking.Add(f.position(i), uid, rules, &query.SearchQuery); refused != nil {
				return f.inQuery(i, refused)
			}
		}
	}
	return nil
}

// checkFacetOrders looks at the facets that queries name without a pattern; what a pattern matches only nodes know.
func (f *federated) checkFacetOrders() *meili.Error {
	if f.multi.Federation.MergeFacets == nil {
		return nil
	}
	type listed struct{ uid, order string }
	known := map[string]listed{}
	for _, uid := range slices.Sorted(maps.Keys(f.multi.Federation.FacetsByIndex)) {
		ix, patterns := f.indexes[uid], f.multi.Federation.FacetsByIndex[uid]
		if ix == nil || patterns == nil {
			continue
		}
		for _, field := range *patterns {
			order := settingsOf(ix).FacetSort(field)
			before, ok := known[field]
			if !ok {
				known[field] = listed{uid, order}
			} else if before.order != order && field != "*" {
				return f.inconsistentFacet(field, before.uid, before.order, uid, order)
			}
		}
	}
	return nil
}

func (f *federated) inconsistentFacet(field, firstUID, firstOrder, uid, order string) *meili.Error {
	name := map[string]string{"count": "by count", "alpha": "alphabetically"}
	refused := meili.Errorf(meili.CodeInvalidMultiSearchFacetOrder, "Inside `.federation.facetsByIndex.%s`: Inconsistent order for values in facet `%s`: "+
		"index `%s` orders %s, but index `%s` orders %s.\n - Hint: Remove `federation.mergeFacets` or change `faceting.sortFacetValuesBy` to be consistent in settings.",
		uid, field, firstUID, name[firstOrder], uid, name[order])
	for i := range f.multi.Queries {
		if f.multi.Queries[i].IndexUID == uid {
			return f.inQuery(i, refused)
		}
	}
	return refused
}
