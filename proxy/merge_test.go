package proxy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"miroir/meili"
)

// drawHit makes a hit with the details of a search by words, a sort, a geo sort and the rest of the words' rules.
func drawHit(r *rand.Rand, id int) hit {
	value := []string{"null", "1.5", "2.0", `"a"`, `"b"`}[r.IntN(5)]
	distance := []string{"null", "10.5", "99.0"}[r.IntN(3)]
	details := fmt.Sprintf(`{"words":{"order":0,"matchingWords":%d,"maxMatchingWords":3,"score":%g},"typo":{"order":1,"typoCount":%d,"maxTypoCount":%d,"score":0.5},`+
		`"price:%s":{"order":2,"value":%s},"_geoPoint(1.0, 2.0):asc":{"order":3,"value":null,"distance":%s},"exactness":{"order":4,"matchType":"exactMatch","score":%g}}`,
		r.IntN(3), float64(r.IntN(3))/3, r.IntN(3), 2+r.IntN(2), "desc", value, distance, float64(r.IntN(3))/3)
	raw := fmt.Sprintf(`{"id":%d,"group":%d,"_rankingScoreDetails":%s}`, id, r.IntN(40), details)
	return hit{raw: []byte(raw), score: detailsScore([]byte(details))}
}

// TestAnySplitMergesToTheSameOrder: however hits are split over nodes, the merge gives the order one node would.
func TestAnySplitMergesToTheSameOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		all := make([]hit, r.IntN(60))
		for i := range all {
			all[i] = drawHit(r, i)
		}
		lists := make([][]hit, 1+r.IntN(5))
		for _, h := range all {
			i := r.IntN(len(lists))
			lists[i] = append(lists[i], h)
		}
		best := func(a, b hit) int { return -compareScores(a.score, b.score) }
		slices.SortStableFunc(all, best)
		for i := range lists {
			slices.SortStableFunc(lists[i], best)
		}
		from := r.IntN(len(all) + 1)
		to := from + r.IntN(20)
		merged := mergeHits(lists, from, to, "", false, byScore).hits
		want := all[from:min(to, len(all))]
		if len(merged) != len(want) {
			t.Fatalf("%d hits at [%d, %d) of %d, want %d", len(merged), from, to, len(all), len(want))
		}
		for i := range merged {
			if compareScores(merged[i].score, want[i].score) != 0 {
				t.Fatalf("hit %d is %s, want one like %s", i, merged[i].raw, want[i].raw)
			}
		}
	}
}

// TestDistinctIsGlobal: after any split the merged stream has each group once, its best hit.
func TestDistinctIsGlobal(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 200 {
		all := make([]hit, 60)
		lists := make([][]hit, 3)
		for i := range all {
			all[i] = drawHit(r, i)
			n := r.IntN(len(lists))
			lists[n] = append(lists[n], all[i])
		}
		best := func(a, b hit) int { return -compareScores(a.score, b.score) }
		slices.SortStableFunc(all, best)
		wantGroups := map[string]score{}
		for _, h := range all {
			if group := string(memberOf(h.raw, "group")); wantGroups[group] == nil {
				wantGroups[group] = h.score
			}
		}
		for i := range lists { // nodes apply distinct themselves
			slices.SortStableFunc(lists[i], best)
			lists[i] = mergeHits(lists[i:i+1], 0, len(lists[i]), "group", false, byScore).hits
		}
		merged := mergeHits(lists, 0, 1000, "group", false, byScore)
		if len(merged.hits) != len(wantGroups) {
			t.Fatalf("%d groups, want %d", len(merged.hits), len(wantGroups))
		}
		for _, h := range merged.hits {
			if compareScores(h.score, wantGroups[string(memberOf(h.raw, "group"))]) != 0 {
				t.Fatalf("%s is not the best of its group", h.raw)
			}
		}
	}
}

func TestCompareScores(t *testing.T) {
	details := func(text string) score { return detailsScore([]byte("{" + text + "}")) }
	weighted := func(text string) score { return weightedScore([]byte("[" + text + "]")) }
	for _, test := range []struct {
		name string
		a, b score // a comes first
	}{
		{"more words", details(`"words":{"score":1.0}`), details(`"words":{"score":0.5}`)},
		{"fewer typos whatever the maximum", details(`"typo":{"typoCount":1,"maxTypoCount":2,"score":0.67}`), details(`"typo":{"typoCount":2,"maxTypoCount":5,"score":0.67}`)},
		{"a later rule decides", details(`"words":{"score":1.0},"proximity":{"score":0.9}`), details(`"words":{"score":1.0},"proximity":{"score":0.8}`)},
		{"ascending", details(`"p:asc":{"value":1.0}`), details(`"p:asc":{"value":2.0}`)},
		{"descending", details(`"p:desc":{"value":"b"}`), details(`"p:desc":{"value":"a"}`)},
		{"numbers before strings, ascending", details(`"p:asc":{"value":9.0}`), details(`"p:asc":{"value":"a"}`)},
		{"numbers before strings, descending", details(`"p:desc":{"value":9.0}`), details(`"p:desc":{"value":"a"}`)},
		{"nothing last", details(`"p:desc":{"value":"a"}`), details(`"p:desc":{"value":null}`)},
		{"nearer", details(`"_geoPoint(1, 2):asc":{"value":{},"distance":1.0}`), details(`"_geoPoint(1, 2):asc":{"value":{},"distance":2.0}`)},
		{"farther", details(`"_geoPoint(1, 2):desc":{"value":{},"distance":2.0}`), details(`"_geoPoint(1, 2):desc":{"value":{},"distance":1.0}`)},
		{"somewhere", details(`"_geoPoint(1, 2):desc":{"value":{},"distance":2.0}`), details(`"_geoPoint(1, 2):desc":{"value":null,"distance":null}`)},
		{"old attribute rule, second part", details(`"attribute":{"attributeRankingOrderScore":1.0,"queryWordDistanceScore":0.9,"score":1.0}`), details(`"attribute":{"attributeRankingOrderScore":1.0,"queryWordDistanceScore":0.8,"score":1.0}`)},
		{"judged before skipped", details(`"typo":{"typoCount":2}`), details(`"skipped":{"order":1}`)},
		{"similarity", details(`"vectorSort":{"similarity":0.9}`), details(`"vectorSort":{"similarity":0.8}`)},
		{"weighted score", weighted(`{"weightedScore":0.9}`), weighted(`{"weightedScore":0.8}`)},
		{"weighted sort", weighted(`{"weightedScore":0.9},{"sort":{"asc":true,"value":"a"}}`), weighted(`{"weightedScore":0.9},{"sort":{"asc":true,"value":"b"}}`)},
		{"weighted geo", weighted(`{"geoSort":{"asc":true,"distance":1.0}}`), weighted(`{"geoSort":{"asc":true,"distance":2.0}}`)},
		{"hybrid: weights decide", weighted(`{"weightedScore":0.8}`).weighted(0.3), weighted(`{"vectorSort":0.9}`).weighted(0.3)},
	} {
		if compareScores(test.a, test.b) <= 0 || compareScores(test.b, test.a) >= 0 || compareScores(test.a, test.a) != 0 {
			t.Errorf("%s: %v against %v", test.name, test.a, test.b)
		}
	}
}

func TestMergeFacets(t *testing.T) {
	settings := func(order string, most int) facetRules {
		s, err := meili.LoadSettings([]byte(fmt.Sprintf(`{"faceting":{"maxValuesPerFacet":%d,"sortFacetValuesBy":{"*":%q}}}`, most, order)))
		if err != nil {
			t.Fatal(err)
		}
		return facetRules{settings: s, maxValues: most}
	}
	whole := func(rules facetRules) facetRules {
		rules.whole = true
		return rules
	}
	read := func(distribution, stats string) *facets { return readFacets([]byte(distribution), []byte(stats)) }
	for _, test := range []struct {
		name        string
		parts       []*facets
		rules       facetRules
		candidates  int
		want, stats string
	}{
		{"sums", []*facets{read(`{"c":{"red":1,"blue":2}}`, `{}`), read(`{"c":{"red":3},"d":{}}`, `{}`)}, settings("alpha", 100), 10,
			`{"c":{"blue":2,"red":4},"d":{}}`, `{}`},
		{"spelling of the first, order by the normalized form", []*facets{read(`{"c":{"Zed":1}}`, `{}`), read(`{"c":{"apple":1,"zed":1}}`, `{}`)}, settings("alpha", 100), 10,
			`{"c":{"apple":1,"Zed":2}}`, `{}`},
		{"numbers by text while few", []*facets{read(`{"n":{"10":1,"2":1,"x":1}}`, `{"n":{"min":2.0,"max":10.0}}`), read(`{"n":{"1":1,"a":1}}`, `{"n":{"min":1.0,"max":1.0}}`)}, settings("alpha", 100), 10,
			`{"n":{"1":1,"10":1,"2":1,"a":1,"x":1}}`, `{"n":{"min":1.0,"max":10.0}}`},
		{"numbers by value once many", []*facets{read(`{"n":{"10":1,"2":1}}`, `{"n":{"min":2.0,"max":10.0}}`)}, settings("alpha", 100), 3001,
			`{"n":{"2":1,"10":1}}`, `{"n":{"min":2.0,"max":10.0}}`},
		{"by count, ties backwards, cut", []*facets{read(`{"c":{"a":2,"b":1}}`, `{}`), read(`{"c":{"c":2,"b":2}}`, `{}`)}, settings("count", 2), 10,
			`{"c":{"b":3,"c":2}}`, `{}`},
		{"of an index that lives whole, as its node lists them", []*facets{nil, read(`{"n":{"2":1,"4":1,"3":1,"b":1,"c":1}}`, `{"n":{"min":2.0,"max":4.0}}`)}, whole(settings("count", 4)), 10,
			`{"n":{"2":1,"4":1,"3":1,"b":1}}`, `{"n":{"min":2.0,"max":4.0}}`},
		{"of two nodes, as one server would list them", []*facets{read(`{"n":{"1":1}}`, `{"n":{"min":1.0,"max":1.0}}`), read(`{"n":{"2":1,"4":1,"3":1}}`, `{"n":{"min":2.0,"max":4.0}}`)}, whole(settings("count", 4)), 10,
			`{"n":{"4":1,"3":1,"2":1,"1":1}}`, `{"n":{"min":1.0,"max":4.0}}`},
		{"texts that only look like numbers", []*facets{read(`{"c":{"10":1,"9":1,"b":1}}`, `{}`)}, settings("alpha", 2), 5000,
			`{"c":{"10":1,"9":1}}`, `{}`},
	} {
		got := mergeFacets(test.parts, test.rules, test.candidates)
		if text := string(got.appendDistribution(nil)); text != test.want {
			t.Errorf("%s: %s, want %s", test.name, text, test.want)
		}
		if text := string(got.appendStats(nil)); text != test.stats {
			t.Errorf("%s: stats %s, want %s", test.name, text, test.stats)
		}
	}
	if mergeFacets([]*facets{nil, nil}, settings("alpha", 1), 0) != nil {
		t.Error("no facets must stay no facets")
	}
}

// TestDoubtful: whatever the cut, once no value is in doubt and none unseen, the first values of the sums are certain.
func TestDoubtful(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	const most = 5
	byCount, _ := meili.LoadSettings([]byte(`{"faceting":{"sortFacetValuesBy":{"*":"count"}}}`))
	rules := facetRules{settings: byCount, maxValues: most}
	certain := 0
	for range 3000 {
		truth := map[string]uint64{}
		lists := make([]cutList, 2+r.IntN(3))
		for i := range lists {
			var values []facetValue
			for v := range 4 + r.IntN(8) {
				if r.IntN(3) > 0 {
					text := fmt.Sprintf("v%02d", v)
					count := 1 + r.Uint64N(uint64(40/(v+1)+2))
					values = append(values, facetValue{text, count})
					truth[text] += count
				}
			}
			sortFacet(values, "count", func(a, b facetValue) int { return strings.Compare(a.text, b.text) })
			lists[i] = cutList{counts: map[string]facetValue{}}
			lists[i].append(values[:min(len(values), most)], most)
		}
		doubts, unseen := doubtful(lists, most)
		if len(doubts) > 0 || unseen {
			continue
		}
		certain++
		var all, seen []facetValue
		sums := map[string]uint64{}
		for _, l := range lists {
			for key, value := range l.counts {
				sums[key] += value.count
			}
		}
		for text, count := range truth {
			all = append(all, facetValue{text, count})
		}
		for text, count := range sums {
			seen = append(seen, facetValue{text, count})
		}
		want, got := rules.order("f", all, false, 0), rules.order("f", seen, false, 0)
		if !slices.Equal(want, got) {
			t.Fatalf("certain of %v, but it is %v", got, want)
		}
	}
	if certain < 100 {
		t.Errorf("only %d draws were certain", certain)
	}
}

func TestFacetValuesOfAHit(t *testing.T) {
	h := hit{raw: []byte(`{"a":{"b":["Red",{"x":1}],"c":1},"list":[{"k":1.0},{"k":"É"}],"ok":true,"none":null,"a.b":"dotted"}`), extra: []byte(`{"hidden":5}`)}
	for field, want := range map[string][]string{
		"a.b": {`"dotted`, `"red`}, "a.c": {"1"}, "list.k": {`"e` + "\u0301", "1"}, "ok": {`"true`}, "none": nil, "hidden": {"5"}, "a": nil,
	} {
		if got := h.facetValues(field); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", field, got, want)
		}
	}
}
