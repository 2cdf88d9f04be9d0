package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"miroir/devnode"
	"miroir/fsm"
	"miroir/meili"
	"miroir/tasks"
	"miroir/workers"
)

// audit starts the workers anew, with the repair and the comparison of replicas, and returns the metrics of both.
func (c *writeCluster) audit(change func(*fsm.AntiEntropy)) *metrics.Set {
	c.t.Helper()
	config := c.state.View().Config
	config.AntiEntropy.MaxDutyPercent = 100
	if change != nil {
		change(&config.AntiEntropy)
	}
	if _, err := fsm.Do(c.t.Context(), c.state, fsm.SetConfig{Config: config}); err != nil {
		c.t.Fatal(err)
	}
	return c.auditEvery(time.Hour)
}

// auditEvery checks the nodes, and looks for foreign tasks, so often.
func (c *writeCluster) auditEvery(health time.Duration) *metrics.Set {
	c.t.Helper()
	c.workers.Close()
	set := metrics.NewSet()
	repair := &workers.Repair{Interval: time.Millisecond, BackoffMin: time.Millisecond, BackoffMax: 20 * time.Millisecond,
		RequestTimeout: 2 * time.Second, Metrics: set}
	var err error
	c.workers, err = workers.Start(context.Background(), workers.Options{
		Cluster: c.state, Nodes: c.server.Nodes(), Coordinator: c.server, HealthInterval: health, HealthTimeout: time.Second,
		Logger: c.options.Logger, PollMin: time.Millisecond, PollMax: 20 * time.Millisecond, Repair: repair,
		AntiEntropy: &workers.AntiEntropy{Poll: time.Millisecond, Metrics: set},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.server.ShowRepairs(c.workers.Repairs)
	c.server.ShowAudits(c.workers)
	c.until("the leader to begin", func() bool {
		_, err := c.workers.AntiEntropy()
		return err == nil
	})
	return set
}

// ask sends a request to Miroir's own API.
func (c *writeCluster) ask(method, path, body string) (int, []byte) {
	c.t.Helper()
	answer := c.manage(method, path, body)
	return answer.Code, answer.Body.Bytes()
}

// compared starts a comparison and waits for its end.
func (c *writeCluster) compared(path, body string) tasks.Audit {
	c.t.Helper()
	status, answer := c.ask("POST", path, body)
	var job struct {
		ID string `json:"job_id"`
	}
	if err := json.Unmarshal(answer, &job); err != nil || status != http.StatusAccepted {
		c.t.Fatalf("POST %s: status %d: %s", path, status, answer)
	}
	var audit tasks.Audit
	c.until("the comparison to end", func() bool {
		status, answer := c.ask("GET", "/_miroir/verify/"+job.ID, "")
		if err := json.Unmarshal(answer, &audit); err != nil || status != http.StatusOK {
			c.t.Fatalf("GET /_miroir/verify/%s: status %d: %s", job.ID, status, answer)
		}
		return audit.FinishedAt != nil
	})
	return audit
}

// directly writes to a node past Miroir and waits until it has done it. Documents get the shard field that they need.
func (c *writeCluster) directly(node, method, path, body string) {
	c.t.Helper()
	nodeUID := c.state.View().Route("m").NodeUID
	summary := c.on(node, method, "/indexes/"+nodeUID+path, body)
	c.until("the node's task", func() bool {
		return c.on(node, "GET", fmt.Sprintf("/tasks/%v", summary["taskUid"]), "")["status"] == "succeeded"
	})
}

func withShard(ix *fsm.Index, id int, value string) string {
	return fmt.Sprintf(`{"id":%d,"v":%q,"n":%d,%q:%q}`, id, value, id, shardField, EncodeShard(ShardOf(fmt.Sprint(id), ix.Shards)))
}

var auditShapes = map[string]clusterShape{
	"whole, two groups of one node":      {groups: 2, perGroup: 1, rf: 1, shards: 4, spread: fsm.SpreadAuto},
	"whole, three groups of one node":    {groups: 3, perGroup: 1, rf: 1, shards: 4, spread: fsm.SpreadAuto},
	"spread, two copies in one group":    {groups: 1, perGroup: 2, rf: 2, shards: 8, spread: fsm.SpreadAll},
	"spread, three nodes, in two groups": {groups: 2, perGroup: 3, rf: 2, shards: 8, spread: fsm.SpreadAll},
}

// span are the numbers from one to another.
func span(from, to int) []int {
	numbers := make([]int, to-from)
	for i := range numbers {
		numbers[i] = from + i
	}
	return numbers
}

// holding is an id among the first n whose shard the node holds.
func (c *writeCluster) holding(node string, ids []int) []int {
	ix := c.state.View().Route("m")
	var held []int
	for _, id := range ids {
		for group := range ix.Placement {
			for _, replica := range ix.Replicas(group, ShardOf(fmt.Sprint(id), ix.Shards)) {
				if string(replica.Node) == node {
					held = append(held, id)
				}
			}
		}
	}
	return held
}

// Somebody changes, adds and deletes documents on a node directly. One pass finds exactly those and heals them. Red when a
// copy on a node with foreign tasks has a say, and when digests leave out content or ids.
func TestDocumentsChangedOnANodeAreHealed(t *testing.T) {
	for name, shape := range auditShapes {
		t.Run(name, func(t *testing.T) {
			c := newWriteCluster(t, shape)
			want := oracle{}
			c.fill("m", want, 300)
			ix := c.state.View().Route("m")
			node := c.holderOf("m")
			changed := c.holding(node, span(100, 160))[:2]
			deleted := c.holding(node, span(20, 90))[:3]
			added := c.holding(node, span(1000, 1060))[:1]
			var bodies []string
			for _, id := range append(changed, added...) {
				bodies = append(bodies, withShard(ix, id, "foreign"))
			}
			c.directly(node, "POST", "/documents", "["+strings.Join(bodies, ",")+"]")
			text, _ := json.Marshal(deleted)
			c.directly(node, "POST", "/documents/delete-batch", string(text))
			set := c.audit(nil)
			pass := c.compared("/_miroir/anti-entropy/run", "")
			const differ = 6
			if pass.Mismatches != differ || pass.Errors != 0 {
				t.Errorf("pass: %+v, want %d mismatches", pass, differ)
			}
			c.repaired("m")
			c.equalEverywhere("m", want)
			c.until("the count of what was repaired", func() bool { return counted(set, "miroir_antientropy_docs_repaired_total") >= differ })
			for name, want := range map[string]uint64{
				"miroir_antientropy_mismatches_found_total": differ, "miroir_antientropy_docs_repaired_total": differ,
				"miroir_antientropy_shards_scanned_total": uint64(max(ix.NumSlots(), 1)),
			} {
				if got := counted(set, name); got != want {
					t.Errorf("%s is %d, want %d", name, got, want)
				}
			}
			again := c.compared("/_miroir/verify", `{"index":"m","depth":"documents"}`)
			if again.Mismatches != 0 || again.State != "succeeded" {
				t.Errorf("after the repair: %+v", again)
			}
		})
	}
}

// A write past Miroir is noticed, counted and healed without anybody asking for it.
func TestForeignTaskLeadsToAComparison(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	want := oracle{}
	c.fill("m", want, 20)
	set := c.auditEvery(5 * time.Millisecond)
	c.directly("n1-0", "POST", "/documents", `[{"id":7,"v":"foreign"}]`)
	c.until("the foreign task to be counted", func() bool {
		return counted(set, `miroir_foreign_node_tasks_total{node_id="n1-0"}`) == 1
	})
	c.until("the difference to be repaired", func() bool { return counted(set, "miroir_antientropy_docs_repaired_total") == 1 })
	c.repaired("m")
	c.equalEverywhere("m", want)
	if _, status := c.ask("GET", "/_miroir/status", ""); !strings.Contains(string(status), "somebody wrote to node n1-0 directly") {
		t.Errorf("status says nothing of it: %s", status)
	}
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":8,"v":"ours"}]`))
	if n := counted(set, `miroir_foreign_node_tasks_total{node_id="n0-0"}`); n != 0 {
		t.Errorf("%d of Miroir's own tasks count as foreign", n)
	}
}

// Documents without a shard are found by no shard's filter, yet searches would show them.
func TestDocumentsWithoutAShardAreDeleted(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 2, shards: 8, spread: fsm.SpreadAll})
	want := oracle{}
	c.fill("m", want, 40)
	c.directly("n0-1", "POST", "/documents", `[{"id":7,"v":"foreign"},{"id":5000,"v":"foreign"}]`)
	c.audit(nil)
	c.compared("/_miroir/anti-entropy/run", "")
	c.repaired("m")
	c.until("the documents to be as they were", func() bool {
		return len(c.documentsOn("n0-1", "m")) == 40
	})
	c.equalEverywhere("m", want)
}

// Somebody writes a document without a shard to a node. A comparison finds equal what shard filters find; then a client writes
// the document too, which gives it its shard. Red when that comparison made the node's copy one that is known to be right.
func TestDocumentWrittenDirectlyLosesToAnUpdateOfIt(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 2, shards: 8, spread: fsm.SpreadAll})
	want := oracle{}
	c.fill("m", want, 40)
	c.audit(nil)
	c.directly("n0-0", "POST", "/documents", `[{"id":5000,"v":"foreign","n":1}]`)
	if verify := c.compared("/_miroir/verify", `{"index":"m"}`); verify.Stale != 0 {
		t.Errorf("a look is not to change anything: %+v", verify)
	}
	succeeded(t, c.do("PUT", "/indexes/m/documents", want.put(5000, map[string]any{"v": "ours"})))
	if pass := c.compared("/_miroir/anti-entropy/run", ""); pass.Mismatches != 1 {
		t.Errorf("pass: %+v", pass)
	}
	c.repaired("m")
	c.equalEverywhere("m", want)
}

// Somebody writes to a node before any client of Miroir wrote a document: the state knows no primary key, the node does. Red
// when an index without a primary key counts as one without documents.
func TestDocumentWrittenDirectlyToAnEmptyIndexIsDeleted(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	succeeded(t, c.do("POST", "/indexes", `{"uid":"m"}`))
	c.directly("n1-0", "POST", "/documents", `[{"id":7,"v":"foreign"}]`)
	c.audit(nil)
	if pass := c.compared("/_miroir/anti-entropy/run", ""); pass.Mismatches != 1 || pass.Errors != 0 {
		t.Errorf("pass: %+v", pass)
	}
	c.repaired("m")
	if left := c.documentsOn("n1-0", "m"); len(left) > 0 {
		t.Errorf("the node has %v", left)
	}
	succeeded(t, c.do("POST", "/indexes/m/documents?primaryKey=sku", `[{"sku":1}]`))
	c.repaired("m")
	if got := len(c.documentsOn("n1-0", "m")); got != 1 {
		t.Errorf("the node has %d documents", got)
	}
}

// A node takes its time with what somebody sent it directly. Red when it is compared before that shows.
func TestForeignTaskIsComparedOnceItIsDone(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	want := oracle{}
	c.fill("m", want, 20)
	var looks atomic.Int64
	c.nodes["n1-0"].Fail(func(r *http.Request) *devnode.Fault {
		if r.URL.Path == "/tasks" && strings.Contains(r.URL.RawQuery, "indexSwap") {
			looks.Add(1)
		}
		return nil
	})
	c.nodes["n1-0"].PauseTasks()
	set := c.auditEvery(5 * time.Millisecond)
	c.on("n1-0", "POST", "/indexes/m/documents", `[{"id":7,"v":"foreign"}]`)
	seen := looks.Load()
	c.until("several looks at the task", func() bool { return looks.Load() > seen+10 })
	c.nodes["n1-0"].ResumeTasks()
	c.until("the difference to be repaired", func() bool { return counted(set, "miroir_antientropy_docs_repaired_total") == 1 })
	c.repaired("m")
	c.equalEverywhere("m", want)
	if n := counted(set, `miroir_foreign_node_tasks_total{node_id="n1-0"}`); n != 1 {
		t.Errorf("the task is counted %d times", n)
	}
}

// Somebody writes to a node while it is repaired, after the copy and before its replica is in sync again. Red when a foreign
// task leads to a comparison of what is in sync at that moment only.
func TestForeignTaskUnderRepairIsComparedAfterIt(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	want := oracle{}
	c.fill("m", want, 20)
	c.nodes["n1-0"].Stop()
	succeeded(t, c.do("POST", "/indexes/m/documents", want.put(3, map[string]any{"v": "missed"})))
	set := c.auditEvery(5 * time.Millisecond)
	noticed := func() bool { return counted(set, `miroir_foreign_node_tasks_total{node_id="n1-0"}`) == 1 }
	var once sync.Once
	c.nodes["n1-0"].Fail(func(r *http.Request) *devnode.Fault {
		if r.Method == http.MethodGet && r.URL.Path == "/indexes/m/settings" && c.replicas("m")[fsm.Joining] == 1 {
			once.Do(func() {
				c.on("n1-0", "PUT", "/indexes/m/documents", `[{"id":7,"v":"foreign"}]`)
				c.until("the foreign task to be counted", noticed)
			})
		}
		return nil
	})
	c.nodes["n1-0"].Start()
	c.until("the difference to be repaired", func() bool { return counted(set, "miroir_antientropy_docs_repaired_total") == 1 })
	c.repaired("m")
	c.equalEverywhere("m", want)
}

// A write is refused because nobody has one of its shards. Both copies of the other shard accept it, and one fails its task: nobody
// follows that any more. Red when the copies stay different.
func TestCopiesAreComparedAfterARefusedWrite(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 2, perGroup: 2, rf: 1, shards: 8, spread: fsm.SpreadAll})
	want := oracle{}
	c.fill("m", want, 40)
	c.audit(nil)
	written, lost := "", ""
	for id := range 40 {
		held := 0
		for _, node := range []string{"n0-0", "n1-0"} {
			held += len(c.holding(node, []int{id}))
		}
		switch held {
		case 0:
			lost = fmt.Sprint(id)
		case 2:
			written = fmt.Sprint(id)
		}
	}
	if written == "" || lost == "" {
		t.Skip("no two shards lie on different nodes")
	}
	c.nodes["n0-1"].Stop()
	c.nodes["n1-1"].Stop()
	var failed atomic.Bool
	c.nodes["n1-0"].FailTasks(func(meili.TaskKind) *meili.Error {
		if !failed.CompareAndSwap(false, true) {
			return nil
		}
		return meili.Errorf(meili.CodeInternal, "no space left")
	})
	answer := c.call("POST", "/indexes/m/documents", `[{"id":`+written+`,"v":"refused"},{"id":`+lost+`,"v":"refused"}]`)
	if answer.Code != http.StatusServiceUnavailable {
		t.Fatalf("status %d: %s", answer.Code, answer.Body)
	}
	c.until("the copies to be equal", func() bool { // of two that were always in sync the first counts
		return failed.Load() && c.documentsOn("n0-0", "m")[written]["v"] == "refused" && c.documentsOn("n1-0", "m")[written]["v"] == "refused"
	})
}

// auto_repair off: what differs is reported, and nothing changes.
func TestReportOnly(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	c.fill("m", oracle{}, 20)
	c.directly("n1-0", "POST", "/documents/delete-batch", `[3,4]`)
	c.audit(func(a *fsm.AntiEntropy) { a.AutoRepair = false })
	pass := c.compared("/_miroir/anti-entropy/run", "")
	if pass.Mismatches != 2 || pass.Stale != 0 || c.replicas("m")[fsm.Active] != 2 || len(c.documentsOn("n1-0", "m")) != 18 {
		t.Errorf("pass %+v, replicas %v", pass, c.replicas("m"))
	}
	if len(pass.Results) != 1 || len(pass.Results[0].Differing) != 2 || pass.Results[0].Differing[0].ID != "3" || pass.Results[0].Differing[0].Digests["n1-0"] != "" {
		t.Errorf("results %+v", pass.Results)
	}
	for depth, want := range map[string][2]int{"counts": {2, 0}, "digests": {2, 0}, "documents": {2, 2}} {
		verify := c.compared("/_miroir/verify", `{"index":"m","depth":"`+depth+`"}`)
		if got := [2]int{verify.Mismatches, len(verify.Results[0].Differing)}; got != want {
			t.Errorf("depth %s: %v, want %v", depth, got, want)
		}
	}
	if verify := c.compared("/_miroir/verify", `{"index":"m","shards":[0],"repair":true}`); verify.Stale != 1 {
		t.Errorf("verify with repair: %+v", verify)
	}
	c.repaired("m")
	if n := len(c.documentsOn("n1-0", "m")); n != 20 {
		t.Errorf("%d documents after the repair", n)
	}
}

func TestOneCopyHasNothingToCompare(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 4})
	c.fill("m", oracle{}, 5)
	c.audit(nil)
	verify := c.compared("/_miroir/verify", "")
	if len(verify.Results) != 1 || !strings.Contains(verify.Results[0].Note, "nothing to compare") {
		t.Errorf("%+v", verify.Results)
	}
}

func TestAuditRequestsAreChecked(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	c.fill("m", oracle{}, 5)
	c.audit(nil)
	for body, want := range map[string]string{
		`{"index":"nope"}`:             "There is no index `nope`",
		`{"index":"m","shards":[4]}`:   "has no shard 4",
		`{"shards":[1]}`:               "needs an `index`",
		`{"depth":"deep"}`:             "Unknown depth `deep`",
		`{"index":"m","repairs":true}`: "Unknown member `repairs`",
		`[]`:                           "must be a JSON object",
		`{"repair":"yes"}`:             "must be a JSON object",
	} {
		if status, answer := c.ask("POST", "/_miroir/verify", body); status < 400 || !strings.Contains(string(answer), want) {
			t.Errorf("%s: status %d: %s, want %s", body, status, answer, want)
		}
	}
	if status, _ := c.ask("GET", "/_miroir/verify/unknown", ""); status != http.StatusNotFound {
		t.Errorf("an unknown comparison: status %d", status)
	}
	if status, answer := c.ask("GET", "/_miroir/anti-entropy", ""); status != http.StatusOK || !strings.Contains(string(answer), `"schedule":"every 6h"`) {
		t.Errorf("status %d: %s", status, answer)
	}
}

// Four writers write while passes run one after another; nodes are slow in turn, so that copies are seen apart. Nothing
// may be found. Red when what the first look shows counts.
func TestComparisonUnderWritesFindsNothing(t *testing.T) {
	for name, shape := range repairShapes {
		t.Run(name, func(t *testing.T) {
			c := newWriteCluster(t, shape)
			succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"filterableAttributes":["w","n"]}`))
			succeeded(t, c.do("PATCH", "/indexes/m", `{"primaryKey":"id"}`))
			for id, n := range c.nodes {
				n.Delay(func(r *http.Request) time.Duration {
					if r.Method == http.MethodPost && !strings.HasSuffix(r.URL.Path, "/fetch") {
						return time.Duration(len(id)*int(time.Now().UnixNano()/1000%7)) * 200 * time.Microsecond
					}
					return 0
				})
			}
			set := c.audit(func(a *fsm.AntiEntropy) { a.Schedule, a.FingerprintBatchSize = "every 1ms", 20 })
			var stop atomic.Bool
			var writing sync.WaitGroup
			const writers = 4
			wants := make([]oracle, writers)
			for w := range writers {
				wants[w] = oracle{}
				writing.Go(func() { c.writeAtRandom(w, wants[w], &stop) })
			}
			slots := uint64(max(c.state.View().Route("m").NumSlots(), 1))
			c.until("passes under writes", func() bool { return counted(set, "miroir_antientropy_shards_scanned_total") >= 30*slots })
			stop.Store(true)
			writing.Wait()
			if n := counted(set, "miroir_antientropy_mismatches_found_total"); n != 0 {
				t.Errorf("%d mismatches found, and nobody wrote past Miroir", n)
			}
			if got := c.replicas("m"); got[fsm.Stale]+got[fsm.Joining] != 0 {
				t.Errorf("replicas: %v", got)
			}
			want := oracle{}
			for _, part := range wants {
				for id, document := range part {
					want[id] = document
				}
			}
			succeeded(t, c.await(int(c.state.View().NextTaskUID)-1))
			c.equalEverywhere("m", want)
		})
	}
}

// A node dies in the middle of a pass: that shard is left for the next pass, and nobody is blamed.
func TestNodeLostDuringAPass(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	c.fill("m", oracle{}, 50)
	var once sync.Once
	c.nodes["n1-0"].Fail(func(r *http.Request) *devnode.Fault {
		if strings.HasSuffix(r.URL.Path, "/documents/fetch") {
			once.Do(func() { go c.nodes["n1-0"].Stop() })
			return &devnode.Fault{DropBefore: true}
		}
		return nil
	})
	c.audit(nil)
	pass := c.compared("/_miroir/anti-entropy/run", `{"index":"m"}`)
	if pass.Errors != 1 || pass.Mismatches != 0 || c.replicas("m")[fsm.Active] != 2 {
		t.Errorf("pass %+v, replicas %v", pass, c.replicas("m"))
	}
	c.nodes["n1-0"].Fail(nil)
	c.nodes["n1-0"].Start()
	c.auditEvery(5 * time.Millisecond)
	c.until("a comparison without errors", func() bool {
		verify := c.compared("/_miroir/verify", `{"index":"m"}`)
		return verify.Errors == 0 && len(verify.Results) == 1 && reflect.DeepEqual(verify.Results[0].Note, "") && verify.Results[0].Equal
	})
}

// A pass reads as many shards at once as there are nodes for them. Red when it goes shard by shard: two copies are all that
// is ever read at once then.
func TestAPassReadsManyNodesAtOnce(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 8, rf: 2, shards: 32, spread: fsm.SpreadAll})
	c.fill("m", oracle{}, 200)
	c.audit(func(a *fsm.AntiEntropy) { a.MaxReadConcurrency = 16 })
	var mu sync.Mutex
	reading, most := map[string]bool{}, 0
	many := make(chan struct{})
	var enough sync.Once
	for id, n := range c.nodes {
		n.Delay(func(r *http.Request) time.Duration {
			if !strings.HasSuffix(r.URL.Path, "/documents/fetch") {
				return 0
			}
			mu.Lock()
			reading[id] = true
			if most = max(most, len(reading)); most >= 6 {
				enough.Do(func() { close(many) })
			}
			mu.Unlock()
			select {
			case <-many:
			case <-time.After(5 * time.Second):
			}
			mu.Lock()
			delete(reading, id)
			mu.Unlock()
			return 0
		})
	}
	pass := c.compared("/_miroir/anti-entropy/run", "")
	if most < 6 || pass.Mismatches != 0 || pass.Errors != 0 || pass.Progress.Done != 32 {
		t.Errorf("%d nodes were read at once; pass %+v", most, pass)
	}
}

// A comparison of one index, as after a foreign write, does not wait for the end of a pass over everything.
func TestAComparisonDoesNotWaitForThePass(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	c.fill("m", oracle{}, 20)
	c.fill("big", oracle{}, 20)
	big := c.state.View().Index("big").NodeUID
	reached, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	for _, n := range c.nodes {
		n.Delay(func(r *http.Request) time.Duration {
			if strings.HasSuffix(r.URL.Path, "/"+big+"/documents/fetch") {
				once.Do(func() { close(reached) })
				<-release
			}
			return 0
		})
	}
	defer close(release)
	c.audit(nil)
	if status, answer := c.ask("POST", "/_miroir/anti-entropy/run", ""); status != http.StatusAccepted {
		t.Fatalf("%d %s", status, answer)
	}
	<-reached
	if audit := c.compared("/_miroir/anti-entropy/run", `{"index":"m"}`); audit.State != "succeeded" || audit.Mismatches != 0 {
		t.Errorf("%+v", audit)
	}
}
