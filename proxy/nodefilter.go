package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"

	"miroir/fsm"
	"miroir/meili"
)

// What clients filter by, as nodes must be told. Two conditions mean something else on a node than on one server: _foreign, since
// the other index may live elsewhere (see foreign.go), and !=. Meilisearch finds no document by `color != red` as long as no
// document ever had a color (milli search/facet/filter.rs), else all but the red ones. On a node that never had a colored document
// it would find none, while others find theirs; NOT color = red finds all of them on each node.

// nodeFilters replaces in filters, each on an index, what nodes would take for something else. A filter that one server would refuse
// stays as it is.
func (s *Server) nodeFilters(ctx context.Context, view *fsm.View, indexes []*fsm.Index, filters []*json.RawMessage) error {
	if err := s.foreignFilters(ctx, view, indexes, filters); err != nil {
		return err
	}
	for i, filter := range filters {
		if refused := namesHidden(indexes[i], filter, indexes[i].UID); refused != nil {
			return refused
		}
		s.equalityFilter(ctx, view, indexes[i], filter)
	}
	return nil
}

// nodeFilter is nodeFilters of one filter.
func (s *Server) nodeFilter(ctx context.Context, view *fsm.View, ix *fsm.Index, filter *json.RawMessage) error {
	return s.nodeFilters(ctx, view, []*fsm.Index{ix}, []*json.RawMessage{filter})
}

// nodeFilterInWords is nodeFilter for routes whose errors quote the filter as the client wrote it. code is that of
// what the filter may not test.
func (s *Server) nodeFilterInWords(ctx context.Context, view *fsm.View, ix *fsm.Index, filter *json.RawMessage, code meili.Code) error {
	if refused := namesHidden(ix, filter, ""); refused != nil {
		return refused.WithCode(code)
	}
	written := *filter
	if err := s.nodeFilter(ctx, view, ix, filter); err != nil || bytes.Equal(written, *filter) {
		return err
	}
	parsed, _ := meili.ParseFilter(written) // it was parsed before
	if refused := meili.CheckFilterable(parsed, settingsOf(ix).Filterable(), ""); refused != nil {
		return refused.WithCode(code)
	}
	return nil
}

// namesHidden is one server's error for a filter by a hidden field, which nodes would know. uid is the index that it names, "" for none.
func namesHidden(ix *fsm.Index, filter *json.RawMessage, uid string) *meili.Error {
	if filter == nil || !bytes.Contains(*filter, []byte("_miroir")) {
		return nil
	}
	parsed, refused := meili.ParseFilter(*filter)
	if refused != nil || parsed == nil || !slices.ContainsFunc(parsed.Fields(), isHidden) {
		return nil
	}
	if uid != "" { // searches quote the filter as they read it
		parsed, _ = meili.ParseFilter(meili.AppendString(nil, parsed.String()))
	}
	return meili.CheckFilterable(parsed, settingsOf(ix).Filterable(), uid)
}

// nodeFilters is nodeFilters of the filters of all queries.
func (f *federated) nodeFilters(ctx context.Context) error {
	indexes := make([]*fsm.Index, len(f.multi.Queries))
	filters := make([]*json.RawMessage, len(f.multi.Queries))
	for i := range f.multi.Queries {
		indexes[i], filters[i] = f.indexes[f.multi.Queries[i].IndexUID], &f.multi.Queries[i].Filter
	}
	return f.s.nodeFilters(ctx, f.view, indexes, filters)
}

// equalityFilter replaces != by NOT and = where fields are known to the index, unless each of its nodes has all of it. It reports
// whether that is for good: unfinished writes may make a field known, or one that can be filtered by.
func (s *Server) equalityFilter(ctx context.Context, view *fsm.View, ix *fsm.Index, filter *json.RawMessage) (forGood bool) {
	if filter == nil || !bytes.Contains(*filter, []byte("!=")) || !ix.Divided() {
		return true
	}
	parsed, refused := meili.ParseFilter(*filter)
	if refused != nil || parsed == nil {
		return true
	}
	if meili.CheckFilterable(parsed, settingsOf(ix).Filterable(), "") != nil {
		return false
	}
	forGood = true
	changed := parsed.WithoutNotEqual(func(field string) bool {
		known := s.hadField(ctx, view, ix, field)
		forGood = forGood && known
		return known
	})
	if changed == parsed {
		return forGood
	}
	if text := changed.String(); !isBadFilter(text) {
		*filter = meili.AppendString(nil, text)
	}
	return forGood
}

// isBadFilter reports that a filter which Miroir wrote is refused: the parentheses added make it too deep.
func isBadFilter(text string) bool {
	_, refused := meili.ParseFilterExpression(text)
	return refused != nil
}

// knownFields are fields that documents of indexes have been seen to have. They stay known: so they do to a server.
type knownFields struct {
	mu     sync.Mutex
	fields map[knownField]struct{} // guarded by mu
}

type knownField struct {
	index fsm.IndexID
	name  string
}

// maxKnownFields is how many fields are remembered; then they are looked for anew.
const maxKnownFields = 10_000

func (k *knownFields) has(field knownField) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, known := k.fields[field]
	return known
}

func (k *knownFields) add(field knownField) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fields == nil || len(k.fields) >= maxKnownFields {
		k.fields = map[knownField]struct{}{}
	}
	k.fields[field] = struct{}{}
}

// hadField reports whether a document of an index is known to have, or have had, a field: all nodes are asked once.
func (s *Server) hadField(ctx context.Context, view *fsm.View, ix *fsm.Index, name string) bool {
	field := knownField{ix.ID, name}
	if s.fields.has(field) {
		return true
	}
	exists := &meili.Filter{Op: meili.FilterExists, Field: name}
	condition := json.RawMessage(meili.AppendString(nil, exists.String()))
	calls := planRead(s.planRequest(view, ix, nil, seedOf(ix.UID, name))).Calls
	var found atomic.Bool
	eachAtOnce(len(calls), func(i int) {
		ctx, cancel := s.inTime(ctx, view, ix, calls[i])
		defer cancel()
		n, err := s.countDocuments(ctx, s.nodes.Client(view, calls[i].Node), ix, calls[i], condition)
		if err == nil && n > 0 { // a node that does not answer has no say: the read itself deals with its absence
			found.Store(true)
		}
	})
	if found.Load() {
		s.fields.add(field)
	}
	return found.Load()
}
