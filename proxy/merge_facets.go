package proxy

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"miroir/meili"
)

// facetValue is one value of a facet and how many candidates have it.
type facetValue struct {
	text  string
	count uint64
}

// facets are the facet members of one answer.
type facets struct {
	values map[string][]facetValue // by field, in the order the answer lists them
	stats  map[string]facetStats
}

type facetStats struct{ min, max float64 }

// facetRules say how the values of a field are listed.
type facetRules struct {
	settings  *meili.Settings
	maxValues int
	rejected  []hit // hits that were counted and must not be
	// whole says that the index lives whole on its nodes: the list of a single one is in one server's order.
	whole bool
	// breakTies returns the first limit of values by count, as one server lists them, where some of them tie; nil for
	// an answer or the function leaves them as they are. The values are all numbers or all strings.
	breakTies func(field string, values []facetValue, numbers bool, limit int) []facetValue
}

// levelsThreshold is the number of candidates up to which Meilisearch lists the numbers of an alphabetical facet by their
// text, and above which by their value (milli facet_distribution.rs, CANDIDATES_THRESHOLD).
const levelsThreshold = 3000

func readFacets(distribution, stats []byte) *facets {
	if distribution == nil {
		return nil
	}
	f := &facets{values: map[string][]facetValue{}, stats: map[string]facetStats{}}
	eachMember(distribution, skipSpace(distribution, 0), func(m member) bool {
		field := keyText(distribution, m)
		if isHidden(field) {
			return true
		}
		list := []facetValue{}
		eachMember(distribution, m.value, func(v member) bool {
			count, _ := strconv.ParseUint(string(distribution[v.value:v.end]), 10, 64)
			list = append(list, facetValue{keyText(distribution, v), count})
			return true
		})
		f.values[field] = list
		return true
	})
	eachMember(stats, skipSpace(stats, 0), func(m member) bool {
		value := stats[m.value:m.end]
		f.stats[keyText(stats, m)] = facetStats{number(memberOf(value, "min")), number(memberOf(value, "max"))}
		return true
	})
	return f
}

// keyText is the name of a member of object with its escapes undone.
func keyText(object []byte, m member) string { return text(object[m.start : m.start+len(m.key)+2]) }

// mergeFacets adds the facets of several answers up. numCandidates is the number of documents they count. The result has
// the values in the order one server would list them, cut at the maximum. nil when no answer has facets.
func mergeFacets(parts []*facets, rules facetRules, numCandidates int) *facets {
	sum := sumFacets(parts)
	if sum == nil {
		return nil
	}
	numParts := len(slices.DeleteFunc(slices.Clone(parts), func(part *facets) bool { return part == nil }))
	rules.whole = rules.whole && numParts == 1 && len(rules.rejected) == 0
	if len(rules.rejected) > 0 {
		sum.withoutHits(rules.rejected)
		sum.restate(parts, rules.maxValues)
	}
	for field, values := range sum.values {
		_, hasNumbers := sum.stats[field]
		sum.values[field] = rules.order(field, values, hasNumbers, numCandidates)
	}
	return sum
}

// sumFacets adds up counts of equal values and joins the ranges of statistics; values are in no order.
// Strings are equal when their normalized forms are: the spelling of the first answer is shown.
func sumFacets(parts []*facets) *facets { return addFacets(parts, normalizeFacet) }

// sumFacetsByText is sumFacets for values that are equal only when their texts are.
func sumFacetsByText(parts []*facets) *facets {
	return addFacets(parts, func(text string) string { return text })
}

func addFacets(parts []*facets, keyOf func(string) string) *facets {
	var sum *facets
	places := map[string]map[string]int{}
	for _, part := range parts {
		if part == nil {
			continue
		}
		if sum == nil {
			sum = &facets{values: map[string][]facetValue{}, stats: map[string]facetStats{}}
		}
		for field, values := range part.values {
			if places[field] == nil {
				places[field] = map[string]int{}
				sum.values[field] = []facetValue{}
			}
			sum.values[field] = addValues(sum.values[field], places[field], values, keyOf)
		}
		for field, stats := range part.stats {
			if known, ok := sum.stats[field]; ok {
				stats = facetStats{math.Min(known.min, stats.min), math.Max(known.max, stats.max)}
			}
			sum.stats[field] = stats
		}
	}
	return sum
}

func addValues(sum []facetValue, places map[string]int, values []facetValue, keyOf func(string) string) []facetValue {
	for _, value := range values {
		key := keyOf(value.text)
		if at, ok := places[key]; ok {
			sum[at].count += value.count
			continue
		}
		places[key] = len(sum)
		sum = append(sum, value)
	}
	return sum
}

// order sorts and cuts the values of one facet. Numbers come before strings and both share the maximum. Where a list goes
// by the facet's levels (by count, or of many candidates) Meilisearch does not stop when the numbers alone reach the
// maximum, and lists all strings behind them.
func (r facetRules) order(field string, values []facetValue, hasNumbers bool, numCandidates int) []facetValue {
	order := r.settings.FacetSort(field)
	numbers, strs := splitNumbers(values, hasNumbers)
	byLevels := order == "count" || numCandidates > levelsThreshold
	if r.whole {
		return r.cutAll(field, numbers, strs, byLevels)
	}
	sortFacet(numbers, order, func(a, b facetValue) int {
		if byLevels {
			return compareNumbers(a, b)
		}
		return strings.Compare(a.text, b.text)
	})
	sortFacet(strs, order, func(a, b facetValue) int {
		return strings.Compare(normalizeFacet(a.text), normalizeFacet(b.text))
	})
	return r.cutAll(field, numbers, strs, byLevels)
}

// cutAll cuts sorted numbers and the strings behind them.
func (r facetRules) cutAll(field string, numbers, strs []facetValue, byLevels bool) []facetValue {
	numbers = r.cut(field, numbers, true, r.maxValues)
	if len(numbers) == r.maxValues {
		if byLevels {
			return append(numbers, strs...)
		}
		return numbers
	}
	return append(numbers, r.cut(field, strs, false, r.maxValues-len(numbers))...)
}

// cut is the first limit of sorted values.
func (r facetRules) cut(field string, values []facetValue, numbers bool, limit int) []facetValue {
	limit = min(limit, len(values))
	if !r.whole && r.breakTies != nil && r.settings.FacetSort(field) == "count" && anyTied(values[:min(limit+1, len(values))]) {
		if first := r.breakTies(field, values, numbers, limit); first != nil {
			return first
		}
	}
	return slices.Clip(values[:limit])
}

// anyTied reports whether two of some values that are sorted by count have the same.
func anyTied(values []facetValue) bool {
	for i := 1; i < len(values); i++ {
		if values[i].count == values[i-1].count {
			return true
		}
	}
	return false
}

func compareNumbers(a, b facetValue) int { return compareNumberTexts(a.text, b.text) }

func compareNumberTexts(a, b string) int { return cmp.Compare(parseNumber(a), parseNumber(b)) }

// sortFacet sorts by count, biggest first and ties descending, or ascending by value.
func sortFacet(values []facetValue, order string, compare func(a, b facetValue) int) {
	slices.SortFunc(values, func(a, b facetValue) int {
		if order == "count" {
			return cmp.Or(cmp.Compare(b.count, a.count), compare(b, a))
		}
		return compare(a, b)
	})
}

// splitNumbers tells numbers from strings: a field without statistics has no numbers, and a number's text is the one Rust
// prints. A string that looks exactly like a number, in a field that has both, counts as one.
func splitNumbers(values []facetValue, hasNumbers bool) (numbers, strs []facetValue) {
	for _, value := range values {
		if hasNumbers && isNumberText(value.text) {
			numbers = append(numbers, value)
		} else {
			strs = append(strs, value)
		}
	}
	return numbers, strs
}

// isNumberText reports whether a value's text is how a number would be listed.
func isNumberText(s string) bool { return facetNumber(parseNumber(s)) == s }

func parseNumber(s string) float64 {
	value, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return math.NaN()
	}
	return value
}

// facetNumber is the text of a number as Rust's Display prints a f64: never with an exponent.
func facetNumber(value float64) string { return strconv.FormatFloat(value, 'f', -1, 64) }

// withoutHits subtracts the values of hits that distinct rejected after they were counted.
func (f *facets) withoutHits(rejected []hit) {
	if f == nil || len(rejected) == 0 {
		return
	}
	for field, values := range f.values {
		places := map[string]int{}
		for i, value := range values {
			places[normalizeFacet(value.text)] = i
		}
		for i := range rejected {
			for _, value := range rejected[i].facetValues(field) {
				if at, ok := places[strings.TrimPrefix(value, `"`)]; ok && values[at].count > 0 {
					values[at].count--
				}
			}
		}
		f.values[field] = slices.DeleteFunc(values, func(v facetValue) bool { return v.count == 0 })
	}
}

// restate takes the statistics from the values left, where the parts they are the sum of list them all.
func (f *facets) restate(parts []*facets, maxValues int) {
	for field := range f.stats {
		if slices.ContainsFunc(parts, func(part *facets) bool { return part != nil && isCut(len(part.values[field]), maxValues) }) {
			continue
		}
		numbers, _ := splitNumbers(f.values[field], true)
		if len(numbers) == 0 {
			delete(f.stats, field)
			continue
		}
		least, most := slices.MinFunc(numbers, compareNumbers), slices.MaxFunc(numbers, compareNumbers)
		f.stats[field] = facetStats{parseNumber(least.text), parseNumber(most.text)}
	}
}

// appendDistribution appends the distribution as JSON, fields by name.
func (f *facets) appendDistribution(out []byte) []byte {
	out = append(out, '{')
	for i, field := range slices.Sorted(maps.Keys(f.values)) {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(meili.AppendString(out, field), ':', '{')
		for j, value := range f.values[field] {
			if j > 0 {
				out = append(out, ',')
			}
			out = append(meili.AppendString(out, value.text), ':')
			out = strconv.AppendUint(out, value.count, 10)
		}
		out = append(out, '}')
	}
	return append(out, '}')
}

// appendStats appends the statistics as JSON, fields by name, numbers always with a point.
func (f *facets) appendStats(out []byte) []byte {
	out = append(out, '{')
	for i, field := range slices.Sorted(maps.Keys(f.stats)) {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(meili.AppendString(out, field), `:{"min":`...)
		out = appendFloat(out, f.stats[field].min)
		out = append(out, `,"max":`...)
		out = append(appendFloat(out, f.stats[field].max), '}')
	}
	return append(out, '}')
}

// appendFloat prints a float as serde_json does.
func appendFloat(out []byte, value float64) []byte {
	v := meili.Value{Kind: meili.KindFloat, Float: value}
	return v.AppendJSON(out)
}
