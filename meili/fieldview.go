package meili

import (
	"slices"
	"strings"
)

// FieldView is a field of an index and what the settings make of it, members in Meilisearch's order.
type FieldView struct {
	Name        string           `json:"name"`
	Displayed   fieldSwitch      `json:"displayed"`
	Searchable  fieldSwitch      `json:"searchable"`
	Sortable    fieldSwitch      `json:"sortable"`
	Distinct    fieldSwitch      `json:"distinct"`
	RankingRule fieldRankingRule `json:"rankingRule"`
	Filterable  fieldFilterable  `json:"filterable"`
	Localized   fieldLocalized   `json:"localized"`
}

type fieldSwitch struct {
	Enabled bool `json:"enabled"`
}

type fieldRankingRule struct {
	Enabled bool   `json:"enabled"`
	Order   string `json:"order,omitempty"` // asc or desc
}

type fieldFilterable struct {
	Enabled     bool   `json:"enabled"`
	SortBy      string `json:"sortBy"` // alpha or count
	FacetSearch bool   `json:"facetSearch"`
	Equality    bool   `json:"equality"`
	Comparison  bool   `json:"comparison"`
}

type fieldLocalized struct {
	Locales []string `json:"locales"`
}

// ViewField is what settings make of a field.
func ViewField(name string, s *Settings) FieldView {
	f := FieldView{
		Name:       name,
		Displayed:  fieldSwitch{s.IsDisplayed(name)},
		Searchable: fieldSwitch{s.Searchable() == nil && name != "_vectors" && !IsFieldOrBelow(name, "_geo") || namesField(s.Searchable(), name)},
		Sortable:   fieldSwitch{namesField(s.Sortable(), name)},
		Distinct:   fieldSwitch{s != nil && s.DistinctAttribute.Set && s.Distinct() == name}, // a field may be named ""
		Filterable: fieldFilterable{SortBy: s.FacetSort(name)},
		Localized:  fieldLocalized{Locales: []string{}},
	}
	if isFieldOrBelow(name, vectorsField) {
		return FieldView{Name: name, Displayed: f.Displayed, Filterable: fieldFilterable{SortBy: "alpha"}, Localized: f.Localized}
	}
	for _, rule := range s.Ranking() {
		if order, found := strings.CutPrefix(rule, name+":"); found {
			f.RankingRule = fieldRankingRule{Enabled: true, Order: order}
		}
	}
	if _, rule := MatchFilterable(s.Filterable(), name); rule != nil {
		f.Filterable.FacetSearch, f.Filterable.Equality, f.Filterable.Comparison = rule.FacetSearch, rule.Equality, rule.Comparison
		f.Filterable.Enabled = rule.Equality || rule.Comparison || rule.FacetSearch
	}
	if isFieldOrBelow(name, geoField) || isFieldOrBelow(name, geoJSONField) {
		f.Searchable, f.Distinct, f.RankingRule = fieldSwitch{}, fieldSwitch{}, fieldRankingRule{}
		f.Sortable.Enabled = f.Sortable.Enabled && isFieldOrBelow(name, geoField)
		return f
	}
	for _, rule := range s.LocalizedAttributes.Value {
		if namesField(rule.AttributePatterns, name) {
			for _, locale := range rule.Locales { // Fra, as Rust calls it
				f.Localized.Locales = append(f.Localized.Locales, strings.ToUpper(locale[:1])+locale[1:])
			}
			break
		}
	}
	return f
}

// namesField tells whether a list of patterns names a field or one above it.
func namesField(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		return MatchAttributePattern(p, name) || IsFieldOrBelow(name, p)
	})
}

// Passes tells whether a field satisfies every test of a filter, which may be nil.
func (f *FieldView) Passes(filter *FieldsFilter) bool {
	if filter == nil {
		return true
	}
	if filter.AttributePatterns != nil && !slices.ContainsFunc(*filter.AttributePatterns, func(p string) bool {
		return MatchAttributePattern(p, f.Name)
	}) {
		return false
	}
	is := func(want *bool, got bool) bool { return want == nil || *want == got }
	return is(filter.Displayed, f.Displayed.Enabled) && is(filter.Searchable, f.Searchable.Enabled) &&
		is(filter.Sortable, f.Sortable.Enabled) && is(filter.Distinct, f.Distinct.Enabled) &&
		is(filter.RankingRule, f.RankingRule.Enabled) && is(filter.Filterable, f.Filterable.Enabled)
}
