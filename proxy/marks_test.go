package proxy

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"miroir/fsm"
	"miroir/meili"
)

// Few documents have the first words of a search together, so that most nodes have none of those: alone they would not look for
// the typos of later words.
func TestMarksAreThoseOfTheWholeIndex(t *testing.T) {
	t.Run("embedded", func(t *testing.T) {
		compareMarks(t, newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 12}),
			newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 12, spread: fsm.SpreadAll}),
			newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 2, shards: 12, spread: fsm.SpreadAll}))
	})
	t.Run("real", func(t *testing.T) {
		rt, addresses := realNodes(t, 4)
		compareMarks(t, newWriteClusterOver(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 12}, rt, addresses[:1]),
			newWriteClusterOver(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 12, spread: fsm.SpreadAll}, rt, addresses[1:]))
	})
}

func compareMarks(t *testing.T, all ...*writeCluster) {
	one := all[0]
	later := []string{"birch", "cedarwood", "elderberry", "mahogany", "mahogony", "cedarwod", "bitch", "oak"}
	var documents []string
	for id := range 120 {
		words := []string{"amber"}
		for i, word := range later {
			if (id*(i+3)+i*i)%(7+2*i) == 0 {
				words = append(words, word)
			}
		}
		if id == 50 {
			words = append(words, "birch", "cedarwood", "elderberry")
		}
		documents = append(documents, fmt.Sprintf(`{"id":%d,"price":%d,"family":%d,"text":%q}`, id, id*37%60, id%40, strings.Join(words, " ")))
	}
	for _, c := range all {
		succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"filterableAttributes":["family"],"sortableAttributes":["id","price"]}`))
		succeeded(t, c.do("POST", "/indexes/m/documents", "["+strings.Join(documents, ",")+"]"))
	}
	for _, rules := range []string{`["words","typo","sort"]`, `["sort","words","typo"]`} {
		for _, c := range all {
			succeeded(t, c.do("PUT", "/indexes/m/settings/ranking-rules", rules))
		}
		for _, text := range []string{
			"amber birch cedarwod elderbery mahogany", "amber cedarwood mahogany", "amber oak cedarwood birch", `mahogany "amber" cedarwood elderberry `, "amber nothing elderbery", "amber birch -oak cedarwood",
		} {
			for _, rest := range []string{
				`"attributesToHighlight":["*"],"limit":100`, `"showMatchesPosition":true,"sort":["price:asc"],"limit":9`, `"attributesToHighlight":["text"],"sort":["id:desc"],"limit":100`,
				`"attributesToCrop":["text:2"],"showRankingScore":true,"hitsPerPage":20,"page":2,"sort":["id:asc"]`, `"attributesToHighlight":["text"],"distinct":"family","sort":["price:desc"],"limit":40`,
			} {
				body := fmt.Sprintf(`{"q":%s,%s}`, meili.AppendString(nil, text), rest)
				want := memberOf(one.call("POST", "/indexes/m/search", body).Body.Bytes(), "hits")
				for _, c := range all[1:] {
					if got := memberOf(c.call("POST", "/indexes/m/search", body).Body.Bytes(), "hits"); !bytes.Equal(got, want) {
						at := 0
						for at < min(len(got), len(want)) && got[at] == want[at] {
							at++
						}
						t.Errorf("%s %s\n%s, want\n%s", rules, body, got[max(0, at-150):min(len(got), at+150)], want[max(0, at-150):min(len(want), at+150)])
					}
				}
			}
		}
	}
}

// One document of a dozen has the field to crop: on other nodes it is unknown.
func TestFormattedWhereTheFieldIsUnknown(t *testing.T) {
	one := newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 8})
	spread := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 8, spread: fsm.SpreadAll})
	var documents []string
	for id := range 12 {
		documents = append(documents, fmt.Sprintf(`{"id":%d,"size":{"n":%d}}`, id, id))
	}
	documents[5] = `{"id":5,"size":{"n":5},"rare":"some words of it"}`
	for _, c := range []*writeCluster{one, spread} {
		succeeded(t, c.do("POST", "/indexes/m/documents", "["+strings.Join(documents, ",")+"]"))
	}
	for _, body := range []string{
		`{"attributesToCrop":["rare:2"]}`, `{"attributesToHighlight":["rare"],"attributesToRetrieve":["size"]}`, `{"attributesToCrop":["none"]}`, `{"attributesToHighlight":["rare","id"],"limit":3}`,
	} {
		want := memberOf(one.call("POST", "/indexes/m/search", body).Body.Bytes(), "hits")
		if got := memberOf(spread.call("POST", "/indexes/m/search", body).Body.Bytes(), "hits"); !bytes.Equal(got, want) {
			t.Errorf("%s\n%s, want\n%s", body, got, want)
		}
	}
}
