package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
)

// search is one search of one index on its way through plan, scatter and merge.
type search struct {
	s        *Server
	view     *fsm.View
	ix       *fsm.Index
	settings *meili.Settings
	query    *meili.SearchQuery   // as the client sent it, tenant rule included
	others   []*meili.SearchQuery // of a federated search: more queries whose candidates are counted with those of query
	kind     meili.SearchKind
	seed     uint64
	metadata bool
	send     sender
	pin      *sessionPin
	request  *planRequest          // set by planRequest
	lost     *losses               // of rounds after the first, shared by copies
	within   map[fsm.NodeID]string // filters that further counts of candidates must satisfy, "" for none
	removal  *removal              // the words that nodes are to drop step by step, nil when they do themselves
	shown    *meili.SearchQuery    // the client's query where query is not, see stepwise
}

// sender asks one node for a search and returns the body of its answer. call is nil when the client's query is sent as it
// is. Multi-search puts several searches into one request.
type sender func(ctx context.Context, c *node.Client, call *Call, query nodeQuery) ([]byte, error)

// nodeQuery is what one node is asked: a plain search, or (with federation) a federated search of one query in proxy mode,
// which tells of each hit what it is ranked by even where fields are hidden.
type nodeQuery struct {
	plain      *meili.SearchQuery
	federation *meili.Federation
	metadata   bool
}

func (s *Server) newSearch(view *fsm.View, ix *fsm.Index, query *meili.SearchQuery) *search {
	kind, _ := query.Kind(meili.AllFeatures()) // an error is left to the node
	q := &search{s: s, view: view, ix: ix, settings: settingsOf(ix), query: query, kind: kind}
	q.send = q.sendAlone
	return q
}

// run answers the search and names the shards that nobody could answer.
func (q *search) run(ctx context.Context) (*searchAnswer, []fsm.ShardID, error) {
	answer, missing, err := q.find(ctx)
	if err != nil {
		return nil, nil, err
	}
	if refused := checkFacets(q.query, q.ix); refused != nil {
		return nil, nil, refused
	}
	return answer, missing, q.joinForeign(ctx, answer)
}

// checkFacets refuses facets that nodes accept because only fields which clients do not see are filterable there.
func checkFacets(query *meili.SearchQuery, ix *fsm.Index) *meili.Error {
	if query.Facets == nil {
		return nil
	}
	return meili.CheckFacets(*query.Facets, settingsOf(ix).Filterable())
}

func (q *search) find(ctx context.Context) (*searchAnswer, []fsm.ShardID, error) {
	started := time.Now()
	request := q.planRequest()
	plan := request.plan()
	if len(plan.Calls) == 1 && len(plan.Missing) == 0 && (!q.listsFurther() || plan.Calls[0].holdsAll(q.ix)) {
		body, err := q.runAlone(ctx, request, plan.Calls[0])
		if err == nil {
			return &searchAnswer{raw: body}, nil, nil
		}
		if done := final(ctx, err); done != nil {
			return nil, nil, q.errorOfQuery(ctx, done)
		}
		if !errors.Is(err, errNotWhole) {
			q.s.meter.retries.Inc()
			request = request.without(plan.Calls[0], err)
		}
	}
	answer, missing, err := q.runWhole(ctx, request)
	if err != nil {
		return nil, nil, q.errorOfQuery(ctx, err)
	}
	answer.started = started
	return answer, missing, nil
}

// runParts scatters the search and merges the answers.
func (q *search) runParts(ctx context.Context, request planRequest) (*searchAnswer, []fsm.ShardID, error) {
	if answer, missing, err := q.keywordsSuffice(ctx, request); answer != nil || err != nil {
		return answer, missing, err
	}
	if err := q.embedOnce(ctx, request); err != nil {
		return nil, nil, err
	}
	f := q.form()
	if r := q.dropsByFrequency(ctx, request.plan()); r != nil {
		q, f = q.stepwise(r, f)
	}
	got, err := q.scatter(ctx, request, f)
	if err != nil {
		return nil, nil, err
	}
	defer q.s.meter.merged(time.Now())
	return q.merge(ctx, got.Answers, f), got.Missing, nil
}

func (q *search) scatter(ctx context.Context, request planRequest, f searchForm) (gathered[*nodeAnswer], error) {
	plan := request.plan()
	f.lone = len(plan.Calls) == 1 && len(plan.Missing) == 0
	return scatter(ctx, q.s, request, func(ctx context.Context, c *node.Client, call Call) (*nodeAnswer, error) {
		return q.askPart(ctx, c, call, f)
	})
}

// planRequest is the same each time: what is sent must be what other queries of a batch were told to wait for.
func (q *search) planRequest() planRequest {
	if q.request == nil {
		r := q.s.planRequest(q.view, q.ix, q.s.narrow(q.query.Filter, q.ix, q.view), q.seed)
		r.pinTo(q.pin)
		plan := planRead(r)
		q.s.notePlan(q.view, plan)
		r.prepared, q.request = &plan, &r
	}
	return *q.request
}

// listsFurther reports that nodes may list more facet values than the client is to see.
func (q *search) listsFurther() bool {
	return !q.ix.Whole() && q.query.Facets != nil && listsByCount(q.settings)
}

// runAlone sends the client's query, at most with the shard filter, to the one node that answers all of it, or to another
// one that does.
func (q *search) runAlone(ctx context.Context, r planRequest, call Call) ([]byte, error) {
	q.s.meter.fanOut.Update(1)
	r.alone = true
	answers, err := askHedged(ctx, q.s, r, call, func(ctx context.Context, c *node.Client, call Call) ([]byte, error) {
		if q.listsFurther() && !call.holdsAll(q.ix) {
			return nil, errNotWhole
		}
		query := *q.query
		query.Filter = withShards(query.Filter, call.filterShards())
		body, err := q.send(ctx, c, &call, nodeQuery{plain: &query, metadata: q.metadata})
		if err != nil {
			return nil, err
		}
		return oneServersAnswer(body, q.ix)
	})
	if err != nil {
		return nil, err
	}
	return answers[0].Value, nil
}

// askPart asks a node for the hits that the merge needs of it, from the first on.
func (q *search) askPart(ctx context.Context, c *node.Client, call Call, f searchForm) (a *nodeAnswer, err error) {
	if q.removal != nil {
		a, err = q.askSteps(ctx, c, call, f)
	} else {
		a, err = q.askOnce(ctx, c, call, f)
	}
	if err != nil {
		return nil, err
	}
	a.hits = settleOrder(a.hits, f.reach)
	return a, nil
}

// askOnce is askPart by one search; the hits may be some more.
func (q *search) askOnce(ctx context.Context, c *node.Client, call Call, f searchForm) (*nodeAnswer, error) {
	query := *q.query
	query.Filter = withShards(query.Filter, call.filterShards())
	reach := f.reach
	if !f.lone {
		reach = withLookahead(reach) + f.pins.more(reach)
	}
	query.Offset, query.Limit, query.Page, query.HitsPerPage = q.nodePaging(reach)
	query.AttributesToRetrieve = retrieveOrder(f.retrieve)
	sent := nodeQuery{plain: &query}
	if f.detailed {
		query.ShowRankingScoreDetails = new(true)
	}
	if f.words != nil {
		query.ShowRankingScore = new(true)
	}
	if f.federated {
		sent.federation = &meili.Federation{
			Offset: query.Offset, Limit: query.Limit, Page: query.Page, HitsPerPage: query.HitsPerPage,
			ShowPerformanceDetails: query.ShowPerformanceDetails,
		}
		if f.distinct != "" && f.distinctFederated {
			sent.federation.Distinct = &f.distinct
			query.Distinct = nil
		}
		if query.Facets != nil && len(*query.Facets) > 0 {
			sent.federation.FacetsByIndex = map[string]*[]string{q.ix.NodeUID: query.Facets}
		}
		query.Offset, query.Limit, query.Page, query.HitsPerPage = nil, nil, nil, nil
		query.Facets, query.ShowPerformanceDetails, query.Personalize = nil, nil, nil
	} else {
		query.ShowRankingScoreDetails = new(true)
	}
	body, err := q.send(ctx, c, &call, sent)
	if err != nil {
		return nil, err
	}
	a := readAnswer(body, q.ix.NodeUID, q.ix.PrimaryKey)
	for i := range a.hits {
		q.score(&a.hits[i], f)
	}
	a.pins, a.hits = splitPins(a.hits)
	return a, nil
}

// nodePaging asks for the first reach hits in the client's mode, since totals depend on it.
func (q *search) nodePaging(reach int) (offset, limit, page, hitsPerPage *int) {
	if !q.query.Paged() {
		return new(0), &reach, nil, nil
	}
	if reach == 0 {
		return nil, nil, new(1), new(0)
	}
	return nil, nil, new(1), &reach
}

// score tells what a hit is merged by.
func (q *search) score(h *hit, f searchForm) {
	if !f.federated {
		h.score, h.pin = detailsScore(h.ranking), pinOf(h.ranking, nil)
		return
	}
	h.pin = pinOf(nil, h.federation)
	h.score = weightedScore(memberOf(h.federation, "weightedScoreValues"))
	h.extra = memberOf(h.federation, "extra_document")
	if q.kind == meili.HybridSearch {
		h.score = h.score.weighted(q.query.Hybrid.EffectiveSemanticRatio())
	}
}

// searchForm says how the nodes are asked and what is cut from their hits.
type searchForm struct {
	federated         bool
	reach             int    // hits asked of each node
	lone              bool   // one node answers all: it is asked for the client's own window, which its totals depend on
	distinct          string // applied again over the merged hits, "" for none
	distinctFederated bool   // nodes give its values apart from the hits
	detailed          bool   // hits are compared by their details although the form is federated
	retrieve          *[]string
	words             rankedWords // verdicts about them may have to be put right, nil for none
	pins              *indexPins
	cutter            hitCutter
}

// form chooses the federated form where the details of a plain search do not say enough: for hidden sort fields, hybrid
// searches (whose ranks are compared as one) and distinct fields that hits need not show.
func (q *search) form() searchForm {
	_, to := q.query.Window()
	f := searchForm{reach: min(to, q.settings.MaxTotalHits()), distinct: q.distinct(), retrieve: q.query.AttributesToRetrieve, pins: q.s.ruleBooks.of(q.view, q.ix.UID)}
	f.distinctFederated = f.distinct != "" && isFilterable(q.settings, f.distinct)
	f.federated = f.distinctFederated || q.kind == meili.HybridSearch || q.sortsByHidden()
	f.words = q.rankedWordsOf()
	var members, fields []string
	if f.words != nil && !isTrue(q.query.ShowRankingScore) {
		members = []string{"_rankingScore"}
	}
	switch {
	case f.federated:
		members = append(members, "_federation")
		if f.detailed = f.words != nil || q.markingOf() != nil; f.detailed && !isTrue(q.query.ShowRankingScoreDetails) {
			members = append(members, "_rankingScoreDetails")
		}
	case !isTrue(q.query.ShowRankingScoreDetails):
		members = append(members, "_rankingScoreDetails")
	}
	if f.distinct != "" && !f.distinctFederated && f.retrieve != nil && !retrieves(*f.retrieve, f.distinct) {
		added := append(slices.Clone(*f.retrieve), f.distinct)
		f.retrieve = &added
		root, _, _ := strings.Cut(f.distinct, ".")
		if !retrievesBelow(*q.query.AttributesToRetrieve, root) {
			fields = append(fields, root)
		}
	}
	key := addedKey(q.ix, f.retrieve)
	if key == "" || hasFormatted(q.query) && f.pins == nil {
		f.cutter = newHitCutter(members, fields)
		return f
	}
	added := append(slices.Clone(*f.retrieve), key)
	f.retrieve = &added
	f.cutter = newHitCutter(append(members, key), fields)
	if formats(q.query, key) {
		return f
	}
	f.cutter = f.cutter.inFormatted(key)
	return f
}

// addedKey is the primary key where hits do not tell it but may, "" otherwise. It orders hits that tie, and names pins.
func addedKey(ix *fsm.Index, retrieve *[]string) string {
	key, displayed := ix.PrimaryKey, settingsOf(ix).Displayed()
	if retrieve == nil || strings.Contains(key, ".") || key == "" || retrieves(*retrieve, key) {
		return ""
	}
	if displayed != nil && !slices.ContainsFunc(displayed, func(shown string) bool { return shown == "*" || meili.IsFieldOrBelow(key, shown) }) {
		return ""
	}
	return key
}

// formats reports whether a field is shown in _formatted even where it is not retrieved.
func formats(query *meili.SearchQuery, field string) bool {
	return slices.ContainsFunc(slices.Concat(deref(query.AttributesToHighlight), deref(query.AttributesToCrop)), func(name string) bool {
		name, _, _ = strings.Cut(name, ":")
		return name == "*" || name == field
	})
}

// hasFormatted reports whether hits may have a _formatted member, which shows what is retrieved too.
func hasFormatted(query *meili.SearchQuery) bool {
	return len(deref(query.AttributesToHighlight)) > 0 || len(deref(query.AttributesToCrop)) > 0
}

func (q *search) distinct() string {
	if q.query.Distinct != nil {
		return *q.query.Distinct
	}
	return q.settings.Distinct()
}

// retrieves reports whether attributesToRetrieve includes a field.
func retrieves(list []string, field string) bool {
	return slices.ContainsFunc(list, func(name string) bool { return name == "*" || meili.IsFieldOrBelow(field, name) })
}

// retrievesBelow reports whether attributesToRetrieve includes a field or something in it.
func retrievesBelow(list []string, field string) bool {
	return slices.ContainsFunc(list, func(name string) bool { return name == "*" || meili.IsFieldOrBelow(name, field) })
}

// sortsByHidden reports whether hits are ranked by a field whose value details hide: one that displayedAttributes does not
// list by its own name, even where a parent of it is shown (milli search/new/sort.rs, must_redact).
func (q *search) sortsByHidden() bool {
	if q.settings.Displayed() == nil {
		return false
	}
	rules := q.settings.Ranking()
	if q.query.Sort != nil {
		rules = append(slices.Clone(rules), *q.query.Sort...)
	}
	return slices.ContainsFunc(rules, func(rule string) bool {
		at := strings.LastIndexByte(rule, ':')
		return at >= 0 && !strings.HasPrefix(rule, "_geoPoint(") && !slices.Contains(q.settings.Displayed(), rule[:at])
	})
}

// shows reports whether all of a field is displayed.
func (q *search) shows(field string) bool {
	return slices.ContainsFunc(q.settings.Displayed(), func(shown string) bool { return shown == "*" || meili.IsFieldOrBelow(field, shown) })
}

// merge joins the answers of all nodes. It asks them again where an exact answer needs it.
func (q *search) merge(ctx context.Context, answers []answered[*nodeAnswer], f searchForm) *searchAnswer {
	from, _ := q.query.Window()
	out := &searchAnswer{query: q.shownQuery(), cutter: f.cutter}
	for _, a := range answers {
		if a.Value.tookMillis >= out.tookMillis {
			out.tookMillis, out.performance = a.Value.tookMillis, a.Value.performance
		}
		if out.queryVector == nil && isTrue(q.query.RetrieveVectors) {
			out.queryVector = a.Value.queryVector
		}
		if a.Value.semantic {
			out.semantic = new(0)
		}
	}
	q.settleRanks(ctx, answers, f)
	q.fillWindow(ctx, answers, f)
	pins := pinsOf(answers)
	if len(pins) > 0 {
		from = 0 // pins are put into the whole list
	}
	m := mergeHits(hitLists(answers), from, f.reach, f.distinct, false, compareHits)
	m.pinned = len(pins) > 0
	hits, c, calls := q.count(ctx, answers, f, m)
	if m.pinned {
		from, _ = q.query.Window()
		hits = f.pins.place(pins, hits, f.reach)
	}
	counted := hits
	if m.pinned {
		hits = hits[min(from, len(hits)):]
		if onPage, _ := splitPins(counted); len(onPage) == 0 {
			counted = hits
		}
	}
	if out.semantic != nil {
		*out.semantic = numSemantic(counted)
	}
	q.completeFormatted(ctx, answers, f, hits)
	q.completeMarks(ctx, answers, f, hits, from)
	out.hits, out.total = hits, c.total
	out.facets = q.mergeFacets(ctx, calls, c, c.total)
	if q.metadata {
		out.metadata = &searchMetadata{query: deref(q.shownQuery().Q), indexUID: q.ix.UID, primaryKey: q.ix.PrimaryKey}
	}
	return out
}

// numSemantic is how many hits were found by their vector. As in Meilisearch those before the page count where there are pins
// up to its end.
func numSemantic(hits []hit) (n int) {
	for i := range hits {
		if hits[i].score.isSemantic() {
			n++
		}
	}
	return n
}

// errorOfQuery is the error one server would give: a node that refused its rewritten part is asked once more with the
// client's own words, so that positions and texts in the message are right.
func (q *search) errorOfQuery(ctx context.Context, err error) error {
	known, ok := err.(*meili.Error)
	if !ok || known.Status >= 500 {
		return err
	}
	for _, id := range q.ix.Nodes(fsm.Active) {
		if !q.s.alive(q.view, id) {
			continue
		}
		askCtx, cancel := context.WithTimeout(ctx, q.s.readTimeout(q.view))
		_, again := q.sendAlone(askCtx, q.s.nodes.Client(q.view, id), nil, nodeQuery{plain: q.query})
		cancel()
		if refused, ok := again.(*meili.Error); ok {
			return clientError(refused, q.ix)
		}
		if again == nil {
			break
		}
	}
	return clientError(known, q.ix)
}

// embedOnce lets one node turn the query text into a vector, which all nodes then are given: they would each pay for the
// same embedding.
func (q *search) embedOnce(ctx context.Context, r planRequest) error {
	if q.kind == meili.KeywordSearch || q.query.Vector != nil || q.query.Media != nil {
		return nil
	}
	query := *q.query
	query.Offset, query.Limit, query.Page, query.HitsPerPage = nil, new(1), nil, nil
	query.Facets, query.Filter, query.Sort, query.Distinct = nil, nil, nil, nil
	query.RetrieveVectors, query.AttributesToRetrieve = new(true), &[]string{}
	query.Hybrid = &meili.Hybrid{Embedder: q.query.Hybrid.Embedder, SemanticRatio: new(1.0)}
	for {
		plan := r.plan()
		if len(plan.Calls) == 0 {
			return nil // the scatter will say so
		}
		call := plan.Calls[0]
		askCtx, cancel := q.s.inTime(ctx, r.View, r.Index, call)
		body, err := q.sendAlone(askCtx, q.s.nodes.Client(r.View, call.Node), nil, nodeQuery{plain: &query})
		cancel()
		if err == nil {
			given := *q.query
			given.Vector = slices.Clone(json.RawMessage(memberOf(body, "queryVector")))
			q.query = &given
			return nil
		}
		if done := final(ctx, err); done != nil {
			if _, refused := done.(*meili.Error); refused && q.kind == meili.HybridSearch {
				return nil // a hybrid search goes on with the words alone
			}
			return done
		}
		r.Avoid, r.prepared = r.without(call, err).Avoid, nil
	}
}

// sendAlone is a sender that makes a request of its own.
func (q *search) sendAlone(ctx context.Context, c *node.Client, _ *Call, query nodeQuery) ([]byte, error) {
	request, err := query.request(q.ix.NodeUID)
	if err != nil {
		return nil, err
	}
	response, err := q.s.exchange(ctx, c, request)
	if err != nil {
		return nil, err
	}
	return response.Body, nil
}

// request is the query as a request to a node.
func (n nodeQuery) request(nodeUID string) (node.Request, error) {
	if n.federation == nil {
		body, err := marshal(n.plain)
		r := node.Request{Method: "POST", Path: "/indexes/" + nodeUID + "/search", Body: body, ContentType: "application/json"}
		if n.metadata {
			r.Header = map[string][]string{metadataHeader: {"true"}}
		}
		return r, err
	}
	body, err := marshal(meili.MultiSearch{
		Federation: n.federation, Queries: []meili.MultiQuery{{IndexUID: nodeUID, SearchQuery: *n.plain}},
	})
	return node.Request{Method: "POST", Path: "/multi-search", Body: body, ContentType: "application/json", Header: proxyHeader}, err
}

// proxyHeader asks a node for the values that federated hits are merged by.
var proxyHeader = map[string][]string{"Meili-Proxy-Search": {"true"}}
