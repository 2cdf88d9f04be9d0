package engine

import (
	"maps"
	"slices"
	"strings"

	"miroir/meili"
)

// config is what the settings of an index come to, with defaults filled in. Immutable but for the lists of searchable
// fields, which writers extend with new fields.
type config struct {
	displayed    []string // nil: every field
	searchable   []string // nil: every field
	filterable   []meili.FilterableRule
	sortable     []string
	ranking      []string
	distinct     string
	tokenizer    *tokenizer
	synonyms     map[string][][]string // key: words joined by NUL
	byAttribute  bool
	prefixSearch bool
	facetSearch  bool
	typos        typoConfig
	maxFacets    int
	facetOrder   map[string]string
	maxTotalHits int
	cutoffMs     uint64
	embedders    map[string]*embedder
	geoEnabled   bool

	searchableIDs []fieldID
	searchNames   []string // in step with searchableIDs
	weights       map[fieldID]int
	maxWeight     int // 0 when every field weighs the same
}

type typoConfig struct {
	enabled           bool
	oneTypo, twoTypos int
	exactWords        map[string]bool
	exactFields       []string
	exactNumbers      bool
}

var defaultRanking = []string{"words", "typo", "proximity", "attributeRank", "sort", "wordPosition", "exactness"}

// noCutoffMs is a day. Meilisearch ends the ranking of a search after 1.5 s where no setting says otherwise; here that would
// make answers depend on how busy the machine of a test is.
const noCutoffMs = 24 * 60 * 60 * 1000

// Matching strategies.
const (
	matchAll       = meili.MatchAll
	matchFrequency = meili.MatchFrequency
)

func newConfig(s *meili.Settings) *config {
	c := &config{
		displayed:    unlessStar(s.DisplayedAttributes.Or(nil)),
		searchable:   unlessStar(s.SearchableAttributes.Or(nil)),
		filterable:   s.FilterableAttributes.Or(nil),
		sortable:     s.SortableAttributes.Or(nil),
		ranking:      s.RankingRules.Or(defaultRanking),
		distinct:     s.DistinctAttribute.Or(""),
		tokenizer:    newTokenizer(s.StopWords.Or(nil), s.SeparatorTokens.Or(nil), s.NonSeparatorTokens.Or(nil), s.Dictionary.Or(nil)),
		byAttribute:  s.ProximityPrecision.Or("") == "byAttribute",
		prefixSearch: s.PrefixSearch.Or("") != "disabled",
		facetSearch:  s.FacetSearch.Or(true),
		maxFacets:    s.Faceting.Or(meili.Faceting{}).MaxValuesPerFacet.Or(100),
		facetOrder:   s.Faceting.Or(meili.Faceting{}).SortFacetValuesBy.Or(nil),
		maxTotalHits: s.Pagination.Or(meili.Pagination{}).MaxTotalHits.Or(1000),
		cutoffMs:     s.SearchCutoffMs.Or(noCutoffMs),
		embedders:    newEmbedders(s.Embedders.Or(nil)),
	}
	c.geoEnabled = slices.Contains(c.sortable, geoField) ||
		slices.ContainsFunc(c.filterable, func(r meili.FilterableRule) bool { return r.Legacy && r.Patterns[0] == geoField })
	c.typos = c.newTypos(s.TypoTolerance.Or(meili.TypoTolerance{}))
	c.synonyms = c.newSynonyms(s.Synonyms.Or(nil))
	return c
}

// unlessStar is a list of fields, nil when it means every field.
func unlessStar(list []string) []string {
	if list == nil || slices.Contains(list, "*") {
		return nil
	}
	return list
}

func (c *config) newTypos(t meili.TypoTolerance) typoConfig {
	sizes := t.MinWordSizeForTypos.Or(meili.MinWordSizeForTypos{})
	out := typoConfig{
		enabled:      t.Enabled.Or(true),
		oneTypo:      sizes.OneTypo.Or(5),
		twoTypos:     sizes.TwoTypos.Or(9),
		exactWords:   map[string]bool{},
		exactFields:  t.DisableOnAttributes.Or(nil),
		exactNumbers: t.DisableOnNumbers.Or(false),
	}
	plain := defaultTokenizer
	if c.tokenizer.stopWords != nil {
		copied := *defaultTokenizer
		copied.stopWords = c.tokenizer.stopWords
		plain = &copied
	}
	for _, word := range t.DisableOnWords.Or(nil) {
		var lemma strings.Builder
		for _, tok := range plain.tokenize(word, false) {
			lemma.WriteString(tok.lemma)
		}
		out.exactWords[lemma.String()] = true
	}
	return out
}

func (c *config) newSynonyms(synonyms map[string][]string) map[string][][]string {
	texts := map[string][]string{}
	for _, word := range slices.Sorted(maps.Keys(synonyms)) {
		if words := c.wordsOf(word); len(words) > 0 {
			key := strings.Join(words, "\x00")
			texts[key] = append(texts[key], synonyms[word]...)
		}
	}
	out := map[string][][]string{}
	for key, list := range texts {
		slices.Sort(list)
		for _, text := range slices.Compact(list) {
			if words := c.wordsOf(text); len(words) > 0 {
				out[key] = append(out[key], words)
			}
		}
	}
	return out
}

// wordsOf are the normal forms of the words of a text, stop words left out.
func (c *config) wordsOf(text string) []string {
	var words []string
	for _, tok := range c.tokenizer.tokenize(text, false) {
		if tok.kind == wordToken && tok.lemma != "" {
			words = append(words, tok.lemma)
		}
	}
	return words
}

// isDisplayed reports whether a field of exactly that name is displayed.
func (c *config) isDisplayed(field string) bool {
	return c.displayed == nil || slices.Contains(c.displayed, field)
}

// unified reports whether the old attribute rule is used.
func (c *config) unified() bool { return slices.Contains(c.ranking, "attribute") }

// facetMatch tells whether a field is in the facet index, or may hold fields that are.
func (c *config) facetMatch(field string) patternMatch {
	best := noMatch
	see := func(m patternMatch) bool {
		best = max(best, m)
		return best == fullMatch
	}
	if c.distinct != "" && (field == c.distinct && see(fullMatch) || containedIn(c.distinct, field) && see(parentMatch)) {
		return best
	}
	for _, name := range c.sortable {
		if see(matchLegacy(name, field)) {
			return best
		}
	}
	for _, rule := range c.ranking {
		name, ok := strings.CutSuffix(rule, ":asc")
		if !ok {
			name, ok = strings.CutSuffix(rule, ":desc")
		}
		if ok && see(matchLegacy(name, field)) {
			return best
		}
	}
	for i := range c.filterable {
		m := ruleMatch(&c.filterable[i], field)
		if m == fullMatch {
			if c.filterable[i].IsFilterable() || c.filterable[i].FacetSearch {
				return fullMatch
			}
			return max(best, parentMatch)
		}
		best = max(best, m)
	}
	return best
}

// isCompared reports whether filters or sorts may compare the values of a field.
func (c *config) isCompared(field string) bool {
	if slices.ContainsFunc(c.sortable, func(name string) bool { return containedIn(field, name) }) {
		return true
	}
	for _, rule := range c.ranking {
		if name, _, ok := strings.Cut(rule, ":"); ok && containedIn(field, name) {
			return true
		}
	}
	_, rule := meili.MatchFilterable(c.filterable, field)
	return rule != nil && rule.Comparison
}

// ruleMatch matches a field against a rule of filterableAttributes.
func ruleMatch(r *meili.FilterableRule, field string) patternMatch {
	best := noMatch
	for _, pattern := range r.Patterns {
		if r.Legacy {
			best = max(best, matchLegacy(pattern, field))
		} else {
			best = max(best, matchPattern(pattern, field))
		}
	}
	return best
}

// facetOrderOf is how the values of a field are ordered: by count rather than by value.
func (c *config) byCount(field string) bool {
	order, ok := c.facetOrder[field]
	if !ok {
		order = c.facetOrder["*"]
	}
	return order == "count"
}

// setFields works out which fields are searched and what they weigh.
func (c *config) setFields(fields *fieldMap) {
	c.searchableIDs, c.searchNames, c.weights, c.maxWeight = nil, nil, map[fieldID]int{}, 0
	add := func(name string, weight int) {
		id := fields.ids[name]
		if _, ok := c.weights[id]; ok {
			return
		}
		c.weights[id] = weight
		c.searchableIDs = append(c.searchableIDs, id)
		c.searchNames = append(c.searchNames, name)
	}
	if c.searchable == nil {
		for _, name := range fields.names {
			if !containedIn(name, vectorsField) {
				add(name, 0)
			}
		}
		return
	}
	for weight, pattern := range c.searchable {
		for _, name := range fields.names {
			if containedIn(name, pattern) {
				add(name, weight)
			}
		}
	}
	c.maxWeight = max(len(c.searchable)-1, 0)
}

// isSearched reports whether the words of a field are indexed.
func (c *config) isSearched(field string) bool {
	if c.searchable == nil {
		return true
	}
	for _, name := range c.searchable {
		if containedIn(field, name) {
			return true
		}
	}
	return false
}
