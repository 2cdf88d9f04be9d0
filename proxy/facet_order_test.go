package proxy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"miroir/meili"
	"time"
)

// TestFacetTreeAsksEnough: knowing only the groups in doubt, the first values are those that knowing every group gives.
func TestFacetTreeAsksEnough(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	asked, groups := 0, 0
	for round := range 300 {
		numValues := 1001 + r.IntN(400)
		if round%3 == 0 {
			numValues = 1 + r.IntN(200)
		}
		docs := randomDocuments(r, numValues)
		counts := make([]uint64, numValues)
		for _, doc := range docs {
			for _, value := range doc {
				counts[value]++
			}
		}
		levels := meili.FacetLevels(numValues, r.IntN(4))
		exact, lazy := newFacetTree(levels, slices.Clone(counts)), newFacetTree(levels, slices.Clone(counts))
		for l := 1; l < len(levels); l++ {
			for i := range levels[l].First {
				exact.resolve(facetGroup{l, i}, documentsWith(docs, exact.values(facetGroup{l, i})))
				groups++
			}
		}
		limit := 1 + r.IntN(20)
		for {
			first := lazy.first(limit)
			if len(first) < limit {
				break
			}
			doubts := lazy.doubtful(first, counts[first[limit-1]])
			if len(doubts) == 0 {
				break
			}
			for _, g := range doubts {
				lazy.resolve(g, documentsWith(docs, lazy.values(g)))
				asked++
			}
		}
		want, got := exact.first(limit), lazy.first(limit)
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(want, got) {
			t.Fatalf("round %d: first %d of %d values are %v, want %v", round, limit, numValues, got, want)
		}
	}
	if asked == 0 || asked > groups/5 {
		t.Errorf("asked about %d of %d groups", asked, groups)
	}
}

// randomDocuments are documents that have several neighbouring values, so that groups hold fewer documents than values.
func randomDocuments(r *rand.Rand, numValues int) [][]int {
	docs := make([][]int, 1+r.IntN(60))
	for i := range docs {
		start := r.IntN(numValues)
		for value := start; value < min(numValues, start+1+r.IntN(12)); value++ {
			docs[i] = append(docs[i], value)
		}
	}
	return docs
}

func documentsWith(docs [][]int, values []int) uint64 {
	n := uint64(0)
	for _, doc := range docs {
		if slices.ContainsFunc(doc, func(v int) bool { return slices.Contains(values, v) }) {
			n++
		}
	}
	return n
}

func TestTiesAtTheLimit(t *testing.T) {
	var values []facetValue
	for i := range 30 {
		values = append(values, facetValue{fmt.Sprintf("v%02d", i), 1})
	}
	values[3].count = 5
	all := newFieldValues(values, false, 0)
	tree, places := all.tree(values, false)
	// All groups hold more than one document, so all are opened before values that occur once: the last in order come first.
	var got []string
	for _, place := range tree.first(5) {
		got = append(got, values[slices.Index(places, place)].text)
	}
	if want := "v03 v29 v28 v27 v26"; strings.Join(got, " ") != want {
		t.Errorf("%v, want %s", got, want)
	}
	if tree, _ := all.tree([]facetValue{{"unknown", 1}}, false); tree != nil {
		t.Error("a value the index does not have makes no tree")
	}
}

func TestFieldCache(t *testing.T) {
	c := newFieldCache(100)
	key := func(i int) fieldKey { return fieldKey{"c", 1, time.Unix(int64(i), 0), 0, "f", false} }
	for i := range 3 {
		c.put(key(i), &fieldValues{bytes: 40})
		c.get(key(0))
	}
	if c.get(key(0)) == nil || c.get(key(1)) != nil || c.get(key(2)) == nil || c.bytes != 80 {
		t.Errorf("the one used longest ago must go: %d bytes", c.bytes)
	}
	c.put(key(9), &fieldValues{bytes: 101})
	if c.get(key(9)) != nil {
		t.Error("what does not fit must not be kept")
	}
}
