package proxy

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"unicode"

	"miroir/meili"
	"miroir/tasks"
)

// What a server marks in hits depends on other documents too: it looks for the typos of a word only once it ranks documents
// that have all words before it (milli search/new/graph_based_ranking_rule.rs, matches/matching_words.rs). A node without such
// documents marks fewer words than one server that has all of them. It is asked once more without the words that keep it from
// going on, which none of the hits concerned has, and what it then marks is shown.

// marking is what a search that marks words consists of.
type marking struct {
	pieces   []queryPiece
	words    []int // places in pieces of the words that may be dropped, the last of them first
	phrase   int   // words of phrases
	trailing bool
}

// Bounds of what one node is asked for one search: further searches, and hits that each is to list at least where they are ranked
// by words first, so that those concerned can be elsewhere in the list.
const (
	maxMarkings  = 6
	markingReach = 200
)

// markingOf takes the search apart; nil when nodes mark what one server does, or when it cannot tell.
func (q *search) markingOf() *marking {
	if q.kind != meili.KeywordSearch || q.removal != nil || !hasFormatted(q.query) && !isTrue(q.query.ShowMatchesPosition) {
		return nil
	}
	if strategy := q.query.MatchingStrategy; strategy != nil && *strategy != "last" || q.splitsWordsItsOwnWay() {
		return nil
	}
	text := strings.TrimLeftFunc(deref(q.query.Q), unicode.IsSpace)
	pieces, ok := queryPieces(text, q.stopWords())
	if !ok || len(pieces) > maxFrequencyWords {
		return nil
	}
	m := &marking{pieces: pieces, trailing: strings.HasSuffix(text, " ")}
	for i, piece := range pieces {
		if piece.removable {
			m.words = append(m.words, i)
		}
		m.phrase += piece.phrase
	}
	if len(m.words) < 2 {
		return nil
	}
	return m
}

// matched is how many words a hit has, the first of the query on; the words are fewer where a search leaves some out. False
// when the hit does not tell.
func (m *marking) matched(h *hit, numWords int) (int, bool) {
	words := memberOf(memberOf(h.raw, "_rankingScoreDetails"), "words")
	if words == nil || int(number(memberOf(words, "maxMatchingWords"))) != numWords+m.phrase {
		return 0, false
	}
	return int(number(memberOf(words, "matchingWords"))) - m.phrase, true
}

// most is the greatest number of words that any of the hits has.
func (m *marking) most(hits []hit, numWords int) (int, bool) {
	most := 0
	for i := range hits {
		n, ok := m.matched(&hits[i], numWords)
		if !ok {
			return 0, false
		}
		most = max(most, n)
	}
	return most, true
}

// text is the search without all words but some, given by their positions in words.
func (m *marking) text(left []int) string {
	dropped := map[int]bool{}
	for i, at := range m.words {
		if !slices.Contains(left, i) {
			dropped[at] = true
		}
	}
	return stepWithout(m.pieces, dropped, m.trailing, func(string) int { return 0 }).text
}

// completeFormatted gives the hits of nodes a _formatted member that know none of the fields to highlight or crop, where other nodes
// know one: a node leaves the member out then, while one server that knows the field shows it.
func (q *search) completeFormatted(ctx context.Context, answers []answered[*nodeAnswer], f searchForm, hits []hit) {
	if !hasFormatted(q.query) || len(answers) < 2 || q.removal != nil || formats(q.query, q.ix.PrimaryKey) {
		return
	}
	var without []int
	for i, a := range answers {
		if len(a.Value.hits) > 0 && memberOf(a.Value.hits[0].raw, "_formatted") == nil {
			without = append(without, i)
		}
	}
	if len(without) == 0 || !slices.ContainsFunc(hitLists(answers), func(list []hit) bool { return len(list) > 0 && memberOf(list[0].raw, "_formatted") != nil }) {
		return
	}
	wide, query := *q, *q.query
	query.AttributesToCrop = croppedToo(q.query, q.ix.PrimaryKey)
	query.Facets, wide.query = nil, &query
	formatted := map[string]hit{}
	for _, a := range wide.again(ctx, answers, without, f) {
		for _, h := range a.hits {
			formatted[h.identity()] = h
		}
	}
	cutter := hitCutter{&shape{}}
	if retrieve := q.query.AttributesToRetrieve; retrieve != nil && !retrieves(*retrieve, q.ix.PrimaryKey) {
		cutter = cutter.inFormatted(q.ix.PrimaryKey)
	}
	for i := range hits {
		if h, ok := formatted[hits[i].identity()]; ok && h.identity() != "" {
			hits[i].raw = cutter.appendHit(nil, &h)
		}
	}
}

// croppedToo are the attributes to crop with a primary key: every document has it, and it stays whole.
func croppedToo(query *meili.SearchQuery, key string) *[]string {
	return new(append(slices.Clone(deref(query.AttributesToCrop)), key+":0"))
}

// completeFormatted is that of a search, for each query.
func (f *federated) completeFormatted(ctx context.Context, answers []*federatedAnswer, hits []hit) {
	for i := range f.multi.Queries {
		query, uid := &f.multi.Queries[i].SearchQuery, f.multi.Queries[i].IndexUID
		key := f.indexes[uid].PrimaryKey
		if !hasFormatted(query) || formats(query, key) {
			continue
		}
		var without []*federatedAnswer
		known := false
		for _, a := range answers {
			if list := a.hits[i]; len(list) > 0 && memberOf(list[0].raw, "_formatted") == nil {
				without = append(without, a)
			} else if len(list) > 0 {
				known = true
			}
		}
		if !known {
			continue
		}
		lists := make([][]hit, len(without))
		eachAtOnce(len(without), func(n int) {
			part, distinct := without[n].part, cmp.Or(f.distinctOf(i), deref(f.multi.Federation.Distinct), tasks.NoField)
			ctx, cancel := f.s.inTime(ctx, f.view, f.indexes[uid], part.calls[uid])
			defer cancel()
			lists[n], _ = f.askAlone(ctx, part, i, distinct, func(m *meili.MultiSearch) {
				m.Queries[0].AttributesToCrop = croppedToo(query, key)
			}) // what is known without is worth no failure
		})
		for _, as := range slices.Concat(lists...) {
			for n := range hits {
				if h := &hits[n]; h.query == i && h.identity() == as.identity() && as.identity() != "" {
					h.raw = withScores(as.raw, h.raw)
					if query.AttributesToRetrieve != nil && !retrieves(*query.AttributesToRetrieve, key) {
						h.raw = strip(h.raw, &shape{members: []namedShape{{"_formatted", &shape{drop: []string{key}}}}})
					}
				}
			}
		}
	}
}

// completeMarks makes nodes mark in the hits of a window, from the one at from on, what one server would.
func (q *search) completeMarks(ctx context.Context, answers []answered[*nodeAnswer], f searchForm, hits []hit, from int) {
	m := q.markingOf()
	if m == nil || len(hits) == 0 || len(answers) < 2 || f.pins != nil {
		return
	}
	lists := hitLists(answers)
	all := mergeHits(lists, 0, len(slices.Concat(lists...)), "", false, compareHits).hits
	if _, ok := m.most(all, len(m.words)); !ok {
		return
	}
	shown := make(map[string]*hit, len(hits))
	for i := range hits {
		shown[hits[i].identity()] = &hits[i]
	}
	criteria := q.sortsBeforeWords()
	ranked, losers := separateLosers(all, criteria, f.distinct)
	needed := m.soughtIn(ranked, from, f.reach, criteria)
	eachAtOnce(len(lists), func(i int) {
		r := remarking{search: q, call: answers[i].Call, form: f, marking: m, needed: needed}
		own := lists[i]
		last := lastShown(own, shown)
		if last < 0 {
			return
		}
		r.form.reach = last + 1
		sought := m.soughtIn(own, 0, len(own), criteria)
		if sought > needed {
			r.markNoFurther(ctx, shown, valuesOf(own, losers, f))
			left := slices.DeleteFunc(slices.Clone(own[:last+1]), func(h hit) bool { return losers[h.identity()] })
			sought = m.soughtIn(left, 0, len(left), criteria)
		}
		if criteria == 0 {
			r.form.reach = max(f.reach, markingReach)
		}
		if sought < needed {
			r.markByWords(ctx, r.byMatched(own, shown), r.all())
		}
	})
}

func lastShown(own []hit, shown map[string]*hit) int {
	for i := len(own) - 1; i >= 0; i-- {
		if shown[own[i].identity()] != nil {
			return i
		}
	}
	return -1
}

// separateLosers takes duplicates of hits in an earlier bucket out, which one server does not rank.
func separateLosers(hits []hit, criteria int, distinct string) (left []hit, losers map[string]bool) {
	if distinct == "" {
		return hits, nil
	}
	taken, losers := map[string]bool{}, map[string]bool{}
	for start := 0; start < len(hits); {
		end := bucketEnd(hits, start, criteria)
		before := len(left)
		for i := start; i < end; i++ {
			if slices.ContainsFunc(hits[i].facetValues(distinct), func(v string) bool { return taken[v] }) {
				losers[hits[i].identity()] = true
			} else {
				left = append(left, hits[i])
			}
		}
		for i := before; i < len(left); i++ {
			for _, value := range left[i].facetValues(distinct) {
				taken[value] = true
			}
		}
		start = end
	}
	return left, losers
}

// valuesOf are the distinct values by which hits of a node lose, as far as they can be filtered by and no other hit has them.
func valuesOf(own []hit, losers map[string]bool, f searchForm) []string {
	if !f.distinctFederated {
		return nil
	}
	lost, kept := map[string]bool{}, map[string]bool{}
	for i := range own {
		for _, value := range own[i].facetTexts(f.distinct) {
			if losers[own[i].identity()] {
				lost[value.text] = true
			} else {
				kept[value.text] = true
			}
		}
	}
	maps.DeleteFunc(lost, func(value string, _ bool) bool { return kept[value] })
	return slices.Sorted(maps.Keys(lost))
}

// bucketEnd is where the bucket ends that the hit at start begins: criteria hold its hits equal.
func bucketEnd(hits []hit, start, criteria int) int {
	end := start + 1
	for end < len(hits) && compareScores(hits[start].firstScores(criteria), hits[end].firstScores(criteria)) == 0 {
		end++
	}
	return end
}

// soughtIn is for how many words, the first of the query on, a server with these hits looks for typos when it is asked for
// those from one position to another. The words rule comes behind some criteria and is applied to each bucket of hits that these
// hold equal.
func (m *marking) soughtIn(hits []hit, from, to, criteria int) int {
	sought := 1
	for start := 0; start < min(to, len(hits)); {
		end := bucketEnd(hits, start, criteria)
		if most, _ := m.most(hits[start:end], len(m.words)); end > from {
			sought = max(sought, most+1)
		}
		start = end
	}
	return min(sought, len(m.words))
}

// firstScores are the first n verdicts about a hit.
func (h *hit) firstScores(n int) score { return h.score[:min(n, len(h.score))] }

// remarking asks one node again for what it marks in hits that are shown.
type remarking struct {
	*search
	*marking
	call   Call
	form   searchForm
	needed int // words whose typos one server has looked for
	asked  int
}

func (r *remarking) all() []int {
	left := make([]int, len(r.words))
	for i := range left {
		left[i] = i
	}
	return left
}

// byMatched groups those hits of the node that are shown by how many words they have.
func (r *remarking) byMatched(own []hit, shown map[string]*hit) map[int][]*hit {
	groups := map[int][]*hit{}
	for i := range own {
		if h := shown[own[i].identity()]; h != nil {
			n, _ := r.matched(&own[i], len(r.words))
			groups[n] = append(groups[n], h)
		}
	}
	return groups
}

// markByWords shows for each group what the node marks without the word that its hits have not, the one behind those they have
// of the words left so far.
func (r *remarking) markByWords(ctx context.Context, groups map[int][]*hit, left []int) {
	for n, group := range groups {
		if r.asked == maxMarkings {
			return
		}
		r.asked++
		fewer := slices.Delete(slices.Clone(left), n, n+1)
		text := r.text(fewer)
		query := *r.query
		query.Q, query.RankingScoreThreshold = &text, nil
		if r.form.distinct != "" {
			query.Distinct = new(tasks.NoField)
		}
		again := r.ask(ctx, query)
		most, ok := r.most(again, len(fewer))
		if !ok {
			continue
		}
		byID := map[string]*hit{}
		for i := range again {
			byID[again[i].identity()] = &again[i]
		}
		further := map[int][]*hit{}
		for _, h := range group {
			as := byID[h.identity()]
			if as == nil {
				continue
			}
			if r.numMarks(as) >= r.numMarks(h) { // a word left out can stand where it is not searched for
				h.raw = withScores(as.raw, h.raw)
			}
			if most < len(fewer) && fewer[most]+1 < r.needed {
				n, _ := r.matched(as, len(fewer))
				further[n] = append(further[n], h)
			}
		}
		r.markByWords(ctx, further, fewer)
	}
}

// numMarks is how many marks a hit has.
func (r *remarking) numMarks(h *hit) int {
	tag := "<em>"
	if given := r.query.HighlightPreTag; given != nil {
		tag = *given
	}
	quoted := bytes.Trim(meili.AppendString(nil, tag), `"`)
	return bytes.Count(memberOf(h.raw, "_formatted"), quoted) + bytes.Count(memberOf(h.raw, "_matchesPosition"), []byte(`"start":`))
}

// markNoFurther shows what the node marks where it ranks no more hits than are shown, and none with some distinct values.
func (r *remarking) markNoFurther(ctx context.Context, shown map[string]*hit, without []string) {
	query := *r.query
	if len(without) > 0 {
		query.Filter = meili.AndFilter(query.Filter, meili.AppendString(nil, "NOT "+fieldIn(r.form.distinct, without)))
	}
	for _, as := range r.ask(ctx, query) {
		if h := shown[as.identity()]; h != nil {
			h.raw = withScores(as.raw, h.raw)
		}
	}
}

// ask asks the node for the first hits of a query, nil when it does not answer: what is known without is worth no failure.
func (r *remarking) ask(ctx context.Context, query meili.SearchQuery) []hit {
	q, f := *r.search, r.form
	query.Facets = nil
	q.query, q.send = &query, q.sendAlone
	f.lone, f.reach = true, min(f.reach, q.settings.MaxTotalHits())
	if query.Distinct != nil && *query.Distinct == tasks.NoField {
		f.distinct = tasks.NoField
	}
	ctx, cancel := context.WithTimeout(ctx, q.s.opts.SearchTimeout)
	defer cancel()
	answer, err := q.askOnce(ctx, q.s.nodes.Client(q.view, r.call.Node), r.call, f)
	if err != nil {
		return nil
	}
	return answer.hits
}
