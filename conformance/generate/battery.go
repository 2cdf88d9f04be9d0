package generate

import (
	"fmt"
	"strings"
)

// A battery is a long list of searches of one index under settings that change now and then, like the recorded searches
// of Debian packages: words, misspelt and cut ones, phrases, pages, sorts, filters, facets and thresholds by turns.

// Profile is settings to change before some searches of a battery.
type Profile struct {
	Name    string
	Changes Object
}

// Profiles are the profiles of a battery, each on top of those before.
func Profiles(s *Shape) []Profile {
	sortable := s.Sortable
	if s.GeoPoint {
		sortable = append([]string{"_geo"}, sortable...)
	}
	return []Profile{
		{"defaults", Object{"filterableAttributes": s.Filterable, "sortableAttributes": sortable}},
		{"custom", Object{
			"searchableAttributes": s.Searchable[0],
			"rankingRules":         []string{"words", "typo", "proximity", "attribute", "sort", "exactness", s.Sortable[0] + ":desc"},
		}},
		{"sortfirst", Object{
			"rankingRules": []string{"sort", "words", "typo", "proximity", "attribute", "exactness"},
			"synonyms":     s.Synonyms, "stopWords": s.StopWords,
			"faceting": Object{"maxValuesPerFacet": 12, "sortFacetValuesBy": Object{"*": "count"}},
		}},
		{"strict", Object{
			"typoTolerance": Object{"enabled": false}, "prefixSearch": "disabled", "proximityPrecision": "byAttribute",
			"pagination": Object{"maxTotalHits": 60}, "distinctAttribute": nil,
		}},
		{"bydistinct", Object{
			"distinctAttribute": s.Distinct[0], "pagination": Object{"maxTotalHits": 1000},
			"typoTolerance": Object{"enabled": true}, "prefixSearch": "indexingTime",
		}},
	}
}

// BatterySearch is one search of a battery.
func (g *Generator) BatterySearch(c *Corpus) Object {
	shape, q := c.Shape, Object{}
	may := maybe{g, q}
	q["q"] = g.batteryText(shape.Words)
	may.set(30, "filter", func() any { return g.Filter(shape) })
	may.set(25, "sort", func() any { return g.sort(shape) })
	may.set(30, "facets", func() any {
		if g.Chance(50) {
			return []string{"*"}
		}
		return Pick(g, shape.Facets)
	})
	switch g.IntN(10) {
	case 0, 1:
		q["page"], q["hitsPerPage"] = Pick(g, []int{0, 1, 1, 2, 5}), Pick(g, []int{1, 5, 20})
	case 2, 3:
		q["offset"], q["limit"] = Pick(g, []int{1, 7, 20, 90}), Pick(g, []int{3, 10, 20})
	case 4, 5, 6:
		q["limit"] = Pick(g, []int{1, 3, 5, 10, 20, 50, 200})
	}
	strategies := []string{"all", "last"}
	if g.Frequency {
		strategies = append(strategies, "frequency")
	}
	may.set(15, "matchingStrategy", func() any { return Pick(g, strategies) })
	may.set(16, "attributesToHighlight", func() any { return []string{"*"} })
	if g.Chance(7) {
		q["attributesToCrop"], q["cropLength"] = []string{"*"}, 5
	}
	may.set(6, "showMatchesPosition", func() any { return true })
	may.set(9, "attributesToSearchOn", func() any { return Pick(g, shape.SearchOn) })
	may.set(8, "distinct", func() any { return shape.Distinct[0] })
	may.set(5, "rankingScoreThreshold", func() any { return Pick(g, []float64{0.3, 0.6, 0.9}) })
	if g.Chance(35) {
		q[Pick(g, []string{"showRankingScore", "showRankingScore", "showRankingScoreDetails"})] = true
	}
	q["attributesToRetrieve"] = Pick(g, [][]string{{shape.PrimaryKey}, {"*"}, {shape.PrimaryKey, shape.Displayed[0], shape.Displayed[1]}})
	return q
}

// BatteryFacetSearch is one facet search of a battery.
func (g *Generator) BatteryFacetSearch(c *Corpus) Object {
	field := Pick(g, Pick(g, c.Shape.Facets))
	q := Object{"facetName": field}
	if letters := []rune(valueOf(Pick(g, c.Documents), field)); len(letters) > 0 {
		q["facetQuery"] = string(letters[:min(len(letters), 1+g.IntN(4))])
	}
	if g.Chance(40) {
		q["q"] = Pick(g, c.Shape.Words)
	}
	return q
}

// valueOf is a value of a field of a document as text, "" for none.
func valueOf(d Object, field string) string {
	first, rest, nested := strings.Cut(field, ".")
	value := d[first]
	if list, ok := value.([]any); ok && len(list) > 0 {
		value = list[0]
	}
	if inner, ok := value.(Object); ok && nested {
		return valueOf(inner, rest)
	}
	if value == nil {
		return ""
	}
	return fmt.Sprint(value)
}

// batteryText is what is searched for: nothing, a word, some words of one text or of several, misspelt, cut, quoted or with a word
// to leave out.
func (g *Generator) batteryText(vocabulary []string) string {
	from := g.IntN(len(vocabulary) - 4)
	switch g.IntN(14) {
	case 0:
		return ""
	case 1:
		return g.cut(Pick(g, vocabulary))
	case 2, 3:
		return Pick(g, vocabulary)
	case 4:
		return g.misspelt(Pick(g, vocabulary))
	case 5:
		return `"` + vocabulary[from] + " " + vocabulary[from+1] + `"`
	case 6:
		return Pick(g, vocabulary) + " -" + Pick(g, vocabulary)
	case 7:
		return vocabulary[from] + " " + g.cut(vocabulary[from+1])
	case 8:
		return g.misspelt(vocabulary[from]) + " " + Pick(g, vocabulary)
	case 9:
		return vocabulary[from] + " " + g.misspelt(vocabulary[from+1])
	case 10:
		return Pick(g, vocabulary) + " " + Pick(g, vocabulary) + " " + Pick(g, vocabulary)
	}
	return strings.Join(vocabulary[from:from+2+g.IntN(3)], " ")
}

// cut is the beginning of a word.
func (g *Generator) cut(word string) string {
	letters := []rune(word)
	return string(letters[:1+g.IntN(len(letters))])
}

// misspelt is a word with a letter changed, doubled or left out, or two changed about.
func (g *Generator) misspelt(word string) string {
	letters := []rune(word)
	if len(letters) < 4 {
		return word
	}
	at := 1 + g.IntN(len(letters)-2)
	switch g.IntN(4) {
	case 0:
		letters[at] = rune('a' + g.IntN(26))
	case 1:
		letters = append(letters[:at:at], letters[at-1:]...)
	case 2:
		letters = append(letters[:at:at], letters[at+1:]...)
	default:
		letters[at], letters[at+1] = letters[at+1], letters[at]
	}
	return string(letters)
}
