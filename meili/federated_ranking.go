package meili

import (
	"fmt"
	"strings"
)

// FederatedRanking holds what the queries of one federated search rank by, as far as they were added, and refuses those
// whose hits do not compare. The zero value is ready.
type FederatedRanking struct{ longest *rankedQuery }

// rankedQuery is a query with what it ranks by, relevancy rules in a row as one.
type rankedQuery struct {
	position int
	indexUID string
	rules    *canonicalRules
	levels   []rankingLevel
}

// rankingLevel is what hits are compared by at one level: relevancy rules in a row, a custom rule, or a criterion of the sort.
type rankingLevel struct {
	kind        rankingKind
	first, last int // rules, as positions in the canonical ones
	sort        int // position in the canonical sort, -1 for other rules
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
	canonical := canonicalize(rules, query)
	current := &rankedQuery{position, indexUID, canonical, canonical.levels()}
	if f.longest == nil {
		f.longest = current
		return nil
	}
	for n := range min(len(f.longest.levels), len(current.levels)) {
		if f.longest.levels[n].kind != current.levels[n].kind {
			return incomparable(f.longest, current, n)
		}
	}
	if len(current.levels) >= len(f.longest.levels) {
		f.longest = current
	}
	return nil
}

// levels are what hits are compared by, in this order.
func (c *canonicalRules) levels() []rankingLevel {
	var levels []rankingLevel
	for i, rule := range c.rules {
		switch {
		case rule == ruleSort:
			for j, criterion := range c.sort {
				levels = append(levels, rankingLevel{kindOfSort(criterion), i, i, j})
			}
		case isCustomRule(rule):
			levels = append(levels, rankingLevel{kindOfSort(rule), i, i, -1})
		case len(levels) > 0 && levels[len(levels)-1].kind == rankRelevancy:
			levels[len(levels)-1].last = i
		default:
			levels = append(levels, rankingLevel{rankRelevancy, i, i, -1})
		}
	}
	return levels
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

// describe is a line about the level n.
func (q *rankedQuery) describe(n int) string {
	level := q.levels[n]
	switch {
	case level.sort >= 0:
		rule := "default"
		if field, _, isField := sortField(q.rules.sort[level.sort]); isField {
			rule = fmt.Sprintf("on field `%s`", field)
		}
		return fmt.Sprintf("`queries[%d].sort[%d]`, `%s.rankingRules[%d]`: %s rule(s) %s", q.position, level.sort, q.indexUID, level.first, level.kind, rule)
	case level.first == level.last:
		return fmt.Sprintf("`queries[%d]`, `%s.rankingRules[%d]`: %s rule(s) %s", q.position, q.indexUID, level.first, level.kind, q.rules.rules[level.first])
	}
	return fmt.Sprintf("`queries[%d]`, `%s.rankingRules[%d..=%d]`: %s rule(s) %s", q.position, q.indexUID, level.first, level.last, level.kind,
		strings.Join(q.rules.rules[level.first:level.last+1], ", "))
}

func incomparable(a, b *rankedQuery, n int) *Error {
	var text strings.Builder
	fmt.Fprintf(&text, "The results of queries #%d and #%d are incompatible: \n  1. %s\n  2. %s\n  - %s\n",
		a.position, b.position, a.describe(n), b.describe(n), whyIncomparable(a.levels[n].kind, b.levels[n].kind))
	for _, q := range []*rankedQuery{a, b} {
		for i, change := range q.rules.changes {
			if i == 0 {
				fmt.Fprintf(&text, "  - note: The ranking rules of query #%d were modified during canonicalization:\n", q.position)
			}
			indent := "    "
			if change.unsorted {
				indent = "   " // as Meilisearch prints it
			}
			fmt.Fprintf(&text, "%s%d. %s\n", indent, i+1, change.text)
		}
	}
	return Errorf(CodeInvalidMultiSearchQueryRankingRules, "%s", text.String())
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
