package meili

import "testing"

// TestReindexes has a change for each setting, and for members that take effect by themselves beside those that do not.
func TestReindexes(t *testing.T) {
	const before = `{"searchableAttributes":["a","b"],"filterableAttributes":["f",{"attributePatterns":["p"],"features":{"facetSearch":false,"filter":{"equality":true,"comparison":false}}}],
		"sortableAttributes":["s"],"stopWords":["x","y"],"typoTolerance":{"disableOnAttributes":["a"]},"localizedAttributes":[{"attributePatterns":["a"],"locales":["fra"]}],
		"embedders":{"e":{"source":"rest","url":"http://a","apiKey":"k","dimensions":2,"documentTemplate":"{{doc.a}}","documentTemplateMaxBytes":100,"request":{"i":"{{text}}"},"response":{"o":"{{embedding}}"}},
			"o":{"source":"openAi","url":"http://a","dimensions":2,"model":"text-embedding-3-small"}}}`
	for change, want := range map[string]bool{
		`{}`:                                                            false,
		`{"searchableAttributes":["b","a"]}`:                            false,
		`{"searchableAttributes":["a"]}`:                                true,
		`{"searchableAttributes":null}`:                                 true,
		`{"displayedAttributes":["a"]}`:                                 false,
		`{"rankingRules":["words"]}`:                                    false,
		`{"rankingRules":["words","s:asc"]}`:                            false,
		`{"rankingRules":["words","n:asc"]}`:                            true,
		`{"synonyms":{"a":["b"]}}`:                                      false,
		`{"stopWords":["y","x"]}`:                                       false,
		`{"stopWords":["y"]}`:                                           true,
		`{"dictionary":["d"]}`:                                          true,
		`{"separatorTokens":["|"]}`:                                     true,
		`{"nonSeparatorTokens":["#"]}`:                                  true,
		`{"proximityPrecision":"byWord"}`:                               false,
		`{"proximityPrecision":"byAttribute"}`:                          true,
		`{"prefixSearch":"disabled"}`:                                   true,
		`{"localizedAttributes":[]}`:                                    true,
		`{"facetSearch":false}`:                                         true,
		`{"facetSearch":true}`:                                          false,
		`{"typoTolerance":{"enabled":false,"disableOnWords":["w"]}}`:    false,
		`{"typoTolerance":{"disableOnAttributes":["b"]}}`:               true,
		`{"typoTolerance":{"disableOnNumbers":true}}`:                   true,
		`{"faceting":{"maxValuesPerFacet":5}}`:                          false,
		`{"pagination":{"maxTotalHits":5},"searchCutoffMs":9}`:          false,
		`{"distinctAttribute":"f"}`:                                     false,
		`{"distinctAttribute":"n"}`:                                     true,
		`{"sortableAttributes":["s","f"]}`:                              false,
		`{"sortableAttributes":["s","p"]}`:                              true,
		`{"filterableAttributes":["f"]}`:                                true,
		`{"embedders":{"e":{"apiKey":"l","dimensions":3}}}`:             false,
		`{"embedders":{"e":{"distribution":{"mean":0.1,"sigma":0.1}}}}`: false,
		`{"embedders":{"e":{"documentTemplateMaxBytes":50}}}`:           false,
		`{"embedders":{"e":{"documentTemplateMaxBytes":200}}}`:          true,
		`{"embedders":{"e":{"documentTemplate":"{{doc.b}}"}}}`:          true,
		`{"embedders":{"e":{"url":"http://b"}}}`:                        true,
		`{"embedders":{"o":{"url":"http://b"}}}`:                        false,
		`{"embedders":{"o":{"dimensions":3}}}`:                          true,
		`{"embedders":{"e":null}}`:                                      true,
		`{"embedders":{"n":{"source":"userProvided","dimensions":2}}}`:  true,
	} {
		first, err := LoadSettings([]byte(before))
		if err != nil {
			t.Fatal(err)
		}
		old, problem := (&Settings{}).Apply(first)
		if problem != nil {
			t.Fatal(problem)
		}
		delta, err := LoadSettings([]byte(change))
		if err != nil {
			t.Fatalf("%s: %v", change, err)
		}
		after, problem := old.Apply(delta)
		if problem != nil {
			t.Fatalf("%s: %v", change, problem)
		}
		if got := Reindexes(old, after); got != want {
			t.Errorf("%s: %v, want %v", change, got, want)
		}
	}
}
