package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"miroir/fsm"
)

// Hits that another index's make duplicates are no hits, and are taken out of totals and facets as one server does it: twice
// where a hit shows a field inside of another one and tells it apart, never where a number is written otherwise than it is
// listed. It does not matter whether hits show what they are distinct by, nor how the indexes lie on nodes.
func TestFederatedDuplicatesOfAnotherIndex(t *testing.T) {
	documents := func(first int) json.RawMessage {
		list := make([]string, 12)
		for i := range list {
			list[i] = fmt.Sprintf(`{"id":%d,"group":%d,"at":{"level":%d},"size":%d.0,"n":%d}`, first+i, i%6, i%2, i%3, i%4)
		}
		return json.RawMessage("[" + strings.Join(list, ",") + "]")
	}
	fill := func(s testServer) {
		for i, uid := range []string{"one", "two"} {
			s.enqueue(t, "PATCH", "/indexes/"+uid+"/settings", object{"filterableAttributes": []string{"group", "at.level", "size", "n"}})
			s.finish(t, s.enqueue(t, "POST", "/indexes/"+uid+"/documents?primaryKey=id", documents(100*i)))
		}
	}
	search := json.RawMessage(`{"federation":{"distinct":"group","limit":4,"facetsByIndex":{"one":["*"],"two":["*"]}},
		"queries":[{"indexUid":"one","attributesToRetrieve":["id","at"]},{"indexUid":"two","attributesToRetrieve":["id"]}]}`)
	for _, spread := range []int{fsm.SpreadAuto, fsm.SpreadAll} {
		for _, numNodes := range []int{1, 3} {
			p := openPair(t, numNodes, 1, func(o *podOptions) { o.Cluster.Spread = spread })
			fill(p.alone)
			fill(p.miroir)
			wantStatus, want := p.alone.ask(t, "POST", "/multi-search", search)
			gotStatus, got := p.miroir.ask(t, "POST", "/multi-search", search)
			if wantStatus != gotStatus {
				t.Fatalf("%d %s, want %d %s", gotStatus, got, wantStatus, want)
			}
			p.compareRest(t, object{"spread": spread, "nodes": numNodes}, want, got, nil)
		}
	}
}

// Queries are merged by the first hits that are left of each, so a hit can hold up those behind it: in a hybrid search, whose hits
// come in another order than queries are merged by, and where the nearest come first. One that is left out, because another query
// found it too or a better hit has its distinct value, holds up others all the same, whichever node it lies on.
func TestFederatedHitsHoldUpOthers(t *testing.T) {
	documents := json.RawMessage(`[
		{"id":1,"title":"box","family":1,"_geo":{"lat":0,"lng":2},"_vectors":{"v":[-1,0]}},
		{"id":2,"title":"fox","family":1,"_geo":{"lat":0,"lng":3},"_vectors":{"v":[-1,0.1]}},
		{"id":3,"title":"night","family":2,"_geo":{"lat":0,"lng":9},"_vectors":{"v":[1,0]}},
		{"id":4,"title":"box night","_geo":{"lat":0,"lng":5},"_vectors":{"v":[1,0.1]}},
		{"id":5,"title":"box light","family":3,"_geo":{"lat":0,"lng":7},"_vectors":{"v":[1,0.2]}},
		{"id":6,"title":"fox box","family":4,"_geo":{"lat":0,"lng":1},"_vectors":{"v":[-1,0.2]}},
		{"id":7,"title":"fox box box","family":5,"_geo":{"lat":0,"lng":4},"_vectors":{"v":[-1,0.3]}},
		{"id":8,"title":"box sun","family":6,"_vectors":{"v":[0.6,0.8]}},
		{"id":9,"title":"box wind","_vectors":{"v":[1,0.11]}}, {"id":10,"title":"box wind","family":10,"_vectors":{"v":[1,0.12]}},
		{"id":11,"title":"box wind","_vectors":{"v":[1,0.13]}}, {"id":12,"title":"box wind","family":12,"_vectors":{"v":[1,0.14]}},
		{"id":13,"title":"box wind","_vectors":{"v":[1,0.15]}}, {"id":14,"title":"box wind","family":12,"_vectors":{"v":[1,0.16]}}]`)
	settings := object{
		"filterableAttributes": []string{"family"}, "sortableAttributes": []string{"_geo"},
		"embedders": object{"v": object{"source": "userProvided", "dimensions": 2}},
	}
	const hybrid = `{"indexUid":"docs","q":"fox dog","hybrid":{"embedder":"v","semanticRatio":0.1},"vector":[1,0],"federationOptions":{"weight":1.5}}`
	few := strings.Replace(hybrid, `"hybrid"`, `"filter":"NOT family IN [4, 5]","hybrid"`, 1) // the node that lists 2 has all that is found by words
	const nearer = `{"indexUid":"docs","q":"fox","hybrid":{"embedder":"v","semanticRatio":0.6},"vector":[1,0]}`
	searches := []string{
		`{"federation":{"distinct":"family"},"queries":[` + hybrid + `,{"indexUid":"docs","q":"box","federationOptions":{"weight":1.2}}]}`,
		`{"federation":{"distinct":"family","facetsByIndex":{"docs":["family"]}},"queries":[{"indexUid":"docs","q":"box","federationOptions":{"weight":1.2}},` + hybrid + `]}`,
		`{"federation":{"distinct":"family","limit":9,"facetsByIndex":{"docs":["family"]}},"queries":[` + few + `,{"indexUid":"docs","q":"box","federationOptions":{"weight":1.2}}]}`,
		`{"federation":{},"queries":[` + nearer + `,{"indexUid":"docs","q":"box","federationOptions":{"weight":0.9}}]}`,
		`{"federation":{"offset":3,"limit":3},"queries":[` + nearer + `,{"indexUid":"docs","q":"box","federationOptions":{"weight":0.9}}]}`,
		`{"federation":{},"queries":[{"indexUid":"docs","q":"fox","sort":["_geoPoint(0,0):asc"]},{"indexUid":"docs","q":"box","sort":["_geoPoint(0,0):asc"]}]}`,
	}
	for _, shape := range []struct{ nodes, rf int }{{2, 2}, {2, 1}, {3, 1}, {5, 1}} {
		p := openPair(t, shape.nodes, shape.rf)
		for _, s := range []testServer{p.alone, p.miroir} {
			s.enqueue(t, "PATCH", "/indexes/docs/settings", settings)
			s.finish(t, s.enqueue(t, "POST", "/indexes/docs/documents?primaryKey=id", documents))
		}
		for _, search := range searches {
			_, want := p.alone.ask(t, "POST", "/multi-search", json.RawMessage(search))
			_, got := p.miroir.ask(t, "POST", "/multi-search", json.RawMessage(search))
			p.compareRest(t, object{"nodes": shape.nodes, "rf": shape.rf, "search": search}, want, got, nil)
		}
	}
}
