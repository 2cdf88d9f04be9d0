package engine

import (
	"encoding/json"

	"github.com/RoaringBitmap/roaring/v2"

	"miroir/meili"
)

// Union is the documents that any of several searches on one index match.
type Union struct {
	Total             int
	FacetDistribution json.RawMessage // nil unless facets were asked for
	FacetStats        json.RawMessage
}

// Union counts the documents that match any of the results, less those dropped (numbers of hits another one replaced), and
// their facet values. The results must come from this index, without a write in between. Error: invalid_search_facets.
func (ix *Index) Union(results []*Result, dropped []uint32, facets *[]string) (*Union, *meili.Error) {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	candidates := roaring.New()
	for _, r := range results {
		candidates.Or(r.candidates)
	}
	for _, doc := range dropped {
		candidates.Remove(doc)
	}
	union := &Union{Total: int(candidates.GetCardinality())}
	if facets == nil {
		return union, nil
	}
	counted, err := ix.state.facetDistribution(*facets, candidates)
	if err != nil {
		return nil, err
	}
	union.FacetDistribution, union.FacetStats = counted.distributionJSON(), counted.statsJSON()
	return union, nil
}
