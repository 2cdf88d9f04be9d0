package engine

import "github.com/RoaringBitmap/roaring/v2"

// proximityRule ranks by the distance of neighbouring words of the query. The wrong order costs one more, words in different
// fields or far apart cost maxProximity.
type proximityRule struct{}

// nearCondition is satisfied where right stands near left.
type nearCondition struct {
	left, right locatedTerm
	cost        int // from 1
}

func (proximityRule) edges(_ *queryContext, from, to *locatedTerm) []pricedCondition {
	joined := to.numTerms() - 1
	if from == nil || from.posEnd+1 != to.posStart {
		return []pricedCondition{{joined, termCondition{*to}}}
	}
	var out []pricedCondition
	for cost := joined; cost < maxProximity+joined; cost++ {
		out = append(out, pricedCondition{cost, nearCondition{*from, *to, cost + 1}})
	}
	return append(out, pricedCondition{maxProximity + joined, termCondition{*to}})
}

func (proximityRule) score(r rank) scoreDetail { return scoreDetail{kind: scoreProximity, rank: r} }

// edgeWord is a word next to the gap between two terms; phrase is what it belongs to, if any.
type edgeWord struct {
	termWord
	phrase *phrase
}

func (c nearCondition) resolve(q *queryContext, universe *roaring.Bitmap) (*roaring.Bitmap, *locatedTerm, locatedTerm) {
	out := roaring.New()
	forward := 1 + c.cost - c.right.numTerms()
	backward := c.cost - c.right.numTerms()
	lefts := q.edgeWords(&c.left.termSubset, true)
	if prefix, ok := c.right.prefixWord(); ok {
		for _, left := range lefts {
			q.nearPrefix(out, universe, left, prefix.word, forward, backward)
		}
	}
	rights := q.edgeWords(&c.right.termSubset, false)
	for _, left := range lefts {
		if len(rights) > 1 && !q.occurs(left, universe) {
			continue
		}
		for _, right := range rights {
			q.nearWord(out, universe, left, right, forward, backward)
		}
	}
	return out, &c.left, c.right
}

// edgeWords are the words of a subset and the last (or first) words of its phrases, unless those are stop words.
func (q *queryContext) edgeWords(s *termSubset, last bool) []edgeWord {
	var out []edgeWord
	seen := map[termWord]bool{}
	for _, w := range s.words(q) {
		if !seen[w] {
			seen[w] = true
			out = append(out, edgeWord{termWord: w})
		}
	}
	for _, p := range s.phrases(q) {
		word := p.words[0]
		if last {
			word = p.words[len(p.words)-1]
		}
		if word != "" {
			out = append(out, edgeWord{termWord{word: word}, p})
		}
	}
	return out
}

// occurs reports whether a word or phrase occurs in the universe; a word that no searched field holds passes, too.
func (q *queryContext) occurs(w edgeWord, universe *roaring.Bitmap) bool {
	if w.phrase != nil {
		return universe.Intersects(q.docsOfPhrase(w.phrase))
	}
	docs := q.wordDocs(w.termWord)
	return docs.IsEmpty() || docs.Intersects(universe)
}

// nearPrefix adds the documents where a word with the prefix stands near left. Backwards only the prefix itself counts.
func (q *queryContext) nearPrefix(out, universe *roaring.Bitmap, left edgeWord, prefix string, forward, backward int) {
	if left.phrase != nil {
		universe = roaring.And(universe, q.docsOfPhrase(left.phrase))
		if universe.IsEmpty() {
			return
		}
	}
	add := func(docs *roaring.Bitmap) {
		if docs != nil {
			out.Or(roaring.And(docs, universe))
		}
	}
	add(q.prefixPairDocs(left.word, prefix, forward, universe))
	if left.phrase == nil {
		add(q.pairDocs(prefix, left.word, backward, universe))
	}
}

// nearWord adds the documents where right stands near left; words of phrases keep their order.
func (q *queryContext) nearWord(out, universe *roaring.Bitmap, left, right edgeWord, forward, backward int) {
	for _, p := range []*phrase{left.phrase, right.phrase} {
		if p == nil {
			continue
		}
		universe = roaring.And(universe, q.docsOfPhrase(p))
		if universe.IsEmpty() {
			return
		}
	}
	if docs := q.pairDocs(left.word, right.word, forward, universe); docs != nil {
		out.Or(roaring.And(docs, universe))
	}
	if backward >= 1 && left.phrase == nil && right.phrase == nil {
		if docs := q.pairDocs(right.word, left.word, backward, universe); docs != nil {
			out.Or(roaring.And(docs, universe))
		}
	}
}
