package fsm

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
)

// maxRunUIDs bounds how many task uids one command may name, so that a few bytes of runs cannot fill the memory.
const maxRunUIDs = 1 << 24

// MarshalJSON writes the set as [first, last] runs.
func (u TaskUIDs) MarshalJSON() ([]byte, error) {
	sorted := slices.Compact(slices.Sorted(slices.Values(u)))
	if len(sorted) > maxRunUIDs {
		return nil, fmt.Errorf("%d task uids are too many for one command, the limit is %d", len(sorted), maxRunUIDs)
	}
	runs := [][2]uint32{}
	for _, uid := range sorted {
		if n := len(runs); n > 0 && runs[n-1][1]+1 == uid {
			runs[n-1][1] = uid
		} else {
			runs = append(runs, [2]uint32{uid, uid})
		}
	}
	return json.Marshal(runs)
}

// UnmarshalJSON reads [first, last] runs.
func (u *TaskUIDs) UnmarshalJSON(data []byte) error {
	var runs [][2]uint32
	if err := json.Unmarshal(data, &runs); err != nil {
		return err
	}
	total := uint64(0)
	for _, run := range runs {
		if run[1] < run[0] {
			return fmt.Errorf("run of task uids %d to %d is empty", run[0], run[1])
		}
		total += uint64(run[1]-run[0]) + 1
	}
	if total > maxRunUIDs {
		return fmt.Errorf("%d task uids are too many for one command, the limit is %d", total, maxRunUIDs)
	}
	*u = make(TaskUIDs, 0, total)
	for _, run := range runs {
		for uid := uint64(run[0]); uid <= uint64(run[1]); uid++ {
			*u = append(*u, uint32(uid))
		}
	}
	return nil
}

// bulkDetails are Meilisearch's details of a cancelation or deletion of tasks.
type bulkDetails struct {
	MatchedTasks   int    `json:"matchedTasks"`
	CanceledTasks  *int   `json:"canceledTasks,omitempty"`
	DeletedTasks   *int   `json:"deletedTasks,omitempty"`
	OriginalFilter string `json:"originalFilter"`
}

// bulkTask returns the unfinished task a bulk command belongs to.
func (t *txn) bulkTask(uid uint32) (*Task, error) {
	task := t.task(uid)
	switch {
	case task == nil:
		return nil, refuse(CodeNotFound, "task %d does not exist", uid)
	case task.Finished() || task.Index != 0 || len(task.Effect.Swaps) > 0:
		return nil, refuse(CodeWrongState, "task %d is not an unfinished cancelation or deletion of tasks", uid)
	}
	return task, nil
}

func (c CancelTasks) apply(t *txn) (any, error) {
	task, err := t.bulkTask(c.TaskUID)
	if err != nil {
		return nil, err
	}
	if task.BatchUID == nil {
		old := *task
		task.BatchUID = t.newBatch()
		t.putTask(&old, task)
	}
	numCanceled := 0
	for _, uid := range c.UIDs {
		victim := t.task(uid)
		if victim == nil || victim.Finished() || uid == c.TaskUID || t.givenAway(victim) {
			continue
		}
		old := *victim
		victim.CanceledBy = &task.UID
		if victim.BatchUID == nil {
			victim.BatchUID = task.BatchUID
		}
		t.putTask(&old, victim)
		t.finish(victim, finish{Status: StatusCanceled, Now: c.Now})
		numCanceled++
	}
	details := bulkDetails{MatchedTasks: max(c.NumMatched, len(c.UIDs)), CanceledTasks: &numCanceled, OriginalFilter: c.OriginalFilter}
	t.closeTask(task, finish{Status: StatusSucceeded, Details: marshal(details), Now: c.Now})
	return TasksResult{NumTasks: numCanceled}, nil
}

func (c DeleteTasks) apply(t *txn) (any, error) {
	var task *Task
	if c.TaskUID != nil {
		var err error
		if task, err = t.bulkTask(*c.TaskUID); err != nil {
			return nil, err
		}
	}
	numDeleted := 0
	for _, uid := range c.UIDs {
		if victim := t.task(uid); victim != nil && victim.Finished() && (task != nil || !t.writing(uid)) {
			t.deleteTask(victim)
			numDeleted++
		}
	}
	t.pruneFlips()
	if task != nil {
		c.progress(t, task, numDeleted)
	}
	return TasksResult{NumTasks: numDeleted}, nil
}

// progress notes how far a deletion has come, or ends it.
func (c DeleteTasks) progress(t *txn, task *Task, numDeleted int) {
	var done Deletion
	t.get(bucketMeta, deletionKey(task.UID), &done)
	done.NumAsked, done.NumDeleted = done.NumAsked+len(c.UIDs), done.NumDeleted+numDeleted
	for _, uid := range c.UIDs {
		done.Next = max(done.Next, uid+1)
	}
	if c.More {
		t.put(bucketMeta, deletionKey(task.UID), done)
		return
	}
	details := bulkDetails{MatchedTasks: max(c.NumMatched, done.NumAsked), DeletedTasks: &done.NumDeleted, OriginalFilter: c.OriginalFilter}
	t.closeTask(task, finish{Status: StatusSucceeded, Details: marshal(details), Now: c.Now})
}

func deletionKey(uid uint32) []byte { return append(slices.Clone(rowDeletion), be32(uid)...) }

// writing reports that the write of a task is still open, as it can be when the task was canceled meanwhile.
func (t *txn) writing(uid uint32) bool { return t.tx.Bucket(bucketIntents).Get(be32(uid)) != nil }

// pruneFlips forgets the flips that no remaining task is older than.
func (t *txn) pruneFlips() {
	if len(t.view.flips) == 0 {
		return
	}
	oldest := t.view.counters.NextTaskUID
	if k, _ := t.tx.Bucket(bucketTasks).Cursor().First(); k != nil {
		oldest = binary.BigEndian.Uint32(k)
	}
	t.view.flips = slices.DeleteFunc(slices.Clone(t.view.flips), func(f flip) bool { return f.Task <= oldest })
	t.put(bucketMeta, rowFlips, t.view.flips)
}
