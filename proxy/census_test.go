package proxy

import (
	"fmt"
	"strings"
	"testing"

	"miroir/meili"
)

// censusOf makes a census and a ranking of "score:value,value" each: documents in the order of insertion, ranked by score.
func censusOf(texts ...string) (*census, []placed) {
	c := &census{}
	var lists [][]hit
	for i, one := range texts {
		points, values, _ := strings.Cut(one, ":")
		h := hit{raw: fmt.Appendf(nil, `{"g":[%s],"_rankingScore":%s}`, values, points), key: fmt.Append(nil, i)}
		h.score = score{{value: number([]byte(points))}}
		c.docs = append(c.docs, h)
		lists = append(lists, []hit{h})
	}
	numbers := map[string]int{}
	for i := range c.docs {
		numbers[c.docs[i].identity()] = i
	}
	return c, placeHits(lists, numbers, &censusQuery{})
}

func (f found) String() string {
	var hits, counted []string
	for _, p := range f.hits {
		hits = append(hits, fmt.Sprint(p.doc))
	}
	for doc, is := range f.candidates {
		if is {
			counted = append(counted, fmt.Sprint(doc))
		}
	}
	return strings.Join(hits, " ") + " of " + strings.Join(counted, " ")
}

func TestCensusRanks(t *testing.T) {
	half := 0.5
	for name, test := range map[string]struct {
		docs []string
		x    extent
		want string
	}{
		"no more than the window is looked at": {[]string{"0.9:1", "0.8:2", "0.7:3", "0.6:3"}, extent{distinct: "g", length: 2}, "0 1 of 0 1 2 3"},
		"duplicates of hits behind the window": {[]string{"0.9:1", "0.8:2", "0.7:1", "0.6:3"}, extent{distinct: "g", length: 2}, "0 1 of 0 1 3"},
		"a bucket is looked at to its end":     {[]string{"0.9:1", "0.9:2", "0.6:2", "0.6:3"}, extent{distinct: "g", length: 1}, "0 of 0 1 3"},
		"ties by insertion":                    {[]string{"0.6:1", "0.9:2", "0.9:1"}, extent{distinct: "g", length: 9}, "1 2 of 1 2"},
		"one of several values is enough":      {[]string{"0.9:1,2", "0.8:2,3", "0.7:3", "0.6:"}, extent{distinct: "g", length: 9}, "0 2 3 of 0 2 3"},
		"pages count the first of each value":  {[]string{"0.1:1", "0.2:1", "0.9:2", "0.3:2"}, extent{distinct: "g", length: 1, paged: true}, "2 of 0 2"},
		"pages with several values":            {[]string{"0.1:1", "0.2:1,2", "0.3:2", "0.9:5"}, extent{distinct: "g", length: 1, paged: true}, "3 of 0 2 3"},
		"below the threshold, as far as met":   {[]string{"0.9:1", "0.6:2", "0.4:3"}, extent{length: 2, threshold: &half}, "0 1 of 0 1 2"},
		"below the threshold, all met":         {[]string{"0.9:1", "0.6:2", "0.4:3"}, extent{length: 3, threshold: &half}, "0 1 of 0 1"},
		"below the threshold, for a page":      {[]string{"0.9:1", "0.6:2", "0.4:3"}, extent{length: 1, threshold: &half, paged: true, reachable: 9}, "0 of 0 1"},
		"nothing asked for":                    {[]string{"0.9:1", "0.6:1"}, extent{distinct: "g"}, " of 0 1"},
	} {
		t.Run(name, func(t *testing.T) {
			c, all := censusOf(test.docs...)
			if got := c.find(&meili.SearchQuery{}, meili.KeywordSearch, ranking{words: all}, test.x).String(); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// Where no rule ranks, one server stops amid the documents and does not look at scores.
func TestCensusWithoutRanks(t *testing.T) {
	c, all := censusOf("1:1", "1:2", "1:2", "1:3")
	for i := range all {
		all[i].score = nil
	}
	if got := c.rank(all, extent{distinct: "g", length: 2, threshold: new(2.0)}).String(); got != "0 1 of 0 1 3" {
		t.Error(got)
	}
}

func TestCensusOfHybridSearch(t *testing.T) {
	c, words := censusOf("0.2:1", "0.9:2", "0.1:3", "0.8:4")
	vectors := make([]placed, 0, len(words))
	for _, doc := range []int{2, 0, 3, 1} {
		p := placed{doc: doc, score: score{{kind: vectorEntry, value: 0.9 - float64(doc)/10}}}
		vectors = append(vectors, p)
	}
	query := &meili.SearchQuery{Hybrid: &meili.Hybrid{SemanticRatio: new(0.9)}}
	x := extent{distinct: "g", length: 2}
	if got := c.find(query, meili.HybridSearch, ranking{words: words, vectors: vectors}, x).String(); got != "2 0 of 0 1 2 3" {
		t.Error("by vector:", got)
	}
	query.Hybrid.SemanticRatio = new(0.1)
	if got := c.find(query, meili.HybridSearch, ranking{words: words[:2], vectors: vectors}, x).String(); got != "1 3 of 1 3" {
		t.Error("words suffice:", got)
	}
}

// Of the hits of several queries those count no more that lose against another query's before there are enough.
func TestCensusMergesQueries(t *testing.T) {
	c, all := censusOf("0.9:1", "0.8:1", "0.7:2", "0.6:2")
	first := c.rank([]placed{all[0], all[2]}, extent{distinct: "g", length: 2})
	second := c.rank([]placed{all[1], all[3]}, extent{distinct: "g", length: 2})
	if got := c.merge([]found{first, second}, "g", 2).String(); got != "0 2 of 0 2 3" {
		t.Error("distinct over queries:", got)
	}
	if got := c.merge([]found{first, second}, "", 3).String(); got != "0 1 2 of 0 1 2 3" {
		t.Error("distinct by query:", got)
	}
}

func TestNegations(t *testing.T) {
	for text, want := range map[string]string{
		"fox":                             "",
		"fox -dog box":                    "-dog ",
		`-"lazy dog" fox -sun`:            `-"lazy dog" -sun`,
		`"not -this" one-way -two-thirds`: "-two-thirds",
	} {
		if got := negations(&meili.SearchQuery{Q: &text}); got != want {
			t.Errorf("%s excludes %q, want %q", text, got, want)
		}
	}
}
