package meili

import "testing"

func TestViewOfReservedFields(t *testing.T) {
	s := applyAll(t, `{"filterableAttributes":["_geo",{"attributePatterns":["f"],"features":{"facetSearch":true,"filter":{"equality":false,"comparison":false}}}],"sortableAttributes":["_geo","_geojson"]}`)
	for name, want := range map[string][3]bool{ // searchable, sortable, filterable
		"a": {true, false, false}, "_geo": {false, true, true}, "_geo.lat": {false, true, true}, "_geojson": {false, false, false}, "_vectors.x": {}, "f": {true, false, true},
	} {
		f := ViewField(name, s)
		if got := [3]bool{f.Searchable.Enabled, f.Sortable.Enabled, f.Filterable.Enabled}; got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func TestAFieldWithoutANameIsNotDistinctByDefault(t *testing.T) {
	if f := ViewField("", applyAll(t, `{"sortableAttributes":["a"]}`)); f.Distinct.Enabled {
		t.Error("an index without a distinct attribute has one")
	}
	if f := ViewField("a", applyAll(t, `{"distinctAttribute":"a"}`)); !f.Distinct.Enabled {
		t.Error("the distinct attribute is none")
	}
}
