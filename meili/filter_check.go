package meili

import (
	"math"
	"slices"
	"strings"
)

// Fields with a meaning of their own.
const (
	geoField     = "_geo"
	geoJSONField = "_geojson"
	vectorsField = "_vectors"
	shardField   = "_shard"
)

// CheckFilterFeatures refuses operators whose experimental feature is off. Error: feature_not_enabled, which every route
// answers under this code. Call it with the filter as it was sent, not the canonical one.
func CheckFilterFeatures(f *Filter, features Features) *Error {
	if f == nil {
		return nil
	}
	for _, gate := range []struct {
		on              bool
		uses            func(*Filter) *FilterValue
		action, feature string
		discussion      string
	}{
		{features.ContainsFilter, usesContains, "Using `CONTAINS` in a filter", "contains filter", "763"},
		{features.ForeignKeys, usesForeign, "using a foreign filter", "foreign_keys", "873"},
		{features.Network, usesShard, "using a shard filter", "network", "805"},
		{features.Multimodal, usesVectors, "using a vector filter", "multimodal", "846"},
	} {
		if gate.on {
			continue
		}
		if at := gate.uses(f); at != nil {
			return newError(CodeFeatureNotEnabled, at.errorText(gate.action+" requires enabling the `"+gate.feature+
				"` experimental feature. See https://github.com/orgs/meilisearch/discussions/"+gate.discussion))
		}
	}
	return nil
}

// CheckLocalFilter refuses _foreign conditions, for the routes that do not know them. Error: invalid_document_filter.
func CheckLocalFilter(f *Filter) *Error {
	if f == nil {
		return nil
	}
	if at := usesForeign(f); at != nil {
		return newError(CodeInvalidDocumentFilter, at.errorText("Filter condition `_foreign` is not supported for this endpoint."))
	}
	return nil
}

// firstUse finds the first node in the order of the text, _foreign filters included, that pick gives a place for.
func firstUse(f *Filter, pick func(*Filter) *FilterValue) *FilterValue {
	if at := pick(f); at != nil {
		return at
	}
	for _, child := range f.Children {
		if at := firstUse(child, pick); at != nil {
			return at
		}
	}
	return nil
}

func usesContains(f *Filter) *FilterValue {
	return firstUse(f, func(g *Filter) *FilterValue { return g.placeIf(g.Op == FilterContains, &g.keyword) })
}

func usesForeign(f *Filter) *FilterValue {
	return firstUse(f, func(g *Filter) *FilterValue { return g.placeIf(g.Op == FilterForeign, &g.field) })
}

func usesShard(f *Filter) *FilterValue {
	return firstUse(f, func(g *Filter) *FilterValue {
		return g.placeIf(g.Field == shardField && g.Op != FilterVectorExists, &g.field)
	})
}

func usesVectors(f *Filter) *FilterValue {
	return firstUse(f, func(g *Filter) *FilterValue { return g.placeIf(g.Op == FilterVectorExists, &g.field) })
}

func (f *Filter) placeIf(cond bool, at *FilterValue) *FilterValue {
	if cond {
		return at
	}
	return nil
}

// CheckFilterable refuses fields and operators the rules of filterableAttributes do not allow, and coordinates out of
// range. Error: invalid_search_filter, with the prefix "Index `uid`: " unless indexUID is empty. Meilisearch checks the
// operators while it evaluates and may not get that far for want of documents; here all of them are checked.
func CheckFilterable(f *Filter, rules []FilterableRule, indexUID string) *Error {
	if f == nil {
		return nil
	}
	check := filterCheck{rules: rules}
	text := check.unfilterable(f)
	if text == "" {
		text = check.evaluate(f)
	}
	if text == "" {
		return nil
	}
	return newError(CodeInvalidSearchFilter, indexPrefix(indexUID)+text)
}

// InIndex is err with a message that names the index it was met in.
func InIndex(uid string, err *Error) *Error { return err.WithPrefix(indexPrefix(uid)) }

// indexPrefix starts the messages of errors met inside an index.
func indexPrefix(uid string) string {
	if uid == "" {
		return ""
	}
	return "Index `" + uid + "`: "
}

// filterCheck checks one filter against rules; its methods give an error text or "".
type filterCheck struct {
	rules []FilterableRule
}

// unfilterable looks for a field that is not filterable at all, the last of the text first, as Meilisearch does.
func (c filterCheck) unfilterable(f *Filter) string {
	if f.Op != FilterForeign {
		for _, child := range slices.Backward(f.Children) {
			if text := c.unfilterable(child); text != "" {
				return text
			}
		}
	}
	if f.field.source == nil || f.Op == FilterVectorExists || f.Field == vectorsField || f.Field == shardField {
		return ""
	}
	if _, rule := MatchFilterable(c.rules, f.Field); rule != nil && rule.IsFilterable() {
		return ""
	}
	return c.notFilterable(f.Field, &f.field)
}

func (c filterCheck) notFilterable(attribute string, at *FilterValue) string {
	var patterns []string
	for i := range c.rules {
		if c.rules[i].IsFilterable() {
			patterns = append(patterns, c.rules[i].Patterns...)
		}
	}
	slices.Sort(patterns)
	text := "Attribute `" + attribute + "` is not filterable."
	if len(patterns) == 0 {
		return at.errorText(text + " This index does not have configured filterable attributes.")
	}
	return at.errorText(text + " Available filterable attribute patterns are: `" + strings.Join(slices.Compact(patterns), "`, `") + "`.")
}

// evaluate goes through f in the order Meilisearch evaluates it.
func (c filterCheck) evaluate(f *Filter) string {
	switch f.Op {
	case FilterAnd, FilterOr, FilterNot:
		for _, child := range f.Children {
			if text := c.evaluate(child); text != "" {
				return text
			}
		}
		return ""
	case FilterGeoRadius:
		return c.geoRadius(f)
	case FilterGeoBoundingBox:
		return c.geoBoundingBox(f)
	case FilterGeoPolygon:
		return c.geoPolygon(f)
	case FilterVectorExists, FilterForeign:
		return ""
	}
	return c.operator(f)
}

// operator refuses an operator the first rule that matches the field does not allow.
func (c filterCheck) operator(f *Filter) string {
	operator := filterOperators[f.Op]
	if f.Field == shardField {
		if f.Op == FilterEqual || f.Op == FilterNotEqual || f.Op == FilterIn {
			return ""
		}
		return "Filter operator `" + operator + " is not allowed for the special attribute `_shard`.\n  - Note: allowed operators: =, !=, IN. \n" +
			"  - Note: other operators are not allowed for the special attribute `_shard`."
	}
	i, rule := MatchFilterable(c.rules, f.Field)
	if rule == nil {
		return ""
	}
	feature := ""
	switch f.Op {
	case FilterEqual, FilterNotEqual, FilterIn:
		if rule.Equality || f.Op == FilterIn && len(f.Values) == 0 {
			return ""
		}
		feature = "equality"
	case FilterGreater, FilterGreaterOrEqual, FilterLess, FilterLessOrEqual, FilterBetween:
		if rule.Comparison {
			return ""
		}
		feature = "comparison"
	default:
		return ""
	}
	field, index := f.Field, itoa(i)
	return "Filter operator `" + operator + "` is not allowed for the attribute `" + field + "`." +
		"\n  - Note: allowed operators: " + strings.Join(rule.Operators(), ", ") + "." +
		"\n  - Note: field `" + field + "` matched rule #" + index + " in `filterableAttributes`" +
		"\n  - Hint: enable " + feature + " in rule #" + index + " by modifying the features.filter object" +
		"\n  - Hint: prepend another rule matching `" + field + "` with appropriate filter features before rule #" + index
}

// Operators are the filter operators the rule allows, as messages list them.
func (r *FilterableRule) Operators() []string {
	if !r.IsFilterable() {
		return nil
	}
	operators := []string{"OR", "AND", "NOT"}
	if r.Equality {
		operators = append(operators, "=", "!=", "IN")
	}
	if r.Comparison {
		operators = append(operators, "<", ">", "<=", ">=", "TO")
	}
	return append(operators, "IS EMPTY", "IS NULL", "EXISTS")
}

// MatchFilterable is the first rule that matches a field and its place; nil if none does.
func MatchFilterable(rules []FilterableRule, field string) (int, *FilterableRule) {
	for i := range rules {
		if rules[i].Matches(field) {
			return i, &rules[i]
		}
	}
	return -1, nil
}

// Matches reports whether the rule covers field: a plain attribute covers itself and what is below it, a pattern what it
// spells out.
func (r *FilterableRule) Matches(field string) bool {
	for _, pattern := range r.Patterns {
		if r.Legacy && isFieldOrBelow(field, pattern) || !r.Legacy && MatchAttributePattern(pattern, field) {
			return true
		}
	}
	return false
}

// isFieldOrBelow reports whether field is parent or a path into it.
func isFieldOrBelow(field, parent string) bool {
	rest, ok := strings.CutPrefix(field, parent)
	return ok && (rest == "" || rest[0] == '.')
}

// MatchAttributePattern reports whether a pattern with a star at its start, its end or both covers name.
func MatchAttributePattern(pattern, name string) bool {
	stem, open := strings.CutPrefix(pattern, "*")
	if open && stem == "" {
		return true
	}
	stem, ends := strings.CutSuffix(stem, "*")
	switch {
	case open && ends:
		return strings.Contains(name, stem)
	case open:
		return strings.HasSuffix(name, stem)
	case ends:
		return strings.HasPrefix(name, stem)
	}
	return name == pattern
}

// hasPlain reports whether a plain attribute is among the rules; only those switch geographic filters on.
func (c filterCheck) hasPlain(attribute string) bool {
	return slices.ContainsFunc(c.rules, func(r FilterableRule) bool { return r.Legacy && r.Patterns[0] == attribute })
}

func (c filterCheck) geoRadius(f *Filter) string {
	point, text := coordinates(f.Values[:2])
	if text == "" {
		text = checkPoint(f.Values[:2], point)
	}
	if text == "" {
		_, text = coordinates(f.Values[2:])
	}
	if text == "" && len(f.Values) == 4 {
		text = checkResolution(&f.Values[3])
	}
	if text == "" && !c.hasPlain(geoField) && !c.hasPlain(geoJSONField) {
		text = c.notFilterable(geoField+"/"+geoJSONField, &f.Values[0])
	}
	return text
}

func checkResolution(v *FilterValue) string {
	resolution, _ := parseRustFloat(v.Text)
	if resolution = math.Trunc(resolution); resolution >= 3 && resolution <= 1000 {
		return ""
	}
	return v.errorText("Invalid resolution `" + rustFloat(max(0, resolution)) + "`. Resolution must be between 3 and 1000.")
}

func (c filterCheck) geoBoundingBox(f *Filter) string {
	box, text := coordinates(f.Values)
	if text != "" {
		return text
	}
	for i := 0; i < len(box); i += 2 {
		if text = checkPoint(f.Values[i:i+2], box[i:i+2]); text != "" {
			return text
		}
	}
	if box[0] < box[2] {
		return f.Values[3].errorText("The top latitude `" + rustFloat(box[0]) + "` is below the bottom latitude `" + rustFloat(box[2]) + "`.")
	}
	if !c.hasPlain(geoField) && !c.hasPlain(geoJSONField) {
		return c.notFilterable(geoField+"/"+geoJSONField, &f.Values[0])
	}
	return ""
}

func (c filterCheck) geoPolygon(f *Filter) string {
	if !c.hasPlain(geoJSONField) {
		return c.notFilterable(geoJSONField, &f.Values[0])
	}
	for i := 0; i+1 < len(f.Values); i += 2 {
		point, text := coordinates(f.Values[i : i+2])
		if text == "" {
			text = checkPoint(f.Values[i:i+2], point)
		}
		if text != "" {
			return text
		}
	}
	return ""
}

// coordinates parses finite numbers.
func coordinates(values []FilterValue) (numbers []float64, text string) {
	for i := range values {
		f, _ := parseRustFloat(values[i].Text)
		if math.IsInf(f, 0) || math.IsNaN(f) {
			return nil, values[i].errorText("Non finite floats are not supported")
		}
		numbers = append(numbers, f)
	}
	return numbers, ""
}

// checkPoint refuses a latitude beyond 90 degrees and a longitude beyond 180.
func checkPoint(values []FilterValue, point []float64) string {
	lat, lng := point[0], point[1]
	if lat < -90 || lat > 90 {
		return values[0].errorText("Bad latitude `" + rustFloat(lat) + "`. Latitude must be contained between -90 and 90 degrees.")
	}
	if lng < -180 || lng > 180 {
		return values[1].errorText(badLongitude(lng))
	}
	return ""
}

func badLongitude(lng float64) string {
	turned := math.Mod(lng+180, 360)
	if turned < 0 {
		turned += 360
	}
	return "Bad longitude `" + rustFloat(lng) + "`. Longitude must be contained between -180 and 180 degrees. Hint: try using `" + rustFloat(turned-180) + "` instead."
}
