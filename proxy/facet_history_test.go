package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"miroir/devnode"
	"miroir/fsm"
)

// TestFacetsCutAsTheTasksWroteThem: of values that occur once a list by count shows those one server shows, whose groups go back
// to what each task wrote: documents in parts, changes of settings between them, values in arrays and alone, points.
func TestFacetsCutAsTheTasksWroteThem(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		nodes := map[string]*devnode.Node{}
		for _, id := range []string{"a", "b", "c"} {
			nodes[id] = devnode.New(devnode.Options{MasterKey: testMasterKey})
			t.Cleanup(nodes[id].Close)
		}
		cutLikeOneServer(t, devnode.Transport(nodes), []string{"http://a", "http://b", "http://c"})
	})
	t.Run("real", func(t *testing.T) {
		rt, addresses := realNodes(t, 3)
		cutLikeOneServer(t, rt, addresses)
	})
}

func cutLikeOneServer(t *testing.T, rt http.RoundTripper, addresses []string) {
	c := newWriteClusterOver(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 8, spread: fsm.SpreadAll}, rt, addresses[:2])
	do := func(method, path, body string) {
		t.Helper()
		askServer(t, rt, method, addresses[2]+path, body)
		sameTask(t, c, rt, addresses[2], c.call(method, path, body).Body.Bytes())
	}
	facets := `"filterableAttributes":["n","tags","word","_geo"]`
	for uid, changes := range map[string][]string{ // before each part of the documents
		"first": {`{` + facets + `}`, `{}`, `{}`, `{}`},
		"last":  {`{}`, `{}`, `{}`, `{` + facets + `}`},
		"amid":  {`{}`, `{"stopWords":["the"]}`, `{` + facets + `}`, `{"displayedAttributes":["id"]}`},
	} {
		do("POST", "/indexes", `{"uid":"`+uid+`","primaryKey":"id"}`)
		for part, change := range changes {
			do("PATCH", "/indexes/"+uid+"/settings", change)
			do("POST", "/indexes/"+uid+"/documents", partOfDocuments(part))
		}
		do("PATCH", "/indexes/"+uid+"/settings", `{"faceting":{"maxValuesPerFacet":7,"sortFacetValuesBy":{"*":"count"}}}`)
		for _, filter := range []string{"n > 0", "n < 100", "n > 77", "word > w2"} {
			search := fmt.Sprintf(`{"facets":["n","tags","word","_geo.lat"],"limit":0,"filter":%q}`, filter)
			want := memberOf([]byte(askServer(t, rt, "POST", addresses[2]+"/indexes/"+uid+"/search", search).body), "facetDistribution")
			got := memberOf(c.call("POST", "/indexes/"+uid+"/search", search).Body.Bytes(), "facetDistribution")
			for _, field := range []string{"n", "word", "_geo.lat"} {
				if string(memberOf(got, field)) != string(memberOf(want, field)) {
					t.Errorf("%s, %s of those with %s: %s, want %s", uid, field, filter, memberOf(got, field), memberOf(want, field))
				}
			}
		}
	}
}

// partOfDocuments is every fourth of 240 documents, with values that no other has.
func partOfDocuments(part int) string {
	var documents []string
	for i := part; i < 240; i += 4 {
		at := i * 101 % 251
		documents = append(documents, fmt.Sprintf(`{"id":%d,"n":%d,"word":"w%d","tags":["t%d","u%d"],"_geo":{"lat":%d.5,"lng":1}}`, i, at, at, at, i%3, at%80))
	}
	return "[" + strings.Join(documents, ",") + "]"
}
