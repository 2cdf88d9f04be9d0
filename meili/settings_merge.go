package meili

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Apply is the settings after a change; s and delta stay as they are, s may be nil for an index without settings. Objects
// merge member by member: typoTolerance, faceting, pagination, chat and each embedder. What was reset stays a reset, so
// that the result sent to any server brings it to the same settings.
//
// Errors are those a settings task fails with, to be prefixed with "Index `uid`: ": invalid_settings_typo_tolerance,
// invalid_settings_embedders, vector_embedding_error, invalid_settings_index_chat.
func (s *Settings) Apply(delta *Settings) (*Settings, *Error) {
	next := Settings{}
	if s != nil {
		next = *s
	}
	next.DisplayedAttributes = merged(next.DisplayedAttributes, wildcardAsReset(delta.DisplayedAttributes))
	next.SearchableAttributes = merged(next.SearchableAttributes, wildcardAsReset(delta.SearchableAttributes))
	next.FilterableAttributes = merged(next.FilterableAttributes, delta.FilterableAttributes)
	next.SortableAttributes = merged(next.SortableAttributes, delta.SortableAttributes)
	next.ForeignKeys = merged(next.ForeignKeys, delta.ForeignKeys)
	next.RankingRules = merged(next.RankingRules, delta.RankingRules)
	next.StopWords = merged(next.StopWords, normalizedWords(delta.StopWords, norm.NFKD.String))
	next.NonSeparatorTokens = merged(next.NonSeparatorTokens, delta.NonSeparatorTokens)
	next.SeparatorTokens = merged(next.SeparatorTokens, delta.SeparatorTokens)
	next.Dictionary = merged(next.Dictionary, delta.Dictionary)
	next.Synonyms = merged(next.Synonyms, delta.Synonyms)
	next.DistinctAttribute = merged(next.DistinctAttribute, delta.DistinctAttribute)
	next.ProximityPrecision = merged(next.ProximityPrecision, delta.ProximityPrecision)
	next.Faceting = mergeFaceting(next.Faceting, delta.Faceting)
	next.Pagination = mergePagination(next.Pagination, delta.Pagination)
	next.SearchCutoffMs = merged(next.SearchCutoffMs, delta.SearchCutoffMs)
	next.LocalizedAttributes = merged(next.LocalizedAttributes, threeLetterLocales(delta.LocalizedAttributes))
	next.FacetSearch = merged(next.FacetSearch, delta.FacetSearch)
	next.PrefixSearch = merged(next.PrefixSearch, delta.PrefixSearch)
	var err *Error
	if next.TypoTolerance, err = mergeTypoTolerance(next.TypoTolerance, delta.TypoTolerance); err != nil {
		return nil, err
	}
	if next.Embedders, err = mergeEmbedders(next.Embedders, delta.Embedders); err != nil {
		return nil, err
	}
	if next.Chat, err = mergeChat(next.Chat, delta.Chat); err != nil {
		return nil, err
	}
	return &next, nil
}

// wildcardAsReset turns a list that holds a star into a reset and drops repeated attributes.
func wildcardAsReset(list Setting[[]string]) Setting[[]string] {
	if slices.Contains(list.Value, "*") {
		return ResetTo[[]string]()
	}
	if list.Set {
		unique := []string{}
		for _, attribute := range list.Value {
			if !slices.Contains(unique, attribute) {
				unique = append(unique, attribute)
			}
		}
		list.Value = unique
	}
	return list
}

// normalizedWords normalizes each word of a set.
func normalizedWords(words Setting[[]string], normalize func(string) string) Setting[[]string] {
	if !words.Set {
		return words
	}
	normal := make([]string, 0, len(words.Value))
	for _, word := range words.Value {
		normal = append(normal, normalize(word))
	}
	slices.Sort(normal)
	return SetTo(slices.Compact(normal))
}

// foldWord lower-cases a word and takes its accents away.
func foldWord(word string) string {
	var out strings.Builder
	for _, r := range norm.NFKD.String(word) {
		if !unicode.Is(unicode.Mn, r) {
			out.WriteString(strings.ToLower(string(r)))
		}
	}
	return out.String()
}

// threeLetterLocales spells locales the way they are kept: ja becomes jpn.
func threeLetterLocales(rules Setting[[]LocalizedRule]) Setting[[]LocalizedRule] {
	if !rules.Set {
		return rules
	}
	kept := make([]LocalizedRule, len(rules.Value))
	for i, rule := range rules.Value {
		kept[i] = LocalizedRule{AttributePatterns: rule.AttributePatterns, Locales: make([]string, len(rule.Locales))}
		for j, locale := range rule.Locales {
			kept[i].Locales[j] = LanguageOf(locale)
		}
	}
	return SetTo(kept)
}

func mergeTypoTolerance(old, delta Setting[TypoTolerance]) (Setting[TypoTolerance], *Error) {
	if !delta.Set {
		return merged(old, delta), nil
	}
	t, d := old.Value, delta.Value
	t.Enabled = merged(t.Enabled, d.Enabled)
	t.DisableOnWords = merged(t.DisableOnWords, normalizedWords(d.DisableOnWords, foldWord))
	t.DisableOnAttributes = merged(t.DisableOnAttributes, d.DisableOnAttributes)
	t.DisableOnNumbers = merged(t.DisableOnNumbers, d.DisableOnNumbers)
	if d.MinWordSizeForTypos.Reset {
		t.MinWordSizeForTypos = d.MinWordSizeForTypos
	}
	if d.MinWordSizeForTypos.Set {
		sizes := t.MinWordSizeForTypos.Value
		sizes.OneTypo = merged(sizes.OneTypo, d.MinWordSizeForTypos.Value.OneTypo)
		sizes.TwoTypos = merged(sizes.TwoTypos, d.MinWordSizeForTypos.Value.TwoTypos)
		t.MinWordSizeForTypos = SetTo(sizes)
		if one, two := sizes.sizes(); one > two && !d.MinWordSizeForTypos.Value.isZero() {
			return old, newError(CodeInvalidSettingsTypoTolerance, minWordSizeMessage(one, two))
		}
	}
	return SetTo(t), nil
}

func (m MinWordSizeForTypos) isZero() bool { return m.OneTypo.IsZero() && m.TwoTypos.IsZero() }

// sizes are the effective lengths from which a word may have one and two typos.
func (m MinWordSizeForTypos) sizes() (one, two int) { return m.OneTypo.Or(5), m.TwoTypos.Or(9) }

func mergeFaceting(old, delta Setting[Faceting]) Setting[Faceting] {
	if !delta.Set {
		return merged(old, delta)
	}
	f := old.Value
	f.MaxValuesPerFacet = merged(f.MaxValuesPerFacet, delta.Value.MaxValuesPerFacet)
	f.SortFacetValuesBy = merged(f.SortFacetValuesBy, delta.Value.SortFacetValuesBy)
	return SetTo(f)
}

func mergePagination(old, delta Setting[Pagination]) Setting[Pagination] {
	if !delta.Set {
		return merged(old, delta)
	}
	return SetTo(Pagination{MaxTotalHits: merged(old.Value.MaxTotalHits, delta.Value.MaxTotalHits)})
}

func mergeChat(old, delta Setting[Chat]) (Setting[Chat], *Error) {
	if !delta.Set {
		return merged(old, delta), nil
	}
	c, d := old.Value, delta.Value
	if d.DocumentTemplateMaxBytes.Set && d.DocumentTemplateMaxBytes.Value == 0 {
		return old, newError(CodeInvalidSettingsEmbedders, "`.chat.documentTemplateMaxBytes`: `documentTemplateMaxBytes` cannot be zero")
	}
	c.Description = merged(c.Description, d.Description)
	c.DocumentTemplate = merged(c.DocumentTemplate, d.DocumentTemplate)
	c.DocumentTemplateMaxBytes = merged(c.DocumentTemplateMaxBytes, d.DocumentTemplateMaxBytes)
	if d.SearchParameters.Reset {
		c.SearchParameters = d.SearchParameters
	}
	if d.SearchParameters.Set {
		c.SearchParameters = SetTo(c.SearchParameters.Value.with(d.SearchParameters.Value))
	}
	return SetTo(c), nil
}

func (p ChatSearchParams) with(d ChatSearchParams) ChatSearchParams {
	p.Hybrid = merged(p.Hybrid, d.Hybrid)
	p.Limit = merged(p.Limit, d.Limit)
	p.Sort = merged(p.Sort, d.Sort)
	p.Distinct = merged(p.Distinct, d.Distinct)
	p.MatchingStrategy = merged(p.MatchingStrategy, d.MatchingStrategy)
	p.AttributesToSearchOn = merged(p.AttributesToSearchOn, d.AttributesToSearchOn)
	p.RankingScoreThreshold = merged(p.RankingScoreThreshold, d.RankingScoreThreshold)
	return p
}
