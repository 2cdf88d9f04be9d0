package proxy

import (
	"context"
	"fmt"
	"maps"
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
	"miroir/proxy/node"
	"miroir/workers"
)

// While an index is held, a write neither gets into the log nor to a node, and afterwards it does. Red when the hold
// does not take the lock that writes take.
func TestHoldLetsNoWriteBegin(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	c.fill("m", oracle{}, 3)
	c.stop()
	begun := make(chan struct{}, 1)
	c.options.OnWriteStep = func(step WriteStep, _ fsm.NodeID) {
		if step == StepBegun {
			begun <- struct{}{}
		}
	}
	c.start()
	answered := make(chan int, 1)
	index := c.state.View().Route("m").ID
	err := c.server.HoldIndex(t.Context(), index, 10*time.Second, func(context.Context) error {
		go func() { answered <- c.call("POST", "/indexes/m/documents", `[{"id":9}]`).Code }()
		select {
		case <-begun:
			t.Error("a write began while its index was held")
		case <-time.After(100 * time.Millisecond):
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if code := <-answered; code != http.StatusAccepted {
		t.Errorf("after the hold: status %d", code)
	}
}

// Between the last comparison and the flip the replica becomes stale and joining again, as after a write that it missed.
// Red when the flip does not name the epoch under which the copy was made.
func TestRepairUnderAnOldEpochIsVoid(t *testing.T) {
	c, want := staleReplica(t)
	index := c.state.View().Route("m").ID
	ref := fsm.ReplicaRef{Index: index, Group: 1, Node: "n1-0"}
	var changed atomic.Bool
	running := make(chan struct{}) // closed once the workers with the repair are there to be asked
	c.nodes["n1-0"].Fail(func(r *http.Request) *devnode.Fault {
		<-running
		list := c.workers.Repairs()
		newest := r.URL.Path == "/tasks" && r.URL.RawQuery == "limit=1"
		if !newest || len(list) == 0 || list[0].State != "finishing" || !changed.CompareAndSwap(false, true) {
			return nil
		}
		for _, step := range [][2]fsm.ReplicaState{{fsm.Joining, fsm.Stale}, {fsm.Stale, fsm.Joining}} {
			command := fsm.MarkReplicas{Now: time.Now(), Changes: []fsm.ReplicaChange{{ReplicaRef: ref, From: step[0], To: step[1]}}}
			if _, err := fsm.Do(context.Background(), c.state, command); err != nil {
				t.Error(err)
			}
		}
		return nil
	})
	set := metrics.NewSet()
	c.repair(workers.Repair{Metrics: set})
	close(running)
	c.repaired("m")
	if !changed.Load() {
		t.Fatal("the replica was not changed")
	}
	if counted(set, `miroir_repair_shards_total{reason="stale",result="failed"}`) == 0 {
		t.Error("a copy that was made under another epoch activated the replica")
	}
	c.equalEverywhere("m", want)
}

// occupy keeps requests waiting at a node until the test ends, so that others are preferred to it.
func (c *writeCluster) occupy(id fsm.NodeID) {
	c.t.Helper()
	c.nodes[string(id)].Delay(func(r *http.Request) time.Duration {
		if r.URL.Path == "/version" {
			return time.Hour
		}
		return 0
	})
	client := c.server.Nodes().Get(c.state.View().Node(id))
	for range 10 {
		go client.Do(c.t.Context(), node.Request{Method: http.MethodGet, Path: "/version", Read: true})
	}
	c.until("the node to be busy", func() bool { return client.InFlight() >= 10 })
}

// Topology: three groups of one node. The node that is copied from failed a write, a third has not done it yet, and so
// nobody has concluded that the first is behind. Red when the flip does not look at the tasks that are open.
func TestSourceThatFailedAnOpenTaskVouchesForNothing(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 3, perGroup: 1, rf: 1, shards: 4})
	want := oracle{}
	c.fill("m", want, 3)
	c.nodes["n1-0"].Stop()
	c.fill("m", want, 20)
	c.nodes["n1-0"].Start()
	failing := c.on("n0-0", "POST", "/indexes/m/documents?customMetadata=miroir-test", `[{"no":"id"}]`)
	c.until("the task to fail", func() bool {
		return c.on("n0-0", "GET", fmt.Sprintf("/tasks/%v", failing["taskUid"]), "")["status"] == "failed"
	})
	c.nodes["n0-0"].Fail(once(isDocumentWrite, devnode.Fault{Status: http.StatusAccepted, Body: fmt.Sprintf(`{"taskUid":%v}`, failing["taskUid"])}))
	c.nodes["n2-0"].PauseTasks()
	c.occupy("n2-0") // or it might be copied from
	last := c.accepted(c.call("POST", "/indexes/m/documents", want.put(7, map[string]any{"v": "newer"})))
	c.repair(workers.Repair{})
	active := func() bool { return c.state.View().Route("m").Replicas(1, 0)[0].State == fsm.Active }
	c.until("the repair to be refused", func() bool {
		for _, job := range c.workers.Repairs() {
			if strings.Contains(job.Error, "failed a write that is not settled") {
				return true
			}
		}
		return active()
	})
	if active() {
		t.Error("a replica became active after a copy from a node that failed a write")
	}
	c.nodes["n2-0"].ResumeTasks()
	succeeded(t, c.await(last))
	c.repaired("m")
	c.equalEverywhere("m", want)
}

// Topology: three groups of one node. While shards are copied from the first to the second, the first misses a write to the
// last of them. Red when the flip looks at the first shard of each source only: the older document would replace the newer.
func TestSourceThatMissedAWriteVouchesForNothing(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 3, perGroup: 1, rf: 1, shards: 4, spread: fsm.SpreadAll})
	want := oracle{}
	c.fill("m", want, 3)
	c.nodes["n1-0"].Stop()
	c.fill("m", want, 40)
	c.nodes["n1-0"].Start()
	last := 0
	for c.server.ShardOf(fmt.Sprint(last), 4) != 3 {
		last++
	}
	var missed atomic.Bool
	c.nodes["n1-0"].Fail(func(r *http.Request) *devnode.Fault {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/documents") && missed.CompareAndSwap(false, true) {
			c.nodes["n0-0"].Fail(func(r *http.Request) *devnode.Fault {
				if isDocumentWrite(r) {
					return &devnode.Fault{Status: http.StatusServiceUnavailable}
				}
				return nil
			})
			c.accepted(c.call("POST", "/indexes/m/documents", want.put(last, map[string]any{"v": "newer"})))
		}
		return nil
	})
	c.repair(workers.Repair{})
	c.until("the copy to be made", func() bool { return c.state.View().Route("m").Replicas(1, 3)[0].State == fsm.Active })
	c.nodes["n0-0"].Fail(nil)
	c.repaired("m")
	if !missed.Load() {
		t.Fatal("nothing was copied")
	}
	c.equalEverywhere("m", want)
}

// Topology: one group of two nodes, 29 shards on both. Writers never rest, tasks take a while, and a question takes as
// long as it has shards to count: all 29 do not fit into the time that writes may be held. Red when a hold that was too
// long is tried again with as many shards.
func TestRepairComesToItsEndUnderLoad(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 2, shards: 29, spread: fsm.SpreadAll})
	want := oracle{}
	c.fill("m", want, 100)
	c.nodes["n0-1"].Stop()
	c.fill("m", want, 200)
	for _, node := range c.nodes {
		node.TaskDelay(5 * time.Millisecond)
		node.Delay(func(r *http.Request) time.Duration {
			if strings.HasSuffix(r.URL.Path, "/documents/fetch") {
				return time.Duration(r.ContentLength) * 250 * time.Microsecond // twice 0.1 s for the counts of 29 shards
			}
			return 0
		})
	}
	var stop atomic.Bool
	var writing sync.WaitGroup
	wants := make([]oracle, 4)
	for w := range wants {
		wants[w] = oracle{}
		writing.Go(func() {
			for id := 1000 * (w + 1); !stop.Load(); id++ {
				c.await(c.accepted(c.call("POST", "/indexes/m/documents", wants[w].put(id, map[string]any{"v": "busy"})))) // or the nodes' queues grow without end
			}
		})
	}
	defer writing.Wait()
	defer stop.Store(true)
	c.nodes["n0-1"].Start()
	set := metrics.NewSet()
	c.repair(workers.Repair{Metrics: set, MaxHold: 150 * time.Millisecond})
	c.repaired("m")
	stop.Store(true)
	writing.Wait()
	succeeded(t, c.await(int(c.state.View().NextTaskUID)-1))
	for _, written := range wants {
		maps.Copy(want, written)
	}
	c.equalEverywhere("m", want)
}

// Topology: three groups of one node; the third does no tasks, so that client tasks stay open. The second loses its disk,
// is repaired, and gives uids again that it gave before. Red when what it said of its old tasks counts for the new ones:
// a task would end before a replica that is read has done it.
func TestTaskUIDsOfALostDiskAreNotTakenForOldOnes(t *testing.T) {
	c := newRepairCluster(t, clusterShape{groups: 3, perGroup: 1, rf: 1, shards: 4}, workers.Repair{})
	want := oracle{}
	c.fill("m", want, 3)
	c.nodes["n2-0"].PauseTasks()
	last := 0
	for i := range 30 {
		last = c.accepted(c.call("POST", "/indexes/m/documents", want.put(i, map[string]any{"v": "before"})))
	}
	c.until("the tasks to be under way", func() bool { return c.get(fmt.Sprintf("/tasks/%d", last))["status"] == "processing" })
	before := c.state.View().Node("n1-0").LastTaskUID
	c.nodes["n1-0"].Stop()
	c.until("the node to be missed", func() bool { return c.state.View().Node("n1-0").State != fsm.NodeActive })
	c.nodes["n1-0"].Wipe()
	c.nodes["n1-0"].Start()
	c.until("the lost disk to be noticed", func() bool { return c.state.View().Node("n1-0").LastTaskUID < before })
	c.repaired("m")
	c.nodes["n1-0"].PauseTasks()
	newest := c.accepted(c.call("POST", "/indexes/m/documents", want.put(7, map[string]any{"v": "after"})))
	c.nodes["n2-0"].ResumeTasks()
	succeeded(t, c.await(last))
	for range 50 {
		// An old task that ends just then may have put the replica out of sync once more: nothing waits for it then.
		if ended := c.get(fmt.Sprintf("/tasks/%d", newest))["status"] == "succeeded"; ended && c.state.View().Route("m").Replicas(1, 0)[0].State == fsm.Active {
			t.Fatal("the task ended before a replica in sync had done it")
		}
		<-time.After(2 * time.Millisecond)
	}
	c.nodes["n1-0"].ResumeTasks()
	succeeded(t, c.await(newest))
	c.repaired("m")
	c.equalEverywhere("m", want)
}

// A node's index has another primary key, so that the node failed a write to one shard; its others are in sync. Red when only
// the shard that is stale is repaired: the node's index cannot be made anew while others are read there.
func TestAnIndexWithAnotherPrimaryKeyIsMadeAnew(t *testing.T) {
	c := newRepairCluster(t, clusterShape{groups: 2, perGroup: 1, rf: 1, shards: 4, spread: fsm.SpreadAll}, workers.Repair{})
	succeeded(t, c.do("POST", "/indexes", `{"uid":"m"}`))
	nodeUID := c.state.View().Route("m").NodeUID
	c.on("n1-0", "PATCH", "/indexes/"+nodeUID, `{"primaryKey":"other"}`)
	want := oracle{}
	succeeded(t, c.do("POST", "/indexes/m/documents?primaryKey=id", want.put(1, nil)))
	c.until("the node's index to be made anew", func() bool {
		return c.on("n1-0", "GET", "/indexes/"+nodeUID, "")["primaryKey"] == "id"
	})
	c.repaired("m")
	c.equalEverywhere("m", want)
	succeeded(t, c.do("POST", "/indexes/m/documents", want.put(2, nil)))
	c.equalEverywhere("m", want)
}

// The first documents of an index are refused because one shard has no replica, and another shard has taken its part: that node has a
// primary key, and the cluster knows none. Red when nothing can be copied there: the node's index is the only one with its shards.
func TestANodeKeepsThePrimaryKeyOfARefusedWrite(t *testing.T) {
	c := newRepairCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 1, shards: 8, spread: fsm.SpreadAll}, workers.Repair{})
	succeeded(t, c.do("POST", "/indexes", `{"uid":"m"}`))
	c.nodes["n0-0"].Stop()
	documents := `[{"id":1},{"id":2},{"id":3},{"id":4},{"id":5},{"id":6},{"id":7},{"id":8}]`
	if answer := c.call("POST", "/indexes/m/documents?primaryKey=id", documents); answer.Code != http.StatusServiceUnavailable {
		t.Fatalf("status %d: %s", answer.Code, answer.Body)
	}
	c.until("the other node to have its part", func() bool { return len(c.documentsOn("n0-1", "m")) > 0 })
	part := c.documentsOn("n0-1", "m")
	c.nodes["n0-0"].Start()
	c.ended(c.begun("PATCH", "/_miroir/topology", `{"replication_factor":2}`))
	for id := range c.nodes {
		if got := c.documentsOn(id, "m"); !reflect.DeepEqual(got, part) {
			t.Errorf("node %s has %v, want %v", id, got, part)
		}
	}
	succeeded(t, c.do("POST", "/indexes/m/documents?primaryKey=id", documents))
	for id := range c.nodes {
		if got := c.documentsOn(id, "m"); len(got) != 8 {
			t.Errorf("node %s has %v", id, got)
		}
	}
}

// Somebody has taken the setting away by which documents are listed by shard, on the node that a copy would be filled from. Red when
// that waits for the next check of all settings.
func TestASourceWithoutItsSettingsIsPutRight(t *testing.T) {
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 2, rf: 2, shards: 4, spread: fsm.SpreadAll})
	want := oracle{}
	c.fill("m", want, 20)
	c.on("n0-0", "PUT", "/indexes/m/settings/filterable-attributes", `[]`)
	c.until("it to be gone", func() bool {
		return len(c.on("n0-0", "GET", "/indexes/m/settings", "")["filterableAttributes"].([]any)) == 0
	})
	c.nodes["n0-1"].Wipe()
	if _, err := fsm.Do(t.Context(), c.state, fsm.MarkNodeStale{Now: time.Now(), Node: "n0-1"}); err != nil {
		t.Fatal(err)
	}
	c.repair(workers.Repair{})
	c.repaired("m")
	c.equalEverywhere("m", want)
}
