package proxy

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"testing"

	"miroir/fsm"
)

// A preview says what a change does before it is made, and makes none of it.
func TestPreviewIsWhatTheChangeDoes(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 4, spread: fsm.SpreadAll})
	const path = "/_miroir/indexes/m/settings"
	for _, test := range []struct {
		change  string
		differs []string
		reindex bool
	}{
		{`{"stopWords":["the"],"pagination":{"maxTotalHits":50}}`, []string{"pagination", "stopWords"}, true}, // the index is new
		{`{"stopWords":["the"]}`, nil, false},
		{`{"synonyms":{"a":["b"]},"displayedAttributes":["id"]}`, []string{"displayedAttributes", "synonyms"}, false},
		{`{"filterableAttributes":["id"]}`, []string{"filterableAttributes"}, true},
		{`{"pagination":null,"stopWords":[]}`, []string{"pagination", "stopWords"}, true},
	} {
		state := func() string { return fmt.Sprint(c.state.View().NextTaskUID, string(mustJSON(c.state.View().Indexes))) }
		before := state()
		preview := c.admin("POST", path+"/preview", test.change, http.StatusOK)
		if after := state(); after != before {
			t.Fatalf("%s: the preview changed the state: %s, before %s", test.change, after, before)
		}
		diff := preview["diff"].(map[string]any)
		if got := slices.Sorted(maps.Keys(diff)); !reflect.DeepEqual(got, test.differs) || preview["reindex"] != test.reindex {
			t.Errorf("%s: differs in %v, reindex %v", test.change, got, preview["reindex"])
		}
		shown := map[string]any{}
		if c.state.View().Index("m") != nil {
			shown = c.get("/indexes/m/settings")
		}
		succeeded(t, c.do("PATCH", "/indexes/m/settings", test.change))
		after := c.get("/indexes/m/settings")
		for name, value := range diff {
			d := value.(map[string]any)
			if shown[name] != nil && !reflect.DeepEqual(d["now"], shown[name]) || !reflect.DeepEqual(d["after"], after[name]) {
				t.Errorf("%s: %s is %v, was %v and became %v", test.change, name, d, shown[name], after[name])
			}
		}
		version := c.admin("GET", path+"/version", "", http.StatusOK)
		if preview["fingerprint_after"] != version["fingerprint"] || (preview["fingerprint_now"] == version["fingerprint"]) != (test.differs == nil) {
			t.Errorf("%s: fingerprints %v and %v, then %v", test.change, preview["fingerprint_now"], preview["fingerprint_after"], version["fingerprint"])
		}
	}
}

// What PATCH refuses, at once or as its task, a preview refuses in the same words.
func TestPreviewRefusesWhatAChangeRefuses(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	succeeded(t, c.do("POST", "/indexes", `{"uid":"m"}`))
	for _, bad := range []string{`{`, `{"nope":1}`, `{"stopWords":1}`, `{"rankingRules":["up"]}`, `{"displayedAttributes":["_miroir_shard"]}`, `{"chat":{"description":"d"}}`,
		`{"embedders":{"e":{"source":"userProvided"}}}`, `{"typoTolerance":{"minWordSizeForTypos":{"oneTypo":9,"twoTypos":3}}}`,
		`{"typoTolerance":{"minWordSizeForTypos":{"oneTypo":200}}}`} {
		status, refused := http.StatusBadRequest, map[string]any{}
		if answer := c.call("PATCH", "/indexes/m/settings", bad); answer.Code == http.StatusAccepted {
			refused = c.await(c.accepted(answer))["error"].(map[string]any)
		} else {
			status = answer.Code
			if err := json.Unmarshal(answer.Body.Bytes(), &refused); err != nil {
				t.Fatal(err)
			}
		}
		if got := c.admin("POST", "/_miroir/indexes/m/settings/preview", bad, status); !reflect.DeepEqual(got, refused) {
			t.Errorf("%s: got %v, want %v", bad, got, refused)
		}
	}
	if got := c.admin("POST", "/_miroir/indexes/a%20b/settings/preview", `{}`, http.StatusBadRequest); got["code"] != "invalid_index_uid" {
		t.Errorf("a bad name: %v", got)
	}
}
