package meili

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Setting is a value of a settings body: not given (the zero value), reset by null, or set.
type Setting[T any] struct {
	Set, Reset bool
	Value      T
}

// SetTo is a setting with a value.
func SetTo[T any](value T) Setting[T] { return Setting[T]{Set: true, Value: value} }

// ResetTo is a setting given as null.
func ResetTo[T any]() Setting[T] { return Setting[T]{Reset: true} }

// IsZero reports whether the setting was not given: marshalling leaves it out.
func (s Setting[T]) IsZero() bool { return !s.Set && !s.Reset }

// Or is the value, or what it is by default.
func (s Setting[T]) Or(byDefault T) T {
	if s.Set {
		return s.Value
	}
	return byDefault
}

// MarshalJSON prints the value, null when reset.
func (s Setting[T]) MarshalJSON() ([]byte, error) {
	if !s.Set {
		return []byte("null"), nil
	}
	return marshal(s.Value)
}

// UnmarshalJSON is the reverse of MarshalJSON.
func (s *Setting[T]) UnmarshalJSON(text []byte) error {
	*s = Setting[T]{}
	if string(text) == "null" {
		s.Reset = true
		return nil
	}
	s.Set = true
	return json.Unmarshal(text, &s.Value)
}

// marshal is json.Marshal without escaping <, > and &.
func marshal(value any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimRight(out.Bytes(), "\n"), nil
}

// merged is the setting after a newer one: the newer wins where it was given.
func merged[T any](old, newer Setting[T]) Setting[T] {
	if newer.IsZero() {
		return old
	}
	return newer
}

// Settings are the settings of an index, or a change of them. Marshalling gives the body of PATCH /settings that makes the
// change, secrets in clear: settings not given are left out, reset ones null, in the order of GET /settings.
type Settings struct {
	DisplayedAttributes  Setting[[]string]                     `json:"displayedAttributes,omitzero"`
	SearchableAttributes Setting[[]string]                     `json:"searchableAttributes,omitzero"`
	FilterableAttributes Setting[[]FilterableRule]             `json:"filterableAttributes,omitzero"`
	SortableAttributes   Setting[[]string]                     `json:"sortableAttributes,omitzero"` // sorted, no duplicates
	ForeignKeys          Setting[[]ForeignKey]                 `json:"foreignKeys,omitzero"`
	RankingRules         Setting[[]string]                     `json:"rankingRules,omitzero"`
	StopWords            Setting[[]string]                     `json:"stopWords,omitzero"`          // sorted, no duplicates
	NonSeparatorTokens   Setting[[]string]                     `json:"nonSeparatorTokens,omitzero"` // sorted, no duplicates
	SeparatorTokens      Setting[[]string]                     `json:"separatorTokens,omitzero"`    // sorted, no duplicates
	Dictionary           Setting[[]string]                     `json:"dictionary,omitzero"`         // sorted, no duplicates
	Synonyms             Setting[map[string][]string]          `json:"synonyms,omitzero"`
	DistinctAttribute    Setting[string]                       `json:"distinctAttribute,omitzero"`
	ProximityPrecision   Setting[string]                       `json:"proximityPrecision,omitzero"` // byWord or byAttribute
	TypoTolerance        Setting[TypoTolerance]                `json:"typoTolerance,omitzero"`
	Faceting             Setting[Faceting]                     `json:"faceting,omitzero"`
	Pagination           Setting[Pagination]                   `json:"pagination,omitzero"`
	Embedders            Setting[map[string]Setting[Embedder]] `json:"embedders,omitzero"`
	SearchCutoffMs       Setting[uint64]                       `json:"searchCutoffMs,omitzero"` // milliseconds
	LocalizedAttributes  Setting[[]LocalizedRule]              `json:"localizedAttributes,omitzero"`
	FacetSearch          Setting[bool]                         `json:"facetSearch,omitzero"`
	PrefixSearch         Setting[string]                       `json:"prefixSearch,omitzero"` // indexingTime or disabled
	Chat                 Setting[Chat]                         `json:"chat,omitzero"`
}

// ForeignKey says that a field holds ids of documents of another index.
type ForeignKey struct {
	ForeignIndexUID string `json:"foreignIndexUid"`
	FieldName       string `json:"fieldName"`
}

// LocalizedRule gives attributes their languages.
type LocalizedRule struct {
	AttributePatterns []string `json:"attributePatterns"`
	Locales           []string `json:"locales"`
}

// TypoTolerance is the typoTolerance setting.
type TypoTolerance struct {
	Enabled             Setting[bool]                `json:"enabled,omitzero"`
	MinWordSizeForTypos Setting[MinWordSizeForTypos] `json:"minWordSizeForTypos,omitzero"`
	DisableOnWords      Setting[[]string]            `json:"disableOnWords,omitzero"`      // sorted, no duplicates
	DisableOnAttributes Setting[[]string]            `json:"disableOnAttributes,omitzero"` // sorted, no duplicates
	DisableOnNumbers    Setting[bool]                `json:"disableOnNumbers,omitzero"`
}

// MinWordSizeForTypos are the lengths from which a word may have one and two typos, 0 to 255.
type MinWordSizeForTypos struct {
	OneTypo  Setting[int] `json:"oneTypo,omitzero"`
	TwoTypos Setting[int] `json:"twoTypos,omitzero"`
}

// Faceting is the faceting setting. Orders are alpha or count, by field or * for every other field.
type Faceting struct {
	MaxValuesPerFacet Setting[int]               `json:"maxValuesPerFacet,omitzero"`
	SortFacetValuesBy Setting[map[string]string] `json:"sortFacetValuesBy,omitzero"`
}

// Pagination is the pagination setting.
type Pagination struct {
	MaxTotalHits Setting[int] `json:"maxTotalHits,omitzero"`
}

// Chat is the chat setting.
type Chat struct {
	Description              Setting[string]           `json:"description,omitzero"`
	DocumentTemplate         Setting[string]           `json:"documentTemplate,omitzero"`
	DocumentTemplateMaxBytes Setting[int]              `json:"documentTemplateMaxBytes,omitzero"`
	SearchParameters         Setting[ChatSearchParams] `json:"searchParameters,omitzero"`
}

// ChatSearchParams are the search parameters of chats.
type ChatSearchParams struct {
	Hybrid                Setting[Hybrid]   `json:"hybrid,omitzero"`
	Limit                 Setting[int]      `json:"limit,omitzero"`
	Sort                  Setting[[]string] `json:"sort,omitzero"`
	Distinct              Setting[string]   `json:"distinct,omitzero"`
	MatchingStrategy      Setting[string]   `json:"matchingStrategy,omitzero"`
	AttributesToSearchOn  Setting[[]string] `json:"attributesToSearchOn,omitzero"`
	RankingScoreThreshold Setting[float64]  `json:"rankingScoreThreshold,omitzero"`
}

// SettingRoute is one sub-route of /indexes/{uid}/settings.
type SettingRoute struct {
	Name   string // last segment of the path
	Field  string // member of the settings object
	Method string // that changes it: PUT or PATCH
}

// SettingRoutes are the sub-routes in the order of GET /settings.
var SettingRoutes = []SettingRoute{
	{"displayed-attributes", "displayedAttributes", "PUT"},
	{"searchable-attributes", "searchableAttributes", "PUT"},
	{"filterable-attributes", "filterableAttributes", "PUT"},
	{"sortable-attributes", "sortableAttributes", "PUT"},
	{"foreign-keys", "foreignKeys", "PUT"},
	{"ranking-rules", "rankingRules", "PUT"},
	{"stop-words", "stopWords", "PUT"},
	{"non-separator-tokens", "nonSeparatorTokens", "PUT"},
	{"separator-tokens", "separatorTokens", "PUT"},
	{"dictionary", "dictionary", "PUT"},
	{"synonyms", "synonyms", "PUT"},
	{"distinct-attribute", "distinctAttribute", "PUT"},
	{"proximity-precision", "proximityPrecision", "PUT"},
	{"typo-tolerance", "typoTolerance", "PATCH"},
	{"faceting", "faceting", "PATCH"},
	{"pagination", "pagination", "PATCH"},
	{"embedders", "embedders", "PATCH"},
	{"search-cutoff-ms", "searchCutoffMs", "PUT"},
	{"localized-attributes", "localizedAttributes", "PUT"},
	{"facet-search", "facetSearch", "PUT"},
	{"prefix-search", "prefixSearch", "PUT"},
	{"chat", "chat", "PATCH"},
}

// settingRoute finds a sub-route by its name.
func settingRoute(name string) (SettingRoute, error) {
	for _, route := range SettingRoutes {
		if route.Name == name {
			return route, nil
		}
	}
	return SettingRoute{}, fmt.Errorf("no setting is called %q", name)
}

// ResetSettings is the change DELETE /settings makes: every setting reset.
func ResetSettings() *Settings {
	s := &Settings{}
	for _, entry := range s.entries() {
		entry.reset()
	}
	return s
}

// ResetSetting is the change DELETE of a sub-route makes; the error is about an unknown name.
func ResetSetting(name string) (*Settings, error) {
	route, err := settingRoute(name)
	if err != nil {
		return nil, err
	}
	s := &Settings{}
	for _, entry := range s.entries() {
		if entry.name == route.Field {
			entry.reset()
		}
	}
	return s, nil
}

// LoadSettings reads settings back from what json.Marshal made of them.
func LoadSettings(text []byte) (*Settings, error) {
	s := &Settings{}
	if len(text) == 0 {
		return s, nil
	}
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	return s, nil
}

// settingEntry reaches one setting of a Settings by name.
type settingEntry struct {
	name   string
	code   Code
	isZero func() bool
	reset  func()
	decode Decode
}

func entryOf[T any](name string, code Code, dst *Setting[T], read Read[T]) settingEntry {
	return settingEntry{
		name: name, code: code,
		isZero: dst.IsZero,
		reset:  func() { *dst = ResetTo[T]() },
		decode: intoResettable(dst, read),
	}
}

// intoResettable decodes a value or the null that resets.
func intoResettable[T any](dst *Setting[T], read Read[T]) Decode {
	return func(v *Value, at *Location) *Error {
		if v.Kind == KindNull {
			*dst = ResetTo[T]()
			return nil
		}
		value, err := read(v, at)
		*dst = SetTo(value)
		return err
	}
}

// entries are all settings in the order of GET /settings.
func (s *Settings) entries() []settingEntry {
	return []settingEntry{
		entryOf("displayedAttributes", CodeInvalidSettingsDisplayedAttributes, &s.DisplayedAttributes, ReadStrings),
		entryOf("searchableAttributes", CodeInvalidSettingsSearchableAttributes, &s.SearchableAttributes, ReadStrings),
		entryOf("filterableAttributes", CodeInvalidSettingsFilterableAttributes, &s.FilterableAttributes, ReadList(readFilterableRule)),
		entryOf("sortableAttributes", CodeInvalidSettingsSortableAttributes, &s.SortableAttributes, readSet),
		entryOf("foreignKeys", CodeInvalidSettingsForeignKeys, &s.ForeignKeys, ReadList(readForeignKey)),
		entryOf("rankingRules", CodeInvalidSettingsRankingRules, &s.RankingRules, ReadList(readRankingRule)),
		entryOf("stopWords", CodeInvalidSettingsStopWords, &s.StopWords, readSet),
		entryOf("nonSeparatorTokens", CodeInvalidSettingsNonSeparatorTokens, &s.NonSeparatorTokens, readSet),
		entryOf("separatorTokens", CodeInvalidSettingsSeparatorTokens, &s.SeparatorTokens, readSet),
		entryOf("dictionary", CodeInvalidSettingsDictionary, &s.Dictionary, readSet),
		entryOf("synonyms", CodeInvalidSettingsSynonyms, &s.Synonyms, ReadMap(ReadStrings)),
		entryOf("distinctAttribute", CodeInvalidSettingsDistinctAttribute, &s.DistinctAttribute, ReadString),
		entryOf("proximityPrecision", CodeInvalidSettingsProximityPrecision, &s.ProximityPrecision, ReadEnum("byWord", "byAttribute")),
		entryOf("typoTolerance", CodeInvalidSettingsTypoTolerance, &s.TypoTolerance, readTypoTolerance),
		entryOf("faceting", CodeInvalidSettingsFaceting, &s.Faceting, readFaceting),
		entryOf("pagination", CodeInvalidSettingsPagination, &s.Pagination, readPagination),
		entryOf("embedders", CodeInvalidSettingsEmbedders, &s.Embedders, ReadMap(readEmbedderSetting)),
		entryOf("searchCutoffMs", CodeInvalidSettingsSearchCutoffMS, &s.SearchCutoffMs, readUint),
		entryOf("localizedAttributes", CodeInvalidSettingsLocalizedAttributes, &s.LocalizedAttributes, ReadList(readLocalizedRule)),
		entryOf("facetSearch", CodeInvalidSettingsFacetSearch, &s.FacetSearch, ReadBool),
		entryOf("prefixSearch", CodeInvalidSettingsPrefixSearch, &s.PrefixSearch, ReadEnum("indexingTime", "disabled")),
		entryOf("chat", CodeInvalidSettingsIndexChat, &s.Chat, readChat),
	}
}
