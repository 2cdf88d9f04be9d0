package proxy

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"miroir/devnode"
	"miroir/fsm"
	"miroir/proxy/node"
	"miroir/workers"
)

// newGrowing is Miroir over three nodes, each with so many copies of every index that lives whole, beside one server. What is copied goes
// in pages of ten documents.
func newGrowing(t *testing.T, rf int) spreadBeside {
	t.Helper()
	nodes, addresses := map[string]*devnode.Node{}, []string{}
	for _, id := range []string{"n0-0", "n0-1", "n0-2", "alone"} {
		nodes[id] = devnode.New(devnode.Options{MasterKey: testMasterKey})
		t.Cleanup(nodes[id].Close)
		addresses = append(addresses, "http://"+id)
	}
	rt := devnode.Transport(nodes)
	c := newWriteClusterOver(t, clusterShape{groups: 1, perGroup: 3, rf: rf, shards: 16, spread: fsm.SpreadAuto}, rt, addresses[:3])
	c.nodes = nodes
	c.repair(workers.Repair{PageSize: 10})
	return spreadBeside{c, rt, addresses[3]}
}

// grow cuts index m up and waits until its shards are where they belong.
func (c *writeCluster) grow() {
	c.t.Helper()
	c.ended(c.begun("PATCH", "/_miroir/indexes/m", `{"spread":"all"}`))
	c.balanced()
	if nodes := c.state.View().Index("m").Nodes(); len(nodes) != 3 {
		c.t.Fatalf("the index is on %v", nodes)
	}
}

// seas are documents of equal rank, some of whose facet values are spelled in several ways.
func seas(ids ...int) string {
	var list []string
	for _, id := range ids {
		word := []string{"Nine", "nine", "NINE", "ten", "Ten"}[id*3%5]
		list = append(list, fmt.Sprintf(`{"id":%d,"title":"blue sea","word":%q,"family":%d}`, id, word, id*7%13))
	}
	return "[" + strings.Join(list, ",") + "]"
}

// upDown are the numbers up to n in an order that is not theirs.
func upDown(from, n int) (ids []int) {
	for i := range n {
		ids = append(ids, from+i*7%n)
	}
	return ids
}

// TestAGrownIndexAnswersLikeOneServer: an index that was loaded whole and has moved out over its group has the order, the spellings and
// the duplicates of one server. Red when its documents have no numbers, or come to a node shard after shard.
func TestAGrownIndexAnswersLikeOneServer(t *testing.T) {
	for _, rf := range []int{1, 2} {
		t.Run(fmt.Sprintf("rf=%d", rf), func(t *testing.T) {
			s := newGrowing(t, rf)
			s.write("POST", "/indexes", `{"uid":"m","primaryKey":"id"}`)
			s.write("PATCH", "/indexes/m/settings", `{"filterableAttributes":["word","family"]}`)
			s.write("POST", "/indexes/m/documents", seas(upDown(100, 50)...))
			s.write("POST", "/indexes/m/documents", seas(upDown(0, 60)...))
			s.write("POST", "/indexes/m/documents", seas(100, 3, 170, 125, 2)) // one of them is new
			s.write("POST", "/indexes/m/documents", seas(upDown(200, 40)...))
			s.write("POST", "/indexes/m/documents/delete-batch", `[103,7,210]`)
			s.grow()
			for _, page := range []string{`{"limit":200}`, `{"limit":10,"offset":35}`, `{"limit":200,"filter":"family > 6"}`} {
				s.sameMembers("/indexes/m/documents/fetch", page, "results", "total")
			}
			for _, search := range []string{`{"limit":200}`, `{"q":"sea"}`, `{"q":"blue sea","limit":10,"offset":35}`, `{"q":"sea","filter":"word = nine","limit":50}`} {
				s.sameMembers("/indexes/m/search", search, "hits", "estimatedTotalHits")
			}
			for _, search := range []string{`{"facets":["word","family"]}`, `{"q":"sea","facets":["word"],"filter":"family < 3"}`} {
				s.sameMembers("/indexes/m/search", search, "facetDistribution")
			}
			for _, search := range []string{`{"q":"sea","distinct":"family","facets":["word"]}`, `{"distinct":"word"}`} {
				s.sameMembers("/indexes/m/search", search, "hits", "estimatedTotalHits", "facetDistribution")
			}
		})
	}
}

func (s spreadBeside) sameMembers(path, body string, members ...string) {
	s.t.Helper()
	for _, member := range members {
		if want, got := s.both(path, body, member); string(got) != string(want) {
			s.t.Errorf("%s %s: %s\ngot  %s\nwant %s", path, body, member, got, want)
		}
	}
}

// isCopied reports that documents are sent that another node has.
func isCopied(r *http.Request) bool {
	return r.Method == "POST" && strings.HasSuffix(r.URL.Path, "/documents") && strings.HasPrefix(r.URL.Query().Get("customMetadata"), node.RepairMark)
}

// TestWritesDuringGrowthComeLast: what is written while the shards of an index move out comes behind what was there before, on every
// node. Red when the nodes that they go to get writes before they are filled.
func TestWritesDuringGrowthComeLast(t *testing.T) {
	s := newGrowing(t, 1)
	s.write("POST", "/indexes/m/documents?primaryKey=id", seas(upDown(0, 200)...))
	source := s.state.View().Index("m").Nodes()[0]
	var filled atomic.Bool
	filling := make(chan struct{})
	for id, n := range s.nodes {
		if fsm.NodeID(id) == source || id == "alone" {
			continue
		}
		n.Fail(func(r *http.Request) *devnode.Fault { // the pages after the first wait for what is written
			if isCopied(r) && !filled.CompareAndSwap(false, true) {
				<-filling
			}
			return nil
		})
	}
	job := s.begun("PATCH", "/_miroir/indexes/m", `{"spread":"all"}`)
	s.until("documents to be copied", filled.Load)
	s.write("POST", "/indexes/m/documents", seas(upDown(300, 60)...))
	s.write("POST", "/indexes/m/documents", seas(20, 400, 21, 401))
	s.write("DELETE", "/indexes/m/documents/5", "")
	close(filling)
	s.ended(job)
	s.balanced()
	s.sameMembers("/indexes/m/documents/fetch", `{"limit":500}`, "results", "total")
	s.sameMembers("/indexes/m/search", `{"q":"sea","limit":500}`, "hits")
}

// TestAnIndexThatGrowsCountsAsOneMove: of an index that outgrows its node all shards are on their way at once, and of others as many as
// may be. Red when shards that move out of one node come to another in parts, or when ordinary ones do not.
func TestAnIndexThatGrowsCountsAsOneMove(t *testing.T) {
	c := newRepairCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 16, spread: fsm.SpreadAuto, spare: 1}, workers.Repair{MaxConcurrent: 2})
	want := oracle{}
	c.fill("m", want, 100)
	hold := func() (release func()) {
		held := make(chan struct{})
		for _, n := range c.nodes {
			n.Fail(func(r *http.Request) *devnode.Fault {
				if isCopied(r) {
					<-held
				}
				return nil
			})
		}
		return func() { close(held) }
	}
	moving := func() (fresh []fsm.ShardID) {
		for shard, replicas := range c.state.View().Index("m").Placement[0] {
			if slices.ContainsFunc(replicas, func(r fsm.Replica) bool { return r.Fresh }) {
				fresh = append(fresh, fsm.ShardID(shard))
			}
		}
		return fresh
	}
	change := func(method, path, body string) (atFirst int) {
		release := hold()
		job := c.begun(method, path, body)
		c.until("shards to move", func() bool { return len(moving()) > 0 })
		atFirst = len(moving())
		release()
		c.ended(job)
		c.balanced()
		c.equalEverywhere("m", want)
		return atFirst
	}
	if n := change("PATCH", "/_miroir/indexes/m", `{"spread":"all"}`); n <= 2 {
		t.Errorf("%d shards move at first out of the only node", n)
	}
	if n := change("POST", "/_miroir/nodes", `{"id":"s0","address":"http://s0","replica_group":0}`); n > 2 {
		t.Errorf("%d shards move at once to a new node", n)
	}
}
