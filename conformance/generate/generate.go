// Package generate makes documents, settings and searches from a seed, for tests that ask two servers the same and compare
// the answers. What they are about is a Shape; the same seed and shape make the same things.
package generate

import (
	"math/rand/v2"
	"slices"
	"strings"
)

// Object is a JSON object.
type Object = map[string]any

// Shape is a kind of documents with what may be asked about them.
type Shape struct {
	Name       string
	PrimaryKey string
	// Document makes the document number i; NumDocuments how many there may be, from and to.
	Document     func(g *Generator, i int) Object
	NumDocuments [2]int
	// Words are what texts and searches consist of.
	Words []string
	// Unique is a sortable field with another number in each document, "" for none.
	Unique     string
	Filterable []string
	Sortable   []string // without geo points
	Displayed  []string // without the primary key
	Searchable [][]string
	Distinct   []string
	Facets     [][]string
	Conditions []string // filters
	Crops      []string // values of attributesToCrop
	SearchOn   [][]string
	GeoPoint   bool
	StopWords  []string
	Synonyms   Object
}

// Corpus is what one seed is about.
type Corpus struct {
	Shape              *Shape
	Documents, Updates []Object
	Deletions          []any // ids
	Settings           Object
	// Distinct says that some query or the settings may ask for distinct hits: ranking is total then, since chance would
	// choose among equals who stays.
	Distinct bool
}

// Generator makes corpora and queries.
type Generator struct {
	*rand.Rand
	// Wide adds parameters and settings that need whole answers to be compared; Frequency adds that matchingStrategy, which
	// depends on how many documents of an index have a word.
	Wide, Frequency bool
}

// New is a generator for a seed.
func New(seed uint64) *Generator { return &Generator{Rand: rand.New(rand.NewPCG(seed, 1))} }

// Pick is one of the list.
func Pick[T any](g *Generator, list []T) T { return list[g.IntN(len(list))] }

// Some returns at least one of the list, in random order.
func Some[T any](g *Generator, list []T) []T {
	list = slices.Clone(list)
	g.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list[:1+g.IntN(len(list))]
}

// Chance is true in so many of a hundred cases.
func (g *Generator) Chance(percent int) bool { return g.IntN(100) < percent }

// Text is up to most words.
func (g *Generator) Text(words []string, most int) string {
	list := make([]string, 1+g.IntN(most))
	for i := range list {
		list[i] = Pick(g, words)
	}
	return strings.Join(list, " ")
}

// maybe sets members of an object, each with a chance.
type maybe struct {
	g *Generator
	o Object
}

func (m maybe) set(percent int, name string, value func() any) {
	if m.g.Chance(percent) {
		m.o[name] = value()
	}
}

// Corpus makes documents, changes to them, and settings.
func (g *Generator) Corpus(s *Shape) *Corpus {
	c := &Corpus{Shape: s, Distinct: g.Chance(50)}
	size := s.NumDocuments[0] + g.IntN(s.NumDocuments[1]-s.NumDocuments[0])
	for i := range size {
		c.Documents = append(c.Documents, s.Document(g, i))
	}
	for range size / 10 {
		at := g.IntN(size)
		update := s.Document(g, at)
		update[s.PrimaryKey] = c.Documents[at][s.PrimaryKey]
		delete(update, s.Unique)
		c.Updates = append(c.Updates, update)
	}
	for range max(1, size/20) {
		c.Deletions = append(c.Deletions, c.Documents[g.IntN(size)][s.PrimaryKey])
	}
	c.Settings = g.Settings(s, c.Distinct)
	return c
}
