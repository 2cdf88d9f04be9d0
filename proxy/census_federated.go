package proxy

import (
	"context"
	"maps"
	"slices"
	"strings"

	"miroir/fsm"
	"miroir/meili"
	"miroir/tasks"
)

// indexCensus is the census of one index of a federated search and what follows from it.
type indexCensus struct {
	*search
	uid     string
	census  *census
	found   found
	queries map[int]censusQuery // by position
}

// mergeByCensus answers a federated search from all its documents, where answers alone do not say what one server would
// show and count. nil where they do, or where there is no census.
func (f *federated) mergeByCensus(ctx context.Context, answers []*federatedAnswer, from int) *federatedResult {
	if !f.needsCensus(answers) {
		return nil
	}
	var indexes []*indexCensus
	for _, uid := range slices.Sorted(maps.Keys(f.indexes)) {
		x := f.takeCensus(ctx, answers, uid)
		if x == nil {
			return nil
		}
		indexes = append(indexes, x)
	}
	federation := f.multi.Federation
	_, to := federation.Window()
	result := &federatedResult{facets: map[string]*facets{}, lean: true}
	var window []placedIn
	seen := map[string]bool{}
	lists := make([][]placed, len(indexes))
	for i, x := range indexes {
		lists[i] = x.found.hits
		counted := x.census.counts(x.found.candidates, facetsOfIndex(answers, x.uid))
		result.total += counted.total
		if counted.parts != nil {
			result.facets[x.uid] = x.mergeFacets(ctx, nil, *counted, counted.total)
		}
	}
	mergePlaced(lists, comparePlaced, func(list, i int) bool {
		p := lists[list][i]
		h := indexes[list].census.docs[p.doc]
		if federation.Distinct != nil && isDuplicate(&h, *federation.Distinct, seen) {
			h.query = p.query
			result.rejected = append(result.rejected, h)
			return true
		}
		window = append(window, placedIn{indexes[list], p})
		return true
	})
	result.total -= len(result.rejected)
	var ok bool
	result.hits, ok = f.show(ctx, answers, window[min(from, len(window)):min(to, len(window))])
	if !ok {
		return nil
	}
	return result
}

// placedIn is a hit of an index.
type placedIn struct {
	index *indexCensus
	placed
}

// needsCensus reports whether what is counted depends on how far one server looks, and on documents of several nodes.
func (f *federated) needsCensus(answers []*federatedAnswer) bool {
	total := 0
	for _, a := range answers {
		total += a.total
	}
	if len(answers) < 2 || total > f.censusLimit() {
		return false
	}
	needed := false
	for i := range f.multi.Queries {
		query := &f.multi.Queries[i]
		kind, _ := query.Kind(meili.AllFeatures())
		depends := f.distinctFor(i) != "" || query.RankingScoreThreshold != nil ||
			kind == meili.HybridSearch && wordsShare(query.Hybrid.EffectiveSemanticRatio()) >= goodEnough // words may suffice
		needed = needed || depends && len(f.callsOf(answers, query.IndexUID)) > 1
	}
	return needed
}

func (f *federated) censusLimit() int {
	distinct := f.multi.Federation.Distinct != nil
	for i := range f.multi.Queries {
		distinct = distinct || f.distinctFor(i) != ""
	}
	return censusLimit(distinct)
}

// sortsByNearest reports whether a query lists its hits against the order in which queries are merged: that compares
// distances without regard to their direction.
func sortsByNearest(ix *fsm.Index, query *meili.MultiQuery) bool {
	return slices.Contains(settingsOf(ix).Ranking(), "sort") && slices.ContainsFunc(deref(query.Sort), func(s string) bool { return strings.HasPrefix(s, "_geo") && strings.HasSuffix(s, ":asc") })
}

func (f *federated) callsOf(answers []*federatedAnswer, uid string) []Call {
	var calls []Call
	for _, a := range answers {
		if call, asked := a.part.calls[uid]; asked {
			calls = append(calls, call)
		}
	}
	return calls
}

// takeCensus finds out what one server would find in an index. nil where that cannot be told.
func (f *federated) takeCensus(ctx context.Context, answers []*federatedAnswer, uid string) *indexCensus {
	x := &indexCensus{uid: uid, queries: map[int]censusQuery{}}
	taking := censusTaking{calls: f.callsOf(answers, uid), limit: f.censusLimit(), facets: f.multi.Federation.FacetsByIndex[uid]}
	for i := range f.multi.Queries {
		query := &f.multi.Queries[i]
		if query.IndexUID != uid {
			continue
		}
		x.search = f.s.newSearch(f.view, f.indexes[uid], &query.SearchQuery)
		x.lost = f.lost[uid]
		q := censusQuery{query: &query.SearchQuery, kind: x.kind, distinct: f.distinctFor(i), position: i, turn: f.turns[i]}
		if query.FederationOptions != nil {
			q.weight = query.FederationOptions.Weight
		}
		if !canTakeCensus(x.search, q.distinct) {
			return nil
		}
		x.queries[i] = q
		taking.queries = append(taking.queries, q)
	}
	taking.search = x.search
	c, rankings, err := taking.take(ctx)
	if err != nil {
		return nil
	}
	federation := f.multi.Federation
	_, to := federation.Window()
	length := min(to, x.settings.MaxTotalHits())
	parts := make([]found, len(rankings))
	for n, q := range taking.queries {
		parts[n] = c.find(q.query, q.kind, rankings[n], extent{
			distinct: q.distinct, length: length, reachable: x.settings.MaxTotalHits(), threshold: q.query.RankingScoreThreshold, paged: federation.Paged(),
		})
		parts[n].hits = parts[n].hits[:f.room(q.position, len(parts[n].hits))]
	}
	x.census, x.found = c, c.merge(parts, deref(federation.Distinct), length)
	return x
}

// hitForm says how a hit is shown: by which query, and whether as found by vector.
type hitForm struct {
	query    int
	semantic bool
}

func formOf(query int, s score) hitForm { return hitForm{query, s.isSemantic()} }

// askedOf changes a query so that it finds hits in a form, those found by vector with at least a share of vectors.
func (form hitForm) askedOf(query *meili.SearchQuery, ranking []string, semanticRatio float64) {
	switch {
	case query.Hybrid == nil || !slices.ContainsFunc(ranking, isRelevancyRule): // no rule tells what is found by vector
	case form.semantic:
		query.Hybrid = &meili.Hybrid{Embedder: query.Hybrid.Embedder, SemanticRatio: new(max(semanticRatio, query.Hybrid.EffectiveSemanticRatio()))}
	default:
		query.Hybrid, query.Vector, query.Media = nil, nil, nil
	}
}

// isRelevancyRule reports whether a rule compares words, or vectors in its place.
func isRelevancyRule(rule string) bool { return rule != "sort" && !strings.Contains(rule, ":") }

// shownName names a hit as it is shown.
type shownName struct {
	hitForm
	identity string
}

// show returns hits as nodes show them. A node did not list those that it took for duplicates, and of those that it found by
// words and by vector one form only: it is asked for them.
func (f *federated) show(ctx context.Context, answers []*federatedAnswer, hits []placedIn) ([]hit, bool) {
	shown := map[shownName]hit{}
	learn := func(position int, list []hit) {
		for _, h := range list {
			shown[shownName{formOf(position, h.score), h.identity()}] = h
		}
	}
	for _, a := range answers {
		for position, list := range a.hits {
			learn(position, list)
		}
	}
	name := func(p *placedIn) shownName {
		return shownName{formOf(p.query, p.score), p.index.census.docs[p.doc].identity()}
	}
	for _, narrow := range []bool{false, true} {
		asked, taken := map[hitForm]*valuesAsked{}, map[int][]string{}
		for i := range hits {
			p := &hits[i]
			h, distinct := &p.index.census.docs[p.doc], p.index.queries[p.query].distinct
			if _, ok := shown[name(p)]; ok {
				taken[p.query] = append(taken[p.query], h.textsOf(distinct)...)
			} else {
				noteValues(asked, p.index.settings, formOf(p.query, p.score), h, distinct)
			}
		}
		for form, values := range asked {
			if narrow && values.any {
				continue
			}
			for _, list := range f.askFor(ctx, answers, form, values.filter(narrow, taken[form.query])) {
				learn(form.query, list)
			}
		}
	}
	out := make([]hit, len(hits))
	for i := range hits {
		h, ok := shown[name(&hits[i])]
		if !ok {
			return nil, false
		}
		out[i] = h
	}
	return out, true
}

// valuesAsked are the values of a distinct field that hits have which a node is asked for.
type valuesAsked struct {
	field   string
	any     bool     // nodes do not filter by the field
	none    bool     // one of the hits has no value
	single  []string // of hits with one value
	several [][]string
}

// noteValues adds a hit to those to be asked for in a form.
func noteValues(asked map[hitForm]*valuesAsked, settings *meili.Settings, form hitForm, h *hit, field string) {
	if asked[form] == nil {
		asked[form] = &valuesAsked{field: field, any: !isFilterable(settings, field)}
	}
	values := asked[form]
	switch own := h.textsOf(field); len(own) {
	case 0:
		values.none = true
	case 1:
		values.single = append(values.single, own[0])
	default:
		values.several = append(values.several, own)
	}
}

func (h *hit) textsOf(field string) (texts []string) {
	for _, value := range h.facetTexts(field) {
		texts = append(texts, value.text)
	}
	return texts
}

// filter is what all of the hits satisfy, "" for nothing. What is marked in a hit depends on those beside it, so that it excludes
// none at first. A narrow one is for hits that are not found so because nodes list no more than can be reached: taken are values of
// hits beside them, which they do not share.
func (v *valuesAsked) filter(narrow bool, taken []string) string {
	own := slices.Concat(append(slices.Clone(v.several), v.single)...)
	switch {
	case v.any || !narrow && v.none:
		return ""
	case !narrow:
		return fieldIn(v.field, own)
	}
	var conditions []string
	if len(v.single) > 0 {
		conditions = append(conditions, fieldIn(v.field, v.single))
	}
	for _, values := range v.several {
		all := make([]string, len(values))
		for i, value := range values {
			all[i] = fieldIn(v.field, []string{value})
		}
		conditions = append(conditions, "("+strings.Join(all, " AND ")+")")
	}
	switch {
	case v.none && len(own) == 0 && len(taken) == 0:
		return ""
	case v.none && len(own) > 0:
		conditions = append(conditions, "NOT "+fieldIn(v.field, own))
	}
	filter := ""
	if len(conditions) > 0 {
		filter = "(" + strings.Join(conditions, " OR ") + ")"
	}
	known := map[string]bool{} // as filters compare values
	for _, value := range own {
		known[normalizeFacet(value)] = true
	}
	others := slices.DeleteFunc(slices.Clone(taken), func(value string) bool { return known[normalizeFacet(value)] })
	switch {
	case len(others) == 0:
		return filter
	case filter == "":
		return "NOT " + fieldIn(v.field, others)
	}
	return filter + " AND NOT " + fieldIn(v.field, others)
}

// nearlySemantic is the share of vectors with which a hybrid search shows all that it finds by vector in that form, marked as
// the words of the query say.
const nearlySemantic = 0.9999

// askFor asks the nodes of answers for hits in a form that satisfy a filter. Losses are noted; what is not found then is missing.
func (f *federated) askFor(ctx context.Context, answers []*federatedAnswer, form hitForm, filter string) [][]hit {
	uid := f.multi.Queries[form.query].IndexUID
	lists := make([][]hit, len(answers))
	eachAtOnce(len(answers), func(i int) {
		part := answers[i].part
		call, asked := part.calls[uid]
		if !asked {
			return
		}
		ctx, cancel := f.s.inTime(ctx, f.view, f.indexes[uid], call)
		defer cancel()
		var err error
		lists[i], err = f.askAlone(ctx, part, form.query, tasks.NoField, func(m *meili.MultiSearch) {
			query := &m.Queries[0]
			if filter != "" {
				query.Filter = meili.AndFilter(query.Filter, meili.AppendString(nil, filter))
			}
			form.askedOf(&query.SearchQuery, settingsOf(f.indexes[uid]).Ranking(), nearlySemantic)
			query.RankingScoreThreshold = nil
			m.Federation.Page, m.Federation.HitsPerPage = nil, nil
			m.Federation.Offset, m.Federation.Limit = new(0), new(settingsOf(f.indexes[uid]).MaxTotalHits())
		})
		if err != nil {
			f.lost[uid].note(call, err)
		}
	})
	return lists
}
