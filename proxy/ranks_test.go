package proxy

import (
	"fmt"
	"strings"
	"testing"

	"miroir/fsm"
	"miroir/meili"
)

// A word that few documents have, or have as it is written, decides about the exactness and the typos of all others, which most
// nodes cannot tell.
func TestRanksAreThoseOfTheWholeIndex(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		compareRanks(t, newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 12}),
			newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 12, spread: fsm.SpreadAll}),
			newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 2, shards: 12, spread: fsm.SpreadAll}))
	})
	t.Run("real", func(t *testing.T) {
		rt, addresses := realNodes(t, 4)
		compareRanks(t, newWriteClusterOver(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 12}, rt, addresses[:1]),
			newWriteClusterOver(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 12, spread: fsm.SpreadAll}, rt, addresses[1:]))
	})
}

func compareRanks(t *testing.T, all ...*writeCluster) {
	one := all[0]
	texts := []string{"quick brown", "quick brownie", "quick browns rabbit", "quicker brown", "quick dog", "rabbit quick brown", "quack browns"}
	var documents []string
	for id := range 70 {
		text := texts[id%len(texts)]
		if id == 41 {
			text = "other bro"
		}
		documents = append(documents, fmt.Sprintf(`{"id":%d,"price":%d,"family":%d,"text":%q}`, id, id*37%60, id%40, text))
	}
	for _, c := range all {
		succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"filterableAttributes":["family"],"sortableAttributes":["price"],"displayedAttributes":["id","text","family"],"synonyms":{"brown":["browns"]}}`))
		succeeded(t, c.do("POST", "/indexes/m/documents", "["+strings.Join(documents, ",")+"]"))
	}
	for _, rules := range []string{
		`["words","typo","proximity","attributeRank","sort","wordPosition","exactness"]`, `["words","exactness","proximity","typo"]`, `["sort","words","typo","attribute","exactness","price:desc"]`,
		`["words","typo","price:asc","attribute","exactness"]`,
	} {
		for _, c := range all {
			succeeded(t, c.do("PUT", "/indexes/m/settings/ranking-rules", rules))
		}
		for _, text := range []string{"quick bro", "quick brow", "quick browni", "quick brown", "quick brownie rabbit", "quikc brown", "quack brown"} {
			for _, rest := range []string{
				`"limit":100`, `"limit":5,"showRankingScore":true`, `"sort":["price:asc"],"limit":9,"showRankingScoreDetails":true`, `"distinct":"family","limit":40,"showRankingScore":true`,
				`"rankingScoreThreshold":0.7,"hitsPerPage":20`, `"showRankingScore":true,"showRankingScoreDetails":true,"hitsPerPage":20,"page":2`,
				`"matchingStrategy":"all","showRankingScore":true,"limit":50`,
			} {
				body := fmt.Sprintf(`{"q":%s,%s}`, meili.AppendString(nil, text), rest)
				want := memberOf(one.call("POST", "/indexes/m/search", body).Body.Bytes(), "hits")
				federated := fmt.Sprintf(`{"federation":{},"queries":[{"indexUid":"m","q":%s,"showRankingScore":true,"federationOptions":{"weight":0.5}}]}`, meili.AppendString(nil, text))
				wantFederated := memberOf(one.call("POST", "/multi-search", federated).Body.Bytes(), "hits")
				for i, c := range all[1:] {
					if got := memberOf(c.call("POST", "/indexes/m/search", body).Body.Bytes(), "hits"); string(got) != string(want) {
						t.Errorf("cluster %d, %s: %s\nwant %s\ngot  %s", i, rules, body, want, got)
					}
					if got := memberOf(c.call("POST", "/multi-search", federated).Body.Bytes(), "hits"); string(got) != string(wantFederated) {
						t.Errorf("cluster %d, %s: %s\nwant %s\ngot  %s", i, rules, federated, wantFederated, got)
					}
				}
			}
		}
	}
}

// With proximityPrecision byAttribute words are near each other in the first bucket of documents that have them only, on whichever
// node its documents are.
func TestWordsAreNearInTheFirstBucketOfTheWholeIndex(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		compareNearness(t, newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 12}),
			newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 12, spread: fsm.SpreadAll}),
			newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 2, shards: 12, spread: fsm.SpreadAll}))
	})
	t.Run("real", func(t *testing.T) {
		rt, addresses := realNodes(t, 4)
		compareNearness(t, newWriteClusterOver(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 12}, rt, addresses[:1]),
			newWriteClusterOver(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 12, spread: fsm.SpreadAll}, rt, addresses[1:]))
	})
}

func compareNearness(t *testing.T, all ...*writeCluster) {
	one := all[0]
	var documents []string
	for id := range 60 {
		title, text := "amber birch", "other"
		if id%3 == 0 {
			title, text = "amber", "some birches"
		}
		documents = append(documents, fmt.Sprintf(`{"id":%d,"price":%d,"family":%d,"title":%q,"text":%q}`, id, id*7%13, id%30, title, text))
	}
	for _, c := range all {
		succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"filterableAttributes":["family"],"sortableAttributes":["price"],"proximityPrecision":"byAttribute","rankingRules":["sort","words","typo","proximity","attribute","exactness"]}`))
		succeeded(t, c.do("POST", "/indexes/m/documents", "["+strings.Join(documents, ",")+"]"))
	}
	for _, text := range []string{"amber birch", "amber birc", "birch amber"} {
		for _, rest := range []string{
			`"sort":["price:asc"],"limit":60,"showRankingScoreDetails":true`, `"sort":["price:desc"],"limit":7,"offset":11`, `"sort":["price:asc"],"showRankingScore":true,"distinct":"family"`,
			`"sort":["price:asc"],"rankingScoreThreshold":0.6,"hitsPerPage":20,"showRankingScore":true`, `"limit":60,"showRankingScore":true`, `"sort":["price:asc"],"matchingStrategy":"all","limit":40`,
		} {
			body := fmt.Sprintf(`{"q":%q,%s}`, text, rest)
			want := memberOf(one.call("POST", "/indexes/m/search", body).Body.Bytes(), "hits")
			for i, c := range all[1:] {
				if got := memberOf(c.call("POST", "/indexes/m/search", body).Body.Bytes(), "hits"); string(got) != string(want) {
					t.Errorf("cluster %d, %s\nwant %s\ngot  %s", i, body, want, got)
				}
			}
		}
	}
}
