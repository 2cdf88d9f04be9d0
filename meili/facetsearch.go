package meili

import "encoding/json"

// FacetSearch is the body of POST /indexes/{uid}/facet-search.
type FacetSearch struct {
	FacetQuery            *string         `json:"facetQuery,omitempty"`
	FacetName             string          `json:"facetName"`
	Q                     *string         `json:"q,omitempty"`
	Vector                json.RawMessage `json:"vector,omitempty"`
	Media                 json.RawMessage `json:"media,omitempty"`
	Hybrid                *Hybrid         `json:"hybrid,omitempty"`
	Filter                json.RawMessage `json:"filter,omitempty"`
	MatchingStrategy      *string         `json:"matchingStrategy,omitempty"`
	AttributesToSearchOn  *[]string       `json:"attributesToSearchOn,omitempty"`
	RankingScoreThreshold *float64        `json:"rankingScoreThreshold,omitempty"`
	Locales               *[]string       `json:"locales,omitempty"`
	ExhaustiveFacetCount  *bool           `json:"exhaustiveFacetCount,omitempty"`
	UseNetwork            *bool           `json:"useNetwork,omitempty"`
}

// DecodeFacetSearch decodes the body of POST /indexes/{uid}/facet-search. Other members, as of a whole search, are ignored.
// Errors: invalid_facet_search_*, invalid_search_*, missing_facet_search_facet_name, bad_request.
func DecodeFacetSearch(body []byte) (*FacetSearch, *Error) {
	v, err := ParseBody(body)
	if err != nil {
		return nil, err
	}
	q := &FacetSearch{}
	err = DecodeOpenObject(&v, BodyRoot(CodeBadRequest), []Field{
		{Name: "facetQuery", Code: CodeInvalidFacetSearchQuery, Decode: IntoOptional(&q.FacetQuery, ReadString)},
		{Name: "facetName", Code: CodeInvalidFacetSearchFacetName, Required: true, Missing: CodeMissingFacetSearchFacetName, Decode: Into(&q.FacetName, ReadString)},
		{Name: "q", Code: CodeInvalidSearchQ, Decode: IntoOptional(&q.Q, ReadString)},
		{Name: "vector", Code: CodeInvalidSearchVector, Decode: intoVector(&q.Vector)},
		{Name: "media", Code: CodeInvalidSearchMedia, Decode: IntoRaw(&q.Media)},
		{Name: "hybrid", Code: CodeInvalidSearchHybridQuery, Decode: IntoOptional(&q.Hybrid, readHybrid)},
		{Name: "filter", Code: CodeInvalidSearchFilter, Decode: IntoRaw(&q.Filter)},
		{Name: "matchingStrategy", Code: CodeInvalidSearchMatchingStrategy, Decode: IntoPresent(&q.MatchingStrategy, readMatchingStrategy)},
		{Name: "attributesToSearchOn", Code: CodeInvalidSearchAttributesToSearchOn, Decode: IntoOptional(&q.AttributesToSearchOn, ReadStrings)},
		{Name: "rankingScoreThreshold", Code: CodeInvalidSearchRankingScoreThreshold, Decode: IntoOptional(&q.RankingScoreThreshold, readThreshold)},
		{Name: "locales", Code: CodeInvalidSearchLocales, Decode: IntoOptional(&q.Locales, readLocales)},
		{Name: "exhaustiveFacetCount", Code: CodeInvalidFacetSearchExhaustiveFacetCount, Decode: IntoOptional(&q.ExhaustiveFacetCount, ReadBool)},
		{Name: "useNetwork", Code: CodeInvalidSearchUseNetwork, Decode: IntoOptional(&q.UseNetwork, ReadBool)},
	})
	if err != nil {
		return nil, err
	}
	return q, nil
}

// EffectiveMatchingStrategy is last, all or frequency.
func (q *FacetSearch) EffectiveMatchingStrategy() string {
	return orDefault(q.MatchingStrategy, MatchLast)
}

// Kind decides how the documents whose facets are searched are found. Errors: see SearchQuery.Kind.
func (q *FacetSearch) Kind(f Features) (SearchKind, *Error) {
	return searchKind(q.Q, q.Vector, q.Media, q.Hybrid, f)
}

// Search is the search whose candidates are the documents the facet values are counted in.
func (q *FacetSearch) Search() *SearchQuery {
	return &SearchQuery{
		Q: q.Q, Vector: q.Vector, Media: q.Media, Hybrid: q.Hybrid, Filter: q.Filter, MatchingStrategy: q.MatchingStrategy,
		AttributesToSearchOn: q.AttributesToSearchOn, RankingScoreThreshold: q.RankingScoreThreshold, Locales: q.Locales,
	}
}
