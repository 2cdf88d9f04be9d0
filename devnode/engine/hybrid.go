package engine

import (
	"cmp"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"

	"miroir/meili"
)

// runVector ranks by similarity to the vector of the request. Words of the query only exclude.
func (st *state) runVector(r *request) found {
	q := st.newQueryContext()
	q.restricted = r.restricted
	universe := r.universe.Clone()
	if r.kind == meili.HybridSearch && !r.query.IsPlaceholder() {
		q.exclude(universe, q.parseQuery(*r.query.Q))
	}
	request := r.rankRequest(universe)
	request.rules = st.rankingRules(vectorRules, "", r.sorts, func() rankingRule { return &vectorRule{embedder: r.embedder, target: r.vector, limit: r.length} })
	out := found{rankResult: q.rank(st.evaluateAll(r, request)), semantic: true}
	out.insertPins(r)
	return out
}

// goodEnough is the weighted score from which keyword hits make the semantic half of a hybrid search needless.
const goodEnough = 0.45

// runHybrid merges keyword and semantic hits by their weighted scores.
func (st *state) runHybrid(r *request) found {
	keyword := st.runKeyword(r)
	keyword.semantic = true
	ratio := r.query.Hybrid.EffectiveSemanticRatio()
	if r.vector == nil || keywordSuffices(keyword, r.length, float32(ratio)) {
		r.vector = nil // not used
		return keyword
	}
	vector := st.runVector(r)
	out := found{words: keyword.words, semantic: true}
	out.degraded = keyword.degraded || vector.degraded
	pins := keyword.takePins()
	for _, pin := range vector.takePins() {
		if !slices.Contains(pins, pin) {
			pins = append(pins, pin)
		}
	}
	slices.SortStableFunc(pins, func(a, b placedPin) int { return a.position - b.position })
	excluded := pinned(pins)
	take := func(doc uint32, details []scoreDetail) {
		if len(out.docs) >= r.length || !excluded.CheckedAdd(doc) {
			return
		}
		if r.distinct >= 0 {
			st.addSameValues(fieldID(r.distinct), doc, excluded)
		}
		out.docs, out.scores = append(out.docs, doc), append(out.scores, details)
	}
	k, v := 0, 0
	for k < len(keyword.docs) || v < len(vector.docs) {
		semanticFirst := k == len(keyword.docs) || v < len(vector.docs) &&
			compareHybrid(vector.scores[v], float32(ratio), keyword.scores[k], 1-float32(ratio)) >= 0
		if semanticFirst {
			take(vector.docs[v], vector.scores[v])
			v++
		} else {
			take(keyword.docs[k], keyword.scores[k])
			k++
		}
	}
	out.candidates = roaring.Or(vector.candidates, keyword.candidates)
	out.mergePins(pins, r.length)
	if r.distinct >= 0 {
		out.candidates.AndNot(excluded)
		out.candidates.AddMany(out.docs)
	}
	return out
}

func keywordSuffices(f found, length int, ratio float32) bool {
	if len(f.docs) < length {
		return false
	}
	for _, details := range f.scores {
		if globalScore(details)*float64(1-ratio) < goodEnough {
			return false
		}
	}
	return true
}

// compareHybrid compares scores of the two halves, each times its share; positive when a is better.
func compareHybrid(a []scoreDetail, aRatio float32, b []scoreDetail, bRatio float32) int {
	left, right := scoreValues(a), scoreValues(b)
	for i := range min(len(left), len(right)) {
		l, r := left[i], right[i]
		c := 0
		switch {
		case l.detail == nil && r.detail == nil:
			c = compareFloat(l.score*float64(aRatio), r.score*float64(bRatio))
		case l.detail == nil:
			c = scoreSign(l.score)
		case r.detail == nil:
			c = -scoreSign(r.score)
		case l.detail.kind == scoreSort && r.detail.kind == scoreSort:
			c = compareSorted(l.detail.ascending, l.detail.value, r.detail.value)
		case l.detail.kind == scoreGeo && r.detail.kind == scoreGeo:
			c = compareGeo(l.detail, r.detail)
		}
		if c != 0 {
			return c
		}
	}
	return len(left) - len(right)
}

// scoreSign ranks a score against a detail of another kind: above unless it is zero.
func scoreSign(score float64) int {
	if score == 0 {
		return -1
	}
	return 1
}

// compareSorted orders two values of a sorted field; positive when a comes first. Numbers come before strings, null last.
func compareSorted(ascending bool, a, b *jsonValue) int {
	order := func(v *jsonValue) int {
		switch v.kind {
		case jsonNumber:
			return 2
		case jsonString:
			return 1
		}
		return 0
	}
	if c := order(a) - order(b); c != 0 || a.kind == jsonNull {
		return c
	}
	c := cmp.Compare(a.text, b.text)
	if a.kind == jsonNumber {
		c = cmp.Compare(a.number(), b.number())
	}
	if ascending {
		return -c
	}
	return c
}

func compareGeo(a, b *scoreDetail) int {
	switch {
	case a.point == nil || b.point == nil:
		return boolOrder(a.point != nil) - boolOrder(b.point != nil)
	case a.ascending:
		return cmp.Compare(b.target.distance(*b.point), a.target.distance(*a.point))
	}
	return cmp.Compare(a.target.distance(*a.point), b.target.distance(*b.point))
}

// compareValue orders two entries of federated hits; positive when a comes first.
func compareValue(a, b WeightedValue) (order int, comparable bool) {
	scored := func(v WeightedValue) bool { return v.Kind == WeightedScore || v.Kind == VectorValue }
	switch {
	case scored(a) && scored(b):
		return compareFloat(a.Score, b.Score), true
	case a.Kind != b.Kind || a.Asc != b.Asc:
		return 0, false
	case a.Kind == SortValue:
		return compareSorted(a.Asc, parseJSON(a.Value), parseJSON(b.Value)), true
	case a.Distance == nil || b.Distance == nil:
		return boolOrder(a.Distance != nil) - boolOrder(b.Distance != nil), true
	}
	return compareFloat(*a.Distance, *b.Distance), true
}

// similar answers a search for documents near a stored one.
func (st *state) similar(ctx SearchContext, q *meili.Similar) (*Result, *meili.Error) {
	e, err := st.findEmbedder(q.Embedder, meili.CodeInvalidSimilarEmbedder)
	if err != nil {
		return nil, err
	}
	id, err := q.DocumentID()
	if err != nil {
		return nil, err
	}
	universe, err := st.filterDocs(ctx, q.Filter)
	if err != nil {
		if err.Code == meili.CodeInvalidSearchFilter {
			err = err.WithCode(meili.CodeInvalidSimilarFilter)
		}
		return nil, err
	}
	doc, ok := st.ids[id]
	if !ok {
		return nil, meili.Errorf(meili.CodeNotFoundSimilarID, "Document `%s` not found.", id)
	}
	universe.Remove(doc)
	candidates := universe.Clone()
	out := &Result{Hits: []Hit{}, Limit: q.EffectiveLimit(), Offset: q.EffectiveOffset()}
	format := st.newHitFormat(ctx, &meili.SearchQuery{
		AttributesToRetrieve: q.AttributesToRetrieve, RetrieveVectors: q.RetrieveVectors,
		ShowRankingScore: q.ShowRankingScore, ShowRankingScoreDetails: q.ShowRankingScoreDetails,
	}, nil)
	ranked := st.nearestTo(e, doc, universe, out.Offset+out.Limit+1)
	for i, near := range ranked {
		if i >= out.Offset+out.Limit {
			break
		}
		if i < out.Offset {
			continue
		}
		score := e.shifted(near.similarity)
		if q.RankingScoreThreshold != nil && float64(score) < *q.RankingScoreThreshold {
			candidates = bitmapOf(ranked[:i])
			break
		}
		out.Hits = append(out.Hits, format.hit(near.doc, []scoreDetail{{kind: scoreVector, similarity: &score}}))
	}
	out.TotalHits = min(int(candidates.GetCardinality()), st.cfg.maxTotalHits)
	out.candidates = candidates
	return out, nil
}

func bitmapOf(list []nearDoc) *roaring.Bitmap {
	out := roaring.New()
	for _, d := range list {
		out.Add(d.doc)
	}
	return out
}

// nearestTo lists documents of universe by their similarity to doc: for each vector of doc the limit nearest vectors of the same
// place in other documents.
func (st *state) nearestTo(e *embedder, doc uint32, universe *roaring.Bitmap, limit int) []nearDoc {
	var all, out []nearDoc
	for n, target := range st.docs[doc].vectors[e.name].list {
		near := st.nearest(e, n, target, universe)
		all = append(all, near[:min(limit, len(near))]...)
	}
	sortNearest(all)
	seen := roaring.New()
	for _, near := range all {
		if seen.CheckedAdd(near.doc) {
			out = append(out, near)
		}
	}
	return out
}
