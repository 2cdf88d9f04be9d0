package proxy

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"miroir/fsm"
	"miroir/meili"
	"miroir/tasks"
)

// federatedResult is what a federated search shows and counts.
type federatedResult struct {
	hits     []hit
	total    int
	facets   map[string]*facets // by client name of the index, where it has any
	rejected []hit              // hits that another index's make duplicates: counted in facets, to be taken out of them
	lean     bool               // rejected are as a census has them, not as they are shown
}

// merge joins the nodes' answers, like one server where that can be found out.
func (f *federated) merge(ctx context.Context, answers []*federatedAnswer) []byte {
	federation := f.multi.Federation
	took := int(time.Since(f.started).Milliseconds())
	semantic := false
	var performance []byte
	vectors := map[int][]byte{}
	for _, a := range answers {
		took = max(took, a.tookMillis)
		semantic = semantic || a.semantic
		if performance == nil {
			performance = a.performance
		}
		maps.Copy(vectors, a.queryVectors)
	}
	f.settleRanks(ctx, answers)
	pins := f.pinsOnPage(answers)
	from, to := federation.Window()
	first := from
	if len(pins) > 0 {
		first = 0 // they are put into the whole list
	}
	result := f.mergeByCensus(ctx, answers, first)
	if result == nil {
		result = f.mergeAnswers(ctx, answers, first)
	}
	if len(pins) > 0 {
		result.hits = insertPins(pins, result.hits, to)
	}
	foundByVector := numSemantic(result.hits)
	if len(pins) > 0 {
		result.hits = result.hits[min(from, len(result.hits)):]
	}
	f.completeFormatted(ctx, answers, result.hits)
	out := []byte(`{"hits":[`)
	for i := range result.hits {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, f.shownHit(&result.hits[i])...)
	}
	out = append(out, ']')
	if slices.ContainsFunc(f.multi.Queries, func(q meili.MultiQuery) bool { return isTrue(q.RetrieveVectors) }) {
		out = appendVectors(append(out, `,"queryVectors":`...), vectors)
	}
	out = strconv.AppendInt(append(out, `,"processingTimeMs":`...), int64(took), 10)
	out = appendPaging(out, paging{federation.Paged(), federation.EffectiveOffset(), federation.EffectiveLimit(), federation.EffectivePage(), federation.EffectiveHitsPerPage()}, result.total)
	out = f.appendFacets(out, result)
	out = append(append(append(out, `,"requestUid":"`...), newRequestUID()...), '"')
	out = f.appendMetadata(out)
	if f.self != nil {
		out = append(out, `,"remoteErrors":{}`...)
	}
	if semantic {
		out = strconv.AppendInt(append(out, `,"semanticHitCount":`...), int64(foundByVector), 10)
	}
	if performance == nil && isTrue(federation.ShowPerformanceDetails) { // no node was asked: there are no queries
		performance, _ = marshal(map[string]string{"search": time.Since(f.started).String()})
	}
	out = appendMember(out, "performanceDetails", performance)
	return append(out, '}')
}

// mergeAnswers joins the nodes' answers as they are: first the parts of each query, as the search of one index does, then the
// queries, as Meilisearch v1.50 merges them (search/federated/perform.rs).
func (f *federated) mergeAnswers(ctx context.Context, answers []*federatedAnswer, from int) *federatedResult {
	federation := f.multi.Federation
	_, to := federation.Window()
	lists, duplicates := f.lists(ctx, answers, false)
	merged := mergeHits(lists, from, to, deref(federation.Distinct), federation.Distinct != nil, byWeightedScore)
	r := &federatedResult{hits: merged.hits, rejected: append(merged.rejected, duplicates...), facets: map[string]*facets{}}
	if f.jumbles(answers) || federation.Distinct != nil && len(answers) > 1 && (f.allRefill(slices.Concat(lists...), r.rejected) || f.runsOut(answers, r, from, to)) {
		lists, _ = f.lists(ctx, answers, true)
		r.hits = mergeHits(lists, from, to, deref(federation.Distinct), false, byWeightedScore).hits
	}
	for _, a := range answers {
		r.total += a.total
	}
	r.total -= len(r.rejected)
	for uid := range federation.FacetsByIndex {
		if f.indexes[uid] == nil {
			continue
		}
		if sum := f.facetsOf(ctx, answers, uid, r.total); sum != nil {
			r.facets[uid] = sum
		}
	}
	return r
}

// facetsOf adds the facets of an index up as a search of it does.
func (f *federated) facetsOf(ctx context.Context, answers []*federatedAnswer, uid string, numCandidates int) *facets {
	var q *search
	for i := range f.multi.Queries {
		query := &f.multi.Queries[i]
		switch {
		case query.IndexUID != uid:
		case q == nil:
			q = f.s.newSearch(f.view, f.indexes[uid], &query.SearchQuery)
			q.lost, q.seed = f.lost[uid], f.seed
		default:
			q.others = append(q.others, &query.SearchQuery)
		}
	}
	var c counts
	var calls []Call
	for _, a := range answers {
		if call, asked := a.part.calls[uid]; asked {
			c.parts, calls = append(c.parts, a.facets[uid]), append(calls, call)
		}
	}
	return q.mergeFacets(ctx, calls, c, numCandidates)
}

// jumbles reports whether hits of a query come in another order than queries are merged by, so that one holds up those behind
// it: then it matters where hits stood that nodes left out because another query found them too.
func (f *federated) jumbles(answers []*federatedAnswer) bool {
	jumbled, spread := false, false
	for i := range f.multi.Queries {
		query := &f.multi.Queries[i]
		kind, _ := query.Kind(meili.AllFeatures())
		jumbled = jumbled || kind == meili.HybridSearch || sortsByNearest(f.indexes[query.IndexUID], query)
		spread = spread || len(f.callsOf(answers, query.IndexUID)) > 1
	}
	return jumbled && spread && len(f.multi.Queries) > 1
}

// mergedByNode are the hits of an index as one node merged them, where nobody else has any of it. again is that of lists.
func (f *federated) mergedByNode(answers []*federatedAnswer, uid string, again bool) ([]hit, bool) {
	if again || len(f.callsOf(answers, uid)) != 1 {
		return nil, false
	}
	var list []hit
	shown := map[int]int{} // by query
	for _, a := range answers {
		for _, h := range a.merged {
			if query := h.query; f.multi.Queries[query].IndexUID == uid && f.room(query, shown[query]+1) > shown[query] {
				shown[query]++
				list = append(list, h)
			}
		}
	}
	return list, true
}

func facetsOfIndex(answers []*federatedAnswer, uid string) []*facets {
	parts := make([]*facets, len(answers))
	for i, a := range answers {
		parts[i] = a.facets[uid]
	}
	return parts
}

// lists are the hits of each index over all nodes, indexes by name. The second result are the hits that duplicates of better
// ones keep out of them; again asks the nodes for each query alone.
func (f *federated) lists(ctx context.Context, answers []*federatedAnswer, again bool) (lists [][]hit, duplicates []hit) {
	for _, uid := range slices.Sorted(maps.Keys(f.indexes)) {
		list, known := f.mergedByNode(answers, uid, again)
		if !known {
			var more []hit
			list, more = f.mergeQueries(ctx, answers, uid, again)
			duplicates = append(duplicates, more...)
		}
		lists = append(lists, list[:min(len(list), settingsOf(f.indexes[uid]).MaxTotalHits())])
	}
	return lists, duplicates
}

// mergeQueries is lists for one index, in the order of Meilisearch's merge: each document once, and each value of the
// federation's distinct field. The second result are also the hits that a field of their query or index removes from every query
// that found them.
func (f *federated) mergeQueries(ctx context.Context, answers []*federatedAnswer, uid string, again bool) (list, duplicates []hit) {
	length := settingsOf(f.indexes[uid]).MaxTotalHits()
	var queries [][]hit
	kept, removed := map[string]bool{}, map[string]hit{}
	for i := range f.multi.Queries {
		if f.multi.Queries[i].IndexUID != uid {
			continue
		}
		parts := make([][]hit, 0, len(answers))
		for _, a := range answers {
			parts = append(parts, settleOrder(a.hits[i], len(a.hits[i])))
		}
		m := f.mergeQuery(i, parts, length)
		if again || f.refills(i, m.hits, m.rejected) {
			if hits, ok := f.refillQuery(ctx, answers, i, length); ok {
				m.hits = hits
			}
		}
		m.hits = m.hits[:f.room(i, len(m.hits))]
		queries = append(queries, m.hits)
		for _, h := range m.hits {
			kept[h.identity()] = true
		}
		for _, h := range m.rejected {
			removed[h.identity()] = h
		}
	}
	shown, seen := map[string]bool{}, map[string]bool{}
	for _, h := range mergeHits(queries, 0, len(queries)*length, "", false, byWeightedScore).hits {
		identity := h.identity()
		if identity != "" && shown[identity] {
			continue
		}
		shown[identity] = true
		if distinct := f.multi.Federation.Distinct; distinct != nil && isDuplicate(&h, *distinct, seen) {
			duplicates = append(duplicates, h)
			continue
		}
		list = append(list, h)
	}
	for _, document := range slices.Sorted(maps.Keys(removed)) {
		if !kept[document] {
			duplicates = append(duplicates, removed[document])
		}
	}
	return list, duplicates
}

// mergeQuery merges what nodes found for one query: at most length hits, and the duplicates among all.
func (f *federated) mergeQuery(query int, parts [][]hit, length int) merged {
	distinct := f.distinctOf(query)
	return mergeHits(parts, 0, length, distinct, distinct != "", f.partCompare(query))
}

// refillQuery is mergeQuery where duplicates have several values of the distinct field, so that what a node takes for a duplicate
// need not be one. The node is asked for the query alone.
func (f *federated) refillQuery(ctx context.Context, answers []*federatedAnswer, query int, length int) ([]hit, bool) {
	_, to := f.multi.Federation.Window()
	field, uid := cmp.Or(f.distinctFor(query), tasks.NoField), f.multi.Queries[query].IndexUID
	d := distinctMerge{lists: make([][]hit, len(answers)), full: make([]bool, len(answers)), field: field, compare: f.partCompare(query)}
	d.refill = func(list int, without []string) ([]hit, bool, bool) {
		part := answers[list].part
		call, asked := part.calls[uid]
		if !asked {
			return nil, false, true
		}
		hits, err := f.askAlone(ctx, part, query, field, func(request *meili.MultiSearch) {
			if only := &request.Queries[0]; len(without) > 0 {
				only.Filter = meili.AndFilter(only.Filter, meili.AppendString(nil, "NOT "+fieldIn(field, without)))
			}
		})
		if err != nil {
			f.lost[uid].note(call, err)
			return nil, false, false
		}
		return settleOrder(hits, len(hits)), len(hits) >= min(to, length), true
	}
	failed := make([]bool, len(answers))
	eachAtOnce(len(answers), func(i int) {
		var ok bool
		d.lists[i], d.full[i], ok = d.refill(i, nil)
		failed[i] = !ok
	})
	if slices.Contains(failed, true) {
		return nil, false
	}
	f.settleQuery(ctx, answers, query, d.lists)
	hits, _ := d.run(min(to, length))
	return hits, true
}

// runsOut reports whether a node's list ends before the window does although it may go on: duplicates of other nodes' hits have kept
// others out of it.
func (f *federated) runsOut(answers []*federatedAnswer, r *federatedResult, from, to int) bool {
	if to == 0 || len(r.rejected) == 0 || slices.ContainsFunc(f.multi.Queries, func(q meili.MultiQuery) bool {
		return !f.canRefill(f.indexes[q.IndexUID], *f.multi.Federation.Distinct)
	}) {
		return false
	}
	return slices.ContainsFunc(answers, func(a *federatedAnswer) bool {
		if len(a.merged) == 0 {
			return false
		}
		last := &a.merged[len(a.merged)-1]
		full := len(a.merged) >= min(to, settingsOf(f.indexes[f.multi.Queries[last.query].IndexUID]).MaxTotalHits())
		return full && (len(r.hits) == 0 || len(r.hits) < to-from || byWeightedScore(last, &r.hits[len(r.hits)-1]) > 0)
	})
}

// canRefill reports whether nodes can be asked for hits of an index without some values of a field.
func (f *federated) canRefill(ix *fsm.Index, field string) bool {
	return !ix.Whole() && len(f.rooms) == 0 && isFilterable(settingsOf(ix), field)
}

// allRefill is refills for all queries.
func (f *federated) allRefill(hits, rejected []hit) bool {
	for i := range f.multi.Queries {
		if !f.refills(i, hits, rejected) {
			return false
		}
	}
	return true
}

// refills reports whether the hits of a query may have to be asked for again because of duplicates: one with several values can
// keep others out of its node's list, and one hit with several can make several of a list duplicates.
func (f *federated) refills(query int, hits, rejected []hit) bool {
	field, ix := f.distinctFor(query), f.indexes[f.multi.Queries[query].IndexUID]
	return f.canRefill(ix, field) && len(rejected) > 0 && (hasSeveral(rejected, field) || hasSeveral(hits, field))
}

// partCompare compares hits of one query: in hybrid searches by scores weighted with the semantic ratio.
func (f *federated) partCompare(i int) func(a, b *hit) int {
	query := &f.multi.Queries[i]
	if kind, _ := query.Kind(meili.AllFeatures()); kind != meili.HybridSearch {
		return compareHits
	}
	ratio := query.Hybrid.EffectiveSemanticRatio()
	return func(a, b *hit) int {
		return cmp.Or(compareScores(slices.Clone(a.score).weighted(ratio), slices.Clone(b.score).weighted(ratio)), bytes.Compare(b.order, a.order))
	}
}

// byWeightedScore is Meilisearch's comparison of hits of different queries: entry by entry, then by the number of entries
// left, then by the weighted global score, then by the position of the query. A geo sort's direction is not minded there.
func byWeightedScore(a, b *hit) int {
	c := compareWeighted(a.score, b.score, func() int { return cmp.Compare(a.global, b.global) })
	if c == 0 {
		return cmp.Compare(b.turn, a.turn)
	}
	return c
}

func compareWeighted(a, b score, global func() int) int {
	for i := range min(len(a), len(b)) {
		c, comparable := compareWeightedEntries(a[i], b[i])
		if !comparable {
			return cmp.Or(cmp.Compare(len(a), len(b)), global())
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

func compareWeightedEntries(a, b scoreEntry) (c int, comparable bool) {
	switch {
	case a.isScore() && b.isScore():
		return compareNear(a.value, b.value), true
	case a.kind != b.kind || a.isScore() || a.asc != b.asc:
		return 0, false
	case a.kind == geoEntry:
		return cmp.Or(cmp.Compare(a.class, b.class), compareNear(a.value, b.value)), true
	}
	return compareEntries(a, b), true
}

// federationShape is a hit's _federation without what only mergers need.
var federationShape = &shape{strip: true, members: []namedShape{
	{"_formatted", bare}, {"_matchesPosition", bare},
	{"_federation", &shape{drop: []string{"weightedScoreValues", "extra_document", "pinnedPosition"}}},
}}

func (f *federated) shownHit(h *hit) []byte {
	shown := f.cutKey(h, f.cutRanks(h, strip(h.raw, federationShape)))
	uid := f.multi.Queries[h.query].IndexUID
	if position := f.position(h.query); position != h.turn {
		federation := memberOf(shown, "_federation")
		shown = replaceRaw(shown, "_federation", replaceRaw(federation, "queriesPosition", strconv.AppendInt(nil, int64(position), 10)))
	}
	if f.indexes[uid].NodeUID != uid {
		shown = replaceMember(shown, uid, "_federation", "indexUid")
	}
	if f.self == nil {
		return shown
	}
	federation := memberOf(shown, "_federation")
	named := meili.Append(federation, "remote", meili.AppendString(nil, *f.self))
	return bytes.Replace(shown, federation, named, 1)
}

func appendVectors(out []byte, vectors map[int][]byte) []byte {
	out = append(out, '{')
	for i, position := range slices.Sorted(maps.Keys(vectors)) {
		if i > 0 {
			out = append(out, ',')
		}
		out = strconv.AppendInt(append(out, '"'), int64(position), 10)
		out = append(append(out, `":`...), vectors[position]...)
	}
	return append(out, '}')
}

func (f *federated) appendMetadata(out []byte) []byte {
	if !f.metadata {
		return out
	}
	out = append(out, `,"metadata":[`...)
	for i := range f.multi.Queries {
		if i > 0 {
			out = append(out, ',')
		}
		query := &f.multi.Queries[i]
		m := searchMetadata{query: deref(query.Q), indexUID: query.IndexUID, primaryKey: f.indexes[query.IndexUID].PrimaryKey, remote: deref(f.self)}
		out = m.appendJSON(out)
	}
	return append(out, ']')
}

// appendFacets appends the facets by index, or merged over all indexes where the federation asks for that.
func (f *federated) appendFacets(out []byte, r *federatedResult) []byte {
	if len(r.facets) == 0 {
		return out
	}
	uids := slices.Sorted(maps.Keys(r.facets))
	if f.multi.Federation.MergeFacets != nil {
		all := f.mergeIndexes(uids, r.facets)
		f.takeOut(r, all, r.rejected)
		out = all.appendDistribution(append(out, `,"facetDistribution":`...))
		return all.appendStats(append(out, `,"facetStats":`...))
	}
	out = append(out, `,"facetsByIndex":{`...)
	for i, uid := range uids {
		if i > 0 {
			out = append(out, ',')
		}
		f.takeOut(r, r.facets[uid], f.ofIndex(r.rejected, uid))
		out = meili.AppendString(out, uid)
		out = r.facets[uid].appendDistribution(append(out, `:{"distribution":`...))
		out = r.facets[uid].appendStats(append(out, `,"stats":`...))
		out = append(out, '}')
	}
	return append(out, '}')
}

// takeOut takes the values of rejected hits out of facets, as Meilisearch does from lists that are sorted and cut already: a
// number only where it is printed like the value listed, and what a hit shows inside of a field and tells apart twice.
func (f *federated) takeOut(r *federatedResult, from *facets, rejected []hit) {
	if len(rejected) == 0 {
		return
	}
	for field, values := range from.values {
		places := map[string]int{}
		for i, value := range values {
			places[normalizeFacet(value.text)] = i
		}
		for i := range rejected {
			h := &rejected[i]
			times := uint64(1)
			if r.lean && f.tellsTwice(h.query, field) {
				times = 2
			}
			for _, document := range [][]byte{h.raw, h.extra} {
				eachFacetLeaf(document, field, func(leaf []byte) {
					if len(leaf) == 0 {
						return
					}
					key := string(leaf)
					if leaf[0] == '"' {
						key = normalizeFacet(text(leaf))
					} else if bytes.ContainsAny(leaf, ".eE") && leaf[0] != 't' && leaf[0] != 'f' {
						key = facetNumber(number(leaf))
						if !strings.Contains(key, ".") {
							return // 2.0 is listed as 2
						}
					}
					if at, ok := places[key]; ok {
						values[at].count -= min(values[at].count, times)
					}
				})
			}
		}
		from.values[field] = slices.DeleteFunc(values, func(v facetValue) bool { return v.count == 0 })
	}
}

// tellsTwice reports that hits of a query show a field inside of another one that is retrieved, and tell its values apart too: those of
// the distinct field and of fields that a facet was asked by, but not of fields inside of one that was.
func (f *federated) tellsTwice(query int, field string) bool {
	q := &f.multi.Queries[query]
	if patterns := f.multi.Federation.FacetsByIndex[q.IndexUID]; field != deref(f.multi.Federation.Distinct) &&
		(patterns == nil || !slices.ContainsFunc(*patterns, func(pattern string) bool { return meili.MatchAttributePattern(pattern, field) })) {
		return false
	}
	shown := settingsOf(f.indexes[q.IndexUID]).Displayed()
	retrieved := func(name string) bool {
		return (q.AttributesToRetrieve == nil || slices.Contains(*q.AttributesToRetrieve, "*") || slices.Contains(*q.AttributesToRetrieve, name)) &&
			(shown == nil || slices.Contains(shown, "*") || slices.Contains(shown, name))
	}
	if retrieved(field) {
		return false
	}
	for i := range field {
		if field[i] == '.' && retrieved(field[:i]) {
			return true
		}
	}
	return false
}

func (f *federated) ofIndex(hits []hit, uid string) []hit {
	return slices.DeleteFunc(slices.Clone(hits), func(h hit) bool { return f.multi.Queries[h.query].IndexUID != uid })
}

// mergeIndexes adds the facets of several indexes up: values by their text or by count, as the first index that has the
// facet orders it, cut only where mergeFacets says so.
func (f *federated) mergeIndexes(uids []string, byIndex map[string]*facets) *facets {
	parts := make([]*facets, len(uids))
	orders := map[string]string{}
	for i, uid := range uids {
		parts[i] = byIndex[uid]
		for field := range byIndex[uid].values {
			if orders[field] == "" {
				orders[field] = settingsOf(f.indexes[uid]).FacetSort(field)
			}
		}
	}
	sum := sumFacetsByText(parts)
	for field, values := range sum.values {
		slices.SortStableFunc(values, func(a, b facetValue) int {
			if orders[field] == "count" {
				return cmp.Compare(b.count, a.count)
			}
			return strings.Compare(a.text, b.text)
		})
		if most := f.multi.Federation.MergeFacets.MaxValuesPerFacet; most != nil {
			sum.values[field] = values[:min(len(values), *most)]
		}
	}
	return sum
}
