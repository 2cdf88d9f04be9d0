package meili

import (
	"fmt"
	"strings"
)

// FederatedRanking holds what the queries of one federated search rank by, as far as they were added, and refuses those
// whose hits do not compare. The zero value is ready.
type FederatedRanking struct{ longest *rankedQuery }

// rankedQuery is a query with the kinds of rules it ranks by, relevancy rules in a row as one.
type rankedQuery struct {
	position int
	indexUID string
	kinds    []rankingKind
}

// rankingKind is a kind of ranking rule, as messages name it.
type rankingKind string

const (
	rankRelevancy  rankingKind = "relevancy"
	rankAscending  rankingKind = "ascending sort"
	rankDescending rankingKind = "descending sort"
	rankNearest    rankingKind = "ascending geo sort"
	rankFarthest   rankingKind = "descending geo sort"
)

// Add takes the query at position on an index with these ranking rules. Its kinds of rules must agree with those of the
// query before it that has most, as far as both go. Error: invalid_multi_search_query_ranking_rules.
func (f *FederatedRanking) Add(position int, indexUID string, rules []string, query *SearchQuery) *Error {
	current := &rankedQuery{position, indexUID, rankingKinds(rules, query)}
	if f.longest == nil {
		f.longest = current
		return nil
	}
	for n := range min(len(f.longest.kinds), len(current.kinds)) {
		if f.longest.kinds[n] != current.kinds[n] {
			return incomparable(f.longest, current, n)
		}
	}
	if len(current.kinds) >= len(f.longest.kinds) {
		f.longest = current
	}
	return nil
}

func rankingKinds(rules []string, query *SearchQuery) []rankingKind {
	relevancy := !query.IsPlaceholder() || query.Vector != nil
	var kinds []rankingKind
	sorted := false
	for _, rule := range rules {
		switch {
		case rule == "sort":
			if query.Sort != nil && !sorted {
				for _, criterion := range *query.Sort {
					kinds = append(kinds, kindOfSort(criterion))
				}
				sorted = true
			}
		case strings.HasSuffix(rule, ":asc"), strings.HasSuffix(rule, ":desc"):
			kinds = append(kinds, kindOfSort(rule))
		case relevancy && (len(kinds) == 0 || kinds[len(kinds)-1] != rankRelevancy):
			kinds = append(kinds, rankRelevancy)
		}
	}
	return kinds
}

func kindOfSort(criterion string) rankingKind {
	geo, asc := strings.HasPrefix(criterion, "_geo"), strings.HasSuffix(criterion, ":asc")
	switch {
	case geo && asc:
		return rankNearest
	case geo:
		return rankFarthest
	case asc:
		return rankAscending
	}
	return rankDescending
}

func incomparable(a, b *rankedQuery, n int) *Error {
	line := func(q *rankedQuery) string {
		return fmt.Sprintf("`queries[%d]`, `%s.rankingRules`: %s rule", q.position, q.indexUID, q.kinds[n])
	}
	return Errorf(CodeInvalidMultiSearchQueryRankingRules,
		"The results of queries #%d and #%d are incompatible: \n  1. %s\n  2. %s\n  - %s\n",
		a.position, b.position, line(a), line(b), whyIncomparable(a.kinds[n], b.kinds[n]))
}

func whyIncomparable(a, b rankingKind) string {
	geo := func(kind rankingKind) bool { return kind == rankNearest || kind == rankFarthest }
	switch {
	case (a == rankRelevancy || b == rankRelevancy) && (geo(a) || geo(b)):
		return "cannot compare a relevancy rule with a geosort rule"
	case a == rankRelevancy || b == rankRelevancy:
		return "cannot compare a relevancy rule with a sort rule"
	case geo(a) && geo(b):
		return "cannot compare two geosort rules in opposite directions"
	case geo(a) || geo(b):
		return "cannot compare a sort rule with a geosort rule"
	}
	return "cannot compare two sort rules in opposite directions"
}
