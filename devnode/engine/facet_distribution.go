package engine

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/RoaringBitmap/roaring/v2"

	"miroir/meili"
)

// maxDocumentFacets is the number of candidates up to which values in alphabetical order are collected from the documents,
// numbers then sorting as texts.
const maxDocumentFacets = 3000

// facetCount is a value and the number of candidates that have it.
type facetCount struct {
	value string
	count int
}

// facetLimits is the minimum and maximum of the numbers of a field.
type facetLimits struct{ min, max float64 }

// facetResult is facetDistribution and facetStats, fields in alphabetical order.
type facetResult struct {
	fields []string
	counts [][]facetCount
	stats  map[string]facetLimits
}

// facetDistribution counts the values of all fields that match a pattern.
func (st *state) facetDistribution(patterns []string, candidates *roaring.Bitmap) (*facetResult, *meili.Error) {
	if err := meili.CheckFacets(patterns, st.cfg.filterable); err != nil {
		return nil, err
	}
	selected := st.facetFields(patterns)
	out := &facetResult{stats: map[string]facetLimits{}}
	for _, name := range st.fields.names {
		if st.isFilterable(name) && slices.ContainsFunc(selected, func(s string) bool { return containedIn(name, s) }) {
			out.fields = append(out.fields, name)
		}
	}
	slices.Sort(out.fields)
	for _, name := range out.fields {
		id := st.fields.ids[name]
		out.counts = append(out.counts, st.facetCounts(id, st.cfg.byCount(name), candidates))
		if limits, ok := st.facetStats(id, candidates); ok {
			out.stats[name] = limits
		}
	}
	return out, nil
}

// facetFields are the fields that patterns of facets name, nested ones included.
func (st *state) facetFields(patterns []string) []string {
	var selected []string
	for _, name := range st.fields.names {
		if st.isFilterable(name) && slices.ContainsFunc(patterns, func(p string) bool { return matchPattern(p, name) == fullMatch }) {
			selected = append(selected, name)
		}
	}
	return selected
}

func (st *state) isFilterable(field string) bool {
	_, rule := meili.MatchFilterable(st.cfg.filterable, field)
	return rule != nil && rule.IsFilterable()
}

// facetCounts lists the values of a field with their counts: numbers, then strings.
func (st *state) facetCounts(f fieldID, byCount bool, candidates *roaring.Bitmap) []facetCount {
	limit := st.cfg.maxFacets
	if !byCount && candidates.GetCardinality() <= maxDocumentFacets {
		return st.countDocumentFacets(f, candidates, limit)
	}
	sorted := st.facets.inOrder(f)
	if sorted == nil {
		return nil
	}
	var out []facetCount
	number := func(i int, _ uint32) string { return displayFloat(sorted.numbers[i]) }
	text := func(i int, doc uint32) string { return st.originalFacet(f, doc, sorted.strings[i]) }
	walk := alphabeticalFacets
	if byCount {
		walk = countedFacets
	}
	// As in Meilisearch the limit is only noticed when it is hit exactly.
	walk(sorted.numberLevels, candidates, func(i, count int, doc uint32) bool {
		out = append(out, facetCount{number(i, doc), count})
		return len(out) != limit
	})
	walk(sorted.stringLevels, candidates, func(i, count int, doc uint32) bool {
		out = append(out, facetCount{text(i, doc), count})
		return len(out) != limit
	})
	return out
}

// countDocumentFacets collects the values from the documents themselves.
func (st *state) countDocumentFacets(f fieldID, candidates *roaring.Bitmap, limit int) []facetCount {
	numbers, texts, originals := map[string]int{}, map[string]int{}, map[string]string{}
	candidates.Iterate(func(doc uint32) bool {
		for i := range st.docs[doc].facets.values {
			v := &st.docs[doc].facets.values[i]
			switch {
			case v.field != f:
			case !v.isString:
				numbers[displayFloat(v.number)]++
			default:
				if texts[v.normalized]++; texts[v.normalized] == 1 {
					originals[v.normalized] = v.original
				}
			}
		}
		return true
	})
	var out []facetCount
	for _, n := range sortedNames(numbers) {
		if len(out) < limit {
			out = append(out, facetCount{n, numbers[n]})
		}
	}
	for _, t := range sortedNames(texts) {
		if len(out) < limit {
			out = append(out, facetCount{originals[t], texts[t]})
		}
	}
	return out
}

func sortedNames(m map[string]int) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// originalFacet is how a document spells a facet value.
func (st *state) originalFacet(f fieldID, doc uint32, normalized string) string {
	for i := range st.docs[doc].facets.values {
		v := &st.docs[doc].facets.values[i]
		if v.field == f && v.isString && v.normalized == normalized {
			return v.original
		}
	}
	return normalized
}

// alphabeticalFacets visits the values that candidates have in order: index, count, first document.
func alphabeticalFacets(levels []facetLevel, candidates *roaring.Bitmap, visit func(i, count int, doc uint32) bool) {
	for i, docs := range levels[0].docs {
		if common := roaring.And(docs, candidates); !common.IsEmpty() && !visit(i, int(common.GetCardinality()), common.Minimum()) {
			return
		}
	}
}

// facetStats is the least and greatest number of a field among candidates.
func (st *state) facetStats(f fieldID, candidates *roaring.Bitmap) (facetLimits, bool) {
	sorted := st.facets.inOrder(f)
	if sorted == nil {
		return facetLimits{}, false
	}
	field := st.facets.fields[f]
	has := func(n float64) bool { return field.numbers[n].Intersects(candidates) }
	first := slices.IndexFunc(sorted.numbers, has)
	if first < 0 {
		return facetLimits{}, false
	}
	last := len(sorted.numbers) - 1
	for !has(sorted.numbers[last]) {
		last--
	}
	return facetLimits{sorted.numbers[first], sorted.numbers[last]}, true
}

// distributionJSON is the facetDistribution object.
func (r *facetResult) distributionJSON() json.RawMessage {
	var out objectWriter
	for i, field := range r.fields {
		var counts objectWriter
		for _, c := range r.counts[i] {
			counts.int(c.value, c.count)
		}
		out.raw(field, counts.close())
	}
	return out.close()
}

// statsJSON is the facetStats object.
func (r *facetResult) statsJSON() json.RawMessage {
	var out objectWriter
	for _, field := range r.fields {
		if limits, ok := r.stats[field]; ok {
			var w objectWriter
			w.float("min", limits.min)
			w.float("max", limits.max)
			out.raw(field, w.close())
		}
	}
	return out.close()
}

func parseFinite(text string) (float64, bool) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != f || f > 1.7976931348623157e308 || f < -1.7976931348623157e308 || strings.ContainsAny(text, "xX_pP") {
		return 0, false
	}
	return f, true
}
