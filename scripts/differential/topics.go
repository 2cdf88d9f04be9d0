package main

import (
	"fmt"
	"strings"

	"miroir/conformance/generate"
)

// topic makes requests about one part of the API, right ones mostly.
type topic struct {
	name string
	make func() step
}

// topics are what a dialogue is about, each as often as it is listed.
func (c *conversation) topics() []topic {
	all := []struct {
		topic
		times int
	}{
		{topic{"indexes", c.aboutIndexes}, 5}, {topic{"documents", c.aboutDocuments}, 9}, {topic{"payloads", c.aboutPayloads}, 5},
		{topic{"settings", c.aboutSettings}, 7}, {topic{"tasks", c.aboutTasks}, 6}, {topic{"keys", c.aboutKeys}, 5},
		{topic{"search", c.aboutSearch}, 5}, {topic{"access", c.aboutAccess}, 5}, {topic{"features", c.aboutFeatures}, 2},
		{topic{"webhooks", c.aboutWebhooks}, 2}, {topic{"rules", c.aboutRules}, 2}, {topic{"chats", c.aboutChats}, 2}, {topic{"service", c.aboutService}, 3},
		{topic{"paths", c.aboutPaths}, 3},
	}
	var list []topic
	for _, t := range all {
		if len(c.Kinds) > 0 && !inList(c.Kinds, t.name) {
			continue
		}
		for range t.times {
			list = append(list, t.topic)
		}
	}
	return list
}

func inList(list []string, name string) bool {
	for _, entry := range list {
		if entry == name {
			return true
		}
	}
	return false
}

// pick is one of some values.
func (c *conversation) pick(values ...any) any { return values[c.g.IntN(len(values))] }

func (c *conversation) text(values ...string) string { return values[c.g.IntN(len(values))] }

// name is the uid of an index, often one that is there.
func (c *conversation) name() string {
	if c.g.Chance(8) {
		return c.text("none", "bad name", "é", strings.Repeat("x", 401), "a.b", "-", "_")
	}
	return generate.Pick(c.g, c.names)
}

// index is the path of an index.
func (c *conversation) index(rest string) string { return "/indexes/" + escaped(c.name()) + rest }

// some is an object of some of the members, each with a chance.
func (c *conversation) some(percent int, members generate.Object) generate.Object {
	chosen := generate.Object{}
	for _, name := range sortedNames(members) {
		if c.g.Chance(percent) {
			chosen[name] = members[name]
		}
	}
	return chosen
}

// one is an object of one of the members.
func (c *conversation) one(members generate.Object) generate.Object {
	name := generate.Pick(c.g, sortedNames(members))
	return generate.Object{name: members[name]}
}

// query is a query string of some of the parameters, each with a chance.
func (c *conversation) query(percent int, parameters ...string) string {
	var parts []string
	for _, p := range parameters {
		if c.g.Chance(percent) {
			parts = append(parts, p)
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "?" + strings.Join(parts, "&")
}

func (c *conversation) aboutIndexes() step {
	a, b := c.name(), c.name()
	return generate.Pick(c.g, []step{
		{method: "GET", path: "/indexes" + c.query(40, "limit=2", "offset=1")},
		{method: "GET", path: c.index("")}, {method: "GET", path: c.index("/stats") + c.query(30, "showInternalDatabaseSizes=true", "sizeFormat=human")},
		{method: "POST", path: "/indexes", body: generate.Object{"uid": a}},
		{method: "POST", path: "/indexes", body: generate.Object{"uid": a, "primaryKey": c.pick("id", "isbn", nil, "", "a.b", "_geo")}},
		{method: "PATCH", path: c.index(""), body: generate.Object{"primaryKey": c.pick("id", "isbn", "title", nil, "")}},
		{method: "PATCH", path: c.index(""), body: generate.Object{"uid": b}},
		{method: "PATCH", path: c.index(""), body: generate.Object{"uid": b, "primaryKey": "id"}},
		{method: "PATCH", path: c.index(""), body: c.one(generate.Object{"createdAt": "2020-01-01", "updatedAt": 1, "indexUid": "x"})},
		{method: "DELETE", path: c.index("")},
		{method: "POST", path: "/swap-indexes", body: []any{generate.Object{"indexes": []string{a, b}}}},
		{method: "POST", path: "/swap-indexes", body: []any{generate.Object{"indexes": []string{a, b}, "rename": c.pick(true, false)}, generate.Object{"indexes": []string{c.name(), "other"}}}},
		{method: "POST", path: "/swap-indexes", body: c.pick([]any{}, []any{generate.Object{"indexes": []string{a}}}, []any{generate.Object{"indexes": []string{a, a}}}, []any{generate.Object{"indexes": []string{a, b, "c"}}})},
		{method: "POST", path: c.index("/fields"), body: c.some(30, generate.Object{"limit": 2, "offset": 1, "filter": c.one(generate.Object{
			"searchable": true, "displayed": false, "attributePatterns": []string{"*t*"}, "filterable": true, "sortable": c.pick(true, nil),
		})})},
		{method: "POST", path: c.index("/compact")},
		{method: "GET", path: "/stats" + c.query(20, "showInternalDatabaseSizes=true", "sizeFormat=human", "sizeFormat=raw")},
	})
}

// id is a document's id, odd ones too.
func (c *conversation) id() any {
	if c.g.Chance(10) {
		return c.pick("a b", 1.5, nil, "", true, -3, "é", "a_b-C9", strings.Repeat("k", 512), []int{1}, generate.Object{}, 1e21, "007", uint64(18446744073709551615))
	}
	return c.g.IntN(16)
}

func (c *conversation) documents(n int) []generate.Object {
	list := make([]generate.Object, n)
	for i := range list {
		list[i] = c.document()
		list[i]["id"] = i
	}
	return list
}

var titles = []string{"red sun", "The Moon", "moon over red water", "Élan", "a&b", "", "日本 films", "42", "sunlight"}

func (c *conversation) document() generate.Object {
	d := generate.Object{"id": c.id(), "title": generate.Pick(c.g, titles), "n": c.g.IntN(1000)}
	more := c.some(30, generate.Object{
		"genre": c.pick("drama", []string{"drama", "War"}, nil, 7), "_geo": c.pick(generate.Object{"lat": 48.8, "lng": 2.3}, generate.Object{"lat": "1", "lng": "2"}, nil),
		"nested": generate.Object{"a": []any{1, generate.Object{"b": "x"}}}, "flag": true,
	})
	for name, value := range more {
		d[name] = value
	}
	d["_vectors"] = generate.Object{"mine": nil}
	if c.g.Chance(25) {
		d["_vectors"] = generate.Object{"mine": c.pick([]float64{0.5, 1}, nil, []any{[]float64{1, 0}, []float64{0, 1}}, generate.Object{"embeddings": []float64{1, 1}, "regenerate": false})}
	}
	if c.g.Chance(4) {
		d[c.text("_geo", "_geojson")] = c.pick(1, "x", generate.Object{"lat": 91}, generate.Object{"type": "Point", "coordinates": []int{1, 2}})
	}
	if c.g.Chance(4) {
		delete(d, "id")
	}
	return d
}

func (c *conversation) some3() []generate.Object {
	var list []generate.Object
	for range 1 + c.g.IntN(3) {
		list = append(list, c.document())
	}
	return list
}

var conversationFilters = []any{
	"n > 500", "genre = drama", "genre = drama AND n < 700", []any{"n > 10", []any{"genre = drama", "genre = War"}}, "title = x", "id IN [1, 2, 3]", "genre EXISTS", "",
	"_geoRadius(48, 2, 100000)", "n 10 TO 500", []any{}, nil, "NOT genre = drama", "genre IS NULL", "genre IS EMPTY", "n >", "genre CONTAINS dr", "genre STARTS WITH d", 7, true,
	"_geoBoundingBox([50, 3], [48, 1])", []any{"n > 1", 3}, "_vectors EXISTS", "_vectors.mine EXISTS", "_foreign(n, id = 1)",
}

func (c *conversation) aboutDocuments() step {
	filter := generate.Pick(c.g, conversationFilters)
	write := c.query(15, "primaryKey="+c.text("id", "isbn", ""), "csvDelimiter=;", "skipCreation="+c.text("true", "false", "x"), "customMetadata=x%20y")
	id := escaped(fmt.Sprint(c.id()))
	return generate.Pick(c.g, []step{
		{method: "POST", path: c.index("/documents") + write, body: c.some3()},
		{method: "PUT", path: c.index("/documents") + write, body: c.some3()},
		{method: "POST", path: c.index("/documents"), body: c.document()},
		{method: "GET", path: c.index("/documents/") + id + c.query(20, "fields=id,title", "retrieveVectors=true", "fields=*"), unordered: true},
		{method: "GET", path: c.index("/documents") + c.query(25, "limit=3", "offset=2", "fields=title,id", "retrieveVectors=true", "ids=1,2,90", "filter=n%20%3E%20500", "sort=n:desc"), unordered: true},
		{method: "POST", path: c.index("/documents/fetch"), unordered: true, body: c.some(30, generate.Object{
			"limit": 3, "offset": 1, "fields": c.pick([]string{"id"}, []string{"*"}, nil, "id"), "retrieveVectors": true, "ids": []any{c.id(), 2}, "filter": filter,
			"sort": c.pick([]string{"n:asc"}, []string{"title:asc"}, "n:asc", []string{"_geoPoint(1,2):asc"}, []string{"n"}),
		})},
		{method: "DELETE", path: c.index("/documents/") + id}, {method: "DELETE", path: c.index("/documents")},
		{method: "POST", path: c.index("/documents/delete-batch"), body: []any{c.id(), c.id(), "7"}},
		{method: "POST", path: c.index("/documents/delete"), body: generate.Object{"filter": filter}},
		{method: "POST", path: c.index("/documents/edit"), body: c.some(70, generate.Object{
			"function": c.text("doc.n += 1", "doc.title = doc.title.to_upper()", "doc = ()", "doc.x =", "doc.id = 3", "doc.c = context.k", "throw 1"),
			"context":  c.pick(generate.Object{"k": 2}, nil, 3), "filter": filter,
		})},
		{method: "POST", path: c.index("/documents/edit"), body: generate.Object{"function": c.text("doc.n = context.k * 2", "doc.remove(\"title\")", "doc.new = [1, #{a: 2}]", "doc = #{id: doc.id}", "doc.id = 99", "let x = doc.n; if x > 500 { doc = () }", "doc.title = 1/0", "doc.n = \"x\".len", "", "x.y", "doc._vectors = ()", "doc._miroir = 1", "loop {}x"),
			"context": c.pick(generate.Object{"k": 2}, generate.Object{}, nil, []any{}), "filter": c.pick(nil, filter, "n > 300", "genre = drama")}},
		{method: c.text("DELETE", "POST"), path: c.index(c.text("/documents", "/documents/delete-batch", "/documents/1")) + "?" + c.text("customMetadata=m%C3%A9ta", "customMetadata=", "customMetadata=a&customMetadata=b", "primaryKey=x", "skipCreation=true"), body: []any{1}},
		{method: "GET", path: c.index("/documents") + "?" + c.text("fields=", "fields=*", "fields=title&fields=id", "ids=", "ids=a%20b", "ids=1&ids=2", "filter=", "filter=[[%22n%3E1%22]]", "filter=[1]", "sort=", "sort=n", "sort=n:asc,title:desc", "sort=_geoPoint(1,2):asc", "sort=_geoPoint(48.8,2.3):desc", "sort=_geo:asc", "retrieveVectors=yes", "retrieveVectors=", "useNetwork=true", "limit=9223372036854775807", "limit=18446744073709551616", "offset=9223372036854775807", "limit=+3", "limit=03", "limit=1e1", "filter=_geoRadius(48,2,1000000)"), unordered: true},
		{method: "GET", path: c.index("/stats")},
		{method: "GET", path: "/tasks/" + fmt.Sprint(c.g.IntN(40)) + "/documents"},
	})
}

// aboutPayloads sends documents in other formats than JSON, and in broken ones.
func (c *conversation) aboutPayloads() step {
	csv := "id,title,n:number,flag:boolean\n1,a,1.5,true\n2,\"b, \"\"q\"\"\",,false\n"
	payloads := []struct{ contentType, body string }{
		{"text/csv", csv}, {"text/csv", strings.ReplaceAll(csv, ",", ";")}, {"text/csv", "id,title\n1\n"}, {"text/csv", "id,n:number\n3,x\n"}, {"text/csv", "id,f:boolean\n3,yes\n"},
		{"text/csv", ""}, {"text/csv", "id\n"}, {"text/csv", "title\nx\n"}, {"text/csv", "id:string,id\n1,2\n"}, {"text/csv", "\ufeffid,n\r\n5,6\r\n"}, {"text/csv", "id,t\n6,\"open\n"},
		{"text/csv; charset=utf-8", csv}, {"text/csv", "id:number,a:string,b:nope\n8,x,y\n"}, {"text/csv", "id,n:number\n9,1e3\n10,-0\n11, 4 \n"},
		{"application/x-ndjson", "{\"id\":1}\n{\"id\":2,\"title\":\"x\"}\n"}, {"application/x-ndjson", "{\"id\":3}\r\n\r\n{\"id\":4}"}, {"application/x-ndjson", "{\"id\":5}{\"id\":6}"},
		{"application/x-ndjson", "[{\"id\":7}]"}, {"application/x-ndjson", "{\"id\":8}\n{\"id\":"}, {"application/x-ndjson", ""}, {"application/x-ndjson", "null\n"}, {"application/x-ndjson", "\n\n"},
		{"application/json", "[{\"id\":1},]"}, {"application/json", "[{\"id\":1} {\"id\":2}]"}, {"application/json", "{\"id\":1}{\"id\":2}"}, {"application/json", ""}, {"application/json", "[]"},
		{"application/json", "[[]]"}, {"application/json", "null"}, {"application/json", "\"x\""}, {"application/json", "[null]"}, {"application/json", "[{\"id\":1,\"id\":2,\"a\":1,\"a\":2}]"},
		{"application/json", "{\"id\":12,\"\":1,\"a.b\":{\"c.d\":2},\"$\":3}"}, {"application/json", "[{\"id\":13,\"t\":\"\\ud83d\\ude00\\u0000\"}]"}, {"application/json", "[{\"id\":14,\"t\":\"\\ud83d\"}]"},
		{"application/json", " \n[ { \"id\" : 15 } ]\t"}, {"application/json", "[{\"id\":16,\"n\":1e400}]"}, {"application/json", "[{\"id\":17,\"n\":123456789012345678901234567890}]"},
		{"application/json", "[{\"id\":18,\"n\":-0.0,\"m\":1.0,\"k\":1E2}]"}, {"application/json", "[{\"id\":\"19\xff\"}]"}, {"application/json", "[" + strings.Repeat("[", 200) + strings.Repeat("]", 200) + "]"},
		{"application/json", "{\"id\":20,\"d\":" + strings.Repeat("[", 60) + strings.Repeat("]", 60) + "}"}, {"text/plain", "[]"}, {"", "[{\"id\":1}]"}, {"application/json; charset=latin-1", "[{\"id\":21}]"},
		{"Application/JSON", "[{\"id\":22}]"}, {"application/ld+json", "[{\"id\":23}]"}, {"application/x-ndjson; a=b", "{\"id\":24}"}, {"text/json", "[{\"id\":25}]"}, {"*/*", "[{\"id\":26}]"},
	}
	p := generate.Pick(c.g, payloads)
	s := step{method: c.text("POST", "POST", "PUT"), path: c.index("/documents"), body: p.body, header: p.contentType, encoding: c.text("", "", "", "gzip", "deflate", "br")}
	if c.g.Chance(25) {
		s.path += "?csvDelimiter=" + c.text(";", "%3B", ",", "%09", "a", "ab", "", "%C3%A9", "%22", "%0A")
	}
	if c.g.Chance(6) {
		s.headers = map[string]string{"Content-Encoding": c.text("gzip", "identity", "nope", "br", "deflate", "gzip, br", "GZIP")}
		s.encoding = ""
	}
	if s.header == "" {
		s.header = noContentType
	}
	return s
}

func (c *conversation) aboutSettings() step {
	values := generate.Object{
		"displayedAttributes": c.pick([]string{"*"}, []string{"id", "title"}, nil), "searchableAttributes": c.pick([]string{"title"}, []string{"*"}, []string{}),
		"filterableAttributes": c.pick([]string{"genre", "n", "id", "_geo"}, []any{generate.Object{"attributePatterns": []string{"g*"}}}, []any{generate.Object{"attributePatterns": []string{"n"}, "features": generate.Object{"facetSearch": false, "filter": generate.Object{"comparison": true}}}, "genre"}),
		"sortableAttributes":   c.pick([]string{"n", "_geo"}, []string{"title", "n"}), "rankingRules": c.pick([]string{"words", "typo", "n:desc"}, []string{"sort", "words"}, nil, []string{"n:up"}, []string{"words", "words"}),
		"stopWords": c.pick([]string{"the", "a"}, []string{}), "nonSeparatorTokens": []string{"&"}, "separatorTokens": []string{"|"}, "dictionary": []string{"J. K.", "A"},
		"synonyms": c.pick(generate.Object{"sun": []string{"soleil"}}, generate.Object{"a": "b"}), "distinctAttribute": c.pick("genre", nil), "proximityPrecision": c.pick("byWord", "byAttribute", "by"),
		"typoTolerance":  c.pick(generate.Object{"enabled": false}, generate.Object{"minWordSizeForTypos": generate.Object{"oneTypo": c.pick(3, 9, 300, nil), "twoTypos": c.pick(8, nil, -1)}}, generate.Object{"disableOnWords": []string{"Moon"}, "disableOnAttributes": []string{"title"}}, nil),
		"faceting":       c.pick(generate.Object{"maxValuesPerFacet": c.pick(3, nil, 0)}, generate.Object{"sortFacetValuesBy": generate.Object{"*": "count", "genre": "alpha"}}, generate.Object{"sortFacetValuesBy": nil}),
		"pagination":     c.pick(generate.Object{"maxTotalHits": c.pick(5, nil, 0, -1)}, nil),
		"embedders":      c.pick(nil, generate.Object{"mine": generate.Object{"source": "userProvided", "dimensions": 2}}, generate.Object{"mine": nil}, generate.Object{"b": generate.Object{"source": "userProvided"}}, generate.Object{"b": generate.Object{"source": "nope"}}, generate.Object{"b": generate.Object{"source": "userProvided", "dimensions": 2, "model": "x"}}, generate.Object{"b": generate.Object{"source": "rest", "url": "http://127.0.0.1:9/x"}}),
		"searchCutoffMs": c.pick(200, nil, 0, -1, 1.5), "localizedAttributes": c.pick([]any{generate.Object{"attributePatterns": []string{"t*"}, "locales": []string{"fra", "eng"}}}, nil, []any{generate.Object{"locales": []string{"xx"}}}, []any{generate.Object{"attributePatterns": []string{"*"}, "locales": []string{}}}, []any{generate.Object{"attributePatterns": []string{"a", "*b*"}, "locales": []string{"fr", "jpn"}}, generate.Object{"attributePatterns": []string{}}}),
		"facetSearch": c.pick(true, false, nil), "prefixSearch": c.pick("disabled", "indexingTime", nil, "x"),
	}
	for name, value := range c.some(25, c.oddSettings()) {
		values[name] = value
	}
	name := generate.Pick(c.g, sortedNames(values))
	route := kebab(name)
	write := "PUT"
	switch name {
	case "typoTolerance", "faceting", "pagination", "embedders":
		write = "PATCH"
	}
	path := c.index("/settings/" + route)
	return generate.Pick(c.g, []step{
		{method: write, path: path, body: values[name]}, {method: write, path: path, body: values[name]}, {method: "GET", path: path}, {method: "DELETE", path: path},
		{method: "PATCH", path: c.index("/settings"), body: generate.Object{name: values[name]}},
		{method: "PATCH", path: c.index("/settings"), body: c.some(15, values)},
		{method: "GET", path: c.index("/settings")}, {method: "DELETE", path: c.index("/settings")},
		{method: write, path: path, body: c.pick(nil, 1, "x", true, []any{}, generate.Object{}, []any{nil}, []any{1}, 1.5)},
		{method: "PATCH", path: c.index("/settings"), body: generate.Object{name: c.pick(1, "x", true, []any{}, generate.Object{}, []any{nil}, []any{1}, -1, 1.5, "")}},
		{method: "PATCH", path: c.index("/settings"), body: c.some(60, generate.Object{"chat": c.pick(generate.Object{"description": "d"}, generate.Object{"documentTemplate": "{{doc.t}}"}, nil, generate.Object{"searchParameters": generate.Object{"limit": 3, "matchingStrategy": "x"}}, 3), "foreignKeys": c.pick([]any{}, nil, []any{generate.Object{"fieldName": "n", "foreignIndexUid": c.names[1]}}, 3)})},
		{method: c.text("GET", "PATCH", "DELETE"), path: c.index("/settings/chat"), body: c.pick(generate.Object{"documentTemplateMaxBytes": c.pick(10, 0)}, nil, generate.Object{"x": 1})},
		{method: c.text("GET", "PUT", "DELETE"), path: c.index("/settings/foreign-keys"), body: c.pick([]any{generate.Object{"fieldName": "n"}}, nil, []any{}, "x")},
	})
}

// oddSettings are values of settings that are seldom given, and wrong ones of the right type.
func (c *conversation) oddSettings() generate.Object {
	embedder := generate.Object{"source": "userProvided", "dimensions": c.pick(2, 0, -1, nil, 70000, 2.5)}
	for name, value := range c.some(20, generate.Object{
		"binaryQuantized": c.pick(true, false, nil), "distribution": c.pick(generate.Object{"mean": 0.5, "sigma": 0.2}, generate.Object{"mean": 2, "sigma": 0}, nil, generate.Object{"mean": 0.5}), "documentTemplate": c.pick("{{doc.title}}", "{{doc.", "", nil),
		"apiKey": "abcdefghijklmnop", "url": "x", "request": generate.Object{}, "response": generate.Object{}, "headers": generate.Object{"a": "b"}, "revision": "r", "pooling": c.pick("useModel", "x"), "documentTemplateMaxBytes": c.pick(100, 0, -1), "indexingFragments": generate.Object{}, "unknown": 1,
	}) {
		embedder[name] = value
	}
	return generate.Object{
		"displayedAttributes": c.pick([]string{}, []string{"title", "title"}, []string{"nested.a", "none"}, []string{"*", "id"}, []string{"title*"}), "searchableAttributes": c.pick([]string{"title", "nested"}, []string{"none", "title"}, []string{"title", "*"}, []string{"title", "title"}, []string{"ti*"}),
		"filterableAttributes": c.pick([]string{}, []string{"*"}, []string{"genre", "genre"}, []string{"_geo"}, []string{"nested.a.b", "_vectors"}, []string{"_geojson"}, []string{"_geoDistance"}, []any{generate.Object{"attributePatterns": []string{"*"}, "features": generate.Object{"facetSearch": true, "filter": generate.Object{"equality": false, "comparison": false}}}}, []any{generate.Object{"attributePatterns": []string{}}}, []any{generate.Object{"attributePatterns": []string{"a*b"}}}, []any{generate.Object{"features": nil}}, []any{generate.Object{"attributePatterns": []string{"n"}, "features": nil}}, []any{generate.Object{"attributePatterns": []string{"n"}, "features": generate.Object{"filter": nil}}}),
		"sortableAttributes":   c.pick([]string{}, []string{"n", "n"}, []string{"_geo", "nested.a"}, []string{"*"}, []string{"_geoPoint"}, []string{"t*"}, []string{""}),
		"rankingRules":         c.pick([]string{}, []string{"attribute", "words"}, []string{"attribute", "wordPosition"}, []string{"n:asc", "n:desc"}, []string{"_geo:asc"}, []string{"_geoPoint(1,2):asc"}, []string{":asc"}, []string{"words", "WORDS"}, []string{"a b:asc", "sort"}, []string{"none:desc", "sort", "words"}),
		"stopWords":            c.pick([]string{"The", "the"}, []string{""}, []string{"a b"}, nil), "nonSeparatorTokens": c.pick([]string{"#", "#"}, []string{""}, []string{"ab"}, nil), "separatorTokens": c.pick([]string{"&sep", "|"}, []string{"é"}, nil), "dictionary": c.pick([]string{""}, []string{"red sun"}, nil),
		"synonyms":           c.pick(generate.Object{"red sun": []string{"moon"}, "Moon": []string{"RED", "red"}}, generate.Object{"": []string{"x"}}, generate.Object{"x": []string{}}, generate.Object{"x": nil}, nil),
		"distinctAttribute":  c.pick("nested.a", "none", "", "_geo", "_vectors", "*"),
		"typoTolerance":      c.pick(generate.Object{"minWordSizeForTypos": generate.Object{"oneTypo": 0, "twoTypos": 0}}, generate.Object{"minWordSizeForTypos": nil}, generate.Object{"enabled": nil, "disableOnNumbers": true}, generate.Object{"disableOnWords": []string{"", "A"}}, generate.Object{"minWordSizeForTypos": generate.Object{"oneTypo": 256}}, generate.Object{}),
		"faceting":           c.pick(generate.Object{}, generate.Object{"maxValuesPerFacet": 100000000000}, generate.Object{"sortFacetValuesBy": generate.Object{"n": "up"}}, generate.Object{"sortFacetValuesBy": generate.Object{}}, generate.Object{"sortFacetValuesBy": generate.Object{"genre": nil}}, nil),
		"pagination":         c.pick(generate.Object{}, generate.Object{"maxTotalHits": 1}, generate.Object{"maxTotalHits": 1e12}, generate.Object{"maxTotalHits": "5"}, generate.Object{"max": 1}),
		"embedders":          c.pick(generate.Object{"mine": embedder}, generate.Object{"b": embedder, "c": nil}, generate.Object{"": embedder}, generate.Object{"b": generate.Object{}}, generate.Object{"b": generate.Object{"source": "composite"}}, generate.Object{"b": generate.Object{"source": "openAi", "model": "nope"}}, generate.Object{"b": generate.Object{"source": "openAi", "model": "text-embedding-ada-002", "dimensions": 5}}, generate.Object{"b": generate.Object{"source": "rest"}}, generate.Object{"b": generate.Object{"source": "rest", "url": "http://127.0.0.1:9/x", "request": "{{text}}", "response": generate.Object{"a": "{{other}}"}}}, generate.Object{"b": generate.Object{"source": "huggingFace", "apiKey": "x"}}, generate.Object{"b": nil}),
		"proximityPrecision": c.pick(nil, "byWord", ""), "prefixSearch": c.pick("", 1), "facetSearch": c.pick("true", 0),
	}
}

func kebab(name string) string {
	var b strings.Builder
	for _, r := range name {
		if r >= 'A' && r <= 'Z' {
			b.WriteByte('-')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}
