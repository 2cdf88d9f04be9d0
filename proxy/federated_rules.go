package proxy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"miroir/meili"
)

// What a node checks between the queries of one federated search, checked here for queries whose indexes lie on different
// nodes: each of them sees its own part only.

// ruleKind is a kind of ranking rule, as messages name it. Hits of two queries compare as long as their kinds agree.
type ruleKind string

const (
	relevancyRules ruleKind = "relevancy"
	ascending      ruleKind = "ascending sort"
	descending     ruleKind = "descending sort"
	nearest        ruleKind = "ascending geo sort"
	farthest       ruleKind = "descending geo sort"
)

// rankedQuery is a query with the kinds of rules it ranks by, relevancy rules in a row as one.
type rankedQuery struct {
	position int
	indexUID string
	kinds    []ruleKind
}

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

// checkRules compares each query with the one before it that has most rules; indexes by name, then queries.
func (f *federated) checkRules() *meili.Error {
	var longest *rankedQuery
	for _, uid := range slices.Sorted(maps.Keys(f.indexes)) {
		rules := settingsOf(f.indexes[uid]).Ranking()
		for i := range f.multi.Queries {
			query := &f.multi.Queries[i]
			if query.IndexUID != uid {
				continue
			}
			current := &rankedQuery{i, uid, ruleKinds(rules, &query.SearchQuery)}
			if longest != nil {
				if n := firstDifference(longest.kinds, current.kinds); n >= 0 {
					return meili.InQuery(i, incomparable(longest, current, n))
				}
			}
			if longest == nil || len(current.kinds) >= len(longest.kinds) {
				longest = current
			}
		}
	}
	return nil
}

func ruleKinds(rules []string, query *meili.SearchQuery) []ruleKind {
	relevant := !query.IsPlaceholder() || query.Vector != nil
	var kinds []ruleKind
	sorted := false
	for _, rule := range rules {
		switch {
		case rule == "sort":
			if query.Sort != nil && !sorted {
				for _, criterion := range *query.Sort {
					kinds = append(kinds, sortKindOf(criterion))
				}
			}
			sorted = true
		case strings.HasSuffix(rule, ":asc"), strings.HasSuffix(rule, ":desc"):
			kinds = append(kinds, sortKindOf(rule))
		case relevant && (len(kinds) == 0 || kinds[len(kinds)-1] != relevancyRules):
			kinds = append(kinds, relevancyRules)
		}
	}
	return kinds
}

func sortKindOf(criterion string) ruleKind {
	asc := strings.HasSuffix(criterion, ":asc")
	switch geo := strings.HasPrefix(criterion, "_geo"); {
	case geo && asc:
		return nearest
	case geo:
		return farthest
	case asc:
		return ascending
	}
	return descending
}

// firstDifference is the first place where both lists have an entry and it differs, -1 for none.
func firstDifference(a, b []ruleKind) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

func incomparable(a, b *rankedQuery, n int) *meili.Error {
	line := func(q *rankedQuery) string {
		return fmt.Sprintf("`queries[%d]`, `%s.rankingRules`: %s rule", q.position, q.indexUID, q.kinds[n])
	}
	return meili.Errorf(meili.CodeInvalidMultiSearchQueryRankingRules,
		"The results of queries #%d and #%d are incompatible: \n  1. %s\n  2. %s\n  - %s\n",
		a.position, b.position, line(a), line(b), reasonOf(a.kinds[n], b.kinds[n]))
}

func reasonOf(a, b ruleKind) string {
	geo := func(kind ruleKind) bool { return kind == nearest || kind == farthest }
	switch {
	case (a == relevancyRules || b == relevancyRules) && (geo(a) || geo(b)):
		return "cannot compare a relevancy rule with a geosort rule"
	case a == relevancyRules || b == relevancyRules:
		return "cannot compare a relevancy rule with a sort rule"
	case geo(a) && geo(b):
		return "cannot compare two geosort rules in opposite directions"
	case geo(a) || geo(b):
		return "cannot compare a sort rule with a geosort rule"
	}
	return "cannot compare two sort rules in opposite directions"
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
			return meili.InQuery(i, refused)
		}
	}
	return refused
}
