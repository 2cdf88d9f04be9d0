package proxy

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"miroir/fsm"
	"miroir/meili"
)

// endedTasks makes n tasks that have ended, a multiple of 1000.
func (c *localCluster) endedTasks(t *testing.T, n int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for range n / 1000 {
		entries := make([]*raft.Log, 1000)
		for i := range entries {
			c.index++
			text, err := fsm.Encode(fsm.BeginWrite{Now: time.Now(), Kind: string(meili.TaskSnapshotCreation), Outcome: &fsm.Outcome{Status: fsm.StatusSucceeded}})
			if err != nil {
				t.Fatal(err)
			}
			entries[i] = &raft.Log{Index: c.index, Term: 1, Type: raft.LogCommand, Data: text}
		}
		c.ApplyBatch(entries)
	}
}

// TestDeletingManyTasks: a deletion of many tasks is many small commands, between which other tasks go on; the next leader goes
// on with it, and its counts are those of all.
func TestDeletingManyTasks(t *testing.T) {
	const n = 15_000
	c := newWriteCluster(t, clusterShape{groups: 1, perGroup: 1, rf: 1, shards: 4})
	succeeded(t, c.do("POST", "/indexes", `{"uid":"kept"}`))
	c.state.endedTasks(t, n)
	var slices, asked atomic.Int64
	c.state.refuse(func(cmd fsm.Command) error {
		deletion, ok := cmd.(fsm.DeleteTasks)
		if !ok {
			return nil
		}
		if len(deletion.UIDs) > 1000 {
			t.Errorf("a command deletes %d tasks", len(deletion.UIDs))
		}
		if slices.Add(1) > 10 && asked.Load() == 0 {
			return errors.New("the leader is gone")
		}
		return nil
	})
	task := c.accepted(c.send("DELETE", "/tasks?types=snapshotCreation", "", nil))
	c.until("a part to be deleted", func() bool { return slices.Load() > 10 })
	succeeded(t, c.do("POST", "/indexes/kept/documents", `[{"id":1}]`)) // meanwhile
	c.stop()
	asked.Store(1)
	before := slices.Load()
	c.start()
	done := c.await(task)
	succeeded(t, done)
	details := done["details"].(map[string]any)
	if fmt.Sprint(details["matchedTasks"], details["deletedTasks"]) != fmt.Sprint(float64(n), float64(n)) {
		t.Errorf("details %v", details)
	}
	if again := slices.Load() - before; again > n/1000-9 {
		t.Errorf("%d commands after ten of %d: it began anew", again, n/1000)
	}
	if list, err := c.state.FSM.Tasks(fsm.TaskFilter{}, fsm.TaskPage{}); err != nil || list.Total != 3 {
		t.Errorf("%d tasks are left, %v", list.Total, err)
	}
}

// Totals of lists count the swaps of the indexes they ask for, under the names those have by now for tasks and had then for
// batches; the lists leave them out after the page was cut. The numbers are those of one server.
func TestTotalsCountSwaps(t *testing.T) {
	c := newWriteCluster(t, twoCopies)
	f := func(query string, total int, uids ...float64) {
		t.Helper()
		list := c.get(query)
		got := []float64{}
		for _, entry := range list["results"].([]any) {
			got = append(got, entry.(map[string]any)["uid"].(float64))
		}
		if list["total"] != float64(total) || !slices.Equal(got, append([]float64{}, uids...)) {
			t.Errorf("%s: total %v of %v, want %d of %v", query, list["total"], got, total, uids)
		}
	}
	for _, uid := range []string{"x", "y", "z"} {
		succeeded(t, c.do("POST", "/indexes", `{"uid":"`+uid+`"}`))
	}
	succeeded(t, c.do("POST", "/swap-indexes", `[{"indexes":["x","y"]}]`))
	f("/tasks?indexUids=x", 2, 1)
	f("/tasks?indexUids=x&limit=1", 2, 1) // of the page with one more
	f("/tasks?indexUids=x&limit=0", 2)
	f("/batches?indexUids=x", 2, 0)
	f("/tasks?indexUids=x,y", 3, 1, 0)
	succeeded(t, c.do("PATCH", "/indexes/x", `{"primaryKey":"id"}`))
	succeeded(t, c.do("POST", "/swap-indexes", `[{"indexes":["y","z"]}]`))
	f("/tasks?indexUids=y", 2, 2)
	f("/tasks?indexUids=z", 3, 0)
	f("/batches?indexUids=y", 3, 1)
	f("/batches?indexUids=z", 2, 2)
	f("/tasks?types=indexSwap", 2, 5, 3)
	if task := c.do("DELETE", "/tasks?indexUids=z", ""); fmt.Sprint(task["details"].(map[string]any)["matchedTasks"]) != "1" {
		t.Errorf("a swap is of no index when tasks are deleted: %v", task)
	}
}
