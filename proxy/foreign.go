package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"miroir/fsm"
	"miroir/meili"
)

// Foreign keys are fields that hold ids of documents of another index: searches show those documents instead, and _foreign
// filters test them. The other index may live on other nodes, so nodes know nothing of foreign keys: Miroir puts ids into
// filters and documents into hits, as Meilisearch v1.50 does (search/hydration.rs, index-scheduler filter.rs).

// maxForeignIDs is how many documents of one index the _foreign filters of a request may match together.
const maxForeignIDs = 100

// foreignKeysOf are the foreign keys of an index, nil while the experimental feature is off.
func foreignKeysOf(view *fsm.View, ix *fsm.Index) []meili.ForeignKey {
	settings := settingsOf(ix)
	if settings == nil || len(settings.ForeignKeys.Value) == 0 {
		return nil
	}
	if features, err := featuresOf(view); err != nil || !features.ForeignKeys {
		return nil
	}
	return settings.ForeignKeys.Value
}

// foreignFilters replaces the _foreign conditions of filters, each on an index, by conditions on the ids they stand for. A
// filter that cannot be parsed or uses what is switched off stays as it is, for a node to refuse.
func (s *Server) foreignFilters(ctx context.Context, view *fsm.View, indexes []*fsm.Index, filters []*json.RawMessage) error {
	features, err := featuresOf(view)
	if err != nil || !features.ForeignKeys {
		return err
	}
	r := foreignResolver{s: s, view: view, matched: map[string]map[string]bool{}}
	parsed := make([]*meili.Filter, len(filters))
	for i, filter := range filters {
		if filter == nil || !bytes.Contains(*filter, []byte("_foreign")) {
			continue
		}
		f, refused := meili.ParseFilter(*filter)
		if refused != nil || meili.CheckFilterFeatures(f, features) != nil {
			continue
		}
		if parsed[i], err = r.resolve(ctx, indexes[i], f); err != nil {
			return err
		}
	}
	for i, f := range parsed {
		if f != nil {
			*filters[i] = meili.AppendString(nil, f.String())
		}
	}
	return nil
}

// foreignResolver evaluates the _foreign conditions of one request.
type foreignResolver struct {
	s       *Server
	view    *fsm.View
	matched map[string]map[string]bool // ids by foreign index
}

// resolve is a copy of f with ids in place of _foreign conditions, f itself where there are none.
func (r *foreignResolver) resolve(ctx context.Context, ix *fsm.Index, f *meili.Filter) (*meili.Filter, error) {
	if f.Op == meili.FilterForeign {
		ids, err := r.ids(ctx, ix, f)
		return &meili.Filter{Op: meili.FilterIn, Field: f.Field, Values: ids}, err
	}
	if len(f.Children) == 0 {
		return f, nil
	}
	out := *f
	out.Children = make([]*meili.Filter, len(f.Children))
	for i, child := range f.Children {
		var err error
		if out.Children[i], err = r.resolve(ctx, ix, child); err != nil {
			return nil, err
		}
	}
	return &out, nil
}

func (r *foreignResolver) ids(ctx context.Context, ix *fsm.Index, f *meili.Filter) ([]meili.FilterValue, error) {
	refuse := func(uid, message string) error {
		return meili.Errorf(meili.CodeInvalidSearchFilter, "%s", message).WithPrefix("Index `" + uid + "`: ")
	}
	keys := foreignKeysOf(r.view, ix)
	at := slices.IndexFunc(keys, func(k meili.ForeignKey) bool { return k.FieldName == f.Field })
	if at < 0 {
		return nil, refuse(ix.UID, "Field `"+f.Field+"` is not a foreign key")
	}
	if hasForeign(f.Children[0]) {
		return nil, refuse(ix.UID, "Nested foreign filters are not supported")
	}
	foreign := r.view.Index(keys[at].ForeignIndexUID)
	if foreign == nil {
		return nil, meili.IndexNotFound(keys[at].ForeignIndexUID)
	}
	if refused := meili.CheckFilterable(f.Children[0], settingsOf(foreign).Filterable(), foreign.UID); refused != nil {
		return nil, refused.WithCode(meili.CodeInvalidDocumentFilter)
	}
	condition := json.RawMessage(meili.AppendString(nil, f.Children[0].String()))
	r.s.equalityFilter(ctx, r.view, foreign, &condition)
	matching, err := r.s.foreignList(ctx, r.view, foreign, &meili.DocumentsQuery{
		Filter: condition, Fields: &[]string{foreign.PrimaryKey}, Limit: maxForeignIDs + 1,
	})
	if err != nil {
		return nil, err
	}
	if r.matched[foreign.UID] == nil {
		r.matched[foreign.UID] = map[string]bool{}
	}
	values := make([]meili.FilterValue, 0, len(matching))
	for _, document := range matching {
		id := documentID(document, foreign.PrimaryKey)
		r.matched[foreign.UID][id] = true
		values = append(values, meili.FilterValue{Text: id})
	}
	if len(r.matched[foreign.UID]) > maxForeignIDs {
		return nil, refuse(foreign.UID, "Foreign filter is retrieving too many documents, foreign filters can't retrieve more than 100 documents per index")
	}
	return values, nil
}

func hasForeign(f *meili.Filter) bool {
	return f.Op == meili.FilterForeign || slices.ContainsFunc(f.Children, hasForeign)
}

// foreignList reads documents of an index in the order of a list. An index that cannot be read whole is an error.
func (s *Server) foreignList(ctx context.Context, view *fsm.View, ix *fsm.Index, query *meili.DocumentsQuery) ([][]byte, error) {
	if ix.PrimaryKey == "" {
		return nil, nil // no document was ever written
	}
	list := documentList{s: s, ix: ix, query: query, request: s.planRequest(view, ix, shardsOfList(query, ix, view.Config.QueryPlanner), seedOf(ix.UID, "documents"))}
	body, missing, err := list.run(ctx)
	if err == nil && len(missing) > 0 {
		err = unavailable(view, missing, nil)
	}
	if err != nil {
		return nil, shownError(err, ix)
	}
	return itemsOf(memberOf(body, "results")), nil
}

// documentID is the canonical id of a document, "" where it does not show it.
func documentID(document []byte, primaryKey string) string {
	value := memberOf(document, primaryKey)
	for rest, more := primaryKey, true; value == nil && more; {
		var name string
		name, rest, more = strings.Cut(rest, ".")
		if document = memberOf(document, name); !more {
			value = document
		}
	}
	id, _ := foreignID(value)
	return id
}

// foreignID is the document id that a value names; false for values that cannot be ids.
func foreignID(value []byte) (string, bool) {
	if len(value) == 0 {
		return "", false
	}
	id := string(value)
	switch c := value[0]; {
	case c == '"':
		id = text(value)
	case c != '-' && (c < '0' || c > '9'):
		return "", false
	case bytes.ContainsAny(value, ".eE"):
		return "", false
	}
	return id, meili.IsDocumentID(id)
}
