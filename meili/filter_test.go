package meili

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// recordedRules are the filterableAttributes of the index the filters were recorded on.
var recordedRules = []FilterableRule{
	LegacyRule("a"), LegacyRule("b.c"), LegacyRule("_geo"),
	{Patterns: []string{"p_*", "q"}, Equality: true},
	{Patterns: []string{"*_r"}, Comparison: true},
	{Patterns: []string{"none"}},
}

// TestFilterRecorded asks what a search and GET documents answer to a filter. Searches rewrite the filter before they
// check its fields.
func TestFilterRecorded(t *testing.T) {
	for _, c := range loadRecorded[struct {
		Filter json.RawMessage
		Route  string
		recorded
	}](t, "filters.json") {
		t.Run(c.Route+" "+string(c.Filter), func(t *testing.T) {
			uid := ""
			f, err := ParseFilter(c.Filter)
			if err == nil {
				err = CheckFilterFeatures(f, Features{})
			}
			if err == nil && f != nil && c.Route == "search" {
				uid = "f"
				f, err = f.Canonical()
			}
			if err == nil {
				err = CheckFilterable(f, recordedRules, uid)
			}
			c.check(t, err)
		})
	}
}

func TestParseFilterTree(t *testing.T) {
	f := func(filter, want string) {
		t.Helper()
		parsed, err := ParseFilter(json.RawMessage(filter))
		got := ""
		if parsed != nil {
			got = parsed.String()
		}
		if err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", filter, got, err, want)
		}
	}
	f(`null`, ``)
	f(`["", [], ["  "]]`, ``)
	f(`"a=1 OR b=2 AND NOT c=3"`, `("a" = "1") OR (("b" = "2") AND (NOT ("c" = "3")))`)
	f(`"NOT NOT (a = 1)"`, `"a" = "1"`)
	f(`"a NOT IN['x y', \"q\\\"\", z,]"`, `NOT ("a" IN ["x y", "q\"", "z"])`)
	f(`[["a=1","b=2"],"c=3",["d=4"]]`, `(("a" = "1") OR ("b" = "2")) AND ("c" = "3") AND ("d" = "4")`)
	f(`"a 1 TO 5 AND a IS NOT NULL AND a NOT EXISTS"`, `("a" "1" TO "5") AND (NOT ("a" IS NULL)) AND (NOT ("a" EXISTS))`)
	f(`"_geoPolygon([1,2],[3,4],[5,6],) OR _geoBoundingBox([1,2],[3,4])"`, `(_geoPolygon([1, 2], [3, 4], [5, 6])) OR (_geoBoundingBox([1, 2], [3, 4]))`)
	f(`"_vectors.e.fragments.\"x y\" NOT EXISTS"`, `NOT (_vectors."e".fragments."x y" EXISTS)`)
	f(`"_foreign(author, name = x)"`, `_foreign("author", "name" = "x")`)
	f(`"a = '\\t\\x41\\u{e9}\\101'"`, `"a" = "\tAéA"`)
}

func TestFilterFields(t *testing.T) {
	f, err := ParseFilterExpression("b = 1 AND (a.x > 2 OR NOT b EXISTS) AND _geoRadius(1,2,3)")
	if err != nil || !slices.Equal(f.Fields(), []string{"b", "a.x", "b"}) {
		t.Error(f.Fields(), err)
	}
}

func TestFilterDepth(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("(", n) + "a = 1" + strings.Repeat(")", n) }
	if _, err := ParseFilterExpression(nested(36)); err != nil {
		t.Error(err)
	}
	if _, err := ParseFilterExpression(nested(100_000)); err == nil || !strings.HasPrefix(err.Message, "The filter exceeded the maximum depth limit.") {
		t.Error("nesting is not limited")
	}
}

func TestQuoteFilterValue(t *testing.T) {
	for _, text := range []string{"", "plain", `a"b`, `a\b\`, `\"`, "it's", "é\n", `" OR "x" = "x`, `\u0041`} {
		f, err := ParseFilterExpression("field = " + QuoteFilterValue(text))
		if err != nil || f.Op != FilterEqual || f.Values[0].Text != text {
			t.Errorf("%q: %v, %v", text, f, err)
		}
	}
}

func TestAndFilter(t *testing.T) {
	f := func(a, b, want string) {
		t.Helper()
		if got := string(AndFilter(json.RawMessage(a), json.RawMessage(b))); got != want {
			t.Errorf("%s and %s: %s, want %s", a, b, got, want)
		}
	}
	f(``, ``, ``)
	f(`null`, `"t = 1"`, `"t = 1"`)
	f(`"u = 1"`, ``, `"u = 1"`)
	f(`"u = 1 OR u = 2"`, `"t = 1"`, `["u = 1 OR u = 2","t = 1"]`)
	f(` [ "u = 1" , ["v = 1","v = 2"] ] `, `[["t = 1","t = 2"]]`, `["u = 1",["v = 1","v = 2"],["t = 1","t = 2"]]`)
	f(`[]`, `"t = 1"`, `["t = 1"]`)
	f(`{"x":"]"}`, `"t = 1"`, `[{"x":"]"},"t = 1"]`)
	f(`"u = 1"]`, `"t = 1"`, `["\"u = 1\"]","t = 1"]`)
}

// matches evaluates a filter on a document of text fields, numbers compared as numbers.
func (f *Filter) matches(doc map[string]string) bool {
	value, exists := doc[f.Field]
	switch f.Op {
	case FilterAnd:
		return !slices.ContainsFunc(f.Children, func(c *Filter) bool { return !c.matches(doc) })
	case FilterOr:
		return slices.ContainsFunc(f.Children, func(c *Filter) bool { return c.matches(doc) })
	case FilterNot:
		return !f.Children[0].matches(doc)
	case FilterEqual:
		return exists && value == f.Values[0].Text
	case FilterNotEqual:
		return !exists || value != f.Values[0].Text
	case FilterIn:
		return exists && slices.ContainsFunc(f.Values, func(v FilterValue) bool { return v.Text == value })
	case FilterGreater, FilterGreaterOrEqual:
		return exists && number(value) >= number(f.Values[0].Text)
	case FilterLess, FilterLessOrEqual:
		return exists && number(value) <= number(f.Values[0].Text)
	case FilterBetween:
		return exists && number(value) >= number(f.Values[0].Text) && number(value) <= number(f.Values[1].Text)
	case FilterExists:
		return exists
	case FilterContains:
		return strings.Contains(value, f.Values[0].Text)
	case FilterStartsWith:
		return strings.HasPrefix(value, f.Values[0].Text)
	}
	return false
}

func number(text string) float64 {
	n, _ := strconv.ParseFloat(text, 64)
	return n
}

var fuzzDocs = []map[string]string{
	{}, {"tenant": "1"}, {"tenant": "2"}, {"tenant": "1", "a": "1"}, {"tenant": "2", "a": "1"}, {"tenant": "2", "a": "x", "b": "2"},
	{"a": "1", "b": "2"}, {"tenant": "1", "a": "5", "b": "y"}, {"tenant": "10", "b": "1"}, {"a": ""},
}

func addFilters(f *testing.F, add func(text string)) {
	for _, c := range loadRecorded[struct{ Filter json.RawMessage }](f, "filters.json") {
		add(string(c.Filter))
	}
}

// FuzzParseFilter: what parses prints as an expression that parses to the same; what does not has a message.
func FuzzParseFilter(f *testing.F) {
	addFilters(f, func(text string) { f.Add(text) })
	f.Fuzz(func(t *testing.T, text string) {
		for _, raw := range []string{text, string(AppendString(nil, text))} {
			parsed, err := ParseFilter(json.RawMessage(raw))
			if err != nil {
				if err.Message == "" || parsed != nil {
					t.Fatalf("%q: %v, %v", raw, parsed, err)
				}
				continue
			}
			if parsed == nil {
				continue
			}
			CheckFilterable(parsed, recordedRules, "f")
			again, err := parsed.Canonical()
			if err != nil {
				continue // too deep, or an operand JSON escapes do not survive in
			}
			if got, want := again.String(), parsed.String(); got != want && !strings.Contains(want, `\u00`) {
				t.Fatalf("%q: %s became %s", raw, want, got)
			}
		}
	})
}

// FuzzTenantFilterCannotEscape: whatever the user's filter says, no document outside the tenant's comes through.
func FuzzTenantFilterCannotEscape(f *testing.F) {
	tenants := []string{`"tenant = 1"`, `["tenant = 1"]`, `[["tenant = 1","tenant = 10"],"a EXISTS"]`, `"tenant != 2 OR b = 2"`, `"tenant IN [1]"`}
	addFilters(f, func(text string) { f.Add(text, uint8(0)) })
	for i := range tenants {
		f.Add(`"a = 1 OR tenant = 2"`, uint8(i))
		f.Add(`["a = 1) OR (tenant = 2", ["b = 2"]]`, uint8(i))
		f.Add(`"a = 1"], ["tenant = 2"`, uint8(i))
	}
	f.Fuzz(func(t *testing.T, user string, which uint8) {
		tenant := json.RawMessage(tenants[int(which)%len(tenants)])
		allowed, err := ParseFilter(tenant)
		if err != nil {
			t.Fatal(err)
		}
		for _, raw := range []string{user, string(AppendString(nil, user))} {
			both := AndFilter(json.RawMessage(raw), tenant)
			if len(raw) > 0 && raw != "null" && !json.Valid(both) {
				t.Fatalf("%s is no JSON", both)
			}
			combined, err := ParseFilter(both)
			if err != nil {
				continue // refused as a whole
			}
			own, ownErr := ParseFilter(json.RawMessage(raw))
			for _, doc := range fuzzDocs {
				if combined.matches(doc) && !allowed.matches(doc) {
					t.Fatalf("%s lets %v through", both, doc)
				}
				if ownErr == nil && combined.matches(doc) != (allowed.matches(doc) && (own == nil || own.matches(doc))) {
					t.Fatalf("%s is not both on %v", both, doc)
				}
			}
		}
	})
}
