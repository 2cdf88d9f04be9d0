package meili

import (
	"encoding/json"
	"fmt"
)

// MultiSearch is the body of POST /multi-search. Federation is nil when each query has an answer of its own.
type MultiSearch struct {
	Federation *Federation  `json:"federation,omitempty"`
	Queries    []MultiQuery `json:"queries"`
}

// MultiQuery is a search that names its index.
type MultiQuery struct {
	IndexUID          string             `json:"indexUid"`
	FederationOptions *FederationOptions `json:"federationOptions,omitempty"`
	SearchQuery
}

// FederationOptions tune one query of a federated search.
type FederationOptions struct {
	Weight        *float64 `json:"weight,omitempty"` // from 0 on, 1 by default
	Remote        *string  `json:"remote,omitempty"`
	QueryPosition *int     `json:"queryPosition,omitempty"`
}

// EffectiveWeight is the factor of the ranking scores of the query; o may be nil.
func (o *FederationOptions) EffectiveWeight() float64 {
	if o == nil {
		return 1
	}
	return orDefault(o.Weight, 1)
}

// Federation asks for one merged answer.
type Federation struct {
	Offset                 *int                 `json:"offset,omitempty"`
	Limit                  *int                 `json:"limit,omitempty"`
	Page                   *int                 `json:"page,omitempty"`
	HitsPerPage            *int                 `json:"hitsPerPage,omitempty"`
	FacetsByIndex          map[string]*[]string `json:"facetsByIndex,omitempty"` // attribute patterns, nil for none
	MergeFacets            *MergeFacets         `json:"mergeFacets,omitempty"`
	Distinct               *string              `json:"distinct,omitempty"`
	ShowPerformanceDetails *bool                `json:"showPerformanceDetails,omitempty"`
	Personalize            json.RawMessage      `json:"personalize,omitempty"`
}

// MergeFacets asks for one facet distribution over all indexes.
type MergeFacets struct {
	MaxValuesPerFacet *int `json:"maxValuesPerFacet,omitempty"`
}

// EffectiveOffset is the number of merged hits to skip in offset/limit mode.
func (f *Federation) EffectiveOffset() int { return orDefault(f.Offset, 0) }

// EffectiveLimit is the number of merged hits to return in offset/limit mode.
func (f *Federation) EffectiveLimit() int { return orDefault(f.Limit, DefaultSearchLimit) }

// Paged reports whether page or hitsPerPage is given.
func (f *Federation) Paged() bool { return f.Page != nil || f.HitsPerPage != nil }

// EffectivePage is the page to return, from 1; page 0 has no hits.
func (f *Federation) EffectivePage() int { return orDefault(f.Page, 1) }

// EffectiveHitsPerPage is the size of a page.
func (f *Federation) EffectiveHitsPerPage() int { return orDefault(f.HitsPerPage, DefaultSearchLimit) }

// Window is the half-open range [from, to) of merged hits asked for, in either mode.
func (f *Federation) Window() (from, to int) {
	return window(f.EffectiveOffset(), f.EffectiveLimit(), f.Page, f.HitsPerPage)
}

// DecodeMultiSearch is ParseMultiSearch followed by Check. A server that must refuse indexes a key does not cover calls
// the two itself and authorizes in between, as Meilisearch does.
func DecodeMultiSearch(body []byte) (*MultiSearch, *Error) {
	m, err := ParseMultiSearch(body)
	if err == nil {
		err = m.Check()
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// ParseMultiSearch decodes the body of POST /multi-search. Errors: the invalid_search_*, invalid_multi_search_* and index
// uid codes, bad_request.
func ParseMultiSearch(body []byte) (*MultiSearch, *Error) {
	m := &MultiSearch{}
	err := DecodeBody(body, []Field{
		{Name: "queries", Required: true, Decode: Into(&m.Queries, ReadList(readMultiQuery))},
		{Name: "federation", Decode: IntoOptional(&m.Federation, readFederation)},
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

func readMultiQuery(v *Value, at *Location) (q MultiQuery, err *Error) {
	fields := append([]Field{
		{Name: "indexUid", Code: CodeInvalidIndexUID, Required: true, Missing: CodeMissingIndexUID, Decode: Into(&q.IndexUID, readIndexUID)},
	}, q.fields(true)...)
	fields = append(fields, Field{Name: "federationOptions", Decode: IntoOptional(&q.FederationOptions, readFederationOptions)})
	err = DecodeObject(v, at, fields)
	return q, err
}

func readFederationOptions(v *Value, at *Location) (o FederationOptions, err *Error) {
	err = DecodeObject(v, at, []Field{
		{Name: "weight", Code: CodeInvalidMultiSearchWeight, Decode: IntoPresent(&o.Weight, readWeight)},
		{Name: "remote", Code: CodeInvalidMultiSearchRemote, Decode: IntoOptional(&o.Remote, ReadString)},
		{Name: "queryPosition", Code: CodeInvalidMultiSearchQueryPosition, Decode: IntoOptional(&o.QueryPosition, ReadInt)},
	})
	return o, err
}

func readWeight(v *Value, at *Location) (float64, *Error) {
	weight, err := ReadFloat(v, at)
	if err == nil && weight < 0 {
		return 0, at.Invalid("the value of `weight` is invalid, expected a positive float (>= 0.0).")
	}
	return weight, err
}

func readFederation(v *Value, at *Location) (f Federation, err *Error) {
	err = DecodeObject(v, at, []Field{
		{Name: "limit", Code: CodeInvalidSearchLimit, Decode: IntoPresent(&f.Limit, ReadInt)},
		{Name: "offset", Code: CodeInvalidSearchOffset, Decode: IntoPresent(&f.Offset, ReadInt)},
		{Name: "page", Code: CodeInvalidSearchPage, Decode: IntoOptional(&f.Page, ReadInt)},
		{Name: "hitsPerPage", Code: CodeInvalidSearchHitsPerPage, Decode: IntoOptional(&f.HitsPerPage, ReadInt)},
		{Name: "facetsByIndex", Code: CodeInvalidMultiSearchFacetsByIndex, Decode: Into(&f.FacetsByIndex, readFacetsByIndex)},
		{Name: "mergeFacets", Code: CodeInvalidMultiSearchMergeFacets, Decode: IntoOptional(&f.MergeFacets, readMergeFacets)},
		{Name: "distinct", Code: CodeInvalidSearchDistinct, Decode: IntoOptional(&f.Distinct, ReadString)},
		{Name: "showPerformanceDetails", Code: CodeInvalidSearchShowPerformanceDetails, Decode: IntoPresent(&f.ShowPerformanceDetails, ReadBool)},
		{Name: "personalize", Code: CodeInvalidSearchPersonalize, Decode: intoPersonalize(&f.Personalize)},
	})
	return f, err
}

// readFacetsByIndex checks the keys first of each member, as index uids.
func readFacetsByIndex(v *Value, at *Location) (map[string]*[]string, *Error) {
	if v.Kind != KindObject {
		return nil, at.WrongKind(v, KindObject)
	}
	facets := make(map[string]*[]string, len(v.Members))
	for i := range v.Members {
		uid := v.Members[i].Key
		if !isIndexUID(uid) {
			return nil, at.Invalid("the key \"" + uid + "\" could not be deserialized into the key type `meilisearch_types::index_uid::IndexUid`")
		}
		var patterns *[]string
		if err := IntoOptional(&patterns, ReadStrings)(&v.Members[i].Value, at.Key(uid)); err != nil {
			return nil, err
		}
		facets[uid] = patterns
	}
	return facets, nil
}

func readMergeFacets(v *Value, at *Location) (m MergeFacets, err *Error) {
	err = DecodeObject(v, at, []Field{
		{Name: "maxValuesPerFacet", Code: CodeInvalidMultiSearchMaxValuesPerFacet, Decode: IntoOptional(&m.MaxValuesPerFacet, ReadInt)},
	})
	return m, err
}

// Check refuses what a federated search does not allow inside its queries, and federationOptions outside of one. The
// message starts with "Inside `.queries[i]`: ". Errors: invalid_multi_search_*.
func (m *MultiSearch) Check() *Error {
	for i := range m.Queries {
		if err := m.CheckQuery(i); err != nil {
			return InQuery(i, err)
		}
	}
	return nil
}

// CheckQuery is Check for one query, without the start of the message. Outside of a federation Meilisearch runs the
// queries before i first.
func (m *MultiSearch) CheckQuery(i int) *Error {
	q := &m.Queries[i]
	if m.Federation == nil {
		if q.FederationOptions != nil {
			return newError(CodeInvalidMultiSearchFederationOptions, "Using `federationOptions` is not allowed in a non-federated search.\n - Hint: remove `federationOptions` from the query or add `federation` to the request.")
		}
		return nil
	}
	return q.checkFederated(m.Federation)
}

// InQuery says in which query of a multi-search an error happened.
func InQuery(i int, err *Error) *Error {
	return err.WithPrefix(fmt.Sprintf("Inside `.queries[%d]`: ", i))
}

func (q *MultiQuery) checkFederated(f *Federation) *Error {
	const hint = "\n - Hint: remove `%s` from the query or remove `federation` from the request"
	remote := q.FederationOptions != nil && q.FederationOptions.Remote != nil
	switch name := q.pagination(); {
	case name != "":
		return Errorf(CodeInvalidMultiSearchQueryPagination, "Using pagination options is not allowed in federated queries."+hint+
			"\n - Hint: pass `federation.limit` and `federation.offset` for pagination in federated search", name)
	case q.Facets != nil && len(*q.Facets) > 0:
		return Errorf(CodeInvalidMultiSearchQueryFacets, "Using facet options is not allowed in federated queries."+hint+
			"\n - Hint: pass `federation.facetsByIndex.%s: %s` for facets in federated search", "facets", q.IndexUID, rustList(*q.Facets))
	case q.Personalize != nil:
		return Errorf(CodeInvalidMultiSearchQueryPersonalization, "Using `.personalize` is not allowed in federated queries."+hint+
			"\n - Hint: pass `federation.personalize` for personalization in federated search", "personalize")
	case remote && q.UseNetwork != nil && *q.UseNetwork:
		return newError(CodeInvalidMultiSearchFederationOptions, "Using `.useNetwork` is not allowed as the same time as `.federationOptions.remote`.\n  - Hint: to perform an explicit query against a remote, remove `.useNetwork`.\n  - Hint: to automatically perform queries against the entire network, remove `.federationOptions.remote`.")
	case q.ShowPerformanceDetails != nil:
		return Errorf(CodeInvalidMultiSearchQueryShowPerformanceDetails, "Using `.showPerformanceDetails` is not allowed in federated queries."+hint, "showPerformanceDetails")
	case q.Distinct != nil && f.Distinct != nil:
		return Errorf(CodeInvalidMultiSearchDistinct, "Using `distinct` options is not allowed in federated queries when it also appears in `.federation.distinct`."+hint+
			"\n  - Note: `distinct` at the query level is discouraged in federated search.", "distinct")
	}
	return nil
}

// pagination is the first paging member the query has, "" for none.
func (q *MultiQuery) pagination() string {
	switch {
	case q.Offset != nil:
		return "offset"
	case q.Limit != nil:
		return "limit"
	case q.Page != nil:
		return "page"
	case q.HitsPerPage != nil:
		return "hitsPerPage"
	}
	return ""
}
