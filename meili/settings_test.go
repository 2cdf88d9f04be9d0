package meili

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestDecodeSettingsErrors(t *testing.T) {
	f := func(body string, code Code, message string) {
		t.Helper()
		_, err := DecodeSettings([]byte(body), Features{})
		checkError(t, body, err, code, message)
	}
	f(`{"displayedAttributes":"a"}`, CodeInvalidSettingsDisplayedAttributes, "Invalid value type at `.displayedAttributes`: expected an array, but found a string: `\"a\"`")
	f(`{"stopWords":["a",1]}`, CodeInvalidSettingsStopWords, "Invalid value type at `.stopWords[1]`: expected a string, but found a positive integer: `1`")
	f(`{"rankingRules":["wordz"]}`, CodeInvalidSettingsRankingRules, "Invalid value at `.rankingRules[0]`: `wordz` ranking rule is invalid. Valid ranking rules are words, typo, sort, proximity, attribute, exactness and custom ranking rules.")
	f(`{"rankingRules":["_geoPoint(1,2):asc"]}`, CodeInvalidSettingsRankingRules, "Invalid value at `.rankingRules[0]`: `_geoPoint` is a reserved keyword and thus can't be used as a ranking rule. `_geoPoint` can only be used for sorting at search time")
	f(`{"rankingRules":["_geoRadius(1):asc"]}`, CodeInvalidSettingsRankingRules, "Invalid value at `.rankingRules[0]`: `_geoRadius` is a reserved keyword and thus can't be used as a ranking rule. `_geoRadius` can only be used for filtering at search time")
	f(`{"rankingRules":["_geo:asc"]}`, CodeInvalidSettingsRankingRules, "Invalid value at `.rankingRules[0]`: `_geo` is a reserved keyword and thus can't be used as a ranking rule")
	f(`{"rankingRules":["attribute","a:desc","wordPosition"]}`, CodeInvalidSettingsRankingRules, "Mixed usage of the attribute, attributeRank, and wordPosition ranking rules. You must either use the attribute ranking rule alone or the attributeRank and wordPosition ranking rules.")
	f(`{"typoTolerance":{"minWordSizeForTypos":{"oneTypo":300}}}`, CodeInvalidSettingsTypoTolerance, "Invalid value at `.typoTolerance.minWordSizeForTypos.oneTypo`: value: `300` is too large to be deserialized, maximum value authorized is `255`")
	f(`{"typoTolerance":{"minWordSizeForTypos":{"oneTypo":9,"twoTypos":5}}}`, CodeInvalidSettingsTypoTolerance, "Invalid value at `.typoTolerance.minWordSizeForTypos`: `minWordSizeForTypos` setting is invalid. `oneTypo` and `twoTypos` fields should be between `0` and `255`, and `twoTypos` should be greater or equals to `oneTypo` but found `oneTypo: 9` and twoTypos: 5`.")
	f(`{"typoTolerance":{"enable":true}}`, CodeInvalidSettingsTypoTolerance, "Unknown field `enable` inside `.typoTolerance`: did you mean `enabled`? expected one of `enabled`, `minWordSizeForTypos`, `disableOnWords`, `disableOnAttributes`, `disableOnNumbers`")
	f(`{"faceting":{"sortFacetValuesBy":{"a":"size"}}}`, CodeInvalidSettingsFaceting, "Unknown value `size` at `.faceting.sortFacetValuesBy.a`: expected one of `alpha`, `count`")
	f(`{"pagination":{"maxTotalHits":0}}`, CodeInvalidSettingsPagination, "Invalid value at `.pagination.maxTotalHits`: a non-zero integer value lower than `18446744073709551615` was expected, but found a zero")
	f(`{"filterableAttributes":[{"attributePatterns":["a"],"features":{"filter":{"eq":true}}}]}`, CodeInvalidSettingsFilterableAttributes, "Unknown field `eq` inside `.filterableAttributes[0].features.filter`: expected one of `equality`, `comparison`")
	f(`{"filterableAttributes":[{"features":{}}]}`, CodeInvalidSettingsFilterableAttributes, "Missing field `attributePatterns` inside `.filterableAttributes[0]`")
	f(`{"localizedAttributes":[{"attributePatterns":["a"]}]}`, CodeInvalidSettingsLocalizedAttributes, "Missing field `locales` inside `.localizedAttributes[0]`")
	f(`{"proximityPrecision":"byWords"}`, CodeInvalidSettingsProximityPrecision, "Unknown value `byWords` at `.proximityPrecision`: did you mean `byWord`? expected one of `byWord`, `byAttribute`")
	f(`{"foreignKeys":[]}`, CodeFeatureNotEnabled, "setting `foreignKeys` in the index settings requires enabling the `foreign_keys` experimental feature. See https://github.com/orgs/meilisearch/discussions/873")
	f(`{"chat":{}}`, CodeFeatureNotEnabled, "setting `chat` in the index settings requires enabling the `chat completions` experimental feature. See https://github.com/orgs/meilisearch/discussions/835")
	f(`{"foreignKeys":null,"chat":null}`, "", "")
}

func TestDecodeSettingPathsStartAtTheSetting(t *testing.T) {
	_, err := DecodeSetting("stop-words", []byte(`["a",1]`), Features{})
	checkError(t, "item", err, CodeInvalidSettingsStopWords, "Invalid value type at `[1]`: expected a string, but found a positive integer: `1`")
	_, err = DecodeSetting("pagination", []byte(`1`), Features{})
	checkError(t, "kind", err, CodeInvalidSettingsPagination, "Invalid value type: expected an object, but found a positive integer: `1`")
	s, err := DecodeSetting("synonyms", []byte(`null`), Features{})
	if err != nil || !s.Synonyms.Reset || string(s.Details()) != `{"synonyms":null}` {
		t.Fatal(s, err)
	}
}

func decodeSettings(t *testing.T, body string) *Settings {
	t.Helper()
	s, err := DecodeSettings([]byte(body), AllFeatures())
	if err != nil {
		t.Fatalf("%s: %s", body, err.Message)
	}
	return s
}

// applyAll applies changes one by one, with what is stored printed and read back in between.
func applyAll(t *testing.T, bodies ...string) *Settings {
	t.Helper()
	var s *Settings
	for _, body := range bodies {
		next, err := s.Apply(decodeSettings(t, body))
		if err != nil {
			t.Fatalf("%s: %s", body, err.Message)
		}
		text, _ := json.Marshal(next)
		back, loadErr := LoadSettings(text)
		if loadErr != nil {
			t.Fatal(loadErr)
		}
		s = back
	}
	return s
}

func TestViewOfAnIndexWithoutSettings(t *testing.T) {
	want := `{"displayedAttributes":["*"],"searchableAttributes":["*"],"filterableAttributes":[],"sortableAttributes":[],"rankingRules":["words","typo","proximity","attributeRank","sort","wordPosition","exactness"],"stopWords":[],"nonSeparatorTokens":[],"separatorTokens":[],"dictionary":[],"synonyms":{},"distinctAttribute":null,"proximityPrecision":"byWord","typoTolerance":{"enabled":true,"minWordSizeForTypos":{"oneTypo":5,"twoTypos":9},"disableOnWords":[],"disableOnAttributes":[],"disableOnNumbers":false},"faceting":{"maxValuesPerFacet":100,"sortFacetValuesBy":{"*":"alpha"}},"pagination":{"maxTotalHits":1000},"embedders":{},"searchCutoffMs":null,"localizedAttributes":null,"facetSearch":true,"prefixSearch":"indexingTime"}`
	for name, s := range map[string]*Settings{"nil": nil, "empty": {}, "reset": ResetSettings()} {
		if got := string(s.View(Features{})); got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
}

func TestViewShowsGatedSettingsWithTheirFeature(t *testing.T) {
	view := string((*Settings)(nil).View(Features{ForeignKeys: true, ChatCompletions: true}))
	if !strings.Contains(view, `"sortableAttributes":[],"foreignKeys":[],"rankingRules"`) || !strings.HasSuffix(view, `"documentTemplateMaxBytes":400,"searchParameters":{}}}`) {
		t.Fatal(view)
	}
}

func TestApplyMergesMemberByMember(t *testing.T) {
	f := func(name, want string, bodies ...string) {
		t.Helper()
		got, err := applyAll(t, bodies...).ViewOf(name)
		if err != nil || string(got) != want {
			t.Errorf("%s after %q:\n got %s %v\nwant %s", name, bodies, got, err, want)
		}
	}
	f("typo-tolerance", `{"enabled":false,"minWordSizeForTypos":{"oneTypo":4,"twoTypos":10},"disableOnWords":["ete","zoo"],"disableOnAttributes":[],"disableOnNumbers":false}`,
		`{"typoTolerance":{"enabled":false,"minWordSizeForTypos":{"oneTypo":4}}}`, `{"typoTolerance":{"minWordSizeForTypos":{"twoTypos":10},"disableOnWords":["Zoo","été"]}}`)
	f("typo-tolerance", `{"enabled":true,"minWordSizeForTypos":{"oneTypo":5,"twoTypos":9},"disableOnWords":["a"],"disableOnAttributes":[],"disableOnNumbers":false}`,
		`{"typoTolerance":{"enabled":false,"minWordSizeForTypos":{"oneTypo":4},"disableOnWords":["a"]}}`, `{"typoTolerance":{"enabled":null,"minWordSizeForTypos":null}}`)
	f("faceting", `{"maxValuesPerFacet":5,"sortFacetValuesBy":{"*":"alpha","b":"count"}}`,
		`{"faceting":{"sortFacetValuesBy":{"a":"count"}}}`, `{"faceting":{"maxValuesPerFacet":5}}`, `{"faceting":{"sortFacetValuesBy":{"b":"count"}}}`)
	f("pagination", `{"maxTotalHits":7}`, `{"pagination":{"maxTotalHits":7}}`, `{"pagination":{}}`)
	f("searchable-attributes", `["b","a"]`, `{"searchableAttributes":["b","a","b"]}`)
	f("displayed-attributes", `["*"]`, `{"displayedAttributes":["a"]}`, `{"displayedAttributes":["b","*"]}`)
	f("filterable-attributes", `["b",{"attributePatterns":["x*"],"features":{"facetSearch":false,"filter":{"equality":true,"comparison":true}}},"b"]`,
		`{"filterableAttributes":["b",{"attributePatterns":["x*"],"features":{"filter":{"comparison":true}}},"b"]}`)
	f("sortable-attributes", `["a","z"]`, `{"sortableAttributes":["z","a","z"]}`)
	f("localized-attributes", `[{"attributePatterns":["a*"],"locales":["jpn","eng","cmn"]}]`, `{"localizedAttributes":[{"attributePatterns":["a*"],"locales":["ja","eng","cmn"]}]}`)
	f("synonyms", `{"B":["c","b"],"a":[]}`, `{"synonyms":{"z":["y"]}}`, `{"synonyms":{"a":[],"B":["c","b"]}}`)
	f("chat", `{"description":"d","documentTemplate":"x","documentTemplateMaxBytes":400,"searchParameters":{"hybrid":{"semanticRatio":0.5,"embedder":"e"},"sort":["a:asc"]}}`,
		`{"chat":{"description":"d","searchParameters":{"limit":3,"hybrid":{"embedder":"e"}}}}`, `{"chat":{"documentTemplate":"x","searchParameters":{"limit":null,"sort":["a:asc"]}}}`)
}

func TestApplyLeavesItsInputsAlone(t *testing.T) {
	before := applyAll(t, `{"typoTolerance":{"enabled":false},"embedders":{"e":{"source":"userProvided","dimensions":3}}}`)
	text, _ := json.Marshal(before)
	if _, err := before.Apply(decodeSettings(t, `{"typoTolerance":null,"embedders":{"e":null},"stopWords":["a"]}`)); err != nil {
		t.Fatal(err)
	}
	if after, _ := json.Marshal(before); string(after) != string(text) {
		t.Fatalf("%s\n%s", text, after)
	}
}

func TestApplyErrors(t *testing.T) {
	f := func(code Code, message string, bodies ...string) {
		t.Helper()
		last := len(bodies) - 1
		_, err := applyAll(t, bodies[:last]...).Apply(decodeSettings(t, bodies[last]))
		checkError(t, bodies[last], err, code, message)
	}
	f(CodeInvalidSettingsTypoTolerance, minWordSizeMessage(10, 9), `{}`, `{"typoTolerance":{"minWordSizeForTypos":{"oneTypo":10}}}`)
	f(CodeInvalidSettingsTypoTolerance, minWordSizeMessage(10, 9), `{"typoTolerance":{"minWordSizeForTypos":{"oneTypo":10,"twoTypos":20}}}`, `{"typoTolerance":{"minWordSizeForTypos":{"twoTypos":null}}}`)
	f(CodeInvalidSettingsEmbedders, "`.embedders.u.binaryQuantized`: Cannot disable the binary quantization.\n - Note: Binary quantization is a lossy operation that cannot be reverted.\n - Hint: Add a new embedder that is non-quantized and regenerate the vectors.",
		`{"embedders":{"u":{"source":"userProvided","dimensions":3,"binaryQuantized":true}}}`, `{"embedders":{"u":{"binaryQuantized":false}}}`)
	f(CodeInvalidSettingsEmbedders, "`.embedders.u`: Missing field `dimensions` (note: this field is mandatory for source `userProvided`)",
		`{"embedders":{"u":{"source":"userProvided","dimensions":3}}}`, `{"embedders":{"u":{"dimensions":null}}}`)
}

func TestDetailsShowWhatWasSent(t *testing.T) {
	f := func(body, want string) {
		t.Helper()
		if got := string(decodeSettings(t, body).Details()); got != want {
			t.Errorf("%s:\n got %s\nwant %s", body, got, want)
		}
	}
	f(`{}`, `{}`)
	f(`{"stopWords":["b","a","b"],"searchableAttributes":["t","t"],"displayedAttributes":null}`, `{"displayedAttributes":["*"],"searchableAttributes":["t","t"],"stopWords":["a","b"]}`)
	f(`{"typoTolerance":{"minWordSizeForTypos":{"oneTypo":null}},"faceting":null}`, `{"typoTolerance":{"minWordSizeForTypos":{"oneTypo":null}},"faceting":null}`)
	f(`{"filterableAttributes":[{"attributePatterns":["<a>"]}]}`, `{"filterableAttributes":[{"attributePatterns":["<a>"],"features":{"facetSearch":false,"filter":{"equality":true,"comparison":false}}}]}`)
	f(`{"embedders":{"e":{"source":"openAi","apiKey":"0123456789"},"f":null}}`, `{"embedders":{"e":{"source":"openAi","apiKey":"01XXXX..."},"f":null}}`)
}

func TestReset(t *testing.T) {
	s := applyAll(t, `{"stopWords":["a"],"distinctAttribute":"d","pagination":{"maxTotalHits":3},"embedders":{"e":{"source":"userProvided","dimensions":3}}}`)
	all, err := s.Apply(ResetSettings())
	if err != nil || string(all.View(Features{})) != string((*Settings)(nil).View(Features{})) {
		t.Fatal(err, string(all.View(Features{})))
	}
	one, unknown := ResetSetting("distinct-attribute")
	if unknown != nil {
		t.Fatal(unknown)
	}
	if s, err = s.Apply(one); err != nil || s.Distinct() != "" || s.MaxTotalHits() != 3 {
		t.Fatal(err, s)
	}
	if _, unknown := ResetSetting("nope"); unknown == nil {
		t.Fatal("reset of an unknown setting")
	}
}

func TestHideSecret(t *testing.T) {
	f := func(secret, want string) {
		t.Helper()
		if got := HideSecret(secret); got != want {
			t.Errorf("%s: got %s, want %s", secret, got, want)
		}
	}
	f("", "XXX...")
	f("123456789", "XXX...")
	f("1234567890", "12XXXX...")
	f("12345678901234567890", "123XXXXX...")
	f("123456789012345678901234567890", "12345XXXXXX...")
	f("ひらがな6789012345678901234567890", "ひらXXXXXX...")
}

func TestGettersOfSettings(t *testing.T) {
	s := applyAll(t, `{"displayedAttributes":["a.b","c"],"faceting":{"sortFacetValuesBy":{"*":"count","x":"alpha"}},"facetSearch":false,"prefixSearch":"disabled"}`)
	for field, want := range map[string]bool{"a": true, "a.b": true, "a.b.c": true, "a.x": false, "c": true, "cc": false} {
		if s.IsDisplayed(field) != want {
			t.Errorf("%s displayed: %v", field, !want)
		}
	}
	if s.FacetSort("x") != "alpha" || s.FacetSort("y") != "count" || s.FacetSearchEnabled() || s.PrefixSearchEnabled() {
		t.Error(s)
	}
	var none *Settings
	if !none.IsDisplayed("a") || none.FacetSort("a") != "alpha" || none.MaxTotalHits() != 1000 || none.MaxValuesPerFacet() != 100 || none.Embedder("e") != nil || none.Searchable() != nil {
		t.Error("defaults")
	}
}

func FuzzDecodeSettings(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"rankingRules":["words","a:desc"],"stopWords":["b","a"],"synonyms":{"a":["b"]},"typoTolerance":{"minWordSizeForTypos":{"oneTypo":null}}}`,
		`{"filterableAttributes":["a",{"attributePatterns":["b*"],"features":{"facetSearch":true}}],"displayedAttributes":["*"],"localizedAttributes":null}`,
		`{"embedders":{"e":{"source":"rest","url":"http://x","request":["{{text}}","{{..}}"],"response":["{{embedding}}","{{..}}"],"headers":{"a":"b"}},"f":null}}`,
		`{"embedders":{"c":{"source":"composite","searchEmbedder":{"source":"openAi"},"indexingEmbedder":{"source":"ollama","model":"m"}}}}`,
		`{"chat":{"searchParameters":{"hybrid":{"embedder":"e"},"limit":3}},"foreignKeys":[{"foreignIndexUid":"a","fieldName":"b"}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := DecodeSettings(body, AllFeatures())
		if err != nil {
			return
		}
		checkStable(t, s, func(text []byte) (any, *Error) { return DecodeSettings(text, AllFeatures()) })
		next, err := (*Settings)(nil).Apply(s)
		if err != nil {
			return
		}
		checkStable(t, next, func(text []byte) (any, *Error) {
			back, err := LoadSettings(text)
			if err != nil {
				return nil, newError(CodeInternal, err.Error())
			}
			return back, nil
		})
		next.View(AllFeatures())
		next.Details()
	})
}
