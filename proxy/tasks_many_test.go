package proxy

import (
	"errors"
	"fmt"
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
	const n = 30_000
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
