package proxy

import (
	"context"
	"encoding/json"
	"errors"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
)

// Bounds of the pages that documents are streamed in.
const (
	firstPage     = 100
	maxPage       = 5000
	wantPageBytes = 4 << 20
	maxPageBytes  = 1 << 30 // of one answer
)

// documentStream reads the documents of an index that match a filter, nil for all, shard by shard, each from one in-sync
// replica: vectors in, without the hidden field. A document may come twice: after a node failed, or when documents
// are deleted meanwhile; then some may also be missed, so hold writes back or look for them afterwards.
type documentStream struct {
	server *Server
	ix     *fsm.Index
	filter json.RawMessage
	// emit gets each document; it is valid until emit returns.
	emit func(document []byte) error
}

// run streams. Errors: *meili.Error of the request or of shards that nobody can answer for, or what emit returned.
func (d *documentStream) run(ctx context.Context) error {
	view := d.server.cluster.View()
	return d.read(ctx, d.server.planRequest(view, d.ix, nil, seedOf(d.ix.UID, "stream")))
}

func (d *documentStream) read(ctx context.Context, r planRequest) error {
	plan := planRead(r)
	if len(plan.Missing) > 0 {
		return unreadable(d.ix, plan.Missing, r.failure)
	}
	for _, call := range plan.Calls {
		err := d.readCall(ctx, r, call)
		var failed *pageError
		if errors.As(err, &failed) {
			err = d.read(ctx, r.without(call, failed.cause))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pageError says that a node did not answer, so that another one may.
type pageError struct{ cause error }

func (e *pageError) Error() string { return e.cause.Error() }

func (d *documentStream) readCall(ctx context.Context, r planRequest, call Call) error {
	client := d.server.nodes.Client(r.View, call.Node)
	limit, offset := firstPage, 0
	for {
		page, size, err := d.page(ctx, client, call, offset, limit)
		if err != nil {
			if done := final(ctx, err); done != nil {
				return shownError(done, d.ix)
			}
			return &pageError{err}
		}
		for _, raw := range page.results {
			if err := d.emit(withoutEmptyVectors(strip(raw, documentShape))); err != nil {
				return err
			}
		}
		offset += len(page.results)
		if len(page.results) == 0 || offset >= page.total {
			return nil
		}
		limit = nextPage(len(page.results), size)
	}
}

// nextPage is how many documents make up a page of the wanted size, judged by the last one.
func nextPage(documents, bytes int) int {
	return min(max(wantPageBytes*documents/max(bytes, 1), 1), maxPage)
}

func (d *documentStream) page(ctx context.Context, c *node.Client, call Call, offset, limit int) (documentPage, int, error) {
	query := meili.DocumentsQuery{Offset: offset, Limit: limit, RetrieveVectors: true, Filter: withShards(d.filter, call.filterShards())}
	body, err := marshal(query)
	if err != nil {
		return documentPage{}, 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.server.opts.WriteTimeout)
	defer cancel()
	response, err := d.server.exchange(ctx, c, node.Request{
		Method: "POST", Path: indexPath(d.ix.NodeUID) + "/documents/fetch", Body: body, ContentType: "application/json", MaxAnswerBytes: maxPageBytes,
	})
	if err != nil {
		return documentPage{}, 0, err
	}
	return documentPage{results: itemsOf(memberOf(response.Body, "results")), total: int(number(memberOf(response.Body, "total")))}, len(response.Body), nil
}

// withoutEmptyVectors drops the member that nodes add to documents without vectors.
func withoutEmptyVectors(document []byte) []byte {
	if vectors, has := meili.Get(document, "_vectors"); has && string(vectors) == "{}" {
		return meili.Strip(document, "_vectors")
	}
	return document
}
