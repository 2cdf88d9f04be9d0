package proxy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// listOf makes hits of "key:score:group" each.
func listOf(texts ...string) []hit {
	var list []hit
	for _, one := range texts {
		parts := strings.Split(one, ":")
		h := hit{raw: []byte(fmt.Sprintf(`{"id":%s,"g":%q,"n":%s}`, parts[0], parts[2], parts[0])), key: []byte(parts[0])}
		h.score = score{{value: number([]byte(parts[1]))}}
		list = append(list, h)
	}
	return list
}

func TestFindWinners(t *testing.T) {
	for name, test := range map[string]struct {
		lists     [][]hit
		to, reach int
		unranked  bool
		want      string
		open      []int
		short     bool
	}{
		"duplicates of other nodes": {[][]hit{listOf("1:9:a", "2:7:b"), listOf("3:8:a", "4:6:c")}, 2, 5, false, "1 2", nil, false},
		"ties behind the window":    {[][]hit{listOf("1:9:a", "2:9:b"), listOf("3:9:c", "4:8:d")}, 1, 5, false, "1 2 3", nil, false},
		"no ties without a rank":    {[][]hit{listOf("1:9:a", "2:9:b"), listOf("3:9:c")}, 1, 5, true, "1", nil, false},
		"a tie may go on":           {[][]hit{listOf("1:9:a", "2:9:b"), listOf("3:8:c", "4:8:d")}, 2, 2, false, "1 2", []int{0}, false},
		"the window is not full":    {[][]hit{listOf("1:9:a", "2:8:b"), listOf("3:9:a", "4:8:b")}, 3, 2, false, "1 2", []int{0, 1}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := findWinners(test.lists, test.to, test.reach, "g", test.unranked)
			var keys []string
			for _, h := range w.hits {
				keys = append(keys, string(h.key))
			}
			if got := strings.Join(keys, " "); got != test.want || !slices.Equal(w.open, test.open) || w.short != test.short {
				t.Errorf("got %s, open %v, short %t", got, w.open, w.short)
			}
		})
	}
}

func TestFacetsOfHits(t *testing.T) {
	hits := listOf("1:9:Red", "2:8:red", "10:7:blue")
	f := facetsOfHits(hits, map[string]bool{"g": true, "n": true, "none": true})
	if got, want := string(f.appendDistribution(nil)), `{"g":{"Red":2,"blue":1},"n":{"1":1,"2":1,"10":1},"none":{}}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := string(f.appendStats(nil)), `{"n":{"min":1.0,"max":10.0}}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	odd := []hit{{raw: []byte(`{"_geo":{"lat":"61.50","lng":7},"tag":["Audio","x","audio"]}`)}}
	f = facetsOfHits(odd, map[string]bool{"_geo.lat": true, "tag": true}) // coordinates are numbers, and of spellings a document's last counts
	if got, want := string(f.appendDistribution(nil)), `{"_geo.lat":{"61.5":1},"tag":{"audio":1,"x":1}}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := string(f.appendStats(nil)), `{"_geo.lat":{"min":61.5,"max":61.5}}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := sharing(hits, "g", []string{"RED", "green"}); got != 2 {
		t.Errorf("%d hits share a value, want 2", got)
	}
}

func TestKeysBreakTies(t *testing.T) {
	ordered := []string{"-3", "2", "10", `"10"`, `"a"`, `"b"`}
	for i := range ordered {
		for j := range ordered {
			if got := compareKeys([]byte(ordered[i]), []byte(ordered[j])); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("%s against %s: %d", ordered[i], ordered[j], got)
			}
		}
	}
	if compareKeys(nil, []byte("1")) != 0 {
		t.Error("an unknown key must tie")
	}
}

func TestStatisticsWithoutRejectedHits(t *testing.T) {
	part := readFacets([]byte(`{"n":{"1":1,"2":1,"10":1}}`), []byte(`{"n":{"min":1.0,"max":10.0}}`))
	got := mergeFacets([]*facets{part}, facetRules{maxValues: 100, rejected: listOf("10:1:a")}, 3)
	if text := string(got.appendStats(nil)); text != `{"n":{"min":1.0,"max":2.0}}` {
		t.Errorf("stats %s", text)
	}
}
