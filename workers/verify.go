package workers

import (
	"context"
	"errors"
	"slices"
	"sync"

	"miroir/fsm"
	"miroir/meili"
	"miroir/tasks"
)

// verifier reads settings back from the nodes once their tasks have succeeded, before the client's task does. A change
// that others follow is not verified: the last one is, for all.
type verifier struct {
	opts    Options
	poke    func()
	running sync.WaitGroup
	checks  map[uint32]*verification // by task uid; only the watch uses it
}

// verification is one change being verified. behind may be read once done is closed.
type verification struct {
	done   chan struct{}
	behind []fsm.NodeID // in the end they had other settings than the rest
}

func newVerifier(o Options, poke func()) *verifier {
	return &verifier{opts: o, poke: poke, checks: map[uint32]*verification{}}
}

// verified reports whether a task may end. Nodes that did not get its settings are then among result's FailedNodes.
func (v *verifier) verified(ctx context.Context, view *fsm.View, task *fsm.Task, result *tasks.Result) bool {
	if task.Kind != string(meili.TaskSettingsUpdate) || result.Status != fsm.StatusSucceeded {
		return true
	}
	check := v.checks[task.UID]
	if check == nil {
		nodes := v.nodesOf(view, task, result)
		if len(nodes) == 0 {
			return true
		}
		check = &verification{done: make(chan struct{})}
		v.checks[task.UID] = check
		index, uid := task.Index, task.UID
		v.running.Go(func() {
			check.behind = v.verify(ctx, index, uid, nodes)
			close(check.done)
			v.poke()
		})
	}
	select {
	case <-check.done:
	default:
		return false
	}
	if ctx.Err() != nil {
		return false // the next leader verifies it
	}
	result.FailedNodes = append(result.FailedNodes, check.behind...)
	slices.Sort(result.FailedNodes)
	result.FailedNodes = slices.Compact(result.FailedNodes)
	return true
}

// forget drops what is known of tasks; call it when none is open.
func (v *verifier) forget() { clear(v.checks) }

// nodesOf are the nodes to ask: those in sync whose task succeeded; none while later changes are open.
func (v *verifier) nodesOf(view *fsm.View, task *fsm.Task, result *tasks.Result) []fsm.NodeID {
	ix := view.Indexes[task.Index]
	if ix == nil || tasks.SettingsPending(ix, &task.UID) {
		return nil
	}
	return slices.DeleteFunc(tasks.SettingsNodes(view, ix), func(id fsm.NodeID) bool {
		return slices.Contains(result.FailedNodes, id) || !slices.ContainsFunc(result.NodeTasks, func(share fsm.NodeTask) bool {
			return share.Node == id && share.Status == fsm.StatusSucceeded
		})
	})
}

// verify asks nodes until they have what they must have, or retries are used up. It returns those that differ while
// another one does not. Nodes that do not answer are left to the drift check.
func (v *verifier) verify(ctx context.Context, index fsm.IndexID, task uint32, nodes []fsm.NodeID) (behind []fsm.NodeID) {
	ctx, cancel := context.WithTimeout(ctx, v.opts.Drift.configured(v.opts.Cluster.View()).VerifyTimeout)
	defer cancel()
	readers := make([]*settingsReader, len(nodes))
	var reading sync.WaitGroup
	for i, id := range nodes {
		readers[i] = &settingsReader{opts: v.opts, index: index, node: id, task: &task}
		reading.Go(func() { readers[i].readUntilEqual(ctx) })
	}
	reading.Wait()
	if ix := v.opts.Cluster.View().Indexes[index]; ix != nil && ix.Frozen != nil || slices.ContainsFunc(readers, (*settingsReader).differs) {
		v.opts.drift.hasten(index)
	}
	if !slices.ContainsFunc(readers, func(r *settingsReader) bool { return r.last != nil && r.last.Equal() }) {
		return nil
	}
	for _, r := range readers {
		if r.differs() {
			behind = append(behind, r.node)
		}
	}
	return behind
}

// putBack sees to it that no node keeps anything of a change of settings that did not happen. One that failed it may have done the
// request before the last one of its share, and one that did it may fail to undo it.
func (v *verifier) putBack(ctx context.Context, task *fsm.Task) {
	view := v.opts.Cluster.View()
	ix := view.Indexes[task.Index]
	if ix == nil || task.Kind != string(meili.TaskSettingsUpdate) {
		return
	}
	limit := v.opts.Drift.configured(view).VerifyTimeout
	for _, id := range tasks.SettingsNodes(view, ix) {
		v.running.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			(&settingsReader{opts: v.opts, index: ix.ID, node: id}).putBack(ctx)
		})
	}
}

// maxPutBackLast bounds the changes that did not happen under earlier leaders which a new one looks at.
const maxPutBackLast = 100

// putBackLast looks after the changes of settings that last failed: the leader they failed under may have died before it undid them.
func (v *verifier) putBackLast(ctx context.Context) {
	if !v.opts.Cluster.View().Config.SettingsDrift.AutoRepair {
		return // what differs may be meant to
	}
	failed := fsm.TaskFilter{Kinds: []string{string(meili.TaskSettingsUpdate)}, Statuses: []string{fsm.StatusFailed, fsm.StatusCanceled}}
	list, err := v.opts.Cluster.Tasks().Tasks(failed, fsm.TaskPage{Limit: maxPutBackLast})
	if err != nil {
		v.opts.Logger.Error("failed changes of settings not read", "error", err)
		return
	}
	seen := map[fsm.IndexID]bool{}
	for _, task := range list.Tasks {
		if len(task.NodeTasks) > 0 && !seen[task.Index] {
			seen[task.Index] = true
			v.putBack(ctx, task)
		}
	}
}

// settingsReader compares one node's settings of an index with those of the log.
type settingsReader struct {
	opts  Options
	index fsm.IndexID
	node  fsm.NodeID
	task  *uint32              // whose change is verified, nil for none
	last  *tasks.SettingsCheck // nil: nothing can be said
}

// differs reports that the node has the index with other settings.
func (r *settingsReader) differs() bool { return r.last != nil && !r.last.Missing() && !r.last.Equal() }

// read asks the node once.
func (r *settingsReader) read(ctx context.Context) {
	before := r.last
	check, err := r.opts.Coordinator.CheckSettings(ctx, r.index, r.node)
	r.last = check
	switch {
	case errors.Is(err, tasks.ErrSettingsMove):
	case err != nil:
		r.opts.Logger.Debug("settings not read back", "node_id", r.node, "error", err)
	case before != nil && before.NextVersion != check.NextVersion:
		r.last = nil // somebody else's change
	}
}

// readUntilEqual asks again, after longer and longer pauses, while the node has other settings. A node that still works
// on settings in the end is left alone.
func (r *settingsReader) readUntilEqual(ctx context.Context) {
	pause := r.opts.Drift.Backoff
	r.read(ctx)
	for range r.opts.Drift.configured(r.opts.Cluster.View()).Retries {
		if !r.differs() || !sleep(ctx, pause) {
			break
		}
		pause *= 2
		r.read(ctx)
	}
	if !r.differs() {
		return
	}
	if r.busy(ctx) {
		r.last = nil
		return
	}
	if r.read(ctx); r.differs() { // what it was busy with may have ended since it was read
		r.report()
	}
}

// maxPutBacks bounds how often a node is sent the settings that it must have, after a change that did not happen.
const maxPutBacks = 10

// putBack reads until the node has the settings it must have, and sends them while it does not, until ctx ends.
func (r *settingsReader) putBack(ctx context.Context) {
	pause := r.opts.Drift.Backoff
	for sent := 0; sent < maxPutBacks; pause = min(2*pause, askTimeout) {
		ix := r.opts.Cluster.View().Indexes[r.index]
		if ix == nil || ix.Deleting {
			return
		}
		if !tasks.SettingsPending(ix, nil) {
			r.read(ctx)
			switch {
			case r.last == nil: // asked again
			case !r.differs():
				return
			case !r.busy(ctx):
				sent++
				if err := r.opts.Coordinator.RepairSettings(ctx, r.index, r.node, r.last); err != nil {
					r.opts.Logger.Debug("settings of a failed change not put back", "node_id", r.node, "index_id", r.index, "error", err)
				}
			}
		}
		if !sleep(ctx, pause) {
			return
		}
	}
}

// busy reports that the node has, or may have, unfinished tasks of the index's settings, or is still to be sent a later change than
// the one that is verified.
func (r *settingsReader) busy(ctx context.Context) bool {
	view := r.opts.Cluster.View()
	ix, client := view.Indexes[r.index], r.opts.Nodes.Client(view, r.node)
	if ix == nil || client == nil || r.task != nil && tasks.SettingsPending(ix, r.task) {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	busy, err := client.HasOpenSettings(ctx, ix.NodeUID)
	return err != nil || busy
}

// report counts and logs that the node's settings differ.
func (r *settingsReader) report() {
	r.opts.Drift.meter.mismatches.Inc()
	r.opts.Logger.Warn("node has other settings than the cluster", "node_id", r.node, "index_id", r.index,
		"settings", r.last.Differing, "fingerprint", r.last.Fingerprint, "want", r.last.Want)
}
