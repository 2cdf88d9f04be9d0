package workers

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"miroir/fsm"
	"miroir/tasks"
)

// cancel does what a cancelation task is about: the nodes first, then the client tasks that no node has begun.
func (w *taskWatch) cancel(ctx context.Context, view *fsm.View, task *fsm.Task) bool {
	_, note := tasks.ReadNote(task.Details)
	uids, err := note.TaskSet()
	var open fsm.TaskList
	if err == nil {
		named := fsm.TaskFilter{UIDs: uids.ToArray(), Statuses: []string{fsm.StatusEnqueued, fsm.StatusProcessing}}
		open, err = w.opts.Cluster.Tasks().Tasks(named, fsm.TaskPage{Limit: math.MaxInt32})
	}
	if err != nil {
		w.opts.Logger.Error("tasks to cancel not read", "error", err)
		return false
	}
	shares := map[fsm.NodeID][]uint32{}
	for _, target := range open.Tasks {
		if target.Finished() {
			continue
		}
		for _, share := range target.NodeTasks {
			shares[share.Node] = append(shares[share.Node], share.UID)
		}
	}
	if !w.cancelOnNodes(ctx, shares) {
		return false // tried again at the next look
	}
	said := w.askNodes(ctx, view, open.Tasks)
	command := fsm.CancelTasks{Now: w.opts.Now(), TaskUID: task.UID, OriginalFilter: note.OriginalFilter, NumMatched: note.NumMatched, UIDs: fsm.TaskUIDs{}}
	for _, target := range open.Tasks {
		if !target.Finished() && untouched(target, said) {
			command.UIDs = append(command.UIDs, target.UID)
		}
	}
	if _, err := fsm.Do(ctx, w.opts.Cluster, command); err != nil {
		w.opts.Logger.Warn("cancelation not committed", "task_uid", task.UID, "error", err)
		return false
	}
	for _, target := range open.Tasks {
		if slices.Contains(command.UIDs, target.UID) {
			w.verifier.putBack(ctx, target)
		}
	}
	return true
}

// stopCrashing cancels writes that kill nodes wherever they are not done yet. It reports whether there was something to do.
func (w *taskWatch) stopCrashing(ctx context.Context, view *fsm.View, list []*fsm.Task, said answers) bool {
	for _, task := range w.crashes.note(list, said) {
		w.opts.Logger.Error("write stopped: nodes died while they processed it", "task_uid", task.UID, "index", task.IndexUID,
			"nodes", w.crashes.dead(task.UID))
	}
	shares := w.crashes.toCancel(list, said)
	if len(shares) == 0 || !w.cancelOnNodes(ctx, shares) {
		return false
	}
	for id, uids := range shares {
		for _, uid := range uids {
			w.crashes.obeyed[nodeUID{id, uid}] = true
		}
	}
	return true
}

// untouched reports that no node did anything of the task and none will.
func untouched(task *fsm.Task, said answers) bool {
	for _, share := range task.NodeTasks {
		answer, known := said.tasks[nodeTaskKey{task.UID, share.Node, share.UID}]
		if !known || answer.Status != fsm.StatusCanceled {
			return false
		}
	}
	return len(task.NodeTasks) > 0
}

// cancelOnNodes cancels node tasks on all nodes at once: the longer it takes, the more of them are done on one node and
// canceled on another. It reports whether every node has obeyed.
func (w *taskWatch) cancelOnNodes(ctx context.Context, shares map[fsm.NodeID][]uint32) bool {
	w.crashes.unsee()
	var failed atomic.Bool
	var asking sync.WaitGroup
	for id, uids := range shares {
		n := w.opts.Cluster.View().Nodes[id] // what the node is known to have had by now
		if n == nil {
			continue
		}
		asking.Go(func() {
			if err := w.cancelOn(ctx, n, uids); err != nil {
				w.opts.Logger.Warn("node tasks not canceled", "node_id", id, "error", err)
				failed.Store(true)
			}
		})
	}
	asking.Wait()
	return !failed.Load()
}

// cancelOn cancels tasks of a node. One that numbers the cancelation as it has numbered an earlier task has an older disk.
func (w *taskWatch) cancelOn(ctx context.Context, n *fsm.Node, uids []uint32) error {
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	uid, err := w.opts.Nodes.Get(n).CancelTasks(asking, uids)
	if uid >= 0 && uid <= n.LastTaskUID {
		err = errors.Join(err, w.opts.Coordinator.MarkDiskLost(ctx, n.ID, uid))
	}
	return err
}
