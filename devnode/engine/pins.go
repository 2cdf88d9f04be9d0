package engine

import (
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
)

// Pin puts a document at a place of an answer.
type Pin struct {
	Position int
	ID       string
}

// maxPins is how many documents one search pins.
const maxPins = 100

// placedPin is a pin whose document passes the filter.
type placedPin struct {
	position int
	doc      uint32
}

// setPins resolves the pins of a request, most important first. What is pinned is not ranked, and need not match the words.
func (st *state) setPins(r *request) {
	if r.ctx.Pins == nil {
		return
	}
	var words []string
	if !r.query.IsPlaceholder() {
		for _, placed := range st.newQueryContext().parseQuery(*r.query.Q).terms {
			if placed.term.ngram == nil {
				words = append(words, placed.term.original)
			}
		}
	}
	for _, pin := range r.ctx.Pins(words) {
		if doc, known := st.ids[pin.ID]; known && len(r.pins) < maxPins && r.universe.CheckedRemove(doc) {
			r.pins = append(r.pins, placedPin{pin.Position, doc})
		}
	}
}

// insertPins merges the pins of a request into ranked documents and counts them among the candidates.
func (f *found) insertPins(r *request) {
	if len(r.pins) == 0 {
		return
	}
	f.candidates = roaring.Or(f.candidates, pinned(r.pins))
	f.mergePins(r.pins, r.length)
}

// mergePins merges pins into ranked documents, up to length. As in Meilisearch a pin waits for those before it; what is left
// when the ranked ones run out follows them.
func (f *found) mergePins(pins []placedPin, length int) {
	if len(pins) == 0 {
		return
	}
	docs, scores := f.docs, f.scores
	f.docs, f.scores = nil, nil
	for len(f.docs) < length && len(docs)+len(pins) > 0 {
		if len(pins) > 0 && (pins[0].position <= len(f.docs) || len(docs) == 0) {
			f.docs = append(f.docs, pins[0].doc)
			f.scores = append(f.scores, []scoreDetail{{kind: scorePin, position: pins[0].position}})
			pins = pins[1:]
			continue
		}
		f.docs, f.scores = append(f.docs, docs[0]), append(f.scores, scores[0])
		docs, scores = docs[1:], scores[1:]
	}
}

// settlePins puts the pins that are in the list into the order of their positions, as the merge of a search of one query
// does.
func (f *found) settlePins(length int) { f.mergePins(f.takePins(), length) }

// takePins takes the pins out of the list, in the order of their positions.
func (f *found) takePins() (pins []placedPin) {
	docs, scores := f.docs, f.scores
	f.docs, f.scores = nil, nil
	for i, doc := range docs {
		if details := scores[i]; len(details) > 0 && details[0].kind == scorePin {
			pins = append(pins, placedPin{details[0].position, doc})
			continue
		}
		f.docs, f.scores = append(f.docs, doc), append(f.scores, scores[i])
	}
	slices.SortStableFunc(pins, func(a, b placedPin) int { return a.position - b.position })
	return pins
}

// pinned are the documents of pins.
func pinned(pins []placedPin) *roaring.Bitmap {
	docs := roaring.New()
	for _, pin := range pins {
		docs.Add(pin.doc)
	}
	return docs
}

// Words cuts a text into words as the default settings do.
func Words(text string) (words []string) {
	for _, t := range newTokenizer(nil, nil, nil, nil).tokenize(text, false) {
		if t.lemma != "" && !t.isSeparator() {
			words = append(words, t.lemma)
		}
	}
	return words
}

// NormalizeFacet is the form under which strings of filters are compared.
func NormalizeFacet(text string) string { return normalizeFacet(text) }
