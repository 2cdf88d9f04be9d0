package proxy

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
	"miroir/tasks"
)

// handleSimilar answers GET and POST /indexes/{uid}/similar. The node that holds the document answers as it is; the others
// are asked for the nearest neighbours of the document's vector.
func (s *Server) handleSimilar(w http.ResponseWriter, r *request) error {
	query, err := readSimilar(r)
	if err != nil {
		return err
	}
	pin, err := s.pinSession(r, r.uid())
	if err != nil {
		return err
	}
	ix := r.View.Index(r.uid())
	if ix == nil {
		return meili.IndexNotFound(r.uid())
	}
	if refused := checkGates(nil, query.Filter, r.View); refused != nil {
		return refused
	}
	rule, filter := r.Grant.Rule(ix.UID), query.Filter
	query.Filter = meili.AndFilter(query.Filter, rule)
	if err := s.nodeFilters(r.Context(), r.View, []*fsm.Index{ix, ix}, []*json.RawMessage{&query.Filter, &rule}); err != nil {
		return err
	}
	q := &similar{s: s, view: r.View, ix: ix, settings: settingsOf(ix), query: query, rule: rule, filter: filter, started: time.Now(), pin: pin}
	body, missing, err := q.run(r.Context())
	if err != nil {
		return shownError(err, ix)
	}
	markMissing(w.Header(), "", missing)
	writeRawJSON(w, http.StatusOK, body)
	return nil
}

func readSimilar(r *request) (*meili.Similar, error) {
	var query *meili.Similar
	var refused *meili.Error
	if r.Method == http.MethodGet {
		query, refused = meili.DecodeSimilarParams(r.URL.RawQuery)
	} else {
		body, err := r.readJSON()
		if err != nil {
			return nil, err
		}
		query, refused = meili.DecodeSimilar(body)
	}
	if refused != nil {
		return nil, refused
	}
	return query, nil
}

// similar is one search for similar documents on its way.
type similar struct {
	s        *Server
	view     *fsm.View
	ix       *fsm.Index
	settings *meili.Settings
	query    *meili.Similar // tenant rule included
	rule     json.RawMessage
	filter   json.RawMessage // the client's alone
	started  time.Time
	pin      *sessionPin
}

func (q *similar) run(ctx context.Context) ([]byte, []fsm.ShardID, error) {
	id, refused := q.query.DocumentID()
	owner := fsm.ShardID(0)
	if refused == nil {
		owner = ShardOf(id, q.ix.Shards)
	}
	request := q.s.planRequest(q.view, q.ix, nil, seedOf(q.ix.UID, id, q.query.Embedder))
	request.pinTo(q.pin)
	if q.ix.Whole() {
		request.alone = true
		return q.runDirect(ctx, request, id)
	}
	vector, err := q.reference(ctx, request, owner, id)
	if err != nil {
		return nil, nil, err
	}
	reach := min(min(q.query.EffectiveOffset(), meili.FarEnd)+min(q.query.EffectiveLimit(), meili.FarEnd), q.settings.MaxTotalHits())
	got, err := scatter(ctx, q.s, request, func(ctx context.Context, c *node.Client, call Call) (*nodeAnswer, error) {
		if holds(call, owner) {
			return q.askSimilar(ctx, c, call, reach)
		}
		return q.askVector(ctx, c, call, vector, reach)
	})
	if err != nil {
		return nil, nil, err
	}
	return q.merge(got.Answers, id, reach), got.Missing, nil
}

// runDirect asks the one node that holds the index. It cannot know the tenant's rule for the document itself.
func (q *similar) runDirect(ctx context.Context, r planRequest, id string) ([]byte, []fsm.ShardID, error) {
	got, err := scatter(ctx, q.s, r, func(ctx context.Context, c *node.Client, _ Call) ([]byte, error) {
		body, err := q.askOwner(ctx, c, id, q.query)
		if err == nil && len(q.rule) > 0 {
			err = q.checkRule(ctx, c, id)
		}
		return body, err
	})
	if err != nil {
		return nil, nil, err
	}
	return strip(got.Answers[0].Value, searchShape), nil, nil
}

func (q *similar) notFound(id string) *meili.Error {
	return meili.Errorf(meili.CodeNotFoundSimilarID, "Document `%s` not found.", id)
}

func holds(call Call, shard fsm.ShardID) bool {
	for _, s := range call.Shards {
		if s == shard {
			return true
		}
	}
	return false
}

// reference asks the owner of the document what one server would check first, so that its errors are the answer, and
// returns the document's vector. A document that the tenant's rule hides does not exist.
func (q *similar) reference(ctx context.Context, r planRequest, owner fsm.ShardID, id string) (json.RawMessage, error) {
	r.Shards = []fsm.ShardID{owner}
	check := *q.query
	check.Limit, check.Offset = new(0), new(0)
	if _, err := scatter(ctx, q.s, r, func(ctx context.Context, c *node.Client, _ Call) ([]byte, error) {
		return q.askOwner(ctx, c, id, &check)
	}); err != nil {
		return nil, err
	}
	got, err := scatter(ctx, q.s, r, func(ctx context.Context, c *node.Client, _ Call) ([]byte, error) {
		return q.post(ctx, c, "/documents/fetch", meili.DocumentsQuery{
			Limit: 1, IDs: &[]string{id}, Filter: q.rule, RetrieveVectors: true, Fields: &[]string{"_vectors"},
		})
	})
	if err != nil {
		return nil, err
	}
	documents := itemsOf(memberOf(got.Answers[0].Value, "results"))
	if len(documents) == 0 {
		return nil, q.notFound(id)
	}
	return firstEmbedding(memberOf(memberOf(documents[0], "_vectors"), q.query.Embedder)), nil
}

// firstEmbedding is the vector of {"embeddings": [[…], …]} or {"embeddings": […]}, nil when there is none.
func firstEmbedding(vectors []byte) json.RawMessage {
	embeddings := memberOf(vectors, "embeddings")
	items := itemsOf(embeddings)
	if len(items) == 0 {
		return nil
	}
	if items[0][0] == '[' {
		return items[0]
	}
	return embeddings
}

// askOwner asks a node that has the document.
func (q *similar) askOwner(ctx context.Context, c *node.Client, id string, query *meili.Similar) ([]byte, error) {
	body, err := q.post(ctx, c, "/similar", query)
	if refused, ok := err.(*meili.Error); ok && refused.Code == meili.CodeInvalidSimilarFilter && len(q.rule) > 0 {
		err = q.filterRefusal(ctx, c, id, refused)
	}
	return body, err
}

// filterRefusal tells the tenant's rule and the filter of the client apart, of which a node gets one filter. One server reads
// both, then looks for the document by the rule, which is an error of searches, and then for similar ones.
func (q *similar) filterRefusal(ctx context.Context, c *node.Client, id string, refused *meili.Error) error {
	rule, malformed := meili.ParseFilter(q.rule)
	if malformed != nil {
		return malformed.WithCode(meili.CodeInvalidSimilarFilter).WithPrefix("Index `" + q.ix.UID + "`: ")
	}
	if _, malformed = meili.ParseFilter(q.filter); malformed != nil {
		return malformed.WithCode(meili.CodeInvalidSimilarFilter)
	}
	if unfilterable := meili.CheckFilterable(rule, q.settings.Filterable(), ""); unfilterable != nil {
		return unfilterable.WithCode(meili.CodeInvalidSearchFilter)
	}
	if err := q.checkRule(ctx, c, id); err != nil {
		return err
	}
	return refused
}

// checkRule refuses a document that the tenant's rule hides.
func (q *similar) checkRule(ctx context.Context, c *node.Client, id string) error {
	page, err := q.post(ctx, c, "/documents/fetch", meili.DocumentsQuery{IDs: &[]string{id}, Filter: q.rule, Fields: &[]string{}})
	if err == nil && number(memberOf(page, "total")) == 0 {
		return q.notFound(id)
	}
	return err
}

func (q *similar) post(ctx context.Context, c *node.Client, path string, value any) ([]byte, error) {
	body, err := marshal(value)
	if err != nil {
		return nil, err
	}
	response, err := q.s.exchange(ctx, c, node.Request{
		Method: "POST", Path: "/indexes/" + q.ix.NodeUID + path, Body: body, ContentType: "application/json",
	})
	if err != nil {
		return nil, err
	}
	return response.Body, nil
}

func (q *similar) askSimilar(ctx context.Context, c *node.Client, call Call, reach int) (*nodeAnswer, error) {
	part := *q.query
	part.Filter = withShards(part.Filter, call.filterShards())
	part.Offset, part.Limit, part.ShowRankingScoreDetails = new(0), &reach, new(true)
	part.AttributesToRetrieve = retrieveOrder(part.AttributesToRetrieve)
	body, err := q.post(ctx, c, "/similar", part)
	if err != nil {
		return nil, err
	}
	return scoredBySimilarity(body, q.ix.NodeUID), nil
}

func (q *similar) askVector(ctx context.Context, c *node.Client, call Call, vector json.RawMessage, reach int) (*nodeAnswer, error) {
	if vector == nil { // a document without a vector is similar to nothing, but candidates are counted
		total, err := q.count(ctx, c, call)
		return &nodeAnswer{total: total}, err
	}
	body, err := q.post(ctx, c, "/search", meili.SearchQuery{
		Vector: vector, Hybrid: &meili.Hybrid{Embedder: q.query.Embedder, SemanticRatio: new(1.0)},
		Filter: withShards(q.query.Filter, call.filterShards()), Limit: &reach, Distinct: new(tasks.NoField),
		AttributesToRetrieve: retrieveOrder(q.query.AttributesToRetrieve), RetrieveVectors: q.query.RetrieveVectors,
		ShowRankingScore: q.query.ShowRankingScore, ShowRankingScoreDetails: new(true),
		RankingScoreThreshold: q.query.RankingScoreThreshold, ShowPerformanceDetails: q.query.ShowPerformanceDetails,
	})
	if err != nil {
		return nil, err
	}
	return scoredBySimilarity(body, q.ix.NodeUID), nil
}

// count is the number of documents of a call that satisfy the filter.
func (q *similar) count(ctx context.Context, c *node.Client, call Call) (int, error) {
	page, err := q.post(ctx, c, "/documents/fetch", meili.DocumentsQuery{
		Filter: withShards(q.query.Filter, call.filterShards()), Fields: &[]string{},
	})
	return int(number(memberOf(page, "total"))), err
}

// scoredBySimilarity reads an answer whose hits rank by their similarity alone. A search for a vector ends with documents
// that have none, which are similar to nothing.
func scoredBySimilarity(body []byte, nodeUID string) *nodeAnswer {
	a := readAnswer(body, nodeUID, "")
	for i := range a.hits {
		similarity := memberOf(memberOf(a.hits[i].ranking, "vectorSort"), "similarity")
		if similarity == nil || string(similarity) == "null" {
			a.hits = a.hits[:i]
			break
		}
		a.hits[i].score = score{{kind: vectorEntry, value: number(similarity)}}
	}
	return a
}

func (q *similar) merge(answers []answered[*nodeAnswer], id string, reach int) []byte {
	lists := make([][]hit, len(answers))
	total, took := 0, int(time.Since(q.started).Milliseconds())
	var performance []byte
	for i, a := range answers {
		lists[i] = a.Value.hits
		total += a.Value.total
		took = max(took, a.Value.tookMillis)
		if performance == nil {
			performance = a.Value.performance
		}
	}
	var cut []string
	if !isTrue(q.query.ShowRankingScoreDetails) {
		cut = []string{"_rankingScoreDetails"}
	}
	merged := mergeHits(lists, q.query.EffectiveOffset(), reach, "", false, compareHits)
	out := appendHits([]byte(`{"hits":`), merged.hits, newHitCutter(cut, nil))
	out = meili.AppendString(append(out, `,"id":`...), id)
	out = strconv.AppendInt(append(out, `,"processingTimeMs":`...), int64(took), 10)
	out = appendPaging(out, paging{offset: q.query.EffectiveOffset(), limit: q.query.EffectiveLimit()}, min(total, q.settings.MaxTotalHits()))
	out = appendMember(out, "performanceDetails", performance)
	return append(out, '}')
}
