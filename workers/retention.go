package workers

import (
	"context"
	"time"

	"miroir/fsm"
)

// retention forgets finished tasks: those older than tasks.retention_days, and the oldest of more than tasks.max_tasks. A
// single server deletes its oldest 100,000 finished tasks when it has a million; here age comes first, so that what clients
// see does not depend on how much the others write. Nodes forget theirs by themselves, as single servers do.
type retention struct{ opts Options }

const (
	// retentionBatch is how many tasks one command forgets: few enough that a write behind it hardly waits.
	retentionBatch = 1000
	// retentionPause lets writes go first. The pace, 10,000 tasks a second, is above any rate at which they are made.
	retentionPause = 100 * time.Millisecond
)

// run forgets until ctx ends.
func (r *retention) run(ctx context.Context) {
	for {
		total, err := r.forget(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			r.opts.Logger.Warn("old tasks not forgotten", "error", err)
		case total > 0:
			r.opts.Logger.Info("old tasks forgotten", "tasks", total)
		}
		if !sleep(ctx, r.opts.RetentionInterval) {
			return
		}
	}
}

// forget forgets batch by batch what is to be forgotten now.
func (r *retention) forget(ctx context.Context) (total int, err error) {
	for {
		now, keep := r.opts.Now(), r.opts.Cluster.View().Config.Tasks
		var before time.Time
		if keep.RetentionDays > 0 {
			before = now.AddDate(0, 0, -keep.RetentionDays)
		}
		uids, err := r.opts.Cluster.Tasks().Outlived(before, keep.MaxTasks, retentionBatch)
		if err != nil || len(uids) == 0 {
			return total, err
		}
		result, err := fsm.Do(ctx, r.opts.Cluster, fsm.DeleteTasks{Now: now, UIDs: uids})
		total += result.NumTasks
		if err != nil || len(uids) < retentionBatch || !sleep(ctx, retentionPause) {
			return total, err
		}
	}
}
