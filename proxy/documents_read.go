package proxy

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
)

// handleGetDocument answers GET /indexes/{uid}/documents/{id} from the shard that holds the id.
func (s *Server) handleGetDocument(w http.ResponseWriter, r *request) error {
	if _, refused := meili.DecodeDocumentParams(r.URL.RawQuery); refused != nil {
		return refused
	}
	pin, err := s.pinSession(r, r.uid())
	if err != nil {
		return err
	}
	ix := r.View.Index(r.uid())
	if ix == nil {
		return meili.IndexNotFound(r.uid())
	}
	id := r.Params.ByName("id")
	shard := ShardOf(id, ix.Shards)
	send := node.Request{Method: "GET", Path: "/indexes/" + ix.NodeUID + "/documents/" + url.PathEscape(id)}
	if r.URL.RawQuery != "" {
		send.Path += "?" + r.URL.RawQuery
	}
	plan := s.planRequest(r.View, ix, []fsm.ShardID{shard}, seedOf(ix.UID, id))
	plan.pinTo(pin)
	got, err := scatter(r.Context(), s, plan, s.forward(send))
	if err != nil {
		return shownError(err, ix)
	}
	writeRawJSON(w, http.StatusOK, strip(got.Answers[0].Value, documentShape))
	return nil
}

// forward is an asker that sends the same request to whatever node is asked and returns the body of the answer.
func (s *Server) forward(send node.Request) asker[[]byte] {
	return func(ctx context.Context, c *node.Client, _ Call) ([]byte, error) {
		response, err := s.exchange(ctx, c, send)
		if err != nil {
			return nil, err
		}
		return response.Body, nil
	}
}

// handleListDocuments answers GET /indexes/{uid}/documents.
func (s *Server) handleListDocuments(w http.ResponseWriter, r *request) error {
	query, refused := meili.DecodeDocumentsParams(r.URL.RawQuery)
	if refused != nil {
		return refused
	}
	return s.listDocuments(w, r, query)
}

// handleFetchDocuments answers POST /indexes/{uid}/documents/fetch.
func (s *Server) handleFetchDocuments(w http.ResponseWriter, r *request) error {
	body, err := r.readJSON()
	if err != nil {
		return err
	}
	query, refused := meili.DecodeDocumentsFetch(body)
	if refused != nil {
		return refused
	}
	return s.listDocuments(w, r, query)
}

func (s *Server) listDocuments(w http.ResponseWriter, r *request, query *meili.DocumentsQuery) error {
	pin, err := s.pinSession(r, r.uid())
	if err != nil {
		return err
	}
	if query.Sort != nil { // before the index is looked up
		if err := r.checkUID(); err != nil {
			return err
		}
		if _, refused := meili.ParseSort(*query.Sort, meili.CodeInvalidDocumentSort); refused != nil {
			return refused
		}
	}
	ix := r.View.Index(r.uid())
	if ix == nil {
		return meili.IndexNotFound(r.uid())
	}
	if refused := checkGates(query.UseNetwork, query.Filter, r.View); refused != nil {
		return refused
	}
	if !ix.Whole() { // nodes get another filter, and would quote that
		if _, err := documentFilter(r.View, query.Filter); err != nil {
			return err
		}
	}
	if err := s.nodeFilterInWords(r.Context(), r.View, ix, &query.Filter, meili.CodeInvalidDocumentFilter); err != nil {
		return err
	}
	list := documentList{s: s, ix: ix, query: query, request: s.planRequest(r.View, ix, shardsOfList(query, ix, r.View.Config.QueryPlanner), seedOf(ix.UID, "documents"))}
	list.request.pinTo(pin)
	body, missing, err := list.run(r.Context())
	if err != nil {
		return shownError(err, ix)
	}
	markMissing(w.Header(), "", missing)
	writeRawJSON(w, http.StatusOK, body)
	return nil
}

// shardsOfList are the shards that can hold what a list asks for, nil for all.
func shardsOfList(query *meili.DocumentsQuery, ix *fsm.Index, c fsm.QueryPlanner) []fsm.ShardID {
	shards := narrow(query.Filter, ix, c)
	if query.IDs != nil && !ix.Whole() {
		shards = shardsOfIDs(*query.IDs, ix)
	}
	return atLeastOne(shards)
}

// documentList is one list of documents on its way. Documents come as they were inserted, or by sort.
type documentList struct {
	s       *Server
	ix      *fsm.Index
	query   *meili.DocumentsQuery
	request planRequest
}

// documentPage is one node's page.
type documentPage struct {
	results [][]byte
	total   int
	// pointless is the error of a node that has no document with a point, though the index can be sorted by them: the page is by
	// the rest of the sort.
	pointless *meili.Error
}

func (l *documentList) run(ctx context.Context) ([]byte, []fsm.ShardID, error) {
	plan := planRead(l.request)
	l.request.prepared = &plan
	if len(plan.Calls) == 1 && len(plan.Missing) == 0 {
		got, err := scatter(ctx, l.s, l.request, func(ctx context.Context, c *node.Client, call Call) ([]byte, error) {
			return l.ask(ctx, c, call, l.query.Offset, l.query.Limit, nil)
		})
		if err != nil {
			return nil, nil, err
		}
		if len(got.Answers) == 1 && len(got.Missing) == 0 {
			return strip(got.Answers[0].Value, documentsShape), nil, nil
		}
	}
	if l.query.Sort != nil && len(*l.query.Sort) > 0 || l.query.IDs != nil {
		return l.sorted(ctx)
	}
	return l.unsorted(ctx)
}

// end is the position behind the page.
func (l *documentList) end() int {
	return min(l.query.Offset, meili.FarEnd) + min(l.query.Limit, meili.FarEnd)
}

// sorted asks every node for all documents up to the page's end and merges them by the values they are sorted by, and by
// primary key.
func (l *documentList) sorted(ctx context.Context) ([]byte, []fsm.ShardID, error) {
	to := l.end()
	with, cutPoints := l.withPoints()
	got, err := scatter(ctx, l.s, l.request, func(ctx context.Context, c *node.Client, call Call) (documentPage, error) {
		return with.askSorted(ctx, c, call, withLookahead(to))
	})
	if err != nil {
		return nil, nil, err
	}
	if !slices.ContainsFunc(got.Answers, func(a answered[documentPage]) bool { return a.Value.pointless == nil }) {
		return nil, nil, got.Answers[0].Value.pointless
	}
	lists := make([][]hit, len(got.Answers))
	total := 0
	for i, a := range got.Answers {
		total += a.Value.total
		for _, raw := range a.Value.results {
			h := hit{raw: raw, key: l.keyOf(raw), order: orderOf(raw), score: weightedScore(memberOf(memberOf(raw, "_federation"), "weightedScoreValues"))}
			if a.Value.pointless != nil {
				h.score = l.farFromPoints(h.score)
			}
			h.score = l.measured(h.score, raw)
			lists[i] = append(lists[i], h)
		}
		lists[i] = settleOrder(lists[i], to)
	}
	merged := mergeHits(lists, l.query.Offset, to, "", false, compareHits)
	cut := []string{"_federation"}
	if cutPoints {
		cut = append(cut, geoField)
	}
	return l.page(appendHits(nil, merged.hits, newHitCutter(cut, nil)), total), got.Missing, nil
}

// askSorted asks a node for its first documents. One that never had a document with a point cannot sort by distance, as one
// server could not: another node may have some.
func (l *documentList) askSorted(ctx context.Context, c *node.Client, call Call, limit int) (documentPage, error) {
	page, err := l.askPage(ctx, c, call, 0, limit)
	refused, ok := err.(*meili.Error)
	if !ok || refused.Code != meili.CodeInvalidDocumentSort || !slices.Contains(settingsOf(l.ix).Sortable(), "_geo") {
		return page, err
	}
	rest, query := []string{}, *l.query
	for i, criterion := range l.criteria() {
		if criterion.Field != "" {
			rest = append(rest, (*l.query.Sort)[i])
		}
	}
	query.Sort = &rest
	without := *l
	without.query = &query
	page, err = without.askPage(ctx, c, call, 0, limit)
	page.pointless = refused
	return page, err
}

// criteria is what the list is sorted by, read before.
func (l *documentList) criteria() []meili.SortCriterion {
	criteria, _ := meili.ParseSort(deref(l.query.Sort), meili.CodeInvalidDocumentSort)
	return criteria
}

// farFromPoints puts distances that are not there into a score by the rest of the sort.
func (l *documentList) farFromPoints(rest score) score {
	for i, criterion := range l.criteria() {
		if criterion.Field == "" {
			rest = slices.Insert(rest, min(i, len(rest)), scoreEntry{kind: geoEntry, asc: criterion.Ascending})
		}
	}
	return rest
}

// keyOf is the primary key of a document, nil when the document does not tell it.
func (l *documentList) keyOf(raw []byte) []byte {
	if l.ix.PrimaryKey == "" {
		return nil
	}
	return memberOf(raw, l.ix.PrimaryKey)
}

// orderedHead is how many documents of a list without a sort come in the order of insertion over all nodes. Those behind
// them come node by node: to merge a page deep in the list all documents before it would have to be looked at.
const orderedHead = 1000

// unsorted asks every node for its total and the numbers of its first documents, then the nodes that the page reaches into
// for their parts. No node sends documents that are not shown. Writes may come between the two: what counts then is what the
// parts say, and a part that reaches to the end of a node's list is read to its new end.
func (l *documentList) unsorted(ctx context.Context) ([]byte, []fsm.ShardID, error) {
	numbers := *l
	query := *l.query
	query.Fields, query.RetrieveVectors = &[]string{}, false
	numbers.query = &query
	head := min(l.end(), orderedHead)
	got, err := scatter(ctx, l.s, l.request, func(ctx context.Context, c *node.Client, call Call) (documentPage, error) {
		return numbers.askPage(ctx, c, call, 0, withLookahead(head))
	})
	if err != nil {
		return nil, nil, err
	}
	lists, totals := make([][]hit, len(got.Answers)), make([]int, len(got.Answers))
	for i, a := range got.Answers {
		for _, raw := range a.Value.results {
			lists[i] = append(lists[i], hit{order: orderOf(raw)})
		}
		lists[i] = settleOrder(lists[i], head)
		totals[i] = a.Value.total
	}
	sources, spans := documentSpans(lists, totals, head, l.query.Offset, l.query.Limit)
	parts := make([][][]byte, len(spans))
	for i, span := range spans {
		if span.count == 0 {
			continue
		}
		if span.from+span.count == totals[i] {
			span.count = l.query.Limit
		}
		page, err := l.again(ctx, got.Answers[i].Call, span.from, span.count)
		if err != nil {
			return nil, nil, err
		}
		parts[i], totals[i] = page.results, page.total
	}
	total := 0
	for _, n := range totals {
		total += n
	}
	return l.page(appendHits(nil, joinParts(sources, parts, l.query.Limit), newHitCutter([]string{"_federation"}, nil)), total), got.Missing, nil
}

// joinParts puts the parts of a page together as sources says, then what the parts have beyond that.
func joinParts(sources []int, parts [][][]byte, limit int) []hit {
	var hits []hit
	take := func(i int) {
		hits, parts[i] = append(hits, hit{raw: parts[i][0]}), parts[i][1:]
	}
	for _, i := range sources {
		if len(parts[i]) > 0 {
			take(i)
		}
	}
	for i := range parts {
		for len(parts[i]) > 0 && len(hits) < limit {
			take(i)
		}
	}
	return hits
}

// documentSpan is a part of a node's list.
type documentSpan struct{ from, count int }

// documentSpans says for each document of a page which list it comes from, and which part of each list the page holds.
// lists are the beginnings of the nodes' lists, totals how long those are; the first head documents of all are merged.
func documentSpans(lists [][]hit, totals []int, head, offset, limit int) (sources []int, spans []documentSpan) {
	spans, heads := make([]documentSpan, len(lists)), make([]int, len(lists))
	next := func(i, position int) {
		switch {
		case position < offset:
			spans[i].from++
		case len(sources) < limit:
			spans[i].count++
			sources = append(sources, i)
		}
	}
	position := 0
	for ; position < head; position++ {
		best := bestHead(lists, heads, compareHits)
		if best < 0 {
			break
		}
		heads[best]++
		next(best, position)
	}
	for i, total := range totals {
		skipped := max(0, min(total-heads[i], offset-position)) // no need to count them one by one
		spans[i].from, position, heads[i] = spans[i].from+skipped, position+skipped, heads[i]+skipped
		for ; heads[i] < total && len(sources) < limit; heads[i]++ {
			next(i, position)
			position++
		}
	}
	return sources, spans
}

// again asks for a part of the page from one node that has all shards of a call. Where none does any more, each node is
// asked for the part from the list's beginning, since nobody knows how much of what comes before it is where.
func (l *documentList) again(ctx context.Context, call Call, offset, limit int) (documentPage, error) {
	limit = min(limit, meili.FarEnd)
	r := l.request
	r.Shards, r.prepared = call.Shards, nil
	plan := planRead(r)
	from, to := offset, limit
	if len(plan.Calls) > 1 {
		from, to = 0, offset+limit
	}
	r.prepared, r.alone = &plan, true
	got, err := scatter(ctx, l.s, r, func(ctx context.Context, c *node.Client, call Call) (documentPage, error) {
		return l.askPage(ctx, c, call, from, to)
	})
	if err == nil && len(got.Missing) > 0 {
		err = unavailable(l.request.View, got.Missing, nil)
	}
	if err == nil && len(got.Answers) > 1 && from > 0 {
		err = miroirError(codeShardUnavailable, "A node was lost while the list was read. Retry.")
	}
	if err != nil {
		return documentPage{}, err
	}
	var page documentPage
	for _, a := range got.Answers {
		page.results = append(page.results, a.Value.results...)
		page.total += a.Value.total
	}
	skipped := min(offset-from, len(page.results))
	page.results = page.results[skipped:min(len(page.results), skipped+limit)]
	return page, nil
}

func (l *documentList) askPage(ctx context.Context, c *node.Client, call Call, offset, limit int) (documentPage, error) {
	body, err := l.ask(ctx, c, call, offset, limit, proxyHeader)
	if err != nil {
		return documentPage{}, err
	}
	return documentPage{results: itemsOf(memberOf(body, "results")), total: int(number(memberOf(body, "total")))}, nil
}

func (l *documentList) ask(ctx context.Context, c *node.Client, call Call, offset, limit int, header http.Header) ([]byte, error) {
	query := *l.query
	query.Offset, query.Limit, query.UseNetwork = offset, limit, nil
	if header != nil { // one of several parts
		query.Fields = retrieveOrder(query.Fields)
	}
	query.Filter = withShards(query.Filter, call.filterShards())
	body, err := marshal(query)
	if err != nil {
		return nil, err
	}
	response, err := l.s.exchange(ctx, c, node.Request{
		Method: "POST", Path: "/indexes/" + l.ix.NodeUID + "/documents/fetch", Body: body, ContentType: "application/json", Header: header,
	})
	if err != nil {
		return nil, err
	}
	return response.Body, nil
}

func (l *documentList) page(results []byte, total int) []byte {
	out := append([]byte(`{"results":`), results...)
	out = strconv.AppendInt(append(out, `,"offset":`...), int64(l.query.Offset), 10)
	out = strconv.AppendInt(append(out, `,"limit":`...), int64(l.query.Limit), 10)
	out = strconv.AppendInt(append(out, `,"total":`...), int64(total), 10)
	return append(out, '}')
}

// countDocuments is the number of documents in the shards of one call that satisfy a filter, nil for all, by asking its node.
func (s *Server) countDocuments(ctx context.Context, c *node.Client, ix *fsm.Index, call Call, filter json.RawMessage) (int, error) {
	body, err := marshal(meili.DocumentsQuery{Filter: withShards(filter, slices.Clone(call.filterShards())), Fields: &[]string{}})
	if err != nil {
		return 0, err
	}
	response, err := s.exchange(ctx, c, node.Request{
		Method: "POST", Path: "/indexes/" + ix.NodeUID + "/documents/fetch", Body: body, ContentType: "application/json",
	})
	if err != nil {
		return 0, err
	}
	var page struct{ Total int }
	err = json.Unmarshal(response.Body, &page)
	return page.Total, err
}
