package fsm

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"
)

// outlived is Outlived the slow way.
func (m *machine) outlived(before time.Time, maxTasks int) []uint32 {
	all, err := m.fsm.Tasks(TaskFilter{}, TaskPage{Limit: math.MaxInt32, Reverse: true})
	intents, err2 := m.fsm.OpenIntents()
	if err := errors.Join(err, err2); err != nil {
		m.t.Fatal(err)
	}
	var old, rest []*Task
	for _, task := range all.Tasks {
		switch {
		case !task.Finished() || slices.ContainsFunc(intents, func(in *Intent) bool { return in.TaskUID == task.UID }):
		case task.FinishedAt.Before(before):
			old = append(old, task)
		default:
			rest = append(rest, task)
		}
	}
	slices.SortStableFunc(old, func(a, b *Task) int { return a.FinishedAt.Compare(*b.FinishedAt) })
	var uids []uint32
	for _, task := range old {
		uids = append(uids, task.UID)
	}
	for _, task := range rest {
		if maxTasks > 0 && all.Total-len(uids) > maxTasks {
			uids = append(uids, task.UID)
		}
	}
	return uids
}

func TestOutlivedTasks(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 2, 1, SpreadAuto)
	manyTasks(m, 3000)
	list, err := m.fsm.OpenIntents()
	if err != nil || len(list) != 3000 {
		t.Fatal(len(list), err)
	}
	var ends []Command
	for _, in := range list[:2500] { // the rest stay open, though most of their tasks are finished
		c := EndWrite{Now: m.tick(), WriteID: in.WriteID}
		for _, target := range in.Targets {
			c.Acks = append(c.Acks, Ack{Node: target.Node, NodeTaskUID: int64(in.TaskUID)})
		}
		ends = append(ends, c)
	}
	m.batch(ends)
	uids := m.uids()
	middle := m.task(uids[len(uids)/3]).EnqueuedAt
	for name, test := range map[string]struct {
		before   time.Time
		maxTasks int
	}{
		"none": {}, "by age": {before: middle}, "all by age": {before: m.now.Add(time.Hour)}, "by number": {maxTasks: 1000},
		"by number, none": {maxTasks: 1 << 20}, "both": {before: middle, maxTasks: 100}, "more than can go": {maxTasks: 1},
	} {
		t.Run(name, func(t *testing.T) {
			want := m.outlived(test.before, test.maxTasks)
			got, err := m.fsm.Outlived(test.before, test.maxTasks, math.MaxInt32)
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("%d tasks, want %d; %v", len(got), len(want), err)
			}
			some, err := m.fsm.Outlived(test.before, test.maxTasks, 10)
			if err != nil || !slices.Equal(some, want[:min(10, len(want))]) {
				t.Errorf("the first are %v, %v", some, err)
			}
		})
	}
}

// uids lists all tasks.
func (m *machine) uids() []uint32 {
	uids, err := m.fsm.TaskUIDs(TaskFilter{})
	if err != nil {
		m.t.Fatal(err)
	}
	return uids
}

// TestForgettingKeepsWhatIsNeeded: neither a command that names too much nor a task that was canceled while nodes got its
// write takes away what the end of the write needs.
func TestForgettingKeepsWhatIsNeeded(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 2, 1, SpreadAuto)
	m.create("a")
	open, openID := m.begin("a", "documentAdditionOrUpdate", Effect{})
	unfinished, id := m.begin("a", "documentAdditionOrUpdate", Effect{})
	m.ackAll(unfinished, id)
	m.finish(open.TaskUID, StatusCanceled)
	if got := do(m, DeleteTasks{Now: m.tick(), UIDs: m.uids()}); got.NumTasks != 1 {
		t.Errorf("%d tasks were forgotten, want that of the creation only", got.NumTasks)
	}
	m.ackAll(open, openID)
	if recorded := m.task(open.TaskUID).NodeTasks; len(recorded) == 0 {
		t.Error("the write's end found no task to record the nodes' tasks in")
	}
	if got := do(m, DeleteTasks{Now: m.tick(), UIDs: m.uids()}); got.NumTasks != 1 || !slices.Equal(m.uids(), []uint32{unfinished.TaskUID}) {
		t.Errorf("%d tasks were forgotten, %v are left", got.NumTasks, m.uids())
	}
}
