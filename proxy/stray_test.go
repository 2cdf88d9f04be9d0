package proxy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"miroir/devnode"
	"miroir/fsm"
)

// wandering is a transport in which the address of node n0-1 leads to n0-0 for a while.
type wandering struct {
	http.RoundTripper
	astray atomic.Bool
	looks  atomic.Int64 // at the newest task of n0-1
}

func (w *wandering) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == "n0-1" && r.URL.RequestURI() == "/tasks?limit=1" {
		w.looks.Add(1)
	}
	if w.astray.Load() && r.URL.Host == "n0-1" {
		r = r.Clone(r.Context())
		r.URL.Host = "n0-0"
	}
	return w.RoundTripper.RoundTrip(r)
}

// The address of a node leads to another node's server for a while. Nothing is written there in its name, no copy is given up, and
// it is taken back by itself. Red when nobody notices: documents of one node are put on the other.
func TestAnAddressThatGoesAstray(t *testing.T) {
	for name, test := range map[string]struct {
		rf     int
		behind bool // the other server has fewer tasks, as if the disk were lost
		misses bool // the node is missed in between
	}{
		"with a second copy":       {rf: 2},
		"without one":              {rf: 1},
		"to a shorter history":     {rf: 1, behind: true},
		"after an absence":         {rf: 2, misses: true},
		"after one, shorter":       {rf: 1, misses: true, behind: true},
		"after one, of few copies": {rf: 1, misses: true},
	} {
		t.Run(name, func(t *testing.T) {
			nodes := map[string]*devnode.Node{}
			for _, id := range []string{"n0-0", "n0-1"} {
				nodes[id] = devnode.New(devnode.Options{MasterKey: testMasterKey})
				t.Cleanup(nodes[id].Close)
			}
			rt := &wandering{RoundTripper: devnode.Transport(nodes)}
			c := newWriteClusterOver(t, clusterShape{groups: 1, perGroup: 2, rf: test.rf, shards: 8, spread: fsm.SpreadAll}, rt, []string{"http://n0-0", "http://n0-1"})
			c.nodes = nodes
			want := oracle{}
			c.fill("m", want, 40)
			longer := "n0-0"
			if test.behind {
				longer = "n0-1"
			}
			for range 50 {
				c.on(longer, "POST", "/tasks/cancel?uids=4000000000", "")
			}
			longest := c.on("n0-1", "GET", "/tasks?limit=1", "")["results"].([]any)[0].(map[string]any)["uid"].(float64)
			if _, err := fsm.Do(t.Context(), c.state, fsm.RecordNodeTask{Node: "n0-1", UID: int64(longest)}); err != nil {
				t.Fatal(err)
			}
			rt.looks.Store(0)
			c.auditEvery(20 * time.Millisecond)
			c.until("the leader to have seen the node's own tasks", func() bool { return rt.looks.Load() > 2 })
			before := c.documentsOn("n0-0", c.state.View().Route("m").NodeUID)
			if test.misses {
				nodes["n0-1"].Stop()
				c.until("the node to be missed", func() bool { return c.state.View().Node("n0-1").State == fsm.NodeFailed })
			}
			rt.astray.Store(true)
			c.until("the stray to be found", func() bool { return c.state.View().Node("n0-1").LeadsTo == "n0-0" })
			if n := c.state.View().Node("n0-1"); n.State != fsm.NodeFailed || !strings.Contains(n.Error, "server of node `n0-0`") || c.state.View().Node("n0-0").LeadsTo != "" {
				t.Errorf("the node is %+v", n)
			}
			if refused := c.admin("POST", "/_miroir/nodes/n0-1/recover", "", http.StatusConflict); !strings.Contains(refused["message"].(string), "leads to the server of node `n0-0`") {
				t.Errorf("recover: %v", refused)
			}
			answer := c.call("GET", "/indexes/m/documents?limit=1000", "")
			var found struct{ Results []any }
			if err := json.Unmarshal(answer.Body.Bytes(), &found); err != nil || len(found.Results) > 40 ||
				test.rf == 2 && (answer.Code != http.StatusOK || len(found.Results) != 40) {
				t.Errorf("status %d, %d documents are found, want 40: %v", answer.Code, len(found.Results), err)
			}
			if after := c.documentsOn("n0-0", c.state.View().Route("m").NodeUID); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("the documents of the other node have changed: %d were %d", len(after), len(before))
			}
			if stale := c.replicas("m")[fsm.Stale]; test.rf == 1 && stale > 0 {
				t.Errorf("%d replicas of a disk that is well are given up", stale)
			}
			if test.rf == 2 {
				c.fill("m", want, 10)
			}
			nodes["n0-1"].Start()
			rt.astray.Store(false)
			c.until("the node to be taken back", func() bool {
				n := c.state.View().Node("n0-1")
				return n.LeadsTo == "" && n.State == fsm.NodeActive
			})
			c.balanced()
			c.equalEverywhere("m", want)
		})
	}
}

// A leader that finds two nodes at one server and has not seen them apart uses neither: no copy is read or written in the name of
// another. Red when it takes one of them for the right one by chance.
func TestTwoNodesThatWereAlwaysOne(t *testing.T) {
	nodes := map[string]*devnode.Node{}
	for _, id := range []string{"n0-0", "n0-1"} {
		nodes[id] = devnode.New(devnode.Options{MasterKey: testMasterKey})
		t.Cleanup(nodes[id].Close)
	}
	rt := &wandering{RoundTripper: devnode.Transport(nodes)}
	c := newWriteClusterOver(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 8, spread: fsm.SpreadAll}, rt, []string{"http://n0-0", "http://n0-1"})
	c.nodes = nodes
	want := oracle{}
	c.fill("m", want, 40)
	c.workers.Close()
	rt.astray.Store(true)
	c.auditEvery(20 * time.Millisecond)
	c.until("both to be found", func() bool {
		view := c.state.View()
		return view.Node("n0-0").LeadsTo == "n0-1" && view.Node("n0-1").LeadsTo == "n0-0"
	})
	if answer := c.call("POST", "/indexes/m/search", `{}`); answer.Code != http.StatusServiceUnavailable {
		t.Errorf("a search is answered %d: %s", answer.Code, answer.Body)
	}
	rt.astray.Store(false)
	c.until("both to be taken back", func() bool {
		view := c.state.View()
		return view.Node("n0-0").State == fsm.NodeActive && view.Node("n0-1").State == fsm.NodeActive
	})
	c.balanced()
	c.equalEverywhere("m", want)
}

// The address of a node begins to lead to another node's server, which has no task by which it could be known. Red when that is taken
// for a disk that was lost: the only copy is given up, and the other server filled in its name.
func TestAnAddressThatLeadsToAnEmptyServer(t *testing.T) {
	nodes := map[string]*devnode.Node{}
	for _, id := range []string{"n0-0", "n0-1"} {
		nodes[id] = devnode.New(devnode.Options{MasterKey: testMasterKey})
		t.Cleanup(nodes[id].Close)
	}
	rt := &wandering{RoundTripper: devnode.Transport(nodes)}
	c := newWriteClusterOver(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 8}, rt, []string{"http://n0-0", "http://n0-1"})
	c.nodes = nodes
	want := oracle{}
	c.fill("m", want, 20)
	if c.holderOf("m") != "n0-1" || c.on("n0-0", "GET", "/tasks", "")["total"] != 0.0 {
		t.Fatalf("the index lives on %s", c.holderOf("m"))
	}
	rt.looks.Store(0)
	c.auditEvery(20 * time.Millisecond)
	c.until("the leader to have seen the node's own tasks", func() bool { return rt.looks.Load() > 2 })
	rt.astray.Store(true)
	c.until("the stray to be found", func() bool { return c.state.View().Node("n0-1").LeadsTo == "n0-0" })
	if stale := c.replicas("m")[fsm.Stale]; stale > 0 {
		t.Errorf("%d replicas of a disk that is well are given up", stale)
	}
	rt.astray.Store(false)
	c.until("the node to be taken back", func() bool {
		n := c.state.View().Node("n0-1")
		return n.LeadsTo == "" && n.State == fsm.NodeActive
	})
	c.equalEverywhere("m", want)
}
