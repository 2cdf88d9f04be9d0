package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"miroir/devnode"
	"miroir/fsm"
	"miroir/tasks"
	"miroir/workers"
)

// newRepairCluster is a writeCluster whose workers check health often and repair.
func newRepairCluster(t *testing.T, shape clusterShape, repair workers.Repair) *writeCluster {
	t.Helper()
	c := newWriteCluster(t, shape)
	c.repair(repair)
	return c
}

// repair starts the workers anew, with the repair.
func (c *writeCluster) repair(repair workers.Repair) {
	c.t.Helper()
	c.workers.Close()
	if repair.Interval == 0 {
		repair.Interval = time.Millisecond
	}
	repair.LeavingGrace = c.options.LeavingGrace
	repair.BackoffMin, repair.BackoffMax, repair.RequestTimeout = time.Millisecond, 20*time.Millisecond, 2*time.Second
	var err error
	c.workers, err = workers.Start(context.Background(), workers.Options{
		Cluster: c.state, Nodes: c.server.Nodes(), Coordinator: c.server, HealthInterval: 5 * time.Millisecond, HealthTimeout: 200 * time.Millisecond,
		Logger: c.options.Logger, PollMin: time.Millisecond, PollMax: 20 * time.Millisecond, Repair: &repair,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.server.ShowRepairs(c.workers.Repairs)
}

// repaired waits until no replica of the index is out of sync.
func (c *writeCluster) repaired(uid string) {
	c.t.Helper()
	defer func() {
		if c.t.Failed() {
			c.t.Logf("replicas %v, repairs %+v", c.replicas(uid), c.workers.Repairs())
		}
	}()
	c.until("all replicas to be in sync", func() bool {
		counts := c.replicas(uid)
		return counts[fsm.Stale]+counts[fsm.Joining] == 0
	})
}

// oracle is what an index must hold, by id.
type oracle map[string]map[string]any

func (o oracle) put(id int, fields map[string]any) string {
	document := map[string]any{"id": float64(id)}
	for name, value := range fields {
		document[name] = value
	}
	o[fmt.Sprint(id)] = document
	text, _ := json.Marshal([]any{document})
	return string(text)
}

// equalEverywhere compares every node of the index with the oracle: each replica has exactly the documents of its shard.
func (c *writeCluster) equalEverywhere(uid string, want oracle) {
	c.t.Helper()
	ix := c.state.View().Route(uid)
	for group, slots := range ix.Placement {
		expected := map[fsm.NodeID]oracle{}
		for id, document := range want {
			for _, replica := range ix.Replicas(group, ShardOf(id, ix.Shards)) {
				if expected[replica.Node] == nil {
					expected[replica.Node] = oracle{}
				}
				expected[replica.Node][id] = document
			}
		}
		_ = slots
		for node, documents := range expected {
			c.equalOn(string(node), ix.NodeUID, documents)
		}
	}
}

func (c *writeCluster) equalOn(node, nodeUID string, want oracle) {
	c.t.Helper()
	got := c.documentsOn(node, nodeUID)
	wrong := 0
	for id, document := range want {
		if !reflect.DeepEqual(got[id], document) {
			if wrong++; wrong < 4 {
				c.t.Errorf("node %s, document %s: got %v, want %v", node, id, got[id], document)
			}
		}
	}
	for id := range got {
		if want[id] == nil {
			if wrong++; wrong < 4 {
				c.t.Errorf("node %s has document %s, which was deleted", node, id)
			}
		}
	}
	if wrong > 0 {
		c.t.Errorf("node %s: %d of %d documents are wrong", node, wrong, len(want))
	}
}

// fill writes n documents in one request.
func (c *writeCluster) fill(uid string, want oracle, n int) {
	c.t.Helper()
	documents := make([]map[string]any, n)
	for i := range documents {
		want.put(i, map[string]any{"v": "first", "n": float64(i)})
		documents[i] = want[fmt.Sprint(i)]
	}
	body, _ := json.Marshal(documents)
	succeeded(c.t, c.do("POST", "/indexes/"+uid+"/documents", string(body)))
}

var repairShapes = map[string]clusterShape{
	"whole, two groups of one node":    {groups: 2, perGroup: 1, rf: 1, shards: 4, spread: fsm.SpreadAuto},
	"whole, two copies in a group":     {groups: 1, perGroup: 3, rf: 2, shards: 4, spread: fsm.SpreadAuto},
	"spread, two copies in each group": {groups: 2, perGroup: 3, rf: 2, shards: 8, spread: fsm.SpreadAll},
}

// holderOf is a node that holds documents of the index.
func (c *writeCluster) holderOf(uid string) string {
	return string(c.state.View().Route(uid).Nodes()[0])
}

// A node misses additions, updates, deletions by id and by filter, and a change of settings. Red when the repair leaves
// out deletions, updates or settings, or cuts shards wrongly.
func TestNodeThatMissedWritesIsRepaired(t *testing.T) {
	for name, shape := range repairShapes {
		t.Run(name, func(t *testing.T) {
			c := newRepairCluster(t, shape, workers.Repair{PageSize: 7})
			succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"filterableAttributes":["n"],"typoTolerance":{"minWordSizeForTypos":{"oneTypo":4}}}`))
			want := oracle{}
			c.fill("m", want, 100)
			away := c.holderOf("m")
			c.nodes[away].Stop()
			for i := 90; i < 120; i++ {
				c.call("POST", "/indexes/m/documents", want.put(i, map[string]any{"v": "second", "n": float64(i)}))
			}
			c.call("PUT", "/indexes/m/documents", `[{"id":3,"extra":[1,{"a":null}]}]`)
			want["3"]["extra"] = []any{1.0, map[string]any{"a": nil}}
			c.call("POST", "/indexes/m/documents/delete-batch", `[10,11,"12"]`)
			c.call("POST", "/indexes/m/documents/delete", `{"filter":"n 20 TO 39"}`)
			c.call("PATCH", "/indexes/m/settings", `{"stopWords":["the"],"typoTolerance":{"minWordSizeForTypos":{"oneTypo":null,"twoTypos":11}}}`)
			last := c.accepted(c.call("POST", "/indexes/m/documents", want.put(5, map[string]any{"v": "last"})))
			for i := range 40 {
				if i >= 10 && i <= 12 || i >= 20 {
					delete(want, fmt.Sprint(i))
				}
			}
			succeeded(t, c.await(last))
			if c.replicas("m")[fsm.Stale] == 0 {
				t.Fatal("no replica is stale")
			}
			c.nodes[away].Start()
			c.repaired("m")
			c.equalEverywhere("m", want)
			settings := c.on(away, "GET", "/indexes/"+c.state.View().Route("m").NodeUID+"/settings", "")
			if got, want := fmt.Sprint(settings["stopWords"], settings["typoTolerance"].(map[string]any)["minWordSizeForTypos"]), "[the] map[oneTypo:5 twoTypos:11]"; got != want {
				t.Errorf("settings: got %s, want %s", got, want)
			}
		})
	}
}

// Four writers add, update and delete while a node goes away, comes back and is repaired, three times. Red when ids that
// are written during the copy are forgotten, when deletions by filter are, and when the flip does not wait for open writes.
func TestRepairWhileWritersWrite(t *testing.T) {
	for name, shape := range repairShapes {
		t.Run(name, func(t *testing.T) {
			c := newRepairCluster(t, shape, workers.Repair{PageSize: 10})
			succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"filterableAttributes":["w","n"]}`))
			succeeded(t, c.do("PATCH", "/indexes/m", `{"primaryKey":"id"}`))
			var stop atomic.Bool
			var writing sync.WaitGroup
			const writers = 4
			wants := make([]oracle, writers)
			for w := range writers {
				wants[w] = oracle{}
				writing.Go(func() { c.writeAtRandom(w, wants[w], &stop) })
			}
			for range 3 {
				away := c.holderOf("m")
				c.nodes[away].Stop()
				c.until("replicas to be stale", func() bool { return c.replicas("m")[fsm.Stale] > 0 })
				c.nodes[away].Start()
				c.repaired("m")
			}
			stop.Store(true)
			writing.Wait()
			succeeded(t, c.await(int(c.state.View().NextTaskUID)-1))
			c.repaired("m")
			want := oracle{}
			for _, part := range wants {
				for id, document := range part {
					want[id] = document
				}
			}
			c.equalEverywhere("m", want)
		})
	}
}

// writeAtRandom writes documents that no other writer writes and keeps account of what must be there.
func (c *writeCluster) writeAtRandom(w int, want oracle, stop *atomic.Bool) {
	random := rand.New(rand.NewPCG(uint64(w), 1))
	for round := 0; !stop.Load(); round++ {
		id := w*1000 + random.IntN(60)
		key := fmt.Sprint(id)
		method, path, body := "POST", "/indexes/m/documents", ""
		switch random.IntN(10) {
		case 0, 1:
			path, body = "/indexes/m/documents/delete-batch", fmt.Sprintf("[%d]", id)
			delete(want, key)
		case 2:
			below := random.IntN(20)
			path, body = "/indexes/m/documents/delete", fmt.Sprintf(`{"filter":"w = %d AND n < %d"}`, w, below)
			for other, document := range want {
				if document["n"].(float64) < float64(below) {
					delete(want, other)
				}
			}
		case 3, 4:
			if want[key] == nil {
				continue
			}
			method, body = "PUT", fmt.Sprintf(`[{"id":%d,"u":%d}]`, id, round)
			changed := map[string]any{}
			for name, value := range want[key] {
				changed[name] = value
			}
			changed["u"] = float64(round)
			want[key] = changed
		default:
			body = want.put(id, map[string]any{"w": float64(w), "n": float64(random.IntN(100)), "v": fmt.Sprint(round)})
		}
		answer := c.call(method, path, body)
		// A 503 says to try again: an earlier write's fate may be unknown while its node is away. All writes here end
		// the same when they happen twice.
		for deadline := time.Now().Add(patience); answer.Code == http.StatusServiceUnavailable && time.Now().Before(deadline); {
			answer = c.call(method, path, body)
		}
		if answer.Code != http.StatusAccepted {
			c.t.Errorf("%s %s: status %d: %s", method, path, answer.Code, answer.Body)
			return
		}
	}
}

// isRepairWrite tells the repair's own writes to a node from those of clients.
func isRepairWrite(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Query().Get("customMetadata"), "repair-")
}

// While a page is on its way to the node, clients change, delete by id, delete by filter and edit documents in it: the
// node has the newer writes first and the page undoes them. Red when the final copy of touched ids is left out, or
// their deletions, or the comparison of ids after a deletion by filter.
func TestWritesOvertakenByThePageAreCopiedAgain(t *testing.T) {
	for name, test := range map[string]struct{ method, path, body string }{
		"update":           {"PUT", "/indexes/m/documents", `[{"id":5,"v":"newer"}]`},
		"replace":          {"POST", "/indexes/m/documents", `[{"id":5,"v":"newer","n":1}]`},
		"delete":           {"POST", "/indexes/m/documents/delete-batch", `[5]`},
		"delete by filter": {"POST", "/indexes/m/documents/delete", `{"filter":"n = 5"}`},
		"clear":            {"DELETE", "/indexes/m/documents", ``},
		"edit":             {"POST", "/indexes/m/documents/edit", `{"function":"doc.v = \"edited\"","filter":"n = 5"}`},
	} {
		t.Run(name, func(t *testing.T) {
			c := newWriteCluster(t, twoCopies)
			c.call("PATCH", "/experimental-features", `{"editDocumentsByFunction":true}`)
			succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"filterableAttributes":["n"]}`))
			c.fill("m", oracle{}, 3)
			c.nodes["n1-0"].Stop()
			c.fill("m", oracle{}, 20)
			c.nodes["n1-0"].Start()
			var once sync.Once
			c.nodes["n1-0"].Fail(func(r *http.Request) *devnode.Fault {
				if isRepairWrite(r) && strings.HasSuffix(r.URL.Path, "/documents") {
					once.Do(func() { succeeded(t, c.await(c.accepted(c.call(test.method, test.path, test.body)))) })
				}
				return nil
			})
			set := metrics.NewSet()
			c.repair(workers.Repair{Metrics: set})
			c.repaired("m")
			if n := set.GetOrCreateCounter(`miroir_repair_shards_total{reason="stale",result="failed"}`).Get(); n != 0 {
				t.Errorf("%d attempts failed: what was overtaken was found too late", n)
			}
			if got, want := c.documentsOn("n1-0", "m"), c.documentsOn("n0-0", "m"); !reflect.DeepEqual(got, want) {
				t.Errorf("document 5 is %v, want %v; %d documents, want %d", got["5"], want["5"], len(got), len(want))
			}
		})
	}
}

// The node says that it has done what the repair sent and has not, once. Red when replicas are activated without
// comparing what was copied, or how many documents there are.
func TestNodeThatLiesIsNotActivated(t *testing.T) {
	for name, lie := range map[string]string{"about a page": "/documents", "about deletions": "/documents/delete-batch"} {
		t.Run(name, func(t *testing.T) {
			c := newWriteCluster(t, twoCopies)
			want := oracle{}
			c.fill("m", want, 20)
			c.nodes["n1-0"].Stop()
			c.call("POST", "/indexes/m/documents", want.put(7, map[string]any{"v": "newer"}))
			delete(want, "8")
			succeeded(t, c.do("POST", "/indexes/m/documents/delete-batch", `[8]`))
			c.nodes["n1-0"].Start()
			var lied atomic.Bool
			c.nodes["n1-0"].Fail(once(func(r *http.Request) bool {
				lies := isRepairWrite(r) && strings.HasSuffix(r.URL.Path, lie)
				if lies {
					lied.Store(true)
				}
				return lies
			}, devnode.Fault{Status: http.StatusAccepted, Body: `{"taskUid":0}`}))
			c.repair(workers.Repair{})
			c.repaired("m")
			if !lied.Load() {
				t.Error("the node was not asked")
			}
			c.equalEverywhere("m", want)
		})
	}
}

// A node comes back with an empty disk, and no write has missed it. Red when the lost disk is not noticed, the index is
// not made again, or without its settings.
func TestWipedNodeIsRefilled(t *testing.T) {
	for name, shape := range repairShapes {
		t.Run(name, func(t *testing.T) {
			c := newRepairCluster(t, shape, workers.Repair{PageSize: 7})
			succeeded(t, c.do("PATCH", "/indexes/m/settings", `{"filterableAttributes":["n"],"stopWords":["the"],
				"embedders":{"v":{"source":"userProvided","dimensions":2}}}`))
			documents := []map[string]any{}
			for i := range 50 {
				documents = append(documents, map[string]any{"id": i * 31 % 50, "n": i, "_vectors": map[string]any{"v": []float64{float64(i), 0.1}}})
			}
			body, _ := json.Marshal(documents)
			succeeded(t, c.do("POST", "/indexes/m/documents", string(body)))
			node := c.holderOf("m")
			path := "/indexes/" + c.state.View().Route("m").NodeUID
			shown := func() (string, string) {
				page := c.on(node, "GET", path+"/documents?limit=1000&retrieveVectors=true", "")
				results, _ := page["results"].([]any)
				if shape.spread == fsm.SpreadAll { // the node is filled from several others, one after the other
					slices.SortFunc(results, func(a, b any) int {
						return int(a.(map[string]any)["id"].(float64) - b.(map[string]any)["id"].(float64))
					})
				}
				return fmt.Sprint(results), fmt.Sprint(c.on(node, "GET", path+"/settings", ""))
			}
			wantDocuments, wantSettings := shown()
			c.nodes[node].Stop()
			c.until("the node to be failed", func() bool { return c.state.View().Node(fsm.NodeID(node)).State == fsm.NodeFailed })
			c.nodes[node].Wipe()
			c.nodes[node].Start()
			c.until("the lost disk to be noticed", func() bool {
				return c.replicas("m")[fsm.Active] < len(c.state.View().Nodes) || len(c.documentsOn(node, strings.TrimPrefix(path, "/indexes/"))) > 0
			})
			c.until("the node to be active", func() bool { return c.state.View().Node(fsm.NodeID(node)).State == fsm.NodeActive })
			c.repaired("m")
			documentsNow, settingsNow := shown()
			if documentsNow != wantDocuments {
				t.Errorf("documents: got %s, want %s", documentsNow, wantDocuments)
			}
			if settingsNow != wantSettings {
				t.Errorf("settings: got %s, want %s", settingsNow, wantSettings)
			}
			if n := c.state.View().Node(fsm.NodeID(node)); n.LastTaskUID < 0 {
				t.Error("the repair's tasks are not recorded: a second lost disk would not be noticed")
			}
		})
	}
}

// Topology: three groups of one node. The node that is copied from dies or hangs in the middle. Red when the repair
// stays with its source, or takes what it has read for all there is.
func TestSourceThatFailsIsReplaced(t *testing.T) {
	for name, fails := range map[string]func(*devnode.Node){"dies": (*devnode.Node).Stop, "hangs": (*devnode.Node).Freeze} {
		t.Run(name, func(t *testing.T) {
			c := newWriteCluster(t, clusterShape{groups: 3, perGroup: 1, rf: 1, shards: 4})
			want := oracle{}
			c.fill("m", want, 3)
			c.nodes["n2-0"].Stop()
			c.fill("m", want, 50)
			c.nodes["n2-0"].Start()
			var reads atomic.Int32
			var source atomic.Value
			for _, id := range []string{"n0-0", "n1-0"} {
				c.nodes[id].Fail(func(r *http.Request) *devnode.Fault {
					if strings.HasSuffix(r.URL.Path, "/documents/fetch") && reads.Add(1) == 4 {
						source.Store(id)
						go fails(c.nodes[id])
						return &devnode.Fault{DropBefore: true}
					}
					return nil
				})
			}
			c.repair(workers.Repair{PageSize: 10})
			c.until("the replica to be in sync", func() bool {
				return c.replicas("m")[fsm.Active] >= 2 && c.state.View().Route("m").Replicas(2, 0)[0].State == fsm.Active
			})
			if source.Load() == nil {
				t.Fatal("no source failed")
			}
			c.equalOn("n2-0", "m", want)
			c.nodes[source.Load().(string)].Thaw()
		})
	}
}

// The only replica in sync loses its disk while another is stale: nothing is copied, deleted or made active. Red when
// an empty source is believed, or when a stale replica is taken for a source.
func TestWithoutSourceNothingIsGuessed(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	want := oracle{}
	c.fill("m", want, 20)
	c.nodes["n1-0"].Stop()
	succeeded(t, c.do("POST", "/indexes/m/documents", `[{"id":1,"v":"newer"}]`))
	c.nodes["n1-0"].Start()
	c.nodes["n0-0"].Wipe()
	c.repair(workers.Repair{})
	c.until("the repair to report it", func() bool {
		return slices.ContainsFunc(c.workers.Repairs(), func(job tasks.Repair) bool { return job.State == "blocked" })
	})
	if got := len(c.documentsOn("n1-0", "m")); got != len(want) {
		t.Errorf("the stale replica has %d documents, want the %d it had", got, len(want))
	}
	if got := c.state.View().Route("m").Replicas(1, 0)[0].State; got == fsm.Active {
		t.Error("a replica became active without a source")
	}
}

// staleReplica is a cluster of two nodes whose replica on n1-0 has missed a write.
func staleReplica(t *testing.T) (*writeCluster, oracle) {
	c, want := newWriteCluster(t, twoCopies), oracle{}
	c.fill("m", want, 3)
	c.nodes["n1-0"].Stop()
	c.fill("m", want, 20)
	c.nodes["n1-0"].Start()
	return c, want
}

// The source has accepted an update and not done it when the repair begins, and the node that is repaired never got it.
// Red when the copy does not wait for what was accepted before it.
func TestRepairWaitsForWritesBeforeIt(t *testing.T) {
	c, want := staleReplica(t)
	c.nodes["n0-0"].PauseTasks()
	last := c.accepted(c.call("POST", "/indexes/m/documents", want.put(5, map[string]any{"v": "newer"})))
	var waits atomic.Int32
	c.nodes["n0-0"].Fail(func(r *http.Request) *devnode.Fault {
		if r.URL.Query().Get("statuses") != "" {
			waits.Add(1)
		}
		return nil
	})
	c.repair(workers.Repair{})
	c.until("the repair to wait for the source", func() bool { return waits.Load() > 3 })
	c.nodes["n0-0"].ResumeTasks()
	c.repaired("m")
	succeeded(t, c.await(last))
	c.equalEverywhere("m", want)
}

// A write reaches the node that is repaired, and nobody knows whether the source has it. Red when the replica becomes
// active before that is decided: it would vouch for a write that the last copy has taken from it.
func TestRepairWaitsForUndecidedWrites(t *testing.T) {
	c, want := staleReplica(t)
	var away atomic.Bool
	c.nodes["n0-0"].Fail(func(r *http.Request) *devnode.Fault {
		if away.Load() && (isDocumentWrite(r) || r.URL.Query().Get("types") != "") {
			return &devnode.Fault{DropBefore: true}
		}
		return nil
	})
	var once sync.Once
	status := 0
	c.nodes["n1-0"].Fail(func(r *http.Request) *devnode.Fault {
		if isRepairWrite(r) {
			once.Do(func() {
				away.Store(true)
				status = c.call("POST", "/indexes/m/documents", `[{"id":77}]`).Code
			})
		}
		return nil
	})
	write := int(c.state.View().NextTaskUID)
	c.repair(workers.Repair{MaxHold: 50 * time.Millisecond})
	finishing := false
	c.until("the repair to try", func() bool {
		list := c.workers.Repairs()
		if len(list) > 0 && list[0].State == "finishing" {
			finishing = true
		}
		return c.replicas("m")[fsm.Active] == 2 || finishing && len(list) > 0 && list[0].State != "finishing"
	})
	if status != http.StatusServiceUnavailable {
		t.Errorf("the write answered %d", status)
	}
	away.Store(false)
	if task := c.await(write); task["status"] == "succeeded" {
		want["77"] = map[string]any{"id": 77.0}
	}
	c.repaired("m")
	c.equalEverywhere("m", want)
}

// Somebody changes the node's settings while it is filled. Red when settings are not compared before the flip.
func TestRepairComparesSettings(t *testing.T) {
	c, want := staleReplica(t)
	var once sync.Once
	c.nodes["n1-0"].Fail(func(r *http.Request) *devnode.Fault {
		if isRepairWrite(r) {
			once.Do(func() { c.on("n1-0", "PATCH", "/indexes/m/settings", `{"stopWords":["foreign"]}`) })
		}
		return nil
	})
	c.repair(workers.Repair{})
	c.repaired("m")
	c.equalEverywhere("m", want)
	if got := fmt.Sprint(c.on("n1-0", "GET", "/indexes/m/settings", "")["stopWords"]); got != "[]" {
		t.Errorf("stop words of the repaired node: %s", got)
	}
}
