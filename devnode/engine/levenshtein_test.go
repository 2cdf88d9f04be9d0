package engine

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// editDistance counts insertions, deletions, substitutions and swaps of neighbours by dynamic programming.
func editDistance(a, b string) int {
	x, y := []rune(a), []rune(b)
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range y {
		rows[0][j+1] = j + 1
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			change := 1
			if x[i-1] == y[j-1] {
				change = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(x)][len(y)]
}

func randomWord(rng *rand.Rand) string {
	var b strings.Builder
	for range 1 + rng.IntN(7) {
		b.WriteRune([]rune("abcdé")[rng.IntN(5)])
	}
	return b.String()
}

func TestLevenshteinAgreesWithTable(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		query, text := randomWord(rng), randomWord(rng)
		for distance := range 3 {
			dfa := newLevenshtein(query, distance, false)
			set := dfa.start()
			for _, r := range text {
				set = dfa.step(set, r)
			}
			want := min(editDistance(query, text), distance+1)
			if got := int(dfa.distance(set)); got != want {
				t.Fatalf("%s to %s within %d: %d, want %d", query, text, distance, got, want)
			}
		}
	}
}

func TestSearchWordsVisitsEveryMatch(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var words []string
	for range 3000 {
		words = append(words, randomWord(rng))
	}
	slices.Sort(words)
	words = slices.Compact(words)
	for range 200 {
		query := randomWord(rng)
		dfa := newLevenshtein(query, 2, false)
		var got, want []string
		searchWords(words, 0, func(string) bool { return true }, func(w string, sets []editSet) bool {
			if dfa.distance(sets[0]) <= 2 {
				got = append(got, w)
			}
			return true
		}, dfa)
		for _, w := range words {
			if editDistance(query, w) <= 2 {
				want = append(want, w)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%s: %v, want %v", query, got, want)
		}
	}
}

func TestPrefixDistance(t *testing.T) {
	f := func(query, text string, want int) {
		t.Helper()
		dfa := newLevenshtein(query, 2, true)
		set := dfa.start()
		for _, r := range text {
			set = dfa.step(set, r)
		}
		if got := int(dfa.distance(set)); got != want {
			t.Errorf("%s as a beginning of %s: %d, want %d", query, text, got, want)
		}
	}
	f("wonder", "wonderful", 0)
	f("wonedr", "wonderful", 1)
	f("wander", "wonderful", 1)
	f("wonder", "wond", 2)
	f("wonder", "thunder", 3)
}
