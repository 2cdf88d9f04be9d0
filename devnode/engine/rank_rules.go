package engine

import (
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
)

// termCondition is satisfied by any word or phrase of a term.
type termCondition struct{ term locatedTerm }

func (c termCondition) resolve(q *queryContext, universe *roaring.Bitmap) (*roaring.Bitmap, *locatedTerm, locatedTerm) {
	return q.subsetDocs(universe, &c.term.termSubset), nil, c.term
}

// wordsRule ranks by the number of words matched: words cost nothing, dropping them does (see graphRanking.strategy).
type wordsRule struct{}

func (wordsRule) edges(_ *queryContext, _, to *locatedTerm) []pricedCondition {
	return []pricedCondition{{0, termCondition{*to}}}
}

func (wordsRule) score(r rank) scoreDetail { return scoreDetail{kind: scoreWords, rank: r} }

// typoRule ranks by the number of typos. Joining two words costs two, joining three costs three.
type typoRule struct{}

func (typoRule) edges(q *queryContext, _, to *locatedTerm) []pricedCondition {
	base := 0
	if to.numTerms() > 1 {
		base = to.numTerms()
	}
	var out []pricedCondition
	for typos := range to.maxTypoCost() + 1 {
		term := *to
		if typos != 0 {
			term.zero = keepNothing
		}
		if typos != 1 {
			term.one = keepNothing
		}
		if typos != 2 {
			term.two = keepNothing
		}
		out = append(out, pricedCondition{base + typos, termCondition{term}})
	}
	return out
}

func (typoRule) score(r rank) scoreDetail { return scoreDetail{kind: scoreTypo, rank: r} }

// attributeRule ranks by the weight of the fields that hold the words.
type attributeRule struct{}

type fieldCondition struct {
	term  locatedTerm
	field int // a fieldID, -1 for none: matches nothing, but counts for the greatest cost
}

func (c fieldCondition) resolve(q *queryContext, universe *roaring.Bitmap) (*roaring.Bitmap, *locatedTerm, locatedTerm) {
	if c.field < 0 {
		return roaring.New(), nil, c.term
	}
	return q.subsetDocsInField(universe, &c.term.termSubset, fieldID(c.field)), nil, c.term
}

func (attributeRule) edges(q *queryContext, _, to *locatedTerm) []pricedCondition {
	fields := bitset{}
	add := func(list []keyedDocs) {
		for _, k := range list {
			fields.add(int(k.key))
		}
	}
	q.eachPosting(&to.termSubset, true, func(fields, _ []keyedDocs) { add(fields) })
	var out []pricedCondition
	greatest := 0
	fields.each(func(f int) {
		weight, ok := q.cfg.weights[fieldID(f)]
		if !ok {
			return
		}
		greatest = max(greatest, weight)
		out = append(out, pricedCondition{weight * to.numTerms(), fieldCondition{*to, f}})
	})
	if q.cfg.maxWeight > greatest {
		out = append(out, pricedCondition{q.cfg.maxWeight * to.numTerms(), fieldCondition{*to, -1}})
	}
	return out
}

func (attributeRule) score(r rank) scoreDetail { return scoreDetail{kind: scoreField, rank: r} }

// positionRule ranks by how far each word stands from its place in the query.
type positionRule struct {
	positions map[positionCondition][]uint16
}

// positionCondition is satisfied by a term at any of the positions that cost the same.
type positionCondition struct {
	term locatedTerm
	cost int
	rule *positionRule
}

func (c positionCondition) resolve(q *queryContext, universe *roaring.Bitmap) (*roaring.Bitmap, *locatedTerm, locatedTerm) {
	out := roaring.New()
	for _, position := range c.rule.positions[c] {
		q.subsetDocsAt(out, universe, &c.term.termSubset, position)
	}
	out.And(universe)
	return out, nil, c.term
}

// maxPositionCost is the cost of a word far from its place.
const maxPositionCost = 10

func (r *positionRule) edges(q *queryContext, _, to *locatedTerm) []pricedCondition {
	positions := map[uint16]bool{}
	q.eachPosting(&to.termSubset, false, func(_, list []keyedDocs) {
		for _, k := range list {
			positions[k.key] = true
		}
	})
	byCost := map[int][]uint16{}
	for position := range positions {
		distance := int(position) - int(to.posStart)
		if distance < 0 {
			distance = -distance
		}
		cost := 0
		for i := range to.numTerms() {
			cost += positionCost(distance + i)
		}
		byCost[cost] = append(byCost[cost], position)
	}
	if greatest := maxPositionCost * to.numTerms(); byCost[greatest] == nil {
		byCost[greatest] = []uint16{}
	}
	out := make([]pricedCondition, 0, len(byCost))
	for cost, list := range byCost {
		c := positionCondition{*to, cost, r}
		r.positions[c] = list
		out = append(out, pricedCondition{cost, c})
	}
	slices.SortFunc(out, func(a, b pricedCondition) int { return a.cost - b.cost })
	return out
}

func (*positionRule) score(r rank) scoreDetail { return scoreDetail{kind: scorePosition, rank: r} }

func positionCost(distance int) int {
	for cost, limit := range []int{0, 1, 4, 7, 11, 16, 24, 64, 256, 1024} {
		if distance <= limit {
			return cost
		}
	}
	return maxPositionCost
}

// eachPosting visits the postings of the words of a subset. Of a phrase it visits all words, or the first one only.
func (q *queryContext) eachPosting(s *termSubset, allOfPhrase bool, visit func(fields, positions []keyedDocs)) {
	word := func(w string) {
		if p := q.words.lookup(w); p != nil {
			visit(p.fields, p.positions)
		}
	}
	for _, w := range s.words(q) {
		word(w.word)
	}
	for _, p := range s.phrases(q) {
		if !allOfPhrase {
			word(p.first())
			continue
		}
		for _, w := range p.words {
			word(w)
		}
	}
	if w, ok := s.prefixWord(); ok {
		if p := q.dict.prefix(w.word); p != nil {
			visit(p.fields, p.positions)
		}
	}
}

// exactnessRule ranks by the number of words matched as written.
type exactnessRule struct{}

type exactCondition struct{ term locatedTerm }

func (c exactCondition) resolve(q *queryContext, universe *roaring.Bitmap) (*roaring.Bitmap, *locatedTerm, locatedTerm) {
	left := c.term
	left.keepOnlyExact()
	left.mandatory = true
	word, phrase, ok := c.term.exactTerm()
	switch {
	case !ok:
		return roaring.New(), nil, left
	case phrase != nil:
		return roaring.And(q.docsOfPhrase(phrase), universe), nil, left
	}
	docs := q.wordDocs(termWord{word: word})
	docs.And(universe)
	return docs, nil, left
}

func (exactnessRule) edges(_ *queryContext, _, to *locatedTerm) []pricedCondition {
	return []pricedCondition{{0, exactCondition{*to}}, {to.numTerms(), termCondition{*to}}}
}

func (exactnessRule) score(r rank) scoreDetail { return scoreDetail{kind: scoreExactWords, rank: r} }
