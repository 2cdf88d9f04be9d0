package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"strings"

	"miroir/conformance/generate"
)

// searchMembers are what a search can say, each with good values and nearly good ones.
func (c *conversation) searchMembers() generate.Object {
	return generate.Object{
		"q": c.pick("moon", "red sun", "\"red sun\"", "mooon", "", "-red", "日本", "élan", "  ", "sunlight moon red water the", "a&b", nil), "limit": c.pick(4, 0, 1000), "offset": c.pick(1, 0, 50),
		"page": c.pick(1, 0, 2, 99), "hitsPerPage": c.pick(2, 0, 5), "filter": generate.Pick(c.g, conversationFilters),
		"facets":               c.pick([]string{"genre"}, []string{"*"}, []string{"title"}, "genre", []string{}, []string{"n", "genre"}, []string{"g*"}, nil),
		"attributesToRetrieve": c.pick([]string{"id"}, []string{"*"}, "id", []string{}, []string{"nested.a", "none"}, nil), "attributesToCrop": c.pick([]string{"title:1"}, []string{"*"}, []string{"title:x"}, []string{"none"}, nil),
		"attributesToHighlight": c.pick([]string{"title"}, []string{"*"}, []string{}, []string{"nested"}), "highlightPreTag": c.pick("<b>", "", nil), "highlightPostTag": c.pick("</b>", ""),
		"cropLength": c.pick(1, 0, 3, nil), "cropMarker": c.pick("", "[…]", nil), "showMatchesPosition": c.pick(true, false), "showRankingScore": true, "showRankingScoreDetails": true,
		"matchingStrategy": c.pick("all", "last", "frequency", "any", nil), "attributesToSearchOn": c.pick([]string{"title"}, []string{"none"}, []string{"*"}, []string{}, []string{"ti*"}),
		"rankingScoreThreshold": c.pick(0.5, 0, 1, 1.1, -1, nil), "distinct": c.pick("genre", "n", "title", "", nil), "locales": c.pick([]string{"fra"}, []string{"en", "fr"}, []string{}, []string{"xx"}),
		"vector": c.pick([]float64{1, 0}, []float64{1}, "x", nil, []any{}), "hybrid": c.pick(generate.Object{"embedder": "mine"}, generate.Object{"embedder": "mine", "semanticRatio": 1}, generate.Object{"embedder": "no"}, generate.Object{"semanticRatio": 2}, generate.Object{"embedder": "mine", "semanticRatio": 0}, nil),
		"retrieveVectors": c.pick(true, false, nil), "personalize": c.pick(generate.Object{"userContext": "x"}, generate.Object{}, nil), "media": c.pick(generate.Object{"a": 1}, nil), "useNetwork": c.pick(true, false, nil),
		"sort": c.pick([]string{"n:asc"}, []string{"title:desc", "n:asc"}, []string{"n"}, []string{"_geoPoint(48.8, 2.3):asc"}, []string{"_geoPoint(1,2)"}, []string{"_geo:asc"}, []string{"none:asc"}, []string{}, []string{"n:up"}, []string{"_geoRadius(1,2,3):asc"}),
	}
}

// search is one of a few of its members, in a total order unless it asks for another.
func (c *conversation) search(percent int) generate.Object {
	q := c.some(percent, c.searchMembers())
	if q["sort"] == nil {
		q["sort"] = []string{"n:asc"}
	}
	return q
}

func (c *conversation) aboutSearch() step {
	withHeader := c.searchRequest()
	if c.g.Chance(12) {
		withHeader.headers = map[string]string{"Meili-Include-Metadata": c.text("true", "1", "TRUE", "false", "", "yes")}
	}
	return withHeader
}

func (c *conversation) searchRequest() step {
	withIndex := func(q generate.Object) generate.Object {
		copied := generate.Object{"indexUid": c.name()}
		maps.Copy(copied, q)
		return copied
	}
	get := c.index("/search") + asParameters(c.search(8))
	get = c.text(get, get, c.index("/search")+c.query(25, "q=moon", "limit=2", "sort=n:asc", "filter=n%20%3E%2010", "facets=genre", "page=1", "q=", "limit=", "vector=1,0", "hybridEmbedder=mine", "hybridSemanticRatio=0.5", "showRankingScore=true", "attributesToRetrieve=id,n", "rankingScoreThreshold=0.2", "locales=fra,eng", "showMatchesPosition=1", "personalizeUserContext=x", "useNetwork=true"))
	facetSearch := c.some(60, generate.Object{"facetName": c.pick("genre", "title", "n", "genre", "none", ""), "facetQuery": c.pick("dr", "", nil, 3, "WAR", "é")})
	maps.Copy(facetSearch, c.some(12, c.searchMembers()))
	maps.Copy(facetSearch, c.some(15, generate.Object{"exhaustiveFacetCount": c.pick(true, false, "x"), "page": 1}))
	similar := c.some(80, generate.Object{"id": c.id(), "embedder": c.text("mine", "mine", "no")})
	for name, value := range c.some(15, c.searchMembers()) {
		if strings.Contains("limit offset filter attributesToRetrieve retrieveVectors showRankingScore showRankingScoreDetails rankingScoreThreshold q", name) {
			similar[name] = value
		}
	}
	return generate.Pick(c.g, []step{
		{method: "POST", path: c.index("/search"), body: c.search(12), unordered: true}, {method: "POST", path: c.index("/search"), body: c.search(6), unordered: true},
		{method: "GET", path: get, unordered: true},
		{method: "POST", path: "/multi-search", body: generate.Object{"queries": []any{withIndex(c.search(10)), withIndex(generate.Object{"q": "sun"})}}, unordered: true},
		{method: "POST", path: "/multi-search", body: c.federatedSearch(), unordered: true},
		{method: "POST", path: "/multi-search", body: c.federatedSearch(), unordered: true},
		{method: "POST", path: c.index("/facet-search"), body: facetSearch},
		{method: "POST", path: c.index("/similar"), body: similar, unordered: true},
		{method: "GET", path: c.index("/similar") + asParameters(similar), unordered: true},
		{method: "POST", path: "/multi-search", body: c.pick(generate.Object{}, generate.Object{"queries": []any{}}, generate.Object{"queries": nil}, generate.Object{"queries": []any{}, "federation": generate.Object{}}, generate.Object{"queries": []any{withIndex(generate.Object{})}, "federation": nil})},
	})
}

// federatedSearch asks for some queries at once, about the same indexes mostly.
func (c *conversation) federatedSearch() generate.Object {
	var queries []any
	for range 1 + c.g.IntN(3) {
		q := generate.Object{"indexUid": c.name()}
		members := c.some(10, c.searchMembers())
		for _, name := range []string{"limit", "offset", "page", "hitsPerPage", "facets", "personalize"} { // which are refused here
			if !c.g.Chance(10) {
				delete(members, name)
			}
		}
		maps.Copy(q, members)
		if q["sort"] == nil {
			q["sort"] = []string{"n:asc"}
		}
		if c.g.Chance(25) {
			q["federationOptions"] = c.pick(generate.Object{"weight": c.pick(0.5, 2, 0, -1, "x")}, generate.Object{}, nil, generate.Object{"remote": "a"}, generate.Object{"queryPosition": 1}, generate.Object{"unknown": 1})
		}
		queries = append(queries, q)
	}
	return generate.Object{"queries": queries, "federation": c.some(20, generate.Object{
		"limit": c.pick(3, 0), "offset": c.pick(1, 40), "page": c.pick(1, 0), "hitsPerPage": c.pick(3, 0), "facetsByIndex": c.pick(generate.Object{c.name(): []string{"genre"}}, generate.Object{c.name(): nil}, generate.Object{c.name(): []string{"genre", "n"}, c.name(): []string{"*"}}, generate.Object{"none": []string{"x"}}, nil, generate.Object{c.names[2]: []string{}}),
		"mergeFacets": c.pick(generate.Object{}, generate.Object{"maxValuesPerFacet": c.pick(1, 0, nil)}, nil), "distinct": c.pick("genre", "n", "none", nil), "showPerformanceDetails": c.pick(false, 3), "personalize": nil,
	})}
}

// asParameters is a request as the query string of a GET.
func asParameters(q generate.Object) string {
	values := url.Values{}
	for name, value := range q {
		switch v := value.(type) {
		case nil:
			continue
		case []string:
			values.Set(name, strings.Join(v, ","))
		case []float64:
			values.Set(name, strings.Trim(fmt.Sprint(v), "[]"))
		case string:
			values.Set(name, v)
		default:
			encoded, _ := json.Marshal(v) // made of what JSON has
			values.Set(name, string(encoded))
		}
	}
	if hybrid, ok := q["hybrid"].(generate.Object); ok {
		values.Del("hybrid")
		for from, to := range map[string]string{"embedder": "hybridEmbedder", "semanticRatio": "hybridSemanticRatio"} {
			if hybrid[from] != nil {
				values.Set(to, fmt.Sprint(hybrid[from]))
			}
		}
	}
	return "?" + values.Encode()
}
