package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"miroir/conformance/generate"
)

// settingRoutes are the sub-routes of settings.
var settingRoutes = []string{
	"", "/ranking-rules", "/filterable-attributes", "/sortable-attributes", "/displayed-attributes", "/searchable-attributes", "/distinct-attribute",
	"/stop-words", "/synonyms", "/typo-tolerance", "/faceting", "/pagination", "/dictionary", "/separator-tokens", "/non-separator-tokens",
	"/proximity-precision", "/prefix-search", "/facet-search", "/search-cutoff-ms", "/embedders", "/localized-attributes",
}

func (t *trial) settings() step {
	return step{method: "GET", path: t.path("/settings" + generate.Pick(t.g, settingRoutes))}
}

// changeSettings gives the index other settings, so that later searches run with them.
func (t *trial) changeSettings() step {
	if t.g.Chance(20) {
		return step{method: "DELETE", path: t.path("/settings" + generate.Pick(t.g, settingRoutes[5:11])), wait: true}
	}
	settings := t.g.Settings(t.shape, t.corpus.Distinct)
	return step{method: "PATCH", path: t.path("/settings"), body: settings, wait: true}
}

func (t *trial) write() step {
	g := t.g
	kinds := 3
	if t.Rewrites {
		kinds = 5
	}
	switch g.IntN(kinds) {
	case 0:
		return step{method: "POST", path: t.path("/documents/delete"), body: generate.Object{"filter": g.Condition(t.shape) + " AND " + g.Condition(t.shape)}, wait: true}
	case 1:
		return step{method: "DELETE", path: t.path("/documents/" + url.PathEscape(fmt.Sprint(t.id()))), wait: true}
	case 3:
		var documents []generate.Object
		for range 1 + g.IntN(4) {
			d := t.shape.Document(g, g.IntN(len(t.corpus.Documents)))
			documents = append(documents, d)
		}
		return step{method: generate.Pick(g, []string{"POST", "PUT"}), path: t.path("/documents"), body: documents, wait: true}
	case 4:
		d := t.shape.Document(g, g.IntN(len(t.corpus.Documents)))
		line, _ := json.Marshal(d)
		return step{method: "POST", path: t.path("/documents"), body: string(line) + "\n", header: "application/x-ndjson", wait: true}
	}
	d := t.shape.Document(g, g.IntN(len(t.corpus.Documents)))
	d[t.shape.PrimaryKey] = generate.Pick(g, []any{"not valid!", nil, 1.5, "x y", []int{1}})
	return step{method: "POST", path: t.path("/documents"), body: []generate.Object{d}, wait: true}
}

func (t *trial) tasks() step {
	return step{method: "GET", path: generate.Pick(t.g, []string{
		"/tasks?limit=3", "/tasks?statuses=failed&limit=5", "/tasks?types=documentAdditionOrUpdate,settingsUpdate&limit=4", "/tasks?indexUids=" + t.uid + "&limit=6",
		"/tasks?reverse=true&limit=2", "/batches?limit=2", "/batches?indexUids=" + t.uid + "&limit=3", "/tasks?from=3&limit=2", "/tasks?uids=1,2,5", "/tasks?beforeEnqueuedAt=2020-01-01",
	})}
}

func (t *trial) index() step {
	return generate.Pick(t.g, []step{
		{method: "GET", path: t.path("")}, {method: "GET", path: t.path("/stats")}, {method: "GET", path: "/indexes?limit=2"}, {method: "GET", path: "/stats"},
		{method: "POST", path: t.path("/fields"), body: generate.Object{}}, {method: "POST", path: t.path("/fields"), body: generate.Object{"limit": 3, "offset": 1}},
		{method: "GET", path: "/indexes/none/stats"}, {method: "POST", path: t.path("/fields"), body: generate.Object{"filter": generate.Object{"searchable": true}}},
	})
}

// bad makes a request that a server refuses, or nearly would: a good one with one member wrong.
func (t *trial) bad() step {
	g := t.g
	wrong := []any{nil, "", "x", -1, 0, 1.5, 1e30, true, []any{}, []any{1}, []string{"unknown"}, generate.Object{}, generate.Object{"a": 1}, "*", []string{"*"}, "🎉"}
	members := []string{
		"q", "limit", "offset", "page", "hitsPerPage", "filter", "sort", "facets", "distinct", "attributesToRetrieve", "attributesToCrop", "attributesToHighlight",
		"cropLength", "cropMarker", "matchingStrategy", "showRankingScore", "rankingScoreThreshold", "attributesToSearchOn", "locales", "hybrid", "vector", "unknown",
		"showMatchesPosition", "highlightPreTag", "retrieveVectors", "personalize", "media",
	}
	filters := []string{
		"price >", "= 3", "a = 1 AND", "(size = 1", "color IN [a, b", "size 1 TO", "_geoRadius(1, 2)", "_geoRadius(100, 2, 3)", "_geoBoundingBox([1, 2])", "x = y = z",
		"NOT", "color CONTAINS red", "_geo = 1", "'unclosed = 1", "color STARTS WITH 1", "id = 1", "size > abc", "_geoDistance < 1", "a.b.c = 1", "color EXISTS AND OR",
	}
	switch g.IntN(8) {
	case 0, 1, 2:
		q := t.g.Query(t.corpus)
		q[generate.Pick(g, members)] = generate.Pick(g, wrong)
		return step{method: "POST", path: t.path("/search"), body: q}
	case 3:
		q := generate.Object{"q": "a", "filter": generate.Pick(g, filters)}
		return generate.Pick(g, []step{
			{method: "POST", path: t.path("/search"), body: q}, {method: "POST", path: t.path("/facet-search"), body: generate.Object{"facetName": t.shape.Facets[0][0], "filter": q["filter"]}},
			{method: "POST", path: t.path("/documents/fetch"), body: generate.Object{"filter": q["filter"]}}, {method: "POST", path: t.path("/documents/delete"), body: generate.Object{"filter": q["filter"]}, wait: true},
			{method: "POST", path: "/multi-search", body: generate.Object{"queries": []any{generate.Object{"indexUid": t.uid, "filter": q["filter"]}}}},
			{method: "POST", path: "/multi-search", body: generate.Object{"federation": generate.Object{}, "queries": []any{generate.Object{"indexUid": t.uid, "filter": q["filter"]}}}},
		})
	case 4:
		values := url.Values{}
		values.Set(generate.Pick(g, members), generate.Pick(g, []string{"", "x", "-1", "true", "1.5", "[]", "a,b", "*", "null", "99999999999999999999"}))
		return step{method: "GET", path: t.path("/search?" + values.Encode())}
	case 5:
		name := generate.Pick(g, slices.Sorted(maps.Keys(t.corpus.Settings)))
		return step{method: "PATCH", path: t.path("/settings"), body: generate.Object{name: generate.Pick(g, []any{1, "x", true, []any{1}, []any{[]any{}}, generate.Object{"unknown": 1}, "words"})}, wait: true}
	case 6:
		return generate.Pick(g, []step{
			{method: "POST", path: t.path("/search"), body: "{", header: "application/json"}, {method: "POST", path: t.path("/search"), body: "{}", header: "text/plain"},
			{method: "POST", path: t.path("/search"), body: "", header: "application/json"}, {method: "POST", path: t.path("/search"), body: "[]", header: "application/json"},
			{method: "POST", path: "/indexes/none/search", body: generate.Object{}}, {method: "POST", path: "/indexes/a b/search", body: generate.Object{}},
			{method: "PUT", path: t.path("/search"), body: generate.Object{}}, {method: "POST", path: t.path("/search"), body: generate.Object{}, auth: "none"},
			{method: "POST", path: t.path("/search"), body: generate.Object{}, auth: "wrong"}, {method: "GET", path: "/nothing"}, {method: "POST", path: t.path("/documents"), body: "a,b\n1", header: "text/csv"},
			{method: "POST", path: t.path("/documents?primaryKey=x"), body: "[]", header: "application/json", wait: true}, {method: "POST", path: t.path("/documents"), body: "nope", header: "application/x-ndjson"},
			{method: "GET", path: t.path("/documents?limit=x")}, {method: "GET", path: t.path("/documents?sort=unknown:asc")}, {method: "POST", path: t.path("/documents/fetch"), body: generate.Object{"sort": []string{"unknown:asc"}}},
			{method: "POST", path: t.path("/documents/fetch"), body: generate.Object{"ids": []any{1.5}}}, {method: "POST", path: t.path("/documents/fetch"), body: generate.Object{"limit": "x"}},
			{method: "GET", path: "/tasks?statuses=nope"}, {method: "GET", path: "/tasks/x"}, {method: "GET", path: "/tasks/99999999"}, {method: "POST", path: "/tasks/cancel"}, {method: "DELETE", path: "/tasks?uids=x"},
			{method: "POST", path: "/swap-indexes", body: []any{generate.Object{"indexes": []string{t.uid}}}}, {method: "POST", path: "/indexes", body: generate.Object{"uid": "a b"}},
			{method: "GET", path: "/keys/x"}, {method: "POST", path: "/keys", body: generate.Object{"actions": []string{"nope"}}}, {method: "POST", path: "/multi-search", body: generate.Object{"queries": "x"}},
		})
	}
	core := t.g.Core(t.corpus)
	core["indexUid"] = t.uid
	core[generate.Pick(g, append(members, "federationOptions", "indexUid"))] = generate.Pick(g, wrong)
	body := generate.Object{"queries": []any{core}}
	if g.Chance(60) {
		body["federation"] = generate.Object{}
		if g.Chance(40) {
			body["federation"] = generate.Object{generate.Pick(g, strings.Fields("limit offset page hitsPerPage facetsByIndex mergeFacets distinct unknown")): generate.Pick(g, wrong)}
		}
	}
	return step{method: "POST", path: "/multi-search", body: body}
}
