package proxy

import (
	"fmt"
	"strings"
	"testing"
)

// TestListsByDistanceWhereANodeHasNoPoints: one node has all the points and another none, which refuses to sort by distance.
func TestListsByDistanceWhereANodeHasNoPoints(t *testing.T) {
	againstSpread(t, func(t *testing.T, s spreadBeside) {
		s.write("POST", "/indexes", `{"uid":"m","primaryKey":"id"}`)
		s.write("PATCH", "/indexes/m/settings", `{"sortableAttributes":["n","_geo"]}`)
		var documents []string
		for i := range 12 {
			documents = append(documents, fmt.Sprintf(`{"id":%d,"n":%d}`, i, i%3))
		}
		s.write("POST", "/indexes/m/documents", "["+strings.Join(documents, ",")+"]")
		f := func(sort string) {
			t.Helper()
			body := `{"limit":9,"offset":1,"fields":["id","n","_geo"],"sort":` + sort + `}`
			for _, member := range []string{"results", "message", "total"} {
				if want, got := s.both("/indexes/m/documents/fetch", body, member); string(got) != string(want) {
					t.Errorf("%s: %s is %s, want %s", sort, member, got, want)
				}
			}
		}
		f(`["_geoPoint(1, 2):asc"]`) // nobody has a point
		s.write("POST", "/indexes/m/documents", `[{"id":12,"n":1,"_geo":{"lat":1,"lng":1}}]`)
		for _, sort := range []string{`["_geoPoint(1, 2):asc"]`, `["_geoPoint(1, 2):desc","n:desc"]`, `["n:asc","_geoPoint(1, 2):desc"]`, `["n:desc"]`, `["x:asc"]`} {
			f(sort)
		}
	})
}
