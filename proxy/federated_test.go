package proxy

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"miroir/devnode"
	"miroir/fsm"
)

// No node is asked when there are no queries; the times are shown nevertheless.
func TestFederationOfNothingShowsItsTimes(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 8, spread: fsm.SpreadAuto})
	answer := c.call("POST", "/multi-search", `{"federation":{"showPerformanceDetails":true},"queries":[]}`)
	if !strings.Contains(answer.Body.String(), `"performanceDetails":{"search":"`) {
		t.Fatalf("answer: %s", answer.Body)
	}
}

// A refused filter is shown as the client wrote it, not as it was sent to a node.
func TestFederatedErrorsShowTheClientsFilter(t *testing.T) {
	const search = `{"federation":{},"queries":[{"indexUid":"docs"},{"indexUid":"docs","filter":"title = a OR id = 1"}]}`
	one, _ := filledCluster(t, layout{groups: 1, nodes: 1, copies: 1, shards: 8, whole: true})
	spread, _ := filledCluster(t, layout{groups: 1, nodes: 3, copies: 2, shards: 8})
	want, got := ask(t, one, "POST", "/multi-search", search), ask(t, spread, "POST", "/multi-search", search)
	if got.status != http.StatusBadRequest || !bytes.Equal(got.body, want.body) {
		t.Errorf("%d %s\nwant %s", got.status, got.body, want.body)
	}
}

// federatedReads are federated searches whose counts depend on documents of several nodes.
var federatedReads = []string{
	`{"federation":{"distinct":"color","limit":2,"facetsByIndex":{"docs":["color","price"]}},"queries":[{"indexUid":"docs","q":"ocean","sort":["price:asc","title:asc"]},{"indexUid":"docs","q":"desert","sort":["price:asc","title:asc"]}]}`,
	`{"federation":{"limit":3,"offset":1},"queries":[{"indexUid":"docs","q":"ocean","distinct":"color","sort":["price:asc","title:asc"]},{"indexUid":"docs","q":"document","distinct":"price","sort":["price:desc","title:asc"]}]}`,
	`{"federation":{"page":1,"hitsPerPage":2},"queries":[{"indexUid":"docs","q":"document","distinct":"color"},{"indexUid":"docs","q":"ocean island"}]}`,
}

func TestFederatedSearchesCountAsOneServer(t *testing.T) {
	one, _ := filledCluster(t, layout{groups: 1, nodes: 1, copies: 1, shards: 8, whole: true})
	spread, _ := filledCluster(t, layout{groups: 1, nodes: 3, copies: 2, shards: 8})
	for _, body := range federatedReads {
		want, got := ask(t, one, "POST", "/multi-search", body), ask(t, spread, "POST", "/multi-search", body)
		for _, member := range []string{"estimatedTotalHits", "totalHits", "facetsByIndex"} {
			if w, g := memberOf(want.body, member), memberOf(got.body, member); !bytes.Equal(w, g) {
				t.Errorf("%s: %s is %s, want %s", body, member, g, w)
			}
		}
	}
}

// A node that is lost between the rounds of a federated search is replaced; where no other has its shards, they are named.
func TestFederatedSearchesOutliveExtraRounds(t *testing.T) {
	for _, lost := range []struct {
		copies int
		marked bool
	}{{2, false}, {1, true}} {
		nodes, addresses := map[string]*devnode.Node{}, []string{}
		for _, host := range []string{"node0", "node1", "node2"} {
			nodes[host] = devnode.New(devnode.Options{MasterKey: testMasterKey})
			t.Cleanup(nodes[host].Close)
			addresses = append(addresses, "http://"+host)
		}
		transport := &refusing{inner: devnode.Transport(nodes), host: "node1"}
		c := fill(t, newReadCluster(t, transport, addresses, layout{groups: 1, nodes: 3, copies: lost.copies, shards: 8}))
		want := ask(t, c, "POST", "/multi-search", federatedReads[0])
		transport.text = `"showRankingScore":true` // as only a census asks
		got := ask(t, c, "POST", "/multi-search", federatedReads[0])
		marked := strings.HasPrefix(got.header.Get("X-Miroir-Degraded"), "shards=docs/")
		same := bytes.Equal(memberOf(got.body, "facetsByIndex"), memberOf(want.body, "facetsByIndex"))
		if got.status != http.StatusOK || transport.count.Load() == 0 || marked != lost.marked || !marked && !same {
			t.Errorf("%d copies: %d %v %s, want %s", lost.copies, got.status, got.header, got.body, want.body)
		}
	}
}

// A hit that another index's makes a duplicate is taken out of the counts of a field inside of one that it shows: twice where a
// facet was asked by that field itself, as one server tells its values apart then too.
func TestRejectedHitsLeaveFacetsAsOnOneServer(t *testing.T) {
	one := newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 8, spread: fsm.SpreadAuto})
	spread := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 8, spread: fsm.SpreadAll})
	for _, c := range []*writeCluster{one, spread} {
		for _, uid := range []string{"a", "b"} {
			succeeded(t, c.do("PATCH", "/indexes/"+uid+"/settings", `{"filterableAttributes":["g","o"],"displayedAttributes":["id","o"],"rankingRules":["words"]}`))
		}
		succeeded(t, c.do("POST", "/indexes/a/documents", `[{"id":1,"g":1},{"id":2,"g":9}]`))
		succeeded(t, c.do("POST", "/indexes/b/documents", `[{"id":1,"g":1,"o":{"x":7}},{"id":2,"g":2,"o":{"x":7}},{"id":3,"g":3,"o":{"x":7}},{"id":4,"g":4,"o":{"x":7}}]`))
	}
	for patterns, count := range map[string]string{`["o"]`: "3", `["o.x"]`: "2", `["*"]`: "2", `["o*"]`: "2"} {
		body := `{"federation":{"distinct":"g","facetsByIndex":{"b":` + patterns + `}},"queries":[{"indexUid":"a"},{"indexUid":"b"}]}`
		for _, c := range []*writeCluster{one, spread} {
			answer := c.call("POST", "/multi-search", body)
			if !strings.Contains(answer.Body.String(), `"o.x":{"7":`+count+`}`) {
				t.Errorf("%s: %s, want %s", patterns, answer.Body, count)
			}
		}
	}
}

// Of each node the first hits only are known, each value once: where other nodes have better hits with these values it is asked for
// those behind them.
func TestDistinctFederationsLookBehindDuplicates(t *testing.T) {
	one := newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 8, spread: fsm.SpreadAuto})
	spread := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 3, spread: fsm.SpreadAll})
	var documents []string
	for id := range 60 { // few values first, then more
		documents = append(documents, fmt.Sprintf(`{"id":%d,"n":%d,"g":%d}`, id, id, id*id%61%(id/5+2)))
	}
	for _, c := range []*writeCluster{one, spread} {
		succeeded(t, c.do("PATCH", "/indexes/docs/settings", `{"filterableAttributes":["g"],"pagination":{"maxTotalHits":6},"rankingRules":["n:asc"]}`))
		succeeded(t, c.do("POST", "/indexes/docs/documents", "["+strings.Join(documents, ",")+"]"))
	}
	for _, window := range []string{`"limit":6`, `"limit":3,"offset":3`, `"limit":5`, `"limit":2`, `"limit":0`, `"page":2,"hitsPerPage":3`} {
		body := `{"federation":{"distinct":"g",` + window + `},"queries":[{"indexUid":"docs"}]}`
		want, got := one.call("POST", "/multi-search", body).Body.Bytes(), spread.call("POST", "/multi-search", body).Body.Bytes()
		if w, g := memberOf(want, "hits"), memberOf(got, "hits"); !bytes.Equal(w, g) {
			t.Errorf("%s: %s, want %s", window, g, w)
		}
	}
}
