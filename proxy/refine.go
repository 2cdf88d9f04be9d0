package proxy

import (
	"context"
	"sync"

	"miroir/fsm"
	"miroir/meili"
)

// What the first answers of the nodes do not say, asked a second time. A node that does not answer then is noted among the
// search's losses (see runWhole).

// goodEnough is the keyword score, times the keywords' weight, from which on a hybrid search leaves vectors alone (milli
// search/hybrid.rs, GOOD_ENOUGH_SCORE).
const goodEnough = 0.45

// keywordsSuffice runs a hybrid search's keyword part first and answers with it when one server would: when it fills the
// window with good hits. Nodes cannot decide that alone, each having only part of those hits. A nil answer says that
// vectors are needed.
func (q *search) keywordsSuffice(ctx context.Context, request planRequest) (*searchAnswer, []fsm.ShardID, error) {
	if q.kind != meili.HybridSearch || q.settings.Embedder(q.query.Hybrid.Embedder) == nil {
		return nil, nil, nil
	}
	weight := wordsShare(q.query.Hybrid.EffectiveSemanticRatio())
	if weight < goodEnough {
		return nil, nil, nil
	}
	words := *q
	query := *q.query
	query.Hybrid, query.Vector, query.Media, query.ShowRankingScore = nil, nil, nil, new(true)
	words.query, words.kind = &query, meili.KeywordSearch
	f := words.form()
	if !isTrue(q.query.ShowRankingScore) {
		f.cutter = f.cutter.also("_rankingScore")
	}
	got, err := words.scatter(ctx, request, f)
	if err != nil {
		return nil, nil, err
	}
	lists := make([][]hit, len(got.Answers))
	for i, a := range got.Answers {
		lists[i] = a.Value.hits
	}
	best := f.pins.place(pinsOf(got.Answers), mergeHits(lists, 0, f.reach, f.distinct, false, compareHits).hits, f.reach)
	if len(best) < f.reach {
		return nil, nil, nil
	}
	for i := range best {
		if number(memberOf(best[i].raw, "_rankingScore"))*weight < goodEnough {
			return nil, nil, nil
		}
	}
	answer := words.merge(ctx, got.Answers, f)
	answer.query, answer.semantic = q.query, new(0)
	return answer, got.Missing, nil
}

// allDuplicates finds what distinct rejects among all hits that can be reached, not only up to the end of the window, and
// the number of hits without them. Beyond what can be reached the share of duplicates is taken to be the same.
func (q *search) allDuplicates(ctx context.Context, answers []answered[*nodeAnswer], f searchForm, total int) ([]hit, int) {
	lists := hitLists(answers)
	var open []int
	for i, a := range answers {
		if len(a.Value.hits) < a.Value.total {
			open = append(open, i)
		}
	}
	if len(open) > 0 {
		wide := q.lean(&f)
		for i, part := range wide.again(ctx, answers, open, f) {
			lists[i] = part.hits
		}
	}
	numHits := 0
	for _, list := range lists {
		numHits += len(list)
	}
	m := mergeHits(lists, 0, 0, f.distinct, true, compareHits)
	numRejected := len(m.rejected)
	if numHits > 0 && numHits < total {
		numRejected = numRejected * total / numHits
	}
	return m.rejected, total - numRejected
}

// again asks the nodes of some answers once more, by the answers' positions. Those that do not answer are left out.
func (q *search) again(ctx context.Context, answers []answered[*nodeAnswer], positions []int, f searchForm) map[int]*nodeAnswer {
	alone := *q
	alone.send = alone.sendAlone
	got := make([]*nodeAnswer, len(positions))
	eachAtOnce(len(positions), func(i int) {
		call := answers[positions[i]].Call
		ctx, cancel := q.s.inTime(ctx, q.view, q.ix, call)
		defer cancel()
		var err error
		if got[i], err = alone.askPart(ctx, q.s.nodes.Client(q.view, call.Node), call, f); err != nil {
			q.lost.note(call, err)
		}
	})
	found := map[int]*nodeAnswer{}
	for i, a := range got {
		if a != nil {
			found[positions[i]] = a
		}
	}
	return found
}

// eachAtOnce runs do(0) to do(n-1) at the same time and returns when all have.
func eachAtOnce(n int, do func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { do(i) })
	}
	all.Wait()
}

// mergeFacets adds the facets of the nodes up. Where a node may have cut a list by count, the values in doubt are counted
// again; where the maximum cuts values of equal count apart, one server's order decides.
func (q *search) mergeFacets(ctx context.Context, calls []Call, c counts, numCandidates int) *facets {
	counting := *q
	counting.within = c.filters
	if q.query.RankingScoreThreshold != nil && !c.free { // nodes look at scores as far as hits are asked for, or at all for pages
		query := *q.query
		query.Offset, query.Limit, query.Page, query.HitsPerPage = nil, nil, new(1), new(0)
		counting.query = &query
	}
	rules := facetRules{settings: q.settings, maxValues: q.settings.MaxValuesPerFacet(), rejected: c.rejected, whole: q.ix.Whole()}
	fields := fieldsOf(c.parts)
	for field := range fields {
		if rules.settings.FacetSort(field) == "count" && len(calls) > 1 && len(q.others) == 0 && cutByNodes(c.parts, field, rules.maxValues) {
			counting.recount(ctx, calls, c.parts, field, rules.maxValues, true)
		}
	}
	rules.breakTies = func(field string, values []facetValue, numbers bool, limit int) []facetValue {
		return counting.breakTies(ctx, calls, c.added, tiedFacet{field, values, numbers, limit})
	}
	merged := mergeFacets(c.allParts(fields), rules, numCandidates)
	if merged != nil && len(calls) > 1 {
		counting.respell(ctx, calls, c.parts, merged)
	}
	return merged
}

// cutByNodes reports whether nodes that list no more values than the client asks for may have left some out.
func cutByNodes(parts []*facets, field string, maxValues int) bool {
	cut := false
	for _, part := range parts {
		if part != nil {
			if len(part.values[field]) > maxValues {
				return false
			}
			cut = cut || len(part.values[field]) == maxValues
		}
	}
	return cut
}

// tiedFacet is a list by count in which values tie. Its values are all numbers or all strings.
type tiedFacet struct {
	field   string
	values  []facetValue
	numbers bool
	limit   int
}

// cutsTies reports whether the limit cuts values of equal count apart.
func (t *tiedFacet) cutsTies() bool {
	return t.limit < len(t.values) && t.values[t.limit-1].count == t.values[t.limit].count
}

// Bounds of the questions about one facet: rounds, questions in a round, and for how many values behind the limit they are
// asked in advance.
const (
	maxTieRounds  = 6
	maxTieQueries = 300
	tieLookahead  = 60
)

// breakTies returns the values that come before the limit in one server's order, nil when that cannot be told. added are
// hits that the nodes do not count.
func (q *search) breakTies(ctx context.Context, calls []Call, added []hit, t tiedFacet) []facetValue {
	if t.limit == 0 || !t.numbers && !q.comparesValues(t.field) {
		return nil // one server does not group strings that are never compared
	}
	all := q.valuesOf(ctx, t.field, !t.cutsTies())
	if all == nil {
		return nil
	}
	tree, places := all.tree(t.values, t.numbers)
	if tree == nil {
		return nil
	}
	values := make(map[int]facetValue, len(places))
	for i, place := range places {
		values[place] = t.values[i]
	}
	for round := 0; round < maxTieRounds && !all.single && t.cutsTies() && len(q.others) == 0; round++ { // else groups hold as many documents as their values together
		ahead := tree.first(t.limit + tieLookahead)
		least := tree.counts[0][ahead[t.limit-1]]
		if len(tree.doubtful(ahead[:t.limit], least)) == 0 {
			break
		}
		q.s.meter.secondRounds.Inc()
		groups := tree.doubtful(ahead, least)
		if !q.resolve(ctx, calls, added, t.field, tree, groups[:min(len(groups), maxTieQueries)], values) {
			break
		}
	}
	chosen := tree.first(t.limit)
	out := make([]facetValue, len(chosen))
	for i, place := range chosen {
		out[i] = values[place]
	}
	return out
}

// resolve asks how many candidates have some value of each group.
func (q *search) resolve(ctx context.Context, calls []Call, added []hit, field string, tree *facetTree, groups []facetGroup, values map[int]facetValue) bool {
	queries := make([]countQuery, len(groups))
	sums := make([]uint64, len(groups))
	for i, group := range groups {
		var texts []string
		for _, place := range tree.values(group) {
			texts = append(texts, values[place].text)
		}
		queries[i].filter = fieldIn(field, texts)
		sums[i] = uint64(sharing(added, field, texts))
	}
	answers := q.countAll(ctx, calls, queries)
	if answers == nil {
		return false
	}
	for i, group := range groups {
		for _, a := range answers {
			sums[i] += uint64(a[i].total)
		}
		tree.resolve(group, sums[i])
	}
	return true
}

func callsOf[T any](answers []answered[T]) []Call {
	calls := make([]Call, len(answers))
	for i, a := range answers {
		calls[i] = a.Call
	}
	return calls
}

func fieldsOf(parts []*facets) map[string]bool {
	fields := map[string]bool{}
	for _, part := range parts {
		if part != nil {
			for field := range part.values {
				fields[field] = true
			}
		}
	}
	return fields
}
