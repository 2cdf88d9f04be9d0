package proxy

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
)

// handleMultiSearch answers POST /multi-search.
func (s *Server) handleMultiSearch(w http.ResponseWriter, r *request) error {
	body, err := r.readJSON()
	if err != nil {
		return err
	}
	multi, refused := meili.ParseMultiSearch(body)
	if refused != nil {
		return refused
	}
	limits := r.View.Config.MultiSearch
	if !limits.Enabled {
		return miroirError(codeFeatureDisabled, "Multi-search is switched off (multi_search.enabled).")
	}
	if len(multi.Queries) > limits.MaxQueriesPerBatch {
		return miroirError(codeTooManyQueries, "%d queries in one multi-search; at most %d are allowed (multi_search.max_queries_per_batch).",
			len(multi.Queries), limits.MaxQueriesPerBatch)
	}
	s.meter.batches.Inc()
	s.meter.queries.Update(float64(len(multi.Queries)))
	for i := range multi.Queries {
		if !r.Grant.IndexAllowed(multi.Queries[i].IndexUID) {
			return meili.InQuery(i, meili.Errorf(meili.CodeInvalidAPIKey, "The provided API key is invalid."))
		}
		query := &multi.Queries[i]
		query.Filter = meili.AndFilter(query.Filter, r.Grant.Rule(query.IndexUID))
	}
	ctx, cancel := withTime(r.Context(), milliseconds(cmp.Or(limits.TotalTimeoutMs, maxMultiSearchMs)))
	defer cancel()
	r.Request = r.WithContext(ctx)
	pins := map[string]*sessionPin{}
	for i := range multi.Queries {
		uid := multi.Queries[i].IndexUID
		if _, known := pins[uid]; known {
			continue
		}
		if pins[uid], err = s.pinSession(r, uid); err != nil {
			return err
		}
	}
	if err := s.holdFloor(w, r, slices.Sorted(maps.Keys(pins))...); err != nil {
		return err
	}
	if multi.Federation != nil {
		return s.federatedSearch(w, r, multi, pins)
	}
	return s.multiSearch(w, r, multi, pins)
}

// maxMultiSearchMs bounds a multi-search, and one query of it, where the configuration is from before it could.
const maxMultiSearchMs = 30_000

func milliseconds(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// multiSearch answers queries one by one: all run at once, and what they ask of the same node travels in one request.
// As in Meilisearch the first query that fails fails all.
func (s *Server) multiSearch(w http.ResponseWriter, r *request, multi *meili.MultiSearch, pins map[string]*sessionPin) error {
	searches := make([]*search, len(multi.Queries))
	results := make([]multiResult, len(multi.Queries))
	for i := range multi.Queries {
		searches[i], results[i].err = s.newMultiQuery(r, multi, i)
		if results[i].err != nil {
			break // what comes after it is not run
		}
		searches[i].pin = pins[multi.Queries[i].IndexUID]
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	b := newBatcher(ctx, s, searches)
	var running sync.WaitGroup
	for i, q := range searches {
		if q == nil {
			continue
		}
		running.Go(func() {
			defer b.leave(q)
			ctx, cancel := withTime(ctx, milliseconds(cmp.Or(r.View.Config.MultiSearch.PerQueryTimeoutMs, maxMultiSearchMs)))
			defer cancel()
			results[i].answer, results[i].missing, results[i].err = q.run(ctx)
		})
	}
	running.Wait()
	out := []byte(`{"results":[`)
	requestUID := newRequestUID()
	for i := range results {
		if err := results[i].err; err != nil {
			return inQuery(i, err)
		}
		if len(results[i].missing) > 0 {
			s.meter.lostShards.Inc()
		}
		markMissing(w.Header(), multi.Queries[i].IndexUID, results[i].missing)
		if i > 0 {
			out = append(out, ',')
		}
		out = meili.AppendString(append(out, `{"indexUid":`...), multi.Queries[i].IndexUID)
		out = append(out, ',')
		out = append(out, results[i].answer.appendJSON(nil, requestUID)[1:]...)
	}
	writeRawJSON(w, http.StatusOK, append(out, `]}`...))
	return nil
}

type multiResult struct {
	answer  *searchAnswer
	missing []fsm.ShardID
	err     error
}

// inQuery says which query an error is about, unless it is one of ours about nodes.
func inQuery(i int, err error) error {
	if known, ok := err.(*meili.Error); ok && known.Status < 500 {
		return meili.InQuery(i, known)
	}
	return err
}

func (s *Server) newMultiQuery(r *request, multi *meili.MultiSearch, i int) (*search, error) {
	query := &multi.Queries[i]
	if refused := multi.CheckQuery(i); refused != nil {
		return nil, refused
	}
	ix := r.View.Index(query.IndexUID)
	if ix == nil || query.UseNetwork != nil {
		if refused := checkFilter(query.Filter, r.View); refused != nil {
			return nil, refused
		}
	}
	if refused := checkGates(query.UseNetwork, query.Filter, r.View); refused != nil {
		return nil, refused
	}
	if ix == nil {
		return nil, meili.IndexNotFound(query.IndexUID).WithStatus(http.StatusBadRequest)
	}
	if err := s.nodeFilter(r.Context(), r.View, ix, &query.Filter); err != nil {
		return nil, err
	}
	q := s.newSearch(r.View, ix, &query.SearchQuery)
	unpaged := query.SearchQuery
	unpaged.Offset, unpaged.Limit, unpaged.Page, unpaged.HitsPerPage = nil, nil, nil, nil
	seed, _ := json.Marshal(unpaged)
	q.seed, q.metadata = seedOf(ix.UID, string(seed)), wantsMetadata(r)
	return q, nil
}

// batcher joins the first plain request that each of several searches sends to a node into one. Whatever is not expected
// (retries, federated forms) is sent alone.
type batcher struct {
	s   *Server
	ctx context.Context

	mu    sync.Mutex
	nodes map[fsm.NodeID]*nodeBatch
}

// nodeBatch collects what is sent to one node. It goes out when every search expected has joined or left.
type nodeBatch struct {
	expected map[*search]bool // not joined or left yet; guarded by batcher.mu
	joined   []batchPart      // guarded by batcher.mu until sent
	client   *node.Client
	done     chan struct{} // closed when bodies and err are set
	bodies   map[*search][]byte
	err      error
}

type batchPart struct {
	search *search
	query  nodeQuery
}

func newBatcher(ctx context.Context, s *Server, searches []*search) *batcher {
	b := &batcher{s: s, ctx: ctx, nodes: map[fsm.NodeID]*nodeBatch{}}
	for _, q := range searches {
		if q == nil {
			continue
		}
		plan := q.planRequest().plan()
		if (len(plan.Calls) > 1 || q.listsFurther()) && (q.kind != meili.KeywordSearch || q.form().federated) {
			continue
		}
		for _, call := range plan.Calls {
			if b.nodes[call.Node] == nil {
				b.nodes[call.Node] = &nodeBatch{expected: map[*search]bool{}, done: make(chan struct{})}
			}
			b.nodes[call.Node].expected[q] = true
		}
		q.send = func(ctx context.Context, c *node.Client, call *Call, query nodeQuery) ([]byte, error) {
			return b.send(ctx, q, c, call, query)
		}
	}
	for id, batch := range b.nodes {
		if len(batch.expected) == 1 {
			delete(b.nodes, id)
		}
	}
	return b
}

func (b *batcher) send(ctx context.Context, q *search, c *node.Client, call *Call, query nodeQuery) ([]byte, error) {
	batch := b.join(q, c, call, query)
	if batch == nil {
		return q.sendAlone(ctx, c, call, query)
	}
	select {
	case <-batch.done:
	case <-ctx.Done():
		return nil, &node.Error{Node: c.ID(), Outcome: node.Unknown, Err: context.Cause(ctx)}
	}
	if _, refused := batch.err.(*meili.Error); refused {
		return q.sendAlone(ctx, c, call, query) // one of the queries is at fault: find out which
	}
	return batch.bodies[q], batch.err
}

// join puts q's part into the batch of a node, or returns nil when that batch does not expect it.
func (b *batcher) join(q *search, c *node.Client, call *Call, query nodeQuery) *nodeBatch {
	if call == nil || c == nil || query.federation != nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	batch := b.nodes[call.Node]
	if batch == nil || !batch.expected[q] {
		return nil
	}
	delete(batch.expected, q)
	batch.client = c
	batch.joined = append(batch.joined, batchPart{q, query})
	b.sendIfComplete(batch)
	return batch
}

// leave ends the wait of all batches for q.
func (b *batcher) leave(q *search) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, batch := range b.nodes {
		if batch.expected[q] {
			delete(batch.expected, q)
			b.sendIfComplete(batch)
		}
	}
}

// sendIfComplete sends the batch once nobody is expected any more. Call with mu held.
func (b *batcher) sendIfComplete(batch *nodeBatch) {
	if len(batch.expected) > 0 || len(batch.joined) == 0 {
		return
	}
	go func() { // ends with its request, which the context bounds
		defer close(batch.done)
		batch.bodies, batch.err = b.exchange(batch)
	}()
}

func (b *batcher) exchange(batch *nodeBatch) (map[*search][]byte, error) {
	ctx, cancel := context.WithTimeout(b.ctx, b.s.readTimeout(batch.joined[0].search.view))
	defer cancel()
	var multi meili.MultiSearch
	send := node.Request{Method: "POST", Path: "/multi-search", ContentType: "application/json"}
	for _, part := range batch.joined {
		multi.Queries = append(multi.Queries, meili.MultiQuery{IndexUID: part.search.ix.NodeUID, SearchQuery: *part.query.plain})
		if part.query.metadata {
			send.Header = http.Header{metadataHeader: {"true"}}
		}
	}
	var err error
	if send.Body, err = marshal(multi); err != nil {
		return nil, err
	}
	response, err := b.s.exchange(ctx, batch.client, send)
	if err != nil {
		return nil, err
	}
	results := itemsOf(memberOf(response.Body, "results"))
	if len(results) != len(batch.joined) {
		return nil, &refusal{node: batch.client.ID(), status: response.Status, body: response.Body}
	}
	bodies := make(map[*search][]byte, len(results))
	for i, part := range batch.joined {
		bodies[part.search] = strip(slices.Clone(results[i]), indexUIDShape)
	}
	return bodies, nil
}

// indexUIDShape removes the name that a result of a multi-search begins with.
var indexUIDShape = &shape{drop: []string{"indexUid"}}
