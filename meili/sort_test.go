package meili

import "testing"

func TestParseSort(t *testing.T) {
	for text, want := range map[string]string{
		"a:asc": "", "a:b:desc": "", "_geoPoint(48.8, 2.3):asc": "", ":asc": "",
		"a":                         "Invalid syntax for the sort parameter: expected expression ending by `:asc` or `:desc`, found `a`.",
		"a:up":                      "Invalid syntax for the sort parameter: expected expression ending by `:asc` or `:desc`, found `a:up`.",
		"_geo:asc":                  "`_geo` is a reserved keyword and thus can't be used as a sort expression. Use the _geoPoint(latitude, longitude) built-in rule to sort on _geo field coordinates.",
		"_geoPoint:desc":            "Invalid syntax for the geo parameter: expected expression formated like `_geoPoint(latitude, longitude)` and ending by `:asc` or `:desc`, found `_geoPoint`.",
		"_geoPoint(91, 2):desc":     "Bad latitude `91`. Latitude must be contained between -90 and 90 degrees.",
		"_geoPoint(1, -180.5):desc": "Bad longitude `-180.5`. Longitude must be contained between -180 and 180 degrees. Hint: try using `179.5` instead.",
		"_geoRadius(1,2,3):asc":     "`_geoRadius` is a reserved keyword and thus can't be used as a sort expression. Use the _geoPoint(latitude, longitude) built-in rule to sort on _geo field coordinates.",
	} {
		got := ""
		if _, refused := ParseSort([]string{text}, CodeInvalidDocumentSort); refused != nil {
			got = refused.Message
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	list, refused := ParseSort([]string{"a:b:desc", "_geoPoint( 48.8,2.3 ):asc"}, CodeInvalidSearchSort)
	if refused != nil || list[0] != (SortCriterion{Field: "a:b"}) || list[1] != (SortCriterion{Lat: 48.8, Lng: 2.3, Ascending: true}) {
		t.Errorf("%v, %v", list, refused)
	}
}
