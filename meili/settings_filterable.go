package meili

import "encoding/json"

// FilterableRule is one item of filterableAttributes: a plain attribute, which may be filtered and searched in every way,
// or patterns with the features they allow.
type FilterableRule struct {
	Patterns    []string
	Legacy      bool // a plain string, the only pattern; it also covers fields below it
	FacetSearch bool
	Equality    bool
	Comparison  bool
}

// LegacyRule is the rule of a plain attribute.
func LegacyRule(attribute string) FilterableRule {
	return FilterableRule{Patterns: []string{attribute}, Legacy: true, FacetSearch: true, Equality: true, Comparison: true}
}

// IsFilterable reports whether the rule allows any filter.
func (r *FilterableRule) IsFilterable() bool { return r.Equality || r.Comparison }

type filterablePatterns struct {
	AttributePatterns []string           `json:"attributePatterns"`
	Features          filterableFeatures `json:"features"`
}

type filterableFeatures struct {
	FacetSearch bool             `json:"facetSearch"`
	Filter      filterableFilter `json:"filter"`
}

type filterableFilter struct {
	Equality   bool `json:"equality"`
	Comparison bool `json:"comparison"`
}

// MarshalJSON prints the rule as GET /settings does, with every feature.
func (r FilterableRule) MarshalJSON() ([]byte, error) {
	if r.Legacy {
		return AppendString(nil, r.Patterns[0]), nil
	}
	filter := filterableFilter{Equality: r.Equality, Comparison: r.Comparison}
	return marshal(filterablePatterns{r.Patterns, filterableFeatures{r.FacetSearch, filter}})
}

// UnmarshalJSON accepts what MarshalJSON prints and bodies with features left out.
func (r *FilterableRule) UnmarshalJSON(text []byte) error {
	v, err := ParseJSON(text)
	if err != nil {
		return err
	}
	rule, refused := readFilterableRule(&v, BodyRoot(CodeInvalidSettingsFilterableAttributes))
	if refused != nil {
		return refused
	}
	*r = rule
	return nil
}

var _ json.Unmarshaler = (*FilterableRule)(nil)

func readFilterableRule(v *Value, at *Location) (FilterableRule, *Error) {
	if v.Kind != KindObject {
		attribute, err := ReadString(v, at)
		return LegacyRule(attribute), err
	}
	r := FilterableRule{Equality: true}
	err := DecodeObject(v, at, []Field{
		{Name: "attributePatterns", Required: true, Decode: Into(&r.Patterns, ReadStrings)},
		{Name: "features", Decode: r.decodeFeatures},
	})
	return r, err
}

func (r *FilterableRule) decodeFeatures(v *Value, at *Location) *Error {
	return DecodeObject(v, at, []Field{
		{Name: "facetSearch", Decode: Into(&r.FacetSearch, ReadBool)},
		{Name: "filter", Decode: func(v *Value, at *Location) *Error {
			return DecodeObject(v, at, []Field{
				{Name: "equality", Decode: Into(&r.Equality, ReadBool)},
				{Name: "comparison", Decode: Into(&r.Comparison, ReadBool)},
			})
		}},
	})
}
