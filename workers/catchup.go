package workers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"

	"miroir/catchup"
	"miroir/fsm"
	"miroir/proxy/node"
	"miroir/tasks"
)

// errCannotCatchUp says that replaying what a node missed would not make it equal: its shards are copied.
var errCannotCatchUp = errors.New("the node cannot catch up")

// errSuspected says that a node died of a write that the target missed: nobody gets it before its task has ended.
var errSuspected = errors.New("a node died of a write to be replayed")

// catchUp sends the target what it missed, in order, and makes its replicas active under the same rules as a copy. done
// is false when there is nothing to replay or replaying is out of the question; the log is dropped then. An error means
// that the node went away again or must wait: the next attempt goes on where this one stopped.
func (a *attempt) catchUp(ctx context.Context) (done bool, err error) {
	log := a.opts.Coordinator.MissedWrites(a.job.key.index, a.job.key.node)
	if log == nil {
		return false, nil
	}
	r := &replay{attempt: a, log: log}
	err = r.run(ctx)
	switch {
	case err == nil:
		a.noteSynced()
		return true, nil
	case ctx.Err() != nil, node.OutcomeOf(err) != 0, errors.Is(err, errSuspected):
		return false, err
	}
	log.Drop(err.Error())
	return false, nil
}

// replay is the catching up of one node with one index. It holds two things true: what the node has of the index is a
// prefix of the index's writes, and it gets nothing of the index from anybody else until the flip.
type replay struct {
	*attempt
	log *catchup.Log
	// has are the write ids of the tasks that the node got since the log began: the answer to some was lost.
	has map[string]bool
}

func (r *replay) run(ctx context.Context) error {
	if err := r.complete(); err != nil {
		return err
	}
	if err := r.intact(ctx); err != nil {
		return err
	}
	for round := 0; ; round++ {
		if err := r.send(ctx); err != nil {
			return err
		}
		if err := r.target.settle(ctx); err != nil {
			return err
		}
		err := r.flip(ctx)
		if !errors.Is(err, errAgain) || ctx.Err() != nil {
			return err
		}
		if round == maxRounds {
			return fmt.Errorf("%w: %w", errCannotCatchUp, err)
		}
		if !sleep(ctx, time.Duration(min(round, 20))*50*time.Millisecond) {
			return ctx.Err()
		}
	}
}

// complete makes sure that the log has all that every replica of the job misses.
func (r *replay) complete() error {
	ix := r.opts.Cluster.View().Indexes[r.job.key.index]
	if ix == nil || ix.Deleting || ix.Whole() != r.whole {
		return errVoid
	}
	for _, s := range r.slots {
		if replica := r.replica(ix, s); replica.State != fsm.Stale || !r.log.Covers(r.ref(s), replica.Epoch) {
			return fmt.Errorf("%w: shard %d missed more than what was kept", errCannotCatchUp, s.shard)
		}
	}
	return nil
}

// intact makes sure that the node has its disk and that nobody else wrote to the index there: the tasks it got since the
// log began are Miroir's document writes.
func (r *replay) intact(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, r.repair.RequestTimeout)
	defer cancel()
	newest, err := r.target.client.NewestTask(asking)
	if err != nil {
		return err
	}
	if newest < r.log.Base() {
		return fmt.Errorf("%w: its newest task is %d and was %d", errCannotCatchUp, newest, r.log.Base())
	}
	r.has = map[string]bool{}
	return r.target.client.EachTask(asking, r.target.index, r.log.Base(), func(task *node.Task) error {
		if task.CustomMetadata == "" || task.IsForeign() {
			return fmt.Errorf("%w: it has task %d of the index, which is no write of ours", errCannotCatchUp, task.UID)
		}
		r.has[task.CustomMetadata] = true
		return nil
	})
}

// send replays the entries that are left, up to the first whose write is open: should it not happen, the node must not have
// it, for other shards of the index may be in sync there and be read.
func (r *replay) send(ctx context.Context) error {
	for ctx.Err() == nil {
		entry, err := r.log.Next()
		if err != nil || entry == nil {
			return err
		}
		if open, err := r.isOpen(entry.Write); err != nil || open {
			return err
		}
		task, err := r.task(entry.TaskUID)
		if err != nil {
			return err
		}
		if !task.Finished() && r.opts.crashes.suspected(task.UID) {
			return fmt.Errorf("%w: task %d", errSuspected, task.UID)
		}
		happened, err := r.happened(task)
		if err != nil {
			return err
		}
		has := r.has[string(entry.Write)]
		if has && !happened {
			return fmt.Errorf("%w: it has task %d, which no other node did", errCannotCatchUp, task.UID)
		}
		wanted := happened && !has
		if wanted {
			if err := r.sendEntry(ctx, entry); err != nil {
				return err
			}
		}
		r.log.Done(entry, wanted, happened && !task.Finished())
	}
	return ctx.Err()
}

// isOpen reports that nobody knows yet whether a write happened.
func (r *replay) isOpen(write fsm.WriteID) (bool, error) {
	if r.opts.Cluster.View().NumOpenIntents == 0 {
		return false, nil
	}
	intents, err := r.opts.Cluster.Tasks().OpenIntents()
	return slices.ContainsFunc(intents, func(in *fsm.Intent) bool { return in.WriteID == write }), err
}

// task is a client's task as the state has it now.
func (r *replay) task(uid uint32) (*fsm.Task, error) {
	task, err := r.opts.Cluster.Tasks().Task(uid)
	if errors.Is(err, fsm.ErrNotFound) {
		return nil, fmt.Errorf("%w: nobody knows task %d any more", errCannotCatchUp, uid)
	}
	return task, err
}

// happened reports whether the other nodes did a task, as far as it has come: one that was canceled, or failed everywhere,
// they did not. What some did and others did not cannot be told from here.
func (r *replay) happened(task *fsm.Task) (bool, error) {
	if task.Status != fsm.StatusFailed && task.Status != fsm.StatusCanceled {
		return true, nil
	}
	if slices.ContainsFunc(task.NodeTasks, func(share fsm.NodeTask) bool {
		return share.Node != r.job.key.node && share.Status != task.Status
	}) {
		return false, fmt.Errorf("%w: task %d did not end the same everywhere", errCannotCatchUp, task.UID)
	}
	return false, nil
}

// sendEntry sends one entry. A marked request whose answer was lost is looked for before anything else is sent.
func (r *replay) sendEntry(ctx context.Context, entry *catchup.Entry) error {
	for _, step := range entry.Steps {
		err := r.target.send(ctx, step.Request, nil)
		if outcome := node.OutcomeOf(err); step.Marked && (outcome == node.Unknown || outcome == node.Canceled) {
			found, lookErr := r.target.findLate(ctx, entry.Write, entry.BeganAt)
			if lookErr == nil && found != nil {
				err = nil
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// flip holds the writes, replays what came meanwhile, compares and makes the replicas active. errAgain: the writes were
// held as long as they may be.
func (r *replay) flip(ctx context.Context) error {
	r.job.finish(true)
	defer r.job.finish(false)
	err := r.opts.Coordinator.HoldIndex(ctx, r.job.key.index, r.repair.MaxHold, func(holding context.Context) error {
		held := time.Now()
		defer func() { r.meter.held.UpdateDuration(held) }()
		err := r.conclude(holding)
		if err != nil && holding.Err() != nil {
			err = fmt.Errorf("%w: %w", errAgain, err)
		}
		return err
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return fmt.Errorf("%w: %w", errAgain, err)
	}
	return err
}

// conclude is the end of a replay, while no write begins and none is open.
func (r *replay) conclude(ctx context.Context) error {
	if err := r.send(ctx); err != nil {
		return err
	}
	if err := r.target.settle(ctx); err != nil {
		return err
	}
	if err := r.succeeded(ctx); err != nil {
		return err
	}
	if err := r.complete(); err != nil {
		return err
	}
	if err := r.check(ctx, tasks.Touched{}); err != nil {
		return err
	}
	if err := r.agrees(ctx); err != nil {
		return err
	}
	if err := r.joinHeld(ctx); err != nil {
		return err
	}
	if err := r.activate(ctx); err != nil {
		return err
	}
	r.log.Drop("the node has caught up")
	return nil
}

// succeeded fails when the node failed a task that it got since the log began.
func (r *replay) succeeded(ctx context.Context) error {
	failed := url.Values{"statuses": {"failed,canceled"}}
	newest, err := r.target.taskUID(ctx, failed)
	if err == nil && newest > r.log.Base() {
		err = fmt.Errorf("%w: it failed task %d", errCannotCatchUp, newest)
	}
	return err
}

// agrees fails when the node did a task that the others did not do, or did not do one that they did. Nobody waits for the share
// of a node that is out of sync, and it makes nothing stale any more: that of a task which was open when the log began, or when
// the node was given it. Call it after check: of a task that is open now the sources have done their share.
func (r *replay) agrees(ctx context.Context) error {
	for _, uid := range r.log.Early() {
		task, err := r.task(uid)
		if err != nil {
			return err
		}
		happened, err := r.happened(task)
		if err != nil {
			return err
		}
		if !happened {
			return fmt.Errorf("%w: it has done task %d, which no other node did", errCannotCatchUp, uid)
		}
	}
	happened := map[uint32]bool{} // by the uid of the node's share
	for _, uid := range r.log.Open() {
		task, err := r.task(uid)
		if err != nil {
			return err
		}
		for _, share := range task.NodeTasks {
			if share.Node != r.job.key.node {
				continue
			}
			if happened[share.UID], err = r.happened(task); err != nil {
				return err
			}
		}
	}
	list, err := r.target.tasks(ctx, slices.Collect(maps.Keys(happened)))
	if err != nil {
		return err
	}
	for _, task := range list {
		if happened[task.UID] == (task.Status == fsm.StatusSucceeded) {
			delete(happened, task.UID)
		}
	}
	if len(happened) > 0 {
		return fmt.Errorf("%w: its tasks %v did not end as those of other nodes", errCannotCatchUp, slices.Sorted(maps.Keys(happened)))
	}
	return nil
}
