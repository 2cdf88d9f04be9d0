package devnode

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"miroir/meili"
)

// field is a field of an index and what the settings make of it, as POST /indexes/{uid}/fields shows it.
type field struct {
	Name        string      `json:"name"`
	Displayed   enabled     `json:"displayed"`
	Searchable  enabled     `json:"searchable"`
	Sortable    enabled     `json:"sortable"`
	Distinct    enabled     `json:"distinct"`
	RankingRule rankingRule `json:"rankingRule"`
	Filterable  filterable  `json:"filterable"`
	Localized   localized   `json:"localized"`
}

type enabled struct {
	Enabled bool `json:"enabled"`
}

type rankingRule struct {
	Enabled bool   `json:"enabled"`
	Order   string `json:"order,omitempty"` // asc or desc
}

type filterable struct {
	Enabled     bool   `json:"enabled"`
	SortBy      string `json:"sortBy"` // alpha or count
	FacetSearch bool   `json:"facetSearch"`
	Equality    bool   `json:"equality"`
	Comparison  bool   `json:"comparison"`
}

type localized struct {
	Locales []string `json:"locales"`
}

// newField returns what settings make of a field.
func newField(name string, s *meili.Settings) field {
	f := field{
		Name:       name,
		Displayed:  enabled{s.IsDisplayed(name)},
		Searchable: enabled{s.Searchable() == nil || matchesAny(s.Searchable(), name)},
		Sortable:   enabled{matchesAny(s.Sortable(), name)},
		Distinct:   enabled{s.Distinct() == name},
		Filterable: filterable{SortBy: s.FacetSort(name)},
		Localized:  localized{Locales: []string{}},
	}
	for _, rule := range s.Ranking() {
		if order, found := strings.CutPrefix(rule, name+":"); found {
			f.RankingRule = rankingRule{Enabled: true, Order: order}
		}
	}
	if _, rule := meili.MatchFilterable(s.Filterable(), name); rule != nil {
		f.Filterable.FacetSearch, f.Filterable.Equality, f.Filterable.Comparison = rule.FacetSearch, rule.Equality, rule.Comparison
		f.Filterable.Enabled = rule.Equality || rule.Comparison
	}
	for _, rule := range s.LocalizedAttributes.Value {
		if matchesAny(rule.AttributePatterns, name) {
			f.Localized.Locales = rule.Locales
			break
		}
	}
	return f
}

// matchesAny tells whether a name is, or is below, one that a list of patterns allows.
func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		return meili.MatchAttributePattern(p, name) || meili.IsFieldOrBelow(name, p)
	})
}

// passes tells whether a field satisfies every test of a filter, which may be nil.
func (f *field) passes(filter *meili.FieldsFilter) bool {
	if filter == nil {
		return true
	}
	if filter.AttributePatterns != nil && !slices.ContainsFunc(*filter.AttributePatterns, func(p string) bool {
		return meili.MatchAttributePattern(p, f.Name)
	}) {
		return false
	}
	is := func(want *bool, got bool) bool { return want == nil || *want == got }
	return is(filter.Displayed, f.Displayed.Enabled) && is(filter.Searchable, f.Searchable.Enabled) &&
		is(filter.Sortable, f.Sortable.Enabled) && is(filter.Distinct, f.Distinct.Enabled) &&
		is(filter.RankingRule, f.RankingRule.Enabled) && is(filter.Filterable, f.Filterable.Enabled)
}

// listFields answers with the fields of an index, by name.
func listFields(q *request) (answer, *meili.Error) {
	body, err := q.jsonBody()
	if err != nil {
		return answer{}, err
	}
	query, err := meili.DecodeFields(body)
	if err != nil {
		return answer{}, err
	}
	ix, err := q.store.index(q.param("uid"))
	if err != nil {
		return answer{}, err
	}
	results := []json.RawMessage{}
	for _, name := range sortedNames(ix.FieldDistribution()) {
		if f := newField(name, ix.Settings()); f.passes(query.Filter) {
			results = append(results, encode(f))
		}
	}
	shown := paginate(results, query.Offset, query.Limit)
	return respond(http.StatusOK, pageView(shown, query.Offset, query.Limit, len(results))), nil
}
