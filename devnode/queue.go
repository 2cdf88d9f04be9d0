package devnode

import (
	"cmp"
	"context"
	"slices"
	"time"

	"miroir/meili"
)

// work processes tasks, one at a time, until the context ends.
func (n *Node) work(ctx context.Context) {
	for {
		for ctx.Err() == nil && n.step(ctx) {
		}
		select {
		case <-ctx.Done():
			return
		case <-n.wake:
		}
	}
}

// step processes the next task; it returns false when there is none or the queue is held.
func (n *Node) step(ctx context.Context) bool {
	n.mu.Lock()
	held := n.paused || n.stopped || n.frozen != nil
	s, delay, crashOn, failTask := n.store, n.taskDelay, n.crashOn, n.failTask
	n.mu.Unlock()
	if held {
		return false
	}
	t, b := s.begin()
	if t == nil {
		return false
	}
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	if crashOn != nil && slices.ContainsFunc(t.payload, crashOn) {
		s.unbegin(t)
		n.Stop()
		return false
	}
	j := &job{store: s, task: t, uid: t.uid, index: b.index}
	if failTask != nil {
		if err := failTask(t.kind); err != nil {
			s.finish(j, b, nil, err)
			return true
		}
	}
	details, err := t.work(j)
	s.finish(j, b, details, err)
	return true
}

// priorities order the kinds that overtake others (index-scheduler, create_batch.rs); the kinds not listed share the last
// place and go by age.
var priorities = []meili.TaskKind{
	meili.TaskTaskCancelation, meili.TaskTaskDeletion, meili.TaskIndexCompaction, meili.TaskExport,
	meili.TaskSnapshotCreation, meili.TaskDumpCreation,
}

func priority(t *task) int {
	if i := slices.Index(priorities, t.kind); i >= 0 {
		return i
	}
	return len(priorities)
}

// begin takes the next task into a new batch; nil when nothing is enqueued.
func (s *store) begin() (*task, *batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var next *task
	for _, t := range s.pending {
		newestFirst := t.kind == meili.TaskTaskCancelation
		if next == nil || priority(t) < priority(next) || newestFirst && priority(t) == priority(next) {
			next = t
		}
	}
	if next == nil {
		return nil, nil
	}
	s.settle(next)
	now := s.options.now()
	b := &batch{uid: s.nextBatch, tasks: []uint32{next.uid}, startedAt: now, strategy: meili.BatchStrategy(next.kind, next.uid)}
	if next.indexUID != nil {
		b.index = *next.indexUID
	}
	s.nextBatch++
	s.batches = append(s.batches, b)
	next.status, next.startedAt, next.batchUID = meili.TaskProcessing, &now, &b.uid
	return next, b
}

// unbegin puts the task of the last batch back: the process died over it.
func (s *store) unbegin(t *task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches = s.batches[:len(s.batches)-1]
	s.nextBatch--
	t.status, t.startedAt, t.batchUID = meili.TaskEnqueued, nil, nil
	s.pending = slices.Insert(s.pending, 0, t)
}

// settle takes a task out of those that wait. Call with mu held.
func (s *store) settle(t *task) {
	s.pending = slices.DeleteFunc(s.pending, func(other *task) bool { return other == t })
}

// finish records how a task ended, and its batch with it.
func (s *store) finish(j *job, b *batch, details object, err *meili.Error) {
	t := j.task
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.options.now()
	t.finishedAt, t.err = &now, err
	if err != nil {
		t.status, t.details = meili.TaskFailed, t.details.failed()
	} else {
		t.status = meili.TaskSucceeded
		if details != nil {
			t.details = details
		}
	}
	b.finishedAt = &now
	b.close(j, s.members(b))
}

// cancel ends enqueued tasks on behalf of a cancelation task and returns how many there were. They join its batch.
func (j *job) cancel(uids []uint32) int {
	s := j.store
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.batches[len(s.batches)-1]
	count := 0
	now := s.options.now()
	for _, uid := range uids {
		t := s.task(uid)
		if t == nil || t.status != meili.TaskEnqueued || uid >= j.uid {
			continue
		}
		s.settle(t)
		t.status, t.canceledBy, t.batchUID = meili.TaskCanceled, &j.task.uid, &b.uid
		t.startedAt, t.finishedAt = &b.startedAt, &now
		if t.details != nil {
			t.details = t.details.failed()
		}
		b.tasks = append(b.tasks, uid)
		count++
	}
	slices.Sort(b.tasks)
	return count
}

// remove forgets finished tasks and the batches that have none left; it returns how many tasks there were.
func (j *job) remove(uids []uint32) int {
	s := j.store
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.tasks)
	s.tasks = slices.DeleteFunc(s.tasks, func(t *task) bool { return t.finished() && slices.Contains(uids, t.uid) })
	s.batches = slices.DeleteFunc(s.batches, func(b *batch) bool { return len(s.members(b)) == 0 })
	return before - len(s.tasks)
}

// task returns a task, nil when it does not exist. Call with mu held.
func (s *store) task(uid uint32) *task {
	i, found := slices.BinarySearchFunc(s.tasks, uid, func(t *task, uid uint32) int { return cmp.Compare(t.uid, uid) })
	if !found {
		return nil
	}
	return s.tasks[i]
}

// members returns the tasks of a batch that still exist, oldest first. Call with mu held.
func (s *store) members(b *batch) []*task {
	var tasks []*task
	for _, uid := range b.tasks {
		if t := s.task(uid); t != nil {
			tasks = append(tasks, t)
		}
	}
	return tasks
}

// isWithin tells whether a moment is strictly between two optional bounds.
func isWithin(at *time.Time, after, before *time.Time) bool {
	if after == nil && before == nil {
		return true
	}
	return at != nil && (after == nil || at.After(*after)) && (before == nil || at.Before(*before))
}
