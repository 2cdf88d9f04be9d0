package meili

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// SearchQuery is a search as it was sent: nil members were absent (or null where Meilisearch allows it), so marshalling
// it again sends what was given. Opaque members keep their JSON text.
type SearchQuery struct {
	Q                       *string         `json:"q,omitempty"`
	Vector                  json.RawMessage `json:"vector,omitempty"` // array of numbers
	Media                   json.RawMessage `json:"media,omitempty"`
	Hybrid                  *Hybrid         `json:"hybrid,omitempty"`
	Offset                  *int            `json:"offset,omitempty"`
	Limit                   *int            `json:"limit,omitempty"`
	Page                    *int            `json:"page,omitempty"`
	HitsPerPage             *int            `json:"hitsPerPage,omitempty"`
	AttributesToRetrieve    *[]string       `json:"attributesToRetrieve,omitempty"`
	RetrieveVectors         *bool           `json:"retrieveVectors,omitempty"`
	AttributesToCrop        *[]string       `json:"attributesToCrop,omitempty"`
	CropLength              *int            `json:"cropLength,omitempty"`
	CropMarker              *string         `json:"cropMarker,omitempty"`
	AttributesToHighlight   *[]string       `json:"attributesToHighlight,omitempty"`
	HighlightPreTag         *string         `json:"highlightPreTag,omitempty"`
	HighlightPostTag        *string         `json:"highlightPostTag,omitempty"`
	ShowMatchesPosition     *bool           `json:"showMatchesPosition,omitempty"`
	ShowRankingScore        *bool           `json:"showRankingScore,omitempty"`
	ShowRankingScoreDetails *bool           `json:"showRankingScoreDetails,omitempty"`
	ShowPerformanceDetails  *bool           `json:"showPerformanceDetails,omitempty"`
	Filter                  json.RawMessage `json:"filter,omitempty"` // a string, an array, or anything ParseFilter will refuse
	Sort                    *[]string       `json:"sort,omitempty"`
	Distinct                *string         `json:"distinct,omitempty"`
	Facets                  *[]string       `json:"facets,omitempty"` // attribute patterns
	MatchingStrategy        *string         `json:"matchingStrategy,omitempty"`
	AttributesToSearchOn    *[]string       `json:"attributesToSearchOn,omitempty"`
	RankingScoreThreshold   *float64        `json:"rankingScoreThreshold,omitempty"` // 0 to 1
	Locales                 *[]string       `json:"locales,omitempty"`
	Personalize             json.RawMessage `json:"personalize,omitempty"` // {"userContext": string}
	UseNetwork              *bool           `json:"useNetwork,omitempty"`
}

// Hybrid says which embedder to use and how much semantic hits weigh, 0 to 1.
type Hybrid struct {
	SemanticRatio *float64 `json:"semanticRatio,omitempty"`
	Embedder      string   `json:"embedder"`
}

// Defaults of search parameters.
const (
	DefaultSearchLimit      = 20
	DefaultCropLength       = 10
	DefaultCropMarker       = "…"
	DefaultHighlightPreTag  = "<em>"
	DefaultHighlightPostTag = "</em>"
	DefaultSemanticRatio    = 0.5
)

// Matching strategies.
const (
	MatchLast      = "last"
	MatchAll       = "all"
	MatchFrequency = "frequency"
)

func orDefault[T any](p *T, value T) T {
	if p == nil {
		return value
	}
	return *p
}

// EffectiveOffset is the number of hits to skip in offset/limit mode.
func (q *SearchQuery) EffectiveOffset() int { return orDefault(q.Offset, 0) }

// EffectiveLimit is the number of hits to return in offset/limit mode.
func (q *SearchQuery) EffectiveLimit() int { return orDefault(q.Limit, DefaultSearchLimit) }

// Paged reports whether page or hitsPerPage is given: totals are then exhaustive and offset and limit ignored.
func (q *SearchQuery) Paged() bool { return q.Page != nil || q.HitsPerPage != nil }

// EffectivePage is the page to return, from 1; page 0 has no hits.
func (q *SearchQuery) EffectivePage() int { return orDefault(q.Page, 1) }

// EffectiveHitsPerPage is the size of a page.
func (q *SearchQuery) EffectiveHitsPerPage() int {
	return orDefault(q.HitsPerPage, DefaultSearchLimit)
}

// Window is the half-open range [from, to) of ranked hits the query asks for, in either mode, before maxTotalHits.
func (q *SearchQuery) Window() (from, to int) {
	return window(q.EffectiveOffset(), q.EffectiveLimit(), q.Page, q.HitsPerPage)
}

// FarEnd is a position behind the end of every list, and small enough for sums of such.
const FarEnd = 1 << 40

func window(offset, limit int, page, hitsPerPage *int) (from, to int) {
	if page == nil && hitsPerPage == nil {
		from = min(offset, FarEnd)
		return from, from + min(limit, FarEnd)
	}
	number, size := orDefault(page, 1), orDefault(hitsPerPage, DefaultSearchLimit)
	if number == 0 || size == 0 {
		return 0, 0
	}
	from = min(mulSaturated(number-1, size), FarEnd)
	return from, from + min(size, FarEnd)
}

func mulSaturated(a, b int) int {
	if a != 0 && b > saturate(1<<63)/a {
		return saturate(1 << 63)
	}
	return a * b
}

// EffectiveMatchingStrategy is last, all or frequency.
func (q *SearchQuery) EffectiveMatchingStrategy() string {
	return orDefault(q.MatchingStrategy, MatchLast)
}

// EffectiveCropLength is the number of words of a crop.
func (q *SearchQuery) EffectiveCropLength() int { return orDefault(q.CropLength, DefaultCropLength) }

// EffectiveCropMarker is the text put where a crop cut.
func (q *SearchQuery) EffectiveCropMarker() string { return orDefault(q.CropMarker, DefaultCropMarker) }

// EffectiveHighlightTags are the texts around a highlighted word.
func (q *SearchQuery) EffectiveHighlightTags() (pre, post string) {
	return orDefault(q.HighlightPreTag, DefaultHighlightPreTag), orDefault(q.HighlightPostTag, DefaultHighlightPostTag)
}

// EffectiveSemanticRatio is the weight of semantic hits, 0 to 1.
func (h *Hybrid) EffectiveSemanticRatio() float64 {
	return orDefault(h.SemanticRatio, DefaultSemanticRatio)
}

// IsPlaceholder reports whether the query has no words: absent or blank.
func (q *SearchQuery) IsPlaceholder() bool { return q.Q == nil || strings.TrimSpace(*q.Q) == "" }

// SearchKind is the way hits are found.
type SearchKind uint8

const (
	KeywordSearch SearchKind = iota
	SemanticSearch
	HybridSearch
)

// Kind decides how hits are found, as Meilisearch does before it looks at the index.
// Errors: missing_search_hybrid, invalid_search_media_and_vector, feature_not_enabled (media).
func (q *SearchQuery) Kind(f Features) (SearchKind, *Error) {
	return searchKind(q.Q, q.Vector, q.Media, q.Hybrid, f)
}

func searchKind(text *string, vector, media json.RawMessage, hybrid *Hybrid, f Features) (SearchKind, *Error) {
	kind, err := kindOf(text, vector, media, hybrid)
	if err == nil && media != nil && !f.Multimodal {
		err = FeatureNotEnabled("passing `media` in a search query", "multimodal")
	}
	return kind, err
}

func kindOf(text *string, vector, media json.RawMessage, hybrid *Hybrid) (SearchKind, *Error) {
	if vector != nil && media != nil {
		return 0, newError(CodeInvalidSearchMediaAndVector, "Invalid request: both `media` and `vector` parameters are present.")
	}
	if hybrid == nil {
		if vector != nil || media != nil {
			return 0, newError(CodeMissingSearchHybrid, "Invalid request: missing `hybrid` parameter when `vector` or `media` are present.")
		}
		return KeywordSearch, nil
	}
	blank := text == nil || strings.TrimSpace(*text) == ""
	switch ratio := hybrid.EffectiveSemanticRatio(); {
	case ratio == 0 || blank && vector == nil && media == nil:
		return KeywordSearch, nil
	case ratio == 1 || blank:
		return SemanticSearch, nil
	}
	return HybridSearch, nil
}

// fields are the members of a search body. In /multi-search paging and showPerformanceDetails may be null.
func (q *SearchQuery) fields(multi bool) []Field {
	readInt, readFlag := IntoPresent[int], IntoPresent[bool]
	if multi {
		readInt, readFlag = IntoOptional[int], IntoOptional[bool]
	}
	return []Field{
		{Name: "q", Code: CodeInvalidSearchQ, Decode: IntoOptional(&q.Q, ReadString)},
		{Name: "offset", Code: CodeInvalidSearchOffset, Decode: readInt(&q.Offset, ReadInt)},
		{Name: "limit", Code: CodeInvalidSearchLimit, Decode: readInt(&q.Limit, ReadInt)},
		{Name: "page", Code: CodeInvalidSearchPage, Decode: IntoOptional(&q.Page, ReadInt)},
		{Name: "hitsPerPage", Code: CodeInvalidSearchHitsPerPage, Decode: IntoOptional(&q.HitsPerPage, ReadInt)},
		{Name: "attributesToRetrieve", Code: CodeInvalidSearchAttributesToRetrieve, Decode: IntoOptional(&q.AttributesToRetrieve, ReadStrings)},
		{Name: "attributesToCrop", Code: CodeInvalidSearchAttributesToCrop, Decode: IntoOptional(&q.AttributesToCrop, ReadStrings)},
		{Name: "cropLength", Code: CodeInvalidSearchCropLength, Decode: IntoPresent(&q.CropLength, ReadInt)},
		{Name: "cropMarker", Code: CodeInvalidSearchCropMarker, Decode: IntoPresent(&q.CropMarker, ReadString)},
		{Name: "attributesToHighlight", Code: CodeInvalidSearchAttributesToHighlight, Decode: IntoOptional(&q.AttributesToHighlight, ReadStrings)},
		{Name: "highlightPreTag", Code: CodeInvalidSearchHighlightPreTag, Decode: IntoPresent(&q.HighlightPreTag, ReadString)},
		{Name: "highlightPostTag", Code: CodeInvalidSearchHighlightPostTag, Decode: IntoPresent(&q.HighlightPostTag, ReadString)},
		{Name: "showMatchesPosition", Code: CodeInvalidSearchShowMatchesPosition, Decode: IntoPresent(&q.ShowMatchesPosition, ReadBool)},
		{Name: "filter", Code: CodeInvalidSearchFilter, Decode: IntoRaw(&q.Filter)},
		{Name: "sort", Code: CodeInvalidSearchSort, Decode: IntoOptional(&q.Sort, ReadStrings)},
		{Name: "distinct", Code: CodeInvalidSearchDistinct, Decode: IntoOptional(&q.Distinct, ReadString)},
		{Name: "facets", Code: CodeInvalidSearchFacets, Decode: IntoOptional(&q.Facets, ReadStrings)},
		{Name: "matchingStrategy", Code: CodeInvalidSearchMatchingStrategy, Decode: IntoPresent(&q.MatchingStrategy, readMatchingStrategy)},
		{Name: "attributesToSearchOn", Code: CodeInvalidSearchAttributesToSearchOn, Decode: IntoOptional(&q.AttributesToSearchOn, ReadStrings)},
		{Name: "rankingScoreThreshold", Code: CodeInvalidSearchRankingScoreThreshold, Decode: IntoOptional(&q.RankingScoreThreshold, readThreshold)},
		{Name: "locales", Code: CodeInvalidSearchLocales, Decode: IntoOptional(&q.Locales, readLocales)},
		{Name: "hybrid", Code: CodeInvalidSearchHybridQuery, Decode: IntoOptional(&q.Hybrid, readHybrid)},
		{Name: "vector", Code: CodeInvalidSearchVector, Decode: intoVector(&q.Vector)},
		{Name: "retrieveVectors", Code: CodeInvalidSearchRetrieveVectors, Decode: IntoPresent(&q.RetrieveVectors, ReadBool)},
		{Name: "media", Code: CodeInvalidSearchMedia, Decode: IntoRaw(&q.Media)},
		{Name: "personalize", Code: CodeInvalidSearchPersonalize, Decode: intoPersonalize(&q.Personalize)},
		{Name: "useNetwork", Code: CodeInvalidSearchUseNetwork, Decode: IntoOptional(&q.UseNetwork, ReadBool)},
		{Name: "showRankingScore", Code: CodeInvalidSearchShowRankingScore, Decode: IntoPresent(&q.ShowRankingScore, ReadBool)},
		{Name: "showRankingScoreDetails", Code: CodeInvalidSearchShowRankingScoreDetails, Decode: IntoPresent(&q.ShowRankingScoreDetails, ReadBool)},
		{Name: "showPerformanceDetails", Code: CodeInvalidSearchShowPerformanceDetails, Decode: readFlag(&q.ShowPerformanceDetails, ReadBool)},
	}
}

// DecodeSearch decodes the body of POST /indexes/{uid}/search. Errors: the invalid_search_* codes and bad_request.
func DecodeSearch(body []byte) (*SearchQuery, *Error) {
	q := &SearchQuery{}
	if err := DecodeBody(body, q.fields(false)); err != nil {
		return nil, err
	}
	return q, nil
}

var readMatchingStrategy = ReadEnum(MatchLast, MatchAll, MatchFrequency)

// readUnit reads a number from 0 to 1 of the member called name.
func readUnit(name string) Read[float64] {
	return func(v *Value, at *Location) (float64, *Error) {
		f, err := ReadFloat(v, at)
		if err == nil && (f < 0 || f > 1) {
			return 0, at.Invalid("the value of `" + name + "` is invalid, expected a float between `0.0` and `1.0`.")
		}
		return f, err
	}
}

var readThreshold = readUnit("rankingScoreThreshold")

func readHybrid(v *Value, at *Location) (h Hybrid, err *Error) {
	err = DecodeObject(v, at, []Field{
		{Name: "semanticRatio", Code: CodeInvalidSearchSemanticRatio, Decode: IntoPresent(&h.SemanticRatio, readUnit("semanticRatio"))},
		{Name: "embedder", Code: CodeInvalidSearchEmbedder, Required: true, Decode: Into(&h.Embedder, ReadString)},
	})
	return h, err
}

// intoVector keeps an array of numbers as JSON text, nil for null.
func intoVector(dst *json.RawMessage) Decode {
	return func(v *Value, at *Location) *Error {
		if v.Kind != KindNull {
			if _, err := ReadList(ReadFloat)(v, at); err != nil {
				return err
			}
		}
		return IntoRaw(dst)(v, at)
	}
}

func intoPersonalize(dst *json.RawMessage) Decode {
	return func(v *Value, at *Location) *Error {
		if v.Kind != KindNull {
			var userContext string
			err := DecodeObject(v, at, []Field{
				{Name: "userContext", Code: CodeInvalidSearchPersonalizeUserContext, Required: true, Decode: Into(&userContext, ReadString)},
			})
			if err != nil {
				return err
			}
		}
		return IntoRaw(dst)(v, at)
	}
}

func readLocales(v *Value, at *Location) ([]string, *Error) {
	return ReadList(ReadEnum(locales...))(v, at)
}

// parseFloat parses a number the way Rust does: no hexadecimal, no underscores. NaN is refused.
func parseFloat(text string) (float64, bool) {
	if strings.ContainsAny(text, "xX_pP") {
		return 0, false
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !isRangeError(err) || f != f {
		return 0, false
	}
	return f, true
}

func isRangeError(err error) bool {
	numErr, ok := err.(*strconv.NumError)
	return ok && numErr.Err == strconv.ErrRange
}

// SplitSort turns the sort parameter of a query string into the list a body has: a _geoPoint(…) is not split at its commas.
func SplitSort(text string) []string {
	var sorts []string
	open := false
	for part := range strings.SplitSeq(strings.Trim(text, `"`), ",") {
		part = strings.TrimSpace(part)
		switch {
		case strings.HasPrefix(part, "_geoPoint("):
			sorts, open = append(sorts, part), true
		case open && len(sorts) > 0:
			sorts[len(sorts)-1] += "," + part
			open = !strings.HasSuffix(part, "):desc") && !strings.HasSuffix(part, "):asc")
		default:
			sorts, open = append(sorts, part), false
		}
	}
	return slices.Clip(sorts)
}
