package generate

// Words is the shape with few words, which are neighbours one and two typos apart, prefixes of each other, split and join.
// No prefix begins a hundred words.
var Words = &Shape{
	Name: "words", PrimaryKey: "id", Document: wordsDocument, NumDocuments: [2]int{20, 160}, Words: vocabulary,
	Unique:     "unique",
	Filterable: []string{"unique", "size", "price", "color", "tags", "mixed", "family", "nested.level", "nested.name", "_geo"},
	Sortable:   []string{"unique", "size", "price", "color", "tags", "mixed", "nested.level", "nested.name"},
	Displayed:  []string{"title", "body", "size", "price", "color", "tags", "mixed", "family", "nested", "_geo"},
	Searchable: [][]string{{"body", "title"}, {"title"}, {"title", "tags", "body", "nested.name"}},
	Distinct:   []string{"family", "color", "nested.level"},
	Facets:     [][]string{{"color"}, {"size", "tags"}, {"mixed"}, {"price", "nested.level"}, {"nested.name", "color", "family"}},
	Conditions: []string{
		"size > 12", "size 5 TO 20", "price <= 25.5", "color = red", "color != Green", "tags IN [fox, box, brown]", "mixed = 10",
		"mixed EXISTS", "mixed IS NULL", "mixed IS EMPTY", "family NOT IN [1, 2]", "nested.level = 3", "NOT nested.name = blue",
		"_geoRadius(10, 10, 6000000)", "_geoBoundingBox([60, 100], [-60, -100])", "id < 1000 OR size = 4", "size = 1000",
		"size < 22", "tags = dog", "color EXISTS",
	},
	Crops: []string{"body:3"}, SearchOn: [][]string{{"title"}}, GeoPoint: true,
	StopWords: []string{"over", "the"},
	Synonyms:  Object{"fox": []string{"dog"}, "light house": []string{"lighthouse"}},
}

var vocabulary = []string{
	"quick", "quack", "quicker", "brown", "brawn", "crown", "fox", "foxes", "box", "jumps", "jumped", "over", "lazy", "lady",
	"dog", "dogs", "doggy", "sun", "sunflower", "flower", "flow", "flowers", "house", "mouse", "mousse", "light", "lighthouse",
	"night", "nights", "knight", "2024", "202", "elephant", "elegant", "elephants", "wonder", "wonderful", "wander", "wanderer",
}

var colors = []string{"red", "Green", "blue", "BLACK", "white", "violet", "green-ish", "10", "9"}

func wordsDocument(g *Generator, i int) Object {
	d := Object{"id": i, "unique": (i*7919 + 13) % 10007, "title": g.Text(vocabulary, 4)}
	may := maybe{g, d}
	may.set(80, "body", func() any { return g.Text(vocabulary, 12) })
	may.set(85, "size", func() any { return g.IntN(30) })
	may.set(80, "price", func() any { return float64(g.IntN(400)) / 8 })
	may.set(80, "color", func() any { return Pick(g, colors) })
	may.set(70, "tags", func() any { return Some(g, vocabulary[:14]) })
	may.set(75, "mixed", func() any {
		return Pick(g, []any{nil, true, false, 10, 9, -1.5, "nine", "Nine", "ten", []any{3, "three"}, []any{}, Object{"a": 1}})
	})
	may.set(70, "family", func() any { return g.IntN(12) })
	may.set(60, "nested", func() any { return Object{"level": g.IntN(5), "name": Pick(g, colors)} })
	may.set(60, "_geo", func() any { return geoPoint(g) })
	return d
}

func geoPoint(g *Generator) Object {
	return Object{"lat": float64(g.IntN(1600))/10 - 80, "lng": float64(g.IntN(3400))/10 - 170}
}
