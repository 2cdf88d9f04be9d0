package workers

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"miroir/fsm"
)

// rebalancer brings the placement to where nodes, groups and the replication factor want it. It runs on the leader and
// decides by committed states only: it has replicas join, which the repairer fills and activates, takes surplus ones out
// of service and deletes their documents. What it keeps in memory only saves work; a new leader plans afresh.
type rebalancer struct {
	opts   Options
	repair *Repair
	bells  moveBells
	meter  rebalanceMeter

	settled map[fsm.IndexID]*fsm.Index // indexes that needed nothing when planned by basis
	basis   basis
	growth  growth

	purges  sync.WaitGroup
	mu      sync.Mutex
	purging map[jobKey]bool              // guarded by mu
	leaving map[fsm.ReplicaRef]time.Time // guarded by mu: since when all pods know that a replica is not read
}

type rebalanceMeter struct {
	active   *metrics.Gauge
	purged   *metrics.Counter
	duration *metrics.PrometheusHistogram
	since    time.Time // when the moves in progress began, zero when there are none
}

func newRebalancer(o Options, bells moveBells) *rebalancer {
	set := o.Repair.Metrics
	r := &rebalancer{opts: o, repair: o.Repair, bells: bells, purging: map[jobKey]bool{}, leaving: map[fsm.ReplicaRef]time.Time{}, meter: rebalanceMeter{
		active:   set.GetOrCreateGauge("miroir_rebalance_in_progress", nil),
		purged:   set.GetOrCreateCounter("miroir_rebalance_replicas_removed_total"),
		duration: set.GetOrCreatePrometheusHistogramExt("miroir_rebalance_duration_seconds", metrics.ExponentialBuckets(1, 2, 16)),
	}}
	r.growth = growth{opts: o, expand: r.expand, seen: map[fsm.IndexID]growthCheck{}}
	return r
}

// run plans and carries out until ctx ends.
func (r *rebalancer) run(ctx context.Context) {
	for {
		r.turn(ctx)
		if !r.bells.rebalance.wait(ctx, r.repair.Interval) {
			r.purges.Wait()
			r.meter.active.Set(0)
			return
		}
	}
}

// basis is what the plan of every index goes by. While it stays, only indexes that changed are planned again.
type basis struct {
	config    fsm.Config
	rebalance fsm.RebalanceState
	groups    []fsm.Group
	states    map[fsm.NodeID]fsm.NodeState
	targets   map[fsm.GroupID][]fsm.NodeID // time alone changes them: a failed node is not waited for for ever
}

func basisOf(view *fsm.View, planner *fsm.Planner) basis {
	b := basis{config: view.Config, rebalance: view.Rebalance, states: map[fsm.NodeID]fsm.NodeState{}, targets: map[fsm.GroupID][]fsm.NodeID{}}
	for id, n := range view.Nodes {
		b.states[id] = n.State
	}
	for _, g := range view.Groups {
		b.groups, b.targets[g.ID] = append(b.groups, *g), planner.Nodes(g.ID)
	}
	return b
}

func (b basis) equal(other basis) bool {
	return b.config == other.config && b.rebalance == other.rebalance && slices.Equal(b.groups, other.groups) &&
		maps.Equal(b.states, other.states) && maps.EqualFunc(b.targets, other.targets, slices.Equal)
}

// turn does what is possible now.
func (r *rebalancer) turn(ctx context.Context) {
	view, now := r.opts.Cluster.View(), r.opts.Now()
	planner := view.Planner(now)
	if basis := basisOf(view, planner); !basis.equal(r.basis) {
		r.settled, r.basis = nil, basis
	}
	moves := planner.Plan(func(ix *fsm.Index) bool { return r.settled[ix.ID] == ix })
	r.settle(view, moves)
	r.measure(moves, now)
	r.change(ctx, moves, view)
	for _, step := range moves.Steps {
		if step.Kind == fsm.StepExpand {
			r.expand(ctx, step.Index)
		}
	}
	r.purge(ctx, moves, view)
	r.advance(ctx, view, moves)
	r.growth.look(ctx, view)
}

// settle notes the indexes that need nothing.
func (r *rebalancer) settle(view *fsm.View, moves *fsm.Moves) {
	if moves.NumSteps > len(moves.Steps) {
		return // the plan does not name all that need something
	}
	unsettled := map[fsm.IndexID]bool{}
	for _, step := range moves.Steps {
		unsettled[step.Index] = true
	}
	for _, ref := range moves.Filling {
		unsettled[ref.Index] = true
	}
	for _, ref := range moves.Waiting {
		unsettled[ref.Index] = true
	}
	r.settled = make(map[fsm.IndexID]*fsm.Index, len(view.Indexes))
	for id, ix := range view.Indexes {
		if !unsettled[id] {
			r.settled[id] = ix
		}
	}
}

func (r *rebalancer) measure(moves *fsm.Moves, now time.Time) {
	busy := moves.NumSteps+len(moves.Filling) > 0
	switch {
	case busy && r.meter.since.IsZero():
		r.meter.since = now
		r.meter.active.Set(1)
	case !busy && !r.meter.since.IsZero():
		r.meter.duration.Update(now.Sub(r.meter.since).Seconds())
		r.meter.since = time.Time{}
		r.meter.active.Set(0)
	}
}

// change commits what needs no node: replicas that return, retire, and as many that join as may be filled at once. Those of
// a new group all join at once: it is not read before it has everything, and gets all writes from the start. So do those of an index
// that one node has all of.
func (r *rebalancer) change(ctx context.Context, moves *fsm.Moves, view *fsm.View) {
	limit, filling := r.repair.configured(view).MaxConcurrent, map[fsm.ReplicaRef]bool{}
	for _, ref := range moves.Filling {
		filling[moveOf(view, ref)] = true
	}
	changes := map[fsm.IndexID][]fsm.ReplicaChange{}
	for _, step := range moves.Steps {
		change := fsm.ReplicaChange{ReplicaRef: step.ReplicaRef, From: step.From}
		switch step.Kind {
		case fsm.StepJoin:
			g, move := view.Group(step.Group), moveOf(view, step.ReplicaRef)
			isFull := len(filling) >= limit && !filling[move] && (g == nil || g.State != fsm.GroupInitializing)
			if isFull || view.Rebalance != fsm.RebalanceOn {
				continue
			}
			filling[move] = true
			change.To = fsm.Stale // the repair makes the index on the node before the first write goes there
		case fsm.StepReturn:
			change.To = fsm.Stale
		case fsm.StepRetire:
			change.To = fsm.Leaving
		default:
			continue
		}
		changes[step.Index] = append(changes[step.Index], change)
	}
	for _, index := range slices.Sorted(maps.Keys(changes)) {
		if err := r.mark(ctx, index, changes[index]); err != nil && ctx.Err() == nil {
			r.opts.Logger.Warn("replicas not moved", "index_id", index, "error", err)
		}
	}
	if len(changes) > 0 {
		r.bells.repair.ring()
	}
}

// moveOf is what a replica on its way in counts with as one move: itself, or all of an index that one node of the group has. Those come
// to each node in the order that the documents have there, which they would not one after another.
func moveOf(view *fsm.View, ref fsm.ReplicaRef) fsm.ReplicaRef {
	if ix := view.Indexes[ref.Index]; ix != nil && ix.IsGathered(ref.Group) {
		ref.Shard, ref.Node = 0, ""
	}
	return ref
}

// mark commits changes of an index's replicas. One in sync leaves only while no write is open: it may be the only one that has what a
// write brought whose pod died, which reads have shown, and replicas that leave are not asked whether the write has happened.
func (r *rebalancer) mark(ctx context.Context, index fsm.IndexID, changes []fsm.ReplicaChange) error {
	commit := func(ctx context.Context) error {
		_, err := fsm.Do(ctx, r.opts.Cluster, fsm.MarkReplicas{Now: r.opts.Now(), Changes: changes})
		return err
	}
	if !slices.ContainsFunc(changes, func(c fsm.ReplicaChange) bool { return c.From == fsm.Active && c.To == fsm.Leaving }) {
		return commit(ctx)
	}
	return r.opts.Coordinator.HoldIndex(ctx, index, r.repair.configured(r.opts.Cluster.View()).MaxHold, commit)
}

// expand gives an index that lives whole an entry per shard once its nodes are prepared, and reports whether that is done.
func (r *rebalancer) expand(ctx context.Context, index fsm.IndexID) bool {
	err := (&expansion{opts: r.opts, repair: r.repair.configured(r.opts.Cluster.View()), index: index}).run(ctx)
	switch {
	case errors.Is(err, errUnprepared):
		r.opts.Logger.Info("index not spread yet", "index_id", index, "error", err)
	case err != nil && ctx.Err() == nil:
		r.opts.Logger.Warn("index not spread yet", "index_id", index, "error", err)
	}
	return err == nil
}

// advance drains nodes and ends jobs.
func (r *rebalancer) advance(ctx context.Context, view *fsm.View, moves *fsm.Moves) {
	for i := range view.Jobs {
		job := &view.Jobs[i]
		if job.State != fsm.JobRunning {
			continue
		}
		for _, command := range r.next(view, moves, job) {
			if err := r.do(ctx, command); err != nil && ctx.Err() == nil {
				r.opts.Logger.Warn("job not advanced", "job_id", job.ID, "job_type", job.Type, "error", err)
				break
			}
		}
	}
}

func (r *rebalancer) do(ctx context.Context, command fsm.Command) error {
	_, err := r.opts.Cluster.Apply(ctx, command)
	return err
}

// next are the commands that bring a job on, nil while it waits.
func (r *rebalancer) next(view *fsm.View, moves *fsm.Moves, job *fsm.Job) []fsm.Command {
	now := r.opts.Now()
	end := func(state fsm.JobState, reason string) fsm.Command {
		return fsm.EndJob{Now: now, ID: job.ID, State: state, Error: reason}
	}
	n := view.Node(job.Node)
	if job.Node != "" && n == nil {
		if job.Type == fsm.JobAddNode {
			return []fsm.Command{end(fsm.JobFailed, "the node was removed")}
		}
		return []fsm.Command{end(fsm.JobSucceeded, "")}
	}
	switch job.Type {
	case fsm.JobDrainNode, fsm.JobRemoveNode:
		switch {
		case n.State != fsm.NodeDraining && n.State != fsm.NodeDrained:
			return []fsm.Command{end(fsm.JobCanceled, "")}
		case holdsReplicas(view, n.ID):
			return nil
		case job.Type == fsm.JobRemoveNode:
			return []fsm.Command{fsm.RemoveNode{Now: now, Node: n.ID}, end(fsm.JobSucceeded, "")}
		}
		return []fsm.Command{fsm.SetNodeState{Now: now, Node: n.ID, State: fsm.NodeDrained}, end(fsm.JobSucceeded, "")}
	case fsm.JobAddNode:
		if n.State == fsm.NodeJoining {
			return nil
		}
	case fsm.JobAddGroup:
		if job.Group != nil && view.Group(*job.Group) == nil {
			return []fsm.Command{end(fsm.JobCanceled, "the group was removed")}
		}
	}
	if moves.Remaining(job) > 0 || job.Type == fsm.JobRebalance && awaitsRepair(view, job) {
		return nil
	}
	return []fsm.Command{end(fsm.JobSucceeded, "")}
}

// awaitsRepair reports that a rebalance was asked for although nothing moves, so that replicas are repaired that are not by
// themselves.
func awaitsRepair(view *fsm.View, job *fsm.Job) bool {
	if view.Config.Rebalancer.AutoRebalanceOnRecovery {
		return false
	}
	for _, n := range view.Nodes {
		if n.State == fsm.NodeFailed {
			continue // it is repaired when it returns and another rebalance is asked for
		}
		for _, ix := range view.Indexes {
			if (job.Index == 0 || job.Index == ix.ID) && slices.Contains(ix.Nodes(fsm.Stale, fsm.Joining), n.ID) {
				return true
			}
		}
	}
	return false
}

// holdsReplicas reports whether a node has a replica in any state.
func holdsReplicas(view *fsm.View, id fsm.NodeID) bool {
	for _, ix := range view.Indexes {
		if slices.Contains(ix.Nodes(), id) {
			return true
		}
	}
	return false
}

// purge deletes the documents of leaving replicas, index by index and node by node.
func (r *rebalancer) purge(ctx context.Context, moves *fsm.Moves, view *fsm.View) {
	limit := r.repair.configured(r.opts.Cluster.View()).MaxConcurrent
	if !r.noteLeaving(ctx, moves, view) {
		return
	}
	for _, step := range moves.Steps {
		if step.Kind != fsm.StepPurge || !r.ripe(step.ReplicaRef) || !r.reachable(view, step.Node) {
			continue // those on a node that is gone go with it, or when it is back
		}
		key := jobKey{step.Index, step.Node}
		r.mu.Lock()
		start := !r.purging[key] && len(r.purging) < limit
		if start {
			r.purging[key] = true
		}
		r.mu.Unlock()
		if start {
			r.purges.Go(func() { r.purgeOne(ctx, key) })
		}
	}
}

// reachable reports that a node answers: one that does not would hold up the writes of every index that leaves it.
func (r *rebalancer) reachable(view *fsm.View, id fsm.NodeID) bool {
	n := view.Node(id)
	return n != nil && n.State != fsm.NodeFailed && r.opts.Nodes.Get(n).Alive()
}

// noteLeaving notes the replicas of the view that leave; it returns when all pods have heard of it, which is when their
// grace begins, or false when it could not be made sure.
func (r *rebalancer) noteLeaving(ctx context.Context, moves *fsm.Moves, view *fsm.View) bool {
	known := map[fsm.ReplicaRef]time.Time{}
	news := false
	r.mu.Lock()
	for _, step := range moves.Steps {
		if step.Kind == fsm.StepPurge {
			known[step.ReplicaRef] = r.leaving[step.ReplicaRef]
			news = news || known[step.ReplicaRef].IsZero()
		}
	}
	r.mu.Unlock()
	if news {
		if err := r.opts.Coordinator.WaitEverywhere(ctx, view.AppliedIndex); err != nil {
			r.opts.Logger.Warn("not known whether all pods have stopped reading leaving replicas", "error", err)
			return false
		}
	}
	for ref, since := range known {
		if since.IsZero() {
			known[ref] = r.opts.Now()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leaving = known
	return true
}

// ripe reports that the grace of a leaving replica is over.
func (r *rebalancer) ripe(ref fsm.ReplicaRef) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	since, known := r.leaving[ref]
	return known && r.opts.Now().Sub(since) >= r.repair.LeavingGrace
}

func (r *rebalancer) purgeOne(ctx context.Context, key jobKey) {
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.purging, key)
	}()
	err := (&purge{opts: r.opts, repair: r.repair.configured(r.opts.Cluster.View()), key: key, ripe: r.ripe}).run(ctx)
	switch {
	case err == nil:
		r.meter.purged.Inc()
		r.bells.rebalance.ring()
	case ctx.Err() == nil && !errors.Is(err, errVoid):
		r.opts.Logger.Warn("documents of a leaving replica not deleted", "index_id", key.index, "node_id", key.node, "error", err)
		sleep(ctx, r.repair.BackoffMin)
	}
}
