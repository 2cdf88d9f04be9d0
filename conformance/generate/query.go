package generate

import (
	"fmt"
	"slices"
	"strings"
)

// Window returns the positions [from, to) that a query shows.
func Window(q Object) [2]int {
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

var directions = []string{":asc", ":desc"}

// Settings makes settings for documents of a shape.
func (g *Generator) Settings(shape *Shape, distinct bool) Object {
	rules := []string{"words", "typo", "proximity", "attributeRank", "sort", "wordPosition", "exactness"}
	if g.Chance(30) {
		rules = []string{"words", "typo", "proximity", "attribute", "sort", "exactness"}
	}
	if g.Chance(40) { // some of them, in another order
		rules = Some(g, rules)
	}
	if g.Chance(40) {
		rules = slices.Insert(rules, g.IntN(len(rules)+1), Pick(g, shape.Sortable[1:])+Pick(g, directions))
	}
	if (distinct || g.Chance(30)) && shape.Unique != "" {
		rules = append(rules, shape.Unique+":asc")
	}
	sortable := shape.Sortable
	if shape.GeoPoint {
		sortable = append(slices.Clone(sortable), "_geo")
	}
	s := Object{"rankingRules": rules, "filterableAttributes": shape.Filterable, "sortableAttributes": sortable}
	may := maybe{g, s}
	may.set(60, "faceting", func() any {
		by := Object{"*": Pick(g, []string{"count", "alpha"})}
		if g.Chance(50) {
			by[Pick(g, Pick(g, shape.Facets))] = Pick(g, []string{"count", "alpha"})
		}
		return Object{"maxValuesPerFacet": Pick(g, []int{1, 2, 3, 5, 10, 100}), "sortFacetValuesBy": by}
	})
	may.set(40, "displayedAttributes", func() any { return append(Some(g, shape.Displayed), shape.PrimaryKey) })
	if distinct {
		may.set(40, "distinctAttribute", func() any { return Pick(g, shape.Distinct) })
	}
	may.set(25, "searchableAttributes", func() any { return Pick(g, shape.Searchable) })
	if shape.StopWords != nil {
		may.set(15, "stopWords", func() any { return shape.StopWords })
	}
	if shape.Synonyms != nil {
		may.set(15, "synonyms", func() any { return shape.Synonyms })
	}
	may.set(10, "pagination", func() any { return Object{"maxTotalHits": Pick(g, []int{5, 20, 50})} })
	if g.Wide {
		may.set(15, "typoTolerance", func() any {
			return Pick(g, []Object{
				{"enabled": false}, {"minWordSizeForTypos": Object{"oneTypo": 3, "twoTypos": 5}},
				{"disableOnAttributes": Pick(g, shape.Searchable)[:1]}, {"disableOnWords": Some(g, shape.Words[:5])},
				{"disableOnNumbers": true},
			})
		})
		may.set(10, "proximityPrecision", func() any { return "byAttribute" })
		may.set(10, "prefixSearch", func() any { return "disabled" })
	}
	return s
}

// Query makes a search with everything that one index may be asked.
func (g *Generator) Query(c *Corpus) Object {
	q := g.Core(c)
	may := maybe{g, q}
	may.set(40, "facets", func() any {
		if g.Chance(20) {
			return []string{"*"}
		}
		return Pick(g, c.Shape.Facets)
	})
	if c.Distinct {
		may.set(30, "distinct", func() any { return Pick(g, c.Shape.Distinct) })
	}
	switch g.IntN(4) {
	case 0:
		q["hitsPerPage"] = Pick(g, []int{0, 1, 3, 7, 20})
		may.set(60, "page", func() any { return 1 + g.IntN(4) })
	case 1:
		q["limit"] = Pick(g, []int{0, 1, 5, 13, 100})
		may.set(50, "offset", func() any { return Pick(g, []int{1, 4, 17, 60}) })
	}
	return q
}

// Core makes the members of a search that a federated search takes too.
func (g *Generator) Core(c *Corpus) Object {
	shape, q := c.Shape, Object{}
	may := maybe{g, q}
	may.set(75, "q", func() any {
		if g.Wide && g.Chance(40) {
			return g.quotation(shape.Words)
		}
		return g.SearchText(shape.Words)
	})
	may.set(35, "filter", func() any { return g.Filter(shape) })
	may.set(35, "sort", func() any { return g.sort(shape) })
	strategies := []string{"all", "last"}
	if g.Frequency {
		strategies = append(strategies, "frequency")
	}
	may.set(30, "matchingStrategy", func() any { return Pick(g, strategies) })
	may.set(15, "rankingScoreThreshold", func() any { return Pick(g, []float64{0.2, 0.5, 0.8, 0.95}) })
	may.set(20, "attributesToHighlight", func() any { return []string{"*"} })
	may.set(15, "attributesToCrop", func() any { return []string{Pick(g, shape.Crops)} })
	may.set(20, "attributesToRetrieve", func() any { return append(Some(g, shape.Displayed), shape.PrimaryKey) })
	may.set(25, "showRankingScore", func() any { return true })
	may.set(20, "showMatchesPosition", func() any { return true })
	may.set(10, "attributesToSearchOn", func() any { return Pick(g, shape.SearchOn) })
	if text, _ := q["q"].(string); !g.Wide && strings.Count(text, " ") > 1 {
		// What is marked of the third word and later ones depends on whether a document of the node has those before them.
		delete(q, "attributesToHighlight")
		delete(q, "showMatchesPosition")
	}
	if g.Wide {
		may.set(15, "showRankingScoreDetails", func() any { return true })
		may.set(10, "cropLength", func() any { return Pick(g, []int{0, 1, 4, 30}) })
		may.set(5, "cropMarker", func() any { return "<…>" })
		if g.Chance(5) {
			q["highlightPreTag"], q["highlightPostTag"] = "[[", "]]"
		}
		may.set(5, "locales", func() any { return Pick(g, [][]string{{"eng"}, {"fra", "deu"}, {"rus"}}) })
	}
	return q
}

// SearchText is a text to search for: words broken by typos, cut to prefixes, quoted or negated.
func (g *Generator) SearchText(vocabulary []string) string {
	words := make([]string, 1+g.IntN(3))
	for i := range words {
		letters := []rune(Pick(g, vocabulary))
		at := g.IntN(len(letters))
		w := string(letters)
		switch g.IntN(8) {
		case 0:
			w = string(slices.Delete(slices.Clone(letters), at, at+1))
		case 1:
			w = string(slices.Insert(slices.Clone(letters), at, 'e'))
		case 2:
			w = string(letters[:min(max(2, at), len(letters))])
		case 3:
			w = `"` + w + ` ` + Pick(g, vocabulary) + `"`
		case 4:
			if i > 0 {
				w = "-" + w
			}
		}
		words[i] = w
	}
	return strings.Join(words, " ")
}

// quotation is some words of one text, or of two that follow each other, the last perhaps cut, others with a letter wrong, or
// with a word of another text among them.
func (g *Generator) quotation(vocabulary []string) string {
	from := g.IntN(len(vocabulary))
	words := slices.Clone(vocabulary[from:min(from+1+g.IntN(6), len(vocabulary))])
	if g.Chance(30) {
		words[g.IntN(len(words))] = Pick(g, vocabulary)
	}
	for i, word := range words {
		if letters := []rune(word); len(letters) > 2 && g.Chance(20) {
			at := 1 + g.IntN(len(letters)-2)
			letters[at], letters[at+1] = letters[at+1], letters[at]
			words[i] = string(letters)
		}
	}
	if last := []rune(words[len(words)-1]); g.Chance(40) {
		words[len(words)-1] = string(last[:1+g.IntN(len(last))])
	}
	text := strings.Join(words, " ")
	if g.Chance(15) {
		text += " "
	}
	return text
}

// Filter is a filter: a condition of the shape, or two or three of them.
func (g *Generator) Filter(shape *Shape) any {
	condition := g.Condition(shape)
	switch {
	case g.Chance(70):
		return condition
	case g.Wide && g.Chance(40):
		return []any{condition, []string{g.Condition(shape), g.Condition(shape)}}
	}
	return fmt.Sprintf("(%s) %s %s", condition, Pick(g, []string{"AND", "OR", "AND NOT"}), g.Condition(shape))
}

// Condition is a condition of the shape, of wide generators often the other way round: with != and NOT IN.
func (g *Generator) Condition(shape *Shape) string {
	condition := Pick(g, shape.Conditions)
	if !g.Wide || !g.Chance(30) {
		return condition
	}
	if strings.Contains(condition, " NOT IN [") {
		return strings.Replace(condition, " NOT IN [", " IN [", 1)
	}
	return strings.NewReplacer(" = ", " != ", " IN [", " NOT IN [").Replace(condition)
}

func (g *Generator) sort(shape *Shape) []string {
	var list []string
	for range 1 + g.IntN(2) {
		field := Pick(g, shape.Sortable)
		if shape.GeoPoint && g.Chance(12) {
			field = Pick(g, []string{"_geoPoint(0, 0)", "_geoPoint(48.5, -2.25)"})
		}
		list = append(list, field+Pick(g, directions))
	}
	return list
}

// Federated makes a federated search of one index by several queries.
func (g *Generator) Federated(c *Corpus) Object {
	var queries []Object
	for range 1 + g.IntN(3) {
		q := g.Core(c)
		delete(q, "rankingScoreThreshold") // its totals are estimates here
		maybe{g, q}.set(60, "federationOptions", func() any { return Object{"weight": Pick(g, []float64{0.5, 1, 1.5, 3})} })
		queries = append(queries, q)
	}
	federation := Object{}
	if g.Chance(60) {
		federation["limit"], federation["offset"] = Pick(g, []int{1, 5, 13, 100}), Pick(g, []int{0, 3, 11})
	}
	return Object{"queries": queries, "federation": federation}
}
