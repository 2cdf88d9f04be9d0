package meili

// mergeEmbedders applies a change to the embedders of an index. Removed ones stay as resets so that the result, sent to a
// server that still has them, removes them there too.
func mergeEmbedders(old, delta Setting[map[string]Setting[Embedder]]) (Setting[map[string]Setting[Embedder]], *Error) {
	if delta.IsZero() {
		return old, nil
	}
	result := make(map[string]Setting[Embedder], len(old.Value)+len(delta.Value))
	for name, e := range old.Value {
		result[name] = e
		if delta.Reset {
			result[name] = ResetTo[Embedder]()
		}
	}
	for _, name := range sortedKeys(delta.Value) {
		change := delta.Value[name]
		switch {
		case change.Reset:
			if _, known := result[name]; known {
				result[name] = change
			}
		case change.Set:
			merged, err := mergeEmbedder(name, result[name], change.Value)
			if err != nil {
				return old, err
			}
			result[name] = SetTo(merged)
		}
	}
	if count := countSet(result); count > maxEmbedders {
		return old, Errorf(CodeInvalidSettingsEmbedders, "Too many embedders in the configuration. Found %d, but limited to 256.", count)
	}
	if len(result) == 0 && delta.Reset {
		return ResetTo[map[string]Setting[Embedder]](), nil
	}
	return SetTo(result), nil
}

func countSet[T any](m map[string]Setting[T]) (n int) {
	for _, value := range m {
		if value.Set {
			n++
		}
	}
	return n
}

// mergeEmbedder is one embedder after a change, checked as a whole and with the defaults of its source filled in.
func mergeEmbedder(name string, old Setting[Embedder], delta Embedder) (Embedder, *Error) {
	var e Embedder
	if old.Set {
		if old.Value.BinaryQuantized.Value && delta.BinaryQuantized.Set && !delta.BinaryQuantized.Value {
			return e, embedderError("`.embedders." + name + ".binaryQuantized`: Cannot disable the binary quantization.\n - Note: Binary quantization is a lossy operation that cannot be reverted.\n - Hint: Add a new embedder that is non-quantized and regenerate the vectors.")
		}
		e = old.Value.with(delta)
	} else {
		e = delta
		e.Source = SetTo(e.Source.Or(sourceOpenAI))
		if e.Source.Value == sourceOpenAI {
			e.Model = SetTo(e.Model.Or(defaultOpenAIModel))
		}
	}
	if err := e.check(name, true); err != nil {
		return e, err
	}
	return e.canonical(), nil
}

// with is e after the members of delta; a new source first puts members back to what that source has by default.
func (e Embedder) with(delta Embedder) Embedder {
	if !delta.Source.IsZero() && (delta.Source.Set != e.Source.Set || delta.Source.Value != e.Source.Value) {
		e = e.forSource(delta.Source)
	}
	e.Model = merged(e.Model, delta.Model)
	e.Revision = merged(e.Revision, delta.Revision)
	e.Pooling = merged(e.Pooling, delta.Pooling)
	e.APIKey = merged(e.APIKey, delta.APIKey)
	e.Dimensions = merged(e.Dimensions, delta.Dimensions)
	e.BinaryQuantized = merged(e.BinaryQuantized, delta.BinaryQuantized)
	e.DocumentTemplate = merged(e.DocumentTemplate, delta.DocumentTemplate)
	e.DocumentTemplateMaxBytes = merged(e.DocumentTemplateMaxBytes, delta.DocumentTemplateMaxBytes)
	e.URL = merged(e.URL, delta.URL)
	e.IndexingFragments = mergeFragments(e.IndexingFragments, delta.IndexingFragments)
	e.SearchFragments = mergeFragments(e.SearchFragments, delta.SearchFragments)
	e.Request = merged(e.Request, delta.Request)
	e.Response = merged(e.Response, delta.Response)
	e.Headers = merged(e.Headers, delta.Headers)
	e.SearchEmbedder = merged(e.SearchEmbedder, delta.SearchEmbedder)
	e.IndexingEmbedder = mergeHalf(e.IndexingEmbedder, delta.IndexingEmbedder)
	e.Distribution = merged(e.Distribution, delta.Distribution)
	return e
}

// mergeHalf merges the indexing half member by member; the search half is replaced as a whole.
func mergeHalf(old, delta Setting[*SubEmbedder]) Setting[*SubEmbedder] {
	if !old.Set || !delta.Set {
		if delta.Set {
			return delta
		}
		return old
	}
	half := old.Value.whole().with(*delta.Value.whole()).half()
	half.Distribution = merged(old.Value.Distribution, delta.Value.Distribution)
	half.BinaryQuantized = merged(old.Value.BinaryQuantized, delta.Value.BinaryQuantized)
	half.SearchEmbedder = merged(old.Value.SearchEmbedder, delta.Value.SearchEmbedder)
	half.IndexingEmbedder = merged(old.Value.IndexingEmbedder, delta.Value.IndexingEmbedder)
	return SetTo(half)
}

func mergeFragments(old, delta Setting[map[string]*Fragment]) Setting[map[string]*Fragment] {
	if !old.Set || !delta.Set {
		return merged(old, delta)
	}
	result := make(map[string]*Fragment, len(old.Value)+len(delta.Value))
	for name, fragment := range old.Value {
		result[name] = fragment
	}
	for name, fragment := range delta.Value {
		result[name] = fragment
	}
	return SetTo(result)
}

// forSource drops what belongs to another source; the API key, distribution and quantization stay.
func (e Embedder) forSource(source Setting[string]) Embedder {
	kept := Embedder{Source: source, APIKey: e.APIKey, Distribution: e.Distribution, BinaryQuantized: e.BinaryQuantized,
		SearchEmbedder: e.SearchEmbedder, IndexingEmbedder: e.IndexingEmbedder,
		DocumentTemplate: e.DocumentTemplate, DocumentTemplateMaxBytes: e.DocumentTemplateMaxBytes}
	switch source.Or(sourceOpenAI) {
	case sourceUserProvided, sourceComposite:
		kept.DocumentTemplate, kept.DocumentTemplateMaxBytes = Setting[string]{}, Setting[int]{}
	}
	return kept
}

// canonical is e with the defaults of its source, as GET /settings shows it.
func (e Embedder) canonical() Embedder {
	c := e.ofSource()
	if e.Distribution.Set {
		c.Distribution = e.Distribution
	}
	if e.BinaryQuantized.Set {
		c.BinaryQuantized = e.BinaryQuantized
	}
	return c
}

func (e Embedder) ofSource() Embedder {
	c := Embedder{Source: SetTo(e.Source.Or(sourceOpenAI))}
	switch c.Source.Value {
	case sourceUserProvided:
		c.Dimensions = e.Dimensions
		return c
	case sourceComposite:
		search, indexing := e.SearchEmbedder.Value.whole().ofSource(), e.IndexingEmbedder.Value.whole().ofSource()
		search.DocumentTemplate, search.DocumentTemplateMaxBytes = Setting[string]{}, Setting[int]{}
		c.SearchEmbedder, c.IndexingEmbedder = SetTo(search.half()), SetTo(indexing.half())
		return c
	case sourceOpenAI:
		c.Model = SetTo(e.Model.Or(defaultOpenAIModel))
	case sourceHuggingFace:
		c.Model, c.Revision = SetTo(e.Model.Or(defaultHFModel)), onlySet(e.Revision)
		if !e.Model.Set && !e.Revision.Set {
			c.Revision = SetTo(defaultHFRevision)
		}
		c.Pooling = SetTo(e.Pooling.Or("useModel"))
	case sourceOllama:
		c.Model = SetTo(e.Model.Or("nomic-embed-text"))
	case sourceRest:
		c.Request, c.Response, c.Headers = e.Request, e.Response, SetTo(e.Headers.Or(map[string]string{}))
		c.IndexingFragments, c.SearchFragments = present(e.IndexingFragments), present(e.SearchFragments)
	}
	if c.Source.Value != sourceHuggingFace {
		c.APIKey, c.Dimensions, c.URL = onlySet(e.APIKey), onlySet(e.Dimensions), onlySet(e.URL)
	}
	if !c.IndexingFragments.Set && !c.SearchFragments.Set {
		c.DocumentTemplate = SetTo(e.DocumentTemplate.Or(defaultTemplate))
		c.DocumentTemplateMaxBytes = SetTo(defaultTemplateMaxBytes)
		if e.DocumentTemplate.Set {
			c.DocumentTemplateMaxBytes = SetTo(e.DocumentTemplateMaxBytes.Or(defaultTemplateMaxBytes))
		}
	}
	return c
}

// onlySet forgets a reset.
func onlySet[T any](s Setting[T]) Setting[T] {
	if s.Set {
		return s
	}
	return Setting[T]{}
}

// present keeps the fragments that were not removed, nothing when none is left.
func present(s Setting[map[string]*Fragment]) Setting[map[string]*Fragment] {
	kept := map[string]*Fragment{}
	for name, fragment := range s.Value {
		if fragment != nil {
			kept[name] = fragment
		}
	}
	if len(kept) == 0 {
		return Setting[map[string]*Fragment]{}
	}
	return SetTo(kept)
}

// redacted is e with its API keys hidden. Meilisearch leaves the keys of the halves of a composite embedder readable;
// we hide them too.
func (e Embedder) redacted() Embedder {
	hide := func(key Setting[string]) Setting[string] {
		if key.Set {
			key.Value = HideSecret(key.Value)
		}
		return key
	}
	e.APIKey = hide(e.APIKey)
	for _, half := range []*Setting[*SubEmbedder]{&e.SearchEmbedder, &e.IndexingEmbedder} {
		if half.Set {
			clone := *half.Value
			clone.APIKey = hide(clone.APIKey)
			half.Value = &clone
		}
	}
	return e
}

// redactedEmbedders is a change or state with every API key hidden.
func redactedEmbedders(embedders Setting[map[string]Setting[Embedder]]) Setting[map[string]Setting[Embedder]] {
	hidden := make(map[string]Setting[Embedder], len(embedders.Value))
	for name, e := range embedders.Value {
		if e.Set {
			e.Value = e.Value.redacted()
		}
		hidden[name] = e
	}
	if embedders.Set {
		embedders.Value = hidden
	}
	return embedders
}
