package devnode

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/google/uuid"

	"miroir/devnode/engine"
	"miroir/meili"
)

// searchIndex answers GET and POST /indexes/{uid}/search.
func searchIndex(q *request) (answer, *meili.Error) {
	query, err := q.searchQuery()
	if err != nil {
		return answer{}, err
	}
	uid, err := q.indexUID()
	if err != nil {
		return answer{}, err
	}
	started := q.node.now()
	result, ix, err := q.search(uid, query)
	if err != nil {
		return answer{}, err
	}
	return respond(http.StatusOK, q.searchView(result, ix, uid, query, started)), nil
}

func (q *request) searchQuery() (*meili.SearchQuery, *meili.Error) {
	if q.Method == http.MethodGet {
		return meili.DecodeSearchParams(q.URL.RawQuery)
	}
	body, err := q.jsonBody()
	if err != nil {
		return nil, err
	}
	return meili.DecodeSearch(body)
}

// search runs a query on an index under the rules of the request's key. query is changed: it gets the key's filter.
func (q *request) search(uid string, query *meili.SearchQuery) (*engine.Result, *index, *meili.Error) {
	query.Filter = meili.AndFilter(query.Filter, q.grant.Rule(uid))
	return q.runSearch(uid, query)
}

// runSearch is search for a query that has the key's filter already.
func (q *request) runSearch(uid string, query *meili.SearchQuery) (*engine.Result, *index, *meili.Error) {
	features := q.store.currentFeatures()
	if err := checkSearchFeatures(query, features); err != nil {
		return nil, nil, err
	}
	if err := canonicalFilter(query, features); err != nil {
		return nil, nil, err
	}
	ix, err := q.store.index(uid)
	if err != nil {
		return nil, nil, err
	}
	pins, err := q.pinsOf(uid, query.Filter, features)
	if err != nil {
		return nil, nil, err
	}
	result, err := ix.Search(engine.SearchContext{IndexUID: uid, Features: features, Pins: pins}, query)
	return result, ix, err
}

// checkSearchFeatures refuses members of a search whose feature is off.
func checkSearchFeatures(query *meili.SearchQuery, features meili.Features) *meili.Error {
	if query.Personalize != nil {
		return meili.FeatureNotEnabled("reranking search results", "personalization")
	}
	return checkUseNetwork(query.UseNetwork, features)
}

// checkUseNetwork refuses to ask other nodes unless there is a network. This node asks nobody in any case.
func checkUseNetwork(asked *bool, features meili.Features) *meili.Error {
	if asked != nil && !features.Network {
		return meili.FeatureNotEnabled("passing `useNetwork` in a search query", "network")
	}
	return nil
}

// canonicalFilter rewrites the filter of a search the way Meilisearch does before it runs it: what later errors quote is the
// rewritten text. Errors: invalid_search_filter, feature_not_enabled.
func canonicalFilter(query *meili.SearchQuery, features meili.Features) *meili.Error {
	filter, err := meili.ParseFilter(query.Filter)
	if err != nil || filter == nil {
		return err
	}
	if err := meili.CheckFilterFeatures(filter, features); err != nil {
		return err
	}
	query.Filter = encode(filter.String())
	return nil
}

// searchView is the answer of a search, members in Meilisearch's order.
func (q *request) searchView(r *engine.Result, ix *index, uid string, query *meili.SearchQuery, started time.Time) object {
	hits := make([]json.RawMessage, len(r.Hits))
	for i := range r.Hits {
		hits[i] = r.Hits[i].Object(nil)
	}
	view := object{{"hits", hits}, {"query", r.Query}}
	if r.QueryVector != nil {
		view = append(view, member{"queryVector", r.QueryVector})
	}
	view = append(view, member{"processingTimeMs", q.node.now().Sub(started).Milliseconds()})
	view = append(view, pagingView(r)...)
	if r.FacetDistribution != nil {
		view = append(view, member{"facetDistribution", r.FacetDistribution}, member{"facetStats", orEmpty(r.FacetStats)})
	}
	view = append(view, member{"requestUid", requestUID()})
	if q.wantsMetadata() {
		view = append(view, member{"metadata", queryMetadata(uid, ix, query)})
	}
	if query.ShowPerformanceDetails != nil && *query.ShowPerformanceDetails {
		view = append(view, member{"performanceDetails", object{{"search", q.node.now().Sub(started).String()}}})
	}
	if r.SemanticHitCount != nil {
		view = append(view, member{"semanticHitCount", *r.SemanticHitCount})
	}
	return view
}

// pagingView are the members that say which part of the hits this is.
func pagingView(r *engine.Result) object {
	if r.Paged {
		return object{
			{"hitsPerPage", r.HitsPerPage}, {"page", r.Page}, {"totalPages", r.TotalPages}, {"totalHits", r.TotalHits},
		}
	}
	return object{{"limit", r.Limit}, {"offset", r.Offset}, {"estimatedTotalHits", r.TotalHits}}
}

func orEmpty(raw json.RawMessage) json.RawMessage {
	if raw == nil {
		return json.RawMessage("{}")
	}
	return raw
}

// requestUID returns a fresh uid of version 7, as Meilisearch gives each search.
func requestUID() string {
	if uid, err := uuid.NewV7(); err == nil {
		return uid.String()
	}
	return uuid.NewString()
}

// wantsMetadata tells whether the client asked for metadata in search answers.
func (q *request) wantsMetadata() bool {
	value := q.Header.Get("Meili-Include-Metadata")
	return value == "true" || value == "1"
}

// queryMetadata describes a query to clients that asked for it.
func queryMetadata(uid string, ix *index, query *meili.SearchQuery) object {
	view := object{}
	if query.Q != nil {
		view = append(view, member{"query", *query.Q})
	}
	view = append(view, member{"queryUid", requestUID()}, member{"indexUid", uid})
	if ix != nil && ix.PrimaryKey() != "" {
		view = append(view, member{"primaryKey", ix.PrimaryKey()})
	}
	return view
}

func facetSearch(q *request) (answer, *meili.Error) {
	body, err := q.jsonBody()
	if err != nil {
		return answer{}, err
	}
	query, err := meili.DecodeFacetSearch(body)
	if err != nil {
		return answer{}, err
	}
	uid, err := q.indexUID()
	if err != nil {
		return answer{}, err
	}
	started := q.node.now()
	query.Filter = meili.AndFilter(query.Filter, q.grant.Rule(uid))
	ix, err := q.store.index(uid)
	if err != nil {
		return answer{}, err
	}
	found, err := ix.FacetSearch(q.context(""), query)
	if err != nil {
		return answer{}, err
	}
	hits := found.Hits
	if hits == nil {
		hits = []engine.FacetHit{}
	}
	return respond(http.StatusOK, object{
		{"facetHits", hits}, {"facetQuery", query.FacetQuery}, {"processingTimeMs", q.node.now().Sub(started).Milliseconds()},
	}), nil
}

// similar answers GET and POST /indexes/{uid}/similar.
func similar(q *request) (answer, *meili.Error) {
	query, err := q.similarQuery()
	if err != nil {
		return answer{}, err
	}
	uid, err := q.indexUID()
	if err != nil {
		return answer{}, err
	}
	started := q.node.now()
	query.Filter = meili.AndFilter(query.Filter, q.grant.Rule(uid))
	ix, err := q.store.index(uid)
	if err != nil {
		return answer{}, err
	}
	result, err := ix.Similar(q.context(uid), query)
	if err != nil {
		return answer{}, err
	}
	id, err := query.DocumentID()
	if err != nil {
		return answer{}, err
	}
	hits := make([]json.RawMessage, len(result.Hits))
	for i := range result.Hits {
		hits[i] = result.Hits[i].Object(nil)
	}
	return respond(http.StatusOK, object{
		{"hits", hits}, {"id", id}, {"processingTimeMs", q.node.now().Sub(started).Milliseconds()},
		{"limit", result.Limit}, {"offset", result.Offset}, {"estimatedTotalHits", result.TotalHits},
	}), nil
}

func (q *request) similarQuery() (*meili.Similar, *meili.Error) {
	if q.Method == http.MethodGet {
		return meili.DecodeSimilarParams(q.URL.RawQuery)
	}
	body, err := q.jsonBody()
	if err != nil {
		return nil, err
	}
	return meili.DecodeSimilar(body)
}
