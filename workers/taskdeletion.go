package workers

import (
	"context"
	"time"

	"miroir/fsm"
	"miroir/tasks"
)

// Bounds of a deletion of tasks: how many one command deletes, and how long one look may be about it, so that other tasks
// go on meanwhile. A million tasks take half a minute to a minute.
const (
	deletionSlice = 1000
	deletionTime  = 200 * time.Millisecond
)

// delete does what a deletion task is about, slice by slice. A new leader goes on where the last one was.
func (w *taskWatch) delete(ctx context.Context, task *fsm.Task) (done bool) {
	_, note := tasks.ReadNote(task.Details)
	if note.After != nil {
		if before, err := w.opts.Cluster.Tasks().Task(*note.After); err == nil && !before.Finished() {
			return false
		}
	}
	done, err := w.deleteSlices(ctx, task, &note)
	if err != nil {
		w.opts.Logger.Warn("deletion of tasks not committed", "task_uid", task.UID, "error", err)
	}
	return done
}

func (w *taskWatch) deleteSlices(ctx context.Context, task *fsm.Task, note *tasks.Note) (done bool, err error) {
	all, err := note.TaskSet()
	if err != nil {
		return false, err
	}
	reached, err := w.opts.Cluster.Tasks().Deletion(task.UID)
	if err != nil {
		return false, err
	}
	rest := all.Iterator()
	rest.AdvanceIfNeeded(reached.Next)
	for began := w.opts.Now(); w.opts.Now().Sub(began) < deletionTime; {
		command := fsm.DeleteTasks{Now: w.opts.Now(), TaskUID: &task.UID, UIDs: fsm.TaskUIDs{}, NumMatched: note.NumMatched, OriginalFilter: note.OriginalFilter}
		for rest.HasNext() && len(command.UIDs) < deletionSlice {
			command.UIDs = append(command.UIDs, rest.Next())
		}
		command.More = rest.HasNext()
		if _, err := fsm.Do(ctx, w.opts.Cluster, command); err != nil {
			return false, err
		}
		w.goesOn = command.More
		if !command.More {
			return true, nil
		}
	}
	return false, nil
}
