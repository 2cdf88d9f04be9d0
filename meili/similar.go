package meili

import "encoding/json"

// Similar is a search for documents similar to one document.
type Similar struct {
	ID                      json.RawMessage `json:"id"` // as sent: a string, a number, or what DocumentID refuses
	Offset                  *int            `json:"offset,omitempty"`
	Limit                   *int            `json:"limit,omitempty"`
	Filter                  json.RawMessage `json:"filter,omitempty"`
	Embedder                string          `json:"embedder"`
	AttributesToRetrieve    *[]string       `json:"attributesToRetrieve,omitempty"`
	RetrieveVectors         *bool           `json:"retrieveVectors,omitempty"`
	ShowRankingScore        *bool           `json:"showRankingScore,omitempty"`
	ShowRankingScoreDetails *bool           `json:"showRankingScoreDetails,omitempty"`
	ShowPerformanceDetails  *bool           `json:"showPerformanceDetails,omitempty"`
	RankingScoreThreshold   *float64        `json:"rankingScoreThreshold,omitempty"`
}

// EffectiveOffset is the number of documents to skip.
func (q *Similar) EffectiveOffset() int { return orDefault(q.Offset, 0) }

// EffectiveLimit is the number of documents to return.
func (q *Similar) EffectiveLimit() int { return orDefault(q.Limit, DefaultSearchLimit) }

// DocumentID is the canonical id of the reference document. Error: invalid_similar_id, met after the embedder was found.
func (q *Similar) DocumentID() (string, *Error) {
	v, err := ParseJSON(q.ID)
	if err != nil {
		return "", newError(CodeInvalidSimilarID, err.Error())
	}
	id, refused := documentIDOf(&v)
	if refused != "" {
		return "", newError(CodeInvalidSimilarID, "Invalid value at `.id`: "+refused)
	}
	return id, nil
}

// DecodeSimilar decodes the body of POST /indexes/{uid}/similar. Errors: invalid_similar_*, bad_request.
func DecodeSimilar(body []byte) (*Similar, *Error) {
	q := &Similar{}
	err := DecodeBody(body, []Field{
		{Name: "id", Code: CodeInvalidSimilarID, Required: true, Decode: Into(&q.ID, ReadRaw)},
		{Name: "offset", Code: CodeInvalidSimilarOffset, Decode: IntoPresent(&q.Offset, ReadInt)},
		{Name: "limit", Code: CodeInvalidSimilarLimit, Decode: IntoPresent(&q.Limit, ReadInt)},
		{Name: "filter", Code: CodeInvalidSimilarFilter, Decode: IntoRaw(&q.Filter)},
		{Name: "embedder", Code: CodeInvalidSimilarEmbedder, Required: true, Decode: Into(&q.Embedder, ReadString)},
		{Name: "attributesToRetrieve", Code: CodeInvalidSimilarAttributesToRetrieve, Decode: IntoOptional(&q.AttributesToRetrieve, ReadStrings)},
		{Name: "retrieveVectors", Code: CodeInvalidSimilarRetrieveVectors, Decode: IntoPresent(&q.RetrieveVectors, ReadBool)},
		{Name: "showRankingScore", Code: CodeInvalidSimilarShowRankingScore, Decode: IntoPresent(&q.ShowRankingScore, ReadBool)},
		{Name: "showRankingScoreDetails", Code: CodeInvalidSimilarShowRankingScoreDetails, Decode: IntoPresent(&q.ShowRankingScoreDetails, ReadBool)},
		{Name: "showPerformanceDetails", Code: CodeInvalidSimilarShowPerformanceDetails, Decode: IntoPresent(&q.ShowPerformanceDetails, ReadBool)},
		{Name: "rankingScoreThreshold", Code: CodeInvalidSimilarRankingScoreThreshold, Decode: IntoOptional(&q.RankingScoreThreshold, readThreshold)},
	})
	if err != nil {
		return nil, err
	}
	return q, nil
}

// DecodeSimilarParams decodes the query string of GET /indexes/{uid}/similar. Errors: invalid_similar_*, bad_request.
func DecodeSimilarParams(rawQuery string) (*Similar, *Error) {
	q := &Similar{}
	var id string
	var filter *string
	err := DecodeParams(rawQuery, []Field{
		{Name: "id", Code: CodeInvalidSimilarID, Required: true, Decode: Into(&id, ReadString)},
		{Name: "embedder", Code: CodeInvalidSimilarEmbedder, Required: true, Decode: Into(&q.Embedder, ReadString)},
		{Name: "offset", Code: CodeInvalidSimilarOffset, Decode: IntoPresent(&q.Offset, ReadParamInt)},
		{Name: "limit", Code: CodeInvalidSimilarLimit, Decode: IntoPresent(&q.Limit, ReadParamInt)},
		{Name: "attributesToRetrieve", Code: CodeInvalidSimilarAttributesToRetrieve, Decode: IntoPresent(&q.AttributesToRetrieve, ReadParamList)},
		{Name: "retrieveVectors", Code: CodeInvalidSimilarRetrieveVectors, Decode: IntoPresent(&q.RetrieveVectors, ReadParamBool)},
		{Name: "filter", Code: CodeInvalidSimilarFilter, Decode: IntoPresent(&filter, ReadString)},
		{Name: "showRankingScore", Code: CodeInvalidSimilarShowRankingScore, Decode: IntoPresent(&q.ShowRankingScore, ReadParamBool)},
		{Name: "showRankingScoreDetails", Code: CodeInvalidSimilarShowRankingScoreDetails, Decode: IntoPresent(&q.ShowRankingScoreDetails, ReadParamBool)},
		{Name: "showPerformanceDetails", Code: CodeInvalidSimilarShowPerformanceDetails, Decode: IntoPresent(&q.ShowPerformanceDetails, ReadParamBool)},
		{Name: "rankingScoreThreshold", Code: CodeInvalidSimilarRankingScoreThreshold, Decode: IntoPresent(&q.RankingScoreThreshold, readParamUnit("rankingScoreThreshold"))},
	})
	if err != nil {
		return nil, err
	}
	q.ID = AppendString(nil, id)
	q.Filter = paramFilter(filter)
	return q, nil
}

// documentIDOf is the canonical id a JSON value stands for, or why it is none.
func documentIDOf(v *Value) (id, refused string) {
	id, ok := CanonicalID(v.Raw())
	if !ok {
		return "", invalidDocumentID(v.Raw()).Message
	}
	return id, ""
}
