package proxy

import (
	"context"
	"slices"
	"strings"
	"unicode"

	"miroir/fsm"
	"miroir/meili"
)

// counts are what totals and facets are made of: what nodes count, and hits counted or not counted on top of that.
type counts struct {
	total   int
	parts   []*facets
	filters map[fsm.NodeID]string // what candidates that a node counts must satisfy besides the search, "" for nothing
	added   []hit                 // hits to count that the filters leave out
	// addedFacets are those of added, nil: as far as the hits show them.
	addedFacets []*facets
	rejected    []hit // hits not to count although nodes did
	free        bool  // documents below the score threshold are counted as well
}

// allParts are the facets of all that is counted.
func (c *counts) allParts(fields map[string]bool) []*facets {
	if c.addedFacets != nil {
		return slices.Concat(c.parts, c.addedFacets)
	}
	return append(slices.Clone(c.parts), facetsOfHits(c.added, fields))
}

// winners are the hits that distinct keeps while one server fills the window, best first: those of [0, to), and behind
// it those that tie with its last hit, because duplicates are removed from whole buckets of ties.
type winners struct {
	hits     []hit
	lists    []int // lists[i] is the list that hits[i] is of
	rejected []hit
	// open are the lists that may go on with hits that belong to the winners; short says that hits of the window may be among
	// them: one hit with several values can make all of a list duplicates.
	open  []int
	short bool
}

// findWinners merges lists like mergeHits. reach is the length at which nodes cut their lists. unranked says that one
// server takes the first documents it meets and stops at the end of the window.
func findWinners(lists [][]hit, to, reach int, distinct string, unranked bool) winners {
	var w winners
	heads := make([]int, len(lists))
	seen := map[string]bool{}
	for {
		best := bestHead(lists, heads, compareHits)
		if best < 0 {
			break
		}
		h := lists[best][heads[best]]
		if len(w.hits) >= to && (unranked || to == 0 || byScore(&h, &w.hits[len(w.hits)-1]) != 0) {
			break
		}
		heads[best]++
		if !isDuplicate(&h, distinct, seen) {
			w.hits, w.lists = append(w.hits, h), append(w.lists, best)
		} else {
			w.rejected = append(w.rejected, h)
		}
		w.short = w.short || len(w.hits) < to && len(lists[best]) >= reach && heads[best] == len(lists[best])
	}
	w.short = w.short || len(w.hits) < to
	for i, list := range lists {
		if len(list) >= reach && len(list) > 0 && heads[i] == len(list) && (w.short || !unranked) {
			w.open = append(w.open, i)
		}
	}
	return w
}

// maxRefills bounds the lists that are asked for again because of duplicates, for one search.
const maxRefills = 64

// distinctMerge merges lists of hits that nodes made distinct by a field each for itself. A hit that another node's makes a
// duplicate may have kept others out of its list, which do not share that value: refill asks for a list's hits again, without
// those that have some values. full says that a list is as long as it may be.
type distinctMerge struct {
	lists   [][]hit
	full    []bool
	field   string
	compare func(a, b *hit) int
	refill  func(list int, without []string) (hits []hit, full, ok bool)
}

// run returns the first hits, and those that lost to them.
func (d *distinctMerge) run(to int) (hits, rejected []hit) {
	heads, seen, kept, refills := make([]int, len(d.lists)), map[string]bool{}, map[string]bool{}, 0
	var taken []string
	again := func(list int) {
		if refills++; refills > maxRefills || len(taken) == 0 {
			d.full[list] = false
			return
		}
		if more, full, ok := d.refill(list, taken); ok {
			d.lists[list], d.full[list], heads[list] = more, full, 0
		} else {
			d.full[list] = false
		}
	}
	for len(hits) < to {
		best := bestHead(d.lists, heads, d.compare)
		if best < 0 {
			break
		}
		h := d.lists[best][heads[best]]
		heads[best]++
		switch identity := h.identity(); {
		case identity != "" && kept[identity]: // without a value it is in every list
		case !isDuplicate(&h, d.field, seen):
			hits, kept[identity] = append(hits, h), true
			for _, value := range h.facetTexts(d.field) {
				taken = append(taken, value.text)
			}
		default:
			rejected = append(rejected, h)
			if slices.ContainsFunc(h.facetValues(d.field), func(v string) bool { return !seen[v] }) {
				again(best)
			}
		}
		if d.full[best] && heads[best] == len(d.lists[best]) && len(hits) < to {
			again(best)
		}
	}
	return hits, rejected
}

// fillWindow asks nodes for more hits where duplicates on other nodes leave the window short.
func (q *search) fillWindow(ctx context.Context, answers []answered[*nodeAnswer], f searchForm) {
	if f.distinct == "" || len(answers) < 2 {
		return
	}
	w := findWinners(hitLists(answers), f.reach, f.reach, f.distinct, true)
	if !w.short || len(w.open) == 0 || f.reach >= q.settings.MaxTotalHits() {
		return
	}
	f.reach = q.settings.MaxTotalHits()
	for i, part := range q.again(ctx, answers, w.open, f) {
		longer := *answers[i].Value
		longer.hits = part.hits
		answers[i].Value = &longer
	}
	q.settleRanks(ctx, answers, f)
}

// count finds out what one server would show and count: the candidates of all nodes, of duplicates only those that it
// removes. What is left to be counted by nodes is so by those of the calls returned.
func (q *search) count(ctx context.Context, answers []answered[*nodeAnswer], f searchForm, m merged) ([]hit, counts, []Call) {
	c, certain := q.countSimply(ctx, answers, f, m)
	if !certain || f.distinct != "" && q.spelledVariously(slices.Concat(c.parts, c.addedFacets)) {
		if hits, counted := q.countByCensus(ctx, answers, f, m.from); counted != nil {
			return hits, *counted, nil
		}
	}
	if !certain {
		q.estimate(ctx, answers, f, m, &c)
		m.hits = q.refillWindow(ctx, answers, f, m)
	}
	return m.hits, c, callsOf(answers)
}

// refillWindow is the window of distinct hits where nodes do not list all documents: duplicates in their lists keep others out.
func (q *search) refillWindow(ctx context.Context, answers []answered[*nodeAnswer], f searchForm, m merged) []hit {
	if !f.distinctFederated || m.pinned || len(m.rejected) == 0 {
		return m.hits
	}
	d := distinctMerge{lists: hitLists(answers), full: make([]bool, len(answers)), field: f.distinct, compare: compareHits}
	f.reach = q.settings.MaxTotalHits()
	d.refill = func(list int, without []string) ([]hit, bool, bool) {
		wide, query := *q, *q.query
		query.Filter = meili.AndFilter(query.Filter, meili.AppendString(nil, "NOT "+fieldIn(f.distinct, without)))
		query.Facets, wide.query = nil, &query
		more := wide.again(ctx, answers, []int{list}, f)[list]
		if more == nil {
			return nil, false, false
		}
		return more.hits, len(more.hits) >= f.reach, true
	}
	for i, list := range d.lists {
		d.full[i] = len(list) >= min(m.to, f.reach)
	}
	hits, _ := d.run(m.to)
	return hits[min(m.from, len(hits)):]
}

// countSimply adds up what nodes count or can be asked for. The second result says whether that is what one server counts.
func (q *search) countSimply(ctx context.Context, answers []answered[*nodeAnswer], f searchForm, m merged) (counts, bool) {
	c := counts{parts: make([]*facets, len(answers))}
	for i, a := range answers {
		c.parts[i] = a.Value.facets
		c.total += a.Value.total
	}
	if len(answers) < 2 {
		return c, true
	}
	threshold := q.query.RankingScoreThreshold != nil && !q.unranked()
	if f.distinct != "" {
		certain := !m.pinned && !threshold && !q.query.Paged() && !hasSeveral(m.rejected, f.distinct) && q.countWinners(ctx, answers, f, &c)
		return c, certain
	}
	if threshold && q.stopsAboveThreshold(f, answers) {
		c.free = true
		q.withoutThreshold().countAlike(ctx, answers, &c)
		return c, !q.sorts()
	}
	return c, q.kind != meili.HybridSearch || !threshold && !q.leavesVectorsAlone(answers, f)
}

// leavesVectorsAlone reports whether a node was content with what it found by words, and so counts nothing else, in a hybrid search
// for which the words of all nodes do not suffice.
func (q *search) leavesVectorsAlone(answers []answered[*nodeAnswer], f searchForm) bool {
	share := wordsShare(q.query.Hybrid.EffectiveSemanticRatio())
	return share >= goodEnough && slices.ContainsFunc(answers, func(a answered[*nodeAnswer]) bool {
		return len(a.Value.hits) >= f.reach && !slices.ContainsFunc(a.Value.hits, func(h hit) bool {
			return h.score.isSemantic() || number(memberOf(h.federation, "weightedRankingScore"))*share < goodEnough
		})
	})
}

// estimate corrects counts where neither filters nor a census tell.
func (q *search) estimate(ctx context.Context, answers []answered[*nodeAnswer], f searchForm, m merged, c *counts) {
	if f.distinct == "" {
		return
	}
	if q.stopsAboveThreshold(f, answers) {
		q = q.withoutThreshold()
	}
	if q.query.Paged() {
		q.countGroups(ctx, answers, f, c)
		return
	}
	c.rejected = m.rejected
	c.total -= len(m.rejected)
}

func (q *search) withoutThreshold() *search {
	query := *q.query
	query.RankingScoreThreshold = nil
	free := *q
	free.query = &query
	return &free
}

// hasSeveral reports whether one of some hits has several values of a field. What a node rejected because of such a hit may
// have to stay when the hit itself is rejected because of one on another node.
func hasSeveral(hits []hit, field string) bool {
	return slices.ContainsFunc(hits, func(h hit) bool { return len(h.facetValues(field)) > 1 })
}

// unranked reports whether nothing ranks the documents of the search: no rule sorts, and it has no words or no rule is about
// them. No document is below a threshold then.
func (q *search) unranked() bool {
	return q.kind == meili.KeywordSearch && !q.sorts() && (q.hasNoWords() || !q.ranksWords())
}

// ranksWords reports whether a rule says how well words match: that as many as possible do says nothing where all must.
func (q *search) ranksWords() bool {
	return slices.ContainsFunc(q.settings.Ranking(), func(rule string) bool {
		return rule != "sort" && !strings.Contains(rule, ":") && (rule != "words" || deref(q.query.MatchingStrategy) != "all")
	})
}

// hasNoWords reports that a search text has none to look for: it is blank, or has only stop words and words to leave out.
func (q *search) hasNoWords() bool {
	if q.query.IsPlaceholder() {
		return true
	}
	if len(q.stopWords()) == 0 && !strings.Contains(*q.query.Q, "-") || q.splitsWordsItsOwnWay() {
		return false
	}
	pieces, ok := queryPieces(strings.TrimLeftFunc(*q.query.Q, unicode.IsSpace), q.stopWords())
	return ok && !slices.ContainsFunc(pieces, func(p queryPiece) bool { return p.removable || p.phrase > 0 })
}

// sorts reports whether a rule sorts, so that documents need not come by descending score.
func (q *search) sorts() bool {
	return slices.ContainsFunc(q.settings.Ranking(), func(rule string) bool {
		return strings.Contains(rule, ":") || rule == "sort" && len(deref(q.query.Sort)) > 0
	})
}

// stopsAboveThreshold reports whether one server would have filled the window before it met a document below the score
// threshold: documents come by descending score, and those behind the window are counted without a look at theirs. For pages
// it looks as far as hits can be reached.
func (q *search) stopsAboveThreshold(f searchForm, answers []answered[*nodeAnswer]) bool {
	numHits := 0
	for _, a := range answers {
		numHits += len(a.Value.hits)
	}
	return q.query.RankingScoreThreshold != nil && q.kind == meili.KeywordSearch && numHits >= f.reach &&
		(!q.query.Paged() || f.reach >= q.settings.MaxTotalHits())
}

// countAlike counts all candidates on every node. Where one does not answer what the nodes counted before stands.
func (q *search) countAlike(ctx context.Context, answers []answered[*nodeAnswer], c *counts) {
	counted := q.countAll(ctx, callsOf(answers), []countQuery{{facets: q.query.Facets}})
	if counted == nil {
		return
	}
	c.total = 0
	for i, a := range counted {
		c.parts[i] = a[0].facets
		c.total += a[0].total
	}
}

func hitLists(answers []answered[*nodeAnswer]) [][]hit {
	lists := make([][]hit, len(answers))
	for i, a := range answers {
		lists[i] = a.Value.hits
	}
	return lists
}

// lean is q asking for as many hits as can be reached, with no more of them than what ranks and counts them.
func (q *search) lean(f *searchForm) *search {
	wide := *q
	query := *q.query
	query.AttributesToRetrieve, query.AttributesToHighlight, query.AttributesToCrop = &[]string{}, nil, nil
	query.ShowMatchesPosition, query.RetrieveVectors = nil, nil
	wide.query = &query
	f.reach, f.retrieve = q.settings.MaxTotalHits(), &[]string{q.ix.PrimaryKey}
	if !f.distinctFederated {
		f.retrieve = &[]string{q.ix.PrimaryKey, f.distinct}
	}
	return &wide
}

// countGroups counts one document for each value of the distinct field, as one server does for pages: the number of values
// is exact where nodes can list them all. Facets miss the duplicates among the hits that can be reached.
func (q *search) countGroups(ctx context.Context, answers []answered[*nodeAnswer], f searchForm, c *counts) {
	total := c.total
	c.rejected, c.total = q.allDuplicates(ctx, answers, f, total)
	if !f.distinctFederated || q.query.RankingScoreThreshold != nil || q.kind == meili.HybridSearch {
		return
	}
	flat := *q
	query := *q.query
	query.Page, query.HitsPerPage = nil, nil
	flat.query = &query
	counted := flat.countAll(ctx, callsOf(answers), []countQuery{{facets: &[]string{f.distinct}}})
	if counted == nil {
		return
	}
	seen := map[string]bool{}
	for _, a := range counted {
		if a[0].facets == nil || isCut(len(a[0].facets.values[f.distinct]), q.settings.MaxValuesPerFacet()) {
			return
		}
		for _, value := range a[0].facets.values[f.distinct] {
			if key := normalizeFacet(value.text); seen[key] {
				total--
			} else {
				seen[key] = true
			}
		}
	}
	c.total = total
}

// facetTexts are the values of a field of a hit as facets show them, each once: of several spellings the last.
func (h *hit) facetTexts(field string) []facetValue {
	var values []facetValue
	places := map[string]int{}
	for _, document := range [][]byte{h.raw, h.extra} {
		eachFacetLeaf(document, field, func(leaf []byte) {
			shown, key := "", ""
			switch {
			case len(leaf) == 0 || leaf[0] == 'n':
				return
			case leaf[0] == '"':
				shown = text(leaf)
				if key = `"` + normalizeFacet(shown); key == blankFacet {
					return
				}
			case leaf[0] == 't' || leaf[0] == 'f':
				shown, key = string(leaf), `"`+string(leaf)
			default:
				shown = facetNumber(number(leaf))
				key = shown
			}
			if at, seen := places[key]; seen {
				values[at].text = shown
				return
			}
			places[key] = len(values)
			values = append(values, facetValue{shown, 1})
		})
	}
	return values
}

// facetsOfHits counts the values of fields over hits.
func facetsOfHits(hits []hit, fields map[string]bool) *facets {
	if len(hits) == 0 || len(fields) == 0 {
		return nil
	}
	parts := make([]*facets, 0, len(hits))
	for i := range hits {
		part := &facets{values: map[string][]facetValue{}, stats: map[string]facetStats{}}
		for field := range fields {
			part.values[field] = hits[i].facetTexts(field)
			for _, document := range [][]byte{hits[i].raw, hits[i].extra} {
				eachFacetLeaf(document, field, func(leaf []byte) {
					if len(leaf) == 0 || !strings.ContainsRune("-0123456789", rune(leaf[0])) {
						return
					}
					value, known := number(leaf), part.stats[field]
					if _, ok := part.stats[field]; !ok {
						known = facetStats{value, value}
					}
					part.stats[field] = facetStats{min(known.min, value), max(known.max, value)}
				})
			}
		}
		parts = append(parts, part)
	}
	return sumFacets(parts)
}

// sharing is the number of hits that have one of some values of a field.
func sharing(hits []hit, field string, values []string) int {
	normalized := make([]string, len(values))
	for i, value := range values {
		normalized[i] = normalizeFacet(value)
	}
	n := 0
	for i := range hits {
		own := hits[i].facetTexts(field)
		if slices.ContainsFunc(own, func(v facetValue) bool { return slices.Contains(normalized, normalizeFacet(v.text)) }) {
			n++
		}
	}
	return n
}
