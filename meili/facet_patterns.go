package meili

import (
	"slices"
	"strconv"
	"strings"
)

// CheckFacets refuses patterns of facets that can match no field which the rules of filterableAttributes make filterable.
// Error: invalid_search_facets.
func CheckFacets(patterns []string, rules []FilterableRule) *Error {
	for _, pattern := range patterns {
		if refused := checkFacet(pattern, rules); refused != nil {
			return refused
		}
	}
	return nil
}

func checkFacet(pattern string, rules []FilterableRule) *Error {
	const invalid = "Invalid facet distribution: "
	var valid []string
	for i := range rules {
		rule := &rules[i]
		switch {
		case !rule.IsFilterable() && rule.Matches(pattern):
			number := strconv.Itoa(i)
			return newError(CodeInvalidSearchFacets, invalid+"Attribute `"+pattern+"` matched rule #"+number+" in filterableAttributes, but this rule does not enable filtering."+
				"\nHint: enable filtering in rule #"+number+" by modifying the features.filter object"+
				"\nHint: prepend another rule matching `"+pattern+"` with appropriate filter features before rule #"+number)
		case rule.IsFilterable() && rule.meets(pattern):
			return nil
		case rule.IsFilterable():
			valid = append(valid, rule.Patterns...)
		}
	}
	text := "This index does not have configured filterable attributes."
	if len(valid) > 0 {
		slices.Sort(valid)
		text = "Available filterable attributes patterns are: `" + strings.Join(slices.Compact(valid), ", ") + "`."
	}
	return newError(CodeInvalidSearchFacets, invalid+"Pattern `"+pattern+"` is not filterable. "+text)
}

// meets reports whether a field could match the rule and the pattern, or lie below such a field.
func (r *FilterableRule) meets(pattern string) bool {
	return slices.ContainsFunc(r.Patterns, func(own string) bool {
		return MatchAttributePattern(pattern, own) || isFieldOrBelow(pattern, own) || isFieldOrBelow(own, pattern) ||
			!r.Legacy && MatchAttributePattern(own, pattern)
	})
}
