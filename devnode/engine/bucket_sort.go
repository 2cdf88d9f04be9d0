package engine

import (
	"time"

	"github.com/RoaringBitmap/roaring/v2"
)

// bucket is a set of documents that a rule ranks equal, with what it says about them.
type bucket struct {
	query *queryGraph // what the next rule ranks by
	docs  *roaring.Bitmap
	score scoreDetail
}

// rankingRule splits a universe into buckets, best first. start and end frame one universe; in between next is called with
// what is left of it. next returns false when there are no more buckets.
type rankingRule interface {
	start(q *queryContext, universe *roaring.Bitmap, query *queryGraph)
	next(universe *roaring.Bitmap) (bucket, bool)
	end()
}

// rankRequest says which documents to rank how far.
type rankRequest struct {
	rules     []rankingRule
	query     *queryGraph // nil for a placeholder search
	universe  *roaring.Bitmap
	distinct  int // a fieldID, -1 for none
	from      int
	length    int
	evaluate  int      // rank this many documents even if fewer are returned; 0: length
	threshold *float64 // documents that score less are dropped
	deadline  time.Time
}

// rankResult is ranked documents with their score details.
type rankResult struct {
	docs       []uint32
	scores     [][]scoreDetail
	candidates *roaring.Bitmap // all documents that match, ranked or not
	degraded   bool            // the deadline cut the ranking short
}

// ranking is the state of one bucket sort: each rule splits the buckets of the one before.
type ranking struct {
	rankRequest
	q         *queryContext
	out       rankResult
	current   int               // rule being asked
	universes []*roaring.Bitmap // by rule: documents it has not split yet
	scores    []scoreDetail     // of the rules before current
	offset    int               // documents ranked so far
}

// rank sorts the documents of a universe.
func (q *queryContext) rank(request rankRequest) rankResult {
	r := &ranking{rankRequest: request, q: q}
	r.out.candidates = request.universe.Clone()
	if int(request.universe.GetCardinality()) < request.from {
		return r.out
	}
	if len(request.rules) == 0 {
		return r.unranked()
	}
	r.universes = make([]*roaring.Bitmap, len(r.rules))
	for i := range r.universes {
		r.universes[i] = roaring.New()
	}
	r.universes[0] = request.universe.Clone()
	r.rules[0].start(q, request.universe, request.query)
	for len(r.out.docs) < max(r.evaluate, r.length) && r.step() {
	}
	return r.out
}

// step asks the current rule for a bucket; false ends the sort.
func (r *ranking) step() bool {
	universe := r.universes[r.current]
	if universe.IsEmpty() {
		return r.back()
	}
	if !r.deadline.IsZero() && time.Now().After(r.deadline) {
		return r.cutShort()
	}
	b, ok := r.rules[r.current].next(universe)
	if !ok {
		return r.back()
	}
	r.scores = append(r.scores, b.score)
	below := r.isBelow()
	universe.AndNot(b.docs)
	last := r.current == len(r.rules)-1
	if last || r.offset+int(b.docs.GetCardinality()) < r.from || below {
		if below {
			r.drop(b.docs)
		} else {
			r.add(b.docs)
		}
		r.scores = r.scores[:len(r.scores)-1]
		return true
	}
	r.current++
	r.universes[r.current] = b.docs.Clone()
	r.rules[r.current].start(r.q, b.docs, b.query)
	return true
}

// back returns to the rule before; false when there is none.
func (r *ranking) back() bool {
	r.universes[r.current] = roaring.New()
	r.rules[r.current].end()
	if r.current == 0 {
		return false
	}
	r.current--
	if len(r.scores) > r.current {
		r.scores = r.scores[:len(r.scores)-1]
	}
	return true
}

// cutShort takes what is left of a universe as it is.
func (r *ranking) cutShort() bool {
	r.out.degraded = true
	docs := r.universes[r.current]
	r.universes[r.current] = roaring.New()
	r.scores = append(r.scores, scoreDetail{kind: scoreSkipped})
	if r.isBelow() {
		r.drop(docs)
	} else {
		r.add(docs)
	}
	r.scores = r.scores[:len(r.scores)-1]
	return r.back()
}

func (r *ranking) isBelow() bool { return r.threshold != nil && globalScore(r.scores) < *r.threshold }

// drop takes documents that score too little out of the candidates, with all that the current rule would rank after them.
func (r *ranking) drop(docs *roaring.Bitmap) {
	r.out.candidates.AndNot(docs)
	r.out.candidates.AndNot(r.universes[r.current])
}

// add appends a bucket to the result, in order of internal ids.
func (r *ranking) add(docs *roaring.Bitmap) {
	if r.distinct >= 0 {
		remaining, excluded := r.q.st.distinctDocs(fieldID(r.distinct), docs)
		for _, u := range r.universes {
			u.AndNot(excluded)
		}
		r.out.candidates.AndNot(excluded)
		docs = remaining
	}
	r.out.candidates.Or(docs)
	skip := max(r.from-r.offset, 0)
	r.offset += int(docs.GetCardinality())
	it := docs.Iterator()
	for ; it.HasNext() && len(r.out.docs) < r.length; skip-- {
		doc := it.Next()
		if skip <= 0 {
			r.out.docs = append(r.out.docs, doc)
			r.out.scores = append(r.out.scores, append([]scoreDetail(nil), r.scores...))
		}
	}
}

// unranked returns documents in order of internal ids.
func (r *ranking) unranked() rankResult {
	excluded := roaring.New()
	skip := r.from
	it := r.universe.Iterator()
	for it.HasNext() && len(r.out.docs) < r.length {
		doc := it.Next()
		if r.distinct >= 0 {
			if excluded.Contains(doc) {
				continue
			}
			r.q.st.addSameValues(fieldID(r.distinct), doc, excluded)
		}
		if skip--; skip < 0 {
			r.out.docs = append(r.out.docs, doc)
			r.out.scores = append(r.out.scores, nil)
		}
	}
	r.out.candidates.AndNot(excluded)
	r.out.candidates.AddMany(r.out.docs)
	return r.out
}
