package proxy

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
)

// federated is one federated search on its way. All queries on an index share its plan, so that each document is seen by
// one node only and facets count it once.
type federated struct {
	s        *Server
	view     *fsm.View
	multi    *meili.MultiSearch
	indexes  map[string]*fsm.Index  // by client name, of all queries
	unknown  string                 // the first index by name that queries name and there is not, "" for none
	pins     map[string]*sessionPin // by client name
	requests map[string]planRequest // how each index is read, by client name
	seed     uint64
	metadata bool
	lost     map[string]*losses // of rounds after the first, by client name
	self     *string            // what the network calls this server, nil unless a query names it
	rooms    map[int]int        // ranked hits that pins leave on the page, by query; none: all
	words    []rankedWords      // by query, see rankedWords
	turns    []int              // by query, see orderQueries
	order    []int              // queries by turn
	started  time.Time
}

// federatedPart is what one node is asked: some shards of some indexes.
type federatedPart struct {
	node  fsm.NodeID
	calls map[string]Call // by index
	lone  bool            // nobody else is asked about these indexes: for the client's own window, which totals depend on
	only  bool            // nobody else is asked at all
}

// federatedAnswer is a node's answer with its hits by query.
type federatedAnswer struct {
	part         federatedPart
	hits         map[int][]hit // ranked ones
	merged       []hit         // the same as the node merged them
	pins         map[int][]hit
	total        int
	tookMillis   int
	facets       map[string]*facets // by client name of the index
	queryVectors map[int][]byte
	semantic     bool
	performance  []byte
}

func (s *Server) federatedSearch(w http.ResponseWriter, r *request, multi *meili.MultiSearch, pins map[string]*sessionPin) error {
	f := &federated{s: s, view: r.View, multi: multi, pins: pins, metadata: wantsMetadata(r), started: time.Now()}
	f.orderQueries()
	if err := f.check(); err != nil {
		return err
	}
	if f.unknown != "" {
		return f.refuseUnknown(r.Context())
	}
	if err := f.nodeFilters(r.Context()); err != nil {
		return err
	}
	body, missing, err := f.run(r.Context())
	if err != nil {
		return err
	}
	if refused := f.checkBetween(); refused != nil {
		return refused
	}
	if refused := f.checkHiddenFacets(); refused != nil {
		return refused
	}
	if err := f.checkUnusedFacets(r); err != nil {
		return err
	}
	if len(missing) > 0 {
		s.meter.lostShards.Inc()
	}
	for _, uid := range slices.Sorted(maps.Keys(missing)) {
		markMissing(w.Header(), uid, missing[uid])
	}
	body, err = f.joinForeign(r.Context(), body)
	if err != nil {
		return err
	}
	writeRawJSON(w, http.StatusOK, body)
	return nil
}

// run answers the search from nodes that answer all of its rounds, like runWhole. The shards that nobody could answer are
// named by index.
func (f *federated) run(ctx context.Context) ([]byte, map[string][]fsm.ShardID, error) {
	avoid := map[fsm.NodeID]bool{}
	for {
		answers, missing, err := f.gather(ctx, maps.Clone(avoid))
		if err != nil {
			return nil, nil, err
		}
		f.lost = map[string]*losses{}
		for uid := range f.indexes {
			f.lost[uid] = &losses{}
		}
		body := f.merge(ctx, answers)
		numAvoided := len(avoid)
		for _, lost := range f.lost {
			for _, call := range lost.calls {
				avoid[call.Node] = true
			}
		}
		if len(avoid) == numAvoided || ctx.Err() != nil {
			return body, missing, nil
		}
		if f.lacksMore(missing, avoid) {
			for uid, lost := range f.lost {
				if missing[uid] = lost.shards(missing[uid]); len(missing[uid]) == 0 {
					delete(missing, uid)
				}
			}
			return body, missing, f.judge(missing, 1, nil)
		}
		f.s.meter.retries.Inc()
	}
}

// lacksMore reports whether more shards than are missing have no node left when some are avoided.
func (f *federated) lacksMore(missing map[string][]fsm.ShardID, avoid map[fsm.NodeID]bool) bool {
	lacking, all := map[string][]fsm.ShardID{}, map[string][]fsm.ShardID{}
	for uid := range f.indexes {
		all[uid] = nil
	}
	f.parts(all, avoid, lacking)
	for uid := range f.indexes {
		if len(lacking[uid]) > len(missing[uid]) {
			return true
		}
	}
	return false
}

// gather asks the nodes, and again other replicas for what failed, round by round.
func (f *federated) gather(ctx context.Context, avoid map[fsm.NodeID]bool) ([]*federatedAnswer, map[string][]fsm.ShardID, error) {
	if f.words == nil {
		f.words = f.rankedWords()
	}
	missing := map[string][]fsm.ShardID{}
	open := map[string][]fsm.ShardID{} // nil: all shards
	f.requests = map[string]planRequest{}
	hedges := &atomic.Int32{}
	for uid, ix := range f.indexes {
		open[uid] = nil
		request := f.s.planRequest(f.view, ix, nil, f.seed)
		if request.hedges != nil {
			request.hedges = hedges
		}
		request.pinTo(f.pins[uid])
		f.requests[uid] = request
	}
	var answers []*federatedAnswer
	var failure error
	var refused []error
	for len(open) > 0 {
		parts := f.parts(open, avoid, missing)
		markLone(parts, len(answers) == 0)
		f.s.meter.fanOut.Update(float64(len(parts)))
		open = map[string][]fsm.ShardID{}
		for _, o := range f.ask(ctx, parts) {
			if o.err == nil {
				answers = append(answers, o.answers...)
				continue
			}
			if isOver(ctx) {
				for uid, call := range o.part.calls {
					missing[uid] = append(missing[uid], call.Shards...)
				}
				failure = outOfTime{}
				continue
			}
			if done := final(ctx, o.err); done != nil {
				refused = append(refused, f.errorOfQueries(ctx, o.part, done))
				continue
			}
			failure = o.err
			if f.view.Config.Reads.NoRetryOnTimeout && timedOut(o.err) {
				for uid, call := range o.part.calls {
					missing[uid] = append(missing[uid], call.Shards...)
				}
				continue
			}
			f.s.meter.retries.Inc()
			avoid[o.part.node] = true
			for uid, call := range o.part.calls {
				open[uid] = append(open[uid], call.Shards...)
			}
		}
		if len(refused) > 0 {
			return nil, nil, f.firstMet(refused)
		}
	}
	return answers, missing, f.judge(missing, len(answers), failure)
}

// judge is the error of a search that lacks shards, nil where it may.
func (f *federated) judge(missing map[string][]fsm.ShardID, numAnswers int, failure error) error {
	for _, uid := range slices.Sorted(maps.Keys(missing)) {
		slices.Sort(missing[uid])
		if err := f.s.judgeMissing(f.view, missing[uid], numAnswers, failure); err != nil {
			return err
		}
	}
	return nil
}

// parts plans the open shards of every index and groups the calls by node, ordered by node.
func (f *federated) parts(open map[string][]fsm.ShardID, avoid map[fsm.NodeID]bool, missing map[string][]fsm.ShardID) []federatedPart {
	plans := map[string]Plan{}
	for uid, shards := range open {
		request := f.requests[uid]
		request.Shards, request.Avoid = slices.Sorted(slices.Values(shards)), avoid
		if shards == nil {
			request.Shards = nil
		}
		plan := planRead(request)
		if len(plan.Missing) > 0 {
			missing[uid] = append(missing[uid], plan.Missing...)
		}
		plans[uid] = plan
	}
	return f.partsOf(plans)
}

// partsOf are the calls of several plans, by index, one part for each node; for a distinct federation one for each index of
// a node, since a node that tells what hits do not show finds no duplicates among indexes by it.
func (f *federated) partsOf(plans map[string]Plan) []federatedPart {
	var parts []federatedPart
	places := map[fsm.NodeID]int{}
	for _, uid := range slices.Sorted(maps.Keys(plans)) {
		for _, call := range plans[uid].Calls {
			at, known := places[call.Node]
			if !known || f.multi.Federation.Distinct != nil {
				at = len(parts)
				places[call.Node] = at
				parts = append(parts, federatedPart{node: call.Node, calls: map[string]Call{}})
			}
			parts[at].calls[uid] = call
		}
	}
	slices.SortStableFunc(parts, func(a, b federatedPart) int { return cmp.Compare(a.node, b.node) })
	return parts
}

// markLone says of each part whether all of its indexes are in no other part. first: nobody else has answered yet.
func markLone(parts []federatedPart, first bool) {
	uses := map[string]int{}
	for _, part := range parts {
		for uid := range part.calls {
			uses[uid]++
		}
	}
	for i := range parts {
		parts[i].lone, parts[i].only = first, first && len(parts) == 1
		for uid := range parts[i].calls {
			parts[i].lone = parts[i].lone && uses[uid] == 1
		}
	}
}

type federatedOutcome struct {
	part    federatedPart
	answers []*federatedAnswer
	err     error
}

func (f *federated) ask(ctx context.Context, parts []federatedPart) []federatedOutcome {
	outcomes := make([]federatedOutcome, len(parts))
	eachAtOnce(len(parts), func(i int) {
		answers, err := f.askHedged(ctx, parts[i])
		outcomes[i] = federatedOutcome{parts[i], answers, err}
	})
	return outcomes
}

// askHedged asks one node and, when it takes long, others for the same shards of the same indexes.
func (f *federated) askHedged(ctx context.Context, p federatedPart) ([]*federatedAnswer, error) {
	to := func(p federatedPart) part[*federatedAnswer] {
		return func(ctx context.Context) (*federatedAnswer, error) { return f.askPart(ctx, p) }
	}
	var any planRequest
	for uid := range p.calls {
		any = f.requests[uid]
	}
	if err := f.awaitSession(ctx, p); err != nil { // before the hedge's time runs
		return nil, err
	}
	started := time.Now()
	when := f.s.hedgeOf(any, p.node)
	answers, hedged, err := race(ctx, when, to(p), func(ctx context.Context) (asks []part[*federatedAnswer], _ error) {
		for _, substitute := range instead(ctx, f.s, any, p.node, when, func(silent bool) []federatedPart { return f.hedgeParts(p, silent) }) {
			asks = append(asks, to(substitute))
		}
		return asks, nil
	})
	if hedged {
		f.s.selector.observe(f.s.nodes.Client(f.view, p.node), time.Since(started), false) // it would have taken longer still
	}
	return answers, err
}

// hedgeParts are what other nodes that are well would be asked instead of a part, nil when they cannot answer all of it.
func (f *federated) hedgeParts(p federatedPart, silent bool) []federatedPart {
	plans := map[string]Plan{}
	for uid, call := range p.calls {
		plan, ok := f.s.hedgePlan(f.requests[uid], call, silent)
		if !ok {
			return nil
		}
		plans[uid] = plan
	}
	parts := f.partsOf(plans)
	markLone(parts, p.lone)
	for i := range parts {
		parts[i].only = parts[i].only && p.only
	}
	return parts
}

// awaitSession waits until a node has what the session wrote to each of its indexes.
func (f *federated) awaitSession(ctx context.Context, p federatedPart) error {
	for uid := range p.calls {
		if err := f.pins[uid].await(ctx, f.s.nodes.Client(f.view, p.node)); err != nil {
			return err
		}
	}
	return nil
}

func (f *federated) askPart(ctx context.Context, part federatedPart) (*federatedAnswer, error) {
	if err := f.awaitSession(ctx, part); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, f.s.readTimeout(f.view))
	defer cancel()
	body, err := marshal(f.request(part))
	if err != nil {
		return nil, err
	}
	response, err := f.s.exchange(ctx, f.s.nodes.Client(f.view, part.node), node.Request{
		Method: "POST", Path: "/multi-search", Body: body, ContentType: "application/json", Header: proxyHeader,
	})
	if err != nil {
		return nil, err
	}
	a := f.read(response.Body)
	a.part = part
	return a, f.askDistinct(ctx, part, a)
}

// askDistinct asks for the hits of those queries again that a field of their own or of their index makes distinct: alone and
// in a federation distinct by it, which makes the node tell its values, so that duplicates on several nodes are found.
func (f *federated) askDistinct(ctx context.Context, part federatedPart, a *federatedAnswer) error {
	if part.lone {
		return nil
	}
	var positions []int
	for i := range f.multi.Queries {
		if _, asked := part.calls[f.multi.Queries[i].IndexUID]; asked && f.distinctOf(i) != "" {
			positions = append(positions, i)
		}
	}
	errs := make([]error, len(positions))
	lists := make([][]hit, len(positions))
	eachAtOnce(len(positions), func(n int) {
		lists[n], errs[n] = f.askAlone(ctx, part, positions[n], f.distinctOf(positions[n]), func(*meili.MultiSearch) {})
	})
	for n, i := range positions {
		a.hits[i] = lists[n]
	}
	return errors.Join(errs...)
}

// askAlone asks a node for the hits of one query, distinct by a field. change is made to the request.
func (f *federated) askAlone(ctx context.Context, part federatedPart, position int, distinct string, change func(*meili.MultiSearch)) ([]hit, error) {
	federation := *f.multi.Federation
	federation.Distinct, federation.FacetsByIndex = &distinct, nil
	request := f.requestIn(part, federation)
	request.Queries = slices.DeleteFunc(request.Queries, func(q meili.MultiQuery) bool { return *q.FederationOptions.QueryPosition != f.turns[position] })
	request.Queries[0].Distinct = nil
	change(request)
	body, err := marshal(request)
	if err != nil {
		return nil, err
	}
	response, err := f.s.exchange(ctx, f.s.nodes.Client(f.view, part.node), node.Request{
		Method: "POST", Path: "/multi-search", Body: body, ContentType: "application/json", Header: proxyHeader,
	})
	if err != nil {
		return nil, err
	}
	return f.read(response.Body).hits[position], nil
}

// distinctOf is the field that makes a query distinct apart from the federation, its own or its index's, if it removes
// duplicates on several nodes, "" otherwise. One that is not filterable is left to the nodes: they do not tell its values.
func (f *federated) distinctOf(query int) string {
	ix := f.indexes[f.multi.Queries[query].IndexUID]
	distinct := f.distinctFor(query)
	if f.multi.Federation.Distinct != nil || ix.Whole() || !isFilterable(settingsOf(ix), distinct) {
		return ""
	}
	return distinct
}

// distinctFor is the field that makes a query distinct, "" for none.
func (f *federated) distinctFor(query int) string {
	q := &f.multi.Queries[query]
	switch {
	case f.multi.Federation.Distinct != nil:
		return *f.multi.Federation.Distinct
	case q.Distinct != nil:
		return *q.Distinct
	}
	return settingsOf(f.indexes[q.IndexUID]).Distinct()
}

// request is the federated search of one node: its part of each query, from the first hit on, facets not merged.
func (f *federated) request(part federatedPart) *meili.MultiSearch {
	return f.requestIn(part, *f.multi.Federation)
}

// requestIn is request with another federation. It changes nothing of f, which a hedged request that lost may still read
// while the search goes on.
func (f *federated) requestIn(part federatedPart, federation meili.Federation) *meili.MultiSearch {
	facets := federation.FacetsByIndex
	_, to := federation.Window()
	reach := to
	if !part.lone {
		reach = withLookahead(to)
	}
	if !part.only {
		reach += f.morePins(part, to)
	}
	if federation.Paged() {
		if to > 0 {
			federation.Page, federation.HitsPerPage = new(1), &reach
		}
	} else {
		federation.Offset, federation.Limit = new(0), &reach
	}
	federation.MergeFacets, federation.Personalize = nil, nil
	federation.FacetsByIndex = nil
	for uid, patterns := range facets {
		if _, asked := part.calls[uid]; asked {
			if federation.FacetsByIndex == nil {
				federation.FacetsByIndex = map[string]*[]string{}
			}
			federation.FacetsByIndex[f.indexes[uid].NodeUID] = patterns
		}
	}
	request := &meili.MultiSearch{Federation: &federation}
	for i, query := range f.multi.Queries {
		call, asked := part.calls[query.IndexUID]
		if !asked {
			continue
		}
		query.IndexUID = f.indexes[query.IndexUID].NodeUID
		query.Filter = withShards(query.Filter, call.filterShards())
		query.AttributesToRetrieve = retrieveOrder(f.retrieveOf(i))
		if f.words[i] != nil {
			query.ShowRankingScore, query.ShowRankingScoreDetails = new(true), new(true)
		}
		options := meili.FederationOptions{QueryPosition: new(f.turns[i])}
		if query.FederationOptions != nil {
			options.Weight = query.FederationOptions.Weight
		}
		query.FederationOptions = &options
		request.Queries = append(request.Queries, query)
	}
	return request
}

func (f *federated) read(body []byte) *federatedAnswer {
	a := &federatedAnswer{hits: map[int][]hit{}, pins: map[int][]hit{}, facets: map[string]*facets{}, queryVectors: map[int][]byte{}}
	eachMember(body, skipSpace(body, 0), func(m member) bool {
		value := body[m.value:m.end]
		switch string(m.key) {
		case "hits":
			for _, raw := range itemsOf(value) {
				h, ok := f.readHit(raw)
				if !ok {
					continue
				}
				if h.pin > 0 {
					a.pins[h.query] = append(a.pins[h.query], h)
				} else {
					a.hits[h.query], a.merged = append(a.hits[h.query], h), append(a.merged, h)
				}
			}
		case "estimatedTotalHits", "totalHits":
			a.total = int(number(value))
		case "processingTimeMs":
			a.tookMillis = int(number(value))
		case "semanticHitCount":
			a.semantic = true
		case "performanceDetails":
			a.performance = value
		case "queryVectors":
			eachMember(value, 0, func(v member) bool {
				if turn, err := strconv.Atoi(string(v.key)); err == nil && f.queryOf(turn) >= 0 {
					a.queryVectors[f.position(f.queryOf(turn))] = value[v.value:v.end]
				}
				return true
			})
		case "facetsByIndex":
			for uid, ix := range f.indexes {
				if mine := memberOf(value, ix.NodeUID); mine != nil {
					a.facets[uid] = readFacets(memberOf(mine, "distribution"), memberOf(mine, "stats"))
				}
			}
		}
		return true
	})
	return a
}

// readHit reports false for a hit of no query that was sent.
func (f *federated) readHit(raw []byte) (hit, bool) {
	federation := memberOf(raw, "_federation")
	h := hit{
		raw: raw, extra: memberOf(federation, "extra_document"),
		score:  weightedScore(memberOf(federation, "weightedScoreValues")),
		order:  orderOf(raw),
		turn:   int(number(memberOf(federation, "queriesPosition"))),
		global: number(memberOf(federation, "weightedRankingScore")),
		pin:    pinOf(nil, federation),
	}
	if h.query = f.queryOf(h.turn); h.query < 0 {
		return h, false
	}
	h.key = memberOf(raw, f.indexes[f.multi.Queries[h.query].IndexUID].PrimaryKey)
	return h, true
}
