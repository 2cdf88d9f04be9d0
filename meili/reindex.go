package meili

import (
	"reflect"
	"slices"
	"strings"
)

// Reindexes reports whether a change of settings makes a server go through all documents of an index, rather than note the new
// values only. Where that depends on the documents it reports true. Source: InnerIndexSettingsDiff in
// Meilisearch 1.50, crates/milli/src/update/settings.rs.
func Reindexes(before, after *Settings) bool {
	return wordsDiffer(before, after) || facetsDiffer(before, after) || vectorsDiffer(before, after)
}

// wordsDiffer reports a change of which words of documents are found, or how near to each other.
func wordsDiffer(b, a *Settings) bool {
	return b.SearchableAttributes.Set != a.SearchableAttributes.Set || !sameSet(b.Searchable(), a.Searchable()) ||
		!sameSet(b.StopWords.Value, a.StopWords.Value) || !sameSet(b.Dictionary.Value, a.Dictionary.Value) ||
		!sameSet(b.SeparatorTokens.Value, a.SeparatorTokens.Value) || !sameSet(b.NonSeparatorTokens.Value, a.NonSeparatorTokens.Value) ||
		b.ProximityPrecision.Or("byWord") != a.ProximityPrecision.Or("byWord") || b.PrefixSearchEnabled() != a.PrefixSearchEnabled() ||
		!sameSet(b.Typo().DisableOnAttributes.Value, a.Typo().DisableOnAttributes.Value) ||
		b.Typo().DisableOnNumbers.Value != a.Typo().DisableOnNumbers.Value || localesDiffer(b, a)
}

func localesDiffer(before, after *Settings) bool {
	b, a := before.LocalizedAttributes.Value, after.LocalizedAttributes.Value
	return len(b)+len(a) > 0 && !reflect.DeepEqual(b, a)
}

// facetsDiffer reports a change of which fields are kept by value, or how.
func facetsDiffer(b, a *Settings) bool {
	return b.FacetSearchEnabled() != a.FacetSearchEnabled() || localesDiffer(b, a) || !reflect.DeepEqual(facetsOf(b), facetsOf(a))
}

// facetKeeping is what is kept of a field's values: all of them in any case.
type facetKeeping struct{ searchable, ordered bool }

// facetsOf are the fields, or patterns of them, that are kept by value: those to filter, sort, rank or tell apart by.
func facetsOf(s *Settings) map[string]facetKeeping {
	kept := map[string]facetKeeping{}
	keep := func(field string, k facetKeeping) {
		k.searchable, k.ordered = k.searchable || kept[field].searchable, k.ordered || kept[field].ordered
		kept[field] = k
	}
	for _, rule := range s.Filterable() {
		for _, pattern := range rule.Patterns {
			if rule.IsFilterable() || rule.FacetSearch {
				keep(pattern, facetKeeping{rule.FacetSearch, rule.Comparison})
			}
		}
	}
	for _, field := range s.Sortable() {
		keep(field, facetKeeping{ordered: true})
	}
	for _, rule := range s.Ranking() {
		if at := strings.LastIndexByte(rule, ':'); at > 0 {
			keep(rule[:at], facetKeeping{ordered: true})
		}
	}
	if field := s.Distinct(); field != "" {
		keep(field, facetKeeping{})
	}
	return kept
}

// vectorsDiffer reports a change of embedders after which vectors are computed anew, compressed or dropped.
func vectorsDiffer(before, after *Settings) bool {
	b, a := before.Embedders.Value, after.Embedders.Value
	for name := range b {
		if b[name].Set && !a[name].Set {
			return true
		}
	}
	for name := range a {
		if a[name].Set && (!b[name].Set || embedderDiffers(b[name].Value, a[name].Value)) {
			return true
		}
	}
	return false
}

func embedderDiffers(b, a Embedder) bool {
	for _, e := range []*Embedder{&b, &a} { // what takes effect without new vectors
		e.APIKey, e.Headers, e.SearchFragments, e.Distribution = Setting[string]{}, Setting[map[string]string]{}, Setting[map[string]*Fragment]{}, Setting[Distribution]{}
		if e.Source.Or("openAi") == "openAi" {
			e.URL = Setting[string]{}
		} else {
			e.Dimensions = Setting[int]{}
		}
	}
	if a.DocumentTemplateMaxBytes.Or(defaultTemplateMaxBytes) <= b.DocumentTemplateMaxBytes.Or(defaultTemplateMaxBytes) {
		a.DocumentTemplateMaxBytes = b.DocumentTemplateMaxBytes
	}
	return !reflect.DeepEqual(b, a)
}

func sameSet(a, b []string) bool {
	return len(a) == len(b) && slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}
