package proxy

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
)

// check refuses what is wrong with a federated search before any index is looked at, in Meilisearch's order: first the
// filters of all queries, then what else the queries say. It sets indexes, seed and unknown.
func (f *federated) check() error {
	features, err := featuresOf(f.view)
	if err != nil {
		return err
	}
	if features.ForeignKeys { // which are those of all indexes, and looked up first
		for i := range f.multi.Queries {
			if uid := f.multi.Queries[i].IndexUID; f.view.Index(uid) == nil {
				return meili.IndexNotFound(uid)
			}
		}
	}
	if refused := f.checkFilters(features); refused != nil {
		return refused
	}
	f.indexes = map[string]*fsm.Index{}
	parts := []string{"federated"}
	var unknown []string
	for i := range f.multi.Queries {
		query := &f.multi.Queries[i]
		if refused := f.multi.CheckQuery(i); refused != nil {
			return meili.InQuery(i, refused)
		}
		if refused := checkGates(query.UseNetwork, query.Filter, f.view); refused != nil {
			return meili.InQuery(i, refused)
		}
		if refused := f.place(query.FederationOptions); refused != nil {
			return meili.InQuery(i, refused)
		}
		ix := f.view.Index(query.IndexUID)
		if ix == nil {
			unknown = append(unknown, query.IndexUID)
			continue
		}
		f.indexes[query.IndexUID] = ix
		text, _ := json.Marshal(query.SearchQuery)
		parts = append(parts, query.IndexUID, string(text))
	}
	f.seed = seedOf(parts...)
	if len(unknown) > 0 {
		f.unknown = slices.Min(unknown)
		maps.DeleteFunc(f.indexes, func(uid string, _ *fsm.Index) bool { return uid > f.unknown })
	}
	return nil
}

// checkFilters refuses filters that cannot be read, or that use what is switched off.
func (f *federated) checkFilters(features meili.Features) *meili.Error {
	for i := range f.multi.Queries {
		filter, refused := meili.ParseFilter(f.multi.Queries[i].Filter)
		if refused == nil {
			refused = meili.CheckFilterFeatures(filter, features)
		}
		if refused != nil {
			return meili.InQuery(i, refused)
		}
	}
	return nil
}

// refuseUnknown is the error of a search that names an index there is not. One server goes through the indexes by name, so
// an error of those before it comes first, and they are searched to find it.
func (f *federated) refuseUnknown(ctx context.Context) error {
	if len(f.indexes) > 0 {
		if _, _, err := f.gather(ctx, map[fsm.NodeID]bool{}); err != nil {
			return err
		}
		if refused := f.checkBetween(); refused != nil {
			return refused
		}
	}
	first := slices.IndexFunc(f.multi.Queries, func(q meili.MultiQuery) bool { return q.IndexUID == f.unknown })
	return f.inQuery(first, meili.IndexNotFound(f.unknown).WithStatus(http.StatusBadRequest))
}

// checkUnusedFacets refuses facets that are asked of indexes which no query uses, where they could not be told of them.
func (f *federated) checkUnusedFacets(r *request) error {
	for _, uid := range slices.Sorted(maps.Keys(f.multi.Federation.FacetsByIndex)) {
		if f.indexes[uid] != nil {
			continue
		}
		refused := f.refusedFacets(r, uid)
		known, ok := refused.(*meili.Error)
		switch {
		case refused == nil:
			continue
		case !ok || known.Status >= 500:
			return refused
		}
		unused := *known
		unused.Message += "\n - Note: index `" + uid + "` is not used in queries"
		return &unused
	}
	return nil
}

// checkHiddenFacets refuses facets that nodes accept because only fields which clients do not see are filterable there.
func (f *federated) checkHiddenFacets() *meili.Error {
	for _, uid := range slices.Sorted(maps.Keys(f.multi.Federation.FacetsByIndex)) {
		ix, patterns := f.indexes[uid], f.multi.Federation.FacetsByIndex[uid]
		if ix == nil || patterns == nil {
			continue
		}
		if refused := meili.CheckFacets(*patterns, settingsOf(ix).Filterable()); refused != nil {
			first := slices.IndexFunc(f.multi.Queries, func(q meili.MultiQuery) bool { return q.IndexUID == uid })
			return f.inQuery(first, refused.WithPrefix(inFacetsOf(uid)))
		}
	}
	return nil
}

// inFacetsOf starts the messages of errors about the facets of an index.
func inFacetsOf(uid string) string { return "Inside `.federation.facetsByIndex." + uid + "`: " }

// refusedFacets is the error of asking for the facets of an index, nil for none. A node finds it.
func (f *federated) refusedFacets(r *request, uid string) error {
	ix, patterns := f.view.Index(uid), f.multi.Federation.FacetsByIndex[uid]
	if ix == nil {
		return meili.IndexNotFound(uid).WithStatus(http.StatusBadRequest).WithPrefix(inFacetsOf(uid))
	}
	if patterns == nil {
		return nil
	}
	if refused := meili.CheckFacets(*patterns, settingsOf(ix).Filterable()); refused != nil {
		return refused.WithPrefix(inFacetsOf(uid))
	}
	body, err := marshal(meili.SearchQuery{Facets: patterns, Limit: new(0), Filter: json.RawMessage("[]")})
	if err != nil {
		return err
	}
	_, err = f.s.askAnyNode(r, ix, node.Request{Method: "POST", Path: "/indexes/" + ix.NodeUID + "/search", Body: body, ContentType: "application/json"})
	if known, ok := err.(*meili.Error); ok && known.Status < 500 {
		return clientError(known, ix).WithPrefix(inFacetsOf(uid))
	}
	return err
}
