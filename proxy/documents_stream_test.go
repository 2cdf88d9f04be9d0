package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"miroir/devnode"
	"miroir/fsm"
	"miroir/workers"
)

// streamed reads an index by a stream and counts how often each document came.
func (c *writeCluster) streamed(uid string) map[string]int {
	c.t.Helper()
	seen := map[string]int{}
	stream := documentStream{server: c.server, ix: c.state.View().Index(uid), emit: func(document []byte) error {
		seen[string(memberOf(document, "id"))]++
		return nil
	}}
	if err := stream.run(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	return seen
}

// A stream reads three nodes with two copies of each shard, and one of the nodes drops out of it before, between and after
// its pages. Red when pages count that were read by a picture of the placement which is past, or a part is begun again with
// what was emitted before.
func TestStreamHasEachDocumentOnceWhateverHappens(t *testing.T) {
	const documents = 500
	for name, happen := range map[string]func(c *writeCluster, victim string){
		"moves away": func(c *writeCluster, victim string) {
			c.ended(c.begun("POST", "/_miroir/nodes/"+victim+"/drain", ""))
		},
		"becomes stale": func(c *writeCluster, victim string) {
			ix, mark := c.state.View().Index("m"), fsm.MarkReplicas{Now: time.Now()}
			for s := range fsm.ShardID(ix.Shards) {
				if replicaAt(ix, s, fsm.NodeID(victim)).State == fsm.Active {
					mark.Changes = append(mark.Changes, fsm.ReplicaChange{ReplicaRef: fsm.ReplicaRef{Index: ix.ID, Shard: s, Node: fsm.NodeID(victim)}, From: fsm.Active, To: fsm.Stale})
				}
			}
			if _, err := fsm.Do(t.Context(), c.state, mark); err != nil {
				t.Error(err)
			}
			c.on(victim, "DELETE", "/indexes/"+ix.NodeUID+"/documents", "")
		},
		"loses its disk": func(c *writeCluster, victim string) {
			ix := c.state.View().Index("m")
			c.nodes[victim].Wipe()
			c.on(victim, "POST", "/indexes", fmt.Sprintf(`{"uid":%q,"primaryKey":"id"}`, ix.NodeUID))
			c.on(victim, "PATCH", "/indexes/"+ix.NodeUID+"/settings", `{"filterableAttributes":["_miroir_shard"]}`)
		},
		"goes down": func(c *writeCluster, victim string) { c.nodes[victim].Stop() },
	} {
		for page := range 3 {
			t.Run(fmt.Sprint(name, ", request ", page), func(t *testing.T) {
				c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 2, shards: 8, spread: fsm.SpreadAll,
					writeTimeout: patience}) // what happens while a request waits takes its time
				if name == "moves away" {
					c.repair(workers.Repair{})
				}
				movies(c, "m", documents)
				var victim atomic.Value // the node that is read first
				var reads, happened atomic.Int32
				for id, n := range c.nodes {
					n.Delay(func(r *http.Request) time.Duration {
						if !strings.HasSuffix(r.URL.Path, "/documents/fetch") {
							return 0
						}
						victim.CompareAndSwap(nil, id)
						if victim.Load() == id && reads.Add(1) == int32(page+1) {
							happen(c, id)
							happened.Add(1)
						}
						return 0
					})
				}
				seen := c.streamed("m")
				if happened.Load() != 1 {
					t.Fatal("the node was not read")
				}
				for id, times := range seen {
					if times != 1 {
						t.Fatalf("document %s came %d times", id, times)
					}
				}
				if len(seen) != documents {
					t.Errorf("%d documents, want %d", len(seen), documents)
				}
			})
		}
	}
}

// Nobody can answer for a shard any more: the dump fails and says so. Red when it ends without the documents.
func TestDumpFailsWithoutReplica(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 8, spread: fsm.SpreadAll})
	movies(c, "m", 50)
	c.nodes["n0-1"].Fail(func(r *http.Request) *devnode.Fault {
		if strings.HasSuffix(r.URL.Path, "/documents/fetch") {
			return &devnode.Fault{DropBefore: true}
		}
		return nil
	})
	task := c.do("POST", "/dumps", "")
	failure, _ := task["error"].(map[string]any)
	if task["status"] != "failed" || failure["code"] != string(codeShardUnavailable) || !strings.Contains(failure["message"].(string), "`m`") {
		t.Errorf("task %v", task)
	}
}
