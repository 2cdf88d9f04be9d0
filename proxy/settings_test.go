package proxy

import (
	"testing"

	"miroir/fsm"
	"miroir/meili"
)

func TestNodesGetTheirRule(t *testing.T) {
	for name, index := range map[string]struct {
		ix       *fsm.Index
		patterns string
	}{
		"whole":  {&fsm.Index{Shards: 2}, `["_miroir_none"]`},
		"cut up": {&fsm.Index{Shards: 2, Placement: map[fsm.GroupID][][]fsm.Replica{0: {nil, nil}}}, `["_miroir_shard","_miroir_none"]`},
	} {
		rule := `{"attributePatterns":` + index.patterns + `,"features":{"facetSearch":false,"filter":{"equality":true,"comparison":false}}}`
		for change, want := range map[string]string{
			`{"stopWords":["a"]}`:            `{"stopWords":["a"]}`,
			`{"filterableAttributes":["a"]}`: `{"filterableAttributes":["a",` + rule + `]}`,
			`{"filterableAttributes":null}`:  `{"filterableAttributes":[` + rule + `]}`,
		} {
			delta, err := meili.LoadSettings([]byte(change))
			if err != nil {
				t.Fatal(err)
			}
			if got := settingsFor(index.ix, delta, delta); string(got) != want {
				t.Errorf("%s, %s: got %s, want %s", name, change, got, want)
			}
		}
		if got, want := string(createIndex("", !index.ix.Whole()).Settings), `{"filterableAttributes":[`+rule+`]}`; got != want {
			t.Errorf("%s, new: got %s, want %s", name, got, want)
		}
	}
}

func TestReservedSettings(t *testing.T) {
	for _, change := range []string{
		`{"displayedAttributes":["_miroir_shard"]}`, `{"searchableAttributes":["a","_miroir_shard"]}`, `{"filterableAttributes":["_miroir_shard"]}`,
		`{"filterableAttributes":[{"attributePatterns":["_miroir_shard"]}]}`, `{"sortableAttributes":["_miroir_shard"]}`, `{"searchableAttributes":["_miroir_order.x"]}`, `{"dictionary":["a⹏b"]}`,
		`{"distinctAttribute":"_miroir_shard"}`, `{"rankingRules":["_miroir_shard:asc"]}`, `{"nonSeparatorTokens":["⸱"]}`, `{"dictionary":["a⸳b"]}`,
	} {
		delta, err := meili.LoadSettings([]byte(change))
		if err != nil {
			t.Fatal(err)
		}
		if got := checkReserved(delta); got == nil || got.Code != codeReservedField {
			t.Errorf("%s: %v", change, got)
		}
	}
	harmless, _ := meili.LoadSettings([]byte(`{"displayedAttributes":["_miroir_shards"],"dictionary":["a"],"separatorTokens":["⸱"],"stopWords":["_miroir_shard"]}`))
	if got := checkReserved(harmless); got != nil {
		t.Errorf("harmless: %v", got)
	}
}

func TestUndoSettings(t *testing.T) {
	for name, test := range map[string]struct {
		delta, before string
		want          []string
	}{
		"a list goes back":       {`{"stopWords":["b"]}`, `{"stopWords":["a"],"dictionary":["x"]}`, []string{`{"stopWords":["a"]}`}},
		"never set":              {`{"stopWords":["b"]}`, ``, []string{`{"stopWords":null}`}},
		"was reset":              {`{"stopWords":["b"]}`, `{"stopWords":null}`, []string{`{"stopWords":null}`}},
		"merged objects":         {`{"pagination":{"maxTotalHits":5}}`, `{"pagination":{"maxTotalHits":9}}`, []string{`{"pagination":null}`, `{"pagination":{"maxTotalHits":9}}`}},
		"embedders one by one":   {`{"embedders":{"b":{"source":"userProvided","dimensions":2}}}`, `{"embedders":{"a":{"source":"userProvided","dimensions":3}}}`, []string{`{"embedders":{"b":null}}`}},
		"no embedder before":     {`{"embedders":{"b":{"source":"userProvided","dimensions":2}}}`, `{}`, []string{`{"embedders":null}`}},
		"the shard rule is kept": {`{"filterableAttributes":["b"]}`, `{}`, []string{string(settingsForNode(nil, nil))}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := undoSettings([]byte(test.delta), &fsm.Index{NextSettings: []byte(test.before)})
			if err != nil || len(got) != len(test.want) {
				t.Fatalf("got %s, want %s, error %v", got, test.want, err)
			}
			for i := range got {
				if string(got[i]) != test.want[i] {
					t.Errorf("got %s, want %s", got[i], test.want[i])
				}
			}
		})
	}
}
