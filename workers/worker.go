// Package workers is what runs without a request: on the leader the settling of open writes, the watch over tasks and
// the health of nodes. It decides by package tasks and the replicated state, talks to nodes through proxy/node, and
// leaves requests of clients to package proxy.
package workers

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"miroir/catchup"
	"miroir/fsm"
	"miroir/proxy/node"
	"miroir/tasks"
)

// Cluster is what the workers need of the replicated state; raftnode.Node implements it.
type Cluster interface {
	fsm.Applier
	View() *fsm.View
	Tasks() *fsm.FSM
	IsLeader() bool
}

// Coordinator is what the workers need of the write path; proxy.Server implements it.
type Coordinator interface {
	SettingsKeeper
	// HoldWrites makes writes wait until ReleaseWrites.
	HoldWrites()
	ReleaseWrites()
	// WriteInFlight reports a write that a request is still working on.
	WriteInFlight(id fsm.WriteID) bool
	// TaskBegun is signalled when there is something new to watch.
	TaskBegun() <-chan struct{}
	// PrepareNode brings a node that has (re)appeared in line before it is used.
	PrepareNode(ctx context.Context, n *fsm.Node) error
	// MarkDiskLost deals with a node whose newest task is older than one it is known to have had.
	MarkDiskLost(ctx context.Context, id fsm.NodeID, newest int64) error
	// DeleteStrays deletes the indexes that a node has from Miroir and that the state does not know.
	DeleteStrays(ctx context.Context, id fsm.NodeID) error
	// UndoChange takes a failed change of an index back on nodes that made it.
	UndoChange(ctx context.Context, task *fsm.Task, nodes []fsm.NodeID) error
	// MissedWrites is what a node missed of an index, nil when that is not known.
	MissedWrites(index fsm.IndexID, id fsm.NodeID) *catchup.Log
	// WatchWrites notes what writes to an index touch from now on.
	WatchWrites(index fsm.IndexID) *tasks.WriteWatch
	// HoldIndex lets no write to an index begin while work runs, which it does once none is open.
	HoldIndex(ctx context.Context, index fsm.IndexID, limit time.Duration, work func(ctx context.Context) error) error
	// JoinReplicas makes an index ready on a node and commits changes of its replicas there, at one point in the order
	// of the index's writes.
	JoinReplicas(ctx context.Context, index fsm.IndexID, to fsm.NodeID, changes []fsm.ReplicaChange) (nodeTaskUID int64, err error)
	// FiltersShards reports whether a node can filter an index by shard, and has nothing left to do that could end it.
	FiltersShards(ctx context.Context, index fsm.IndexID, id fsm.NodeID) (bool, error)
	// MakeShardsFilterable sees to it that a node can, and reports whether it can already.
	MakeShardsFilterable(ctx context.Context, index fsm.IndexID, id fsm.NodeID) (bool, error)
	// WaitEverywhere returns once no pod reads by a picture older than the Raft index.
	WaitEverywhere(ctx context.Context, index uint64) error
	// ShardOf and ShardFilter tell the shard of a document, and what a node filters shards by.
	ShardOf(id string, shards uint32) fsm.ShardID
	ShardFilter(shards []fsm.ShardID) string
	// StrayFilter finds documents on a node that Miroir did not put there.
	StrayFilter() string
	// RunJobs works on tasks that the leader carries out itself, until ctx ends.
	RunJobs(ctx context.Context)
}

// Options configures the workers. The zero value of a field means the default named beside it.
type Options struct {
	Cluster     Cluster
	Nodes       *node.Set
	Coordinator Coordinator
	Metrics     *metrics.Set // a set of its own

	HealthInterval time.Duration // 5 s between two checks of a node
	HealthTimeout  time.Duration // 2 s for one
	// How many checks in a row must agree before a node's committed state changes: 3 missed, 2 good.
	UnhealthyThreshold, RecoveryThreshold int
	PollMin                               time.Duration    // 25 ms between two looks at open tasks at first,
	PollMax                               time.Duration    // 1 s in the end
	Now                                   func() time.Time // time.Now
	Logger                                *slog.Logger
	Repair                                *Repair       // nil: replicas out of sync stay so
	AntiEntropy                           *AntiEntropy  // nil: replicas are not compared
	Drift                                 Drift         // how settings are read back
	RetentionInterval                     time.Duration // 1 min between two looks for tasks to forget

	crashes *crashWatch // of this term
	drift   *driftCheck // of this term
	strays  *strayWatch // of this term
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&o.HealthInterval, 5 * time.Second}, {&o.HealthTimeout, 2 * time.Second}, {&o.PollMin, 25 * time.Millisecond}, {&o.PollMax, time.Second},
		{&o.RetentionInterval, time.Minute}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	o.UnhealthyThreshold = cmp.Or(o.UnhealthyThreshold, 3)
	o.RecoveryThreshold = cmp.Or(o.RecoveryThreshold, 2)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Metrics == nil {
		o.Metrics = metrics.NewSet()
	}
	if o.Repair != nil {
		o.Repair = o.Repair.withDefaults()
	}
	if o.AntiEntropy != nil {
		o.AntiEntropy = o.AntiEntropy.withDefaults()
	}
	o.Drift = o.Drift.withDefaults()
	return o
}

// Workers are the running duties of one pod.
type Workers struct {
	opts   Options
	cancel context.CancelFunc
	done   sync.WaitGroup

	// Of this term; nil while this pod does not lead.
	repairer atomic.Pointer[repairer]
	auditor  atomic.Pointer[auditor]
	foreign  atomic.Pointer[foreignWatch]
}

// Repairs lists the replicas that this pod, if it leads, is bringing in sync.
func (w *Workers) Repairs() []tasks.Repair {
	if r := w.repairer.Load(); r != nil {
		return r.status()
	}
	return []tasks.Repair{}
}

// Start starts the duties; those of the leader run while this pod leads. Writes are held from now until the open
// intents of the last leader are settled. Close ends everything.
func Start(ctx context.Context, o Options) (*Workers, error) {
	if o.Cluster == nil || o.Nodes == nil || o.Coordinator == nil {
		return nil, errors.New("workers: cluster, nodes and coordinator are required")
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &Workers{opts: o.withDefaults(), cancel: cancel}
	if w.opts.AntiEntropy != nil {
		w.registerAge()
	}
	w.opts.Coordinator.HoldWrites()
	w.done.Go(func() { w.supervise(ctx) })
	return w, nil
}

// Close ends the duties and waits for them. It may be called twice.
func (w *Workers) Close() error {
	w.cancel()
	w.done.Wait()
	return nil
}

// leadershipPoll is how often leadership is looked at. It costs no I/O.
const leadershipPoll = 50 * time.Millisecond

// supervise runs the leader's duties once per term of leadership.
func (w *Workers) supervise(ctx context.Context) {
	for w.await(ctx, true) {
		term, end := context.WithCancel(ctx)
		var duties sync.WaitGroup
		duties.Go(func() { w.lead(term) })
		w.await(ctx, false)
		w.opts.Coordinator.HoldWrites()
		end()
		duties.Wait()
	}
}

// await blocks until this pod leads, or does not; it reports false when ctx ended.
func (w *Workers) await(ctx context.Context, leading bool) bool {
	for w.opts.Cluster.IsLeader() != leading {
		if !sleep(ctx, leadershipPoll) {
			return false
		}
	}
	return ctx.Err() == nil
}

// lead settles the last leader's writes, opens the gate and watches until ctx ends.
func (w *Workers) lead(ctx context.Context) {
	if !w.catchUp(ctx) {
		return
	}
	opts := w.opts
	opts.crashes, opts.drift = newCrashWatch(), newDriftCheck(w.opts)
	opts.strays = &strayWatch{opts: w.opts, known: map[fsm.NodeID]*node.Task{}, mixed: map[fsm.NodeID]bool{}}
	watch := newTaskWatch(opts)
	settler := newSettler(w.opts, watch.poke, firstAskTimeout)
	settler.compare = w.RunAntiEntropy
	settler.begin(ctx)
	if ctx.Err() != nil {
		return
	}
	w.opts.Coordinator.ReleaseWrites()
	var duties sync.WaitGroup
	duties.Go(func() { settler.keep(ctx) })
	duties.Go(func() { watch.run(ctx) })
	duties.Go(func() { newHealthCheck(opts).run(ctx) })
	duties.Go(func() {
		(&leftoverDrop{opts: w.opts, repairer: &w.repairer, dropping: map[fsm.Leftover]uint32{}}).run(ctx)
	})
	duties.Go(func() { newWebhooks(w.opts).run(ctx) })
	duties.Go(func() { opts.drift.run(ctx) })
	duties.Go(func() { (&retention{w.opts}).run(ctx) })
	moves := moveBells{repair: newBell(), rebalance: newBell()}
	w.heal(ctx, opts, &duties, moves)
	if w.opts.Repair != nil {
		duties.Go(func() { newRebalancer(w.opts, moves).run(ctx) })
	}
	duties.Go(func() { w.opts.Coordinator.RunJobs(ctx) })
	duties.Wait()
}

// heal brings replicas in sync, compares them and looks for foreign writes until ctx ends.
func (w *Workers) heal(ctx context.Context, opts Options, duties *sync.WaitGroup, moves moveBells) {
	var r *repairer
	if w.opts.Repair != nil {
		r = newRepairer(opts, moves)
		w.repairer.Store(r)
		duties.Go(func() {
			defer w.repairer.Store(nil)
			r.run(ctx)
		})
	}
	if w.opts.AntiEntropy == nil {
		return
	}
	a := newAuditor(w.opts)
	if r != nil {
		a.suspect = func(refs []fsm.ReplicaRef) { r.expect(refs, a.meter.repaired) }
	}
	f := newForeignWatch(opts, a.startPass)
	w.auditor.Store(a)
	w.foreign.Store(f)
	duties.Go(func() {
		defer w.auditor.Store(nil)
		a.run(ctx)
	})
	duties.Go(func() {
		defer w.foreign.Store(nil)
		f.run(ctx)
	})
	duties.Go(func() { newSurplusDrop(opts, a.startPass).run(ctx) })
}

// catchUp waits until this pod has applied everything its predecessors committed.
func (w *Workers) catchUp(ctx context.Context) bool {
	barrier, ok := w.opts.Cluster.(interface{ Barrier(context.Context) error })
	if !ok {
		return true
	}
	for {
		err := barrier.Barrier(ctx)
		if err == nil {
			return true
		}
		w.opts.Logger.Warn("not caught up with the log yet", "error", err)
		if !sleep(ctx, leadershipPoll) {
			return false
		}
	}
}

// sleep waits; it reports false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
