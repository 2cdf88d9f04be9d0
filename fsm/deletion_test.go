package fsm

import (
	"encoding/json"
	"runtime"
	"testing"
	"time"
)

// endedTasks makes tasks that have ended, a multiple of 1000.
func (m *machine) endedTasks(n int) {
	for range n / 1000 {
		var batch []Command
		for range 1000 {
			batch = append(batch, BeginWrite{Now: m.tick(), Kind: "dumpCreation", Outcome: &Outcome{Status: StatusSucceeded}})
		}
		m.batch(batch)
		m.dropLog()
	}
}

// TestDeletionInSlices: a deletion of many tasks goes on where it was, after a restart too, and counts all of them in the end.
func TestDeletionInSlices(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 1, 1, SpreadAuto)
	const n = 3000
	m.endedTasks(n)
	var uids TaskUIDs
	for uid := range uint32(n) {
		uids = append(uids, uid)
	}
	deletion := do(m, BeginWrite{Now: m.tick(), Kind: "taskDeletion"}).TaskUID
	for from := 0; from < n; from += 1000 {
		done, err := m.fsm.Deletion(deletion)
		if from == 1000 {
			m.reopen()
		}
		if want := uids[from]; err != nil || from > 0 && done.Next != want || done.NumDeleted != from {
			t.Fatalf("after %d: %+v, %v", from, done, err)
		}
		do(m, DeleteTasks{Now: m.tick(), TaskUID: &deletion, UIDs: uids[from : from+1000], More: from+1000 < n, NumMatched: n + 7})
	}
	task, err := m.fsm.Task(deletion)
	var details bulkDetails
	if err != nil || task.Status != StatusSucceeded || json.Unmarshal(task.Details, &details) != nil || details.MatchedTasks != n+7 || *details.DeletedTasks != n {
		t.Errorf("%+v, %s, %v", task, task.Details, err)
	}
	if list, err := m.fsm.Tasks(TaskFilter{}, TaskPage{}); err != nil || list.Total != 1 {
		t.Errorf("%d tasks are left, %v", list.Total, err)
	}
	if done, err := m.fsm.Deletion(deletion); err != nil || done != (Deletion{}) {
		t.Errorf("the end leaves %+v, %v", done, err)
	}
}

// TestNamingManyTasksIsCheap: what a deletion is about is found without reading tasks, and one slice holds nobody up.
func TestNamingManyTasksIsCheap(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 1, 1, SpreadAuto)
	const n = 60_000
	m.endedTasks(n)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	count := 0
	if err := m.fsm.EachTaskUID(TaskFilter{Statuses: []string{StatusSucceeded}}, func(uint32) { count++ }); err != nil || count != n {
		t.Fatalf("%d tasks, %v", count, err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > n*4 {
		t.Errorf("naming %d tasks takes %d bytes", n, used)
	}
	deletion := do(m, BeginWrite{Now: m.tick(), Kind: "taskDeletion"}).TaskUID
	var slice TaskUIDs
	for uid := range uint32(1000) {
		slice = append(slice, uid)
	}
	started := time.Now()
	do(m, DeleteTasks{Now: m.tick(), TaskUID: &deletion, UIDs: slice, More: true})
	t.Logf("a slice took %v", time.Since(started))
}
