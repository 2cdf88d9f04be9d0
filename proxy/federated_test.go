package proxy

import (
	"bytes"
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
