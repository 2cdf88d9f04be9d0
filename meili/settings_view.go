package meili

import (
	"encoding/json"
	"slices"
	"unicode/utf8"
)

// View is the body of GET /indexes/{uid}/settings: defaults filled in, secrets hidden, in Meilisearch's order. foreignKeys
// and chat show only with their experimental features. s may be nil.
func (s *Settings) View(f Features) []byte {
	full := s.filled()
	if !f.ForeignKeys {
		full.ForeignKeys = Setting[[]ForeignKey]{}
	}
	if !f.ChatCompletions {
		full.Chat = Setting[Chat]{}
	}
	return mustMarshal(full)
}

// ViewOf is the body of GET of a sub-route. Error: bad_request about an unknown name.
func (s *Settings) ViewOf(name string) ([]byte, *Error) {
	route, err := settingRoute(name)
	if err != nil {
		return nil, newError(CodeBadRequest, err.Error())
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(mustMarshal(s.filled()), &members); err != nil {
		return nil, newError(CodeInternal, err.Error())
	}
	return members[route.Field], nil
}

// Details are the details of the task that makes this change: what was sent, secrets hidden.
func (s *Settings) Details() json.RawMessage {
	shown := *s
	shown.Embedders = redactedEmbedders(s.Embedders)
	shown.DisplayedAttributes = resetAsWildcard(s.DisplayedAttributes)
	shown.SearchableAttributes = resetAsWildcard(s.SearchableAttributes)
	return mustMarshal(shown)
}

func resetAsWildcard(list Setting[[]string]) Setting[[]string] {
	if list.Reset {
		return SetTo([]string{"*"})
	}
	return list
}

// mustMarshal prints settings, which always can be printed.
func mustMarshal(value any) []byte {
	text, err := marshal(value)
	if err != nil {
		panic("print settings: " + err.Error())
	}
	return text
}

// filled has every setting set to its effective value, or reset where the default is null.
func (s *Settings) filled() Settings {
	if s == nil {
		s = &Settings{}
	}
	return Settings{
		DisplayedAttributes:  SetTo(s.DisplayedAttributes.Or([]string{"*"})),
		SearchableAttributes: SetTo(s.SearchableAttributes.Or([]string{"*"})),
		FilterableAttributes: SetTo(s.FilterableAttributes.Or([]FilterableRule{})),
		SortableAttributes:   SetTo(s.SortableAttributes.Or([]string{})),
		ForeignKeys:          SetTo(s.ForeignKeys.Or([]ForeignKey{})),
		RankingRules:         SetTo(s.Ranking()),
		StopWords:            SetTo(s.StopWords.Or([]string{})),
		NonSeparatorTokens:   SetTo(s.NonSeparatorTokens.Or([]string{})),
		SeparatorTokens:      SetTo(s.SeparatorTokens.Or([]string{})),
		Dictionary:           SetTo(s.Dictionary.Or([]string{})),
		Synonyms:             SetTo(s.Synonyms.Or(map[string][]string{})),
		DistinctAttribute:    orNull(s.DistinctAttribute),
		ProximityPrecision:   SetTo(s.ProximityPrecision.Or("byWord")),
		TypoTolerance:        SetTo(s.Typo()),
		Faceting:             SetTo(Faceting{SetTo(s.MaxValuesPerFacet()), SetTo(s.facetOrders())}),
		Pagination:           SetTo(Pagination{SetTo(s.MaxTotalHits())}),
		Embedders:            s.shownEmbedders(),
		SearchCutoffMs:       orNull(s.SearchCutoffMs),
		LocalizedAttributes:  orNull(s.LocalizedAttributes),
		FacetSearch:          SetTo(s.FacetSearch.Or(true)),
		PrefixSearch:         SetTo(s.PrefixSearch.Or("indexingTime")),
		Chat:                 SetTo(s.Chat.Value.filled()),
	}
}

func orNull[T any](s Setting[T]) Setting[T] {
	if s.Set {
		return s
	}
	return ResetTo[T]()
}

func (s *Settings) shownEmbedders() Setting[map[string]Setting[Embedder]] {
	shown := map[string]Setting[Embedder]{}
	for name, e := range redactedEmbedders(s.Embedders).Value {
		if e.Set {
			shown[name] = e
		}
	}
	return SetTo(shown)
}

func (c Chat) filled() Chat {
	p := c.SearchParameters.Value
	return Chat{
		Description:              SetTo(c.Description.Or("")),
		DocumentTemplate:         SetTo(c.DocumentTemplate.Or(defaultTemplate)),
		DocumentTemplateMaxBytes: SetTo(c.DocumentTemplateMaxBytes.Or(defaultTemplateMaxBytes)),
		SearchParameters: SetTo(ChatSearchParams{
			onlySet(p.Hybrid), onlySet(p.Limit), onlySet(p.Sort), onlySet(p.Distinct),
			onlySet(p.MatchingStrategy), onlySet(p.AttributesToSearchOn), onlySet(p.RankingScoreThreshold),
		}),
	}
}

// HideSecret keeps the start of a secret, more of longer ones, at most its first 5 bytes (rounded up to whole characters).
func HideSecret(secret string) string {
	keep, mask := 0, "XXX..."
	switch n := len(secret); {
	case n >= 30:
		keep, mask = 5, "XXXXXX..."
	case n >= 20:
		keep, mask = 3, "XXXXX..."
	case n >= 10:
		keep, mask = 2, "XXXX..."
	}
	for keep < len(secret) && !utf8.RuneStart(secret[keep]) {
		keep++
	}
	return secret[:keep] + mask
}

// DefaultRankingRules are the ranking rules of an index without the setting.
func DefaultRankingRules() []string {
	return []string{"words", "typo", "proximity", "attributeRank", "sort", "wordPosition", "exactness"}
}

// Ranking are the ranking rules, best first. Getters accept a nil s.
func (s *Settings) Ranking() []string {
	if s == nil {
		return DefaultRankingRules()
	}
	return s.RankingRules.Or(DefaultRankingRules())
}

// Searchable are the attributes that are searched, most important first; nil means all.
func (s *Settings) Searchable() []string {
	if s == nil {
		return nil
	}
	return s.SearchableAttributes.Or(nil)
}

// Displayed are the attributes that are shown; nil means all.
func (s *Settings) Displayed() []string {
	if s == nil {
		return nil
	}
	return s.DisplayedAttributes.Or(nil)
}

// IsDisplayed reports whether hits show a field: it is listed, or lies below or above a listed one.
func (s *Settings) IsDisplayed(field string) bool {
	if s == nil || !s.DisplayedAttributes.Set {
		return true
	}
	return slices.ContainsFunc(s.DisplayedAttributes.Value, func(attribute string) bool {
		return IsFieldOrBelow(field, attribute) || IsFieldOrBelow(attribute, field)
	})
}

// IsFieldOrBelow reports whether field is parent or nested in it: a.b is below a.
func IsFieldOrBelow(field, parent string) bool {
	return field == parent || len(field) > len(parent) && field[:len(parent)] == parent && field[len(parent)] == '.'
}

// Filterable are the rules of attributes that may be filtered.
func (s *Settings) Filterable() []FilterableRule {
	if s == nil {
		return nil
	}
	return s.FilterableAttributes.Or(nil)
}

// Sortable are the attributes that may be sorted by, sorted by name.
func (s *Settings) Sortable() []string {
	if s == nil {
		return nil
	}
	return s.SortableAttributes.Or(nil)
}

// Distinct is the attribute that hits must differ in, "" for none.
func (s *Settings) Distinct() string {
	if s == nil {
		return ""
	}
	return s.DistinctAttribute.Or("")
}

// Typo is the typo tolerance with every member set.
func (s *Settings) Typo() TypoTolerance {
	var t TypoTolerance
	if s != nil {
		t = s.TypoTolerance.Value
	}
	one, two := t.MinWordSizeForTypos.Value.sizes()
	return TypoTolerance{
		Enabled:             SetTo(t.Enabled.Or(true)),
		MinWordSizeForTypos: SetTo(MinWordSizeForTypos{SetTo(one), SetTo(two)}),
		DisableOnWords:      SetTo(t.DisableOnWords.Or([]string{})),
		DisableOnAttributes: SetTo(t.DisableOnAttributes.Or([]string{})),
		DisableOnNumbers:    SetTo(t.DisableOnNumbers.Or(false)),
	}
}

// MaxTotalHits is how many hits of a search can be reached.
func (s *Settings) MaxTotalHits() int {
	if s == nil {
		return 1000
	}
	return s.Pagination.Value.MaxTotalHits.Or(1000)
}

// MaxValuesPerFacet is how many values of a facet are listed.
func (s *Settings) MaxValuesPerFacet() int {
	if s == nil {
		return 100
	}
	return s.Faceting.Value.MaxValuesPerFacet.Or(100)
}

func (s *Settings) facetOrders() map[string]string {
	orders := map[string]string{"*": "alpha"}
	if s != nil {
		for field, order := range s.Faceting.Value.SortFacetValuesBy.Value {
			orders[field] = order
		}
	}
	return orders
}

// FacetSort is the order of the values of a facet: alpha or count.
func (s *Settings) FacetSort(field string) string {
	orders := s.facetOrders()
	if order, ok := orders[field]; ok {
		return order
	}
	return orders["*"]
}

// FacetSearchEnabled reports whether facet values may be searched.
func (s *Settings) FacetSearchEnabled() bool { return s == nil || s.FacetSearch.Or(true) }

// PrefixSearchEnabled reports whether the last word of a query matches as a prefix.
func (s *Settings) PrefixSearchEnabled() bool {
	return s == nil || s.PrefixSearch.Or("indexingTime") == "indexingTime"
}

// Embedder finds an embedder by name, nil if there is none.
func (s *Settings) Embedder(name string) *Embedder {
	if s == nil {
		return nil
	}
	e, ok := s.Embedders.Value[name]
	if !ok || !e.Set {
		return nil
	}
	return &e.Value
}
