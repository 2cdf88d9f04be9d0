package proxy

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"miroir/devnode"
	"miroir/fsm"
	"miroir/proxy/node"
	"miroir/workers"
)

// A new leader settles a write before the old one commits its result: the client is told what became of the task. Red when
// the closed intent is answered as an internal error.
func TestAWriteThatANewLeaderSettledIsAnsweredByItsTask(t *testing.T) {
	for name, test := range map[string]struct {
		lost   bool // the new leader hears that the node which is there does not have it
		forget bool // the task is deleted then
		status int
	}{
		"accepted": {false, false, http.StatusAccepted},
		"refused":  {true, false, http.StatusServiceUnavailable},
		"deleted":  {true, true, http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			c := newWriteCluster(t, twoCopies)
			succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1}]`))
			c.stop()
			c.options.OnWriteStep = func(step WriteStep, _ fsm.NodeID) {
				if step == StepCollected {
					c.settleOpen(test.lost, test.forget)
				}
			}
			c.start()
			c.nodes["n1-0"].Stop() // so that the answer waits for the result
			answer := c.call("POST", "/indexes/m/documents", `[{"id":2}]`)
			if answer.Code != test.status {
				t.Fatalf("status %d, want %d: %s", answer.Code, test.status, answer.Body)
			}
			if test.status == http.StatusAccepted {
				succeeded(t, c.await(c.accepted(answer)))
				return
			}
			if answer.Header().Get("Retry-After") == "" || !strings.Contains(answer.Body.String(), `"code":"miroir_no_`) {
				t.Errorf("Retry-After %q: %s", answer.Header().Get("Retry-After"), answer.Body)
			}
		})
	}
}

// A pod that was stopped while it led sends the rest of a write after a new leader found it nowhere and failed its task.
// Every node accepts it then. Red when the answer comes from what the nodes said alone.
func TestAWriteThatANewLeaderFailedIsNotAcknowledged(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1}]`))
	c.stop()
	c.options.OnWriteStep = func(step WriteStep, _ fsm.NodeID) {
		if step == StepCollected {
			c.settleOpen(true, false)
		}
	}
	c.start()
	if answer := c.call("POST", "/indexes/m/documents", `[{"id":2}]`); answer.Code != http.StatusServiceUnavailable {
		t.Fatalf("status %d: %s", answer.Code, answer.Body)
	}
}

// Nodes that hung get the last leader's requests at the same time as the questions of the next one. Red when their first no
// counts: the task would fail, and clients would read what did not happen.
func TestAWriteThatArrivesWhileANewLeaderAsksIsFound(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1}]`))
	c.stop()
	uid, late := "m", fsm.WriteID(node.WriteMark+"late")
	begun, err := fsm.Do(t.Context(), c.state, fsm.BeginWrite{Now: time.Now(), WriteID: late, Kind: "documentAdditionOrUpdate", IndexUID: &uid})
	if err != nil {
		t.Fatal(err)
	}
	for id, n := range c.nodes {
		var questions atomic.Int32
		n.Fail(func(r *http.Request) *devnode.Fault {
			if r.URL.Path == "/tasks" && r.URL.Query().Get("indexUids") != "" && questions.Add(1) == 2 {
				c.on(id, "POST", "/indexes/"+begun.Index.NodeUID+"/documents?customMetadata="+string(late), "["+withShard(begun.Index, 2, "late")+"]")
			}
			return nil
		})
	}
	c.start()
	succeeded(t, c.await(int(begun.TaskUID)))
	for id := range c.nodes {
		if len(c.documentsOn(id, begun.Index.NodeUID)) != 2 || c.replicas("m")[fsm.Active] != 2 {
			t.Errorf("node %s: %v, replicas %v", id, c.documentsOn(id, begun.Index.NodeUID), c.replicas("m"))
		}
	}
}

// settleOpen closes the open write as another pod would.
func (c *writeCluster) settleOpen(lost, forget bool) {
	newest := c.on("n0-0", "GET", "/tasks?limit=1", "")["results"].([]any)[0].(map[string]any)
	ack := fsm.Ack{Node: "n0-0", NodeTaskUID: int64(newest["uid"].(float64))}
	if lost {
		ack = fsm.Ack{Node: "n0-0", Err: "not there"}
	}
	intents, err := c.state.OpenIntents()
	if err != nil || len(intents) != 1 {
		c.t.Errorf("%d open writes: %v", len(intents), err)
		return
	}
	end := fsm.EndWrite{Now: time.Now(), WriteID: intents[0].WriteID, Acks: []fsm.Ack{ack, {Node: "n1-0", Err: "not there"}}}
	if _, err := c.state.Apply(c.t.Context(), end); err != nil {
		c.t.Error(err)
	}
	if forget {
		var uids fsm.TaskUIDs
		uids, err = c.state.TaskUIDs(fsm.TaskFilter{Statuses: []string{fsm.StatusFailed}})
		if err == nil {
			_, err = c.state.Apply(c.t.Context(), fsm.DeleteTasks{Now: time.Now(), UIDs: uids})
		}
		if err != nil {
			c.t.Error(err)
		}
	}
}

// A pod that is no longer sure to lead sends nothing. Red when the lane does not ask.
func TestAPodInDoubtOfItsLeadSendsNothing(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1}]`))
	before := c.on("n0-0", "GET", "/tasks?limit=1", "")["total"]
	c.server.peers = inDoubt{c.server.peers}
	if answer := c.call("POST", "/indexes/m/documents", `[{"id":2}]`); answer.Code != http.StatusServiceUnavailable {
		t.Fatalf("status %d: %s", answer.Code, answer.Body)
	}
	if after := c.on("n0-0", "GET", "/tasks?limit=1", "")["total"]; after != before {
		t.Errorf("the node has %v tasks, had %v", after, before)
	}
}

// inDoubt is a pod whose lease has run out.
type inDoubt struct{ Peers }

func (inDoubt) Fresh() bool                     { return false }
func (inDoubt) AwaitFresh(context.Context) bool { return false }

// A pod dies with two open writes: settings that every node has, and behind them documents that only one node has, which
// is down when the next pod comes up. The settings are sent again and only the other node takes them; but clients may have
// read the documents on the first, so they must still be there when it is back. Red when the node is put out of sync at once.
func TestANodeThatAloneMayHaveALaterWriteStaysInSync(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1}]`))
	c.stop()
	pod := &mortal{next: c.rt}
	c.options.NodeTransport = pod
	began, collected := make(chan struct{}), make(chan struct{})
	moments := 0
	c.options.OnWriteStep = func(step WriteStep, _ fsm.NodeID) {
		if step != StepCollected {
			return
		}
		if moments++; moments == 1 {
			close(began)
			<-collected
			return
		}
		c.kill(pod)
		close(collected)
	}
	c.start()
	c.nodes["n0-0"].Fail(func(r *http.Request) *devnode.Fault {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/documents") {
			return &devnode.Fault{DropBefore: true}
		}
		return nil
	})
	settings := uint32(c.state.View().NextTaskUID)
	answered := make(chan *httptest.ResponseRecorder)
	go func() { answered <- c.call("PATCH", "/indexes/m/settings", `{"stopWords":["the"]}`) }()
	<-began
	if answer := c.call("POST", "/indexes/m/documents", `[{"id":2}]`); answer.Code != http.StatusServiceUnavailable {
		t.Fatalf("status %d: %s", answer.Code, answer.Body)
	}
	<-answered
	if c.documentsOn("n1-0", "m")["2"] == nil {
		t.Fatal("the document is not on the node that accepted it")
	}
	c.nodes["n0-0"].Fail(nil)
	c.nodes["n1-0"].Stop()
	changes := func() float64 {
		total, _ := c.on("n0-0", "GET", "/tasks?types=settingsUpdate&limit=1", "")["total"].(float64)
		return total
	}
	before := changes()
	c.revive(pod)
	c.until("the settings to be sent again", func() bool { return changes() > before })
	c.nodes["n1-0"].Start()
	succeeded(t, c.await(int(settings)))
	succeeded(t, c.await(int(settings)+1))
	c.repair(workers.Repair{})
	c.repaired("m")
	for node := range c.nodes {
		if c.documentsOn(node, "m")["2"] == nil {
			t.Errorf("node %s lacks the document that was visible", node)
		}
	}
}

// A node that has failed has not said what became of a task that another node did. Meanwhile it alone has a later write, which
// is undecided and which clients may have read there. Red when the task's end puts the node out of sync: then the write counts
// as never done.
func TestATaskPutsNoNodeOutOfSyncThatAloneMayHaveALaterWrite(t *testing.T) {
	shape := twoCopies
	shape.writeTimeout = 200 * time.Millisecond
	c := newWriteCluster(t, shape)
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1}]`))
	var silent atomic.Bool
	var looks atomic.Int32
	c.nodes["n1-0"].Fail(func(r *http.Request) *devnode.Fault {
		switch {
		case r.URL.Path == "/tasks":
			return &devnode.Fault{DropBefore: true}
		case isDocumentWrite(r) && silent.Load():
			return &devnode.Fault{DropAfter: true}
		}
		return nil
	})
	first := c.accepted(c.call("POST", "/indexes/m/documents", `[{"id":2}]`))
	c.nodes["n0-0"].Fail(func(r *http.Request) *devnode.Fault {
		if r.URL.Query().Get("types") != "" && looks.Add(1) > 0 || isDocumentWrite(r) {
			return &devnode.Fault{DropBefore: true}
		}
		return nil
	})
	silent.Store(true)
	if answer := c.call("POST", "/indexes/m/documents", `[{"id":3}]`); answer.Code != http.StatusServiceUnavailable {
		t.Fatalf("status %d: %s", answer.Code, answer.Body)
	}
	if c.documentsOn("n1-0", "m")["3"] == nil {
		t.Fatal("the document is not on the node that took it")
	}
	state := func(state fsm.NodeState) {
		if _, err := fsm.Do(t.Context(), c.state, fsm.SetNodeState{Now: time.Now(), Node: "n1-0", State: state}); err != nil {
			t.Fatal(err)
		}
	}
	state(fsm.NodeFailed)
	before := looks.Load()
	c.until("the nodes to be asked again for the later write", func() bool { return looks.Load() >= before+2 })
	if got := c.replicas("m"); got[fsm.Active] != 2 {
		t.Errorf("replicas: %v", got)
	}
	state(fsm.NodeActive)
	for _, node := range c.nodes {
		node.Fail(nil)
	}
	succeeded(t, c.await(first))
	succeeded(t, c.await(first+1))
	c.repair(workers.Repair{})
	c.repaired("m")
	for node := range c.nodes {
		if c.documentsOn(node, "m")["3"] == nil {
			t.Errorf("node %s lacks the document that was visible", node)
		}
	}
}

// A node hangs while it is sent a change of settings and then the deletion of the index, so that nobody knows what becomes of the
// change: it is sent again and again to the other node, which has dropped the index and makes it anew. Red when nothing drops that.
func TestAnOpenChangeOfSettingsLeavesNoDeletedIndex(t *testing.T) {
	var sent atomic.Int32 // changes of settings, to the node that answers
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 8, spread: fsm.SpreadAll})
	succeeded(t, c.do("POST", "/indexes", `{"uid":"m"}`))
	c.stop()
	c.options.NodeTransport = roundTrip(func(r *http.Request) (*http.Response, error) {
		response, err := c.rt.RoundTrip(r)
		if r.Method == http.MethodPatch && r.URL.Host == "n0-0" && r.URL.Path == "/indexes/m/settings" {
			sent.Add(1)
		}
		return response, err
	})
	c.start()
	c.nodes["n0-1"].Freeze()
	changed := make(chan int, 1)
	go func() { changed <- c.call("PATCH", "/indexes/m/settings", `{"stopWords":["a"]}`).Code }()
	c.until("the change to be sent", func() bool { return sent.Load() > 0 })
	deletion := c.accepted(c.call("DELETE", "/indexes/m", ""))
	if code := <-changed; code != http.StatusServiceUnavailable {
		t.Fatalf("the change: status %d", code)
	}
	gone := func() bool { return c.on("n0-0", "GET", "/indexes/m", "")["code"] == "index_not_found" }
	c.until("the node to drop the index", gone)
	before := sent.Load()
	c.until("the change to be sent again", func() bool { return sent.Load() > before })
	c.nodes["n0-1"].Thaw()
	succeeded(t, c.await(deletion))
	c.until("no write to be open", func() bool { return c.state.View().NumOpenIntents == 0 })
	c.until("the index to be gone", gone)
}
