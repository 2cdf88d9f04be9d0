package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
)

// Bounds of what documents are streamed in.
const (
	firstPage     = 100
	maxPage       = 5000
	wantPageBytes = 4 << 20
	maxPageBytes  = 1 << 30 // of one answer
	maxListed     = 50_000  // ids that are listed at once, unless one shard alone has more
)

// maxStreamTries bounds how often in a row a stream begins a part again; the pauses between grow by streamPause.
const (
	maxStreamTries = 10
	streamPause    = 100 * time.Millisecond
)

// documentStream reads the documents of an index that match a filter, nil for all, part by part, each from one in-sync
// replica: vectors in, without the hidden field. However replicas move, fail or miss writes meanwhile, every document that is
// there from beginning to end comes exactly once; one that is written meanwhile comes once at most, as it is before or after.
//
// A part is some shards of one node. Its ids are listed by one request, so of one moment, and then read in pages. A page
// counts if, after it was read, the replicas are still those in sync that the ids came from. If not, the part is
// begun again by the newest view, without what was emitted.
type documentStream struct {
	server *Server
	ix     *fsm.Index
	filter json.RawMessage
	// emit gets each document; it is valid until emit returns.
	emit func(document []byte) error

	left []fsm.ShardID   // not read yet, ascending
	seen map[string]bool // ids of shards that are left whose documents were emitted
	// failure is what the last node said that did not answer well.
	failure error
}

// streamInterrupted says that a part is to be begun again.
type streamInterrupted struct {
	avoid fsm.NodeID // did not answer well; "" when no node is at fault
	cause error
}

func (e *streamInterrupted) Error() string { return e.cause.Error() }

// run streams. Errors: *meili.Error of the request or of shards that nobody can answer for, or what emit returned.
func (d *documentStream) run(ctx context.Context) error {
	d.left, d.seen = allShards(d.ix), map[string]bool{}
	avoid := map[fsm.NodeID]bool{}
	for tries := 0; len(d.left) > 0; {
		err := d.next(ctx, avoid)
		if err == nil {
			tries = 0
			clear(avoid)
			continue
		}
		interrupted, again := err.(*streamInterrupted)
		if !again {
			return err
		}
		if tries++; tries == maxStreamTries {
			return interrupted.cause
		}
		if interrupted.avoid == "" {
			clear(avoid)
		} else {
			avoid[interrupted.avoid] = true
		}
		if !sleep(ctx, time.Duration(tries)*streamPause) {
			return context.Cause(ctx)
		}
	}
	return nil
}

// next streams a part of what is left.
func (d *documentStream) next(ctx context.Context, avoid map[fsm.NodeID]bool) error {
	view := d.server.cluster.View()
	ix := view.Indexes[d.ix.ID]
	if ix == nil {
		return meili.IndexNotFound(d.ix.UID)
	}
	request := d.server.planRequest(view, ix, d.left, seedOf(ix.UID, "stream"))
	request.Avoid = avoid
	plan := planRead(request)
	if len(plan.Missing) > 0 {
		return &streamInterrupted{cause: unreadable(view, ix, plan.Missing, d.failure)}
	}
	call := plan.Calls[0]
	shards := slices.DeleteFunc(slices.Clone(call.Shards), func(s fsm.ShardID) bool { return !slices.Contains(d.left, s) })
	part := &streamPart{stream: d, ix: ix, node: view.Node(call.Node), client: d.server.nodes.Client(view, call.Node), shards: shards}
	if err := part.run(ctx); err != nil {
		return err
	}
	d.left = without(d.left, part.shards)
	return nil
}

// streamPart reads shards from one node.
type streamPart struct {
	stream *documentStream
	ix     *fsm.Index // as of the part's beginning
	node   *fsm.Node
	client *node.Client
	shards []fsm.ShardID // ascending; fewer once their documents turn out to be many
}

func (p *streamPart) run(ctx context.Context) error {
	ids, err := p.list(ctx)
	if err != nil {
		return err
	}
	unseen := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return p.stream.seen[id] })
	for limit := firstPage; len(unseen) > 0; {
		page := unseen[:min(limit, len(unseen))]
		documents, size, err := p.fetch(ctx, meili.DocumentsQuery{IDs: &page, Limit: len(page), RetrieveVectors: true})
		if err != nil {
			return err
		}
		for _, raw := range documents.results {
			if err := p.stream.emit(withoutEmptyVectors(strip(raw, documentShape))); err != nil {
				return err
			}
		}
		for _, id := range page {
			p.stream.seen[id] = true
		}
		unseen, limit = unseen[len(page):], nextPage(len(page), size)
	}
	for _, id := range ids {
		delete(p.stream.seen, id)
	}
	return nil
}

// nextPage is how many documents make up a page of the wanted size, judged by the last one.
func nextPage(documents, bytes int) int {
	return min(max(wantPageBytes*documents/max(bytes, 1), 1), maxPage)
}

// list lists the ids of the part's documents as of one moment, and leaves shards out while they are too many.
func (p *streamPart) list(ctx context.Context) ([]string, error) {
	if p.ix.PrimaryKey == "" {
		return nil, nil // it has no documents
	}
	for {
		query := meili.DocumentsQuery{Fields: &[]string{p.ix.PrimaryKey}, Limit: maxListed}
		if len(p.shards) == 1 {
			query.Limit = math.MaxUint32
		}
		page, _, err := p.fetch(ctx, query)
		if err != nil {
			return nil, err
		}
		if len(page.results) < page.total && len(p.shards) > 1 {
			if err := p.filterable(ctx); err != nil {
				return nil, err
			}
			p.shards = p.shards[:max(1, len(p.shards)*maxListed/(2*page.total))]
			continue
		}
		ids := make([]string, len(page.results))
		for i, document := range page.results {
			id, problem := meili.DocumentID(document, p.ix.PrimaryKey)
			if problem != nil {
				return nil, fmt.Errorf("node %s lists a document of index %s without its id: %w", p.node.ID, p.ix.UID, problem)
			}
			ids[i] = id
		}
		return ids, nil
	}
}

// filterable has the node of an index that lives whole list some of its shards.
func (p *streamPart) filterable(ctx context.Context) error {
	if !p.ix.Whole() {
		return nil
	}
	err := p.stream.server.awaitShardsFilterable(ctx, p.ix.ID, p.node.ID)
	if err == nil || ctx.Err() != nil {
		return err
	}
	p.stream.failure = err
	return &streamInterrupted{avoid: p.node.ID, cause: unreadable(p.stream.server.cluster.View(), p.ix, p.shards, err)}
}

// fetch asks for documents of the part. It returns them and the size of the answer in bytes, or *streamInterrupted.
func (p *streamPart) fetch(ctx context.Context, query meili.DocumentsQuery) (documentPage, int, error) {
	query.Filter = p.stream.filter
	if !p.ix.Whole() || len(p.shards) < int(p.ix.Shards) {
		query.Filter = withShards(query.Filter, p.shards)
	}
	body, err := marshal(query)
	if err != nil {
		return documentPage{}, 0, err
	}
	asking, cancel := context.WithTimeout(ctx, p.stream.server.opts.WriteTimeout)
	defer cancel()
	response, err := p.stream.server.exchange(asking, p.client, node.Request{
		Method: "POST", Path: indexPath(p.ix.NodeUID) + "/documents/fetch", Body: body, ContentType: "application/json", MaxAnswerBytes: maxPageBytes,
	})
	if ctx.Err() != nil {
		return documentPage{}, 0, context.Cause(ctx)
	}
	if err := p.readable(asking, err); err != nil {
		return documentPage{}, 0, err
	}
	return documentPage{results: itemsOf(memberOf(response.Body, "results")), total: int(number(memberOf(response.Body, "total")))}, len(response.Body), nil
}

// readable judges an answer, with the error that came instead: it counts if the replicas have been in sync since the part
// began, and the node has not lost its disk.
func (p *streamPart) readable(ctx context.Context, err error) error {
	view := p.stream.server.cluster.View()
	for _, s := range p.shards {
		if before, now := replicaAt(p.ix, s, p.node.ID), replicaAt(view.Indexes[p.ix.ID], s, p.node.ID); now.State != fsm.Active || now.Epoch != before.Epoch {
			return &streamInterrupted{cause: miroirError(codeShardUnavailable,
				"The replicas of index `%s` on node `%s` moved or missed a write again and again while they were read.", p.ix.UID, p.node.ID)}
		}
	}
	refused := final(ctx, err)
	if err == nil || refused != nil { // an error, too, may only show that the index is not there any more
		newest, lost := p.client.NewestTask(ctx)
		if lost == nil && newest < p.node.LastTaskUID {
			lost = fmt.Errorf("node %s has lost its disk", p.node.ID)
		}
		if lost == nil {
			return shownError(refused, p.ix)
		}
		err = lost
	}
	p.stream.failure = err
	return &streamInterrupted{avoid: p.node.ID, cause: unreadable(view, p.ix, p.shards, err)}
}

// replicaAt is a node's replica of a shard in any group, the zero value if there is none.
func replicaAt(ix *fsm.Index, s fsm.ShardID, id fsm.NodeID) fsm.Replica {
	if ix == nil {
		return fsm.Replica{}
	}
	for group := range ix.Placement {
		for _, replica := range ix.Replicas(group, s) {
			if replica.Node == id {
				return replica
			}
		}
	}
	return fsm.Replica{}
}

// withoutEmptyVectors drops the member that nodes add to documents without vectors.
func withoutEmptyVectors(document []byte) []byte {
	if vectors, has := meili.Get(document, "_vectors"); has && string(vectors) == "{}" {
		return meili.Strip(document, "_vectors")
	}
	return document
}
