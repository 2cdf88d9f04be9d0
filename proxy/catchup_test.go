package proxy

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"miroir/devnode"
	"miroir/fsm"
	"miroir/meili"
)

// cable is the pod's way to the nodes. It can be cut and mended per node; tests reach nodes by another one.
type cable struct {
	next http.RoundTripper
	mu   sync.Mutex
	cut  map[string]bool             // guarded by mu
	seen []string                    // guarded by mu: writes that passed, "node method path"
	hook func(*http.Request, string) // called before a request passes
}

func (c *cable) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	cut, hook := c.cut[r.URL.Host], c.hook
	if !cut && r.Method != http.MethodGet && !strings.HasSuffix(r.URL.Path, "/documents/fetch") {
		c.seen = append(c.seen, r.URL.Host+" "+r.Method+" "+r.URL.Path+" "+r.URL.Query().Get("customMetadata"))
	}
	c.mu.Unlock()
	if cut {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	if hook != nil {
		hook(r, r.URL.Host)
	}
	return c.next.RoundTrip(r)
}

func (c *cable) set(node string, cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut == nil {
		c.cut = map[string]bool{}
	}
	c.cut[node] = cut
}

// copies counts the repair's own writes to a node.
func (c *cable) copies(node string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, write := range c.seen {
		if strings.HasPrefix(write, node+" ") && strings.Contains(write, " repair-") {
			n++
		}
	}
	return n
}

// newCatchUpCluster is a cluster whose repair runs from the start, and the way to its nodes.
func newCatchUpCluster(t *testing.T, shape clusterShape) (*writeCluster, *cable, *metrics.Set) {
	t.Helper()
	c := newWriteCluster(t, shape)
	c.stop()
	way := &cable{next: c.rt}
	c.options.NodeTransport, c.options.Metrics = way, metrics.NewSet()
	c.start()
	return c, way, c.auditEvery(5 * time.Millisecond)
}

func (c *writeCluster) replayed() uint64 {
	return counted(c.options.Metrics, "miroir_catch_up_replayed_total")
}

// missWrites writes in every way while a node is away, and returns how many sub-writes a node of a whole index misses.
func (c *writeCluster) missWrites(want oracle) int {
	c.t.Helper()
	writes := 0
	do := func(method, path, body string) {
		c.t.Helper()
		succeeded(c.t, c.do(method, path, body))
		writes++
	}
	for i := 90; i < 110; i++ {
		do("POST", "/indexes/m/documents", want.put(i, map[string]any{"v": "second", "n": float64(i)}))
	}
	for round := range 5 { // the order shows
		do("PUT", "/indexes/m/documents", fmt.Sprintf(`[{"id":3,"round":%d,"r%d":true}]`, round, round))
		want["3"]["round"], want["3"][fmt.Sprintf("r%d", round)] = float64(round), true
	}
	do("POST", "/indexes/m/documents/delete-batch", `[10,11,"12"]`)
	do("POST", "/indexes/m/documents/delete", `{"filter":"n 20 TO 39"}`)
	do("PATCH", "/indexes/m/settings", `{"stopWords":["the"]}`)
	do("POST", "/indexes/m/documents", want.put(25, map[string]any{"v": "after the deletion", "n": 25.0}))
	for i := range 40 {
		if i >= 10 && i <= 12 || i >= 20 && i != 25 {
			delete(want, fmt.Sprint(i))
		}
	}
	return writes
}

// verified compares all replicas and expects no difference.
func (c *writeCluster) verified() {
	c.t.Helper()
	if verify := c.compared("/_miroir/verify", `{"index":"m","depth":"digests"}`); verify.Mismatches != 0 || verify.Errors != 0 {
		c.t.Errorf("replicas differ: %+v", verify)
	}
}

// A node that was away gets what it missed, in order, and nothing is copied. Red when entries are replayed in another order,
// when some are left out, and when replicas are activated by a copy.
func TestNodeThatWasAwayCatchesUp(t *testing.T) {
	for name, shape := range repairShapes {
		t.Run(name, func(t *testing.T) {
			c, way, set := newCatchUpCluster(t, shape)
			succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"filterableAttributes":["n"]}`))
			want := oracle{}
			c.fill("m", want, 100)
			away := c.holderOf("m")
			way.set(away, true)
			missed := c.missWrites(want)
			if c.replicas("m")[fsm.Stale] == 0 {
				t.Fatal("no replica is stale")
			}
			way.set(away, false)
			c.repaired("m")
			if n, copied := way.copies(away), counted(set, "miroir_repair_documents_copied_total"); n != 0 || copied != 0 {
				t.Errorf("%d requests of a copy with %d documents", n, copied)
			}
			if got := int(c.replayed()); got == 0 || got > missed || shape.spread == fsm.SpreadAuto && got != missed {
				t.Errorf("%d sub-writes replayed, %d missed", got, missed)
			}
			c.equalEverywhere("m", want)
			c.verified()
			succeeded(t, c.do("POST", "/indexes/m/documents", want.put(500, map[string]any{"v": "last"})))
			c.equalEverywhere("m", want)
		})
	}
}

// Four writers write while a node goes away and comes back, three times.
func TestCatchingUpWhileWritersWrite(t *testing.T) {
	for name, shape := range repairShapes {
		t.Run(name, func(t *testing.T) {
			c, way, _ := newCatchUpCluster(t, shape)
			succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"filterableAttributes":["w","n"]}`))
			succeeded(t, c.do("PATCH", "/indexes/m", `{"primaryKey":"id"}`))
			var stop atomic.Bool
			var writing sync.WaitGroup
			wants := make([]oracle, 4)
			for w := range wants {
				wants[w] = oracle{}
				writing.Go(func() { c.writeAtRandom(w, wants[w], &stop) })
			}
			for range 3 {
				away := c.holderOf("m")
				way.set(away, true)
				c.until("replicas to be stale", func() bool { return c.replicas("m")[fsm.Stale] > 0 })
				way.set(away, false)
				c.repaired("m")
			}
			stop.Store(true)
			writing.Wait()
			succeeded(t, c.await(int(c.state.View().NextTaskUID)-1))
			c.repaired("m")
			if c.replayed() == 0 {
				t.Error("nothing was replayed")
			}
			want := oracle{}
			for _, part := range wants {
				for id, document := range part {
					want[id] = document
				}
			}
			c.equalEverywhere("m", want)
			c.verified()
		})
	}
}

// What cannot be caught up with is copied: the disk is gone, the log is at its bound or too old, somebody wrote to the node.
func TestOtherwiseShardsAreCopied(t *testing.T) {
	limit := func(c *writeCluster, change func(*fsm.CatchUp)) {
		config := c.state.View().Config
		change(&config.CatchUp)
		if _, err := fsm.Do(c.t.Context(), c.state, fsm.SetConfig{Config: config}); err != nil {
			c.t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		before, back func(c *writeCluster, away string)
	}{
		"the disk is gone": {back: func(c *writeCluster, away string) { c.nodes[away].Wipe() }},
		"the log is at its bound": {before: func(c *writeCluster, _ string) {
			limit(c, func(l *fsm.CatchUp) { l.Bytes = 2000 })
		}},
		"the log is too old": {back: func(c *writeCluster, _ string) {
			c.ahead.Store(int64(2 * time.Hour))
			limit(c, func(l *fsm.CatchUp) { l.MaxAgeS = 1 })
		}},
		"nothing is kept": {before: func(c *writeCluster, _ string) {
			limit(c, func(l *fsm.CatchUp) { l.Bytes, l.MaxAgeS = 0, 1 })
		}},
		"somebody wrote to the node": {back: func(c *writeCluster, away string) {
			c.directly(away, "POST", "/documents", `[{"id":1,"v":"foreign"}]`)
		}},
		"somebody changed its settings": {back: func(c *writeCluster, away string) {
			c.directly(away, "PATCH", "/settings", `{"stopWords":["foreign"]}`)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c, way, _ := newCatchUpCluster(t, twoCopies)
			succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"filterableAttributes":["n"]}`))
			want := oracle{}
			c.fill("m", want, 50)
			const away = "n1-0"
			if test.before != nil {
				test.before(c, away)
			}
			way.set(away, true)
			c.missWrites(want)
			if test.back != nil {
				test.back(c, away)
			}
			way.set(away, false)
			c.repaired("m")
			if n := c.replayed(); n != 0 {
				t.Errorf("%d sub-writes were replayed", n)
			}
			if way.copies(away) == 0 {
				t.Error("nothing was copied")
			}
			c.equalEverywhere("m", want)
			c.verified()
		})
	}
}

// The node has a write whose answer was lost, and then nobody could ask it: it must not get it twice. Red without the
// question for the write id.
func TestWriteThatArrivedIsNotReplayed(t *testing.T) {
	c, way, _ := newCatchUpCluster(t, twoCopies)
	c.call("PATCH", "/experimental-features", `{"editDocumentsByFunction":true}`)
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1,"n":1}]`))
	var cut sync.Once
	c.nodes["n1-0"].Fail(once(func(r *http.Request) bool {
		edits := strings.HasSuffix(r.URL.Path, "/documents/edit") && r.URL.Query().Get("customMetadata") != ""
		if edits {
			cut.Do(func() { way.set("n1-0", true) })
		}
		return edits
	}, devnode.Fault{DropAfter: true}))
	succeeded(t, c.do("POST", "/indexes/m/documents/edit", `{"function":"doc.n += 1"}`))
	succeeded(t, c.do("POST", "/indexes/m/documents/edit", `{"function":"doc.n *= 10"}`))
	way.set("n1-0", false)
	c.repaired("m")
	for node := range c.nodes {
		if got := fmt.Sprint(c.documentsOn(node, "m")["1"]["n"]); got != "20" {
			t.Errorf("node %s: n is %s, want 20", node, got)
		}
	}
	if n := c.replayed(); n != 1 || way.copies("n1-0") != 0 {
		t.Errorf("%d replayed, %d copies", n, way.copies("n1-0"))
	}
}

// A node returns while nobody knows whether a write happened that it missed as well: it does not get that write before it
// is decided. Red when the replay sends what is open.
func TestReplayLeavesOutWhatIsNotDecided(t *testing.T) {
	c, way, _ := newCatchUpCluster(t, clusterShape{groups: 2, perGroup: 1, rf: 1, shards: 8, spread: fsm.SpreadAll})
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1},{"id":2},{"id":3},{"id":4},{"id":5},{"id":6}]`))
	way.set("n1-0", true)
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1,"v":"missed"}]`))
	c.nodes["n0-0"].Fail(func(r *http.Request) *devnode.Fault { // it does not get the write, cannot be asked for it, and is well otherwise
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/documents") || r.URL.Path == "/tasks" && r.URL.Query().Has("types") {
			return &devnode.Fault{DropBefore: true}
		}
		return nil
	})
	c.server.opts.OnWriteStep = func(step WriteStep, _ fsm.NodeID) {
		if step == StepCollected && way.back("n1-0") {
			c.until("the node to get what is decided", func() bool { return c.documentsOn("n1-0", "m")["1"]["v"] == "missed" })
			<-time.After(20 * time.Millisecond) // in which it would get the rest
		}
	}
	if answer := c.call("POST", "/indexes/m/documents", `[{"id":2,"v":"undecided"}]`); answer.Code != http.StatusServiceUnavailable {
		t.Fatalf("status %d: %s", answer.Code, answer.Body)
	}
	c.nodes["n0-0"].Fail(nil)
	c.repaired("m")
	for node := range c.nodes {
		if got := c.documentsOn(node, "m")["2"]["v"]; got != nil {
			t.Errorf("node %s has a write that did not happen", node)
		}
	}
}

// A node does a write, its answer is lost and it cannot be asked: it misses the write as far as anybody knows. Red when the
// replay sends it again.
func TestReplayLeavesOutWhatTheNodeHas(t *testing.T) {
	c, way, _ := newCatchUpCluster(t, twoCopies)
	c.call("PATCH", "/experimental-features", `{"editDocumentsByFunction":true}`)
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1,"n":0}]`))
	c.nodes["n1-0"].Fail(func(r *http.Request) *devnode.Fault {
		if !strings.HasSuffix(r.URL.Path, "/documents/edit") || way.isCut("n1-0") {
			return nil
		}
		way.set("n1-0", true)
		return &devnode.Fault{DropAfter: true}
	})
	for range 3 {
		succeeded(t, c.do("POST", "/indexes/m/documents/edit", `{"function":"doc.n += 1"}`))
	}
	c.nodes["n1-0"].Fail(nil)
	way.set("n1-0", false)
	c.repaired("m")
	if c.replayed() == 0 {
		t.Error("nothing was replayed")
	}
	for node := range c.nodes {
		if got := fmt.Sprint(c.documentsOn(node, "m")["1"]["n"]); got != "3" {
			t.Errorf("node %s: n is %s, want 3", node, got)
		}
	}
}

// A node goes away with a task in its queue and ends it otherwise than the node that stayed, after nobody waits for it any more.
// Red when what it has before the log is taken for what happened.
func TestTaskThatEndedOtherwiseIsNotCaughtUpWith(t *testing.T) {
	for name, failing := range map[string]string{"it did what failed": "n0-0", "it failed what was done": "n1-0"} {
		t.Run(name, func(t *testing.T) {
			c, way, _ := newCatchUpCluster(t, twoCopies)
			want := oracle{}
			c.fill("m", want, 3)
			c.nodes["n1-0"].PauseTasks()
			c.nodes[failing].FailTasks(noSpace)
			uid := c.accepted(c.call("PUT", "/indexes/m/documents", `[{"id":1,"u":"updated"}]`))
			c.until("the node that stays to end its task", func() bool { return c.idle("n0-0") })
			if failing == "n0-0" {
				c.nodes[failing].FailTasks(nil)
			} else {
				want["1"]["u"] = "updated"
			}
			way.set("n1-0", true)
			succeeded(t, c.do("POST", "/indexes/m/documents", want.put(7, map[string]any{"v": "missed"})))
			if task := c.await(uid); (task["status"] == "failed") != (failing == "n0-0") {
				t.Fatalf("the task is %v", task)
			}
			c.nodes["n1-0"].ResumeTasks()
			c.until("the node that is away to end its task", func() bool { return c.idle("n1-0") })
			c.nodes[failing].FailTasks(nil)
			way.set("n1-0", false)
			c.repaired("m")
			c.equalEverywhere("m", want)
			c.verified()
		})
	}
}

// A node catches up with a write, or has it although its answer was lost, and then the write fails on the only other node. Red
// when nobody looks in the end what became of it.
func TestReplayedTaskThatFailsIsNotCaughtUpWith(t *testing.T) {
	update := `[{"id":1,"u":"updated"}]`
	for name, give := range map[string]func(c *writeCluster, way *cable) (uid int){
		"it was replayed": func(c *writeCluster, way *cable) int {
			way.set("n1-0", true)
			uid := c.accepted(c.call("PUT", "/indexes/m/documents", update))
			way.set("n1-0", false)
			return uid
		},
		"its answer was lost": func(c *writeCluster, way *cable) int {
			c.nodes["n1-0"].Fail(func(r *http.Request) *devnode.Fault {
				if r.Method != http.MethodPut || way.isCut("n1-0") {
					return nil
				}
				way.set("n1-0", true)
				return &devnode.Fault{DropAfter: true}
			})
			return c.accepted(c.call("PUT", "/indexes/m/documents", update))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, way, _ := newCatchUpCluster(t, twoCopies)
			want := oracle{}
			c.fill("m", want, 3)
			c.nodes["n0-0"].PauseTasks()
			c.nodes["n0-0"].FailTasks(noSpace)
			uid := give(c, way)
			c.until("the node to do the write", func() bool { return c.documentsOn("n1-0", "m")["1"]["u"] == "updated" })
			way.set("n1-0", true)
			c.nodes["n0-0"].ResumeTasks()
			if task := c.await(uid); task["status"] != "failed" {
				t.Fatalf("the task is %v", task)
			}
			c.nodes["n0-0"].FailTasks(nil)
			way.set("n1-0", false)
			c.repaired("m")
			c.equalEverywhere("m", want)
			c.verified()
		})
	}
}

func noSpace(meili.TaskKind) *meili.Error { return meili.Errorf(meili.CodeInternal, "no space left") }

// idle reports that a node has worked off its tasks.
func (c *writeCluster) idle(node string) bool {
	return c.on(node, "GET", "/tasks?statuses=enqueued,processing", "")["total"] == 0.0
}

func (c *cable) isCut(node string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cut[node]
}

// back mends the way to a node; it reports whether that was cut.
func (c *cable) back(node string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.cut[node]
	c.cut[node] = false
	return was
}

// The node goes away again in the middle of the replay: it goes on from there.
func TestReplayGoesOnWhereItStopped(t *testing.T) {
	c, way, _ := newCatchUpCluster(t, twoCopies)
	c.call("PATCH", "/experimental-features", `{"editDocumentsByFunction":true}`)
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1,"n":0}]`))
	way.set("n1-0", true)
	for range 10 {
		succeeded(t, c.do("POST", "/indexes/m/documents/edit", `{"function":"doc.n += 1"}`))
	}
	var edits, breaks atomic.Int32
	c.nodes["n1-0"].Fail(func(r *http.Request) *devnode.Fault {
		if !strings.HasSuffix(r.URL.Path, "/documents/edit") || edits.Add(1)%3 != 0 {
			return nil
		}
		breaks.Add(1)
		way.set("n1-0", true)
		time.AfterFunc(20*time.Millisecond, func() { way.set("n1-0", false) })
		return &devnode.Fault{DropAfter: edits.Load()%2 == 0, DropBefore: edits.Load()%2 == 1}
	})
	way.set("n1-0", false)
	c.repaired("m")
	for node := range c.nodes {
		if got := fmt.Sprint(c.documentsOn(node, "m")["1"]["n"]); got != "10" {
			t.Errorf("node %s: n is %s, want 10", node, got)
		}
	}
	if breaks.Load() == 0 || way.copies("n1-0") != 0 {
		t.Errorf("%d interruptions, %d copies", breaks.Load(), way.copies("n1-0"))
	}
}

// Every node is away: what nobody accepted did not happen, and is kept for nobody.
func TestRefusedWriteIsNotKept(t *testing.T) {
	c, way, _ := newCatchUpCluster(t, twoCopies)
	want := oracle{}
	c.fill("m", want, 3)
	way.set("n0-0", true)
	way.set("n1-0", true)
	if answer := c.call("POST", "/indexes/m/documents", `[{"id":7}]`); answer.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d: %s", answer.Code, answer.Body)
	}
	way.set("n0-0", false)
	way.set("n1-0", false)
	if nodes := c.server.writer.missed.Nodes(c.state.View().Route("m").ID); len(nodes) != 0 {
		t.Errorf("writes are kept for %v", nodes)
	}
	succeeded(t, c.do("POST", "/indexes/m/documents", want.put(8, map[string]any{"v": "x"})))
	c.repaired("m")
	c.equalEverywhere("m", want)
}

// A node hangs: only the first write waits for it, and what the others hold in memory does not grow with time.
func TestHungNodeHoldsUpOneWriteOnly(t *testing.T) {
	c, _, _ := newCatchUpCluster(t, twoCopies)
	want := oracle{}
	c.fill("m", want, 3)
	c.nodes["n1-0"].Freeze()
	started := time.Now()
	var writing sync.WaitGroup
	for i := range 20 {
		body := want.put(100+i, map[string]any{"v": "x"})
		writing.Go(func() {
			if answer := c.call("POST", "/indexes/m/documents", body); answer.Code != http.StatusAccepted {
				t.Errorf("status %d: %s", answer.Code, answer.Body)
			}
		})
	}
	writing.Wait()
	// One write's time limit and the questions for it; twenty of them would be twice as long as this bound.
	if took := time.Since(started); took > 10*c.options.WriteTimeout {
		t.Errorf("20 writes took %s, the time limit of one is %s", took, c.options.WriteTimeout)
	}
	c.nodes["n1-0"].Thaw()
	c.repaired("m")
	c.equalEverywhere("m", want)
}
