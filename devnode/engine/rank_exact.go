package engine

import (
	"cmp"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
)

// exactAttribute returns three buckets: documents with a field that is exactly the query, documents with a field that starts
// with the query, and the rest.
type exactAttribute struct {
	query  *queryGraph
	stage  int // 0 to 2: the bucket to return next
	fields []exactField
}

// exactField is what one field contributes.
type exactField struct {
	starts   *roaring.Bitmap // the field starts with the words of the query
	sameSize *roaring.Bitmap // the field has as many words as the query
}

// exactPart is a word or phrase the user wrote and its place in the query.
type exactPart struct {
	words     []string
	start     uint16
	id        uint8
	numPlaces int
}

func (r *exactAttribute) start(q *queryContext, universe *roaring.Bitmap, query *queryGraph) {
	r.query, r.stage, r.fields = query, 2, nil
	parts := exactParts(query)
	if len(parts) == 0 {
		return
	}
	candidates := universe.Clone()
	places := 0
	for _, p := range parts {
		places += p.numPlaces
		for offset, word := range p.words {
			if word == "" {
				continue
			}
			docs := roaring.New()
			if posting := q.words.lookup(word); posting != nil {
				orInto(docs, findKeyed(posting.positions, bucketPosition(p.start+uint16(offset))))
			}
			candidates.And(docs)
		}
		if candidates.IsEmpty() {
			return
		}
	}
	r.stage = 0
	for _, f := range q.cfg.searchableIDs {
		r.addField(q, f, parts, candidates, places)
	}
}

// exactParts are the parts of the query as written, without holes; nil when a word is missing.
func exactParts(query *queryGraph) []exactPart {
	var parts []exactPart
	for i := range query.nodes {
		n := &query.nodes[i]
		if n.kind != termNode {
			continue
		}
		word, phrase, ok := n.term.exactTerm()
		if !ok {
			continue
		}
		p := exactPart{words: []string{word}, start: n.term.posStart, id: n.term.idStart, numPlaces: n.term.numPositions()}
		if phrase != nil {
			p.words = phrase.words
		}
		parts = append(parts, p)
	}
	slices.SortStableFunc(parts, func(a, b exactPart) int { return cmp.Compare(a.id, b.id) })
	parts = slices.CompactFunc(parts, func(a, b exactPart) bool { return a.id == b.id })
	previous := uint8(0)
	for i, p := range parts {
		if i == 0 && p.id != 0 || p.id-previous > 1 {
			return nil
		}
		previous = p.id
	}
	return parts
}

func (r *exactAttribute) addField(q *queryContext, f fieldID, parts []exactPart, candidates *roaring.Bitmap, places int) {
	docs := candidates.Clone()
	any := false
	for _, p := range parts {
		for _, word := range p.words {
			if word == "" {
				continue
			}
			any = true
			in := q.fieldDocs(word, f)
			if in == nil {
				return
			}
			docs.And(in)
		}
	}
	if !any || docs.IsEmpty() {
		return
	}
	same := roaring.New()
	if places < 255 {
		orInto(same, q.words.counts[wordCount{f, uint8(places)}])
	}
	r.fields = append(r.fields, exactField{docs, same})
}

func (r *exactAttribute) next(universe *roaring.Bitmap) (bucket, bool) {
	docs := roaring.New()
	stage := r.stage
	switch stage {
	case 0:
		for _, f := range r.fields {
			docs.Or(roaring.And(f.starts, f.sameSize))
		}
	case 1:
		for _, f := range r.fields {
			docs.Or(roaring.AndNot(f.starts, f.sameSize))
		}
	default:
		docs.Or(universe)
	}
	docs.And(universe)
	r.stage = min(stage+1, 2)
	return bucket{r.query, docs, scoreDetail{kind: scoreExactAttribute, rank: rank{3 - stage, 3}}}, true
}

func (r *exactAttribute) end() { r.fields, r.stage = nil, 2 }
