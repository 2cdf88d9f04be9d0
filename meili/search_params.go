package meili

import (
	"encoding/json"
	"math"
)

// DecodeSearchParams decodes the query string of GET /indexes/{uid}/search. A filter that is JSON is taken as such, any
// other text as a filter expression. Errors: the invalid_search_* codes, missing_search_hybrid, bad_request.
func DecodeSearchParams(rawQuery string) (*SearchQuery, *Error) {
	q := &SearchQuery{}
	p := searchParams{query: q}
	if err := DecodeParams(rawQuery, p.fields()); err != nil {
		return nil, err
	}
	if err := p.finish(); err != nil {
		return nil, err
	}
	return q, nil
}

// searchParams holds what a query string spells differently from a body.
type searchParams struct {
	query       *SearchQuery
	sort        *string
	filter      *string
	embedder    *string
	ratio       *float64
	userContext *string
}

func (p *searchParams) fields() []Field {
	q := p.query
	return []Field{
		{Name: "q", Code: CodeInvalidSearchQ, Decode: IntoOptional(&q.Q, ReadString)},
		{Name: "offset", Code: CodeInvalidSearchOffset, Decode: IntoPresent(&q.Offset, ReadParamInt)},
		{Name: "limit", Code: CodeInvalidSearchLimit, Decode: IntoPresent(&q.Limit, ReadParamInt)},
		{Name: "page", Code: CodeInvalidSearchPage, Decode: IntoPresent(&q.Page, ReadParamInt)},
		{Name: "hitsPerPage", Code: CodeInvalidSearchHitsPerPage, Decode: IntoPresent(&q.HitsPerPage, ReadParamInt)},
		{Name: "attributesToRetrieve", Code: CodeInvalidSearchAttributesToRetrieve, Decode: IntoPresent(&q.AttributesToRetrieve, ReadParamList)},
		{Name: "attributesToCrop", Code: CodeInvalidSearchAttributesToCrop, Decode: IntoPresent(&q.AttributesToCrop, ReadParamList)},
		{Name: "cropLength", Code: CodeInvalidSearchCropLength, Decode: IntoPresent(&q.CropLength, ReadParamInt)},
		{Name: "cropMarker", Code: CodeInvalidSearchCropMarker, Decode: IntoPresent(&q.CropMarker, ReadString)},
		{Name: "attributesToHighlight", Code: CodeInvalidSearchAttributesToHighlight, Decode: IntoPresent(&q.AttributesToHighlight, ReadParamList)},
		{Name: "highlightPreTag", Code: CodeInvalidSearchHighlightPreTag, Decode: IntoPresent(&q.HighlightPreTag, ReadString)},
		{Name: "highlightPostTag", Code: CodeInvalidSearchHighlightPostTag, Decode: IntoPresent(&q.HighlightPostTag, ReadString)},
		{Name: "showMatchesPosition", Code: CodeInvalidSearchShowMatchesPosition, Decode: IntoPresent(&q.ShowMatchesPosition, ReadParamBool)},
		{Name: "filter", Code: CodeInvalidSearchFilter, Decode: IntoPresent(&p.filter, ReadString)},
		{Name: "sort", Code: CodeInvalidSearchSort, Decode: IntoPresent(&p.sort, ReadString)},
		{Name: "distinct", Code: CodeInvalidSearchDistinct, Decode: IntoPresent(&q.Distinct, ReadString)},
		{Name: "facets", Code: CodeInvalidSearchFacets, Decode: IntoPresent(&q.Facets, ReadParamList)},
		{Name: "matchingStrategy", Code: CodeInvalidSearchMatchingStrategy, Decode: IntoPresent(&q.MatchingStrategy, readMatchingStrategy)},
		{Name: "attributesToSearchOn", Code: CodeInvalidSearchAttributesToSearchOn, Decode: IntoPresent(&q.AttributesToSearchOn, ReadParamList)},
		{Name: "rankingScoreThreshold", Code: CodeInvalidSearchRankingScoreThreshold, Decode: IntoPresent(&q.RankingScoreThreshold, readParamUnit("rankingScoreThreshold"))},
		{Name: "locales", Code: CodeInvalidSearchLocales, Decode: IntoPresent(&q.Locales, readParamLocales)},
		{Name: "hybridEmbedder", Code: CodeInvalidSearchEmbedder, Decode: IntoPresent(&p.embedder, ReadString)},
		{Name: "hybridSemanticRatio", Code: CodeInvalidSearchSemanticRatio, Decode: IntoPresent(&p.ratio, readParamUnit("semanticRatio"))},
		{Name: "vector", Code: CodeInvalidSearchVector, Decode: Into(&q.Vector, readParamVector)},
		{Name: "retrieveVectors", Code: CodeInvalidSearchRetrieveVectors, Decode: IntoPresent(&q.RetrieveVectors, ReadParamBool)},
		{Name: "personalizeUserContext", Code: CodeInvalidSearchPersonalizeUserContext, Decode: IntoPresent(&p.userContext, ReadString)},
		{Name: "useNetwork", Code: CodeInvalidSearchUseNetwork, Decode: IntoPresent(&q.UseNetwork, ReadParamBool)},
		{Name: "showRankingScore", Code: CodeInvalidSearchShowRankingScore, Decode: IntoPresent(&q.ShowRankingScore, ReadParamBool)},
		{Name: "showRankingScoreDetails", Code: CodeInvalidSearchShowRankingScoreDetails, Decode: IntoPresent(&q.ShowRankingScoreDetails, ReadParamBool)},
		{Name: "showPerformanceDetails", Code: CodeInvalidSearchShowPerformanceDetails, Decode: IntoPresent(&q.ShowPerformanceDetails, ReadParamBool)},
	}
}

// finish moves what was spelled differently into the query and checks what belongs together.
func (p *searchParams) finish() *Error {
	q := p.query
	q.Filter = paramFilter(p.filter)
	if p.sort != nil {
		sorts := SplitSort(*p.sort)
		q.Sort = &sorts
	}
	if p.embedder == nil && p.ratio != nil {
		return newError(CodeInvalidSearchHybridQuery, "`hybridEmbedder` is mandatory when `hybridSemanticRatio` is present")
	}
	if p.embedder == nil && q.Vector != nil {
		return newError(CodeMissingSearchHybrid, "`hybridEmbedder` is mandatory when `vector` is present")
	}
	if p.embedder != nil {
		q.Hybrid = &Hybrid{SemanticRatio: p.ratio, Embedder: *p.embedder}
	}
	if p.userContext != nil {
		q.Personalize = append(AppendString([]byte(`{"userContext":`), *p.userContext), '}')
	}
	return nil
}

// paramFilter is the filter of a query string as a body would hold it, nil for none.
func paramFilter(text *string) json.RawMessage {
	if text == nil {
		return nil
	}
	if v, err := ParseJSON([]byte(*text)); err == nil {
		return v.Raw()
	}
	return AppendString(nil, *text)
}

// readParamUnit reads a number from 0 to 1; name is how the message calls it.
func readParamUnit(name string) Read[float64] {
	return func(v *Value, at *Location) (float64, *Error) {
		text, err := ReadString(v, at)
		if err != nil {
			return 0, err
		}
		f, ok := parseFloat(text)
		if !ok || f < 0 || f > 1 {
			return 0, at.Invalid("the value of `" + name + "` is invalid, expected a float between `0.0` and `1.0`.")
		}
		return f, nil
	}
}

// readParamVector refuses infinities too, which Meilisearch takes: JSON cannot hold them.
func readParamVector(v *Value, at *Location) (json.RawMessage, *Error) {
	list, err := ReadParamList(v, at)
	if err != nil {
		return nil, err
	}
	numbers := make([]Value, len(list))
	for i, text := range list {
		f, ok := parseFloat(text)
		if !ok || math.IsInf(f, 0) {
			return nil, at.Invalid("invalid float literal")
		}
		numbers[i] = Value{Kind: KindFloat, Float: f}
	}
	vector := Value{Kind: KindArray, Items: numbers}
	return vector.AppendJSON(nil), nil
}
