package proxy

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"miroir/fsm"
	"miroir/workers"
)

// admin sends a management request, expects a status and returns the answer.
func (c *writeCluster) admin(method, path, body string, status int) map[string]any {
	c.t.Helper()
	answer := c.manage(method, path, body)
	if answer.Code != status {
		c.t.Fatalf("%s %s: status %d, want %d: %s", method, path, answer.Code, status, answer.Body)
	}
	var object map[string]any
	if err := json.Unmarshal(answer.Body.Bytes(), &object); err != nil {
		c.t.Fatalf("%s %s: %s: %v", method, path, answer.Body, err)
	}
	return object
}

// begun is the job that a management request started.
func (c *writeCluster) begun(method, path, body string) string {
	c.t.Helper()
	return c.admin(method, path, body, http.StatusAccepted)["job_id"].(string)
}

// ended waits for the end of a job and expects it to have succeeded.
func (c *writeCluster) ended(id string) {
	c.t.Helper()
	var job map[string]any
	c.until("the end of "+id, func() bool {
		job = c.admin("GET", "/_miroir/jobs/"+id, "", http.StatusOK)
		return job["state"] != "running" && job["state"] != "queued"
	})
	if job["state"] != "succeeded" {
		c.t.Errorf("job %s: %v", id, job)
	}
}

// balanced waits until no replica is to be moved or repaired.
func (c *writeCluster) balanced() {
	c.t.Helper()
	c.until("the replicas to be where they belong", func() bool {
		moves := c.server.plan(c.state.View())
		counts := countReplicas(c.state.View(), nil)
		return moves.NumSteps+len(moves.Filling) == 0 && counts["stale"]+counts["joining"]+counts["leaving"] == 0
	})
}

// placed checks what must hold of every placement once nothing moves: as many copies in each group as should be, on nodes
// in service, none twice.
func (c *writeCluster) placed() {
	c.t.Helper()
	view := c.state.View()
	for _, ix := range view.Indexes {
		for group, slots := range ix.Placement {
			for slot, replicas := range slots {
				var nodes []fsm.NodeID
				for _, r := range replicas {
					nodes = append(nodes, r.Node)
					if n := view.Node(r.Node); r.State != fsm.Active || n == nil || n.State != fsm.NodeActive && n.State != fsm.NodeDegraded {
						c.t.Errorf("index %s, shard %d, group %d: replica %+v on node %+v", ix.UID, slot, group, r, n)
					}
				}
				if slices.Sort(nodes); len(slices.Compact(nodes)) != view.Config.ReplicationFactor {
					c.t.Errorf("index %s, shard %d, group %d: replicas on %v", ix.UID, slot, group, nodes)
				}
			}
		}
	}
}

// load are writers and readers at work on an index, and what must be there when they have ended.
type load struct {
	c       *writeCluster
	stop    atomic.Bool
	working sync.WaitGroup
	wants   []oracle
	reads   atomic.Int64
}

const fixedDocuments = 40

// begin fills an index with documents that do not change, and has writers write others and readers read the first.
func (c *writeCluster) begin(writers, readers int) *load {
	c.t.Helper()
	succeeded(c.t, c.do("PATCH", "/indexes/m/settings", `{"filterableAttributes":["w","n","fixed"],"sortableAttributes":["n"]}`))
	l := &load{c: c, wants: make([]oracle, writers+1)}
	c.t.Cleanup(func() { // of a test that failed, before the cluster is closed
		l.stop.Store(true)
		l.working.Wait()
	})
	l.wants[writers] = oracle{}
	documents := []map[string]any{}
	for i := range fixedDocuments {
		l.wants[writers].put(100_000+i, map[string]any{"fixed": true, "n": float64(i)})
		documents = append(documents, l.wants[writers][fmt.Sprint(100_000+i)])
	}
	body, _ := json.Marshal(documents)
	succeeded(c.t, c.do("POST", "/indexes/m/documents?primaryKey=id", string(body)))
	for w := range writers {
		l.wants[w] = oracle{}
		l.working.Go(func() { c.writeAtRandom(w, l.wants[w], &l.stop) })
	}
	for range readers {
		l.working.Go(func() {
			for !l.stop.Load() {
				l.read()
			}
		})
	}
	return l
}

// read searches the documents that do not change: all must be there, each once, in order, whatever moves.
func (l *load) read() {
	answer := l.c.call("POST", "/indexes/m/search", `{"filter":"fixed = true","sort":["n:asc"],"limit":1000,"facets":["fixed"]}`)
	var found struct {
		Hits []struct{ N float64 }
		// FacetDistribution must count each document once.
		FacetDistribution map[string]map[string]int
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &found); err != nil || answer.Code != http.StatusOK {
		l.c.t.Errorf("search: status %d: %s", answer.Code, answer.Body)
		return
	}
	right := len(found.Hits) == fixedDocuments && found.FacetDistribution["fixed"]["true"] == fixedDocuments
	for i := range found.Hits {
		right = right && found.Hits[i].N == float64(i)
	}
	if degraded := answer.Header().Get("X-Miroir-Degraded"); !right || degraded != "" {
		l.c.t.Errorf("%d hits, facets %v, degraded %q", len(found.Hits), found.FacetDistribution, degraded)
	}
	l.reads.Add(1)
}

// end stops the load and compares every node with what must be there.
func (l *load) end() {
	l.c.t.Helper()
	l.stop.Store(true)
	l.working.Wait()
	l.c.await(int(l.c.state.View().NextTaskUID) - 1)
	l.c.balanced()
	want := oracle{}
	for _, part := range l.wants {
		maps.Copy(want, part)
	}
	l.c.equalEverywhere("m", want)
	l.c.nothingLeft("m")
	l.c.t.Logf("%d searches, %d tasks, %d documents at the end", l.reads.Load(), l.c.state.View().NextTaskUID, len(want))
}

// nothingLeft checks that no node holds anything of the index that the placement does not know of.
func (c *writeCluster) nothingLeft(uid string) {
	c.t.Helper()
	ix := c.state.View().Route(uid)
	for id, n := range c.state.View().Nodes {
		if n.State == fsm.NodeFailed || slices.Contains(ix.Nodes(), id) {
			continue
		}
		if got := c.on(string(id), "GET", "/indexes/"+ix.NodeUID, ""); got["code"] != "index_not_found" {
			c.t.Errorf("node %s, which has no replica, answers for the index: %v", id, got)
		}
	}
}

var moveShapes = map[string]clusterShape{
	"whole":                          {groups: 1, perGroup: 3, rf: 2, shards: 8, spread: fsm.SpreadAuto, spare: 1},
	"spread":                         {groups: 1, perGroup: 3, rf: 2, shards: 8, spread: fsm.SpreadAll, spare: 1},
	"spread over two, in two groups": {groups: 2, perGroup: 3, rf: 1, shards: 8, spread: 2, spare: 1},
}

// A node is added, another drained and removed, while clients write and read. Red when a replica is activated before it is
// equal, when documents are deleted that are still read, when a copy is read twice.
func TestNodesComeAndGoUnderLoad(t *testing.T) {
	for name, shape := range moveShapes {
		t.Run(name, func(t *testing.T) {
			c := newRepairCluster(t, shape, workers.Repair{PageSize: 10})
			l := c.begin(3, 2)
			c.ended(c.begun("POST", "/_miroir/nodes", `{"id":"n0-9","address":"http://s0","replica_group":0}`))
			c.balanced()
			c.placed()
			c.ended(c.begun("POST", "/_miroir/nodes/n0-0/drain", ""))
			if got := c.admin("GET", "/_miroir/nodes/n0-0", "", 200); got["status"] != "drained" || got["shard_count"] != 0.0 {
				t.Errorf("the drained node: %v", got)
			}
			c.ended(c.begun("DELETE", "/_miroir/nodes/n0-0", ""))
			c.admin("GET", "/_miroir/nodes/n0-0", "", 404)
			l.end()
			c.placed()
		})
	}
}
