package generate

import (
	"fmt"
	"strings"
	"time"
)

// Shapes are all shapes that need no data set.
var Shapes = []*Shape{Words, Products, Articles}

var brands = []string{"Acme", "ACME", "Böhm & Söhne", "Öko-Haus", "Nord/Süd", "O'Neill", "Ünal", "acme", "Zeta", "Été"}

var goods = []string{
	"portable", "bluetooth", "speaker", "speakers", "wireless", "headphones", "head", "phones", "kitchen", "knife", "knives",
	"stainless", "steel", "coffee", "maker", "espresso", "machine", "washing", "garden", "hose", "house", "horse", "USB-C",
	"cable", "cables", "charger", "charging", "4K", "monitor", "27-inch", "mouse", "mousepad", "keyboard", "key", "board",
	"mechanical", "leather", "wallet", "running", "shoes", "shoe", "waterproof", "jacket", "premium", "pro", "mini", "max",
}

// Products has nested objects and arrays of them, numbers, dates as text and as seconds, points, booleans, and ids that are
// strings.
var Products = &Shape{
	Name: "products", PrimaryKey: "sku", Document: product, NumDocuments: [2]int{150, 400}, Words: goods,
	Unique:     "rank",
	Filterable: []string{"rank", "price", "stock", "brand", "categories", "released", "releasedAt", "available", "specs.weight", "specs.color", "reviews.stars", "reviews.author", "_geo"},
	Sortable:   []string{"rank", "price", "stock", "brand", "released", "releasedAt", "specs.weight", "specs.color"},
	Displayed:  []string{"name", "description", "brand", "price", "stock", "categories", "released", "available", "specs", "reviews", "_geo"},
	Searchable: [][]string{{"name", "description"}, {"name", "specs.color", "brand"}, {"reviews.author", "name"}, {"description", "categories", "name"}},
	Distinct:   []string{"brand", "specs.color", "price"},
	Facets:     [][]string{{"brand"}, {"categories", "available"}, {"price"}, {"specs.color", "specs.weight"}, {"reviews.stars", "reviews.author"}, {"released", "stock"}},
	Conditions: []string{
		"price > 100", "price 20 TO 200", "stock = 0", "stock != 0", "brand = acme", "brand = 'Böhm & Söhne'", "brand IN [ACME, Zeta]", "categories = 'home > kitchen'",
		"categories NOT IN [tools, audio]", "available = true", "released > '2021-06-01'", "releasedAt >= 1600000000", "specs.color = red",
		"specs.weight < 2.5", "reviews.stars = 5", "reviews.author = ann AND reviews.stars < 3", "stock IS NULL", "price EXISTS", "categories IS EMPTY",
		"_geoRadius(45, 7, 4000000)", "_geoBoundingBox([60, 100], [-60, -100])", "specs IS NOT NULL", "brand STARTS WITH ac", "unknown = 1",
	},
	Crops: []string{"description", "description:2", "name:1", "*"}, SearchOn: [][]string{{"name"}, {"description", "name"}, {"specs.color"}, {"reviews.author"}}, GeoPoint: true,
	StopWords: []string{"the", "and", "with"},
	Synonyms:  Object{"mouse": []string{"mousepad"}, "headphones": []string{"head phones", "speaker"}, "coffee maker": []string{"espresso machine"}},
}

func product(g *Generator, i int) Object {
	released := time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(g.IntN(2200)) * 24 * time.Hour)
	d := Object{"sku": fmt.Sprintf("sku-%d_%c", i, 'A'+i%26), "rank": (i*7919 + 13) % 10007, "name": g.Text(goods, 5)}
	may := maybe{g, d}
	may.set(85, "description", func() any { return "<p>" + g.Text(goods, 15) + ", &amp; <b>" + g.Text(goods, 3) + "</b>.</p>" })
	may.set(90, "brand", func() any { return Pick(g, brands) })
	may.set(90, "price", func() any {
		return Pick(g, []any{float64(g.IntN(40000)) / 100, g.IntN(300), 19.99, 1e21, -0.5, nil})
	})
	may.set(80, "stock", func() any { return Pick(g, []any{0, 1, g.IntN(20), nil}) })
	may.set(80, "categories", func() any {
		return Some(g, []string{"home > kitchen", "Home > Garden", "tools", "audio", "Audio", "computers", "sale!"})
	})
	may.set(70, "released", func() any { return released.Format(time.DateOnly) })
	may.set(70, "releasedAt", func() any { return released.Unix() })
	may.set(80, "available", func() any { return g.Chance(50) })
	may.set(70, "specs", func() any {
		return Pick(g, []any{Object{"weight": float64(g.IntN(60)) / 10, "color": Pick(g, colors)}, Object{"color": Some(g, colors)}, nil})
	})
	may.set(50, "reviews", func() any {
		list := []Object{}
		for range g.IntN(3) {
			list = append(list, Object{"stars": 1 + g.IntN(5), "author": Pick(g, []string{"ann", "Bob", "Ché", "bob"}), "text": g.Text(goods, 4)})
		}
		return list
	})
	may.set(50, "_geo", func() any {
		return Pick(g, []any{geoPoint(g), Object{"lat": fmt.Sprint(g.IntN(80)), "lng": "7.5"}, nil})
	})
	if g.Chance(3) { // a field that few documents have
		d[Pick(g, []string{"rare", "seldom", "specialOffer"})] = g.Text(goods, 3)
	}
	return d
}

var polyglot = []string{
	"the", "and", "open", "source", "search", "engine", "search-engine", "l'été", "forêt", "cœur", "naïve", "façade", "garçon", "Straße", "Strasse",
	"Fußball", "Donaudampfschiff", "Bücher", "bucher", "niño", "mañana", "corazón", "поиск", "быстрый", "ёлка", "елка", "ελληνικά", "γλώσσα",
	"東京", "大学", "搜索", "引擎", "北京大学", "ภาษาไทย", "שלום", "עולם", "مرحبا", "العربية", "tiếng", "Việt", "İstanbul", "ılık", "don't", "e-mail", "email",
	"C++", "node.js", "3.14", "x86_64", "camelCase", "snake_case", "AT&T", "🎉", "🚀", "rock'n'roll", "1,000", "2nd", "résumé", "resume", "hello", "world", "wörld",
}

// Articles has texts of many languages and scripts, HTML, long texts, vectors, and ids that are numbers and strings.
var Articles = &Shape{
	Name: "articles", PrimaryKey: "key", Document: article, NumDocuments: [2]int{80, 300}, Words: polyglot,
	Unique:     "views",
	Filterable: []string{"views", "lang", "topics", "author.name", "author.born", "published"},
	Sortable:   []string{"views", "lang", "author.name", "author.born", "published"},
	Displayed:  []string{"title", "body", "lang", "topics", "author", "published"},
	Searchable: [][]string{{"title", "body"}, {"body"}, {"author.name", "title"}, {"topics", "title"}},
	Distinct:   []string{"lang", "author.name", "topics"},
	Facets:     [][]string{{"lang"}, {"topics"}, {"author.name", "author.born"}, {"published", "lang"}},
	Conditions: []string{
		"lang = fr", "lang IN [de, 'pt-BR']", "topics = Science", "topics != 'été'", "author.born > 1950", "author.name = 'Zoë'", "author EXISTS",
		"published > 1500000000", "lang IS NULL", "NOT lang = en", "views < 5000", "topics IS EMPTY",
	},
	Crops: []string{"body", "body:3", "title:2", "*:5"}, SearchOn: [][]string{{"title"}, {"body"}, {"author.name"}, {"author"}},
	StopWords: []string{"the", "and", "l"},
	Synonyms:  Object{"straße": []string{"road"}, "search engine": []string{"поиск"}},
}

func article(g *Generator, i int) Object {
	d := Object{"key": i, "views": (i*7919 + 13) % 10007, "title": g.Text(polyglot, 5)}
	if i%3 == 0 {
		d["key"] = fmt.Sprintf("Art-%d", i)
	}
	may := maybe{g, d}
	may.set(80, "body", func() any {
		separators := []string{". ", " ", ", ", "\n", "! ", " — ", "; <br/>"}
		parts := []string{}
		for range 1 + g.IntN(8) {
			parts = append(parts, g.Text(polyglot, 8))
		}
		return strings.Join(parts, Pick(g, separators))
	})
	may.set(85, "lang", func() any { return Pick(g, []any{"fr", "de", "en", "EN", "pt-BR", nil}) })
	may.set(70, "topics", func() any {
		return Some(g, []string{"Science", "science", "été", "ÉTÉ", "Straße", "日本", "a b"})
	})
	may.set(75, "author", func() any {
		return Object{"name": Pick(g, []string{"Zoë", "zoe", "Müller", "O'Hara", "李"}), "born": 1900 + g.IntN(100)}
	})
	may.set(60, "published", func() any { return 1400000000 + g.IntN(1000)*86400 })
	return d
}
