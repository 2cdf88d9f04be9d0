package main

import (
	"encoding/json"
	"strings"
	"testing"

	"miroir/fsm"
)

// numbered are federated searches whose queries the client numbers itself, and others that fail in the same ways.
var numbered = []string{
	// What hits, vectors and ties call the queries.
	`{"federation":{},"queries":[{"indexUid":"a","federationOptions":{"queryPosition":7}}]}`,
	`{"federation":{},"queries":[{"indexUid":"a","q":"red","federationOptions":{"queryPosition":1}},{"indexUid":"b","q":"red","federationOptions":{"queryPosition":0}}]}`,
	`{"federation":{},"queries":[{"indexUid":"b","q":"red"},{"indexUid":"a","q":"red"}]}`,
	`{"federation":{},"queries":[{"indexUid":"a","q":"red","federationOptions":{"queryPosition":5}},{"indexUid":"a","q":"red blue","matchingStrategy":"all"},{"indexUid":"a","q":"red","federationOptions":{"queryPosition":2}}]}`,
	`{"federation":{},"queries":[{"indexUid":"a","q":"blue","federationOptions":{"queryPosition":3}},{"indexUid":"a","q":"red","federationOptions":{"queryPosition":3}}]}`,
	`{"federation":{"distinct":"color"},"queries":[{"indexUid":"a","q":"red","federationOptions":{"queryPosition":9}},{"indexUid":"b","q":"red","federationOptions":{"queryPosition":4}}]}`,
	`{"federation":{},"queries":[{"indexUid":"a","q":"red","distinct":"color","federationOptions":{"queryPosition":9}},{"indexUid":"a","q":"red","distinct":"n","federationOptions":{"queryPosition":4}}]}`,
	`{"federation":{},"queries":[{"indexUid":"a","vector":[1,0],"hybrid":{"embedder":"v"},"retrieveVectors":true,"federationOptions":{"queryPosition":6}},{"indexUid":"b","vector":[0,1],"hybrid":{"embedder":"v"},"retrieveVectors":true}]}`,
	// What is refused before any query is run: queries count from 0, whatever they are called.
	`{"federation":{},"queries":[{"indexUid":"a","filter":"x =","federationOptions":{"queryPosition":1}}]}`,
	`{"federation":{},"queries":[{"indexUid":"a"},{"indexUid":"a","limit":1,"federationOptions":{"queryPosition":5}}]}`,
	`{"federation":{},"queries":[{"indexUid":"a","facets":["color"],"federationOptions":{"queryPosition":5}}]}`,
	`{"federation":{"distinct":"color"},"queries":[{"indexUid":"a"},{"indexUid":"a","distinct":"n","federationOptions":{"queryPosition":5}}]}`,
	`{"federation":{},"queries":[{"indexUid":"a","federationOptions":{"queryPosition":5,"remote":"none"}}]}`,
	`{"federation":{},"queries":[{"indexUid":"a","federationOptions":{"queryPosition":-1}}]}`,
	`{"federation":{},"queries":[{"indexUid":"a","federationOptions":{"queryPosition":1.5}}]}`,
	`{"federation":{},"queries":[{"indexUid":"a","federationOptions":{"queryPosition":"1"}}]}`,
	`{"federation":{},"queries":[{"indexUid":"a","federationOptions":{"queryPosition":null}}]}`,
	// What is found when they are run.
	`{"federation":{},"queries":[{"indexUid":"a","sort":["n:up"],"federationOptions":{"queryPosition":1}}]}`,
	`{"federation":{},"queries":[{"indexUid":"a","sort":["x:asc"],"federationOptions":{"queryPosition":1}}]}`,
	`{"federation":{},"queries":[{"indexUid":"a"},{"indexUid":"a","filter":"x = 1","federationOptions":{"queryPosition":4}}]}`,
	`{"federation":{},"queries":[{"indexUid":"a"},{"indexUid":"a","attributesToSearchOn":["color"],"q":"red"},{"indexUid":"a","attributesToSearchOn":["none"],"q":"red","federationOptions":{"queryPosition":8}}]}`,
	`{"federation":{},"queries":[{"indexUid":"a","distinct":"none","federationOptions":{"queryPosition":4}}]}`,
	`{"federation":{"distinct":"none"},"queries":[{"indexUid":"a","federationOptions":{"queryPosition":4}}]}`,
	`{"federation":{},"queries":[{"indexUid":"a","q":"x","hybrid":{"embedder":"none"},"federationOptions":{"queryPosition":4}}]}`,
	`{"federation":{},"queries":[{"indexUid":"a","vector":[1],"hybrid":{"embedder":"v"},"federationOptions":{"queryPosition":4}}]}`,
	`{"federation":{},"queries":[{"indexUid":"none","federationOptions":{"queryPosition":4}},{"indexUid":"a","federationOptions":{"queryPosition":3}}]}`,
	`{"federation":{},"queries":[{"indexUid":"none","federationOptions":{"queryPosition":4}},{"indexUid":"none","federationOptions":{"queryPosition":3}}]}`,
	`{"federation":{},"queries":[{"indexUid":"none","federationOptions":{"queryPosition":0}},{"indexUid":"b","sort":["x:asc"],"federationOptions":{"queryPosition":6}},{"indexUid":"a","sort":["x:asc"],"federationOptions":{"queryPosition":5}}]}`,
	`{"federation":{},"queries":[{"indexUid":"b","sort":["x:asc"],"federationOptions":{"queryPosition":6}},{"indexUid":"a","sort":["x:asc"],"federationOptions":{"queryPosition":6}}]}`,
	`{"federation":{"facetsByIndex":{"a":["x"]}},"queries":[{"indexUid":"b"},{"indexUid":"a","federationOptions":{"queryPosition":5}},{"indexUid":"a","federationOptions":{"queryPosition":3}}]}`,
	`{"federation":{"facetsByIndex":{"a":["x"]}},"queries":[{"indexUid":"b"},{"indexUid":"a"}]}`,
	`{"federation":{"facetsByIndex":{"none":["x"]}},"queries":[{"indexUid":"b","federationOptions":{"queryPosition":5}}]}`,
	`{"federation":{"mergeFacets":{},"facetsByIndex":{"a":["color"],"b":["color"]}},"queries":[{"indexUid":"b","federationOptions":{"queryPosition":5}},{"indexUid":"a","federationOptions":{"queryPosition":7}}]}`,
	`{"federation":{},"queries":[{"indexUid":"a","q":"x","federationOptions":{"queryPosition":8}},{"indexUid":"a","sort":["n:asc"],"federationOptions":{"queryPosition":2}}]}`,
	`{"federation":{},"queries":[{"indexUid":"b","q":"x","federationOptions":{"queryPosition":8}},{"indexUid":"a","sort":["n:asc"],"federationOptions":{"queryPosition":2}}]}`,
	`{"federation":{},"queries":[{"indexUid":"b","sort":["n:desc"],"q":"x","federationOptions":{"queryPosition":0}},{"indexUid":"a","sort":["n:asc"],"q":"x"}]}`,
	// Not federated: no numbers.
	`{"queries":[{"indexUid":"a"},{"indexUid":"a","federationOptions":{"queryPosition":5}}]}`,
	`{"queries":[{"indexUid":"a"},{"indexUid":"a","sort":["x:asc"]}]}`,
}

// TestQueriesKeepTheirNumbers compares what a federated search calls its queries, which a client may number itself, with one server.
func TestQueriesKeepTheirNumbers(t *testing.T) {
	for _, shape := range []struct {
		name          string
		nodes, spread int
	}{{"whole", 3, fsm.SpreadAuto}, {"spread", 3, fsm.SpreadAll}} {
		t.Run(shape.name, func(t *testing.T) {
			openPair(t, shape.nodes, 1, func(o *podOptions) { o.Cluster.Spread = shape.spread }).compareNumbered(t)
		})
	}
	t.Run("real", func(t *testing.T) { openRealPair(t).compareNumbered(t) })
}

func (p *pair) compareNumbered(t *testing.T) {
	documents := json.RawMessage(`[{"id":1,"color":"red","n":1,"_vectors":{"v":[1,0]}},{"id":2,"color":"red blue","n":2,"_vectors":{"v":[0,1]}},
		{"id":3,"color":"blue","n":3,"_vectors":{"v":[1,1]}},{"id":4,"color":"red","n":4,"_vectors":{"v":[0.5,1]}},{"id":5,"color":"blue red","n":2,"_vectors":{"v":null}}]`)
	for _, s := range []testServer{p.alone, p.miroir} {
		s.ask(t, "PATCH", "/experimental-features", object{"network": true})
		for uid, order := range map[string]string{"a": "count", "b": "alpha"} {
			s.enqueue(t, "PATCH", "/indexes/"+uid+"/settings", object{
				"filterableAttributes": []string{"color", "n"}, "sortableAttributes": []string{"n"}, "faceting": object{"sortFacetValuesBy": object{"*": order}},
				"rankingRules": []string{"words", "sort"}, "embedders": object{"v": object{"source": "userProvided", "dimensions": 2}},
			})
			s.finish(t, s.enqueue(t, "POST", "/indexes/"+uid+"/documents?primaryKey=id", documents))
		}
	}
	for _, search := range numbered {
		wantStatus, want := p.alone.ask(t, "POST", "/multi-search", json.RawMessage(search))
		gotStatus, got := p.miroir.ask(t, "POST", "/multi-search", json.RawMessage(search))
		if wantStatus != gotStatus {
			t.Errorf("%s: %d %s, want %d %s", search, gotStatus, got, wantStatus, want)
			continue
		}
		ignored := []string{}
		if strings.HasPrefix(search, `{"queries"`) {
			ignored = append(ignored, "results")
		}
		p.compareRest(t, object{"search": json.RawMessage(search)}, want, got, ignored)
	}
}
