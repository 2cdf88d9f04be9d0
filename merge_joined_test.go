package main

import (
	"slices"
	"strings"
	"testing"
)

// A server reads "sun flower" also as "sunflower". Each ranking rule hands on only those readings by which it found a document that
// no reading before has found, and ranks a document by the best reading that is left. So a document with both is ranked by the words
// or by the joined one as other documents of its bucket have it. While typos rank first, joined words come two behind, in buckets
// of their own.

// readsJoined are the rules for which a document can be better by the joined word than by the words.
var readsJoined = []string{"proximity", "attribute", "attributeRank", "wordPosition", "exactness"}

// unjoined is a text to search for whose words are turned round if a document's rank could depend on others by its joined words.
func (c *corpus) unjoined(text string) string {
	rules := c.settings["rankingRules"].([]string)
	first := slices.IndexFunc(rules, func(rule string) bool { return slices.Contains(readsJoined, rule) })
	typo := slices.Index(rules, "typo")
	words := strings.Fields(text)
	if first < 0 || typo >= 0 && typo < first || !joins(words) {
		return text
	}
	if slices.Reverse(words); joins(words) {
		words = words[:1]
	}
	return strings.Join(words, " ")
}

// joins reports whether two or three neighbouring words make one that a server finds in the vocabulary.
func joins(words []string) bool {
	for n := 2; n <= 3; n++ {
		for i := 0; i+n <= len(words); i++ {
			if joined := strings.Join(words[i:i+n], ""); !strings.ContainsAny(joined, `"-`) && isFound(joined, n, i+n == len(words)) {
				return true
			}
		}
	}
	return false
}

// isFound reports whether n words written as one are a word of the vocabulary, or the beginning of one, with as many typos as there may be.
func isFound(joined string, n int, isLast bool) bool {
	typos := 0
	switch {
	case len(joined) >= 9:
		typos = 2
	case len(joined) >= 5:
		typos = 1
	}
	typos = max(0, typos-(n-1))
	return slices.ContainsFunc(vocabulary, func(word string) bool { return typosOf(joined, word, isLast) <= typos })
}

// typosOf counts the edits that make a of b, or of the best beginning of b.
func typosOf(a, b string, beginning bool) int {
	row := make([]int, len(a)+1) // edits from each beginning of a to the beginning of b
	for i := range row {
		row[i] = i
	}
	least := row[len(a)]
	for j := range len(b) {
		diagonal := row[0]
		row[0] = j + 1
		for i := range len(a) {
			edits := diagonal
			if a[i] != b[j] {
				edits++
			}
			diagonal = row[i+1]
			row[i+1] = min(edits, row[i]+1, row[i+1]+1)
		}
		least = min(least, row[len(a)])
	}
	if beginning {
		return least
	}
	return row[len(a)]
}

func TestJoinsOnlyWhatAServerFinds(t *testing.T) {
	for text, want := range map[string]bool{
		"sun flowers": true, "light hoeuse quack": true, "light ho": true, "sun flower fox": true, "sun fl": true, "sun fl fox": false,
		"flowers sun": false, "quick fox": false, `"sun flower"`: false, "sun -flower": false, "wo nd erful": true, "light hoezzse": false,
	} {
		if got := joins(strings.Fields(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
