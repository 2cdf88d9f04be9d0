package meili

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ManualEmbedders are the embedders whose vectors documents must bring, in alphabetical order.
func (s *Settings) ManualEmbedders() []string {
	if s == nil {
		return nil
	}
	var names []string
	for name := range s.Embedders.Value {
		if e := s.Embedder(name); e != nil && e.Source.Value == sourceUserProvided {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Vectors is the object in which a document tells its vectors, nil for none.
func Vectors(doc []byte) []byte {
	if vectors, _ := Get(doc, vectorsField); len(vectors) > 0 && vectors[0] == '{' {
		return vectors
	}
	return nil
}

// BringsVectors reports whether a document's _vectors say anything of an embedder, be it null for none.
func BringsVectors(vectors []byte, embedder string) bool {
	_, named := Get(vectors, embedder)
	return named
}

// MissingVectors is the error of documents that bring no vectors for a userProvided embedder and have none from before. ids are
// those that a server looks at together, the first of which it names; hints may be nil.
func MissingVectors(embedder string, ids []string, hints *VectorHints) *Error {
	others := ""
	if len(ids) > 1 {
		others = fmt.Sprintf(" and at least %d other document(s)", len(ids)-1)
	}
	hint := hints.text(embedder)
	if hint == "" {
		hint = "\n- Hint: opt-out for a document with `_vectors." + embedder + ": null`"
	}
	return newError(CodeVectorEmbeddingError, "While embedding documents for embedder `"+embedder+"`: no vectors provided for document `"+ids[0]+"`"+others+"\n- Note: `"+embedder+
		"` has `source: userProvided`, so documents must provide embeddings as an array in `_vectors."+embedder+"`."+hint)
}

// VectorHints counts the documents that have a name which may be a misspelt one.
type VectorHints struct {
	Settings          *Settings
	fields, embedders map[string]int
}

// NoteFields looks at the fields of a document.
func (h *VectorHints) NoteFields(doc []byte) {
	for name := range Fields(doc) {
		if field := string(name); !strings.Contains(field, ".") && looksLike(field, vectorsField) {
			h.fields = counted(h.fields, field)
		}
	}
}

// NoteEmbedders looks at what the _vectors of a document name beside embedders.
func (h *VectorHints) NoteEmbedders(vectors []byte) {
	for name := range Fields(vectors) {
		if h.Settings.Embedder(string(name)) == nil {
			h.embedders = counted(h.embedders, string(name))
		}
	}
}

func counted(counts map[string]int, name string) map[string]int {
	if counts == nil {
		counts = map[string]int{}
	}
	counts[name]++
	return counts
}

// looksLike reports that a name may be meant for another one.
func looksLike(name, other string) bool {
	return name != other && damerauLevenshtein([]rune(name), []rune(other)) <= 2
}

// maxHints is how many names of each kind an error proposes.
const maxHints = 2

func (h *VectorHints) text(embedder string) string {
	if h == nil {
		return ""
	}
	var text strings.Builder
	for i, name := range slices.Sorted(maps.Keys(h.fields)) {
		if i < maxHints {
			fmt.Fprintf(&text, "\n- Hint: try replacing `%s` by `_vectors` in %d document(s).", name, h.fields[name])
		}
	}
	near := slices.DeleteFunc(slices.Sorted(maps.Keys(h.embedders)), func(name string) bool { return !looksLike(name, embedder) })
	for _, name := range near[:min(len(near), maxHints)] {
		fmt.Fprintf(&text, "\n- Hint: try replacing `_vectors.%s` by `_vectors.%s` in %d document(s).", name, embedder, h.embedders[name])
	}
	return text.String()
}
