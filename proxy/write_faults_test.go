package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"miroir/devnode"
	"miroir/fsm"
	"miroir/meili"
	"miroir/tasks"
	"miroir/workers"
)

// Topology of most tests here: two groups of one node, so that every document lives twice.
var twoCopies = clusterShape{groups: 2, perGroup: 1, rf: 1, shards: 4, spread: fsm.SpreadAuto}

func isDocumentWrite(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/documents")
}

// once makes the first request that matches fail, and no other.
func once(matches func(*http.Request) bool, fault devnode.Fault) func(*http.Request) *devnode.Fault {
	var used atomic.Bool
	return func(r *http.Request) *devnode.Fault {
		if !matches(r) || !used.CompareAndSwap(false, true) {
			return nil
		}
		return &fault
	}
}

func TestNodeDownMakesItsReplicasStaleBeforeTheAnswer(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	c.do("POST", "/indexes/m/documents", `[{"id":1}]`)
	c.nodes["n1-0"].Stop()
	answer := c.call("POST", "/indexes/m/documents", `[{"id":2}]`)
	if got, want := answer.Header().Get("X-Miroir-Degraded"), "groups=1;shards=0"; got != want {
		t.Errorf("X-Miroir-Degraded: got %q, want %q", got, want)
	}
	if got := c.replicas("m"); got[fsm.Stale] != 1 || got[fsm.Active] != 1 {
		t.Errorf("replicas after the answer: %v", got)
	}
	succeeded(t, c.await(c.accepted(answer)))
	c.nodes["n1-0"].Start()
	// A stale replica gets no writes until it is repaired, and the header says so.
	answer = c.call("POST", "/indexes/m/documents", `[{"id":3}]`)
	succeeded(t, c.await(c.accepted(answer)))
	if got := answer.Header().Get("X-Miroir-Degraded"); got == "" {
		t.Error("a write that misses a group must say so")
	}
	if got := len(c.documentsOn("n0-0", "m")); got != 3 {
		t.Errorf("the replica in sync has %d documents, want 3", got)
	}
	if got := len(c.documentsOn("n1-0", "m")); got != 1 {
		t.Errorf("the stale replica has %d documents, want 1", got)
	}
}

func TestAllNodesDownRefusesAndKeepsReplicasInSync(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	c.do("POST", "/indexes/m/documents", `[{"id":1}]`)
	c.nodes["n0-0"].Stop()
	c.nodes["n1-0"].Stop()
	answer := c.call("POST", "/indexes/m/documents", `[{"id":2}]`)
	if answer.Code != http.StatusServiceUnavailable || !strings.Contains(answer.Body.String(), "miroir_no_quorum") || answer.Header().Get("Retry-After") == "" {
		t.Errorf("status %d, Retry-After %q: %s", answer.Code, answer.Header().Get("Retry-After"), answer.Body)
	}
	if got := c.replicas("m"); got[fsm.Active] != 2 {
		t.Errorf("replicas: %v", got)
	}
	if task := c.await(1); task["status"] != "failed" {
		t.Errorf("task: %v", task)
	}
	c.nodes["n0-0"].Start()
	c.nodes["n1-0"].Start()
	answer = c.call("POST", "/indexes/m/documents", `[{"id":3}]`)
	succeeded(t, c.await(c.accepted(answer)))
	if got := answer.Header().Get("X-Miroir-Degraded"); got != "" {
		t.Errorf("X-Miroir-Degraded: %s", got)
	}
}

// One of three nodes fails a write, one does it and one takes its time. Red when the first is read until the third has ended: it
// does later writes without this one.
func TestANodeThatFailedAWriteIsStaleBeforeAllAreDone(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 3, perGroup: 1, rf: 1, shards: 4})
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1}]`))
	var failed atomic.Bool
	c.nodes["n1-0"].FailTasks(func(meili.TaskKind) *meili.Error {
		if !failed.CompareAndSwap(false, true) {
			return nil
		}
		return meili.Errorf(meili.CodeInternal, "no space left")
	})
	c.nodes["n2-0"].PauseTasks()
	task := c.accepted(c.call("POST", "/indexes/m/documents", `[{"id":2}]`))
	c.until("the replica to be stale", func() bool { return c.replicas("m")[fsm.Stale] == 1 })
	if now := c.get(fmt.Sprintf("/tasks/%d", task)); now["status"] != "processing" && now["status"] != "enqueued" {
		t.Errorf("the task has ended: %v", now)
	}
	c.nodes["n2-0"].ResumeTasks()
	succeeded(t, c.await(task))
	if got := c.replicas("m"); got[fsm.Stale] != 1 || got[fsm.Active] != 2 {
		t.Errorf("replicas: %v", got)
	}
}

func TestLostAnswerIsSettledByTheWriteID(t *testing.T) {
	for name, test := range map[string]struct {
		fault devnode.Fault
		stale int
	}{
		"the write arrived": {devnode.Fault{DropAfter: true}, 0},
		"it did not arrive": {devnode.Fault{DropBefore: true}, 1},
		// Red when an answer that names no task counts as a refusal.
		"it arrived and somebody else answers": {devnode.Fault{Garble: "<html>"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := newWriteCluster(t, twoCopies)
			c.do("POST", "/indexes/m/documents", `[{"id":1}]`)
			c.nodes["n1-0"].Fail(once(isDocumentWrite, test.fault))
			succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":2}]`))
			if got := c.replicas("m")[fsm.Stale]; got != test.stale {
				t.Errorf("%d replicas are stale, want %d", got, test.stale)
			}
			if got, want := len(c.documentsOn("n1-0", "m")), 2-test.stale; got != want {
				t.Errorf("the node has %d documents, want %d", got, want)
			}
		})
	}
}

// The only node that may have a write cannot be asked: nothing is decided until it is back, and then it decides.
func TestUndecidedWriteWaitsForTheNode(t *testing.T) {
	for name, arrived := range map[string]bool{"it has the write": true, "it does not": false} {
		t.Run(name, func(t *testing.T) {
			c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 4})
			c.do("POST", "/indexes/m/documents", `[{"id":1}]`)
			var away atomic.Bool
			c.nodes["n0-0"].Fail(func(r *http.Request) *devnode.Fault {
				switch {
				case isDocumentWrite(r) && away.CompareAndSwap(false, true):
					return &devnode.Fault{DropAfter: arrived, DropBefore: !arrived}
				case away.Load():
					return &devnode.Fault{DropBefore: true}
				}
				return nil
			})
			answer := c.call("POST", "/indexes/m/documents", `[{"id":2}]`)
			if answer.Code != http.StatusServiceUnavailable {
				t.Fatalf("status %d: %s", answer.Code, answer.Body)
			}
			if n := c.state.View().NumOpenIntents; n != 1 {
				t.Fatalf("%d open intents, want 1", n)
			}
			// Later writes of the index wait for the decision, or nodes could get the two in the wrong order.
			if answer := c.call("POST", "/indexes/m/documents", `[{"id":3}]`); answer.Code != http.StatusServiceUnavailable || !strings.Contains(answer.Body.String(), "The fate of task 1") {
				t.Errorf("a later write: status %d: %s", answer.Code, answer.Body)
			}
			c.nodes["n0-0"].Fail(nil)
			want := map[bool]string{true: "succeeded", false: "failed"}[arrived]
			if task := c.await(1); task["status"] != want {
				t.Errorf("task: %v, want %s", task, want)
			}
			succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":4}]`))
			if got, want := len(c.documentsOn("n0-0", "m")), map[bool]int{true: 3, false: 2}[arrived]; got != want {
				t.Errorf("%d documents, want %d", got, want)
			}
		})
	}
}

var errKilled = errors.New("the pod was killed")

// The pod dies between two commits: the next one opens the same state and settles what it finds.
func TestKilledBetweenCommits(t *testing.T) {
	for name, test := range map[string]struct {
		reaches string // the node that gets the write before the pod dies; "" for none, "*" for all
		status  string
		stale   int
	}{
		"before the fan-out":   {"", "failed", 0},
		"after one of two":     {"n0-0", "succeeded", 1},
		"after all, no result": {"*", "succeeded", 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := newWriteCluster(t, twoCopies)
			c.do("POST", "/indexes/m/documents", `[{"id":1}]`)
			for id, n := range c.nodes {
				if test.reaches != id && test.reaches != "*" {
					n.Fail(func(r *http.Request) *devnode.Fault {
						if isDocumentWrite(r) {
							return &devnode.Fault{DropBefore: true}
						}
						return nil
					})
				}
			}
			c.state.refuse(func(cmd fsm.Command) error {
				if _, result := cmd.(fsm.EndWrite); result {
					return errKilled
				}
				return nil
			})
			c.call("POST", "/indexes/m/documents", `[{"id":2}]`)
			c.stop()
			if n := c.state.View().NumOpenIntents; n != 1 {
				t.Fatalf("%d open intents after the kill, want 1", n)
			}
			c.state.refuse(nil)
			for _, n := range c.nodes {
				n.Fail(nil)
			}
			c.start()
			// The gate opens only once the open write is decided, so this one finds it so.
			last := c.accepted(c.call("POST", "/indexes/m/documents", `[{"id":3}]`))
			if task := c.await(1); task["status"] != test.status {
				t.Errorf("task: %v, want %s", task, test.status)
			}
			succeeded(t, c.await(last))
			if n := c.state.View().NumOpenIntents; n != 0 {
				t.Errorf("%d intents are open", n)
			}
			if got := c.replicas("m")[fsm.Stale]; got != test.stale {
				t.Errorf("%d replicas are stale, want %d", got, test.stale)
			}
			want := map[string]int{"failed": 2, "succeeded": 3}[test.status]
			if got := len(c.documentsOn("n0-0", "m")); got != want {
				t.Errorf("the replica in sync has %d documents, want %d", got, want)
			}
		})
	}
}

// Index operations carry no write id: they are sent again, which does no harm.
func TestKilledWithOpenIndexOperations(t *testing.T) {
	for name, test := range map[string]struct {
		setup   []string // method, path, body
		write   []string
		reached bool
		holds   func(c *writeCluster) bool
	}{
		"create": {write: []string{"POST", "/indexes", `{"uid":"m","primaryKey":"id"}`},
			holds: func(c *writeCluster) bool {
				return c.state.View().Index("m") != nil && c.on("n0-0", "GET", "/indexes/m", "")["primaryKey"] == "id"
			}},
		"create again": {write: []string{"POST", "/indexes", `{"uid":"m","primaryKey":"id"}`}, reached: true,
			holds: func(c *writeCluster) bool { return c.state.View().Index("m") != nil }},
		"settings": {setup: []string{"POST", "/indexes", `{"uid":"m"}`}, write: []string{"PUT", "/indexes/m/settings/stop-words", `["the"]`},
			holds: func(c *writeCluster) bool {
				return fmt.Sprint(c.get("/indexes/m/settings")["stopWords"]) == "[the]" && fmt.Sprint(c.on("n1-0", "GET", "/indexes/m/settings", "")["stopWords"]) == "[the]"
			}},
		"delete": {setup: []string{"POST", "/indexes", `{"uid":"m"}`}, write: []string{"DELETE", "/indexes/m", ""}, reached: true,
			holds: func(c *writeCluster) bool {
				return c.state.View().Index("m") == nil && c.on("n0-0", "GET", "/indexes/m", "")["code"] == "index_not_found"
			}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newWriteCluster(t, twoCopies)
			if test.setup != nil {
				succeeded(t, c.do(test.setup[0], test.setup[1], test.setup[2]))
			}
			if !test.reached {
				for _, n := range c.nodes {
					n.Fail(func(r *http.Request) *devnode.Fault {
						if r.Method != http.MethodGet {
							return &devnode.Fault{DropBefore: true}
						}
						return nil
					})
				}
			}
			c.state.refuse(func(cmd fsm.Command) error {
				if _, result := cmd.(fsm.EndWrite); result {
					return errKilled
				}
				return nil
			})
			uid := int(c.state.View().NextTaskUID)
			c.call(test.write[0], test.write[1], test.write[2])
			c.stop()
			c.state.refuse(nil)
			for _, n := range c.nodes {
				n.Fail(nil)
			}
			c.start()
			succeeded(t, c.await(uid))
			if !test.holds(c) {
				t.Errorf("the operation did not take effect: %v", c.state.View().Names)
			}
			if c.state.View().Route("m") != nil && c.replicas("m")[fsm.Stale] != 0 {
				t.Errorf("replicas: %v", c.replicas("m"))
			}
		})
	}
}

// Documents whose index did not exist: the nodes that have no documents of the batch are asked again to create it.
func TestKilledWhileCreatingByDocuments(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 8, spread: fsm.SpreadAll})
	c.state.refuse(func(cmd fsm.Command) error {
		if _, result := cmd.(fsm.EndWrite); result {
			return errKilled
		}
		return nil
	})
	c.call("POST", "/indexes/m/documents", `[{"id":1}]`)
	c.stop()
	c.state.refuse(nil)
	c.start()
	succeeded(t, c.await(0))
	for id := range c.nodes {
		if got := fmt.Sprint(c.on(id, "GET", "/indexes/m/settings", "")["filterableAttributes"]); !strings.Contains(got, shardField) {
			t.Errorf("node %s: filterable attributes are %s", id, got)
		}
	}
	if got := c.replicas("m"); !reflect.DeepEqual(got, map[fsm.ReplicaState]int{fsm.Active: 8}) {
		t.Errorf("replicas: %v", got)
	}
}

func TestWritesOfOneDocumentKeepTheirOrderOnEveryNode(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 2, perGroup: 2, rf: 2, shards: 4, spread: fsm.SpreadAll})
	c.do("POST", "/indexes", `{"uid":"m","primaryKey":"id"}`)
	const writers, each = 4, 8
	// Every second commit is slow to return, so that without care the next write overtakes it on the way to the nodes.
	var commits atomic.Int32
	c.state.delay(func(cmd fsm.Command) time.Duration {
		if _, begins := cmd.(fsm.BeginWrite); begins && commits.Add(1)%2 == 1 {
			return 5 * time.Millisecond
		}
		return 0
	})
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range each {
				answer := c.call("POST", "/indexes/m/documents", fmt.Sprintf(`[{"id":7,"v":"%d-%d"}]`, w, i))
				if answer.Code != http.StatusAccepted {
					t.Errorf("status %d: %s", answer.Code, answer.Body)
				}
			}
		})
	}
	group.Wait()
	succeeded(t, c.await(int(c.state.View().NextTaskUID)-1))
	var want []string // write ids in the order of the log
	list, err := c.state.FSM.Tasks(fsm.TaskFilter{Kinds: []string{"documentAdditionOrUpdate"}}, fsm.TaskPage{Limit: 1000, Reverse: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range list.Tasks {
		want = append(want, string(task.WriteID))
	}
	for id := range c.nodes {
		page := c.on(id, "GET", "/tasks?types=documentAdditionOrUpdate&reverse=true&limit=1000", "")
		var got []string
		for _, task := range page["results"].([]any) {
			got = append(got, fmt.Sprint(task.(map[string]any)["customMetadata"]))
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("node %s got the writes in another order than the log has them:\n%s\n%s", id, got, want)
		}
	}
	if n := c.replicas("m")[fsm.Stale]; n != 0 {
		t.Errorf("%d replicas are stale", n)
	}
}

// One node fails a write that the other does: it is behind, and the write has happened.
func TestTaskThatFailsOnOneReplicaMakesItStale(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	c.do("POST", "/indexes", `{"uid":"m","primaryKey":"id"}`)
	// Somebody gave this node's index another primary key, so that it refuses the documents in its task.
	c.on("n1-0", "PATCH", "/indexes/m", `{"primaryKey":"other"}`)
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1}]`))
	c.until("the replica to be stale", func() bool { return c.replicas("m")[fsm.Stale] == 1 })
}

func TestSettingsOnAllNodesOrNone(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	succeeded(t, c.do("POST", "/indexes", `{"uid":"m","primaryKey":"id"}`))
	succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"stopWords":["a"],"typoTolerance":{"minWordSizeForTypos":{"oneTypo":4}}}`))
	c.nodes["n1-0"].Fail(failTasks("settingsUpdate"))
	task := c.do("PATCH", "/indexes/m/settings", `{"stopWords":["b"],"synonyms":{"x":["y"]},"typoTolerance":{"minWordSizeForTypos":{"twoTypos":11}}}`)
	c.nodes["n1-0"].Fail(nil)
	if task["status"] != "failed" || !strings.Contains(fmt.Sprint(task["error"]), "disk full") {
		t.Fatalf("task: %v", task)
	}
	check := func(where string, settings map[string]any) {
		t.Helper()
		got := fmt.Sprint(settings["stopWords"], settings["synonyms"], settings["typoTolerance"].(map[string]any)["minWordSizeForTypos"])
		if want := "[a] map[] map[oneTypo:4 twoTypos:9]"; got != want {
			t.Errorf("%s: settings are %s, want %s", where, got, want)
		}
	}
	check("Miroir", c.get("/indexes/m/settings"))
	c.until("the change to be undone", func() bool {
		return fmt.Sprint(c.on("n0-0", "GET", "/indexes/m/settings", "")["stopWords"]) == "[a]"
	})
	c.until("the change to be undone completely", func() bool {
		settings := c.on("n0-0", "GET", "/indexes/m/settings", "")
		return fmt.Sprint(settings["typoTolerance"].(map[string]any)["minWordSizeForTypos"]) == "map[oneTypo:4 twoTypos:9]"
	})
	check("the node that had made it", c.on("n0-0", "GET", "/indexes/m/settings", ""))
	if got := fmt.Sprint(c.on("n0-0", "GET", "/indexes/m/settings", "")["filterableAttributes"]); !strings.Contains(got, tasks.NoField) {
		t.Errorf("Miroir's rule is gone: %s", got)
	}
}

// A change of settings fails on one node, which has done the first of two requests that the change is there, or on a node which the
// others cannot undo it. Red when nobody looks what nodes have after a change that did not happen: they keep it until the next check.
func TestNoNodeKeepsAFailedChangeOfSettings(t *testing.T) {
	for name, failing := range map[string]map[string][]int{ // by node, which of its changes of settings
		"a part of it is done": {"n0-0": {2}},
		"it is not undone":     {"n0-0": {1, 2}, "n0-1": {3}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 2, shards: 8, spread: fsm.SpreadAll})
			c.watchDrift(workers.Drift{Interval: time.Hour})
			c.fill("m", oracle{}, 20)
			succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"stopWords":["a"]}`))
			for id, fails := range failing {
				n := 0
				c.nodes[id].FailTasks(func(kind meili.TaskKind) *meili.Error {
					if kind != meili.TaskSettingsUpdate {
						return nil
					}
					if n++; !slices.Contains(fails, n) {
						return nil
					}
					return meili.Errorf(meili.CodeInternal, "no space left")
				})
			}
			if task := c.do("PATCH", "/indexes/m/settings", `{"stopWords":["b"],"synonyms":{"x":["y"]}}`); task["status"] != "failed" {
				t.Fatalf("task: %v", task)
			}
			for id := range c.nodes {
				c.until("node "+id+" to have the former settings", func() bool {
					settings := c.on(id, "GET", "/indexes/m/settings", "")
					return fmt.Sprintf("%v %v %v", settings["stopWords"], settings["synonyms"], settings["prefixSearch"]) == "[a] map[] indexingTime"
				})
			}
		})
	}
}

// A change of settings fails on one node, and the pod dies before the other one has undone it. Red when the next pod does not look
// what nodes have: one keeps the change until the next check.
func TestAFailedChangeOfSettingsIsUndoneByTheNextPod(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"stopWords":["a"]}`))
	c.stop()
	pod := &mortal{next: c.rt}
	c.options.NodeTransport = pod
	c.start()
	c.state.refuse(func(cmd fsm.Command) error {
		if end, ok := cmd.(fsm.FinishTask); ok && end.Status == fsm.StatusFailed && !end.StaleOnly {
			pod.dead.Store(true)
		}
		return nil
	})
	c.failSettings("n0-0", 1)
	if task := c.do("PATCH", "/indexes/m/settings", `{"stopWords":["b"]}`); task["status"] != "failed" {
		t.Fatalf("task: %v", task)
	}
	if got := fmt.Sprint(c.on("n1-0", "GET", "/indexes/m/settings", "")["stopWords"]); got != "[b]" {
		t.Fatalf("the change is undone already: %s", got)
	}
	c.revive(pod)
	c.until("the change to be undone", func() bool {
		return fmt.Sprint(c.on("n1-0", "GET", "/indexes/m/settings", "")["stopWords"]) == "[a]"
	})
}

// failTasks makes a node report every task of a type as failed.
func failTasks(kind string) func(*http.Request) *devnode.Fault {
	return func(r *http.Request) *devnode.Fault {
		if r.URL.Path != "/tasks" || r.URL.Query().Get("uids") == "" {
			return nil
		}
		uid := strings.Split(r.URL.Query().Get("uids"), ",")[0]
		return &devnode.Fault{Status: http.StatusOK, Body: `{"results":[{"uid":` + uid + `,"status":"failed","type":"` + kind +
			`","enqueuedAt":"2026-01-01T00:00:00Z","error":{"message":"disk full","code":"no_space_left_on_device","type":"system","link":""}}],"total":1,"next":null}`}
	}
}

// Topology: two nodes, each with half of the shards.
func TestTasksOfAnIndexFinishInOrder(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 16, spread: fsm.SpreadAll})
	c.do("POST", "/indexes", `{"uid":"m","primaryKey":"id"}`)
	ix := c.state.View().Index("m")
	on := func(node fsm.NodeID) int { // an id that lives there
		for id := 0; ; id++ {
			if ix.Replicas(0, ShardOf(fmt.Sprint(id), ix.Shards))[0].Node == node {
				return id
			}
		}
	}
	slow, fast := fsm.NodeID("n0-0"), fsm.NodeID("n0-1")
	c.nodes[string(slow)].PauseTasks()
	first := c.accepted(c.call("POST", "/indexes/m/documents", fmt.Sprintf(`[{"id":%d}]`, on(slow))))
	second := c.accepted(c.call("POST", "/indexes/m/documents", fmt.Sprintf(`[{"id":%d}]`, on(fast))))
	c.until("the second to be seen done", func() bool { return c.get(fmt.Sprintf("/tasks/%d", second))["status"] != "enqueued" })
	if got := c.get(fmt.Sprintf("/tasks/%d", second))["status"]; got != "processing" {
		t.Errorf("the second task is %s before the first has ended", got)
	}
	c.nodes[string(slow)].ResumeTasks()
	succeeded(t, c.await(first))
	succeeded(t, c.await(second))
}

// No replica of an index is in sync, and none is on its way in: there is nobody to send a write to. It is refused, not
// acknowledged and failed later, and leaves nothing behind that the index's repair would wait for. Red when a write without targets counts as
// one that needs none.
func TestAWriteThatNobodyCanTakeIsRefused(t *testing.T) {
	for name, spread := range map[string]int{"whole": fsm.SpreadAuto, "spread": fsm.SpreadAll} {
		t.Run(name, func(t *testing.T) {
			c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 4, spread: spread})
			c.fill("m", oracle{}, 10)
			if _, err := fsm.Do(t.Context(), c.state, fsm.MarkNodeStale{Now: time.Now(), Node: "n0-0"}); err != nil {
				t.Fatal(err)
			}
			for _, write := range [][3]string{
				{"POST", "/indexes/m/documents", `[{"id":1}]`}, {"DELETE", "/indexes/m/documents/1", ""}, {"PATCH", "/indexes/m/settings", `{"stopWords":["x"]}`},
			} {
				answer := c.call(write[0], write[1], write[2])
				if answer.Code != http.StatusServiceUnavailable || answer.Header().Get("Retry-After") == "" || !strings.Contains(answer.Body.String(), "miroir_no_quorum") {
					t.Errorf("%s %s: %d %s", write[0], write[1], answer.Code, answer.Body)
				}
			}
			if open := c.state.View().NumOpenIntents; open != 0 {
				t.Errorf("%d intents are open", open)
			}
			held := false
			err := c.server.HoldIndex(t.Context(), c.state.View().Index("m").ID, time.Second, func(context.Context) error { held = true; return nil })
			if err != nil || !held {
				t.Errorf("the index cannot be held: %v", err)
			}
		})
	}
}

// A node hangs with a write in its hands. Once the health check has missed it nobody waits for it any longer: the others have
// the write, its copy is stale, and the client is answered long before the node's time for a write is over.
func TestAHungNodeIsGivenUp(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 2, shards: 4, spread: fsm.SpreadAll, writeTimeout: 5 * time.Minute})
	c.fill("m", oracle{}, 10)
	release := make(chan struct{})
	defer close(release)
	hung := make(chan struct{}, 100)
	c.nodes["n0-1"].Delay(func(r *http.Request) time.Duration {
		select {
		case hung <- struct{}{}:
		default:
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
		return 0
	})
	answered := make(chan int, 1)
	go func() { answered <- c.call("POST", "/indexes/m/documents", `[{"id":1,"v":"x"}]`).Code }()
	<-hung
	node := c.state.View().Node("n0-1")
	missed := fsm.SetNodeState{Now: time.Now(), Node: "n0-1", State: fsm.NodeDegraded, Error: "no answer"}
	if _, err := fsm.Do(t.Context(), c.state, missed); err != nil {
		t.Fatal(err)
	}
	limit := time.After(time.Minute)
	for {
		c.server.Nodes().Get(node).ReportGarbage()
		select {
		case code := <-answered:
			if code != http.StatusAccepted || c.replicas("m")[fsm.Stale] == 0 {
				t.Errorf("answered %d, replicas %v", code, c.replicas("m"))
			}
			return
		case <-time.After(50 * time.Millisecond):
		case <-limit:
			t.Fatal("the write still waits for the node")
		}
	}
}
