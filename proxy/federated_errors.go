package proxy

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
)

// errorOfQueries is the error one server would give: a node that refused its rewritten part is asked once more, index by
// index and with the client's own filters, so that positions and texts in the message are right, and the error of the index
// that comes first by the client's name for it, not the node's.
func (f *federated) errorOfQueries(ctx context.Context, part federatedPart, err error) error {
	known, ok := err.(*meili.Error)
	if !ok || known.Status >= 500 {
		return f.shownError(err)
	}
	err = f.shownError(known)
	var refused []error
	for _, uid := range slices.Sorted(maps.Keys(part.calls)) {
		if again, ok := f.askWhole(ctx, part.node, uid, part.calls[uid]).(*meili.Error); ok && again.Status < 500 {
			refused = append(refused, f.shownError(again))
		}
	}
	if len(refused) > 0 {
		err = f.firstMet(refused)
	}
	if between := f.checkBetween(); between != nil && f.meetsFirst(between, err.(*meili.Error)) {
		return between
	}
	return err
}

// askWhole asks a node for the queries of one index as the client wrote and numbered them.
func (f *federated) askWhole(ctx context.Context, id fsm.NodeID, uid string, call Call) error {
	ctx, cancel := context.WithTimeout(ctx, f.s.readTimeout(f.view))
	defer cancel()
	call.Whole = true
	request := f.request(federatedPart{node: id, calls: map[string]Call{uid: call}})
	for i := range request.Queries {
		options := request.Queries[i].FederationOptions
		options.QueryPosition = new(f.position(f.queryOf(*options.QueryPosition)))
	}
	body, err := marshal(request)
	if err != nil {
		return err
	}
	_, err = f.s.exchange(ctx, f.s.nodes.Client(f.view, id), node.Request{
		Method: "POST", Path: "/multi-search", Body: body, ContentType: "application/json", Header: proxyHeader,
	})
	return err
}

// meetsFirst reports whether one server meets a fault between queries before, or instead of, the one that a node has found: the
// node sees its own part, and takes indexes in the order of its own names for them.
func (f *federated) meetsFirst(between, known *meili.Error) bool {
	if between.Code == known.Code {
		return firstLine(between.Message) != firstLine(known.Message)
	}
	return f.turnOf(between) <= f.turnOf(known)
}

// firstMet is the error that one server meets first of those that nodes have found in their parts.
func (f *federated) firstMet(refused []error) error {
	return slices.MinFunc(refused, func(a, b error) int { return cmp.Compare(f.turnOf(a), f.turnOf(b)) })
}

// turnOf is when one server runs the query that an error is about; errors about none come first.
func (f *federated) turnOf(err error) int {
	var position int
	known, ok := err.(*meili.Error)
	if !ok {
		return -1
	}
	if _, err := fmt.Sscanf(known.Message, "Inside `.queries[%d]`", &position); err != nil {
		return -1
	}
	return slices.IndexFunc(f.byIndex(), func(i int) bool { return f.position(i) == position })
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// shownError maps node-side names of all indexes back.
func (f *federated) shownError(err error) error {
	if known, ok := err.(*meili.Error); ok {
		return clientError(known, slices.Collect(maps.Values(f.indexes))...)
	}
	return err
}
