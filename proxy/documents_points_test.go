package proxy

import (
	"testing"

	"miroir/meili"
)

// Distances of documents whose coordinates are texts are worked out, those that a node told are kept.
func TestDistancesOfTexts(t *testing.T) {
	list := documentList{query: &meili.DocumentsQuery{Sort: &[]string{"n:asc", "_geoPoint(48.8, 2.3):asc"}}}
	f := func(document, values string, want float64, known bool) {
		t.Helper()
		entry := list.measured(weightedScore([]byte(values)), []byte(document))[1]
		if (entry.class == valueNumber) != known || known && entry.value != want {
			t.Errorf("%s: %+v, want %v", document, entry, want)
		}
	}
	const told, untold = `[{"sort":{"asc":true,"value":1}},{"geoSort":{"asc":true,"distance":12.5}}]`, `[{"sort":{"asc":true,"value":1}},{"geoSort":{"asc":true,"distance":null}}]`
	f(`{"_geo":{"lat":"48.8","lng":"2.3"}}`, told, 12.5, true)
	f(`{"_geo":{"lat":"48.8","lng":"2.3"}}`, untold, 0, true)
	f(`{"_geo":{"lat":"49.8","lng":2.3}}`, untold, 111194.927, true)
	f(`{"_geo":{"lat":"x","lng":2.3}}`, untold, 0, false)
	f(`{"_geo":null}`, untold, 0, false)
	f(`{}`, untold, 0, false)

	with, cut := (&documentList{query: &meili.DocumentsQuery{Sort: list.query.Sort, Fields: &[]string{"id"}}}).withPoints()
	if got := *with.query.Fields; !cut || len(got) != 2 || got[1] != "_geo" {
		t.Errorf("fields %v, cut %v", got, cut)
	}
}
