package fsm

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// manyTasks writes numTasks tasks over some indexes and kinds and takes most of them to an end.
func manyTasks(m *machine, numTasks int) {
	rng := rand.New(rand.NewPCG(3, 4))
	var batch []Command
	for n := range numTasks {
		uid := fmt.Sprintf("index%d", rng.IntN(5))
		kind := []string{"documentAdditionOrUpdate", "settingsUpdate", "documentDeletion"}[rng.IntN(3)]
		batch = append(batch, BeginWrite{Now: m.tick(), WriteID: m.writeID(), Kind: kind, IndexUID: &uid, Effect: Effect{CreateIndex: true}})
		if rng.IntN(4) > 0 {
			batch = append(batch, StartTasks{Now: m.tick(), TaskUIDs: TaskUIDs{uint32(n)}})
		}
		if rng.IntN(4) > 0 {
			status := []string{StatusSucceeded, StatusFailed}[rng.IntN(2)]
			batch = append(batch, FinishTask{Now: m.tick(), TaskUID: uint32(n), Status: status, IndexExists: true})
		}
		if rng.IntN(20) == 0 {
			batch = append(batch, DeleteTasks{Now: m.tick(), UIDs: TaskUIDs{uint32(rng.IntN(n + 1))}})
		}
		if len(batch) > 500 {
			m.batch(batch)
			batch = batch[:0]
		}
	}
	m.batch(batch)
}

// batch applies commands in one transaction; none may be refused.
func (m *machine) batch(commands []Command) {
	m.t.Helper()
	from := len(m.log)
	for _, c := range commands {
		m.entry(c)
	}
	for i, answer := range m.fsm.ApplyBatch(m.log[from:]) {
		if err, ok := answer.(error); ok {
			m.t.Fatalf("%T: %v", commands[i], err)
		}
	}
}

// naive tells whether a task passes a filter, the slow way.
func (f TaskFilter) naive(t *Task) bool {
	has := func(list []uint32, v *uint32) bool { return list == nil || v != nil && slices.Contains(list, *v) }
	within := func(at, after, before *time.Time) bool {
		return after == nil && before == nil || at != nil && (after == nil || at.After(*after)) && (before == nil || at.Before(*before))
	}
	return has(f.UIDs, &t.UID) && has(f.BatchUIDs, t.BatchUID) && has(f.CanceledBy, t.CanceledBy) &&
		(f.Statuses == nil || slices.Contains(f.Statuses, t.Status)) && (f.Kinds == nil || slices.Contains(f.Kinds, t.Kind)) &&
		(f.IndexUIDs == nil || t.IndexUID != nil && slices.Contains(f.IndexUIDs, *t.IndexUID)) &&
		within(&t.EnqueuedAt, f.AfterEnqueuedAt, f.BeforeEnqueuedAt) && within(t.StartedAt, f.AfterStartedAt, f.BeforeStartedAt) &&
		within(t.FinishedAt, f.AfterFinishedAt, f.BeforeFinishedAt) &&
		(f.AllowIndex == nil || t.IndexUID != nil && f.AllowIndex(*t.IndexUID)) && (f.Match == nil || f.Match(t))
}

func TestFiltersSelectWhatALoopWould(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 2, 1, SpreadAuto)
	manyTasks(m, 3000)
	all, err := m.fsm.Tasks(TaskFilter{}, TaskPage{Limit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	mid, late := all.Tasks[1500].EnqueuedAt, all.Tasks[300].EnqueuedAt
	filters := map[string]TaskFilter{
		"all": {}, "none": {Statuses: []string{}}, "unknown kind": {Kinds: []string{"x"}},
		"status": {Statuses: []string{StatusFailed}}, "two statuses": {Statuses: []string{StatusEnqueued, StatusProcessing}},
		"kind and index": {Kinds: []string{"settingsUpdate"}, IndexUIDs: []string{"index1", "index3"}},
		"uids":           {UIDs: []uint32{0, 1, 2, 1023, 1024, 1025, 99999}}, "batches": {BatchUIDs: []uint32{0, 5, 700, 99999}},
		"canceled by": {CanceledBy: []uint32{3}},
		"enqueued":    {AfterEnqueuedAt: &mid, BeforeEnqueuedAt: &late}, "started before": {BeforeStartedAt: &mid},
		"finished after": {AfterFinishedAt: &mid}, "year 1 and year 9999": {AfterStartedAt: ptr(time.Time{}), BeforeStartedAt: ptr(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))},
		"allowed": {AllowIndex: func(uid string) bool { return strings.HasSuffix(uid, "2") }},
		"match":   {Kinds: []string{"settingsUpdate"}, Match: func(t *Task) bool { return t.UID%7 == 0 }},
	}
	for name, filter := range filters {
		t.Run(name, func(t *testing.T) {
			var want []uint32
			for _, task := range all.Tasks {
				if filter.naive(task) {
					want = append(want, task.UID)
				}
			}
			checkPages(t, m, filter, want)
			slices.Reverse(want)
			if got, err := m.fsm.TaskUIDs(filter); err != nil || !slices.Equal(got, want) {
				t.Errorf("uids: %d, want %d, %v", len(got), len(want), err)
			}
			checkBatches(t, m, filter, all.Tasks)
		})
	}
}

// checkPages pages through both orders; want is newest first.
func checkPages(t *testing.T, m *machine, filter TaskFilter, want []uint32) {
	t.Helper()
	for _, reverse := range []bool{false, true} {
		var got []uint32
		page := TaskPage{Limit: 97, Reverse: reverse}
		for {
			list, err := m.fsm.Tasks(filter, page)
			if err != nil || list.Total != len(want) || len(list.Tasks) > 97 {
				t.Fatalf("total %d, want %d, %v", list.Total, len(want), err)
			}
			for _, task := range list.Tasks {
				got = append(got, task.UID)
			}
			if list.Next == nil {
				break
			}
			page.From = list.Next
		}
		if reverse {
			slices.Reverse(got)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
}

func checkBatches(t *testing.T, m *machine, filter TaskFilter, all []*Task) {
	t.Helper()
	want := map[uint32]bool{}
	for _, task := range all {
		if task.BatchUID != nil && filter.naive(task) {
			want[*task.BatchUID] = true
		}
	}
	list, err := m.fsm.Batches(filter, TaskPage{Limit: 10})
	if err != nil || list.Total != len(want) {
		t.Fatalf("%d batches, want %d, %v", list.Total, len(want), err)
	}
	for _, batch := range list.Batches {
		if !want[batch.UID] || len(batch.Tasks) == 0 {
			t.Fatalf("batch %+v", batch)
		}
	}
}

func TestTasksOfTwoIndexesNeedBothAllowed(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 1, 1, SpreadAuto)
	m.create("a")
	m.create("b")
	do(m, swap("a", "b"))
	for allowed, want := range map[string]int{"a": 1, "ab": 3} {
		list, err := m.fsm.Tasks(TaskFilter{AllowIndex: func(uid string) bool { return strings.Contains(allowed, uid) }}, TaskPage{Limit: 9})
		if err != nil || list.Total != want {
			t.Errorf("%s: %d tasks, want %d, %v", allowed, list.Total, want, err)
		}
	}
}

func TestDeletedTasksLeaveNothingBehind(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 1, 1, SpreadAuto)
	m.create("a")
	m.create("b")
	do(m, swap("a", "b"))
	uids, err := m.fsm.TaskUIDs(TaskFilter{})
	if err != nil {
		t.Fatal(err)
	}
	del := do(m, BeginWrite{Now: m.tick(), Kind: "taskDeletion"})
	got := do(m, DeleteTasks{Now: m.tick(), TaskUID: &del.TaskUID, UIDs: append(uids, del.TaskUID), OriginalFilter: "?uids=*"})
	if got.NumTasks != 3 || string(m.task(del.TaskUID).Details) != `{"matchedTasks":4,"deletedTasks":3,"originalFilter":"?uids=*"}` {
		t.Fatalf("deleted %+v: %s", got, m.task(del.TaskUID).Details)
	}
	do(m, DeleteTasks{Now: m.tick(), UIDs: TaskUIDs{del.TaskUID}})
	tx, err := m.fsm.db.Begin(false)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	for _, bucket := range [][]byte{bucketTasks, bucketOpen, bucketBits, bucketTimes, bucketBatches} {
		if k, _ := tx.Bucket(bucket).Cursor().First(); k != nil {
			t.Errorf("%s has a row %q", bucket, k)
		}
	}
	if len(m.fsm.View().flips) != 0 {
		t.Error("flips that concern no task are kept")
	}
}
