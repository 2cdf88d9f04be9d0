package devnode

import (
	"fmt"
	"strings"

	"miroir/meili"
)

// rankingKinds are the kinds of ranking rules a query goes through, relevancy rules in a row taken as one. Hits of two
// queries can be compared only when their kinds agree as far as both go.
type rankingKinds struct {
	kinds []string
	query int
	index string
}

// The kinds, as messages name them.
const (
	kindRelevancy = "relevancy"
	kindAsc       = "ascending sort"
	kindDesc      = "descending sort"
	kindGeoAsc    = "ascending geo sort"
	kindGeoDesc   = "descending geo sort"
)

// newRankingKinds returns the kinds of a query on an index with the given ranking rules.
func newRankingKinds(rules []string, query *meili.SearchQuery, relevancy bool) []string {
	var kinds []string
	add := func(kind string) {
		if kind != kindRelevancy || len(kinds) == 0 || kinds[len(kinds)-1] != kind {
			kinds = append(kinds, kind)
		}
	}
	sorted := false
	for _, rule := range rules {
		switch {
		case rule == "sort" && query.Sort != nil && !sorted:
			sorted = true
			for _, expression := range *query.Sort {
				add(sortKind(expression))
			}
		case rule == "sort":
		case strings.HasSuffix(rule, ":asc"), strings.HasSuffix(rule, ":desc"):
			add(sortKind(rule))
		case relevancy:
			add(kindRelevancy)
		}
	}
	return kinds
}

func sortKind(expression string) string {
	geo := strings.HasPrefix(expression, "_geo")
	asc := strings.HasSuffix(expression, ":asc")
	switch {
	case geo && asc:
		return kindGeoAsc
	case geo:
		return kindGeoDesc
	case asc:
		return kindAsc
	}
	return kindDesc
}

// checkRules refuses a query whose hits cannot be compared with those of the queries before it.
// Error: invalid_multi_search_query_ranking_rules.
func (f *federation) checkRules(ix *index, i int, query *meili.SearchQuery) *meili.Error {
	relevancy := !query.IsPlaceholder() || query.Vector != nil
	current := &rankingKinds{newRankingKinds(ix.Settings().Ranking(), query, relevancy), i, f.search.Queries[i].IndexUID}
	previous := f.rules
	if previous == nil {
		f.rules = current
		return nil
	}
	for n := range min(len(previous.kinds), len(current.kinds)) {
		if previous.kinds[n] != current.kinds[n] {
			return incompatible(previous, current, n)
		}
	}
	if len(current.kinds) >= len(previous.kinds) {
		f.rules = current
	}
	return nil
}

func incompatible(a, b *rankingKinds, n int) *meili.Error {
	line := func(r *rankingKinds) string {
		return fmt.Sprintf("`queries[%d]`, `%s.rankingRules`: %s rule", r.query, r.index, r.kinds[n])
	}
	return meili.Errorf(meili.CodeInvalidMultiSearchQueryRankingRules,
		"The results of queries #%d and #%d are incompatible: \n  1. %s\n  2. %s\n  - %s\n",
		a.query, b.query, line(a), line(b), incompatibility(a.kinds[n], b.kinds[n]))
}

func incompatibility(a, b string) string {
	geo := func(kind string) bool { return kind == kindGeoAsc || kind == kindGeoDesc }
	switch {
	case (a == kindRelevancy || b == kindRelevancy) && (geo(a) || geo(b)):
		return "cannot compare a relevancy rule with a geosort rule"
	case a == kindRelevancy || b == kindRelevancy:
		return "cannot compare a relevancy rule with a sort rule"
	case geo(a) && geo(b):
		return "cannot compare two geosort rules in opposite directions"
	case geo(a) || geo(b):
		return "cannot compare a sort rule with a geosort rule"
	}
	return "cannot compare two sort rules in opposite directions"
}
