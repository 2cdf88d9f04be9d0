package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"miroir/devnode"
	"miroir/fsm"
)

// TestFacetsCutAsTheTasksWroteThem: of values that occur once a list by count shows those one server shows, and in its order, whose groups
// go back to what each task wrote: documents in parts, changes of settings between them, values in arrays and alone, points, and documents
// that are written again. So do the facets of federated searches.
func TestFacetsCutAsTheTasksWroteThem(t *testing.T) {
	againstSpread(t, cutLikeOneServer)
}

// againstSpread runs a comparison of one server with Miroir over two, over embedded nodes and, where there is a program, over
// real ones.
func againstSpread(t *testing.T, compare func(t *testing.T, s spreadBeside)) {
	t.Run("embedded", func(t *testing.T) {
		nodes := map[string]*devnode.Node{}
		for _, id := range []string{"a", "b", "c"} {
			nodes[id] = devnode.New(devnode.Options{MasterKey: testMasterKey})
			t.Cleanup(nodes[id].Close)
		}
		compare(t, newSpreadBeside(t, devnode.Transport(nodes), []string{"http://a", "http://b", "http://c"}))
	})
	t.Run("real", func(t *testing.T) {
		rt, addresses := realNodes(t, 3)
		compare(t, newSpreadBeside(t, rt, addresses))
	})
}

// spreadBeside is Miroir over two servers beside a third that is asked directly.
type spreadBeside struct {
	*writeCluster
	rt    http.RoundTripper
	alone string
}

func newSpreadBeside(t *testing.T, rt http.RoundTripper, addresses []string) spreadBeside {
	t.Helper()
	shape := clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 8, spread: fsm.SpreadAll}
	return spreadBeside{newWriteClusterOver(t, shape, rt, addresses[:2]), rt, addresses[2]}
}

// write sends both a write and waits for it.
func (s spreadBeside) write(method, path, body string) {
	s.t.Helper()
	askServer(s.t, s.rt, method, s.alone+path, body)
	sameTask(s.t, s.writeCluster, s.rt, s.alone, s.call(method, path, body).Body.Bytes())
}

// both are a member of the answers of one server and of Miroir.
func (s spreadBeside) both(path, body, member string) (want, got []byte) {
	s.t.Helper()
	return memberOf([]byte(askServer(s.t, s.rt, "POST", s.alone+path, body).body), member), memberOf(s.call("POST", path, body).Body.Bytes(), member)
}

func cutLikeOneServer(t *testing.T, s spreadBeside) {
	facets := `"filterableAttributes":["n","tags","word","_geo"]`
	for uid, changes := range map[string][]string{ // before each part of the documents
		"first": {`{` + facets + `}`, `{}`, `{}`, `{}`},
		"last":  {`{}`, `{}`, `{}`, `{` + facets + `}`},
		"amid":  {`{}`, `{"stopWords":["the"]}`, `{` + facets + `}`, `{"displayedAttributes":["id"]}`},
	} {
		s.write("POST", "/indexes", `{"uid":"`+uid+`","primaryKey":"id"}`)
		for part, change := range changes {
			s.write("PATCH", "/indexes/"+uid+"/settings", change)
			s.write("POST", "/indexes/"+uid+"/documents", partOfDocuments(part))
		}
		s.write("PUT", "/indexes/"+uid+"/documents", `[{"id":4,"note":1},{"id":101,"note":1},{"id":62,"note":1},{"id":230,"note":1}]`) // which keeps their values
		s.write("PATCH", "/indexes/"+uid+"/settings", `{"faceting":{"maxValuesPerFacet":7,"sortFacetValuesBy":{"*":"count"}}}`)
		for _, filter := range []string{"n > 0", "n < 100", "n > 77", "word > w2", "n 30 TO 33"} {
			asked := fmt.Sprintf(`{"facets":["n","word","_geo.lat"],"limit":0,"filter":%q}`, filter)
			want, got := s.both("/indexes/"+uid+"/search", asked, "facetDistribution")
			if string(got) != string(want) {
				t.Errorf("%s, those with %s: %s, want %s", uid, filter, got, want)
			}
			query := fmt.Sprintf(`{"indexUid":%q,"filter":%q}`, uid, filter)
			for _, queries := range []string{query, query + fmt.Sprintf(`,{"indexUid":%q,"filter":"n 20 TO 25"}`, uid)} {
				federation := fmt.Sprintf(`"limit":0,"facetsByIndex":{%q:["n","word","_geo.lat"]}`, uid)
				for _, merged := range []string{"", `,"mergeFacets":{"maxValuesPerFacet":5}`} {
					member := "facetsByIndex"
					if merged != "" {
						member = "facetDistribution"
					}
					body := `{"federation":{` + federation + merged + `},"queries":[` + queries + `]}`
					if want, got := s.both("/multi-search", body, member); string(got) != string(want) {
						t.Errorf("%s: %s, want %s", body, got, want)
					}
				}
			}
		}
	}
}

// partOfDocuments is every fourth of 240 documents, with values that no other has, later ones also below all before.
func partOfDocuments(part int) string {
	var documents []string
	for i := part; i < 240; i += 4 {
		at := i*101%251 - 30*part
		lat := fmt.Sprintf("%d.5", at%80)
		if i%3 == 0 {
			lat = `"` + lat + `"` // is a number all the same
		}
		documents = append(documents, fmt.Sprintf(`{"id":%d,"n":%d,"word":"w%d","tags":["t%d","u%d"],"_geo":{"lat":%s,"lng":1}}`, i, at, 100+at, at, i%3, lat))
	}
	return "[" + strings.Join(documents, ",") + "]"
}

// TestExhaustiveFacetSearch: of documents with the same value of the distinct attribute an exhaustive facet search counts the one
// inserted first, whatever ranks first.
func TestExhaustiveFacetSearch(t *testing.T) {
	againstSpread(t, func(t *testing.T, s spreadBeside) {
		var documents []string
		for i := range 90 {
			documents = append(documents, fmt.Sprintf(`{"id":%d,"rank":%d,"family":%d,"color":"c%d"}`, i, (i*37)%90, i%23, i%7))
		}
		s.write("POST", "/indexes/m/documents", "["+strings.Join(documents, ",")+"]")
		s.write("PATCH", "/indexes/m/settings", `{"filterableAttributes":["color","rank"],"rankingRules":["rank:asc"],"distinctAttribute":"family"}`)
		for _, body := range []string{
			`{"facetName":"color","exhaustiveFacetCount":true}`, `{"facetName":"color","exhaustiveFacetCount":true,"filter":"rank > 40"}`,
			`{"facetName":"color"}`, `{"facetName":"color","facetQuery":"c3","exhaustiveFacetCount":true}`,
		} {
			if want, got := s.both("/indexes/m/facet-search", body, "facetHits"); string(got) != string(want) {
				t.Errorf("%s: %s, want %s", body, got, want)
			}
		}
	})
}

// TestFacetSearchBesideDistinct: to fill its window a node goes on to documents that one server does not come to, and leaves out those
// that are duplicates of each other. Their values are found all the same.
func TestFacetSearchBesideDistinct(t *testing.T) {
	againstSpread(t, func(t *testing.T, s spreadBeside) {
		var documents []string
		for i := range 120 {
			documents = append(documents, fmt.Sprintf(`{"id":%d,"family":%d,"color":"c%d"}`, i, i%40, i))
		}
		s.write("POST", "/indexes/m/documents", "["+strings.Join(documents, ",")+"]")
		s.write("PATCH", "/indexes/m/settings", `{"filterableAttributes":["color"],"sortableAttributes":["family"],"rankingRules":["family:asc"],"distinctAttribute":"family"}`)
		for _, body := range []string{`{"facetName":"color"}`, `{"facetName":"color","facetQuery":""}`, `{"facetName":"color","facetQuery":"C10"}`, `{"facetName":"color","facetQuery":"none"}`} {
			if want, got := s.both("/indexes/m/facet-search", body, "facetHits"); string(got) != string(want) {
				t.Errorf("%s: %s, want %s", body, got, want)
			}
		}
	})
}
