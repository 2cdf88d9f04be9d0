package proxy

import (
	"cmp"
	"slices"

	"miroir/meili"
)

// A census is all documents that the queries on one index match. From it follows what one server would keep, show and count
// where that depends on how far it had to look (Meilisearch v1.50: milli search/new/bucket_sort.rs, search/new/mod.rs and
// search/hybrid.rs, search/federated/perform.rs). Taking one is in census_ask.go; here is no I/O.
type census struct {
	docs   []hit                 // in the order of insertion, which is that of one server's internal ids
	values map[string][][]string // values of distinct fields, by field and document
}

// placed is a document in the ranking of a query.
type placed struct {
	doc   int // of census.docs
	score score
	own   float64 // the global score before the query's weight
	query int
	// What queries are merged by: the weighted global score, and the query's turn.
	global float64
	turn   int
}

// ranking is all documents that a query ranks, best first: by words, and by vector.
type ranking struct {
	words, vectors []placed
	pins           []int // documents that rules pin: they are not ranked, and count
}

// found is what one query finds: its hits, best first, and the documents it counts, by number.
type found struct {
	hits       []placed
	candidates []bool
}

// extent says how far one server ranks for a query and what it leaves out on the way.
type extent struct {
	distinct  string // "" for none
	length    int    // hits wanted
	reachable int    // maxTotalHits
	threshold *float64
	paged     bool
}

// rank goes through all candidates of a query, best first, bucket by bucket of documents that tie, until the hits wanted are
// there. Of documents with a value in common the first one stays, those behind the last bucket included. Documents below the
// threshold are left out as far as they are met.
func (c *census) rank(all []placed, x extent) found {
	f := found{candidates: make([]bool, len(c.docs))}
	for _, p := range all {
		f.candidates[p.doc] = true
	}
	unranked := len(all) > 0 && len(all[0].score) == 0 // no rule ranks: one server stops amid documents, and minds no threshold
	enough := x.length
	if x.paged && x.threshold != nil && !unranked {
		enough = max(x.length, x.reachable)
	}
	taken := c.taking(x.distinct, false)
	from := 0
	for from < len(all) && len(f.hits) < enough {
		to := from + 1
		for !unranked && to < len(all) && compareScores(all[from].score, all[to].score) == 0 {
			to++
		}
		bucket := slices.Clone(all[from:to])
		slices.SortFunc(bucket, func(a, b placed) int { return cmp.Compare(a.doc, b.doc) })
		below := !unranked && x.threshold != nil && all[from].own < *x.threshold
		for _, p := range bucket {
			if below || !taken.take(p.doc) {
				f.candidates[p.doc] = false
			} else if len(f.hits) < x.length {
				f.hits = append(f.hits, p)
			}
		}
		from = to
	}
	for _, p := range all[from:] {
		f.candidates[p.doc] = !taken.shares(p.doc)
	}
	return f
}

// keepFirst leaves of candidates with a value in common the one inserted first, as one server counts for pages.
func (c *census) keepFirst(candidates []bool, distinct string) {
	taken := c.taking(distinct, false)
	for doc, counted := range candidates {
		candidates[doc] = counted && taken.take(doc)
	}
}

// find is what one server finds for a query.
func (c *census) find(q *meili.SearchQuery, kind meili.SearchKind, r ranking, x extent) found {
	withPins := func(f found) found {
		for _, doc := range r.pins {
			f.candidates[doc] = true
		}
		return f
	}
	if kind == meili.SemanticSearch {
		return withPins(c.rank(r.vectors, x))
	}
	words := withPins(c.rank(r.words, x))
	if x.paged && x.distinct != "" {
		c.keepFirst(words.candidates, x.distinct)
	}
	if kind == meili.HybridSearch {
		return withPins(c.hybrid(words, c.rank(r.vectors, x), q.Hybrid.EffectiveSemanticRatio(), x))
	}
	return words
}

// hybrid merges what is found by words and by vector, scores times the share of each.
func (c *census) hybrid(words, vectors found, semanticRatio float64, x extent) found {
	if len(words.hits) >= x.length && !slices.ContainsFunc(words.hits, func(p placed) bool { return p.own*wordsShare(semanticRatio) < goodEnough }) {
		return words
	}
	weighted := func(list []placed) []placed {
		list = slices.Clone(list)
		for i := range list {
			list[i].score = slices.Clone(list[i].score).weighted(semanticRatio)
		}
		return list
	}
	f := found{candidates: union(words.candidates, vectors.candidates)}
	taken, seen := c.taking(x.distinct, false), map[int]bool{}
	lists := [][]placed{vectors.hits, words.hits}
	mergePlaced([][]placed{weighted(vectors.hits), weighted(words.hits)}, func(a, b *placed) int { return compareScores(a.score, b.score) }, func(list, i int) bool {
		p := lists[list][i]
		if len(f.hits) == x.length {
			return false
		}
		if !seen[p.doc] && taken.take(p.doc) {
			f.hits = append(f.hits, p)
		}
		seen[p.doc] = true
		return true
	})
	if x.distinct != "" {
		for doc := range f.candidates {
			f.candidates[doc] = f.candidates[doc] && !taken.shares(doc)
		}
		for _, p := range f.hits {
			f.candidates[p.doc] = true
		}
	}
	return f
}

// merge joins the queries of a federated search on this index. distinct is what the federation asks for: its values are
// compared once more, and of the documents met until length hits are there those that lose are not counted.
func (c *census) merge(queries []found, distinct string, length int) found {
	f := found{candidates: make([]bool, len(c.docs))}
	lists := make([][]placed, len(queries))
	for i, q := range queries {
		f.candidates = union(f.candidates, q.candidates)
		lists[i] = q.hits
	}
	taken, seen := c.taking(distinct, true), map[int]bool{}
	mergePlaced(lists, comparePlaced, func(list, i int) bool {
		if len(f.hits) == length {
			return false
		}
		p := lists[list][i]
		switch {
		case seen[p.doc]:
		case taken.take(p.doc):
			f.hits = append(f.hits, p)
		default:
			f.candidates[p.doc] = false
		}
		seen[p.doc] = true
		return true
	})
	return f
}

// comparePlaced is byWeightedScore.
func comparePlaced(a, b *placed) int {
	return cmp.Or(compareWeighted(a.score, b.score, func() int { return cmp.Compare(a.global, b.global) }), cmp.Compare(b.turn, a.turn))
}

// mergePlaced visits the items of lists, each best first, in one order until visit returns false.
func mergePlaced(lists [][]placed, compare func(a, b *placed) int, visit func(list, i int) bool) {
	heads := make([]int, len(lists))
	for {
		best := -1
		for i, list := range lists {
			if heads[i] < len(list) && (best < 0 || compare(&list[heads[i]], &lists[best][heads[best]]) > 0) {
				best = i
			}
		}
		if best < 0 || !visit(best, heads[best]) {
			return
		}
		heads[best]++
	}
}

func union(a, b []bool) []bool {
	out := slices.Clone(a)
	for i := range out {
		out[i] = out[i] || b[i]
	}
	return out
}

// counted are the documents of candidates.
func (c *census) counted(candidates []bool) []hit {
	var hits []hit
	for doc, counted := range candidates {
		if counted {
			hits = append(hits, c.docs[doc])
		}
	}
	return hits
}

// takenValues remembers the values of a distinct field that documents have taken.
type takenValues struct {
	values [][]string // by document; nil: none has any
	taken  map[string]bool
}

// taking begins with no value taken. Blank texts are no facet values, but count where hits are compared by what they show.
func (c *census) taking(field string, blanks bool) takenValues {
	t := takenValues{taken: map[string]bool{}}
	if field == "" {
		return t
	}
	if c.values[field] == nil {
		if c.values == nil {
			c.values = map[string][][]string{}
		}
		c.values[field] = make([][]string, len(c.docs))
		for i := range c.docs {
			c.values[field][i] = c.docs[i].facetValues(field)
		}
	}
	if t.values = c.values[field]; !blanks {
		t.values = make([][]string, len(c.docs))
		for i, values := range c.values[field] {
			t.values[i] = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == blankFacet })
		}
	}
	return t
}

// blankFacet is the value of a text of nothing but blanks.
const blankFacet = `"`

func (t takenValues) shares(doc int) bool {
	return t.values != nil && slices.ContainsFunc(t.values[doc], func(v string) bool { return t.taken[v] })
}

// take takes the values of a document unless one of them is taken.
func (t takenValues) take(doc int) bool {
	if t.shares(doc) {
		return false
	}
	if t.values != nil {
		for _, value := range t.values[doc] {
			t.taken[value] = true
		}
	}
	return true
}

// negations are the words and phrases that a query excludes, as a query of its own: it finds what they do not.
func negations(q *meili.SearchQuery) string {
	var kept []byte
	phrase, negated, begins := false, false, true
	for _, c := range []byte(deref(q.Q)) {
		if begins && !phrase {
			negated = c == '-'
		}
		if c == '"' {
			phrase = !phrase
		}
		if begins = c == ' ' && !phrase; negated {
			kept = append(kept, c)
		}
	}
	return string(kept)
}
