package proxy

import (
	"bytes"
	"encoding/json"
	"testing"

	"miroir/meili"
)

func TestStrip(t *testing.T) {
	f := func(input string, s *shape, want string) {
		t.Helper()
		if got := string(strip([]byte(input), s)); got != want {
			t.Fatalf("strip(%s)\n got %s\nwant %s", input, got, want)
		}
	}
	f(`{"id":1}`, documentShape, `{"id":1}`)
	f(`{"_miroir_shard":"⸱","id":1}`, documentShape, `{"id":1}`)
	f(`{"id":1,"_miroir_shard":"⸱"}`, documentShape, `{"id":1}`)
	f(`{"_miroir_shard":"⸱"}`, documentShape, `{}`)
	f(`{"a":1, "_miroir_shard":"⸱", "b":2}`, documentShape, `{"a":1, "b":2}`)
	f(`{"a":1, "_miroir_shard":"⸱" }`, documentShape, `{"a":1 }`)
	f(`{"a":{"_miroir_shard":1},"b":"_miroir_shard"}`, documentShape, `{"a":{"_miroir_shard":1},"b":"_miroir_shard"}`)
	f(`{"_miroir_shard":1,"_miroir_shard":2}`, documentShape, `{}`)
	f(`{"a":1,"_miroir_shard":1,"_miroir_shard":2}`, documentShape, `{"a":1}`)
	f(`{"hits":[{"id":1,"_miroir_shard":"⸱","_formatted":{"_miroir_shard":"⸱","id":"1"}},{"_miroir_shard":"⸱"}],"query":"_miroir_shard"}`, searchShape,
		`{"hits":[{"id":1,"_formatted":{"id":"1"}},{}],"query":"_miroir_shard"}`)
	f(`{"hits":[],"facetDistribution":{"_miroir_shard":{"⸱":3},"a":{"_miroir_shard":1}},"facetStats":{"_miroir_shard":{}}}`, searchShape,
		`{"hits":[],"facetDistribution":{"a":{"_miroir_shard":1}},"facetStats":{}}`)
	f(`{"facetsByIndex":{"x":{"distribution":{"_miroir_shard":{}},"stats":{"_miroir_shard":1,"b":2}}}}`, searchShape,
		`{"facetsByIndex":{"x":{"distribution":{},"stats":{"b":2}}}}`)
	f(`{"results":[{"indexUid":"a","hits":[{"t":"\"_miroir_shard\":1","_miroir_shard":"⸱"}]}]}`, multiShape,
		`{"results":[{"indexUid":"a","hits":[{"t":"\"_miroir_shard\":1"}]}]}`)
	f(`{"numberOfDocuments":1,"fieldDistribution":{"_miroir_shard":1,"id":1}}`, statsShape, `{"numberOfDocuments":1,"fieldDistribution":{"id":1}}`)
}

// TestOneServersFacets: the hits of an answer are looked into once, and its facets are found behind them.
func TestOneServersFacets(t *testing.T) {
	settings, err := meili.LoadSettings([]byte(`{"faceting":{"maxValuesPerFacet":1,"sortFacetValuesBy":{"*":"count"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	const facets, shown = `,"facetDistribution":{"_miroir_shard":{},"a":{"x":2,"y":1}},"facetStats":{}}`, `,"facetDistribution":{"a":{"x":2}},"facetStats":{}}`
	for before, want := range map[string]string{
		`{"hits":[{"a":"\"facetDistribution\":{","_miroir_shard":"⸱"},{"_miroir_shard":"⸱","id":1}],"query":""`: `{"hits":[{"a":"\"facetDistribution\":{"},{"id":1}],"query":""`,
		`{"hits":[]`:   `{"hits":[]`,
		`{ "query":""`: `{ "query":""`,
	} {
		stripped, behind, _ := stripAnswer([]byte(before + facets))
		got, ok := cutFacets(stripped, behind, settings)
		if !ok || string(got) != want+shown {
			t.Errorf("%s was cut to %s, %v", before+facets, got, ok)
		}
	}
}

// FuzzStripAnswer: it judges what is JSON as plausible does, and strips them as strip does.
func FuzzStripAnswer(f *testing.F) {
	for _, text := range []string{
		``, ` `, `{`, `{}`, `[]`, `{"hits":[]}`, ` {"query":"","hits":[{"a":"}"}]} `, `{"hits":{}}`, `{"hits":[}`, `{"hits":[]`, `{"hits":[]}}`, `{"hits":`, `{"hits":[],"a":}`,
		`{"hits":[{"_miroir_shard":"⸱","_formatted":{"_miroir_shard":""}}],"facetDistribution":{"_miroir_shard":{}}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		plain := plausible("/indexes/a/search", text)
		want := strip(bytes.Clone(text), searchShape)
		got, behind, ok := stripAnswer(bytes.Clone(text))
		if behind > len(got) || ok != plain && json.Valid(text) {
			t.Fatalf("of %q: %v, hits end at %d of %q", text, ok, behind, got)
		}
		if ok && plain && !bytes.Equal(got, want) {
			t.Fatalf("%q became %q, not %q", text, got, want)
		}
	})
}

// FuzzStrip checks that a valid document stays valid, loses the hidden field and nothing else.
func FuzzStrip(f *testing.F) {
	f.Add([]byte(`{"id":1,"_miroir_shard":"x","b":{"_miroir_shard":[1,{}]}}`))
	f.Add([]byte(`{ "_miroir_shard" : null , "\"":"\\" }`))
	f.Add([]byte(`[1,2,{"_miroir_shard":1}]`))
	f.Fuzz(func(t *testing.T, input []byte) {
		stripped := strip(bytes.Clone(input), documentShape)
		if !json.Valid(input) {
			return
		}
		if !json.Valid(stripped) {
			t.Fatalf("%s became invalid: %s", input, stripped)
		}
		var before, after map[string]json.RawMessage
		if json.Unmarshal(input, &before) != nil || before == nil {
			if !bytes.Equal(input, stripped) {
				t.Fatalf("%s is no object and became %s", input, stripped)
			}
			return
		}
		if err := json.Unmarshal(stripped, &after); err != nil {
			t.Fatal(err)
		}
		for key, value := range after {
			if !bytes.Equal(before[key], value) {
				t.Fatalf("%s: member %q changed from %s to %s", input, key, before[key], value)
			}
			delete(before, key)
		}
		delete(before, shardField)
		if len(before) > 0 {
			t.Fatalf("%s lost %v", input, before)
		}
	})
}

func BenchmarkStrip(b *testing.B) {
	hit := `{"id":123,"title":"A title of usual length","overview":"` + string(bytes.Repeat([]byte("words and more words "), 20)) + `","_miroir_shard":"⸱⸲⸰"}`
	body := []byte(`{"hits":[` + hit)
	for range 19 {
		body = append(body, ","+hit...)
	}
	body = append(body, `],"query":"","processingTimeMs":1}`...)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		strip(body, searchShape)
	}
}
