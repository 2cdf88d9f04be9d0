package meili

import "testing"

func TestCheckFacets(t *testing.T) {
	color, deep := LegacyRule("color"), LegacyRule("a.b")
	pattern := FilterableRule{Patterns: []string{"doc_*", "*_id"}, Equality: true}
	closed := FilterableRule{Patterns: []string{"secret*"}}
	const none, some = "This index does not have configured filterable attributes.", "Available filterable attributes patterns are: "
	for _, test := range []struct {
		pattern string
		rules   []FilterableRule
		want    string // of the message, "" for none
	}{
		{"color", []FilterableRule{color}, ""}, {"*", []FilterableRule{color}, ""}, {"co*", []FilterableRule{color}, ""}, {"*r", []FilterableRule{color}, ""},
		{"color.x", []FilterableRule{color}, ""}, {"a", []FilterableRule{deep}, ""}, {"doc_", []FilterableRule{pattern}, ""}, {"x_id", []FilterableRule{pattern}, ""}, {"doc*", []FilterableRule{pattern}, ""},
		{"*", nil, "Pattern `*` is not filterable. " + none}, {"*", []FilterableRule{closed}, "Pattern `*` is not filterable. " + none},
		{"size", []FilterableRule{pattern, color}, "Pattern `size` is not filterable. " + some + "`*_id, color, doc_*`."},
		{"colors", []FilterableRule{color}, "Pattern `colors` is not filterable. " + some + "`color`."},
		{"secrets", []FilterableRule{color, closed}, "Attribute `secrets` matched rule #1 in filterableAttributes, but this rule does not enable filtering.\nHint: enable filtering in rule #1 by modifying the features.filter object\nHint: prepend another rule matching `secrets` with appropriate filter features before rule #1"},
	} {
		got := ""
		if refused := CheckFacets([]string{test.pattern}, test.rules); refused != nil {
			got = refused.Message
		}
		if want := test.want; want != "" && got != "Invalid facet distribution: "+want || want == "" && got != "" {
			t.Errorf("%s: %q, want %q", test.pattern, got, want)
		}
	}
}
