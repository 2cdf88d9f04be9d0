package workers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"miroir/fsm"
	"miroir/tasks"
)

// AntiEntropy configures the comparison of replicas. What operators may change is in the replicated configuration. The
// zero value of a field means the default named beside it.
type AntiEntropy struct {
	Poll    time.Duration // 1 s between two looks at the schedule
	Metrics *metrics.Set  // a set of its own
}

func (a AntiEntropy) withDefaults() *AntiEntropy {
	a.Poll = cmp.Or(a.Poll, time.Second)
	if a.Metrics == nil {
		a.Metrics = metrics.NewSet()
	}
	return &a
}

// auditor compares replicas: all of them on a schedule, those it is asked to at once. It runs on the leader; what it
// knows is lost with the term, and nothing depends on it.
type auditor struct {
	opts  Options
	meter auditMeter
	// suspect is told of replicas that became stale because they differ.
	suspect func([]fsm.ReplicaRef)

	wake    chan struct{}
	details chan struct{} // its tokens are held by comparisons that have documents in memory

	mu      sync.Mutex
	began   time.Time // of the term
	nextAt  time.Time // of the next pass
	cursor  int       // where the next pass begins, when a pass does not take all shards
	queue   []*audit  // waiting, oldest first
	passing bool      // a pass over everything runs
	audits  []*audit  // known, newest last
	lastOne *audit    // the last pass that ended
	clean   map[slotKey]time.Time
}

// slotKey names what is compared in one go: a shard, or an index that lives whole.
type slotKey struct {
	index fsm.IndexID
	slot  fsm.ShardID
}

// audit is one comparison of many shards.
type audit struct {
	request tasks.AuditRequest
	paced   bool
	clean   bool // a pass over what it may: what it finds equal is known to be right

	mu     sync.Mutex
	status tasks.Audit
}

// auditMeter are the metrics of anti-entropy.
type auditMeter struct {
	scanned, mismatches, repaired *metrics.Counter
	lastPass                      atomic.Int64 // Unix seconds, 0 before the first
}

const (
	maxAudits    = 50   // kept for operators
	maxQueued    = 100  // waiting
	maxKept      = 1000 // results of one audit
	maxAtOnce    = 256  // shards being compared,
	maxDetailed  = 4    // of which have documents in memory
	maxPreparing = 16   // nodes of an index at once
)

func newAuditor(o Options) *auditor {
	set := o.AntiEntropy.Metrics
	a := &auditor{opts: o, wake: make(chan struct{}, 1), details: make(chan struct{}, maxDetailed), began: o.Now(), clean: map[slotKey]time.Time{}, suspect: func([]fsm.ReplicaRef) {}}
	a.meter.scanned = set.GetOrCreateCounter("miroir_antientropy_shards_scanned_total")
	a.meter.mismatches = set.GetOrCreateCounter("miroir_antientropy_mismatches_found_total")
	a.meter.repaired = set.GetOrCreateCounter("miroir_antientropy_docs_repaired_total")
	return a
}

// ParseSchedule reads "every 6h".
func ParseSchedule(text string) (time.Duration, error) {
	every, ok := strings.CutPrefix(strings.TrimSpace(text), "every ")
	interval, err := time.ParseDuration(strings.TrimSpace(every))
	if !ok || err != nil || interval <= 0 {
		return 0, fmt.Errorf("%q is not a schedule: write \"every 6h\"", text)
	}
	return interval, nil
}

// run works on audits until ctx ends. A pass over everything takes its time: those over a part do not wait for it.
func (a *auditor) run(ctx context.Context) {
	var working sync.WaitGroup
	defer working.Wait()
	for ctx.Err() == nil {
		a.schedule()
		switch job := a.next(); {
		case job == nil:
			a.wait(ctx)
		case job.everything():
			working.Go(func() {
				a.work(ctx, job)
				a.passDone()
			})
		default:
			a.work(ctx, job)
		}
	}
}

// wait waits until there may be something to do.
func (a *auditor) wait(ctx context.Context) {
	timer := time.NewTimer(a.opts.AntiEntropy.Poll)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-a.wake:
	case <-ctx.Done():
	}
}

func (a *auditor) ring() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// passDone lets the next pass over everything begin.
func (a *auditor) passDone() {
	a.mu.Lock()
	a.passing = false
	a.mu.Unlock()
	a.ring()
}

// everything reports a pass that is not limited to an index.
func (j *audit) everything() bool { return j.clean && j.request.Index == 0 }

// schedule enqueues a pass when its time has come.
func (a *auditor) schedule() {
	config := a.opts.Cluster.View().Config.AntiEntropy
	interval, err := ParseSchedule(config.Schedule)
	a.mu.Lock()
	defer a.mu.Unlock()
	if !config.Enabled || err != nil {
		a.nextAt = time.Time{}
		return
	}
	since := a.began
	if a.lastOne != nil {
		since = a.lastOne.status.StartedAt
	}
	if a.nextAt = since.Add(interval); !a.opts.Now().Before(a.nextAt) && !a.passing && !slices.ContainsFunc(a.queue, (*audit).everything) {
		a.enqueue(a.pass(tasks.AuditRequest{}))
	}
}

// pass is an audit of anti-entropy. Call with mu held.
func (a *auditor) pass(request tasks.AuditRequest) *audit {
	request.Depth, request.Repair = tasks.DepthDocuments, a.opts.Cluster.View().Config.AntiEntropy.AutoRepair
	return &audit{request: request, paced: true, clean: true, status: tasks.Audit{Type: "anti_entropy"}}
}

// enqueue gives an audit its name. Call with mu held.
func (a *auditor) enqueue(job *audit) string {
	job.status.ID, job.status.State = uuid.NewString(), "queued"
	job.status.Depth, job.status.Repair = job.request.Depth, job.request.Repair
	job.status.StartedAt, job.status.Results, job.status.Progress.Unit = a.opts.Now(), []tasks.ShardAudit{}, "shards"
	a.queue = append(a.queue, job)
	a.audits = append(a.audits, job)
	if len(a.audits) > maxAudits {
		a.audits = slices.Delete(a.audits, 0, len(a.audits)-maxAudits)
	}
	a.ring()
	return job.status.ID
}

var errTooManyAudits = errors.New("too many comparisons wait already")

// startPass enqueues a pass out of turn over the shards asked for, unless the same waits already; startVerify a verification.
func (a *auditor) startPass(request tasks.AuditRequest) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, job := range a.queue {
		if request.Index != 0 && job.clean && job.request.Index == request.Index && slices.Equal(job.request.Shards, request.Shards) {
			return job.status.ID, nil
		}
	}
	if len(a.queue) >= maxQueued {
		return "", errTooManyAudits
	}
	return a.enqueue(a.pass(request)), nil
}

func (a *auditor) startVerify(request tasks.AuditRequest) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.queue) >= maxQueued {
		return "", errTooManyAudits
	}
	return a.enqueue(&audit{request: request, status: tasks.Audit{Type: "verify"}}), nil
}

// next is the oldest audit that may begin, nil for none. Only one pass over everything runs at a time.
func (a *auditor) next() *audit {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := slices.IndexFunc(a.queue, func(job *audit) bool { return !job.everything() || !a.passing })
	if at < 0 {
		return nil
	}
	job := a.queue[at]
	a.queue = slices.Delete(a.queue, at, at+1)
	a.passing = a.passing || job.everything()
	return job
}

// work carries an audit out.
func (a *auditor) work(ctx context.Context, job *audit) {
	view := a.opts.Cluster.View()
	config := view.Config.AntiEntropy
	slots, full := a.slots(view, job)
	job.begin(a.opts.Now(), len(slots))
	percent := 0.0
	if job.paced {
		percent = config.MaxDutyPercent
	}
	var nodes []fsm.NodeID
	for id := range view.Nodes {
		nodes = append(nodes, id)
	}
	reader := &copyReader{pace: newPacer(nodes, config.MaxReadConcurrency, percent), pageSize: max(config.FingerprintBatchSize, 1)}
	var comparing errgroup.Group
	comparing.SetLimit(atOnce(view))
	prepared := map[fsm.IndexID]*preparation{}
	for _, key := range slots {
		if ctx.Err() != nil {
			break
		}
		index, known := prepared[key.index]
		if !known {
			index = &preparation{done: make(chan struct{})}
			prepared[key.index] = index
		}
		comparing.Go(func() error {
			if !known {
				index.began = a.prepare(ctx, job, key.index)
				close(index.done)
			}
			<-index.done
			a.compare(ctx, job, reader, key, index.began)
			return nil
		})
	}
	_ = comparing.Wait() // what went wrong is in the results
	a.end(ctx, job, full)
}

// atOnce is how many shards are compared at once: as many as find nodes of their own, so that a pass over a thousand nodes
// takes as long as the fullest of them, not as long as all of them one after another. The pacer bounds what that costs.
func atOnce(view *fsm.View) int {
	copies := max(view.Config.ReplicationFactor, 1) * max(len(view.Groups), 1)
	return min(max(len(view.Nodes)/copies, 1), maxAtOnce)
}

// preparation is that of an index: the first comparison of one of its shards does it, the others wait.
type preparation struct {
	done  chan struct{}
	began time.Time // see prepare
}

// slots lists what an audit compares, and whether a pass went through everything that it began with.
func (a *auditor) slots(view *fsm.View, job *audit) ([]slotKey, bool) {
	var slots []slotKey
	indexes := indexesOf(view)
	slices.SortFunc(indexes, func(x, y *fsm.Index) int { return cmp.Compare(x.ID, y.ID) })
	for _, ix := range indexes {
		if ix.Deleting || job.request.Index != 0 && job.request.Index != ix.ID {
			continue
		}
		for slot := range ix.NumSlots() {
			if job.request.Shards == nil || ix.Whole() || slices.Contains(job.request.Shards, fsm.ShardID(slot)) {
				slots = append(slots, slotKey{ix.ID, fsm.ShardID(slot)})
			}
		}
	}
	per := view.Config.AntiEntropy.ShardsPerPass
	if !job.clean || job.request.Index != 0 || per <= 0 || per >= len(slots) {
		return slots, job.request.Index == 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	start := a.cursor % len(slots)
	a.cursor = start + per
	return append(slots[start:len(slots):len(slots)], slots[:start]...)[:per], true
}

// compare compares one shard and takes note of the outcome. prepared is what prepare returned for its index.
func (a *auditor) compare(ctx context.Context, job *audit, reader *copyReader, key slotKey, prepared time.Time) {
	a.mu.Lock()
	clean := a.clean[key]
	a.mu.Unlock()
	hold := time.Duration(a.opts.Cluster.View().Config.Rebalancer.WriteHoldMaxMs) * time.Millisecond
	c := &comparison{
		opts: a.opts, reader: reader, maxHold: cmp.Or(hold, 2*time.Second), request: job.request, index: key.index, slot: key.slot, clean: clean,
		suspect: a.suspect, turn: a.details,
	}
	c.run(ctx)
	if ctx.Err() != nil {
		return
	}
	a.meter.scanned.Inc()
	a.meter.mismatches.Add(c.result.NumDiffering)
	if c.result.Equal && c.result.Note == "" && job.request.Depth != tasks.DepthCounts && !prepared.IsZero() {
		a.mu.Lock()
		a.clean[key] = prepared
		a.mu.Unlock()
	}
	job.add(c.result, c.stale)
	if c.result.Error != "" {
		a.opts.Logger.Warn("replicas not compared", "index", c.result.Index, "shard", key.slot, "error", c.result.Error)
	}
}

// prepare lets the nodes of an index work off what they have of it and lose documents that no shard filter finds, before its
// shards are compared. It returns when it began: a shard that is found equal then was right at that time, whatever somebody
// had written to a node before. Zero: that cannot be said, for some node still waits with what it has, or keeps such documents.
func (a *auditor) prepare(ctx context.Context, job *audit, index fsm.IndexID) time.Time {
	began, view := a.opts.Now(), a.opts.Cluster.View()
	ix := view.Indexes[index]
	if ix == nil || ix.Deleting {
		return time.Time{}
	}
	var preparing errgroup.Group
	preparing.SetLimit(maxPreparing)
	for _, id := range ix.Nodes() {
		preparing.Go(func() error {
			err := a.prepareOn(ctx, job, ix, view.Node(id))
			if err != nil && ctx.Err() == nil {
				a.opts.Logger.Warn("node not prepared for a comparison", "index", ix.UID, "node_id", id, "error", err)
			}
			return err
		})
	}
	if preparing.Wait() != nil {
		return time.Time{}
	}
	return began
}

var (
	errNotAlive   = errors.New("the node does not answer")
	errStraysLeft = errors.New("it has documents without a shard")
)

func (a *auditor) prepareOn(ctx context.Context, job *audit, ix *fsm.Index, n *fsm.Node) error {
	if n == nil || !a.opts.Nodes.Get(n).Alive() {
		return errNotAlive
	}
	on := copyNode{client: a.opts.Nodes.Get(n), index: ix.NodeUID, timeout: requestTimeout}
	settling, cancel := context.WithTimeout(ctx, requestTimeout)
	err := on.settle(settling)
	cancel()
	if ix.Whole() { // whose documents without a shard are compared like any other
		return err
	}
	return errors.Join(err, a.clearStrays(ctx, job, ix, n, on))
}

// clearStrays deletes documents from a node that no shard filter finds: somebody wrote them to it directly.
func (a *auditor) clearStrays(ctx context.Context, job *audit, ix *fsm.Index, n *fsm.Node, on copyNode) error {
	filter := a.opts.Coordinator.StrayFilter()
	strays, err := on.count(ctx, filter)
	if err != nil || strays == 0 {
		return err
	}
	a.opts.Logger.Error("documents without a shard: somebody wrote to the node directly", "index", ix.UID, "node_id", n.ID,
		"documents", strays, "deleted", job.request.Repair)
	a.meter.mismatches.Add(int(strays))
	job.add(tasks.ShardAudit{
		Index: ix.UID, Copies: []tasks.CopyAudit{{Node: n.ID, Group: n.Group, Documents: strays, Foreign: true, Wrong: true}},
		NumDiffering: int(strays), Note: "documents without a shard, written to the node directly",
	}, 0)
	if !job.request.Repair {
		return errStraysLeft
	}
	uid, err := on.deleteMatching(ctx, filter)
	if err == nil {
		err = on.await(ctx, []uint32{uid})
	}
	if err == nil {
		a.meter.repaired.Add(int(strays))
	}
	return err
}

// end notes that an audit is over. A pass over everything starts the time until the next one.
func (a *auditor) end(ctx context.Context, job *audit, full bool) {
	now := a.opts.Now()
	job.end(now, ctx.Err() != nil)
	if !job.clean || !full || ctx.Err() != nil {
		return
	}
	a.meter.lastPass.Store(now.Unix())
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lastOne = job
	status := job.copy()
	a.opts.Logger.Info("replicas compared", "shards", status.Progress.Done, "mismatches", status.Mismatches, "stale", status.Stale,
		"errors", status.Errors, "took", now.Sub(status.StartedAt))
}

func (j *audit) begin(now time.Time, total int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.status.State, j.status.StartedAt, j.status.Progress.Total = "running", now, total
}

func (j *audit) add(result tasks.ShardAudit, stale int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if result.Shard != nil || result.Note == "" || result.NumDiffering == 0 {
		j.status.Progress.Done++
	}
	j.status.Mismatches += result.NumDiffering
	j.status.Stale += stale
	if result.Error != "" {
		j.status.Errors++
	}
	worthTelling := j.status.Type == "verify" || result.NumDiffering > 0 || result.Error != ""
	if worthTelling && len(j.status.Results) < maxKept {
		j.status.Results = append(j.status.Results, result)
	}
}

func (j *audit) end(now time.Time, canceled bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.status.State, j.status.FinishedAt = "succeeded", &now
	switch {
	case canceled:
		j.status.State = "canceled"
	case j.status.Errors > 0:
		j.status.State = "failed"
	}
}

func (j *audit) copy() tasks.Audit {
	j.mu.Lock()
	defer j.mu.Unlock()
	status := j.status
	status.Results = slices.Clone(status.Results)
	slices.SortStableFunc(status.Results, func(x, y tasks.ShardAudit) int {
		return cmp.Or(cmp.Compare(x.Index, y.Index), cmp.Compare(shardNumber(x), shardNumber(y)))
	})
	return status
}

// shardNumber orders what is not about a shard first.
func shardNumber(r tasks.ShardAudit) int64 {
	if r.Shard == nil {
		return -1
	}
	return int64(*r.Shard)
}

// find returns an audit by its id.
func (a *auditor) find(id string) (tasks.Audit, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, job := range a.audits {
		if job.status.ID == id { // it never changes once the audit is known
			return job.copy(), true
		}
	}
	return tasks.Audit{}, false
}

// state is what GET /_miroir/anti-entropy tells.
func (a *auditor) state() tasks.AntiEntropyStatus {
	config := a.opts.Cluster.View().Config.AntiEntropy
	status := tasks.AntiEntropyStatus{
		Enabled: config.Enabled, Schedule: config.Schedule, AutoRepair: config.AutoRepair,
		ShardsScanned: a.meter.scanned.Get(), Mismatches: a.meter.mismatches.Get(), DocumentsRepaired: a.meter.repaired.Get(),
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.nextAt.IsZero() {
		next := a.nextAt
		status.NextAt = &next
	}
	if a.lastOne != nil {
		last := a.lastOne.copy()
		status.LastPass = &last
	}
	for _, job := range a.audits {
		if now := job.copy(); now.Type == "anti_entropy" && now.State == "running" {
			status.Running = &now
		}
	}
	return status
}
