package engine

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// only makes settings with one ranking rule, after words.
func only(rules ...string) string {
	return `{"rankingRules": ["` + strings.Join(rules, `", "`) + `"]}`
}

func TestWordsRule(t *testing.T) {
	ix := newIndex(t, only("words"),
		`{"id": 0, "t": "quick brown"}`, `{"id": 1, "t": "quick brown fox"}`, `{"id": 2, "t": "quick"}`, `{"id": 3, "t": "fox"}`)
	f := func(strategy, want string) {
		t.Helper()
		r := search(t, ix, `{"q": "quick brown fox", "showRankingScoreDetails": true, "matchingStrategy": "`+strategy+`"}`)
		if strategy == "all" {
			expect(t, strategy, ids(r), want)
			return
		}
		expect(t, strategy, ranked(t, r, "words", "matchingWords"), want)
	}
	f("last", "1=3 0=2 2=1")
	f("all", "1")
	f("frequency", "1=2") // quick, in three documents, may go; brown and fox, in two each, would go together and so stay
}

func TestWordsRuleJoinsAndSplits(t *testing.T) {
	ix := newIndex(t, only("words", "typo"), `{"id": 0, "t": "sunflower"}`, `{"id": 1, "t": "sun flower"}`, `{"id": 2, "t": "flower of the sun"}`)
	expect(t, "two words find the joined one", ranked(t, search(t, ix, `{"q": "sun flower", "showRankingScoreDetails": true}`), "typo", "typoCount"), "1=0 2=0 0=2")
	expect(t, "one word finds its two halves", ranked(t, search(t, ix, `{"q": "sunflower", "showRankingScoreDetails": true}`), "typo", "typoCount"), "0=0 1=1")
}

func TestTypoRule(t *testing.T) {
	ix := newIndex(t, only("words", "typo"),
		`{"id": 0, "t": "kubernetes"}`, `{"id": 1, "t": "kubernets"}`, `{"id": 2, "t": "kuberntse"}`, `{"id": 3, "t": "zubernetes"}`, `{"id": 4, "t": "kuber"}`)
	r := search(t, ix, `{"q": "kubernetes", "showRankingScoreDetails": true}`)
	expect(t, "a wrong first letter costs two", ranked(t, r, "typo", "typoCount"), "0=0 1=1 2=2 3=2")
	expect(t, "short words have no typos", ids(search(t, newIndex(t, "", `{"id": 0, "t": "cafe"}`), `{"q": "caff "}`)), "")
	f := func(settings, want string) {
		t.Helper()
		expect(t, settings, ids(search(t, newIndex(t, settings, `{"id": 0, "t": "kubernetes"}`, `{"id": 1, "u": "kubernetes"}`), `{"q": "kubernetez "}`)), want)
	}
	f(`{}`, "0 1")
	f(`{"typoTolerance": {"enabled": false}}`, "")
	f(`{"typoTolerance": {"disableOnWords": ["kubernetez"]}}`, "")
	f(`{"typoTolerance": {"disableOnAttributes": ["t"]}}`, "1")
	f(`{"typoTolerance": {"minWordSizeForTypos": {"oneTypo": 11, "twoTypos": 12}}}`, "")
	numbers := newIndex(t, `{"typoTolerance": {"disableOnNumbers": true}}`, `{"id": 0, "t": "20241"}`)
	expect(t, "numbers", ids(search(t, numbers, `{"q": "20242 "}`)), "")
}

func TestProximityRule(t *testing.T) {
	documents := []string{
		`{"id": 0, "t": "big data"}`, `{"id": 1, "t": "data big"}`, `{"id": 2, "t": "big red data"}`, `{"id": 3, "t": "big. data"}`,
		`{"id": 4, "t": "big", "u": "data"}`,
	}
	r := search(t, newIndex(t, only("words", "proximity"), documents...), `{"q": "big data", "showRankingScoreDetails": true}`)
	expect(t, "by word", ranked(t, r, "proximity", "score"), "0=1 1=0.75 2=0.75 3=0.25 4=0.25")
	byAttribute := newIndex(t, `{"rankingRules": ["words", "proximity"], "proximityPrecision": "byAttribute"}`, documents...)
	r = search(t, byAttribute, `{"q": "big data", "showRankingScoreDetails": true}`)
	expect(t, "by attribute", ranked(t, r, "proximity", "score"), "0=1 1=1 2=1 3=1 4=0.25")
}

func TestAttributeRules(t *testing.T) {
	documents := []string{`{"id": 0, "b": "one word"}`, `{"id": 1, "a": "two word"}`, `{"id": 2, "a": "word"}`}
	settings := `{"searchableAttributes": ["a", "b"], "rankingRules": ["words", "%s"]}`
	r := search(t, newIndex(t, fmt.Sprintf(settings, "attributeRank"), documents...), `{"q": "word", "showRankingScoreDetails": true}`)
	expect(t, "rank", ranked(t, r, "attributeRank", "score"), "1=1 2=1 0=0.5")
	r = search(t, newIndex(t, fmt.Sprintf(settings, "wordPosition"), documents...), `{"q": "word", "showRankingScoreDetails": true}`)
	expect(t, "position", ranked(t, r, "wordPosition", "score"), "2=1 0=0.9091 1=0.9091")
	r = search(t, newIndex(t, fmt.Sprintf(settings, "attribute"), documents...), `{"q": "word", "showRankingScoreDetails": true}`)
	expect(t, "both", ranked(t, r, "attribute", "score"), "2=1 1=0.9545 0=0.4545")
}

func TestExactnessRule(t *testing.T) {
	ix := newIndex(t, only("words", "exactness"),
		`{"id": 0, "t": "the sunflowers"}`, `{"id": 1, "t": "sunflower"}`, `{"id": 2, "t": "sunflower seeds"}`, `{"id": 3, "t": "a sunflower"}`)
	r := search(t, ix, `{"q": "sunflower", "showRankingScoreDetails": true}`)
	expect(t, "match types", ranked(t, r, "exactness", "matchType"), "1=exac 2=matc 3=noEx 0=noEx")
	expect(t, "words", ranked(t, r, "exactness", "score"), "1=1 2=0.6667 3=0.3333 0=0.1667")
}

func TestSortRule(t *testing.T) {
	ix := newIndex(t, `{"sortableAttributes": ["n"], "rankingRules": ["sort", "words"]}`,
		`{"id": 0, "n": 2}`, `{"id": 1, "n": "B"}`, `{"id": 2}`, `{"id": 3, "n": 10}`, `{"id": 4, "n": "a"}`, `{"id": 5, "n": [1, 20]}`)
	expect(t, "numbers, then strings, then the rest", ids(search(t, ix, `{"sort": ["n:asc"]}`)), "5 0 3 4 1 2")
	r := search(t, ix, `{"sort": ["n:desc"], "showRankingScoreDetails": true}`)
	expect(t, "the greatest of several values counts", ranked(t, r, "n:desc", "value"), "5=20 3=10 0=2 1=b 4=a 2=<nil>")
	expect(t, "unknown field", refusal(t, ix, `{"sort": ["x:asc"]}`), "invalid_search_sort: Index `x`: Attribute `x` is not sortable. Available sortable attributes are: `n`.")
}

func TestAscDescRules(t *testing.T) {
	ix := newIndex(t, only("words", "n:desc"), `{"id": 0, "t": "x", "n": 1}`, `{"id": 1, "t": "x", "n": 3}`, `{"id": 2, "t": "x"}`)
	expect(t, "desc", ids(search(t, ix, `{"q": "x"}`)), "1 0 2")
	expect(t, "placeholder", ids(search(t, ix, `{}`)), "1 0 2")
}

func TestGeoSort(t *testing.T) {
	ix := newIndex(t, `{"sortableAttributes": ["_geo"]}`,
		`{"id": "lyon", "_geo": {"lat": 45.76, "lng": 4.84}}`, `{"id": "none"}`, `{"id": "paris", "_geo": {"lat": "48.86", "lng": "2.35"}}`)
	r := search(t, ix, `{"sort": ["_geoPoint(48.8, 2.3):asc"], "showRankingScoreDetails": true}`)
	expect(t, "asc", ranked(t, r, "_geoPoint(48.8, 2.3):asc", "distance"), "paris=7610 lyon=3.885e+05 none=<nil>")
	expect(t, "desc", ids(search(t, ix, `{"sort": ["_geoPoint(48.8, 2.3):desc"]}`)), "lyon paris none")
	if !strings.Contains(string(r.Hits[0].Document), `"_geoDistance":7610`) {
		t.Errorf("no distance in %s", r.Hits[0].Document)
	}
}

func TestThreshold(t *testing.T) {
	ix := newIndex(t, "", `{"id": 0, "t": "quick brown fox"}`, `{"id": 1, "t": "quick"}`)
	r := search(t, ix, `{"q": "quick brown fox", "rankingScoreThreshold": 0.7}`)
	expect(t, "hits", ids(r), "0")
	if r.TotalHits != 1 {
		t.Errorf("%d hits in total, want 1", r.TotalHits)
	}
}

func TestPhrasesAndNegatives(t *testing.T) {
	ix := newIndex(t, `{"stopWords": ["the"]}`,
		`{"id": 0, "t": "lord of the rings"}`, `{"id": 1, "t": "rings of a lord"}`, `{"id": 2, "t": "lord of rings"}`)
	f := func(q, want string) {
		t.Helper()
		expect(t, q, ids(search(t, ix, fmt.Sprintf(`{"q": %q}`, q))), want)
	}
	f(`"of rings"`, "2")
	f(`"lord of the rings"`, "0 2") // a stop word stands for nothing, so both distances do
	f(`lord -"of rings"`, "0 1")
	f(`rings -a`, "0 2")
	f(`-lord`, "")
	f(`"rings of" lord`, "1")
}

func TestSynonyms(t *testing.T) {
	ix := newIndex(t, `{"synonyms": {"ny": ["new york"], "big apple": ["new york"]}}`, `{"id": 0, "t": "new york"}`, `{"id": 1, "t": "york new"}`)
	expect(t, "one word", ids(search(t, ix, `{"q": "ny"}`)), "0")
	expect(t, "two words", ids(search(t, ix, `{"q": "big apple"}`)), "0")
	expect(t, "one way only", ids(search(t, newIndex(t, `{"synonyms": {"a1": ["b1"]}}`, `{"id": 0, "t": "a1"}`), `{"q": "b1 "}`)), "")
}

func TestPrefixSearch(t *testing.T) {
	documents := []string{`{"id": 0, "t": "wonderful"}`}
	expect(t, "last word", ids(search(t, newIndex(t, "", documents...), `{"q": "won"}`)), "0")
	expect(t, "followed by a space", ids(search(t, newIndex(t, "", documents...), `{"q": "won "}`)), "")
	expect(t, "disabled", ids(search(t, newIndex(t, `{"prefixSearch": "disabled"}`, documents...), `{"q": "won"}`)), "")
}

func TestAttributesToSearchOn(t *testing.T) {
	ix := newIndex(t, `{"searchableAttributes": ["a", "b.c"]}`, `{"id": 0, "a": "x1"}`, `{"id": 1, "b": {"c": "x1"}}`)
	expect(t, "one", ids(search(t, ix, `{"q": "x1", "attributesToSearchOn": ["b.c"]}`)), "1")
	expect(t, "pattern", ids(search(t, ix, `{"q": "x1", "attributesToSearchOn": ["b*"]}`)), "1")
	expect(t, "star", ids(search(t, ix, `{"q": "x1", "attributesToSearchOn": ["b.c", "*"]}`)), "0 1")
	expect(t, "unknown", refusal(t, ix, `{"q": "x1", "attributesToSearchOn": ["z"]}`),
		"invalid_search_attributes_to_search_on: Index `x`: Attribute `z` is not searchable. Available searchable attributes are: `a, b.c`.")
}

func TestDistinct(t *testing.T) {
	ix := newIndex(t, `{"filterableAttributes": ["g"]}`,
		`{"id": 0, "g": "A"}`, `{"id": 1, "g": "a"}`, `{"id": 2, "g": ["b", "c"]}`, `{"id": 3, "g": "c"}`, `{"id": 4}`, `{"id": 5}`)
	r := search(t, ix, `{"distinct": "g", "page": 1}`)
	expect(t, "one per value", ids(r), "0 2 4 5")
	if r.TotalHits != 4 {
		t.Errorf("%d hits in total, want 4", r.TotalHits)
	}
	blank := []string{`{"id": 0, "g": ""}`, `{"id": 1, "g": ["", "b"]}`, `{"id": 2, "g": null}`, `{"id": 3, "g": []}`}
	ix = newIndex(t, `{"filterableAttributes": ["g"]}`, blank...)
	expect(t, "blank by query", ids(search(t, ix, `{"distinct": "g"}`)), "0 2 3")
	ix = newIndex(t, `{"distinctAttribute": "g"}`, blank...)
	expect(t, "blank by setting", ids(search(t, ix, `{}`)), "0 1 2 3")
}

// TestOrderOfDocuments checks that scores do not depend on the order in which documents are indexed, nor on detours by
// updates and deletions.
func TestOrderOfDocuments(t *testing.T) {
	words := strings.Fields("big data base database sun flower sunflower house boat houseboat new york newyork quick brown fox")
	rng := rand.New(rand.NewPCG(7, 7))
	text := func() string {
		var out []string
		for range 1 + rng.IntN(6) {
			out = append(out, words[rng.IntN(len(words))])
		}
		return strings.Join(out, []string{" ", ", ", "-"}[rng.IntN(3)])
	}
	var documents []string
	for i := range 80 {
		documents = append(documents, fmt.Sprintf(`{"id": %d, "title": %q, "body": {"parts": [%q, %q]}}`, i, text(), text(), text()))
	}
	straight := newIndex(t, "", documents...)
	shuffled := New()
	shuffled.SetPrimaryKey("id")
	for _, i := range rng.Perm(len(documents)) {
		put(t, shuffled, fmt.Sprintf(`{"id": %d, "title": %q}`, i, text()))
	}
	shuffled.DeleteDocuments([]string{"3", "40", "41"})
	for _, i := range rng.Perm(len(documents)) {
		put(t, shuffled, documents[i])
	}
	for range 150 {
		body := fmt.Sprintf(`{"q": %q, "limit": 100, "showRankingScoreDetails": true}`, text())
		a, b := search(t, straight, body), search(t, shuffled, body)
		if a.TotalHits != b.TotalHits {
			t.Fatalf("%s: %d hits and %d hits", body, a.TotalHits, b.TotalHits)
		}
		details := map[string]string{}
		for i, h := range a.Hits {
			details[h.ID] = string(h.Details)
			if string(h.Details) != string(b.Hits[i].Details) {
				t.Fatalf("%s: hit %d\n%s\n%s", body, i, h.Details, b.Hits[i].Details)
			}
		}
		for _, h := range b.Hits {
			if details[h.ID] != string(h.Details) {
				t.Fatalf("%s: document %s\n%s\n%s", body, h.ID, details[h.ID], h.Details)
			}
		}
	}
}
