package proxy

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"miroir/workers"
)

// oddSettings are values of each setting in forms that a server may store otherwise than they were sent.
var oddSettings = map[string][]string{
	"displayedAttributes":  {`["b","a","b"]`, `["a.b","a"]`, `["*","a"]`, `[]`, `["É","é"]`, `null`, `["_geo"]`, `[" a "]`},
	"searchableAttributes": {`["b","a","b"]`, `["a.b","a"]`, `["a","*"]`, `[]`, `null`, `["_geo"]`, `["É"]`},
	"filterableAttributes": {`["b","a","b"]`, `["_geo"]`, `["_geojson"]`, `["*"]`, `["a.*"]`, `[]`, `null`, `[{"attributePatterns":["b","a","b"]}]`, `[{"attributePatterns":["a"],"features":{}},"a"]`,
		`[{"attributePatterns":["*"],"features":{"facetSearch":true,"filter":{"equality":false,"comparison":false}}}]`, `["_vectors"]`, `[{"attributePatterns":[]}]`},
	"sortableAttributes": {`["b","a","b"]`, `["_geo"]`, `[]`, `null`, `["É","e"]`},
	"rankingRules":       {`["words","words"]`, `[]`, `["a:asc","a:desc"]`, `["É:desc","typo","attribute"]`, `["attributeRank","wordPosition"]`, `null`, `["_geoPoint(1,2):asc"]`, `["words","typo","proximity","attribute","sort","exactness"]`},
	"stopWords":          {`["The","the","THE"]`, `["Été","e\u0301te\u0301","straße"]`, `[""]`, `["a b"]`, `["ﬁ","①","ﾊ"]`, `[]`, `null`},
	"nonSeparatorTokens": {`["@","#","@"]`, `["é","e\u0301"]`, `[""," "]`, `[]`, `null`},
	"separatorTokens":    {`["|","&sep","|"]`, `["É","e\u0301"]`, `[""]`, `null`},
	"dictionary":         {`["J. K.","j. k.","J. K."]`, `["e\u0301"]`, `[""]`, `["ﬁ"]`, `null`},
	"synonyms":           {`{"A":["B","b"],"a":["c"]}`, `{"é":["e\u0301"]}`, `{"a":[]}`, `{"":["x"]}`, `{"a b":["c d","c  d"]}`, `{"San Francisco":["SF","s.f."],"sf":["san francisco"]}`, `{}`, `null`, `{"ﬁ":["①"]}`, `{"a":["a"]}`},
	"distinctAttribute":  {`"a"`, `""`, `"a.b"`, `null`, `" a"`},
	"proximityPrecision": {`"byWord"`, `"byAttribute"`, `null`},
	"typoTolerance": {`{"enabled":null}`, `{"minWordSizeForTypos":{"oneTypo":0,"twoTypos":255}}`, `{"minWordSizeForTypos":{"oneTypo":5,"twoTypos":5}}`, `{"disableOnWords":["É","e\u0301","Ab","ab"]}`,
		`{"disableOnAttributes":["b","a","b"]}`, `{"disableOnNumbers":true}`, `null`, `{}`, `{"enabled":false,"disableOnWords":["a b"]}`, `{"minWordSizeForTypos":null}`},
	"faceting":   {`{"maxValuesPerFacet":0}`, `{"maxValuesPerFacet":100}`, `{"sortFacetValuesBy":{"*":"count"}}`, `{"sortFacetValuesBy":{"a":"count","É":"alpha"}}`, `{"sortFacetValuesBy":{}}`, `{"sortFacetValuesBy":null}`, `null`, `{"maxValuesPerFacet":null}`},
	"pagination": {`{"maxTotalHits":0}`, `{"maxTotalHits":1000}`, `null`, `{}`, `{"maxTotalHits":4294967296}`},
	"embedders": {`{"e":{"source":"userProvided","dimensions":2}}`, `{"e":{"source":"userProvided","dimensions":2,"distribution":{"mean":0.30000001,"sigma":0.1}}}`, `{"e":null}`, `{"É a":{"source":"userProvided","dimensions":1}}`, `{}`, `null`,
		`{"r":{"source":"rest","url":"http://127.0.0.1:1/","dimensions":2,"request":{"i":["{{text}}","{{..}}"]},"response":{"o":["{{embedding}}","{{..}}"]},"headers":{"B":"1","a":"2"}}}`,
		`{"r":{"source":"rest","url":"http://127.0.0.1:1/","dimensions":2,"documentTemplate":"{{ doc.a | upcase }}","documentTemplateMaxBytes":7,"request":"{{text}}","response":"{{embedding}}","apiKey":""}}`,
		`{"o":{"source":"ollama","url":"http://127.0.0.1:1/api/embed","model":"m","dimensions":2,"apiKey":"é"}}`, `{"p":{"source":"openAi","apiKey":"sk-0123456789abcdef"}}`, `{"p":{"source":"openAi","model":"text-embedding-ada-002"}}`},
	"searchCutoffMs":      {`0`, `1`, `null`, `18446744073709551615`},
	"localizedAttributes": {`[{"attributePatterns":["b","a","b"],"locales":["en","eng"]}]`, `[{"attributePatterns":["*"],"locales":[]}]`, `[]`, `null`, `[{"attributePatterns":["a"],"locales":["jpn","fra"]},{"attributePatterns":["a"],"locales":["zh"]}]`},
	"facetSearch":         {`true`, `false`, `null`},
	"prefixSearch":        {`"indexingTime"`, `"disabled"`, `null`},
}

// What a server makes of odd values is known: a difference that is none would freeze the writes of an index.
func TestOddSettingsReadBackFromRealServers(t *testing.T) {
	rt, addresses := realNodes(t, 1)
	c := newWriteClusterOver(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 4}, rt, addresses)
	c.watchDrift(workers.Drift{Interval: time.Hour})
	succeeded(t, c.do("POST", "/indexes", `{"uid":"m","primaryKey":"id"}`))
	compare := func(after string) {
		t.Helper()
		ix := c.state.View().Index("m")
		if check, err := c.server.CheckSettings(t.Context(), ix.ID, "n0-0"); err != nil || !check.Equal() {
			t.Errorf("after %s: %v, differing %v", after, err, check.Differing)
			for _, name := range check.Differing {
				t.Errorf("  %s on the node: %s; in the state: %s", name, check.Present[name], ix.Settings)
			}
			c.on("n0-0", "DELETE", "/indexes/"+ix.NodeUID+"/settings", "")
			c.do("DELETE", "/indexes/m/settings", "")
		}
	}
	change := func(body string) {
		t.Helper()
		if answer := c.call("PATCH", "/indexes/m/settings", body); answer.Code == 202 {
			c.await(c.accepted(answer))
			compare(body)
		}
	}
	names := slices.Sorted(maps.Keys(oddSettings))
	for _, name := range names {
		for _, value := range oddSettings[name] {
			change(fmt.Sprintf(`{%q:%s}`, name, value))
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		var members []string
		for _, name := range names {
			if values := oddSettings[name]; rng.IntN(4) == 0 {
				members = append(members, fmt.Sprintf(`%q:%s`, name, values[rng.IntN(len(values))]))
			}
		}
		change("{" + strings.Join(members, ",") + "}")
	}
}
