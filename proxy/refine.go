package proxy

import (
	"context"
	"slices"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
)

// What the first answers of the nodes do not say, asked a second time. A node that does not answer then leaves the first
// estimate standing: the hits are exact without it.

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
	weight := 1 - q.query.Hybrid.EffectiveSemanticRatio()
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
	best := mergeHits(lists, 0, f.reach, f.distinct, false, byScore).hits
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
	lists := make([][]hit, len(answers))
	numHits := 0
	complete := true
	for i, a := range answers {
		lists[i] = a.Value.hits
		numHits += len(a.Value.hits)
		complete = complete && len(a.Value.hits) >= a.Value.total
	}
	if !complete {
		wide := *q
		query := *q.query
		query.AttributesToRetrieve, query.AttributesToHighlight, query.AttributesToCrop = &[]string{}, nil, nil
		query.ShowMatchesPosition, query.RetrieveVectors = nil, nil
		wide.query = &query
		f.reach, f.retrieve = q.settings.MaxTotalHits(), query.AttributesToRetrieve
		if !f.distinctFederated {
			f.retrieve = &[]string{f.distinct}
		}
		numHits = 0
		for i, a := range answers {
			if part, err := wide.askAgain(ctx, a.Call, f); err == nil {
				lists[i] = part.hits
			}
			numHits += len(lists[i])
		}
	}
	m := mergeHits(lists, 0, 0, f.distinct, true, byScore)
	numRejected := len(m.rejected)
	if numHits > 0 && numHits < total {
		numRejected = numRejected * total / numHits
	}
	return m.rejected, total - numRejected
}

// askAgain asks the node of an earlier call.
func (q *search) askAgain(ctx context.Context, call Call, f searchForm) (*nodeAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, q.s.opts.SearchTimeout)
	defer cancel()
	q.send = q.sendAlone
	return q.askPart(ctx, q.s.nodes.Client(q.view, call.Node), call, f)
}

// mergeFacets adds the facets of the nodes up. Facets that are listed by count and were cut on some node are counted
// again for the values in doubt. With distinct or a threshold, whose effect on the counts depends on how many hits are
// asked for, the second counts come close.
func (q *search) mergeFacets(ctx context.Context, answers []answered[*nodeAnswer], numCandidates int) *facets {
	parts := make([]*facets, len(answers))
	for i, a := range answers {
		parts[i] = a.Value.facets
	}
	rules := facetRules{q.settings, q.settings.MaxValuesPerFacet()}
	if len(answers) > 1 {
		for field := range fieldsOf(parts) {
			if rules.settings.FacetSort(field) == "count" {
				q.recount(ctx, callsOf(answers), parts, field, rules.maxValues, true)
			}
		}
	}
	return mergeFacets(parts, rules, numCandidates)
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

// maxRecounts bounds the rounds of one facet.
const maxRecounts = 4

// recount completes the lists of one facet in parts until the values that belong to the merged list are certain, by the
// threshold algorithm: a value that a cut list does not hold has at most the count of that list's end. parts[i] belongs to
// calls[i]. With discover, nodes are also asked for values that no list holds.
func (q *search) recount(ctx context.Context, calls []Call, parts []*facets, field string, maxValues int, discover bool) {
	lists := make([]cutList, len(parts))
	anyCut := false
	for i, part := range parts {
		lists[i] = newCutList(part, field, maxValues)
		anyCut = anyCut || lists[i].cut
	}
	for round := 0; anyCut && round < maxRecounts; round++ {
		doubts, unseen := doubtful(lists, maxValues)
		unseen = unseen && discover
		if len(doubts) == 0 && !unseen {
			break
		}
		for i := range lists {
			if ctx.Err() != nil {
				return
			}
			if values := doubts[i]; len(values) > 0 {
				q.countValues(ctx, calls[i], field, values, &lists[i], maxValues)
			} else if unseen && lists[i].cut {
				q.findMore(ctx, calls[i], field, lists, i, maxValues)
			}
		}
	}
	for i, part := range parts {
		if part != nil && anyCut {
			part.values[field] = lists[i].values()
		}
	}
}

// cutList is what is known of one node's counts of one facet.
type cutList struct {
	counts map[string]facetValue // by normalized value
	order  []string              // keys of counts, in the order met
	cut    bool                  // the node has more values, each at most tail times
	tail   uint64
}

func newCutList(part *facets, field string, maxValues int) cutList {
	l := cutList{counts: map[string]facetValue{}}
	if part == nil {
		return l
	}
	l.append(part.values[field], maxValues)
	return l
}

// isCut reports whether a list of n values may have been cut: at the client's maximum, or at the longer one that nodes of
// spread indexes are given where facets are listed by count.
func isCut(n, maxValues int) bool { return n == maxValues || n >= max(maxValues, nodeFacetValues) }

// append adds a list as the node cut it.
func (l *cutList) append(values []facetValue, maxValues int) {
	for _, value := range values {
		l.set(value)
	}
	if l.cut = isCut(len(values), maxValues); l.cut && len(values) > 0 {
		l.tail = values[len(values)-1].count
	}
}

func (l *cutList) set(value facetValue) {
	key := normalizeFacet(value.text)
	if _, known := l.counts[key]; !known {
		l.order = append(l.order, key)
	}
	l.counts[key] = value
}

func (l *cutList) values() []facetValue {
	values := make([]facetValue, 0, len(l.order))
	for _, key := range l.order {
		if l.counts[key].count > 0 {
			values = append(values, l.counts[key])
		}
	}
	return values
}

// doubtful returns, for each list, the values it does not hold that may belong to the first maxValues of all lists
// together, and whether a value that no list holds may.
func doubtful(lists []cutList, maxValues int) (doubts map[int][]string, unseen bool) {
	least := map[string]uint64{} // counts known
	texts := map[string]string{}
	var tails uint64
	for _, l := range lists {
		for key, value := range l.counts {
			least[key] += value.count
			texts[key] = value.text
		}
		if l.cut {
			tails += l.tail
		}
	}
	bar := nthLargest(least, maxValues)
	doubts = map[int][]string{}
	for key, count := range least {
		most := count
		var open []int
		for i, l := range lists {
			if _, known := l.counts[key]; !known && l.cut {
				most += l.tail
				open = append(open, i)
			}
		}
		if most >= bar {
			for _, i := range open {
				doubts[i] = append(doubts[i], texts[key])
			}
		}
	}
	for i := range doubts {
		slices.Sort(doubts[i])
	}
	return doubts, tails > bar || tails == bar && tails > 0
}

// nthLargest is the n-th largest count, 0 when there are fewer.
func nthLargest(counts map[string]uint64, n int) uint64 {
	if len(counts) < n || n == 0 {
		return 0
	}
	sorted := make([]uint64, 0, len(counts))
	for _, count := range counts {
		sorted = append(sorted, count)
	}
	slices.Sort(sorted)
	return sorted[len(sorted)-n]
}

// countValues asks a node for its counts of some values: first as a facet of the documents that have them; where that
// list is cut as well, value by value.
func (q *search) countValues(ctx context.Context, call Call, field string, values []string, l *cutList, maxValues int) {
	for chunk := range slices.Chunk(values, max(1, maxValues)) {
		answer, err := q.askCounts(ctx, call, []countQuery{{filter: fieldIn(field, chunk), facet: field}})
		if err != nil {
			return
		}
		listed := map[string]facetValue{}
		if answer[0].facets != nil {
			for _, value := range answer[0].facets.values[field] {
				listed[normalizeFacet(value.text)] = value
			}
		}
		var rest []string
		for _, value := range chunk {
			switch found, ok := listed[normalizeFacet(value)]; {
			case ok:
				l.set(found)
			case !isCut(len(listed), maxValues):
				l.set(facetValue{text: value})
			default:
				rest = append(rest, value)
			}
		}
		q.countEach(ctx, call, field, rest, l)
	}
}

func (q *search) countEach(ctx context.Context, call Call, field string, values []string, l *cutList) {
	if len(values) == 0 {
		return
	}
	queries := make([]countQuery, len(values))
	for i, value := range values {
		queries[i].filter = fieldIn(field, []string{value})
	}
	answers, err := q.askCounts(ctx, call, queries)
	if err != nil {
		return
	}
	for i, value := range values {
		l.set(facetValue{value, uint64(answers[i].total)})
	}
}

// findMore asks a node for values behind the end of its list: those of documents that have none of the values known.
func (q *search) findMore(ctx context.Context, call Call, field string, lists []cutList, i, maxValues int) {
	known := map[string]string{}
	for _, l := range lists {
		for key, value := range l.counts {
			known[key] = value.text
		}
	}
	values := make([]string, 0, len(known))
	for _, text := range known {
		values = append(values, text)
	}
	slices.Sort(values)
	answers, err := q.askCounts(ctx, call, []countQuery{{filter: "NOT " + fieldIn(field, values), facet: field}})
	if err != nil || answers[0].facets == nil {
		lists[i].cut = false
		return
	}
	lists[i].append(answers[0].facets.values[field], maxValues)
}

// countQuery asks how many of the search's candidates satisfy a filter, and how often they have the values of a facet.
type countQuery struct{ filter, facet string }

// askCounts asks a node in one request; answers[i] belongs to queries[i].
func (q *search) askCounts(ctx context.Context, call Call, queries []countQuery) ([]*nodeAnswer, error) {
	var multi meili.MultiSearch
	for _, query := range queries {
		part := meili.MultiQuery{IndexUID: q.ix.NodeUID, SearchQuery: *q.query}
		text := meili.AppendString(nil, query.filter)
		part.Filter = meili.AndFilter(withShards(part.Filter, call.filterShards()), text)
		part.Offset, part.Limit, part.Page, part.HitsPerPage = q.nodePaging(0)
		part.AttributesToRetrieve, part.AttributesToHighlight, part.AttributesToCrop = &[]string{}, nil, nil
		part.Sort, part.RetrieveVectors, part.Facets = nil, nil, nil
		if query.facet != "" {
			part.Facets = &[]string{query.facet}
		}
		multi.Queries = append(multi.Queries, part)
	}
	body, err := marshal(multi)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, q.s.opts.SearchTimeout)
	defer cancel()
	response, err := q.s.exchange(ctx, q.s.nodes.Client(q.view, call.Node), node.Request{
		Method: "POST", Path: "/multi-search", Body: body, ContentType: "application/json",
	})
	if err != nil {
		return nil, err
	}
	var answers []*nodeAnswer
	for _, result := range itemsOf(memberOf(response.Body, "results")) {
		answers = append(answers, readAnswer(result, q.ix.NodeUID))
	}
	if len(answers) != len(queries) {
		return nil, &refusal{node: call.Node, status: response.Status, body: response.Body}
	}
	return answers, nil
}

// fieldIn is a filter expression for documents that have one of some values.
func fieldIn(field string, values []string) string {
	text := []byte(meili.QuoteFilterValue(field) + " IN [")
	for i, value := range values {
		if i > 0 {
			text = append(text, ", "...)
		}
		text = append(text, meili.QuoteFilterValue(value)...)
	}
	return string(append(text, ']'))
}
