package workers

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"miroir/fsm"
	"miroir/tasks"
)

// Drift configures how settings are read back from nodes and put right. The zero value of a field means the default
// named beside it.
type Drift struct {
	Interval      time.Duration // settings_drift_check.interval_s between two checks of every index on every node
	Retries       int           // settings_broadcast.max_repair_retries: how often a node that differs is asked again, and put right in a row
	Backoff       time.Duration // 250 ms before the first time it is asked again, twice as much before each further one
	VerifyTimeout time.Duration // settings_broadcast.verify_timeout_s for the check that ends a change
	Metrics       *metrics.Set  // a set of its own

	meter driftMeter
}

type driftMeter struct{ mismatches, repairs *metrics.Counter }

func (d Drift) withDefaults() Drift {
	d.Backoff = cmp.Or(d.Backoff, 250*time.Millisecond)
	if d.Metrics == nil {
		d.Metrics = metrics.NewSet()
	}
	d.meter = driftMeter{
		mismatches: d.Metrics.GetOrCreateCounter("miroir_settings_hash_mismatch_total"),
		repairs:    d.Metrics.GetOrCreateCounter("miroir_settings_drift_repair_total"),
	}
	return d
}

// configured is d with the settings of the cluster where it has none of its own.
func (d Drift) configured(view *fsm.View) Drift {
	c := view.Config.SettingsVerify
	d.Retries = cmp.Or(d.Retries, c.MaxRetries, 3)
	d.VerifyTimeout = cmp.Or(d.VerifyTimeout, time.Duration(c.TimeoutS)*time.Second, time.Minute)
	return d
}

// SettingsKeeper reads settings back from nodes and puts them right; proxy.Server implements it.
type SettingsKeeper interface {
	// CheckSettings compares a node's settings of an index with the end of the log. Error: tasks.ErrSettingsMove.
	CheckSettings(ctx context.Context, index fsm.IndexID, id fsm.NodeID) (*tasks.SettingsCheck, error)
	// RepairSettings sends a node what check found different. Error: tasks.ErrSettingsMove.
	RepairSettings(ctx context.Context, index fsm.IndexID, id fsm.NodeID, check *tasks.SettingsCheck) error
	// RestoreRule gives a node that check found Unmarked Miroir's rule, and changes nothing else there. Error:
	// tasks.ErrSettingsMove.
	RestoreRule(ctx context.Context, index fsm.IndexID, id fsm.NodeID, check *tasks.SettingsCheck) error
}

// driftCheck looks after settings that somebody changed on a node, or that a node lost.
type driftCheck struct {
	opts Options
	bell bell // rung when the recheck is due earlier than it was

	mu        sync.Mutex
	tried     map[driftKey]driftTries           // guarded by mu
	verdicts  map[driftKey]*tasks.SettingsCheck // guarded by mu: nodes that were found right, and those that cannot be put right
	soon      recheck                           // guarded by mu
	wasFrozen map[fsm.IndexID]bool              // guarded by mu: when last known
}

// driftTries is how often in a row a node that showed the same settings was put right without effect.
type driftTries struct {
	fingerprint string
	n           int
}

type driftKey struct {
	index fsm.IndexID
	node  fsm.NodeID
}

func newDriftCheck(o Options) *driftCheck {
	d := &driftCheck{
		opts: o, bell: newBell(), tried: map[driftKey]driftTries{}, verdicts: map[driftKey]*tasks.SettingsCheck{},
		soon: recheck{indexes: map[fsm.IndexID]bool{}}, wasFrozen: map[fsm.IndexID]bool{},
	}
	for id, ix := range o.Cluster.View().Indexes {
		if ix.Frozen != nil {
			d.hasten(id)
		}
	}
	return d
}

// run checks until ctx ends: all indexes at each interval, and sooner those that were found out of order.
func (d *driftCheck) run(ctx context.Context) {
	due := time.Now().Add(d.interval())
	for {
		next := due
		if soon := d.nextRecheck(); !soon.IsZero() && soon.Before(due) {
			next = soon
		}
		if !d.bell.wait(ctx, time.Until(next)) {
			return
		}
		switch soon, now := d.nextRecheck(), time.Now(); {
		case !now.Before(due):
			d.checkAll(ctx, nil)
			due = time.Now().Add(d.interval())
		case !soon.IsZero() && !now.Before(soon):
			d.checkAll(ctx, d.takeDue())
		}
	}
}

// interval is the pause before the next check, as configured at this moment.
func (d *driftCheck) interval() time.Duration {
	return cmp.Or(d.opts.Drift.Interval, time.Duration(d.opts.Cluster.View().Config.SettingsDrift.IntervalS)*time.Second)
}

// checkAll checks every index once, or only some, one after another on each node, all nodes at once.
func (d *driftCheck) checkAll(ctx context.Context, only map[fsm.IndexID]bool) {
	view := d.opts.Cluster.View()
	d.prune(view)
	indexes, looked := map[fsm.NodeID][]fsm.IndexID{}, map[fsm.IndexID]bool{}
	for _, ix := range indexesOf(view) {
		if only != nil && !only[ix.ID] {
			continue
		}
		looked[ix.ID] = true
		d.forgive(ix.ID)
		for _, id := range tasks.SettingsNodes(view, ix) {
			indexes[id] = append(indexes[id], ix.ID)
		}
	}
	var checking sync.WaitGroup
	for id, list := range indexes {
		slices.Sort(list)
		checking.Go(func() {
			for _, index := range list {
				if ctx.Err() != nil {
					return
				}
				d.check(ctx, driftKey{index, id})
			}
		})
	}
	checking.Wait()
	d.settle(ctx, looked)
}

// settled reports that the node may be asked now: it has the whole index in sync and no change of settings is open.
func (d *driftCheck) settled(key driftKey) bool {
	view := d.opts.Cluster.View()
	ix := view.Indexes[key.index]
	return ix != nil && !ix.Deleting && !tasks.SettingsPending(ix, nil) && slices.Contains(tasks.SettingsNodes(view, ix), key.node)
}

func (d *driftCheck) check(ctx context.Context, key driftKey) {
	d.conclude(key, nil)
	if !d.settled(key) {
		return
	}
	r := &settingsReader{opts: d.opts, index: key.index, node: key.node}
	if r.read(ctx); r.last != nil && r.last.Equal() {
		d.good(key)
		d.conclude(key, r.last)
	}
	if r.last != nil && (r.last.Missing() || r.last.Unmarked) && d.lost(ctx, key) {
		return
	}
	if !r.differs() || r.busy(ctx) {
		return
	}
	// What was open at the first look has ended by now.
	if r.read(ctx); !r.differs() || !d.settled(key) {
		return
	}
	r.report()
	if d.opts.Cluster.View().Config.SettingsDrift.AutoRepair {
		d.repair(ctx, key, r.last)
	}
}

// lost reports that the node has lost the index, whose replicas there are stale now.
func (d *driftCheck) lost(ctx context.Context, key driftKey) bool {
	lost, err := (&lostIndex{opts: d.opts, index: key.index, node: key.node}).check(ctx)
	if err != nil && !errors.Is(err, errUnsettled) && ctx.Err() == nil {
		d.opts.Logger.Warn("not known whether a node lost an index", "node_id", key.node, "index_id", key.index, "error", err)
	}
	return lost
}

// good says that a node was found to have the right settings.
func (d *driftCheck) good(key driftKey) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.tried, key)
}

// try counts an attempt to put a node right that shows the settings of fingerprint. It reports false once there were
// too many.
func (d *driftCheck) try(key driftKey, fingerprint string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	tries := d.tried[key]
	if tries.fingerprint != fingerprint {
		tries = driftTries{fingerprint: fingerprint}
	}
	tries.n++
	d.tried[key] = tries
	return tries.n <= d.opts.Drift.configured(d.opts.Cluster.View()).Retries
}

// repair puts a node's settings right. A node that shows the same wrong ones again and again is given up until it is found good:
// sending it settings for ever would make it index for ever.
func (d *driftCheck) repair(ctx context.Context, key driftKey, check *tasks.SettingsCheck) {
	if !d.try(key, check.Fingerprint) {
		d.opts.Logger.Error("settings cannot be put right", "node_id", key.node, "index_id", key.index, "settings", check.Differing)
		d.conclude(key, check)
		if !d.frozen(key.index) {
			return
		}
	}
	err := d.opts.Coordinator.RepairSettings(ctx, key.index, key.node, check)
	switch {
	case errors.Is(err, tasks.ErrSettingsMove):
	case err != nil:
		d.opts.Logger.Warn("settings not put right", "node_id", key.node, "index_id", key.index, "error", err)
	default:
		d.opts.Drift.meter.repairs.Inc()
		d.opts.Logger.Info("settings put right", "node_id", key.node, "index_id", key.index, "settings", check.Differing)
	}
}
