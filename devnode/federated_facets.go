package devnode

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"miroir/meili"
)

// facets are facet distributions and statistics that can be merged.
type facets struct {
	fields []facetField // by name
	stats  map[string]facetStats
}

// facetField is the distribution of one field, values in the order they are shown.
type facetField struct {
	name   string
	values []facetCount
}

type facetCount struct {
	value string
	count int
}

type facetStats struct {
	Min float64 `json:"min"`
	Max float64 `json:"max"`
}

// MarshalJSON prints numbers with a point, as Meilisearch does.
func (s facetStats) MarshalJSON() ([]byte, error) {
	number := func(f float64) json.RawMessage {
		v := meili.Value{Kind: meili.KindFloat, Float: f}
		return v.AppendJSON(nil)
	}
	return json.Marshal(object{{"min", number(s.Min)}, {"max", number(s.Max)}})
}

// parseFacets reads what the engine answers.
func parseFacets(distribution, stats json.RawMessage) *facets {
	f := &facets{stats: map[string]facetStats{}}
	parsed, failed := meili.ParseJSON(orEmpty(distribution))
	if failed == nil {
		failed = json.Unmarshal(orEmpty(stats), &f.stats)
	}
	if failed != nil {
		panic(failed) // the engine's own encoding
	}
	for i := range parsed.Members {
		field := facetField{name: parsed.Members[i].Key}
		for _, m := range parsed.Members[i].Value.Members {
			field.values = append(field.values, facetCount{m.Key, int(m.Value.Uint)})
		}
		f.fields = append(f.fields, field)
	}
	return f
}

// field returns a field, nil when it is absent.
func (f *facets) field(name string) *facetField {
	for i := range f.fields {
		if f.fields[i].name == name {
			return &f.fields[i]
		}
	}
	return nil
}

func (s *facetField) add(value string, count int) {
	for i := range s.values {
		if s.values[i].value == value {
			s.values[i].count += count
			return
		}
	}
	s.values = append(s.values, facetCount{value, count})
}

// merge adds the counts and widens the statistics of another index.
func (f *facets) merge(other *facets) {
	for _, field := range other.fields {
		mine := f.field(field.name)
		if mine == nil {
			f.fields = append(f.fields, facetField{field.name, slices.Clone(field.values)})
			continue
		}
		for _, v := range field.values {
			mine.add(v.value, v.count)
		}
	}
	for name, s := range other.stats {
		if mine, ok := f.stats[name]; ok {
			s = facetStats{min(mine.Min, s.Min), max(mine.Max, s.Max)}
		}
		f.stats[name] = s
	}
	slices.SortFunc(f.fields, func(a, b facetField) int { return strings.Compare(a.name, b.name) })
}

// sort orders the values of a merged field and cuts them.
func (s *facetField) sort(order string, limit *int) {
	slices.SortStableFunc(s.values, func(a, b facetCount) int {
		if order == "count" {
			return cmp.Compare(b.count, a.count)
		}
		return strings.Compare(a.value, b.value)
	})
	if limit != nil {
		s.values = s.values[:min(*limit, len(s.values))]
	}
}

// remove takes hits that were rejected out of the counts.
func (f *facets) remove(hits []*federatedHit) {
	for i := range f.fields {
		field := &f.fields[i]
		for _, h := range hits {
			for _, value := range h.facetValues(field.name) {
				field.take(value)
			}
		}
		field.values = slices.DeleteFunc(field.values, func(v facetCount) bool { return v.count <= 0 })
	}
}

func (s *facetField) take(value string) {
	for i := range s.values {
		if normalizeFacet(s.values[i].value) == value {
			s.values[i].count--
			return
		}
	}
}

// view prints the facets as the members Meilisearch names distribution and stats.
func (f *facets) view() (distribution, stats object) {
	distribution, stats = object{}, object{}
	for _, field := range f.fields {
		values := object{}
		for _, v := range field.values {
			values = append(values, member{v.value, v.count})
		}
		distribution = append(distribution, member{field.name, values})
		if s, ok := f.stats[field.name]; ok {
			stats = append(stats, member{field.name, s})
		}
	}
	return distribution, stats
}

// facetView are the members of the answer that hold facets, by index or merged. Error: invalid_multi_search_facet_order.
func (f *federation) facetView(rejected map[string][]*federatedHit) (object, *meili.Error) {
	if f.search.Federation.MergeFacets != nil {
		return f.mergedFacets(rejected)
	}
	byIndex := object{}
	for _, found := range f.indexes {
		if found.facets == nil {
			continue
		}
		found.facets.remove(rejected[found.uid])
		distribution, stats := found.facets.view()
		byIndex = append(byIndex, member{found.uid, object{{"distribution", distribution}, {"stats", stats}}})
	}
	if len(byIndex) == 0 {
		return nil, nil
	}
	return object{{"facetsByIndex", byIndex}}, nil
}

func (f *federation) mergedFacets(rejected map[string][]*federatedHit) (object, *meili.Error) {
	var sum *facets
	var hits []*federatedHit
	orders := map[string]facetOrder{}
	for _, found := range f.indexes {
		if found.facets == nil {
			continue
		}
		if err := found.checkOrder(orders); err != nil {
			return nil, meili.InQuery(f.positions[f.groups[found.uid][0]], f.insideFacets(found.uid, err))
		}
		if sum == nil {
			sum = &facets{stats: map[string]facetStats{}}
		}
		sum.merge(found.facets)
		hits = append(hits, rejected[found.uid]...)
	}
	if sum == nil {
		return nil, nil
	}
	for i := range sum.fields {
		sum.fields[i].sort(orders[sum.fields[i].name].order, f.search.Federation.MergeFacets.MaxValuesPerFacet)
	}
	sum.remove(hits)
	distribution, stats := sum.view()
	return object{{"facetDistribution", distribution}, {"facetStats", stats}}, nil
}

// facetOrder is how the first index that has a facet orders its values.
type facetOrder struct{ index, order string }

// checkOrder refuses to merge a facet whose values another index orders differently.
func (x *federatedIndex) checkOrder(orders map[string]facetOrder) *meili.Error {
	for _, field := range x.facets.fields {
		order := x.index.Settings().FacetSort(field.name)
		previous, known := orders[field.name]
		if !known {
			orders[field.name] = facetOrder{x.uid, order}
			continue
		}
		if previous.order != order {
			return meili.Errorf(meili.CodeInvalidMultiSearchFacetOrder, "Inconsistent order for values in facet `%s`: index `%s` "+
				"orders %s, but index `%s` orders %s.\n - Hint: Remove `federation.mergeFacets` or change `faceting.sortFacetValuesBy` "+
				"to be consistent in settings.", field.name, previous.index, orderName(previous.order), x.uid, orderName(order))
		}
	}
	return nil
}

func orderName(order string) string {
	if order == "count" {
		return "by count"
	}
	return "alphabetically"
}

func (f *federation) insideFacets(uid string, err *meili.Error) *meili.Error {
	return err.WithPrefix(fmt.Sprintf("Inside `.federation.facetsByIndex.%s`: ", uid))
}

// valueSet holds the distinct values that were seen.
type valueSet map[string]bool

// addAll adds values and returns true, or returns false when one of them was there.
func (s valueSet) addAll(values []string) bool {
	if slices.ContainsFunc(values, func(v string) bool { return s[v] }) {
		return false
	}
	for _, v := range values {
		s[v] = true
	}
	return true
}

// facetValues returns the values of a field of the hit, shown or not: strings normalized, numbers as they are printed.
func (h *federatedHit) facetValues(field string) []string {
	return append(facetValues(h.Document, field), facetValues(h.Extra, field)...)
}

// facetValues returns the values of a field of a document, which may be nil.
func facetValues(document json.RawMessage, field string) []string {
	var values []string
	for _, s := range facetScalars(document, field) {
		values = append(values, s.text)
	}
	return values
}

// normalizeFacet is the form under which facet strings are compared.
func normalizeFacet(s string) string { return strings.ToLower(norm.NFKD.String(strings.TrimSpace(s))) }
