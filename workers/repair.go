package workers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"golang.org/x/time/rate"

	"miroir/fsm"
	"miroir/tasks"
)

// Repair configures the repair and the moves of replicas. The zero value of a field means what stands beside it; where
// that is a setting, the replicated configuration is asked at every use.
type Repair struct {
	Interval       time.Duration // 1 s between two looks at the placement
	MaxConcurrent  int           // rebalancer.max_concurrent_migrations: indexes on nodes that are filled at once
	PageSize       int           // rebalancer.page_size: documents of a request
	MaxHold        time.Duration // rebalancer.write_hold_max_ms: how long the writes of an index are held at most
	Timeout        time.Duration // rebalancer.migration_timeout_s for one attempt
	RequestTimeout time.Duration // 30 s for one request
	BackoffMin     time.Duration // 1 s before an attempt that failed is made again,
	BackoffMax     time.Duration // 1 min in the end
	LeavingGrace   time.Duration // tasks.LeavingGrace before the documents of a leaving replica are deleted
	Metrics        *metrics.Set  // a set of its own
}

func (r Repair) withDefaults() *Repair {
	r.Interval = cmp.Or(r.Interval, time.Second)
	r.RequestTimeout = cmp.Or(r.RequestTimeout, 30*time.Second)
	r.BackoffMin = cmp.Or(r.BackoffMin, time.Second)
	r.BackoffMax = cmp.Or(r.BackoffMax, time.Minute)
	r.LeavingGrace = cmp.Or(r.LeavingGrace, tasks.LeavingGrace)
	if r.Metrics == nil {
		r.Metrics = metrics.NewSet()
	}
	return &r
}

// configured is r with the settings of the cluster where it has none of its own.
func (r Repair) configured(view *fsm.View) *Repair {
	c := view.Config.Rebalancer
	r.MaxConcurrent = cmp.Or(r.MaxConcurrent, c.MaxConcurrentMigrations, 4)
	r.PageSize = cmp.Or(r.PageSize, c.PageSize, 1000)
	r.MaxHold = cmp.Or(r.MaxHold, time.Duration(c.WriteHoldMaxMs)*time.Millisecond, 2*time.Second)
	r.Timeout = cmp.Or(r.Timeout, time.Duration(c.MigrationTimeoutS)*time.Second, time.Hour)
	return &r
}

// repairer turns replicas that are stale or joining into active ones. It runs on the leader. What it knows of a copy
// in progress is lost with it: the next leader starts that copy again, and finds most of it done.
type repairer struct {
	opts   Options
	repair *Repair
	bells  moveBells
	drift  *driftCheck // of sources that fail: without Miroir's settings no document can be listed by shard
	meter  repairMeter
	rate   *rate.Limiter // of documents that are copied

	mu   sync.Mutex
	jobs map[jobKey]*repairJob // guarded by mu: those known, running or waiting
	// suspects are replicas that differed, with the counter of what their repair writes; guarded by mu.
	suspects map[fsm.ReplicaRef]*metrics.Counter
}

// jobKey names a job: all replicas of one index on one node.
type jobKey struct {
	index fsm.IndexID
	node  fsm.NodeID
}

// repairMeter are the metrics of the repair.
type repairMeter struct {
	active              *metrics.Gauge
	outcomes            map[repairReason]repairOutcomes
	documents, migrated *metrics.Counter // written in all, and by moves
	held                *metrics.PrometheusHistogram
}

// repairReason is why a replica is filled.
type repairReason string

const (
	reasonMove        repairReason = "move"        // it is on its way in
	reasonStale       repairReason = "stale"       // it missed a write, or its node lost its disk
	reasonAntiEntropy repairReason = "antientropy" // it was found to differ
)

type repairOutcomes struct{ repaired, failed *metrics.Counter }

func newRepairer(o Options, bells moveBells) *repairer {
	set := o.Repair.Metrics
	r := &repairer{opts: o, repair: o.Repair, drift: o.drift, bells: bells, rate: rate.NewLimiter(rate.Inf, 1), jobs: map[jobKey]*repairJob{}, suspects: map[fsm.ReplicaRef]*metrics.Counter{}, meter: repairMeter{
		active:    set.GetOrCreateGauge("miroir_repair_active", nil),
		outcomes:  map[repairReason]repairOutcomes{},
		documents: set.GetOrCreateCounter("miroir_repair_documents_copied_total"),
		migrated:  set.GetOrCreateCounter("miroir_rebalance_documents_migrated_total"),
		held:      set.GetOrCreatePrometheusHistogramExt("miroir_repair_write_hold_seconds", metrics.ExponentialBuckets(0.001, 2, 16)),
	}}
	for _, reason := range []repairReason{reasonMove, reasonStale, reasonAntiEntropy} {
		count := func(result string) *metrics.Counter {
			return set.GetOrCreateCounter(fmt.Sprintf("miroir_repair_shards_total{reason=%q,result=%q}", reason, result))
		}
		r.meter.outcomes[reason] = repairOutcomes{repaired: count("repaired"), failed: count("failed")}
	}
	return r
}

// run looks for replicas to repair until ctx ends, and waits for the copies in progress.
func (r *repairer) run(ctx context.Context) {
	var running sync.WaitGroup
	var numRunning atomic.Int32
	var seen *fsm.View
	for {
		if view := r.opts.Cluster.View(); view != seen || r.pending() {
			seen = view
			r.throttle(view)
			r.look(view)
			for _, job := range r.ready() {
				if int(numRunning.Load()) >= r.repair.configured(view).MaxConcurrent {
					break
				}
				numRunning.Add(1)
				job.start(r.opts.Now())
				running.Go(func() {
					r.work(ctx, job)
					numRunning.Add(-1)
					r.bells.repair.ring()
					r.bells.rebalance.ring()
				})
			}
		}
		if !r.bells.repair.wait(ctx, r.repair.Interval) {
			running.Wait()
			return
		}
	}
}

// throttle sets how many documents are copied per second.
func (r *repairer) throttle(view *fsm.View) {
	limit := rate.Inf
	if perSecond := view.Config.Rebalancer.ThrottleDocsPerSec; perSecond > 0 {
		limit = rate.Limit(perSecond)
	}
	if r.rate.Limit() != limit {
		r.rate.SetLimit(limit)
	}
}

// expect says that replicas became stale because they differed; counter counts what their repair writes.
func (r *repairer) expect(refs []fsm.ReplicaRef, counter *metrics.Counter) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ref := range refs {
		r.suspects[ref] = counter
	}
}

// reason says why a replica is filled.
func (r *repairer) reason(a *attempt, s *slot) repairReason {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case s.fresh:
		return reasonMove
	case r.suspects[a.ref(s)] != nil:
		return reasonAntiEntropy
	}
	return reasonStale
}

// account counts what became of an attempt, and what it wrote if it was to undo a difference.
func (r *repairer) account(a *attempt, failed bool) {
	for _, s := range a.synced {
		r.meter.outcomes[r.reason(a, s)].repaired.Inc()
	}
	if failed && len(a.slots) > 0 {
		r.meter.outcomes[r.reason(a, a.slots[0])].failed.Inc()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var counter *metrics.Counter
	for _, s := range a.synced {
		if found := r.suspects[a.ref(s)]; found != nil {
			counter = found
			delete(r.suspects, a.ref(s))
		}
	}
	if counter != nil {
		counter.Add(int(a.job.copiedDocuments()))
	}
}

// mayCopy reports whether a replica out of sync may be copied now, and not only be sent what it missed.
func (r *repairer) mayCopy(view *fsm.View, a *attempt, s *slot) bool {
	return view.Config.Rebalancer.AutoRebalanceOnRecovery || r.reason(a, s) != reasonStale ||
		a.replica(view.Indexes[a.job.key.index], s).State == fsm.Joining || askedFor(view, a.job.key.index)
}

// askedFor reports that an operator has asked for the replicas of an index to be brought in order.
func askedFor(view *fsm.View, index fsm.IndexID) bool {
	return slices.ContainsFunc(view.Jobs, func(job fsm.Job) bool {
		return job.Type == fsm.JobRebalance && job.State == fsm.JobRunning && (job.Index == 0 || job.Index == index)
	})
}

// pending reports that there are jobs.
func (r *repairer) pending() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.jobs) > 0
}

// look makes a job for every node and index with replicas out of sync and drops those with none left.
func (r *repairer) look(view *fsm.View) {
	wanted := map[jobKey][]*slot{}
	for _, ix := range view.Indexes {
		if ix.Deleting {
			continue
		}
		for group, entries := range ix.Placement {
			for shard, replicas := range entries {
				for _, replica := range replicas {
					if needsRepair(view, replica) {
						key := jobKey{ix.ID, replica.Node}
						wanted[key] = append(wanted[key], &slot{group: group, shard: fsm.ShardID(shard), fresh: replica.Fresh})
					}
				}
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, slots := range wanted {
		if r.jobs[key] == nil {
			r.jobs[key] = &repairJob{key: key, meter: &r.meter, since: r.opts.Now(), failedSources: map[fsm.NodeID]bool{}}
		}
		r.jobs[key].place(view, slots)
	}
	for key, job := range r.jobs {
		if wanted[key] == nil && !job.isRunning() {
			delete(r.jobs, key)
		}
	}
}

// needsRepair reports whether a replica is to be brought in sync now. What is on its way in waits while moves are stopped.
func needsRepair(view *fsm.View, replica fsm.Replica) bool {
	out := replica.State == fsm.Stale || replica.State == fsm.Joining
	return out && !(replica.Fresh && view.Rebalance != fsm.RebalanceOn)
}

// isFilling reports that documents may still be on their way to an index that is left over.
func (r *repairer) isFilling(left fsm.Leftover) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, job := range r.jobs {
		if job.isFilling(left) {
			return true
		}
	}
	return false
}

// ready lists the jobs that may run now, oldest first.
func (r *repairer) ready() []*repairJob {
	r.mu.Lock()
	defer r.mu.Unlock()
	view, now := r.opts.Cluster.View(), r.opts.Now()
	var jobs []*repairJob
	for _, job := range r.jobs {
		n := view.Node(job.key.node)
		reachable := n != nil && (n.State == fsm.NodeActive || n.State == fsm.NodeJoining) && r.opts.Nodes.Get(n).Alive()
		if job.mayRun(now, reachable) {
			jobs = append(jobs, job)
		}
	}
	slices.SortFunc(jobs, func(a, b *repairJob) int {
		return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.key.index, b.key.index), cmp.Compare(a.key.node, b.key.node))
	})
	return jobs
}

// work makes one attempt at a job.
func (r *repairer) work(ctx context.Context, job *repairJob) {
	r.meter.active.Inc()
	defer r.meter.active.Dec()
	repair := r.repair.configured(r.opts.Cluster.View())
	attempting, cancel := context.WithTimeout(ctx, repair.Timeout)
	defer cancel()
	began := r.opts.Now()
	a := &attempt{opts: r.opts, repair: repair, rate: r.rate, job: job, meter: &r.meter, mayCopy: r.mayCopy}
	err := a.run(attempting)
	if err != nil {
		for source := range job.failedSources {
			r.drift.check(attempting, driftKey{job.key.index, source})
		}
	}
	log := r.opts.Logger.With("index", job.indexUID(), "node_id", job.key.node, "replicas", len(a.synced), "left", len(a.slots), "copied", job.copiedDocuments(),
		"took", r.opts.Now().Sub(began))
	r.account(a, err != nil && ctx.Err() == nil && !errors.Is(err, errNotAsked))
	switch {
	case ctx.Err() != nil:
	case errors.Is(err, errNotAsked):
		log.Debug("replicas not repaired", "error", err)
	case err != nil:
		log.Warn("replicas not repaired", "error", err)
	default:
		log.Info("replicas repaired: in sync again")
	}
	job.end(err, r.opts.Now(), r.repair.BackoffMin, r.repair.BackoffMax)
}

// status lists the jobs, oldest first.
func (r *repairer) status() []tasks.Repair {
	r.mu.Lock()
	jobs := slices.Collect(maps.Values(r.jobs))
	r.mu.Unlock()
	list := make([]tasks.Repair, len(jobs))
	for i, job := range jobs {
		list[i] = job.status(r.opts.Now())
	}
	slices.SortFunc(list, func(a, b tasks.Repair) int {
		return cmp.Or(a.StartedAt.Compare(b.StartedAt), cmp.Compare(a.Index, b.Index), cmp.Compare(a.Node, b.Node))
	})
	return list
}

// sourceOf chooses the node that a replica is copied from: in sync, reachable, not one that has just failed if there is
// another, and the least busy. Replicas that join late come from one if they can. nil when no replica in sync can be asked.
func (a *attempt) sourceOf(view *fsm.View, ix *fsm.Index, s *slot) *fsm.Node {
	type candidate struct {
		node *fsm.Node
		rank int
	}
	var best *candidate
	for group := range ix.Placement {
		for _, replica := range ix.Replicas(group, s.shard) {
			n := view.Node(replica.Node)
			if replica.State != fsm.Active || n == nil {
				continue
			}
			client := a.opts.Nodes.Get(n)
			c := &candidate{n, client.InFlight()}
			if !client.Alive() || n.State == fsm.NodeFailed {
				c.rank += 1 << 20
			}
			if a.job.failedSources[n.ID] {
				c.rank += 1 << 21
			}
			if a.late && len(a.slots) > 0 && n.ID != a.slots[0].from {
				c.rank += 1 << 19
			}
			if best == nil || c.rank < best.rank || c.rank == best.rank && c.node.ID < best.node.ID {
				best = c
			}
		}
	}
	if best == nil {
		return nil
	}
	return best.node
}

// errNoSource says that no replica in sync is left to copy from. Nothing is guessed then.
type errNoSource struct{ shard fsm.ShardID }

func (e errNoSource) Error() string {
	return fmt.Sprintf("shard %d has no replica in sync to copy from", e.shard)
}
