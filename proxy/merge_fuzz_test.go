package proxy

import (
	"encoding/json"
	"testing"

	"miroir/meili"
)

// FuzzMerge merges what two nodes answered, whatever that is: nothing panics, no hit comes twice, the
// window is kept, and what was valid JSON merges to valid JSON.
func FuzzMerge(f *testing.F) {
	hits := func(hits string) []byte {
		return []byte(`{"hits":[` + hits + `],"query":"q","processingTimeMs":1,"limit":20,"offset":0,"estimatedTotalHits":3,` +
			`"facetDistribution":{"kind":{"a":2,"b":1}},"facetStats":{"price":{"min":1.0,"max":2.5}}}`)
	}
	f.Add(hits(`{"id":1,"kind":"a","_rankingScoreDetails":{"words":{"order":0,"matchingWords":1,"maxMatchingWords":1,"score":1.0}}}`),
		hits(`{"id":"x","kind":["a","b"],"_miroir_order":"⸰","_rankingScoreDetails":{"price:asc":{"order":0,"value":2}}}`), uint8(0), uint8(20), true)
	f.Add(hits(``), []byte(`{"hits":null}`), uint8(1), uint8(0), false)
	f.Add([]byte(`{"hits":[1,"a",[],{}],"totalHits":-5,"semanticHitCount":1}`), []byte(`{"hits":[{"_rankingScoreDetails":[]}]}`), uint8(0), uint8(3), true)
	f.Fuzz(func(t *testing.T, a, b []byte, from, length uint8, distinct bool) {
		answers := []*nodeAnswer{readAnswer(a, "m", "id"), readAnswer(b, "m", "id")}
		valid := json.Valid(a) && json.Valid(b)
		lists, all := [][]hit{}, 0
		for _, answer := range answers {
			for i := range answer.hits {
				h := &answer.hits[i]
				if !json.Valid(h.raw) && valid {
					t.Fatalf("%s is no hit of %s or %s", h.raw, a, b)
				}
				h.score = detailsScore(h.ranking)
			}
			lists, all = append(lists, answer.hits), all+len(answer.hits)
		}
		field := ""
		if distinct {
			field = "kind"
		}
		m := mergeHits(lists, int(from), int(from)+int(length), field, false, compareHits)
		if len(m.hits) > int(length) || len(m.hits)+len(m.rejected) > all {
			t.Fatalf("%d hits and %d duplicates of %d for a window of %d", len(m.hits), len(m.rejected), all, length)
		}
		starts := map[*byte]bool{}
		for _, h := range append(m.hits, m.rejected...) {
			if len(h.raw) > 0 && starts[&h.raw[0]] {
				t.Fatalf("%s came twice", h.raw)
			}
			if len(h.raw) > 0 {
				starts[&h.raw[0]] = true
			}
		}
		facets := mergeFacets([]*facets{answers[0].facets, answers[1].facets}, facetRules{}, all)
		merged := searchAnswer{hits: m.hits, cutter: newHitCutter([]string{"_rankingScoreDetails"}, nil), query: &meili.SearchQuery{}, facets: facets, total: all}
		if out := merged.appendJSON(nil, "uid"); valid && !json.Valid(out) {
			t.Fatalf("%s\n%s\nmerged to %s", a, b, out)
		}
	})
}
