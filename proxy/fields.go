package proxy

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"miroir/meili"
)

// fieldsPath is the one route that does not check the form of the index uid in its path.
const fieldsPath = "/indexes/:uid/fields"

// field is a field of an index and what the settings make of it, members in Meilisearch's order.
type field struct {
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

// handleFields answers POST /indexes/{uid}/fields: the names are those any node has documents for, the rest is settings.
func (s *Server) handleFields(w http.ResponseWriter, r *request) error {
	body, err := r.readJSON()
	if err != nil {
		return err
	}
	query, refused := meili.DecodeFields(body)
	if refused != nil {
		return refused
	}
	ix := r.View.Index(r.uid())
	if ix == nil {
		return meili.IndexNotFound(r.uid())
	}
	settings, err := meili.LoadSettings(ix.Settings)
	if err != nil {
		return err
	}
	reports, err := askNodes[indexStats](r.Context(), s, r.View, ix.Nodes(), indexPath(ix.NodeUID)+"/stats")
	if err != nil {
		return err
	}
	results := []field{}
	for _, name := range slices.Sorted(maps.Keys(sumStats(reports).FieldDistribution)) {
		if f := fieldOf(name, settings); f.passes(query.Filter) {
			results = append(results, f)
		}
	}
	from, to := meili.Page{Offset: query.Offset, Limit: query.Limit}.Of(len(results))
	writeJSON(w, http.StatusOK, struct {
		Results []field `json:"results"`
		Offset  int     `json:"offset"`
		Limit   int     `json:"limit"`
		Total   int     `json:"total"`
	}{results[from:to], query.Offset, query.Limit, len(results)})
	return nil
}

// fieldOf is what settings make of a field.
func fieldOf(name string, s *meili.Settings) field {
	f := field{
		Name:       name,
		Displayed:  fieldSwitch{s.IsDisplayed(name)},
		Searchable: fieldSwitch{s.Searchable() == nil || namesField(s.Searchable(), name)},
		Sortable:   fieldSwitch{namesField(s.Sortable(), name)},
		Distinct:   fieldSwitch{s.Distinct() == name},
		Filterable: fieldFilterable{SortBy: s.FacetSort(name)},
		Localized:  fieldLocalized{Locales: []string{}},
	}
	for _, rule := range s.Ranking() {
		if order, found := strings.CutPrefix(rule, name+":"); found {
			f.RankingRule = fieldRankingRule{Enabled: true, Order: order}
		}
	}
	if _, rule := meili.MatchFilterable(s.Filterable(), name); rule != nil {
		f.Filterable.FacetSearch, f.Filterable.Equality, f.Filterable.Comparison = rule.FacetSearch, rule.Equality, rule.Comparison
		f.Filterable.Enabled = rule.Equality || rule.Comparison
	}
	for _, rule := range s.LocalizedAttributes.Value {
		if namesField(rule.AttributePatterns, name) {
			f.Localized.Locales = rule.Locales
			break
		}
	}
	return f
}

// namesField tells whether a list of patterns names a field or one above it.
func namesField(patterns []string, name string) bool {
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
