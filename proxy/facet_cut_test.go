package proxy

import (
	"testing"

	"miroir/meili"
)

// The only node's lists are longer than the client is to see: they are cut as facetRules would cut them.
func TestCutFacets(t *testing.T) {
	const rest = `,"facetStats":{"n":{"min":1.0,"max":4.0},"mixed":{"min":1.0,"max":2.0}},"hits":[]}`
	f := func(faceting, distribution, want string) {
		t.Helper()
		settings, err := meili.LoadSettings([]byte(`{"faceting":` + faceting + `}`))
		if err != nil {
			t.Fatal(err)
		}
		cut, ok := cutFacets([]byte(`{"facetDistribution":`+distribution+rest), 0, settings)
		if want == "" {
			if ok {
				t.Errorf("%s was cut to %s", distribution, cut)
			}
			return
		}
		if !ok || string(cut) != `{"facetDistribution":`+want+rest {
			t.Errorf("%s was cut to %s, %v\nwant %s", distribution, cut, ok, want)
		}
	}
	const byCount, byName = `{"maxValuesPerFacet":2,"sortFacetValuesBy":{"*":"count"}}`, `{"maxValuesPerFacet":2,"sortFacetValuesBy":{"*":"alpha","x":"count"}}`
	f(byCount, `{}`, `{}`)
	f(byCount, `{"a":{}}`, `{"a":{}}`)
	f(byCount, `{"a":{"x":2,"y":1}}`, `{"a":{"x":2,"y":1}}`)
	f(byCount, `{"a":{"x":3,"y":2,"z":1},"b":{"x":3,"y":2,"z":1,"zz":1},"c":{"x":1}}`, `{"a":{"x":3,"y":2},"b":{"x":3,"y":2},"c":{"x":1}}`)
	f(byCount, `{"a":{"1":3,"2":2,"3":1}}`, `{"a":{"1":3,"2":2}}`)
	f(byCount, `{"n":{"4":3,"3":2,"2":1}}`, `{"n":{"4":3,"3":2}}`)
	f(byCount, `{"mixed":{"1":3,"x":2,"y":1,"z":1}}`, `{"mixed":{"1":3,"x":2}}`)
	f(byCount, `{"mixed":{"1":3,"2":2,"3":1,"x":2,"y":1,"z":1}}`, `{"mixed":{"1":3,"2":2,"x":2,"y":1,"z":1}}`)
	f(byName, `{"a":{"x":1,"y":2,"z":3}}`, `{"a":{"x":1,"y":2}}`)
	f(byName, `{"n":{"1":1,"2":2,"3":3}}`, `{"n":{"1":1,"2":2}}`)
	f(byName, `{"mixed":{"1":1,"x":1,"y":2,"z":3}}`, `{"mixed":{"1":1,"x":1}}`)
	f(byName, `{"mixed":{"1":1,"2":1,"x":1}}`, "") // depends on how many candidates there are
	f(`{"maxValuesPerFacet":0}`, `{"a":{"x":1}}`, "")
}
