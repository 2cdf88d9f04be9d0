package engine

import (
	"cmp"
	"container/heap"
	"slices"
	"strings"

	"github.com/RoaringBitmap/roaring/v2"

	"miroir/meili"
)

// facetSearch answers a search for the values of a facet. Errors: those of a search, facet_search_disabled,
// invalid_facet_search_facet_name.
func (st *state) facetSearch(ctx SearchContext, q *meili.FacetSearch) (*FacetHits, *meili.Error) {
	inner := &meili.SearchQuery{
		Q: q.Q, Vector: q.Vector, Media: q.Media, Hybrid: q.Hybrid, Filter: q.Filter, MatchingStrategy: q.MatchingStrategy,
		AttributesToSearchOn: q.AttributesToSearchOn, RankingScoreThreshold: q.RankingScoreThreshold, Locales: q.Locales,
	}
	if isTrue(q.ExhaustiveFacetCount) {
		page := 0
		inner.Page = &page
	}
	if !st.cfg.facetSearch {
		return nil, meili.Errorf(meili.CodeFacetSearchDisabled, "The facet search is disabled for this index")
	}
	r, err := st.newRequest(ctx, inner)
	if err != nil {
		return nil, err
	}
	if r.kind == meili.KeywordSearch {
		r.universe = st.run(r).candidates
	}
	if _, rule := meili.MatchFilterable(st.cfg.filterable, q.FacetName); rule == nil || !rule.FacetSearch {
		return nil, st.notFacetSearchable(q.FacetName)
	}
	out := &FacetHits{Hits: []FacetHit{}}
	id, ok := st.fields.ids[q.FacetName]
	if !ok || st.facets.fields[id] == nil {
		return out, nil
	}
	s := facetSearcher{st: st, field: id, candidates: r.universe, limit: st.cfg.maxFacets, byCount: st.cfg.byCount(q.FacetName)}
	if q.FacetQuery == nil {
		s.all()
	} else {
		s.query(*q.FacetQuery)
	}
	out.Hits = s.result()
	return out, nil
}

func (st *state) notFacetSearchable(name string) *meili.Error {
	var names []string
	for i := range st.cfg.filterable {
		if st.cfg.filterable[i].FacetSearch {
			names = append(names, st.cfg.filterable[i].Patterns...)
		}
	}
	list := "This index does not have configured facet-searchable attributes."
	if len(names) > 0 {
		list = st.available("facet-searchable attributes patterns", names)
	}
	return meili.Errorf(meili.CodeInvalidFacetSearchFacetName,
		"Attribute `%s` is not facet-searchable. %s To make it facet-searchable add it to the `filterableAttributes` index settings.", name, list)
}

// facetSearcher collects the values of a field that match.
type facetSearcher struct {
	st         *state
	field      fieldID
	candidates *roaring.Bitmap
	limit      int
	byCount    bool
	hits       facetHitHeap
}

// facetHitHeap has the worst hit on top: the least count, then the first value.
type facetHitHeap []FacetHit

func (h facetHitHeap) Len() int           { return len(h) }
func (h facetHitHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h facetHitHeap) Less(i, j int) bool { return compareFacetHits(h[i], h[j]) < 0 }
func (h *facetHitHeap) Push(x any)        { *h = append(*h, x.(FacetHit)) }
func (h *facetHitHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

func compareFacetHits(a, b FacetHit) int {
	return cmp.Or(cmp.Compare(a.Count, b.Count), cmp.Compare(a.Value, b.Value))
}

// insert adds a value if a candidate has it. In alphabetical order the first ones are kept, else the most frequent.
func (s *facetSearcher) insert(normalized string) {
	docs := s.st.facets.fields[s.field].strings[normalized]
	if docs == nil {
		return
	}
	count := int(docs.AndCardinality(s.candidates))
	if count == 0 {
		return
	}
	hit := FacetHit{s.st.originalFacet(s.field, docs.Minimum(), normalized), count}
	switch {
	case len(s.hits) < s.limit && s.byCount:
		heap.Push(&s.hits, hit)
	case len(s.hits) < s.limit:
		s.hits = append(s.hits, hit)
	case s.byCount && len(s.hits) > 0 && s.hits[0].Count <= count:
		s.hits[0] = hit
		heap.Fix(&s.hits, 0)
	}
}

func (s *facetSearcher) result() []FacetHit {
	out := append([]FacetHit{}, s.hits...)
	if s.byCount {
		slices.SortFunc(out, func(a, b FacetHit) int { return compareFacetHits(b, a) })
	}
	return out
}

func (s *facetSearcher) all() {
	for _, value := range s.st.facets.inOrder(s.field).strings {
		s.insert(value)
	}
}

// query looks for values that begin with a text, within as many typos as the length of the text allows.
func (s *facetSearcher) query(text string) {
	values, folded := s.foldedValues()
	query := foldFacet(text)
	typos := &s.st.cfg.typos
	keep := func(string) bool { return true }
	switch {
	case !typos.enabled || slices.Contains(typos.exactFields, s.st.fields.names[s.field]):
		for _, value := range withPrefix(folded, query) {
			s.insertAll(values[value])
		}
	case typos.exactWords[query]:
		s.insertAll(values[query])
	default:
		distance := 2
		if len(query) < typos.oneTypo {
			distance = 0
		} else if len(query) < typos.twoTypos {
			distance = 1
		}
		dfa := newLevenshtein(query, distance, true)
		searchWords(folded, 0, keep, func(value string, sets []editSet) bool {
			if int(dfa.distance(sets[0])) <= distance {
				s.insertAll(values[value])
			}
			return true
		}, dfa)
	}
}

func (s *facetSearcher) insertAll(values []string) {
	for _, value := range values {
		s.insert(value)
	}
}

// foldedValues are the values of the field by the form in which they are searched, and those forms in order.
func (s *facetSearcher) foldedValues() (map[string][]string, []string) {
	values := map[string][]string{}
	for _, value := range s.st.facets.inOrder(s.field).strings {
		folded := foldFacet(value)
		values[folded] = append(values[folded], value)
	}
	folded := make([]string, 0, len(values))
	for value := range values {
		folded = append(folded, value)
	}
	slices.Sort(folded)
	return values, folded
}

// foldFacet is the form of a facet value for searching: that of a word, as if the text were one.
func foldFacet(text string) string {
	s := scriptOther
	for _, r := range text {
		if own, _ := scriptOf(r); own != scriptOther {
			s = own
			break
		}
	}
	if s == scriptOther && isASCII(text) {
		return strings.Clone(text)
	}
	var tok token
	defaultTokenizer.normalize(text, s, false, &tok)
	return tok.lemma
}
