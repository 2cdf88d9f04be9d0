package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
)

func TestRefusedBatchReachesNoNode(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 8, spread: fsm.SpreadAll})
	c.do("POST", "/indexes/m/documents", `[{"id":1}]`)
	task := c.do("POST", "/indexes/m/documents", `[{"id":2},{"id":3},{"id":"a b"},{"id":4},{"id":5}]`)
	if task["status"] != "failed" || task["error"].(map[string]any)["code"] != "invalid_document_id" {
		t.Errorf("task: %v", task)
	}
	if got, want := fmt.Sprint(task["details"]), "map[indexedDocuments:0 receivedDocuments:5]"; got != want {
		t.Errorf("details %s, want %s", got, want)
	}
	if n := len(c.documentsOn("n0-0", "m")) + len(c.documentsOn("n0-1", "m")); n != 1 {
		t.Errorf("the nodes have %d documents, want 1", n)
	}
	// A missing index is created all the same.
	if task := c.do("POST", "/indexes/new/documents", `[{"name":"x"}]`); task["status"] != "failed" {
		t.Errorf("task: %v", task)
	}
	if got := c.get("/indexes/new"); got["uid"] != "new" || got["primaryKey"] != nil {
		t.Errorf("index: %v", got)
	}
	succeeded(t, c.do("POST", "/indexes/new/documents", `[{"id":"x"}]`))
}

func TestReservedFieldAndMalformedPayloadMakeNoTask(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	for body, code := range map[string]string{`[{"id":1,"_miroir_shard":"x"}]`: "miroir_reserved_field", `[{"id":1},`: "malformed_payload", ``: "missing_payload"} {
		answer := c.send("POST", "/indexes/m/documents", "application/json", []byte(body))
		if answer.Code != http.StatusBadRequest || !strings.Contains(answer.Body.String(), code) {
			t.Errorf("%s: status %d: %s", body, answer.Code, answer.Body)
		}
	}
	if n := c.state.View().NextTaskUID; n != 0 {
		t.Errorf("%d tasks were made", n)
	}
}

func TestBodyLimitAndSpool(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	c.stop()
	c.options.MaxBodyBytes, c.options.BodyMemoryBytes, c.options.TempDir = 100_000, 1000, t.TempDir()
	c.start()
	line := func(n int) []byte {
		var body bytes.Buffer
		for i := range n {
			fmt.Fprintf(&body, "{\"id\":%d,\"text\":%q}\n", i, strings.Repeat("x", 50))
		}
		return body.Bytes()
	}
	answer := c.send("POST", "/indexes/m/documents", "application/x-ndjson", line(3000))
	if answer.Code != http.StatusRequestEntityTooLarge || !strings.Contains(answer.Body.String(), "payload_too_large") {
		t.Errorf("status %d: %s", answer.Code, answer.Body)
	}
	answer = c.send("POST", "/indexes/m/documents", "application/x-ndjson", line(1000))
	succeeded(t, c.await(c.accepted(answer)))
	for id := range c.nodes {
		if n := len(c.documentsOn(id, "m")); n != 1000 {
			t.Errorf("node %s has %d documents", id, n)
		}
	}
	if left, _ := os.ReadDir(c.options.TempDir); len(left) > 0 {
		t.Errorf("%d files are left in the spool", len(left))
	}
}

func TestFullLaneAnswersOverloaded(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	c.stop()
	c.options.MaxNodeQueue = 2
	c.start()
	c.do("POST", "/indexes", `{"uid":"m","primaryKey":"id"}`)
	hold, overloaded := make(chan struct{}), make(chan struct{})
	c.nodes["n1-0"].Delay(func(r *http.Request) time.Duration {
		if isDocumentWrite(r) {
			<-hold
		}
		return 0
	})
	const writers = 8
	var refused atomic.Int32
	done := make(chan int, writers)
	for i := range writers {
		go func() {
			answer := c.call("POST", "/indexes/m/documents", fmt.Sprintf(`[{"id":%d}]`, i))
			if answer.Code == http.StatusServiceUnavailable && strings.Contains(answer.Body.String(), "miroir_overloaded") && answer.Header().Get("Retry-After") != "" {
				if refused.Add(1) == 1 {
					close(overloaded)
				}
			}
			done <- answer.Code
		}()
	}
	<-overloaded
	close(hold)
	accepted := 0
	for range writers {
		if <-done == http.StatusAccepted {
			accepted++
		}
	}
	if accepted < 3 || accepted+int(refused.Load()) != writers {
		t.Errorf("%d accepted, %d refused of %d", accepted, refused.Load(), writers)
	}
}

// An index is being created when it is swapped with another, and its creation fails. The swap waits for that, and so do the
// writes behind it: none of them reaches the other index. Red when writes go by a swap that cannot happen.
func TestNothingIsWrittenByASwapThatCannotHappen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newWriteCluster(t, twoCopies)
		defer c.stop()
		succeeded(t, c.do("POST", "/indexes/live/documents", `[{"id":1}]`))
		for _, n := range c.nodes {
			n.PauseTasks()
			n.FailTasks(func(kind meili.TaskKind) *meili.Error {
				if kind == meili.TaskIndexCreation || kind == meili.TaskSettingsUpdate {
					return meili.Errorf(meili.CodeInternal, "no space left")
				}
				return nil
			})
		}
		creation := c.accepted(c.call("POST", "/indexes", `{"uid":"new"}`))
		var swap, deletion int
		done := make(chan struct{})
		go func() {
			defer close(done)
			swap = c.accepted(c.call("POST", "/swap-indexes", `[{"indexes":["new","live"]}]`))
			deletion = c.accepted(c.call("POST", "/indexes/new/documents/delete-batch", `[1]`))
		}()
		time.Sleep(time.Second) // the swap waits, or both are enqueued
		for _, n := range c.nodes {
			n.ResumeTasks()
		}
		c.await(creation)
		<-done
		for _, n := range c.nodes {
			n.FailTasks(nil)
		}
		for name, uid := range map[string]int{"creation": creation, "swap": swap, "deletion": deletion} {
			if status := c.await(uid)["status"]; status != "failed" {
				t.Errorf("the %s %s", name, status)
			}
		}
		for node := range c.nodes {
			if c.documentsOn(node, "live")["1"] == nil {
				t.Errorf("node %s has lost the document of the other index", node)
			}
		}
	})
}

func TestSwapAndRenameAreSeenInLogOrder(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	c.do("POST", "/indexes/a/documents", `[{"id":1}]`)
	c.do("POST", "/indexes/b/documents", `[{"id":2}]`)
	for _, n := range c.nodes {
		n.PauseTasks()
	}
	early := c.accepted(c.call("POST", "/indexes/a/documents", `[{"id":11}]`))
	swap := c.accepted(c.call("POST", "/swap-indexes", `[{"indexes":["a","b"]}]`))
	late := c.accepted(c.call("POST", "/indexes/a/documents", `[{"id":22}]`))
	if task := c.get(fmt.Sprintf("/tasks/%d", swap)); task["status"] != "enqueued" {
		t.Errorf("the swap must wait for the write before it: %v", task)
	}
	for _, n := range c.nodes {
		n.ResumeTasks()
	}
	for _, uid := range []int{early, swap, late} {
		succeeded(t, c.await(uid))
	}
	view := c.state.View()
	a, b := view.Index("a"), view.Index("b")
	if ids := c.documentsOn("n0-0", a.NodeUID); len(ids) != 2 || ids["2"] == nil || ids["22"] == nil {
		t.Errorf("a holds %v", ids)
	}
	if ids := c.documentsOn("n0-0", b.NodeUID); len(ids) != 2 || ids["1"] == nil || ids["11"] == nil {
		t.Errorf("b holds %v", ids)
	}
	succeeded(t, c.do("PATCH", "/indexes/a", `{"uid":"c"}`))
	if got := c.call("GET", "/indexes/a", "").Code; got != http.StatusNotFound {
		t.Errorf("the old name answers %d", got)
	}
	// The name is free again; the node-side name of the index that had it is not.
	succeeded(t, c.do("POST", "/indexes/a/documents", `[{"id":3}]`))
	if view := c.state.View(); view.Index("a").NodeUID == view.Index("c").NodeUID {
		t.Error("two indexes share a node-side name")
	}
}

// Topology: three groups of shards on one node each; two indexes live on different nodes. A swap waits for a write to the
// first index; what is sent to its name meanwhile goes to the second and is done at once. Its task ends after the swap all
// the same, or who sees it end would not find under that name what was written. Red when tasks do not wait for names.
func TestTaskEndsAfterTheSwapItWasRoutedBy(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 3, rf: 1, shards: 4, spread: fsm.SpreadAuto})
	first, second := "i0", ""
	succeeded(t, c.do("POST", "/indexes", `{"uid":"i0","primaryKey":"id"}`))
	home := func(uid string) fsm.NodeID { return c.state.View().Route(uid).Nodes()[0] }
	for i := 1; second == ""; i++ {
		uid := fmt.Sprintf("i%d", i)
		succeeded(t, c.do("POST", "/indexes", fmt.Sprintf(`{"uid":%q,"primaryKey":"id"}`, uid)))
		if home(uid) != home(first) {
			second = uid
		}
	}
	slow := c.nodes[string(home(first))]
	slow.PauseTasks()
	early := c.accepted(c.call("POST", "/indexes/i0/documents", `[{"id":1}]`))
	swap := c.accepted(c.call("POST", "/swap-indexes", fmt.Sprintf(`[{"indexes":["i0",%q]}]`, second)))
	other := home(first)
	late := c.accepted(c.call("POST", "/indexes/i0/documents", `[{"id":2}]`))
	c.until("the node to do the late write", func() bool { return c.documentsOn(string(other), second)["2"] != nil })
	for range 50 {
		if status := c.get(fmt.Sprintf("/tasks/%d", late))["status"]; status == "succeeded" {
			t.Fatal("the task ended before the name leads to its index")
		}
		<-time.After(2 * time.Millisecond)
	}
	slow.ResumeTasks()
	for _, uid := range []int{early, swap, late} {
		succeeded(t, c.await(uid))
	}
}

func TestErrorsNameTheIndexAsClientsDo(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	c.do("POST", "/indexes/a/documents", `[{"id":1}]`)
	succeeded(t, c.do("PATCH", "/indexes/a", `{"uid":"b"}`))
	task := c.do("PATCH", "/indexes/b", `{"primaryKey":"other"}`)
	if got := fmt.Sprint(task["error"]); task["status"] != "failed" || !strings.Contains(got, "`b`") || strings.Contains(got, "`a`") {
		t.Errorf("task: %v", task)
	}
	if got := c.get("/indexes/b")["primaryKey"]; got != "id" {
		t.Errorf("primary key %v after the refused change", got)
	}
}

func TestCancelAndDeleteTasks(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	c.do("POST", "/indexes", `{"uid":"m","primaryKey":"id"}`)
	for _, n := range c.nodes {
		n.PauseTasks()
	}
	victim := c.accepted(c.call("POST", "/indexes/m/documents", `[{"id":1}]`))
	c.until("the result of the write", func() bool { return c.state.View().NumOpenIntents == 0 })
	cancel := c.accepted(c.call("POST", fmt.Sprintf("/tasks/cancel?uids=0,%d", victim), ""))
	for id := range c.nodes {
		c.until("the cancelation to reach the node", func() bool { return c.on(id, "GET", "/tasks?types=taskCancelation", "")["total"] == 1.0 })
	}
	for _, n := range c.nodes {
		n.ResumeTasks()
	}
	task := succeeded(t, c.await(cancel))
	if got, want := fmt.Sprint(task["details"]), fmt.Sprintf("map[canceledTasks:1 matchedTasks:2 originalFilter:?uids=0,%d]", victim); got != want {
		t.Errorf("details %s, want %s", got, want)
	}
	if task := c.await(victim); task["status"] != "canceled" || fmt.Sprint(task["canceledBy"]) != fmt.Sprint(cancel) {
		t.Errorf("task: %v", task)
	}
	if n := len(c.documentsOn("n0-0", "m")); n != 0 || c.replicas("m")[fsm.Active] != 2 {
		t.Errorf("%d documents, replicas %v", n, c.replicas("m"))
	}
	deletion := succeeded(t, c.await(c.accepted(c.call("DELETE", "/tasks?statuses=canceled", ""))))
	if got := fmt.Sprint(deletion["details"].(map[string]any)["deletedTasks"]); got != "1" {
		t.Errorf("%s tasks deleted", got)
	}
	if got := c.call("GET", fmt.Sprintf("/tasks/%d", victim), "").Code; got != http.StatusNotFound {
		t.Errorf("the deleted task answers %d", got)
	}
}

func TestProcessingIsShown(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	c.do("POST", "/indexes", `{"uid":"m","primaryKey":"id"}`)
	for _, n := range c.nodes {
		n.PauseTasks()
	}
	uid := c.accepted(c.call("POST", "/indexes/m/documents", `[{"id":1}]`))
	c.nodes["n0-0"].ResumeTasks()
	c.until("processing", func() bool { return c.get(fmt.Sprintf("/tasks/%d", uid))["status"] == "processing" })
	if got := c.get(fmt.Sprintf("/tasks/%d", uid)); got["startedAt"] == nil || got["finishedAt"] != nil {
		t.Errorf("task: %v", got)
	}
	c.nodes["n1-0"].ResumeTasks()
	succeeded(t, c.await(uid))
}

func TestLostDiskMakesReplicasStale(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	c.do("POST", "/indexes/m/documents", `[{"id":1}]`)
	c.stop()
	c.nodes["n1-0"].Wipe()
	c.start() // the first check of a term looks at every node's history
	c.until("the replica to be stale", func() bool { return c.replicas("m")[fsm.Stale] == 1 })
	if got := c.state.View().Node("n1-0").LastTaskUID; got != -1 {
		t.Errorf("recorded task uid %d: the node's new history starts at 0", got)
	}
}

// A node loses its disk between two health checks and takes a write right after: it numbers the task as it has numbered an
// earlier one. Red when that counts as an acknowledgement: the replica would stay in sync without what it had before.
func TestWipedNodeDoesNotAcknowledge(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	for i := range 5 {
		succeeded(t, c.do("POST", "/indexes/m/documents", fmt.Sprintf(`[{"id":%d}]`, i)))
	}
	c.nodes["n1-0"].Wipe()
	answer := c.call("POST", "/indexes/m/documents", `[{"id":9}]`)
	if got := c.replicas("m")[fsm.Stale]; got != 1 || answer.Code != http.StatusAccepted {
		t.Errorf("status %d, %d replicas are stale after the answer, want 1", answer.Code, got)
	}
}

func TestDeletionsCountEachDocumentOnce(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 2, perGroup: 3, rf: 2, shards: 8, spread: fsm.SpreadAll})
	var body strings.Builder
	for i := range 40 {
		fmt.Fprintf(&body, "{\"id\":%d,\"odd\":%v}\n", i, i%2 == 1)
	}
	succeeded(t, c.await(c.accepted(c.send("POST", "/indexes/m/documents", "application/x-ndjson", []byte(body.String())))))
	succeeded(t, c.do("PUT", "/indexes/m/settings/filterable-attributes", `["odd"]`))
	count := func(task map[string]any) string {
		return fmt.Sprint(succeeded(t, task)["details"].(map[string]any)["deletedDocuments"])
	}
	if got := count(c.do("POST", "/indexes/m/documents/delete", `{"filter":"odd = true"}`)); got != "20" {
		t.Errorf("by filter: %s", got)
	}
	if got := count(c.do("POST", "/indexes/m/documents/delete-batch", `[0,"2",4,999]`)); got != "3" {
		t.Errorf("by ids: %s", got)
	}
	if got := count(c.do("DELETE", "/indexes/m/documents/6", "")); got != "1" {
		t.Errorf("one: %s", got)
	}
	if got := count(c.do("DELETE", "/indexes/m/documents", "")); got != "16" {
		t.Errorf("all: %s", got)
	}
	if n := c.replicas("m")[fsm.Stale]; n != 0 {
		t.Errorf("%d replicas are stale", n)
	}
}

func TestGateHoldsWritesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		g.hold()
		started, passed := time.Now(), make(chan time.Duration, 1)
		go func() {
			if err := g.wait(context.Background()); err != nil {
				t.Error(err)
			}
			passed <- time.Since(started)
		}()
		time.Sleep(3 * time.Second)
		g.release()
		if took := <-passed; took != 3*time.Second {
			t.Errorf("passed after %s", took)
		}
		g.hold()
		started = time.Now()
		if err := g.wait(context.Background()); err == nil || time.Since(started) != maxGateWait {
			t.Errorf("error %v after %s", err, time.Since(started))
		}
	})
}

// loneFanout is a fanout without a cluster.
func loneFanout(timeout time.Duration) *fanout {
	f := newFanout(&Server{opts: Options{MaxNodeQueue: 10, WriteTimeout: timeout, Logger: discard}.withDefaults()})
	f.newest = func(fsm.NodeID) int64 { return -1 }
	f.hangs = func(fsm.NodeID) bool { return false }
	return f
}

// A node that hangs on to a request past its time limit may register the write a moment later: it is asked several times.
func TestLateWriteIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		transport := roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPost {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			if asked++; asked < 3 {
				return jsonAnswer(`{"results":[],"total":0,"next":null}`), nil
			}
			return jsonAnswer(fmt.Sprintf(`{"results":[{"uid":9,"customMetadata":"w","enqueuedAt":%q}],"total":1,"next":null}`, meili.FormatTime(time.Now()))), nil
		})
		f := loneFanout(time.Second)
		defer f.close()
		sub := &subWrite{target: fsm.Target{Node: "n"}, client: node.New("n", "http://n", "", transport), write: "w", began: time.Now(), index: "m",
			steps: []step{{marked: true, request: node.Request{Method: http.MethodPost, Path: "/indexes/m/documents"}}}, answer: make(chan delivery, 1)}
		f.enqueue(1, sub)
		if done := <-sub.answer; done.ack.Err != "" || done.ack.NodeTaskUID != 9 {
			t.Errorf("ack %+v after %d questions", done.ack, asked)
		}
	})
}

// A node that hung answers the last question only, and may have the write in its hands still: nobody knows then whether it has it.
// Red when its first no counts.
func TestANodeThatSaysNoOnceMayHaveTheWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		transport := roundTrip(func(r *http.Request) (*http.Response, error) {
			if asked++; r.Method == http.MethodPost || asked <= len(settlePauses) {
				return nil, io.ErrUnexpectedEOF
			}
			return jsonAnswer(`{"results":[],"total":0,"next":null}`), nil
		})
		f := loneFanout(time.Second)
		defer f.close()
		sub := &subWrite{target: fsm.Target{Node: "n"}, client: node.New("n", "http://n", "", transport), write: "w", began: time.Now(), index: "m",
			steps: []step{{marked: true, request: node.Request{Method: http.MethodPost, Path: "/indexes/m/documents"}}}, answer: make(chan delivery, 1)}
		f.enqueue(1, sub)
		if done := <-sub.answer; done.ack.Err == "" || !done.ack.Unknown {
			t.Errorf("ack %+v after %d requests", done.ack, asked)
		}
	})
}

// Sub-writes of one lane go out one after another and in order; another index does not wait for them.
func TestLanesKeepOrderAndDoNotBlockEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var order []string
		transport := roundTrip(func(r *http.Request) (*http.Response, error) {
			if strings.HasPrefix(r.URL.Path, "/slow") {
				time.Sleep(time.Second)
			}
			mu.Lock()
			defer mu.Unlock()
			order = append(order, r.URL.Path)
			return jsonAnswer(`{"taskUid":1}`), nil
		})
		f := loneFanout(time.Minute)
		defer f.close()
		client := node.New("n", "http://n", "", transport)
		var last *subWrite
		for _, path := range []string{"/slow/1", "/slow/2", "/slow/3", "/other/1"} {
			sub := &subWrite{target: fsm.Target{Node: "n"}, client: client, steps: []step{{request: node.Request{Method: "POST", Path: path}}}, answer: make(chan delivery, 1)}
			if strings.HasPrefix(path, "/slow") {
				f.enqueue(1, sub)
				last = sub
			} else {
				f.enqueue(2, sub)
			}
		}
		<-last.answer
		synctest.Wait()
		if got, want := fmt.Sprint(order), "[/other/1 /slow/1 /slow/2 /slow/3]"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.lanes) != 0 {
			t.Errorf("%d lanes are left", len(f.lanes))
		}
	})
}

func TestEditGoesToEveryReplica(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	c.do("POST", "/indexes/m/documents", `[{"id":1,"n":1},{"id":2,"n":5}]`)
	if got := c.call("POST", "/indexes/m/documents/edit", `{"function":"doc.n += 1"}`); got.Code != http.StatusBadRequest {
		t.Errorf("with the feature off: status %d: %s", got.Code, got.Body)
	}
	c.call("PATCH", "/experimental-features", `{"editDocumentsByFunction":true}`)
	task := succeeded(t, c.do("POST", "/indexes/m/documents/edit", `{"function":"doc.n += 1"}`))
	if got := fmt.Sprint(task["details"].(map[string]any)["editedDocuments"]); got != "2" {
		t.Errorf("%s documents edited", got)
	}
	for id := range c.nodes {
		if got := fmt.Sprint(c.documentsOn(id, "m")["2"]["n"]); got != "6" {
			t.Errorf("node %s: n is %s", id, got)
		}
	}
}

// A node is removed after a write has named it and before it is sent there.
func TestNothingIsSentToANodeThatIsGone(t *testing.T) {
	f := newFanout(&Server{opts: Options{MaxNodeQueue: 10, Logger: discard}.withDefaults()})
	defer f.close()
	key := laneKey{"gone", 1}
	done := f.deliver(key, &subWrite{target: fsm.Target{Node: key.node}, steps: stepsOf([]node.Request{{Method: "POST"}}), keep: true})
	if done.ack.Node != key.node || done.ack.Err == "" || done.ack.Unknown || done.kept {
		t.Errorf("%+v", done)
	}
}
