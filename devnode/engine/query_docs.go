package engine

import (
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
)

// queryContext is the work space of one search: what it reads and what it has computed so far. Not for concurrent use.
// Bitmaps it hands out are shared: never change one that was not made by the caller.
type queryContext struct {
	st    *state
	cfg   *config
	words *wordIndex
	dict  *dictionary

	restricted *restrictedFields // attributesToSearchOn; nil for all fields

	phrases    map[string]*phrase
	phraseDocs map[*phrase]*roaring.Bitmap
	fieldPairs map[[2]string]*roaring.Bitmap // byAttribute precision
	fieldNears map[[2]string]*roaring.Bitmap
}

// restrictedFields are the fields a search looks at, apart by whether typos are off in them.
type restrictedFields struct{ tolerant, exact []fieldID }

func (r *restrictedFields) has(f fieldID) bool {
	return slices.Contains(r.tolerant, f) || slices.Contains(r.exact, f)
}

func (st *state) newQueryContext() *queryContext {
	return &queryContext{
		st: st, cfg: st.cfg, words: st.words, dict: st.dict,
		phrases:    map[string]*phrase{},
		phraseDocs: map[*phrase]*roaring.Bitmap{},
		fieldPairs: map[[2]string]*roaring.Bitmap{},
		fieldNears: map[[2]string]*roaring.Bitmap{},
	}
}

// addWordDocs adds the documents of a word to out.
func (q *queryContext) addWordDocs(out *roaring.Bitmap, w termWord) {
	p := q.words.lookup(w.word)
	if p == nil {
		return
	}
	q.addPosting(out, w.derived, p.docs, p.exact, p.fields)
}

func (q *queryContext) addPosting(out *roaring.Bitmap, derived bool, docs, exact *roaring.Bitmap, fields []keyedDocs) {
	if q.restricted == nil {
		orInto(out, docs)
		if !derived {
			orInto(out, exact)
		}
		return
	}
	for _, f := range q.restricted.tolerant {
		orInto(out, findKeyed(fields, uint16(f)))
	}
	if !derived {
		for _, f := range q.restricted.exact {
			orInto(out, findKeyed(fields, uint16(f)))
		}
	}
}

func orInto(out, add *roaring.Bitmap) {
	if add != nil {
		out.Or(add)
	}
}

// wordDocs is the documents of a word, a new bitmap.
func (q *queryContext) wordDocs(w termWord) *roaring.Bitmap {
	out := roaring.New()
	q.addWordDocs(out, w)
	return out
}

// subsetDocs is the documents of universe (nil for all) that match a subset of a term, a new bitmap.
func (q *queryContext) subsetDocs(universe *roaring.Bitmap, s *termSubset) *roaring.Bitmap {
	out := roaring.New()
	for _, w := range s.words(q) {
		q.addWordDocs(out, w)
	}
	for _, p := range s.phrases(q) {
		out.Or(q.docsOfPhrase(p))
	}
	if w, ok := s.prefixWord(); ok {
		if p := q.dict.prefix(w.word); p != nil {
			q.addPosting(out, w.derived, p.docs, p.exact, p.fields)
		}
	}
	if universe != nil {
		out.And(universe)
	}
	return out
}

// subsetDocsInField is subsetDocs for one field. Of a phrase only the first word has to be in the field.
func (q *queryContext) subsetDocsInField(universe *roaring.Bitmap, s *termSubset, field fieldID) *roaring.Bitmap {
	out := roaring.New()
	for _, w := range s.words(q) {
		orInto(out, q.fieldDocs(w.word, field))
	}
	for _, p := range s.phrases(q) {
		if docs := q.fieldDocs(p.first(), field); docs != nil {
			out.Or(roaring.And(q.docsOfPhrase(p), docs))
		}
	}
	if w, ok := s.prefixWord(); ok && q.searches(field) {
		if p := q.dict.prefix(w.word); p != nil {
			orInto(out, findKeyed(p.fields, uint16(field)))
		}
	}
	out.And(universe)
	return out
}

// subsetDocsAt is subsetDocs for one bucketed position. Of a phrase only the first word has to stand there.
func (q *queryContext) subsetDocsAt(out, universe *roaring.Bitmap, s *termSubset, position uint16) {
	at := func(word string) *roaring.Bitmap {
		if p := q.words.lookup(word); p != nil {
			return findKeyed(p.positions, position)
		}
		return nil
	}
	for _, w := range s.words(q) {
		orInto(out, at(w.word))
	}
	for _, p := range s.phrases(q) {
		if docs := at(p.first()); docs != nil {
			out.Or(roaring.And(q.docsOfPhrase(p), docs))
		}
	}
	if w, ok := s.prefixWord(); ok {
		if p := q.dict.prefix(w.word); p != nil {
			orInto(out, findKeyed(p.positions, position))
		}
	}
	out.And(universe)
}

func (q *queryContext) searches(f fieldID) bool { return q.restricted == nil || q.restricted.has(f) }

// fieldDocs is the documents that hold a word in a field, nil when none or when the field is not searched.
func (q *queryContext) fieldDocs(word string, f fieldID) *roaring.Bitmap {
	p := q.words.lookup(word)
	if p == nil || !q.searches(f) {
		return nil
	}
	return findKeyed(p.fields, uint16(f))
}

// docsOfPhrase is the documents that hold the words of a phrase near enough to each other, shared.
func (q *queryContext) docsOfPhrase(p *phrase) *roaring.Bitmap {
	docs, ok := q.phraseDocs[p]
	if !ok {
		docs = q.resolvePhrase(p)
		q.phraseDocs[p] = docs
	}
	return docs
}

// resolvePhrase looks at windows of three words: neighbours side by side, the outer two at most one word apart. That lets
// some false positives through, as in Meilisearch.
func (q *queryContext) resolvePhrase(p *phrase) *roaring.Bitmap {
	var candidates *roaring.Bitmap
	for _, w := range p.words {
		if w == "" {
			continue
		}
		docs := q.wordDocs(termWord{word: w})
		if candidates == nil {
			candidates = docs
		} else {
			candidates.And(docs)
		}
	}
	if candidates == nil || candidates.IsEmpty() {
		return roaring.New()
	}
	size := min(len(p.words), 3)
	for i := 0; i+size <= len(p.words); i++ {
		q.windowDocs(candidates, p.words[i:i+size])
		if candidates.IsEmpty() {
			break
		}
	}
	return candidates
}

func (q *queryContext) windowDocs(candidates *roaring.Bitmap, words []string) {
	for i, left := range words {
		for gap, right := range words[i+1:] {
			if left == "" || right == "" {
				continue
			}
			near := roaring.New()
			for d := 0; d <= gap; d++ {
				orInto(near, q.pairDocs(left, right, d+1, nil))
			}
			candidates.And(near)
		}
	}
}

// pairDocs is the documents in which right follows left at a distance, shared; nil when there are none. With byAttribute
// precision the distance is not looked at: the words have to be in one field, and the first universe asked about bounds
// what later calls see, as in Meilisearch.
func (q *queryContext) pairDocs(left, right string, distance int, universe *roaring.Bitmap) *roaring.Bitmap {
	if !q.cfg.byAttribute {
		return q.dict.pair(left, right, distance)
	}
	key := [2]string{left, right}
	docs, ok := q.fieldPairs[key]
	if !ok {
		docs = roaring.New()
		for _, f := range q.cfg.searchableIDs {
			a, b := q.fieldDocs(left, f), q.fieldDocs(right, f)
			if a != nil && b != nil {
				docs.Or(roaring.And(a, b))
			}
		}
		if universe != nil {
			docs.And(universe)
		}
		q.fieldPairs[key] = docs
	}
	return docs
}

// prefixPairDocs is pairDocs for any right word that begins with prefix.
func (q *queryContext) prefixPairDocs(left, prefix string, distance int, universe *roaring.Bitmap) *roaring.Bitmap {
	if !q.cfg.byAttribute {
		return q.dict.prefixPair(left, prefix, distance)
	}
	key := [2]string{left, prefix}
	docs, ok := q.fieldNears[key]
	if !ok {
		docs = roaring.New()
		if p := q.dict.prefix(prefix); p != nil {
			for _, f := range q.cfg.searchableIDs {
				a, b := q.fieldDocs(left, f), findKeyed(p.fields, uint16(f))
				if a != nil && b != nil && q.searches(f) {
					docs.Or(roaring.And(a, b))
				}
			}
		}
		if universe != nil {
			docs.And(universe)
		}
		q.fieldNears[key] = docs
	}
	return docs
}

// graphDocs is the documents of universe that match some reading of a graph, a new bitmap.
func (q *queryContext) graphDocs(g *queryGraph, universe *roaring.Bitmap) *roaring.Bitmap {
	docs := make([]*roaring.Bitmap, len(g.nodes))
	docs[graphStart] = universe
	var resolve func(id int) *roaring.Bitmap
	resolve = func(id int) *roaring.Bitmap {
		if docs[id] != nil {
			return docs[id]
		}
		before := roaring.New()
		g.nodes[id].preds.each(func(p int) { before.Or(resolve(p)) })
		if g.nodes[id].kind == termNode {
			before = q.subsetDocs(before, &g.nodes[id].term.termSubset)
		}
		docs[id] = before
		return before
	}
	return resolve(graphEnd).Clone()
}
