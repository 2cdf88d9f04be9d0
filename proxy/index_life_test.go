package proxy

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"miroir/devnode"
	"miroir/fsm"
	"miroir/meili"
	"miroir/workers"
)

// How indexes come and go while nodes are away or fail to do it.

func TestIndexDeletedWhileANodeWasAwayIsDroppedThere(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	c.do("POST", "/indexes/m/documents", `[{"id":1}]`)
	c.nodes["n1-0"].Stop()
	succeeded(t, c.await(c.accepted(c.call("DELETE", "/indexes/m", ""))))
	if got := len(c.state.View().Leftovers); got != 1 {
		t.Fatalf("%d leftovers, want 1", got)
	}
	c.nodes["n1-0"].Start()
	c.stop()
	c.start()
	c.until("the leftover to go", func() bool { return len(c.state.View().Leftovers) == 0 })
	c.until("the node to drop it", func() bool { return c.on("n1-0", "GET", "/indexes/m", "")["code"] == "index_not_found" })
}

// A node that accepts to drop an index may fail to. Red when the index is forgotten once the node has accepted.
func TestIndexThatANodeFailsToDropIsAskedForAgain(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	c.do("POST", "/indexes/m/documents", `[{"id":1}]`)
	failures := 0
	c.nodes["n1-0"].FailTasks(func(kind meili.TaskKind) *meili.Error {
		if kind != meili.TaskIndexDeletion || failures == 3 {
			return nil
		}
		failures++
		return meili.Errorf(meili.CodeInternal, "no space left")
	})
	succeeded(t, c.do("DELETE", "/indexes/m", ""))
	c.until("the leftover to go", func() bool { return len(c.state.View().Leftovers) == 0 })
	if got := c.on("n1-0", "GET", "/indexes/m", "")["code"]; got != "index_not_found" {
		t.Errorf("the node still has the index: %v", got)
	}
}

// The task fails that creates an index; a later one puts documents into it. Red when the index is forgotten with them.
func TestIndexThatALaterTaskCreates(t *testing.T) {
	for name, later := range map[string]struct{ method, path, body string }{
		"documents": {"POST", "/indexes/m/documents", `[{"id":2}]`},
		"settings":  {"PATCH", "/indexes/m/settings", `{"stopWords":["the"]}`},
	} {
		t.Run(name, func(t *testing.T) {
			c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 4})
			c.nodes["n0-0"].PauseTasks()
			first := c.accepted(c.call("POST", "/indexes/m/documents", `[{"id":1}]`))
			second := c.accepted(c.call(later.method, later.path, later.body))
			failures := 3                // the creation, the settings of ours, the documents
			ended := make(chan struct{}) // the first task, before the node comes to the second
			goOn := sync.OnceFunc(func() { close(ended) })
			defer goOn()
			c.nodes["n0-0"].FailTasks(func(meili.TaskKind) *meili.Error {
				if failures == 0 {
					<-ended
					return nil
				}
				failures--
				return meili.Errorf(meili.CodeInternal, "no space left")
			})
			c.nodes["n0-0"].ResumeTasks()
			if task := c.await(first); task["status"] != "failed" {
				t.Errorf("the first task: %v", task)
			}
			goOn()
			succeeded(t, c.await(second))
			if got := c.call("GET", "/indexes/m", ""); got.Code != http.StatusOK {
				t.Errorf("status %d: %s", got.Code, got.Body)
			}
		})
	}
}

// A write comes to an index whose creation may not have happened: the node that got it cannot be asked. Red when it is sent
// there all the same, acknowledged, and gone with the index.
func TestWriteWaitsForTheCreationOfItsIndex(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 4})
	waits := func() bool { // for the lock's holder, or behind the first write
		c.server.writer.locks.mu.Lock()
		defer c.server.writer.locks.mu.Unlock()
		intents, err := c.state.OpenIntents()
		return err == nil && (len(intents) == 2 || c.server.writer.locks.locks["m"] != nil)
	}
	second := make(chan *httptest.ResponseRecorder, 1)
	var lost atomic.Bool
	c.nodes["n0-0"].Fail(func(r *http.Request) *devnode.Fault {
		if !isDocumentWrite(r) || !lost.CompareAndSwap(false, true) {
			return nil
		}
		go func() { second <- c.call("POST", "/indexes/m/documents", `[{"id":2}]`) }()
		c.until("the second write to come", waits)
		return &devnode.Fault{DropBefore: true}
	})
	if first := c.call("POST", "/indexes/m/documents", `[{"id":1}]`); first.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d: %s", first.Code, first.Body)
	}
	if answer := <-second; answer.Code == http.StatusAccepted {
		succeeded(t, c.await(c.accepted(answer)))
		if got := c.call("GET", "/indexes/m/documents/2", ""); got.Code != http.StatusOK {
			t.Errorf("what was acknowledged is gone: status %d: %s", got.Code, got.Body)
		}
	}
}

// failDrops lets a node fail to drop indexes as often as left says, -1 for ever.
func (c *writeCluster) failDrops(node string, left int) {
	c.nodes[node].FailTasks(func(kind meili.TaskKind) *meili.Error {
		if kind != meili.TaskIndexDeletion || left == 0 {
			return nil
		}
		left--
		return meili.Errorf(meili.CodeInternal, "no space left")
	})
}

// One of two nodes that share an index drops its part, and the other fails to. Red when the task fails: half of the documents
// would be gone from an index that goes on.
func TestDeletionThatOneOfTwoNodesDidIsFinished(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 8, spread: fsm.SpreadAll})
	c.fill("m", oracle{}, 20)
	c.failDrops("n0-1", 3)
	succeeded(t, c.do("DELETE", "/indexes/m", ""))
	if got := c.call("GET", "/indexes/m", "").Code; got != http.StatusNotFound {
		t.Errorf("the index answers with status %d", got)
	}
	c.until("the leftover to go", func() bool { return len(c.state.View().Leftovers) == 0 })
	for node := range c.nodes {
		if got := c.on(node, "GET", "/indexes/m", "")["code"]; got != "index_not_found" {
			t.Errorf("node %s still has the index: %v", node, got)
		}
	}
}

// A node misses a deletion, which the other one fails to do: the index stays whole, and nobody drops it later.
func TestDeletionThatNobodyDidLeavesNothingOver(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 8, spread: fsm.SpreadAll})
	want := oracle{}
	c.fill("m", want, 20)
	c.nodes["n0-0"].Stop()
	c.failDrops("n0-1", -1)
	if task := c.await(c.accepted(c.call("DELETE", "/indexes/m", ""))); task["status"] != "failed" {
		t.Errorf("task: %v", task)
	}
	if left := c.state.View().Leftovers; len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	c.nodes["n0-0"].Start()
	c.equalEverywhere("m", want)
}

// The node that fails the documents has not created their index either. Red when the index counts as created: it would be read
// from a node that does not have it.
func TestIndexThatNobodyMadeGoesWithItsTask(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 4})
	c.nodes["n0-0"].FailTasks(func(meili.TaskKind) *meili.Error { return meili.Errorf(meili.CodeInternal, "no space left") })
	if task := c.await(c.accepted(c.call("POST", "/indexes/m/documents", `[{"id":1}]`))); task["status"] != "failed" {
		t.Errorf("the task: %v", task)
	}
	c.nodes["n0-0"].FailTasks(nil)
	if got := c.call("GET", "/indexes/m", ""); got.Code != http.StatusNotFound {
		t.Errorf("status %d: %s", got.Code, got.Body)
	}
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":2}]`))
	if got := c.call("GET", "/indexes/m/documents/2", ""); got.Code != http.StatusOK {
		t.Errorf("status %d: %s", got.Code, got.Body)
	}
}

// Documents are on their way to a copy that is being filled when the index is deleted. Red when the node is asked to drop the
// index before they have come: they make it anew.
func TestIndexDeletedWhileACopyIsFilledIsDroppedThere(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	succeeded(t, c.do("POST", "/indexes", `{"uid":"other"}`))
	c.do("POST", "/indexes/m/documents", `[{"id":1}]`)
	c.nodes["n1-0"].Stop()
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":2}]`))
	onTheWay, gone := make(chan struct{}, 100), make(chan struct{})
	c.nodes["n1-0"].Fail(func(r *http.Request) *devnode.Fault {
		if isDocumentWrite(r) {
			onTheWay <- struct{}{}
			<-gone
		}
		return nil
	})
	c.nodes["n1-0"].Start()
	c.repair(workers.Repair{})
	<-onTheWay
	succeeded(t, c.do("DELETE", "/indexes/m", ""))
	c.until("the index to be forgotten", func() bool { return len(c.state.View().Indexes) == 1 })
	c.failDrops("n1-0", 1)
	succeeded(t, c.do("DELETE", "/indexes/other", ""))
	c.until("all leftovers to be looked at", func() bool { return len(c.state.View().Leftovers) <= 1 })
	close(gone)
	c.until("the leftover to go", func() bool { return len(c.state.View().Leftovers) == 0 })
	if got := c.on("n1-0", "GET", "/indexes/m", "")["code"]; got != "index_not_found" {
		t.Errorf("the node still has the index: %v", got)
	}
}

// No node does a deletion, and its name has led elsewhere since. Red when the deletion fails: the documents it was to delete
// would come back beside those of the new index, or under a name that nobody knows.
func TestDeletionHappensOnceItsNameIsUsedAgain(t *testing.T) {
	for name, test := range map[string]struct {
		later  func(c *writeCluster) // is accepted because the name is free
		undone func(c *writeCluster, deletion int)
		status int // of the name in the end
	}{
		"a new index, nodes fail": {
			func(c *writeCluster) { c.accepted(c.call("POST", "/indexes/m/documents", `[{"id":99}]`)) },
			func(c *writeCluster, _ int) { c.failDrops("n0-0", 2); c.failDrops("n1-0", 2) }, http.StatusOK,
		},
		"a new index, nodes cancel": {
			func(c *writeCluster) { c.accepted(c.call("POST", "/indexes/m/documents", `[{"id":99}]`)) },
			func(c *writeCluster, deletion int) {
				c.accepted(c.call("POST", fmt.Sprintf("/tasks/cancel?uids=%d", deletion), ""))
				c.until("the nodes to be told", func() bool {
					told := c.on("n0-0", "GET", "/tasks?types=taskCancelation", "")["total"] == 1.0
					return told && c.on("n1-0", "GET", "/tasks?types=taskCancelation", "")["total"] == 1.0
				})
			}, http.StatusOK,
		},
		"nothing": {
			func(c *writeCluster) { c.accepted(c.call("DELETE", "/indexes/m/documents/1", "")) },
			func(c *writeCluster, _ int) { c.failDrops("n0-0", 2); c.failDrops("n1-0", 2) }, http.StatusNotFound,
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newWriteCluster(t, twoCopies)
			c.fill("m", oracle{}, 20)
			for _, n := range c.nodes {
				n.PauseTasks()
			}
			deletion := c.accepted(c.call("DELETE", "/indexes/m", ""))
			test.later(c)
			test.undone(c, deletion)
			for _, n := range c.nodes {
				n.ResumeTasks()
			}
			succeeded(t, c.await(deletion))
			c.until("the leftovers to go", func() bool { return len(c.state.View().Leftovers) == 0 })
			c.until("all tasks to end", func() bool { return c.state.View().NumOpenTasks == 0 })
			if got := c.call("GET", "/indexes/m", ""); got.Code != test.status {
				t.Errorf("the index answers with status %d", got.Code)
			}
			if test.status == http.StatusOK {
				c.equalEverywhere("m", oracle{"99": map[string]any{"id": 99.0}})
			}
			for node := range c.nodes {
				if got := c.on(node, "GET", "/indexes", "")["total"]; got != map[int]any{http.StatusOK: 1.0, http.StatusNotFound: 0.0}[test.status] {
					t.Errorf("node %s has %v indexes", node, got)
				}
			}
		})
	}
}

// A write comes to a name while the nodes are asked to delete its index, which they refuse. Red when the write does not wait
// for what they say: it would make another index.
func TestWriteWaitsForTheFateOfADeletion(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 4})
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1}]`))
	waits := func() bool { // with the lock, or behind the deletion
		c.server.writer.locks.mu.Lock()
		defer c.server.writer.locks.mu.Unlock()
		intents, err := c.state.OpenIntents()
		return err == nil && (len(intents) == 2 || c.server.writer.locks.locks["m"] != nil)
	}
	second := make(chan *httptest.ResponseRecorder, 1)
	c.nodes["n0-0"].Fail(func(r *http.Request) *devnode.Fault {
		if r.Method != http.MethodDelete {
			return nil
		}
		go func() { second <- c.call("POST", "/indexes/m/documents", `[{"id":2}]`) }()
		c.until("the second write to come", waits)
		return &devnode.Fault{Status: http.StatusInternalServerError, Body: `{"message":"broken","code":"internal","type":"internal","link":""}`}
	})
	if first := c.call("DELETE", "/indexes/m", ""); first.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d: %s", first.Code, first.Body)
	}
	succeeded(t, c.await(c.accepted(<-second)))
	if got := c.get("/indexes/m/documents")["total"]; got != 2.0 {
		t.Errorf("%v documents are in the index", got)
	}
}

// An index gets another name and primary key, which its nodes refuse. Red when writes to either name do not wait for them.
func TestWriteWaitsForARenameThatNodesMayRefuse(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 4})
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1}]`))
	c.nodes["n0-0"].PauseTasks()
	rename := c.accepted(c.call("PATCH", "/indexes/m", `{"uid":"n","primaryKey":"isbn"}`))
	answers := make(chan *httptest.ResponseRecorder, 2)
	for _, name := range []string{"m", "n"} {
		go func() { answers <- c.call("POST", "/indexes/"+name+"/documents", `[{"id":2}]`) }()
	}
	c.until("the writes to come", func() bool {
		c.server.writer.locks.mu.Lock()
		defer c.server.writer.locks.mu.Unlock()
		return c.server.writer.locks.locks["m"] != nil && c.server.writer.locks.locks["n"] != nil || c.state.View().NextTaskUID == uint32(rename+3)
	})
	c.nodes["n0-0"].ResumeTasks()
	if task := c.await(rename); task["status"] != "failed" {
		t.Errorf("the rename: %v", task)
	}
	for range 2 {
		succeeded(t, c.await(c.accepted(<-answers)))
	}
	if m, n := c.get("/indexes/m/documents")["total"], c.get("/indexes/n/documents")["total"]; m != 2.0 || n != 1.0 {
		t.Errorf("%v documents are in the one, %v in the other", m, n)
	}
}

// A change of settings fails on one node when the index has been deleted since. Red when the other node is told to take it back:
// that makes the index anew there.
func TestNothingIsUndoneOfAnIndexThatIsDeleted(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	c.fill("m", oracle{}, 3)
	for _, n := range c.nodes {
		n.PauseTasks()
	}
	change := c.accepted(c.call("PATCH", "/indexes/m/settings", `{"stopWords":["the"]}`))
	deletion := c.accepted(c.call("DELETE", "/indexes/m", ""))
	c.nodes["n1-0"].FailTasks(func(kind meili.TaskKind) *meili.Error {
		if kind != meili.TaskSettingsUpdate {
			return nil
		}
		return meili.Errorf(meili.CodeInternal, "no space left")
	})
	for _, n := range c.nodes {
		n.ResumeTasks()
	}
	if task := c.await(change); task["status"] != "failed" {
		t.Errorf("the change: %v", task)
	}
	succeeded(t, c.await(deletion))
	for node := range c.nodes {
		c.until("the node's tasks to end", func() bool { return c.on(node, "GET", "/tasks?statuses=enqueued,processing", "")["total"] == 0.0 })
		if got := c.on(node, "GET", "/indexes", "")["total"]; got != 0.0 {
			t.Errorf("node %s has %v indexes", node, got)
		}
	}
}

// Reads of an index are held up on their way to the node until the index is deleted and another has been made, under the
// name that the first one was made by. Red when it gets the first one's node-side name: the reads show its documents. Red, too,
// when they fail otherwise than for want of the index.
func TestSlowReadShowsNoOtherIndex(t *testing.T) {
	for name, read := range map[string]struct{ method, path, body string }{
		"search":    {"POST", "/indexes/a/search", `{"q":""}`},
		"federated": {"POST", "/multi-search", `{"federation":{},"queries":[{"indexUid":"a","q":""}]}`},
		"document":  {"GET", "/indexes/a/documents/1", ""},
		"documents": {"GET", "/indexes/a/documents", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 4})
				defer c.stop()
				succeeded(t, c.do("POST", "/indexes/c/documents", `[{"id":1,"of":"first"}]`))
				succeeded(t, c.do("PATCH", "/indexes/c", `{"uid":"a"}`))
				var held atomic.Int32
				c.nodes["n0-0"].Delay(func(r *http.Request) time.Duration {
					if strings.HasSuffix(r.URL.Path, "search") || strings.Contains(r.URL.Path, "/documents/1") || strings.HasSuffix(r.URL.Path, "/fetch") {
						held.Add(1)
						return time.Second
					}
					return 0
				})
				answer := make(chan *httptest.ResponseRecorder, 1)
				go func() { answer <- c.call(read.method, read.path, read.body) }()
				c.until("the read to be on its way", func() bool { return held.Load() > 0 })
				succeeded(t, c.do("DELETE", "/indexes/a", ""))
				succeeded(t, c.do("POST", "/indexes/c/documents", `[{"id":1,"of":"second"}]`))
				select {
				case early := <-answer:
					t.Fatalf("the read did not wait: %d %s", early.Code, early.Body)
				default:
				}
				if got := (<-answer).Body.String(); !strings.Contains(got, "Index `a` not found.") {
					t.Errorf("a read of the first index: %s", got)
				}
				c.nodes["n0-0"].Delay(nil)
				if got := c.call("GET", "/indexes/c/documents/1", ""); !strings.Contains(got.Body.String(), "second") {
					t.Errorf("the second index: %d %s", got.Code, got.Body)
				}
			})
		})
	}
}

// A node has deleted an index while the deletion has not ended in the state, since the other node takes long. A read that
// only finds the first one waits for the end. Red when it says that the shards cannot be read.
func TestReadWaitsForTheEndOfADeletion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newWriteCluster(t, twoCopies)
		defer c.stop()
		succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1}]`))
		c.nodes["n1-0"].TaskDelay(time.Second)
		deletion := c.accepted(c.call("DELETE", "/indexes/m", ""))
		c.until("a node to delete the index", func() bool { return c.on("n0-0", "GET", "/indexes/m", "")["code"] == "index_not_found" })
		c.nodes["n1-0"].Fail(func(r *http.Request) *devnode.Fault {
			if strings.HasSuffix(r.URL.Path, "search") {
				return &devnode.Fault{Status: http.StatusServiceUnavailable}
			}
			return nil
		})
		if status := c.get(fmt.Sprintf("/tasks/%d", deletion))["status"]; status == "succeeded" {
			t.Fatal("the deletion has ended")
		}
		if got := c.call("POST", "/indexes/m/search", `{"q":""}`); got.Code != http.StatusNotFound {
			t.Errorf("%d %s", got.Code, got.Body)
		}
		succeeded(t, c.await(deletion))
	})
}
