package proxy

import (
	"fmt"
	"strings"
	"testing"

	"miroir/fsm"
)

// One server shows a facet value as the candidate that was inserted first spells it, whichever node has that one.
func TestFacetValuesAreSpelledAsInTheFirstCandidate(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 12, spread: fsm.SpreadAll})
	spellings := []string{"Nine", "nine", "NINE", "nINE"}
	var documents []string
	for id := range 24 {
		documents = append(documents, fmt.Sprintf(`{"id":%d,"size":%d,"word":%q,"other":"Same"}`, id, id, spellings[id%len(spellings)]))
	}
	succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"filterableAttributes":["size","word","other"]}`))
	succeeded(t, c.do("POST", "/indexes/m/documents", "["+strings.Join(documents, ",")+"]"))
	for first := range 20 {
		answer := c.call("POST", "/indexes/m/search", fmt.Sprintf(`{"filter":"size >= %d","facets":["word","other"]}`, first))
		want := fmt.Sprintf(`{"other":{"Same":%d},"word":{%q:%d}}`, 24-first, spellings[first%len(spellings)], 24-first)
		if got := string(memberOf(answer.Body.Bytes(), "facetDistribution")); got != want {
			t.Errorf("from %d on: %s, want %s", first, got, want)
		}
		federated := fmt.Sprintf(`{"federation":{"facetsByIndex":{"m":["word","other"]}},"queries":[{"indexUid":"m","filter":"size = 23"},{"indexUid":"m","filter":"size >= %d"}]}`, first)
		if got := string(memberOf(memberOf(memberOf(c.call("POST", "/multi-search", federated).Body.Bytes(), "facetsByIndex"), "m"), "distribution")); got != want {
			t.Errorf("federated, from %d on: %s, want %s", first, got, want)
		}
	}
	answer := c.call("POST", "/indexes/m/facet-search", `{"facetName":"word","facetQuery":"ni","filter":"size > 5"}`)
	if got, want := string(memberOf(answer.Body.Bytes(), "facetHits")), `[{"value":"Nine","count":18}]`; got != want {
		t.Errorf("facet search: %s, want %s", got, want)
	}
}

// With distinct, only documents that no other one stands for count for a value's spelling.
func TestSpellingOfDistinctHits(t *testing.T) {
	one := newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 8})
	spread := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 8, spread: fsm.SpreadAll})
	var documents []string
	for id := range 60 {
		brand := []string{"Acme", "acme", "ACME", "Été", "été"}[id*7%5]
		documents = append(documents, fmt.Sprintf(`{"id":%d,"brand":%q,"price":%d,"name":"shoes %s"}`, id, brand, id*3%11, strings.Repeat("running ", id*5%4)))
	}
	for _, c := range []*writeCluster{one, spread} {
		succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"filterableAttributes":["brand","price"],"sortableAttributes":["price"]}`))
		succeeded(t, c.do("POST", "/indexes/m/documents", "["+strings.Join(documents, ",")+"]"))
	}
	for at := range 30 {
		body := fmt.Sprintf(`"q":%q,"limit":%d,"filter":"price > %d"`, []string{"running", "running shoes", "shoes"}[at%3], 1+at*7%25, at%9)
		body = `{"distinct":"price","facets":["brand"],` + body + `}`
		want := memberOf(one.call("POST", "/indexes/m/search", body).Body.Bytes(), "facetDistribution")
		if got := memberOf(spread.call("POST", "/indexes/m/search", body).Body.Bytes(), "facetDistribution"); string(got) != string(want) {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
}

// The winners of all nodes are counted, and may be spelled otherwise than what each node shows of its own ones. The name of
// the index decides which node has which document.
func TestSpellingOfWinnersWhereNodesAgree(t *testing.T) {
	const Nine, nine, null = `"Nine"`, `"nine"`, "null"
	brands := []string{Nine, Nine, Nine, null, nine, Nine, nine, Nine, null, Nine, Nine, nine, null, nine}
	prices := []int{2, 4, 1, 4, 2, 2, 2, 1, 1, 3, 1, 2, 4, 1}
	documents := make([]string, len(brands))
	for id, brand := range brands {
		documents[id] = fmt.Sprintf(`{"id":%d,"brand":%s,"price":%d}`, id, brand, prices[id])
	}
	one := newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 8})
	spread := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 8, spread: fsm.SpreadAll})
	for _, c := range []*writeCluster{one, spread} {
		succeeded(t, c.do("PATCH", "/indexes/m3/settings", `{"filterableAttributes":["brand","price"],"rankingRules":["id:desc"]}`))
		succeeded(t, c.do("POST", "/indexes/m3/documents", "["+strings.Join(documents, ",")+"]"))
		answer := c.call("POST", "/indexes/m3/search", `{"distinct":"price","facets":["brand"],"limit":4}`)
		if got, want := string(memberOf(answer.Body.Bytes(), "facetDistribution")), `{"brand":{"Nine":3}}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
