package proxy

import (
	"fmt"
	"strings"
	"testing"

	"miroir/fsm"
	"miroir/meili"
)

func TestForgetsWords(t *testing.T) {
	for _, test := range []struct {
		before, after string
		want          bool
	}{
		{`{}`, `{"searchableAttributes":["a"]}`, true},
		{`{"searchableAttributes":["a"]}`, `{"searchableAttributes":["a"],"rankingRules":["typo"]}`, false},
		{`{"searchableAttributes":["a","b"]}`, `{"searchableAttributes":["b","a"]}`, true},
		{`{}`, `{"stopWords":["the"]}`, true},
		{`{"stopWords":["the"]}`, `{"stopWords":[]}`, true},
		{`{}`, `{"typoTolerance":{"disableOnNumbers":true}}`, true},
		{`{}`, `{"typoTolerance":{"enabled":false}}`, false},
		{`{}`, `{"synonyms":{"a":["b"]}}`, false},
		{`{}`, `{"searchableAttributes":["a"],"prefixSearch":"disabled"}`, false},
		{`{"prefixSearch":"disabled"}`, `{"searchableAttributes":["a"],"prefixSearch":"indexingTime"}`, false},
	} {
		var settings [2]*meili.Settings
		for i, text := range []string{test.before, test.after} {
			var err error
			if settings[i], err = meili.LoadSettings([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		if got := forgetsWords(settings[0], settings[1]); got != test.want {
			t.Errorf("from %s to %s: %v", test.before, test.after, got)
		}
	}
}

// Each node knows 150 words that begin with o by a field that is no longer searched, and few by the one that is.
func TestPrefixesAfterAChangeOfSettings(t *testing.T) {
	rt, addresses := realNodes(t, 2)
	c := newWriteClusterOver(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 8, spread: fsm.SpreadAll}, rt, addresses)
	var documents []string
	for id := range 300 {
		name := "library"
		if id%10 == 0 {
			name = "library open"
		}
		documents = append(documents, fmt.Sprintf(`{"id":%d,"name":%q,"more":"o%dx"}`, id, name, 1000+id))
	}
	succeeded(t, c.do("POST", "/indexes/m/documents", "["+strings.Join(documents, ",")+"]"))
	succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"searchableAttributes":["name"]}`))
	answer := c.call("POST", "/indexes/m/search", `{"q":"library o","limit":1000,"attributesToRetrieve":["id"]}`).Body.Bytes()
	hits := itemsOf(memberOf(answer, "hits"))
	if len(hits) != 300 || !strings.HasSuffix(string(memberOf(hits[29], "id")), "0") {
		t.Errorf("%d hits, want 300, the 30 with open first", len(hits))
	}
	if shown := c.call("GET", "/indexes/m/settings/prefix-search", "").Body.String(); shown != `"indexingTime"` {
		t.Errorf("prefixSearch is %s", shown)
	}
}
