package proxy

import (
	"bytes"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"miroir/fsm"
	"miroir/meili"
)

func TestQueryPieces(t *testing.T) {
	f := func(text string, want ...queryPiece) {
		t.Helper()
		got, ok := queryPieces(text, []string{"the"})
		if ok != (want != nil) || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v %v, want %+v", text, got, ok, want)
		}
	}
	f("Sun flower", queryPiece{text: "Sun", removable: true}, queryPiece{text: "flower", removable: true})
	f(`the "big the sun" -moon the`, queryPiece{text: "the"}, queryPiece{text: `"big the sun"`, phrase: 2}, queryPiece{text: "-moon"}, queryPiece{text: "the", removable: true})
	f("sun the ", queryPiece{text: "sun", removable: true}, queryPiece{text: "the"})
	for _, unsure := range []string{"sun-flower", "camelCase", "l'été", `"open`, "a,b", `x"y z"`, "東京"} {
		f(unsure)
	}
}

func TestGroupByFrequency(t *testing.T) {
	f := func(counts []uint64, want string) {
		t.Helper()
		if got := fmt.Sprint(groupByFrequency(counts)); got != want {
			t.Errorf("%v: %s, want %s", counts, got, want)
		}
	}
	f([]uint64{3, 7, 5}, "[[1] [2] [0]]")
	f([]uint64{3, 0, 5, 0}, "[[1 3] [2] [0]]")
	f([]uint64{4, 4, 9}, "[[2] [0 1]]")
}

func TestRemovalSteps(t *testing.T) {
	pieces, _ := queryPieces(`a "p q" b c d`, nil)
	r := (&removal{}).withSteps(pieces, [][]int{{3}, {0, 2}}, true, func(string) int { return 1 })
	var got []string
	for _, step := range r.steps {
		got = append(got, fmt.Sprint(step.dropped, " ", strings.ReplaceAll(step.text, filler, "*")))
	}
	want := []string{ // c is dropped before a and b, which stand in front of it; d stays
		`0 a "p q" b c d `, `1 a "p q" b * d `, `2 * "p q" b * d `, `2 a "p q" * * d `, `3 * "p q" * * d `,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestRankAfterDropping(t *testing.T) {
	const found = `{"id":1,"_rankingScore":0.5,"_rankingScoreDetails":{"price:asc":{"order":0,"value":3.0},"typo":{"order":1,"typoCount":0,"maxTypoCount":1,"score":1.0}}}`
	h := hit{raw: []byte(found), score: score{{kind: sortEntry}, {value: 1}}}
	(&removal{maxWords: 4, before: 1}).rank(&h, removalStep{dropped: 1, maxTypos: 1})
	const want = `{"id":1,"_rankingScore":0.625,"_rankingScoreDetails":{"price:asc":{"order":0,"value":3.0},` +
		`"words":{"order":1,"matchingWords":3,"maxMatchingWords":4,"score":0.75},"typo":{"order":2,"typoCount":0,"maxTypoCount":1,"score":1.0}}}`
	if string(h.raw) != want {
		t.Errorf("%s, want %s", h.raw, want)
	}
	federated := hit{raw: []byte(`{}`), score: score{{kind: sortEntry}, {value: 0.5}}}
	(&removal{maxWords: 4, before: 1}).rank(&federated, removalStep{dropped: 2})
	if got := federated.score[1].value; got != 0.375 {
		t.Errorf("weighted score %v", got)
	}
}

var rankingScore = regexp.MustCompile(`"_rankingScore":[0-9.]+`)

// withoutScores is text without overall scores. They depend on how many ranks the rules of a search have, and that of one
// search for fewer words has some more.
func withoutScores(text []byte) []byte {
	return rankingScore.ReplaceAll(text, []byte(`"_rankingScore":0`))
}

// Words are frequent on other nodes than over all: each node alone would drop another one first.
func TestFrequencyIsThatOfTheWholeIndex(t *testing.T) {
	one := newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 12})
	spread := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 12, spread: fsm.SpreadAll})
	twice := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 2, shards: 12, spread: fsm.SpreadAll})
	words := []string{"amber", "birch", "cedar", "delta", "ember"}
	var documents []string
	for id := range 90 {
		var text []string
		for i, word := range words {
			if (id*7+i*i*3)%(i+2) == 0 || id%(11+i) == 0 {
				text = append(text, word)
			}
		}
		documents = append(documents, fmt.Sprintf(`{"id":%d,"family":%d,"price":%d,"text":%q}`, id, id%9, id*37%50, strings.Join(text, " ")))
	}
	for _, c := range []*writeCluster{one, spread, twice} {
		succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"filterableAttributes":["family","price"],"sortableAttributes":["price"]}`))
		succeeded(t, c.do("POST", "/indexes/m/documents", "["+strings.Join(documents, ",")+"]"))
	}
	for _, text := range []string{"amber birch", "cedar amber ember", "delta birch cedar amber", `"amber birch" cedar delta`, "birch -ember cedar delta", "ember delta birch amb", "nothing cedar delta"} {
		for _, rest := range []string{
			`"limit":100`, `"showRankingScore":true,"showRankingScoreDetails":true,"offset":3`, `"sort":["price:asc"],"hitsPerPage":7,"page":2,"facets":["family"]`,
			`"filter":"family > 3","attributesToHighlight":["*"],"showMatchesPosition":true,"limit":100`, `"distinct":"family","facets":["price"]`, `"attributesToRetrieve":["id"],"limit":4`,
		} {
			body := fmt.Sprintf(`{"q":%s,"matchingStrategy":"frequency",%s}`, meili.AppendString(nil, text), rest)
			want := one.call("POST", "/indexes/m/search", body)
			for name, c := range map[string]*writeCluster{"rf 1": spread, "rf 2": twice} {
				got := c.call("POST", "/indexes/m/search", body)
				for _, member := range []string{"hits", "query", "estimatedTotalHits", "totalHits", "facetDistribution"} {
					w, g := withoutScores(memberOf(want.Body.Bytes(), member)), withoutScores(memberOf(got.Body.Bytes(), member))
					if strings.Contains(rest, "distinct") && member != "hits" {
						continue // which duplicates are counted is not what this is about
					}
					if !bytes.Equal(w, g) {
						for i := range min(len(w), len(g)) {
							if w[i] != g[i] {
								w, g = w[max(0, i-200):], g[max(0, i-200):]
								break
							}
						}
						t.Errorf("%s: %s: %s is\n%s, want\n%s", name, body, member, g, w)
					}
				}
			}
		}
	}
}
