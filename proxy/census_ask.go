package proxy

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"miroir/meili"
	"miroir/proxy/node"
	"miroir/tasks"
)

// censusLimit bounds the documents listed for one index, over all nodes and queries of a request. Beyond it totals and facets
// stay what can be told without a census. With distinct also the hits can depend on it, and pages promise exact totals;
// elsewhere totals are estimates on one server too, and are not worth more than one list of each node (4,800 documents took 40
// times as long as the search alone).
func censusLimit(distinct bool) int {
	if distinct {
		return 10_000
	}
	return 1000
}

// errNoCensus says that nodes cannot list all documents, or do not tell what is needed of them.
var errNoCensus = errors.New("not all documents can be listed")

// censusQuery is one query of a census.
type censusQuery struct {
	query    *meili.SearchQuery
	kind     meili.SearchKind
	distinct string   // the field whose values the hits of this query have once, "" for none
	weight   *float64 // in a federation, nil for 1
	position int      // of the query among those of its request
	turn     int
}

// censusTaking is a census being taken. Its search says of which index, from whom, and where losses are noted.
type censusTaking struct {
	*search
	calls   []Call
	facets  *[]string // patterns of what is counted, nil for nothing
	queries []censusQuery
	limit   int // see censusLimit
	listed  atomic.Int64
}

// take lists the documents of all queries, and all of them in the ranking of each. Errors: errNoCensus, those of nodes.
func (t *censusTaking) take(ctx context.Context) (*census, []ranking, error) {
	errs := make([]error, len(t.calls))
	lists := make([][]listedHalves, len(t.calls)) // by call and query
	eachAtOnce(len(t.calls), func(i int) {
		lists[i] = make([]listedHalves, len(t.queries))
		for n := range t.queries {
			for half, query := range t.queries[n].halves() {
				if query == nil || errs[i] != nil {
					continue
				}
				lists[i][n][half], errs[i] = t.list(ctx, t.calls[i], &t.queries[n], query)
			}
		}
	})
	if err := cmp.Or(errs...); err != nil {
		return nil, nil, err
	}
	t.settleRanks(ctx, lists)
	rankings := make([]listedHalves, len(t.queries))
	for n := range rankings {
		for i := range t.calls {
			for half := range rankings[n] {
				rankings[n][half] = append(rankings[n][half], lists[i][n][half]...)
			}
		}
	}
	return newCensus(t.queries, rankings)
}

// settleRanks puts right what nodes could not know about the hits of lists, by call and query.
func (t *censusTaking) settleRanks(ctx context.Context, lists [][]listedHalves) {
	for n := range t.queries {
		one := *t.search
		one.query, one.kind, one.send = t.queries[n].halves()[0], meili.KeywordSearch, t.sendAlone
		if one.query == nil {
			continue
		}
		one.query.RankingScoreThreshold = nil
		words := one.rankedWordsOf()
		if words == nil {
			continue
		}
		s := rankSettling{search: &one, weight: 1, form: searchForm{
			federated: true, detailed: true, reach: t.settings.MaxTotalHits(), distinct: tasks.NoField, distinctFederated: true, words: words,
		}}
		if weight := t.queries[n].weight; weight != nil {
			s.weight = *weight
		}
		for i, call := range t.calls {
			for _, list := range lists[i][n][0] {
				s.answers = append(s.answers, answered[*nodeAnswer]{Call: call, Value: &nodeAnswer{hits: list}})
			}
		}
		s.settle(ctx)
		next := 0
		for i := range t.calls {
			for l := range lists[i][n][0] {
				lists[i][n][0][l] = s.answers[next].Value.hits
				next++
			}
		}
	}
}

// listedHalves are lists of documents, each best first: found by words, found by vector, and in no order those that a hybrid
// search may find by vector if it excludes words.
type listedHalves [3][][]hit

// halves are the searches that a query is made of, nil for none.
func (q *censusQuery) halves() [3]*meili.SearchQuery {
	words, vectors := *q.query, *q.query
	words.Hybrid, words.Vector, words.Media = nil, nil, nil
	switch q.kind {
	case meili.KeywordSearch:
		return [3]*meili.SearchQuery{&words}
	case meili.SemanticSearch:
		return [3]*meili.SearchQuery{nil, &vectors}
	}
	vectors.Hybrid = &meili.Hybrid{Embedder: q.query.Hybrid.Embedder, SemanticRatio: new(1.0)}
	if vectors.Vector != nil {
		vectors.Q = nil
	}
	if excluded := negations(q.query); excluded != "" {
		allowed := words
		allowed.Q, allowed.Sort = &excluded, nil
		return [3]*meili.SearchQuery{&words, &vectors, &allowed}
	}
	return [3]*meili.SearchQuery{&words, &vectors}
}

// list asks a node for all documents of its part of a search.
func (t *censusTaking) list(ctx context.Context, call Call, q *censusQuery, query *meili.SearchQuery) ([][]hit, error) {
	hits, total, err := t.ask(ctx, call, q, query)
	if err != nil {
		return nil, err
	}
	if t.listed.Add(int64(total)) > int64(t.limit) {
		return nil, errNoCensus
	}
	return t.complete(ctx, call, q, query, hits, total)
}

// complete returns hits if they are all, and else asks for fewer shards at once until those of each can be reached.
func (t *censusTaking) complete(ctx context.Context, call Call, q *censusQuery, query *meili.SearchQuery, hits []hit, total int) ([][]hit, error) {
	if total <= len(hits) {
		return [][]hit{hits}, nil
	}
	if len(call.Shards) < 2 {
		return nil, errNoCensus
	}
	parts := make([]Call, min(len(call.Shards), 2*total/max(1, t.settings.MaxTotalHits())+2))
	for i, shard := range call.Shards {
		part := &parts[i%len(parts)]
		part.Node, part.Shards = call.Node, append(part.Shards, shard)
	}
	var lists [][]hit
	for _, part := range parts {
		hits, total, err := t.ask(ctx, part, q, query)
		if err != nil {
			return nil, err
		}
		more, err := t.complete(ctx, part, q, query, hits, total)
		if err != nil {
			return nil, err
		}
		lists = append(lists, more...)
	}
	return lists, nil
}

// ask asks a node for the documents of a search, best first, as many as can be reached, and for the number of all.
func (t *censusTaking) ask(ctx context.Context, call Call, q *censusQuery, query *meili.SearchQuery) ([]hit, int, error) {
	lean := meili.SearchQuery{
		Q: query.Q, Vector: query.Vector, Media: query.Media, Hybrid: query.Hybrid, Sort: query.Sort, MatchingStrategy: query.MatchingStrategy,
		AttributesToSearchOn: query.AttributesToSearchOn, Locales: query.Locales,
		Filter: withShards(query.Filter, call.filterShards()), ShowRankingScore: new(true), ShowRankingScoreDetails: new(true), AttributesToRetrieve: t.fieldsShown(),
	}
	federation := &meili.Federation{
		Offset: new(0), Limit: new(t.settings.MaxTotalHits()), Distinct: new(tasks.NoField),
		FacetsByIndex: map[string]*[]string{t.ix.NodeUID: t.fieldsTold()},
	}
	body, err := marshal(meili.MultiSearch{Federation: federation, Queries: []meili.MultiQuery{{
		IndexUID: t.ix.NodeUID, SearchQuery: lean, FederationOptions: &meili.FederationOptions{Weight: q.weight},
	}}})
	if err != nil {
		return nil, 0, err
	}
	ctx, cancel := t.s.inTime(ctx, t.view, t.ix, call)
	defer cancel()
	response, err := t.s.exchange(ctx, t.s.nodes.Client(t.view, call.Node), node.Request{
		Method: "POST", Path: "/multi-search", Body: body, ContentType: "application/json", Header: proxyHeader,
	})
	if err != nil {
		t.lost.note(call, err)
		return nil, 0, err
	}
	a := readAnswer(response.Body, t.ix.NodeUID, t.ix.PrimaryKey)
	for i := range a.hits {
		h := &a.hits[i]
		h.score, h.extra = weightedScore(memberOf(h.federation, "weightedScoreValues")), memberOf(h.federation, "extra_document")
		h.global = number(memberOf(h.federation, "weightedRankingScore"))
		h.pin = pinOf(nil, h.federation)
	}
	pins, ranked := splitPins(a.hits)
	return append(settleOrder(ranked, len(ranked)), pins...), a.total, nil
}

// fieldsTold are those whose values nodes tell of every document: of the facets of a search that is distinct.
func (t *censusTaking) fieldsTold() *[]string {
	fields := slices.Clone(deref(t.facets))
	for i := range t.queries {
		if distinct := t.queries[i].distinct; distinct != "" && isFilterable(t.settings, distinct) {
			fields = append(fields, distinct)
		}
	}
	return &fields
}

// fieldsShown are what names a document, and distinct fields that only hits tell.
func (t *censusTaking) fieldsShown() *[]string {
	fields := []string{orderField}
	if t.ix.PrimaryKey != "" {
		fields = append(fields, t.ix.PrimaryKey)
	}
	for i := range t.queries {
		if distinct := t.queries[i].distinct; distinct != "" && !isFilterable(t.settings, distinct) {
			fields = append(fields, distinct)
		}
	}
	return &fields
}

// identity names the document of a hit among all of its index, "" when the hit does not tell.
func (h *hit) identity() string {
	if order := orderOf(h.raw); order != nil {
		return string(order)
	}
	return string(h.key)
}

// newCensus numbers the documents of all lists by insertion and joins the lists of each query.
func newCensus(queries []censusQuery, lists []listedHalves) (*census, []ranking, error) {
	c, known := &census{}, map[string]bool{}
	for _, halves := range lists {
		for _, h := range slices.Concat(slices.Concat(halves[:]...)...) {
			identity := h.identity()
			if identity == "" {
				return nil, nil, errNoCensus
			}
			if !known[identity] {
				known[identity] = true
				c.docs = append(c.docs, h)
			}
		}
	}
	slices.SortStableFunc(c.docs, func(a, b hit) int { return cmp.Or(bytes.Compare(a.order, b.order), compareKeys(a.key, b.key)) })
	numbers := make(map[string]int, len(c.docs))
	for i := range c.docs {
		numbers[c.docs[i].identity()] = i
	}
	rankings := make([]ranking, len(lists))
	for n, halves := range lists {
		r := &rankings[n]
		r.pins = pinnedDocuments(halves, numbers)
		r.words, r.vectors = placeHits(halves[0], numbers, &queries[n]), placeHits(halves[1], numbers, &queries[n])
		if queries[n].halves()[2] != nil {
			allowed := map[int]bool{}
			for _, p := range placeHits(halves[2], numbers, &queries[n]) {
				allowed[p.doc] = true
			}
			r.vectors = slices.DeleteFunc(r.vectors, func(p placed) bool { return !allowed[p.doc] })
		}
	}
	return c, rankings, nil
}

// pinnedDocuments are the documents that rules pin for a query, by its words if it has any.
func pinnedDocuments(halves listedHalves, numbers map[string]int) (docs []int) {
	lists := halves[0]
	if len(lists) == 0 {
		lists = halves[1]
	}
	for _, list := range lists {
		pins, _ := splitPins(list)
		for i := range pins {
			docs = append(docs, numbers[pins[i].identity()])
		}
	}
	return docs
}

// placeHits joins the ranked hits of lists into one.
func placeHits(lists [][]hit, numbers map[string]int, query *censusQuery) []placed {
	lists = slices.Clone(lists)
	total := 0
	for i := range lists {
		_, lists[i] = splitPins(lists[i])
		total += len(lists[i])
	}
	hits := mergeHits(lists, 0, total, "", false, compareHits).hits
	placement := make([]placed, len(hits))
	for i := range hits {
		h := &hits[i]
		placement[i] = placed{
			doc: numbers[h.identity()], score: h.score, own: number(memberOf(h.raw, "_rankingScore")),
			query: query.position, global: h.global, turn: query.turn,
		}
	}
	return placement
}
