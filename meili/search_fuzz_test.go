package meili

import (
	"bytes"
	"encoding/json"
	"testing"
)

// A decoded search sent on is the same search for the next server.
func FuzzDecodeSearch(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"q":"a","limit":3,"filter":["a = 1",["b","c"]],"hybrid":{"embedder":"e","semanticRatio":0.5},"vector":[1,2e3]}`,
		`{"facets":["*"],"sort":["a:asc"],"locales":["en"],"personalize":{"userContext":"x"},"media":{"a":null}}`,
		`{"limit":18446744073709551615,"rankingScoreThreshold":1e-300}`, `{"q":"\u2028<","q":"b"}`, `[[[`, `{"a":1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		q, err := DecodeSearch(body)
		if err != nil {
			return
		}
		checkStable(t, q, func(text []byte) (any, *Error) { return DecodeSearch(text) })
	})
}

// checkStable checks that what is printed decodes to what prints the same.
func checkStable(t *testing.T, first any, decode func([]byte) (any, *Error)) {
	t.Helper()
	text, err := json.Marshal(first)
	if err != nil {
		t.Fatal(err)
	}
	second, refused := decode(text)
	if refused != nil {
		t.Fatalf("%s: %s", text, refused.Message)
	}
	again, err := json.Marshal(second)
	if err != nil || !bytes.Equal(text, again) {
		t.Fatalf("first %s\nthen %s %v", text, again, err)
	}
}

func FuzzDecodeSearchParams(f *testing.F) {
	for _, seed := range []string{"", "q=a&limit=3", "filter=%5B%22a%22%5D&sort=_geoPoint(1,2):asc", "vector=1,2&hybridEmbedder=e", "q=%zz&q=%ff", "limits=1", "filter=null"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		q, err := DecodeSearchParams(query)
		if err != nil || string(q.Filter) == "null" {
			return
		}
		checkStable(t, q, func(text []byte) (any, *Error) { return DecodeSearch(text) })
	})
}

func FuzzDecodeMultiSearch(f *testing.F) {
	for _, seed := range []string{`{"queries":[]}`, `{"queries":[{"indexUid":"m","limit":null}],"federation":{"facetsByIndex":{"m":null,"n":["a"]},"mergeFacets":{}}}`, `{"queries":[{"indexUid":"m","federationOptions":{"weight":2}}]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := DecodeMultiSearch(body)
		if err != nil {
			return
		}
		checkStable(t, m, func(text []byte) (any, *Error) { return DecodeMultiSearch(text) })
	})
}
