package engine

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/RoaringBitmap/roaring/v2"

	"miroir/meili"
)

// request is a checked search: what to look for and how far to rank.
type request struct {
	ctx        SearchContext
	query      *meili.SearchQuery
	kind       meili.SearchKind
	sorts      []sortCriterion
	universe   *roaring.Bitmap // documents the filter lets through
	restricted *restrictedFields
	distinct   int // a fieldID, -1 for none
	length     int // number of documents to rank
	exhaustive bool
	embedder   *embedder
	vector     []float32 // nil without
	deadline   time.Time
	pins       []placedPin // most important first
}

// found is ranked documents and what is needed to show them.
type found struct {
	rankResult
	words    *matchingWords
	semantic bool // a semantic or hybrid search
}

// search answers a search the way Meilisearch v1.50 does by default: as a federated search of one query, which ranks from the
// first document on and cuts the page out afterwards.
func (st *state) search(ctx SearchContext, q *meili.SearchQuery) (*Result, *meili.Error) {
	r, err := st.newRequest(ctx, q)
	if err != nil {
		return nil, err
	}
	var facets *facetResult
	if q.Facets != nil {
		if err := meili.CheckFacets(*q.Facets, st.cfg.filterable); err != nil {
			return nil, err
		}
	}
	f := st.run(r)
	f.settlePins(r.length)
	if q.Distinct != nil && r.distinct >= 0 {
		st.dropSameBlank(*q.Distinct, &f)
	}
	if q.Facets != nil && len(*q.Facets) > 0 {
		if facets, err = st.facetDistribution(*q.Facets, f.candidates); err != nil {
			return nil, err
		}
	}
	return st.result(r, f, facets), nil
}

// newRequest checks a query against the settings. Errors: the invalid_search_* codes, feature_not_enabled,
// missing_search_hybrid, invalid_vector_dimensions, vector_embedding_error.
func (st *state) newRequest(ctx SearchContext, q *meili.SearchQuery) (*request, *meili.Error) {
	r := &request{ctx: ctx, query: q, exhaustive: q.Paged(), deadline: time.Now().Add(time.Duration(st.cfg.cutoffMs) * time.Millisecond)}
	var err *meili.Error
	if r.kind, err = q.Kind(ctx.Features); err != nil {
		return nil, err
	}
	if err := st.setVector(r); err != nil {
		return nil, err
	}
	if q.Sort != nil {
		if r.sorts, err = parseSorts(*q.Sort, meili.CodeInvalidSearchSort); err != nil {
			return nil, err
		}
	}
	if q.AttributesToSearchOn != nil {
		if r.restricted, err = st.restrict(ctx, *q.AttributesToSearchOn); err != nil {
			return nil, err
		}
	}
	if err := st.setDistinct(r); err != nil {
		return nil, err
	}
	if r.universe, err = st.filterDocs(ctx, q.Filter); err != nil {
		return nil, err
	}
	if err := st.checkSorts(ctx, r.sorts, meili.CodeInvalidSearchSort); err != nil {
		return nil, err
	}
	_, to := q.Window()
	r.length = min(to, st.cfg.maxTotalHits)
	st.setPins(r)
	return r, nil
}

// setVector finds the embedder and the vector of semantic and hybrid searches. A hybrid search without a vector goes on as a
// keyword search: there is nothing here that could embed its words.
func (st *state) setVector(r *request) *meili.Error {
	if r.query.Hybrid == nil || r.kind == meili.KeywordSearch {
		return nil
	}
	var err *meili.Error
	if r.embedder, err = st.findEmbedder(r.query.Hybrid.Embedder, meili.CodeInvalidSearchEmbedder); err != nil {
		return err
	}
	if r.query.Vector != nil {
		r.vector, err = r.embedder.queryVector(r.query.Vector)
		return err
	}
	if r.kind == meili.SemanticSearch {
		return meili.Errorf(meili.CodeVectorEmbeddingError, "Error while generating embeddings: user error: attempt to embed the following text in a configuration where embeddings must be user provided:\n  - `%s`", *r.query.Q)
	}
	return nil
}

// restrict resolves attributesToSearchOn. Unknown names are an error only when the searchable fields are listed.
func (st *state) restrict(ctx SearchContext, names []string) (*restrictedFields, *meili.Error) {
	out := &restrictedFields{}
	everything := false
	for _, name := range names {
		if name == "*" {
			everything = true
			continue
		}
		matched := false
		for i, field := range st.cfg.searchNames {
			if field != name && (!strings.Contains(name, "*") || matchPattern(name, field) != fullMatch) {
				continue
			}
			matched = true
			if slices.Contains(st.cfg.typos.exactFields, field) {
				out.exact = append(out.exact, st.cfg.searchableIDs[i])
			} else {
				out.tolerant = append(out.tolerant, st.cfg.searchableIDs[i])
			}
		}
		if !matched && st.cfg.searchable != nil && !slices.Contains(st.cfg.searchable, name) {
			return nil, meili.Errorf(meili.CodeInvalidSearchAttributesToSearchOn, "%sAttribute `%s` is not searchable. %s", ctx.prefix(), name, st.available("searchable attributes", st.cfg.searchNames))
		}
	}
	if everything {
		return nil, nil
	}
	return out, nil
}

// run ranks the documents of a request.
func (st *state) run(r *request) found {
	switch r.kind {
	case meili.SemanticSearch:
		return st.runVector(r)
	case meili.HybridSearch:
		return st.runHybrid(r)
	}
	return st.runKeyword(r)
}

// rankRequest is the part of a rank request that all kinds share.
func (r *request) rankRequest(universe *roaring.Bitmap) rankRequest {
	return rankRequest{
		universe: universe, distinct: r.distinct, length: r.length, threshold: r.query.RankingScoreThreshold, deadline: r.deadline,
	}
}

// runKeyword ranks by words, or everything for a query without any.
func (st *state) runKeyword(r *request) found {
	q := st.newQueryContext()
	q.restricted = r.restricted
	universe := r.universe.Clone()
	var parsed *parsedQuery
	if !r.query.IsPlaceholder() {
		parsed = q.parseQuery(*r.query.Q)
		q.exclude(universe, parsed)
	}
	strategy := r.query.EffectiveMatchingStrategy()
	kind := placeholderRules
	var graph *queryGraph
	if parsed != nil && len(parsed.terms) > 0 {
		kind, graph = queryRules, parsed.graph
		universe = q.reduce(universe, graph, strategy)
	}
	request := r.rankRequest(universe)
	request.query = graph
	request.rules = st.rankingRules(kind, strategy, r.sorts, nil)
	out := found{rankResult: q.rank(st.evaluateAll(r, request))}
	out.insertPins(r)
	st.countDistinct(r, &out)
	if graph != nil {
		out.words = newMatchingWords(parsed.terms)
	}
	return out
}

// evaluateAll makes paged searches with a threshold rank as far as hits can be reached.
func (st *state) evaluateAll(r *request, request rankRequest) rankRequest {
	if r.exhaustive && request.threshold != nil {
		request.evaluate = st.cfg.maxTotalHits
	}
	return request
}

// exclude takes documents with negative words and phrases out of a universe.
func (q *queryContext) exclude(universe *roaring.Bitmap, parsed *parsedQuery) {
	ignored := roaring.New()
	for _, word := range parsed.negativeWords {
		q.addWordDocs(ignored, termWord{word: word})
	}
	for _, p := range parsed.negativePhrases {
		ignored.Or(q.docsOfPhrase(p))
	}
	universe.AndNot(ignored)
}

// reduce keeps the documents that match what the strategy never drops.
func (q *queryContext) reduce(universe *roaring.Bitmap, graph *queryGraph, strategy string) *roaring.Bitmap {
	reduced := graph.clone()
	var drop bitset
	for _, group := range graph.removalOrder(q, strategy) {
		drop.union(group)
	}
	reduced.bypass(drop)
	docs := q.graphDocs(reduced, universe)
	docs.And(universe)
	return docs
}

// result shows the page of a search.
func (st *state) result(r *request, f found, facets *facetResult) *Result {
	q := r.query
	out := &Result{Hits: []Hit{}, Paged: q.Paged(), Degraded: f.degraded, TotalHits: int(f.candidates.GetCardinality()), candidates: f.candidates}
	if q.Q != nil {
		out.Query = *q.Q
	}
	if out.Paged {
		out.Page, out.HitsPerPage = q.EffectivePage(), q.EffectiveHitsPerPage()
		if out.HitsPerPage > 0 {
			out.TotalPages = (out.TotalHits + out.HitsPerPage - 1) / out.HitsPerPage
		}
	} else {
		out.Limit, out.Offset = q.EffectiveLimit(), q.EffectiveOffset()
	}
	format := st.newHitFormat(r.ctx, q, f.words)
	from, to := q.Window()
	semantic := 0
	pinned := slices.ContainsFunc(f.scores[:min(to, len(f.scores))], func(details []scoreDetail) bool { return len(details) > 0 && details[0].kind == scorePin })
	for i := range f.docs[:min(to, len(f.docs))] {
		if i < from && !pinned {
			continue
		}
		if slices.ContainsFunc(f.scores[i], func(d scoreDetail) bool { return d.kind == scoreVector }) {
			semantic++ // before the page too where rules pin
		}
		if i >= from {
			out.Hits = append(out.Hits, format.hit(f.docs[i], f.scores[i]))
		}
	}
	if f.semantic {
		out.SemanticHitCount = &semantic
		if isTrue(q.RetrieveVectors) && r.vector != nil {
			out.QueryVector = vectorJSON(r.vector)
		}
	}
	if facets != nil {
		out.FacetDistribution, out.FacetStats = facets.distributionJSON(), facets.statsJSON()
	}
	return out
}

func vectorJSON(vector []float32) json.RawMessage {
	out := []byte{'['}
	for i, v := range vector {
		if i > 0 {
			out = append(out, ',')
		}
		out = strconv.AppendFloat(out, float64(v), 'f', -1, 32)
		if v == float32(math.Trunc(float64(v))) {
			out = append(out, ".0"...)
		}
	}
	return append(out, ']')
}
