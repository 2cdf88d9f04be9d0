package devnode

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"time"

	"miroir/devnode/engine"
	"miroir/meili"
)

// federation is one federated search in progress. As in Meilisearch the queries are grouped by index: the hits of an index
// are merged first and hold each document once, then the indexes are merged.
type federation struct {
	request  *request
	search   *meili.MultiSearch
	features meili.Features
	proxy    bool // the client is another coordinator: hits carry what it needs to merge
	started  time.Time

	from, to  int // the window of merged hits to return
	remote    bool
	local     *string // what the network calls this node
	groups    map[string][]int
	ranking   meili.FederatedRanking
	indexes   []*federatedIndex
	vectors   map[int]json.RawMessage // by position of the query
	semantic  *int
	failures  map[string]*meili.Error // by remote
	positions []int                   // what hits and messages call the queries
}

// federatedIndex is what the queries on one index found.
type federatedIndex struct {
	uid    string
	index  *index
	hits   []*federatedHit // best first
	pins   []*federatedHit
	total  int
	facets *facets // nil when none were asked for
}

// federatedHit is a hit and where it comes from.
type federatedHit struct {
	engine.Hit
	index    string
	query    int
	position int // what it calls its query
	weight   float64
}

// federated answers a federated search.
func (q *request) federated(m *meili.MultiSearch) (answer, *meili.Error) {
	f := &federation{
		request: q, search: m, features: q.store.currentFeatures(), started: q.node.now(),
		proxy:   q.isProxy(),
		groups:  map[string][]int{},
		vectors: map[int]json.RawMessage{},
	}
	f.from, f.to = m.Federation.Window()
	if f.proxy && !f.features.Network {
		return answer{}, meili.FeatureNotEnabled("Performing a remote federated search", "network")
	}
	if err := f.partition(); err != nil {
		return answer{}, err
	}
	for _, uid := range slices.Sorted(maps.Keys(f.groups)) {
		if err := f.searchIndex(uid, f.groups[uid]); err != nil {
			return answer{}, err
		}
	}
	if err := f.checkUnusedFacets(); err != nil {
		return answer{}, err
	}
	merged, rejected := f.merge()
	view, err := f.view(merged, rejected)
	if err != nil {
		return answer{}, err
	}
	return respond(http.StatusOK, view), nil
}

// partition groups the queries by index and checks each of them. Queries on remotes are noted as failed: the node calls
// nobody.
func (f *federation) partition() *meili.Error {
	f.request.store.mu.RLock()
	network := f.request.store.network
	f.request.store.mu.RUnlock()
	for i := range f.search.Queries {
		query := &f.search.Queries[i]
		f.positions = append(f.positions, i)
		if err := canonicalFilter(&query.SearchQuery, f.features); err != nil {
			return meili.InQuery(i, err)
		}
		if err := f.search.CheckQuery(i); err != nil {
			return meili.InQuery(i, err)
		}
		if err := checkSearchFeatures(&query.SearchQuery, f.features); err != nil {
			return meili.InQuery(i, err)
		}
		here, err := f.place(i, query.FederationOptions, network)
		if err != nil {
			return meili.InQuery(i, err)
		}
		if here {
			f.groups[query.IndexUID] = append(f.groups[query.IndexUID], i)
		}
	}
	return nil
}

// place tells whether a query runs on this node, and notes what its options say. Errors: feature_not_enabled,
// invalid_multi_search_remote.
func (f *federation) place(i int, options *meili.FederationOptions, network meili.Network) (bool, *meili.Error) {
	if options == nil {
		return true, nil
	}
	if options.QueryPosition != nil {
		if !f.features.Network {
			return false, meili.FeatureNotEnabled("Using `federationOptions.queryPosition`", "network")
		}
		f.positions[i] = *options.QueryPosition
	}
	if options.Remote == nil {
		return true, nil
	}
	if !f.features.Network {
		return false, meili.FeatureNotEnabled("Performing a remote federated search", "network")
	}
	name := *options.Remote
	f.remote, f.local = true, network.Self
	if f.failures == nil {
		f.failures = map[string]*meili.Error{}
	}
	if network.Self != nil && *network.Self == name {
		return true, nil
	}
	if _, known := network.Remotes[name]; !known {
		return false, meili.Errorf(meili.CodeInvalidMultiSearchRemote,
			"Invalid `.federation_options.remote`: remote `%s` is not registered", name)
	}
	f.failures[name] = meili.Errorf(meili.CodeRemoteCouldNotSendRequest, "the embedded node does not send requests to remotes")
	return false, nil
}

// searchIndex runs the queries on one index.
func (f *federation) searchIndex(uid string, queries []int) *meili.Error {
	ix, err := f.request.store.index(uid)
	if err != nil {
		return meili.InQuery(f.positions[queries[0]], notInPath(err))
	}
	found := &federatedIndex{uid: uid, index: ix}
	f.indexes = append(f.indexes, found)
	lists := make([][]*federatedHit, len(queries))
	results := make([]*engine.Result, len(queries))
	for n, i := range queries {
		if results[n], err = f.run(found, i); err != nil {
			return meili.InQuery(f.positions[i], err)
		}
		for h := range results[n].Hits {
			hit := &federatedHit{Hit: results[n].Hits[h], index: uid, query: i, position: f.positions[i], weight: f.weight(i)}
			if hit.Pin != nil {
				found.pins = append(found.pins, hit)
				continue
			}
			lists[n] = append(lists[n], hit)
		}
	}
	var dropped []uint32
	found.hits, dropped = f.distinctHits(mergeHits(lists), found)
	patterns := f.search.Federation.FacetsByIndex[uid]
	union, err := ix.Union(results, dropped, patterns)
	if err != nil {
		return meili.InQuery(f.positions[queries[0]], f.insideFacets(uid, err))
	}
	found.total = union.Total
	if patterns != nil {
		found.facets = parseFacets(union.FacetDistribution, union.FacetStats)
	}
	return nil
}

// weight is the factor of a query's scores.
func (f *federation) weight(i int) float64 {
	return f.search.Queries[i].FederationOptions.EffectiveWeight()
}

// run asks the engine one query for the hits up to the end of the window.
func (f *federation) run(found *federatedIndex, i int) (*engine.Result, *meili.Error) {
	query := f.search.Queries[i].SearchQuery
	if err := f.ranking.Add(f.positions[i], f.search.Queries[i].IndexUID, found.index.Settings().Ranking(), &query); err != nil {
		return nil, err
	}
	limit, offset := min(f.to, found.index.Settings().MaxTotalHits()), 0
	query.Offset, query.Limit = &offset, &limit
	if f.search.Federation.Paged() {
		page := 1
		query.Page, query.HitsPerPage = &page, &limit
	}
	if f.search.Federation.Distinct != nil {
		query.Distinct = f.search.Federation.Distinct
	}
	weight := f.weight(i)
	pins, err := f.request.pinsOf(found.uid, query.Filter, f.features)
	if err != nil {
		return nil, err
	}
	result, err := found.index.Search(engine.SearchContext{
		IndexUID: found.uid, Features: f.features, Weight: &weight, Extra: f.extraFields(found), Pins: pins,
	}, &query)
	if err != nil {
		return nil, err
	}
	if result.QueryVector != nil {
		f.vectors[f.positions[i]] = result.QueryVector
	}
	if result.SemanticHitCount != nil {
		f.semantic = new(int)
	}
	return result, nil
}

// extraFields are the fields that a distinct federation reads of every hit, shown or not.
func (f *federation) extraFields(found *federatedIndex) []string {
	if f.search.Federation.Distinct == nil {
		return nil
	}
	fields := []string{*f.search.Federation.Distinct}
	patterns := f.search.Federation.FacetsByIndex[found.uid]
	if patterns == nil {
		return fields
	}
	return append(fields, found.index.FacetFields(*patterns)...)
}

// distinctHits keeps the first hit of each document, and of each distinct value, up to the end of the window. dropped are the
// documents whose value a better one has.
func (f *federation) distinctHits(hits []*federatedHit, found *federatedIndex) (kept []*federatedHit, dropped []uint32) {
	seen := map[uint32]bool{}
	values := valueSet{}
	limit := min(f.to, found.index.Settings().MaxTotalHits())
	for _, h := range hits {
		if len(kept) == limit || seen[h.DocID] {
			continue
		}
		seen[h.DocID] = true
		if field := f.search.Federation.Distinct; field != nil && !values.addAll(h.facetValues(*field)) {
			dropped = append(dropped, h.DocID)
			continue
		}
		kept = append(kept, h)
	}
	return kept, dropped
}

// merge merges the hits of all indexes. It returns those of the window, and by index those another hit's distinct value
// replaced.
func (f *federation) merge() (window []*federatedHit, rejected map[string][]*federatedHit) {
	lists := make([][]*federatedHit, len(f.indexes))
	byUID := map[string]*federatedIndex{}
	for i, found := range f.indexes {
		lists[i] = found.hits
		byUID[found.uid] = found
	}
	values := valueSet{}
	rejected = map[string][]*federatedHit{}
	var kept []*federatedHit
	for _, h := range mergeHits(lists) {
		if field := f.search.Federation.Distinct; field != nil && !values.addAll(f.mergedValues(h, *field)) {
			byUID[h.index].total--
			rejected[h.index] = append(rejected[h.index], h)
			continue
		}
		kept = append(kept, h)
	}
	kept = f.insertPins(kept)
	return kept[min(f.from, len(kept)):min(f.to, len(kept))], rejected
}

// insertPins puts the pins of all indexes at their positions among merged hits.
func (f *federation) insertPins(hits []*federatedHit) (all []*federatedHit) {
	var pins []*federatedHit
	for _, found := range f.indexes {
		pins = append(pins, found.pins...)
	}
	slices.SortStableFunc(pins, func(a, b *federatedHit) int { return *a.Pin - *b.Pin })
	for len(hits)+len(pins) > 0 {
		next := &hits
		if len(pins) > 0 && (*pins[0].Pin <= len(all) || len(hits) == 0) {
			next = &pins
		}
		all = append(all, (*next)[0])
		*next = (*next)[1:]
	}
	return all
}

// mergedValues are the distinct values of a hit when indexes are merged. As in Meilisearch those of fields that the hit does
// not show are gone by then if the client merges itself: they went into the hit's extra_document.
func (f *federation) mergedValues(h *federatedHit, field string) []string {
	if f.proxy {
		return facetValues(h.Document, field)
	}
	return h.facetValues(field)
}

// mergeHits merges lists that are each best first. Of hits that compare equal the one of the earlier query comes first.
func mergeHits(lists [][]*federatedHit) []*federatedHit {
	var merged []*federatedHit
	for {
		best := -1
		for i, list := range lists {
			if len(list) > 0 && (best < 0 || precedes(list[0], lists[best][0])) {
				best = i
			}
		}
		if best < 0 {
			return merged
		}
		merged = append(merged, lists[best][0])
		lists[best] = lists[best][1:]
	}
}

func precedes(a, b *federatedHit) bool {
	order := engine.CompareWeighted(a.WeightedValues, a.Score*a.weight, b.WeightedValues, b.Score*b.weight)
	return order > 0 || order == 0 && a.position < b.position
}

// checkUnusedFacets refuses facets of indexes that no query names and that are missing or lack them.
func (f *federation) checkUnusedFacets() *meili.Error {
	for _, uid := range slices.Sorted(maps.Keys(f.search.Federation.FacetsByIndex)) {
		if f.groups[uid] != nil {
			continue
		}
		note := func(err *meili.Error) *meili.Error {
			inside := err.WithPrefix(fmt.Sprintf("Inside `.federation.facetsByIndex.%s`: ", uid))
			inside.Message += fmt.Sprintf("\n - Note: index `%s` is not used in queries", uid)
			return notInPath(inside)
		}
		ix, err := f.request.store.index(uid)
		if err != nil {
			return note(err)
		}
		none := 0
		patterns := f.search.Federation.FacetsByIndex[uid]
		if patterns == nil {
			continue
		}
		query := &meili.SearchQuery{Facets: patterns, Limit: &none}
		if _, err := ix.Search(f.request.context(uid), query); err != nil {
			return note(err)
		}
	}
	return nil
}

// view is the answer of a federated search, members in Meilisearch's order.
func (f *federation) view(merged []*federatedHit, rejected map[string][]*federatedHit) (object, *meili.Error) {
	hits := []json.RawMessage{}
	for _, h := range merged {
		hits = append(hits, h.Object(f.hitInfo(h)))
		if f.semantic != nil && slices.ContainsFunc(h.WeightedValues, isVectorValue) {
			*f.semantic++
		}
	}
	view := object{{"hits", hits}}
	if f.retrievesVectors() {
		vectors := object{}
		for _, i := range slices.Sorted(maps.Keys(f.vectors)) {
			vectors = append(vectors, member{fmt.Sprint(i), f.vectors[i]})
		}
		view = append(view, member{"queryVectors", vectors})
	}
	elapsed := f.request.node.now().Sub(f.started)
	view = append(view, member{"processingTimeMs", elapsed.Milliseconds()})
	view = append(view, f.paging()...)
	facetView, err := f.facetView(rejected)
	if err != nil {
		return nil, err
	}
	view = append(view, facetView...)
	view = append(view, member{"requestUid", requestUID()})
	if f.request.wantsMetadata() {
		view = append(view, member{"metadata", f.metadata()})
	}
	if f.remote {
		view = append(view, member{"remoteErrors", f.failures})
	}
	if f.semantic != nil {
		view = append(view, member{"semanticHitCount", *f.semantic})
	}
	if show := f.search.Federation.ShowPerformanceDetails; show != nil && *show {
		view = append(view, member{"performanceDetails", object{{"search", elapsed.String()}}})
	}
	return view, nil
}

func isVectorValue(v engine.WeightedValue) bool { return v.Kind == engine.VectorValue }

func (f *federation) retrievesVectors() bool {
	return slices.ContainsFunc(f.search.Queries, func(q meili.MultiQuery) bool { return q.RetrieveVectors != nil && *q.RetrieveVectors })
}

// hitInfo is the _federation member of a hit.
func (f *federation) hitInfo(h *federatedHit) json.RawMessage {
	info := object{
		{"indexUid", h.index}, {"queriesPosition", h.position}, {"weightedRankingScore", h.Score * h.weight},
	}
	if f.remote && !f.proxy {
		info = append(info, member{"remote", f.local})
	}
	if f.proxy {
		values := h.WeightedValues
		if values == nil {
			values = []engine.WeightedValue{}
		}
		info = append(info, member{"weightedScoreValues", values}, member{"extra_document", orEmpty(h.Extra)})
		if h.Pin != nil {
			info = append(info, member{"pinnedPosition", *h.Pin})
		}
	}
	return encode(info)
}

// paging are the members that say which part of the merged hits this is.
func (f *federation) paging() object {
	total := 0
	for _, found := range f.indexes {
		total += found.total
	}
	options := f.search.Federation
	if !options.Paged() {
		return object{{"limit", options.EffectiveLimit()}, {"offset", options.EffectiveOffset()}, {"estimatedTotalHits", total}}
	}
	size, pages := options.EffectiveHitsPerPage(), 0
	if size > 0 {
		pages = int(math.Ceil(float64(total) / float64(size)))
	}
	return object{{"hitsPerPage", size}, {"page", options.EffectivePage()}, {"totalPages", pages}, {"totalHits", total}}
}

// metadata describes the queries in their order.
func (f *federation) metadata() []object {
	list := []object{}
	for i := range f.search.Queries {
		query := &f.search.Queries[i]
		ix, _ := f.request.store.index(query.IndexUID)
		list = append(list, queryMetadata(query.IndexUID, ix, &query.SearchQuery))
	}
	return list
}
