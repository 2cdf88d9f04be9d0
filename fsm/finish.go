package fsm

import "time"

// finish is how a task ends.
type finish struct {
	Status                string
	Details, Error        []byte // Details nil: as enqueued
	StartedAt, FinishedAt *time.Time
	Now                   time.Time
	IndexExists           bool // the index was created although the task failed
}

// finish ends a task and lets its effect become visible, or takes it back. It returns the flips that waited for it.
func (t *txn) finish(task *Task, end finish) (flipped []uint32) {
	if p, ok := t.pendingRename(task); ok {
		return t.finishRename(task, p, end)
	}
	t.closeTask(task, end)
	now := *task.FinishedAt
	if task.Index == 0 { // a flip that was canceled, or a task without effects
		if len(task.Effect.Swaps) == 0 {
			return nil
		}
		ids := t.removeFlip(task.UID)
		t.refoldRoutes()
		return t.settle(now, append(ids, t.waiting()...)...)
	}
	ix := t.view.Indexes[task.Index]
	if ix == nil {
		return nil
	}
	succeeded := end.Status == StatusSucceeded
	ids := []IndexID{ix.ID}
	if succeeded || end.IndexExists {
		t.succeed(ix.ID, task.UID, !succeeded)
	} else if t.fail(ix.ID, task.UID) {
		ids = append(ids, t.waiting()...)
	}
	if succeeded && !task.changesNothing() {
		t.editIndex(ix.ID).UpdatedAt = now
	}
	return t.settle(now, ids...)
}

// changesNothing reports an update of an index that gives it no primary key, and no name but its own.
func (t *Task) changesNothing() bool {
	return t.Kind == kindIndexUpdate && t.Effect.PrimaryKey == nil && len(t.Effect.Swaps) == 0
}

// pendingRename returns the pending change of a task that goes to nodes and renames its index.
func (t *txn) pendingRename(task *Task) (Pending, bool) {
	if ix := t.view.Indexes[task.Index]; ix != nil && len(task.Effect.Swaps) > 0 {
		if i := ix.pendingOf(task.UID); i >= 0 {
			return ix.Pending[i], true
		}
	}
	return Pending{}, false
}

// closeTask gives a task its final status.
func (t *txn) closeTask(task *Task, end finish) {
	old := *task
	now := t.clock(end.Now)
	task.Status, task.Error = end.Status, end.Error
	if end.Details != nil {
		task.Details = end.Details
	}
	task.FinishedAt = utcOr(end.FinishedAt, now)
	if task.StartedAt == nil || end.StartedAt != nil {
		task.StartedAt = utcOr(end.StartedAt, *task.FinishedAt)
	}
	if task.BatchUID == nil {
		task.BatchUID = t.newBatch()
	}
	t.view.counters.NumOpenTasks--
	t.finished[end.Status]++
	t.endSessionWrite(task)
	if task.Index != 0 {
		t.delete(bucketOpen, openKey(task.Index, task.UID))
	} else {
		t.delete(bucketMeta, deletionKey(task.UID))
	}
	t.putTask(&old, task)
}

func utcOr(at *time.Time, otherwise time.Time) *time.Time {
	if at != nil {
		otherwise = at.UTC()
	}
	return &otherwise
}

func (t *txn) newBatch() *uint32 {
	uid := t.view.counters.NextBatchUID
	t.view.counters.NextBatchUID++
	return &uid
}

func (c StartTasks) apply(t *txn) (any, error) {
	now := t.clock(c.Now)
	var result TasksResult
	for _, uid := range c.TaskUIDs {
		task := t.task(uid)
		if task == nil || task.Status != StatusEnqueued {
			continue
		}
		old := *task
		started := now
		task.Status, task.StartedAt, task.BatchUID = StatusProcessing, &started, t.newBatch()
		t.putTask(&old, task)
		result.NumTasks++
	}
	return result, nil
}

func (c FinishTask) apply(t *txn) (any, error) {
	task := t.task(c.TaskUID)
	switch {
	case task == nil:
		return nil, refuse(CodeNotFound, "task %d does not exist", c.TaskUID)
	case task.Finished() || t.awaitsName(task):
		return FinishTaskResult{Already: true}, nil
	case c.Status != StatusSucceeded && c.Status != StatusFailed && c.Status != StatusCanceled:
		return nil, refuse(CodeInvalid, "a task cannot end %q", c.Status)
	case (c.Status == StatusCanceled || c.Status == StatusFailed && task.Effect.DeleteIndex) && t.givenAway(task):
		return nil, refuse(CodeOperationBusy, "task %d cannot be taken back: later tasks use the names it frees", c.TaskUID)
	}
	var result FinishTaskResult
	if ix := t.view.Indexes[task.Index]; ix != nil {
		result.Stale = t.failNodes(ix, task.Shards, c.FailedNodes, c.Now)
	}
	if c.StaleOnly {
		return result, nil
	}
	if c.NodeTasks != nil {
		task.NodeTasks = c.NodeTasks
	}
	if ix := t.view.Indexes[task.Index]; ix != nil && task.Effect.DeleteIndex && c.Status == StatusSucceeded { // they are asked again
		for _, node := range c.FailedNodes {
			t.addLeftover(Leftover{Node: node, NodeUID: ix.NodeUID})
		}
	}
	result.Settled = t.finish(task, finish{
		Status: c.Status, Details: c.Details, Error: c.Error, StartedAt: c.StartedAt, FinishedAt: c.FinishedAt, Now: c.Now,
		IndexExists: c.IndexExists,
	})
	return result, nil
}

// failNodes makes the replicas of nodes stale that failed a task, wherever another replica in sync did not.
func (t *txn) failNodes(ix *Index, shards []ShardID, nodes []NodeID, now time.Time) (stale []ReplicaRef) {
	if len(nodes) == 0 {
		return nil
	}
	for _, slot := range ix.Slots(shards) {
		if !ix.hasInSync(ShardID(slot), nodes...) {
			continue
		}
		for _, g := range ix.groups() {
			for _, node := range nodes {
				ref := ReplicaRef{ix.ID, g, ShardID(slot), node}
				if t.makeStale(ref, now) {
					stale = append(stale, ref)
				}
			}
		}
	}
	return stale
}
