package main

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// object is a JSON object.
type object = map[string]any

func mapsClone(o object) object { return maps.Clone(o) }

// windowOf returns the positions [from, to) that a query shows.
func windowOf(q object) [2]int {
	number := func(name string, otherwise int) int {
		if n, ok := q[name].(int); ok {
			return n
		}
		return otherwise
	}
	if q["page"] != nil || q["hitsPerPage"] != nil {
		size := number("hitsPerPage", 20)
		from := (number("page", 1) - 1) * size
		return [2]int{from, from + size}
	}
	from := number("offset", 0)
	return [2]int{from, from + number("limit", 20)}
}

// corpus is what one seed is about.
type corpus struct {
	documents, updates []object
	replacements       []object // written last, some new
	deletions          []any
	settings           object
	distinct           bool    // some query or the settings may ask for distinct hits
	second             *corpus // another index with the same settings; only documents and deletions are set
	settled            bool    // no document is written twice
}

// generator makes corpora and queries; the same seed makes the same ones.
type generator struct{ *rand.Rand }

// vocabulary has neighbours one and two typos apart, prefixes of each other, words that split and join, and digits.
var vocabulary = []string{
	"quick", "quack", "quicker", "brown", "brawn", "crown", "fox", "foxes", "box", "jumps", "jumped", "over", "lazy", "lady",
	"dog", "dogs", "doggy", "sun", "sunflower", "flower", "flow", "flowers", "house", "mouse", "mousse", "light", "lighthouse",
	"night", "nights", "knight", "2024", "202", "elephant", "elegant", "elephants", "wonder", "wonderful", "wander", "wanderer",
}

var colors = []string{"red", "Green", "blue", "BLACK", "white", "violet", "green-ish", "10", "9"}

func pick[T any](g *generator, list []T) T { return list[g.IntN(len(list))] }

// some returns at least one of the list, in random order.
func some[T any](g *generator, list []T) []T {
	list = slices.Clone(list)
	g.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list[:1+g.IntN(len(list))]
}

func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

func (g *generator) text(most int) string {
	words := make([]string, 1+g.IntN(most))
	for i := range words {
		words[i] = pick(g, vocabulary)
	}
	return strings.Join(words, " ")
}

// corpus makes documents, changes to them, and settings.
func (g *generator) corpus() *corpus {
	c := &corpus{distinct: g.chance(60), settled: g.chance(60)}
	size := 20 + g.IntN(140)
	for i := range size {
		c.documents = append(c.documents, g.document(i))
	}
	for range size / 10 {
		if c.settled {
			break
		}
		c.updates = append(c.updates, object{"id": g.IntN(size), "body": g.text(6), "size": g.IntN(30)})
	}
	for i := range len(c.updates) {
		c.replacements = append(c.replacements, g.document(g.IntN(size)), g.document(size+i/3))
	}
	for range size / 20 {
		c.deletions = append(c.deletions, g.IntN(size))
	}
	if c.deletions == nil {
		c.deletions = []any{0}
	}
	c.second = &corpus{deletions: []any{0}}
	for i := range size / 3 {
		c.second.documents = append(c.second.documents, g.document(i))
	}
	c.settings = g.settings(c.distinct)
	return c
}

func (g *generator) document(i int) object {
	d := object{"id": i, "unique": (i*7919 + 13) % 10007, "title": g.text(4)}
	may := func(percent int, field string, value func() any) {
		if g.chance(percent) {
			d[field] = value()
		}
	}
	may(80, "body", func() any { return g.text(12) })
	may(85, "size", func() any { return g.IntN(30) })
	may(80, "price", func() any { return float64(g.IntN(400)) / 8 })
	may(80, "color", func() any { return pick(g, colors) })
	may(70, "tags", func() any { return some(g, vocabulary[:14]) })
	may(75, "mixed", func() any {
		return pick(g, []any{nil, true, false, 10, 9, -1.5, "nine", "Nine", "ten", []any{3, "three"}, []any{}, object{"a": 1}})
	})
	may(70, "family", func() any { return g.IntN(12) })
	may(60, "nested", func() any { return object{"level": g.IntN(5), "name": pick(g, colors)} })
	d["_vectors"] = object{"v": nil}
	may(80, "_vectors", func() any { return object{"v": g.vector()} })
	may(60, "_geo", func() any { return object{"lat": float64(g.IntN(1600))/10 - 80, "lng": float64(g.IntN(3400))/10 - 170} })
	return d
}

var (
	filterable = []string{"unique", "size", "price", "color", "tags", "mixed", "family", "nested.level", "nested.name", "_geo"}
	sortable   = []string{"unique", "size", "price", "color", "tags", "mixed", "nested.level", "nested.name", "_geo"}
	displayed  = []string{"title", "body", "size", "price", "color", "tags", "mixed", "family", "nested", "_geo"}
)

// distincts are the fields that hits may be distinct by; a document can have several of some.
var distincts = []string{"family", "color", "nested.level", "tags", "mixed"}

func (g *generator) vector() []float64 {
	return []float64{g.Float64() - 0.5, g.Float64() - 0.5, g.Float64() - 0.5}
}

func (g *generator) settings(distinct bool) object {
	rules := []string{"words", "typo", "proximity", "attributeRank", "sort", "wordPosition", "exactness"}
	if g.chance(30) {
		rules = []string{"words", "typo", "proximity", "attribute", "sort", "exactness"}
	}
	if g.chance(40) { // some of them, in another order
		rules = some(g, rules)
	}
	if g.chance(40) {
		rules = slices.Insert(rules, g.IntN(len(rules)+1), pick(g, sortable[1:8])+pick(g, []string{":asc", ":desc"}))
	}
	if g.chance(30) {
		rules = append(rules, "unique:asc")
	}
	s := object{"rankingRules": rules, "filterableAttributes": filterable, "sortableAttributes": sortable}
	s["embedders"] = object{"v": object{"source": "userProvided", "dimensions": 3}}
	if g.chance(60) {
		by := object{"*": pick(g, []string{"count", "alpha"})}
		if g.chance(50) {
			by[pick(g, filterable[:9])] = pick(g, []string{"count", "alpha"})
		}
		s["faceting"] = object{"maxValuesPerFacet": pick(g, []int{1, 2, 3, 5, 10, 100}), "sortFacetValuesBy": by}
	}
	if g.chance(40) {
		s["displayedAttributes"] = append(some(g, displayed), "id")
	}
	if distinct && g.chance(40) {
		s["distinctAttribute"] = pick(g, distincts)
	}
	if g.chance(25) {
		s["searchableAttributes"] = pick(g, [][]string{{"body", "title"}, {"title"}, {"title", "tags", "body", "nested.name"}})
	}
	if g.chance(15) {
		s["stopWords"] = []string{"over", "the"}
	}
	if g.chance(15) {
		s["synonyms"] = object{"fox": []string{"dog"}, "light house": []string{"lighthouse"}}
	}
	if g.chance(10) {
		s["pagination"] = object{"maxTotalHits": pick(g, []int{5, 20, 50})}
	}
	return s
}

// words is a text to search for: words of the vocabulary, broken by typos, cut to prefixes, quoted or negated.
func (g *generator) words() string {
	words := make([]string, 1+g.IntN(3))
	for i := range words {
		w := pick(g, vocabulary)
		at := g.IntN(len(w))
		switch g.IntN(8) {
		case 0:
			w = w[:at] + w[at+1:]
		case 1:
			w = w[:at] + "e" + w[at:]
		case 2:
			w = w[:max(2, at)]
		case 3:
			w = `"` + w + ` ` + pick(g, vocabulary) + `"`
		case 4:
			if i > 0 {
				w = "-" + w
			}
		}
		words[i] = w
	}
	return strings.Join(words, " ")
}

func (g *generator) filter() string {
	condition := pick(g, []string{
		"size > 12", "size 5 TO 20", "price <= 25.5", "color = red", "color != Green", "tags IN [fox, box, brown]", "mixed = 10",
		"mixed EXISTS", "mixed IS NULL", "mixed IS EMPTY", "family NOT IN [1, 2]", "nested.level = 3", "NOT nested.name = blue",
		"_geoRadius(10, 10, 6000000)", "_geoBoundingBox([60, 100], [-60, -100])", "id < 1000 OR size = 4", "size = 1000",
	})
	if strings.HasPrefix(condition, "id") { // not filterable: an error is an answer too
		if !g.chance(20) {
			condition = "size = 4"
		}
	}
	if g.chance(30) {
		condition = "(" + condition + ") " + pick(g, []string{"AND", "OR"}) + " " + pick(g, []string{"size < 22", "tags = dog", "color EXISTS"})
	}
	return condition
}

func (g *generator) sort() []string {
	var list []string
	for range 1 + g.IntN(2) {
		field := pick(g, sortable)
		if field == "_geo" {
			field = pick(g, []string{"_geoPoint(0, 0)", "_geoPoint(48.5, -2.25)"})
		}
		list = append(list, field+pick(g, []string{":asc", ":desc"}))
	}
	return list
}

// query makes the members of a search that a federated search takes too, and then paging, facets and distinct.
func (g *generator) query(c *corpus) object {
	q := g.core(c)
	if g.chance(40) {
		q["facets"] = pick(g, askedFacets)
	}
	if c.distinct && g.chance(40) {
		q["distinct"] = pick(g, distincts)
	}
	if g.chance(15) {
		g.addVector(q)
	}
	switch g.IntN(4) {
	case 0:
		q["hitsPerPage"] = pick(g, []int{0, 1, 3, 7, 20})
		if g.chance(60) {
			q["page"] = 1 + g.IntN(4)
		}
	case 1:
		q["limit"] = pick(g, []int{0, 1, 5, 13, 100})
		if g.chance(50) {
			q["offset"] = pick(g, []int{1, 4, 17, 60})
		}
	}
	return q
}

func (g *generator) core(c *corpus) object {
	q := object{}
	may := func(percent int, name string, value func() any) {
		if g.chance(percent) {
			q[name] = value()
		}
	}
	may(75, "q", func() any { return c.unjoined(g.words()) })
	may(35, "filter", func() any { return g.filter() })
	may(35, "sort", func() any { return g.sort() })
	may(30, "matchingStrategy", func() any { return pick(g, []string{"all", "last"}) })
	may(15, "rankingScoreThreshold", func() any { return pick(g, []float64{0.2, 0.5, 0.8, 0.95}) })
	may(20, "attributesToHighlight", func() any { return []string{"*"} })
	may(15, "attributesToCrop", func() any { return []string{"body:3"} })
	may(20, "attributesToRetrieve", func() any { return append(some(g, displayed), "id") })
	may(25, "showRankingScore", func() any { return true })
	may(20, "showMatchesPosition", func() any { return true })
	may(10, "attributesToSearchOn", func() any { return []string{"title"} })
	return q
}

// addVector makes a query hybrid or semantic.
func (g *generator) addVector(q object) {
	q["vector"] = g.vector()
	q["hybrid"] = object{"embedder": "v", "semanticRatio": pick(g, []float64{0.1, 0.3, 0.5, 0.9, 1})}
	delete(q, "rankingScoreThreshold")
}

// askedFacets are the facets that queries ask for.
var askedFacets = [][]string{{"*"}, {"color"}, {"size", "tags"}, {"mixed"}, {"price", "nested.level"}, {"nested.name", "color", "family"}}

// federated makes a federated search by several queries, of one index or of two.
func (g *generator) federated(c *corpus, uid string) object {
	var queries []object
	indexes := []string{uid}
	if g.chance(30) {
		indexes = append(indexes, uid+"-second")
	}
	distinctQueries := c.distinct && g.chance(20)
	for range 1 + g.IntN(3) {
		q := g.core(c)
		q["indexUid"] = pick(g, indexes)
		if !g.chance(20) {
			delete(q, "rankingScoreThreshold")
		}
		if distinctQueries {
			q["distinct"] = pick(g, distincts)
		}
		if g.chance(10) {
			g.addVector(q)
		}
		if g.chance(60) {
			q["federationOptions"] = object{"weight": pick(g, []float64{0.5, 1, 1.5, 3})}
		}
		queries = append(queries, q)
	}
	federation := object{}
	switch g.IntN(6) {
	case 0:
		federation["page"], federation["hitsPerPage"] = 1+g.IntN(3), pick(g, []int{1, 5, 20})
	case 1, 2, 3:
		federation["limit"], federation["offset"] = pick(g, []int{1, 5, 13, 100}), pick(g, []int{0, 3, 11})
	}
	if c.distinct && !distinctQueries && g.chance(60) {
		federation["distinct"] = pick(g, distincts)
	}
	if g.chance(50) {
		facets := pick(g, askedFacets)
		byIndex := object{}
		for _, q := range queries {
			byIndex[q["indexUid"].(string)] = facets
		}
		federation["facetsByIndex"] = byIndex
		// Which spelling is shown decides about the order of merged facets, and they are sorted before distinct takes hits out.
		if g.chance(30) && !asksMixed(object{"facets": facets}) && !c.distinct {
			federation["mergeFacets"] = object{}
		}
	}
	return object{"queries": queries, "federation": federation}
}

// kind names what a request is about, so that failures can be counted by it.
func (c *corpus) kind(queries []object, federation object) string {
	has := func(name string) bool {
		return federation[name] != nil || slices.ContainsFunc(queries, func(q object) bool { return q[name] != nil })
	}
	parts := []string{"search"}
	if federation != nil {
		parts[0] = "federated"
		if len(queries) > 1 {
			parts[0] = "federated-many"
		}
		if slices.ContainsFunc(queries, func(q object) bool { return q["indexUid"] != queries[0]["indexUid"] }) {
			parts[0] = "federated-indexes"
		}
	}
	field, from := c.settings["distinctAttribute"], "set"
	for _, q := range append([]object{federation}, queries...) {
		if q["distinct"] != nil {
			field, from = q["distinct"], "asked"
		}
	}
	switch field {
	case nil:
	case "tags", "mixed":
		parts = append(parts, "distinct-several-values", from)
	default:
		parts = append(parts, "distinct", from)
	}
	for _, flag := range []string{"hybrid", "rankingScoreThreshold", "hitsPerPage"} {
		if has(flag) {
			parts = append(parts, flag)
		}
	}
	return strings.Join(parts, ",")
}
