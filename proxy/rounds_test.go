package proxy

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"miroir/fsm"
)

// What one server shows and counts can depend on documents that no node lists, fields that some nodes never saw, and words that some
// do not know.
func TestFurtherRoundsTellWhatOneServerDoes(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		compareRounds(t, newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 64}),
			newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 64, spread: fsm.SpreadAll}),
			newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 2, shards: 64, spread: fsm.SpreadAll}))
	})
	t.Run("real", func(t *testing.T) {
		rt, addresses := realNodes(t, 4)
		compareRounds(t, newWriteClusterOver(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 64}, rt, addresses[:1]),
			newWriteClusterOver(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 64, spread: fsm.SpreadAll}, rt, addresses[1:]))
	})
}

func compareRounds(t *testing.T, all ...*writeCluster) {
	one := all[0]
	var documents []string
	for id := range 90 {
		note, text, n := "", []string{"quick brown", "quick brownie", "quick brown", "rabbit"}[id%4], 10+id*37%91
		group := fmt.Sprintf(`"%c%d"`, "abc"[id%3], id/3%3)
		switch {
		case id%30 == 0: // what these have keeps the next ones out, which fill the lists of nodes that have none of these
			n, group = id/30, fmt.Sprintf(`["a%d","b%[1]d","c%[1]d"]`, id/30)
		case id%4 == 1:
			n, group = 200+id, fmt.Sprint(id)
		}
		if id%12 == 6 {
			text = "quick dog"
		}
		if id == 41 {
			note, text = `,"note":"the only one"`, "other bro"
		}
		vector := "null"
		if id%10 == 3 {
			vector = fmt.Sprintf("[%d,%d]", id-45, id%7-3)
		}
		documents = append(documents, fmt.Sprintf(`{"id":%d,"n":%d,"text":%q,"group":%s,"_vectors":{"v":%s}%s}`, id, n, text, group, vector, note))
	}
	for _, c := range all {
		succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"filterableAttributes":["group","n"],"rankingRules":["n:asc","words","typo","exactness"],
			"embedders":{"v":{"source":"userProvided","dimensions":2}}}`))
		succeeded(t, c.do("POST", "/indexes/m/documents", "["+strings.Join(documents, ",")+"]"))
	}
	compare := func(path, body string, members ...string) {
		t.Helper()
		want := one.call("POST", path, body).Body.Bytes()
		for i, c := range all[1:] {
			got := c.call("POST", path, body).Body.Bytes()
			for _, member := range members {
				if w, g := memberOf(want, member), memberOf(got, member); len(w) == 0 || !bytes.Equal(g, w) {
					t.Errorf("cluster %d: %s: %s\nwant %s\ngot  %s", i, body, member, w, g)
				}
			}
		}
	}
	const search = "/indexes/m/search"
	hybrid := `"q":"quick bro","vector":[1,2],"hybrid":{"embedder":"v","semanticRatio":%s},"showRankingScore":true,"attributesToRetrieve":["id"],"facets":["group"],`
	for _, ratio := range []string{"0.05", "0.3", "0.6"} {
		for _, rest := range []string{`"limit":3`, `"limit":20`, `"limit":20,"offset":10`, `"limit":40`, `"limit":90`, `"limit":20,"distinct":"n"`} {
			compare(search, "{"+fmt.Sprintf(hybrid, ratio)+rest+"}", "hits", "estimatedTotalHits", "facetDistribution")
		}
	}
	federated := `{"federation":{"limit":30},"queries":[{"indexUid":"m","q":"quick","attributesToCrop":["note:1"]%s},{"indexUid":"m","q":"rabbit","attributesToCrop":["note:1"]%[1]s}]}`
	for _, rest := range []string{"", `,"attributesToRetrieve":["text"]`, `,"attributesToRetrieve":["id"],"showMatchesPosition":true,"showRankingScore":true`} {
		compare("/multi-search", fmt.Sprintf(federated, rest), "hits", "estimatedTotalHits")
	}
	for _, rest := range []string{`"limit":4`, `"limit":6,"offset":1`, `"limit":5,"q":"quick"`, `"page":2,"hitsPerPage":3`} {
		compare(search, `{"distinct":"group","facets":["group"],`+rest+`}`, "hits", "facetDistribution")
	}
	for _, reachable := range []int{4, 5, 6, 7} {
		for _, c := range all {
			succeeded(t, c.do("PATCH", "/indexes/m/settings/pagination", fmt.Sprintf(`{"maxTotalHits":%d}`, reachable)))
		}
		compare("/multi-search", `{"federation":{"distinct":"group"},"queries":[{"indexUid":"m"},{"indexUid":"m","filter":"n > 220"}]}`, "hits")
		compare(search, `{"distinct":"group","limit":12}`, "hits")
		if reachable > 5 { // a shard has no more documents
			compare(search, `{"distinct":"group","facets":["group","n"]}`, "estimatedTotalHits", "facetDistribution")
		}
	}
}
