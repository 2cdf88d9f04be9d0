package meili

import "strconv"

func readEmbedderSetting(v *Value, at *Location) (s Setting[Embedder], err *Error) {
	err = intoResettable(&s, readEmbedder)(v, at)
	return s, err
}

func readEmbedder(v *Value, at *Location) (e Embedder, err *Error) {
	err = DecodeObject(v, at, []Field{
		{Name: "source", Decode: intoResettable(&e.Source, ReadEnum(embedderSources...))},
		{Name: "model", Decode: intoResettable(&e.Model, ReadString)},
		{Name: "revision", Decode: intoResettable(&e.Revision, ReadString)},
		{Name: "pooling", Decode: intoResettable(&e.Pooling, readPooling)},
		{Name: "apiKey", Decode: intoResettable(&e.APIKey, ReadString)},
		{Name: "dimensions", Decode: intoResettable(&e.Dimensions, ReadInt)},
		{Name: "binaryQuantized", Decode: intoResettable(&e.BinaryQuantized, ReadBool)},
		{Name: "documentTemplate", Decode: intoResettable(&e.DocumentTemplate, ReadString)},
		{Name: "documentTemplateMaxBytes", Decode: intoResettable(&e.DocumentTemplateMaxBytes, ReadInt)},
		{Name: "url", Decode: intoResettable(&e.URL, ReadString)},
		{Name: "indexingFragments", Decode: intoResettable(&e.IndexingFragments, readFragments)},
		{Name: "searchFragments", Decode: intoResettable(&e.SearchFragments, readFragments)},
		{Name: "request", Decode: intoResettable(&e.Request, ReadRaw)},
		{Name: "response", Decode: intoResettable(&e.Response, ReadRaw)},
		{Name: "headers", Decode: intoResettable(&e.Headers, ReadMap(ReadString))},
		{Name: "searchEmbedder", Decode: intoResettable(&e.SearchEmbedder, readSubEmbedder)},
		{Name: "indexingEmbedder", Decode: intoResettable(&e.IndexingEmbedder, readSubEmbedder)},
		{Name: "distribution", Decode: intoResettable(&e.Distribution, readDistribution)},
	})
	return e, err
}

func readSubEmbedder(v *Value, at *Location) (*SubEmbedder, *Error) {
	e := &SubEmbedder{}
	err := DecodeObject(v, at, []Field{
		{Name: "source", Decode: intoResettable(&e.Source, ReadEnum(embedderSources...))},
		{Name: "model", Decode: intoResettable(&e.Model, ReadString)},
		{Name: "revision", Decode: intoResettable(&e.Revision, ReadString)},
		{Name: "pooling", Decode: intoResettable(&e.Pooling, readPooling)},
		{Name: "apiKey", Decode: intoResettable(&e.APIKey, ReadString)},
		{Name: "dimensions", Decode: intoResettable(&e.Dimensions, ReadInt)},
		{Name: "documentTemplate", Decode: intoResettable(&e.DocumentTemplate, ReadString)},
		{Name: "documentTemplateMaxBytes", Decode: intoResettable(&e.DocumentTemplateMaxBytes, ReadInt)},
		{Name: "url", Decode: intoResettable(&e.URL, ReadString)},
		{Name: "indexingFragments", Decode: intoResettable(&e.IndexingFragments, readFragments)},
		{Name: "searchFragments", Decode: intoResettable(&e.SearchFragments, readFragments)},
		{Name: "request", Decode: intoResettable(&e.Request, ReadRaw)},
		{Name: "response", Decode: intoResettable(&e.Response, ReadRaw)},
		{Name: "headers", Decode: intoResettable(&e.Headers, ReadMap(ReadString))},
		{Name: "distribution", Decode: intoResettable(&e.Distribution, readDistribution)},
		{Name: "binaryQuantized", Decode: intoResettable(&e.BinaryQuantized, ReadBool)},
		{Name: "searchEmbedder", Decode: intoResettable(&e.SearchEmbedder, ReadRaw)},
		{Name: "indexingEmbedder", Decode: intoResettable(&e.IndexingEmbedder, ReadRaw)},
	})
	return e, err
}

var readPooling = ReadEnum("useModel", "forceCls", "forceMean")

func readFragments(v *Value, at *Location) (map[string]*Fragment, *Error) {
	return ReadMap(func(v *Value, at *Location) (fragment *Fragment, err *Error) {
		err = IntoOptional(&fragment, readFragment)(v, at)
		return fragment, err
	})(v, at)
}

// readFragment ignores members other than value.
func readFragment(v *Value, at *Location) (f Fragment, err *Error) {
	err = DecodeOpenObject(v, at, []Field{{Name: "value", Required: true, Decode: Into(&f.Value, ReadRaw)}})
	return f, err
}

func readDistribution(v *Value, at *Location) (d Distribution, err *Error) {
	var mean, sigma float64
	err = DecodeObject(v, at, []Field{
		{Name: "mean", Required: true, Decode: Into(&mean, ReadFloat)},
		{Name: "sigma", Required: true, Decode: Into(&sigma, ReadFloat)},
	})
	if err != nil {
		return d, err
	}
	d = Distribution{float32(mean), float32(sigma)}
	print32 := func(f float32) string { return strconv.FormatFloat(float64(f), 'f', -1, 32) }
	if d.Mean < 0 || d.Mean > 1 {
		return d, at.Invalid("the distribution mean must be in the range [0, 1], got " + print32(d.Mean))
	}
	if d.Sigma <= 0 || d.Sigma > 1 {
		return d, at.Invalid("the distribution sigma must be in the range ]0, 1], got " + print32(d.Sigma))
	}
	return d, nil
}

func readChat(v *Value, at *Location) (c Chat, err *Error) {
	err = DecodeObject(v, at, []Field{
		{Name: "description", Decode: intoResettable(&c.Description, ReadString)},
		{Name: "documentTemplate", Decode: intoResettable(&c.DocumentTemplate, ReadString)},
		{Name: "documentTemplateMaxBytes", Decode: intoResettable(&c.DocumentTemplateMaxBytes, ReadInt)},
		{Name: "searchParameters", Decode: intoResettable(&c.SearchParameters, readChatSearchParams)},
	})
	return c, err
}

func readChatSearchParams(v *Value, at *Location) (p ChatSearchParams, err *Error) {
	err = DecodeObject(v, at, []Field{
		{Name: "hybrid", Decode: intoResettable(&p.Hybrid, readChatHybrid)},
		{Name: "limit", Decode: intoResettable(&p.Limit, ReadInt)},
		{Name: "sort", Decode: intoResettable(&p.Sort, ReadStrings)},
		{Name: "distinct", Decode: intoResettable(&p.Distinct, ReadString)},
		{Name: "matchingStrategy", Decode: intoResettable(&p.MatchingStrategy, readMatchingStrategy)},
		{Name: "attributesToSearchOn", Decode: intoResettable(&p.AttributesToSearchOn, ReadStrings)},
		{Name: "rankingScoreThreshold", Decode: intoResettable(&p.RankingScoreThreshold, readThreshold)},
	})
	return p, err
}

func readChatHybrid(v *Value, at *Location) (h Hybrid, err *Error) {
	ratio := DefaultSemanticRatio
	h.SemanticRatio = &ratio
	err = DecodeObject(v, at, []Field{
		{Name: "semanticRatio", Decode: IntoPresent(&h.SemanticRatio, readUnit("semanticRatio"))},
		{Name: "embedder", Required: true, Decode: Into(&h.Embedder, ReadString)},
	})
	return h, err
}
