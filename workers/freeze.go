package workers

import (
	"cmp"
	"context"
	"maps"
	"reflect"
	"time"

	"miroir/fsm"
	"miroir/tasks"
)

// What the drift check finds about an index as a whole. A node that shows wrong settings again and again has its replicas made stale
// where others are right; where that would leave no group whole, the index takes no writes until it is in order. Meanwhile it is looked
// at more often than others, and its nodes are sent their settings each time: nothing else would end that.

const (
	// firstRecheck is, in units of Drift.Backoff, the time until an index that was found out of order is looked at again. It doubles
	// each time.
	firstRecheck = 8
	// maxRecheck is the longest such time.
	maxRecheck = time.Minute
)

// recheck says which indexes are looked at before the next check of all. Guarded by driftCheck.mu.
type recheck struct {
	indexes map[fsm.IndexID]bool
	pause   time.Duration
	at      time.Time
}

// hasten has an index looked at soon.
func (d *driftCheck) hasten(index fsm.IndexID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.soon.indexes[index] = true
	d.soon.pause = firstRecheck * d.opts.Drift.Backoff
	d.soon.at = time.Now().Add(d.soon.pause)
	d.bell.ring()
}

// expect has an index looked at soon unless it is to be anyway: what is sent to a node that cannot be put right must not make it be
// sent the same at once again.
func (d *driftCheck) expect(index fsm.IndexID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.soon.indexes[index] {
		return
	}
	if at := time.Now().Add(firstRecheck * d.opts.Drift.Backoff); len(d.soon.indexes) == 0 || at.Before(d.soon.at) {
		d.soon.at = at
	}
	d.soon.indexes[index] = true
	d.bell.ring()
}

// nextRecheck is when an index is to be looked at again, the zero time if none is.
func (d *driftCheck) nextRecheck() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.soon.indexes) == 0 {
		return time.Time{}
	}
	return d.soon.at
}

// takeDue are the indexes that are to be looked at before all others are.
func (d *driftCheck) takeDue() map[fsm.IndexID]bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.soon.indexes)
}

// settle judges the indexes that were just looked at, and sees when to look again at those that are not in order.
func (d *driftCheck) settle(ctx context.Context, looked map[fsm.IndexID]bool) {
	open := map[fsm.IndexID]bool{}
	for index := range looked {
		if !d.judge(ctx, index) {
			open[index] = true
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.soon.indexes, func(index fsm.IndexID, _ bool) bool { return looked[index] })
	maps.Copy(d.soon.indexes, open)
	d.soon.pause = min(2*d.soon.pause, maxRecheck)
	if len(d.soon.indexes) == 0 {
		d.soon.pause = 0
	}
	d.soon.pause = max(d.soon.pause, firstRecheck*d.opts.Drift.Backoff)
	d.soon.at = time.Now().Add(d.soon.pause)
}

// conclude notes what a node's settings were found to be: right, or not to be put right. nil: not known.
func (d *driftCheck) conclude(key driftKey, check *tasks.SettingsCheck) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if check == nil {
		delete(d.verdicts, key)
	} else {
		d.verdicts[key] = check
	}
}

// frozen reports that an index takes no writes because of its settings.
func (d *driftCheck) frozen(index fsm.IndexID) bool {
	ix := d.opts.Cluster.View().Indexes[index]
	return ix != nil && ix.Frozen != nil
}

// forgive lets a freeze that has ended be followed by as many attempts as at first.
func (d *driftCheck) forgive(index fsm.IndexID) {
	now := d.frozen(index)
	d.mu.Lock()
	defer d.mu.Unlock()
	if !now && d.wasFrozen[index] {
		maps.DeleteFunc(d.tried, func(key driftKey, _ driftTries) bool { return key.index == index })
	}
	if delete(d.wasFrozen, index); now {
		d.wasFrozen[index] = true
	}
}

// prune forgets indexes that are gone.
func (d *driftCheck) prune(view *fsm.View) {
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.tried, func(key driftKey, _ driftTries) bool { return view.Indexes[key.index] == nil })
	maps.DeleteFunc(d.verdicts, func(key driftKey, _ *tasks.SettingsCheck) bool { return view.Indexes[key.index] == nil })
	maps.DeleteFunc(d.wasFrozen, func(id fsm.IndexID, _ bool) bool { return view.Indexes[id] == nil })
}

// findings are what is known of the nodes that have an index in sync.
type findings struct {
	right   []fsm.NodeID
	wrong   []fsm.SettingsGaps // that cannot be put right
	trying  bool               // some other node is sent its settings
	unknown bool               // of some node nothing is known
}

func (d *driftCheck) findingsOf(view *fsm.View, ix *fsm.Index) (f findings) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, node := range tasks.SettingsNodes(view, ix) {
		key := driftKey{ix.ID, node}
		check := d.verdicts[key]
		_, tried := d.tried[key]
		switch {
		case check != nil && check.NextVersion == ix.NextVersion && check.Equal():
			f.right = append(f.right, node)
		case check != nil && check.NextVersion == ix.NextVersion:
			f.wrong = append(f.wrong, fsm.SettingsGaps{Node: node, Settings: check.Differing})
		case tried:
			f.trying = true
		default:
			f.unknown = true
		}
	}
	return f
}

// judge draws the consequences for an index. It reports that nothing is left to be done there for now.
func (d *driftCheck) judge(ctx context.Context, index fsm.IndexID) (inOrder bool) {
	view := d.opts.Cluster.View()
	ix := view.Indexes[index]
	if ix == nil || ix.Deleting {
		return true
	}
	if tasks.SettingsPending(ix, nil) {
		return ix.Frozen == nil && !d.awaited(index)
	}
	f := d.findingsOf(view, ix)
	settled := !f.trying && !f.unknown
	switch {
	case settled && len(f.wrong) > 0 && (ix.Frozen == nil || !reflect.DeepEqual(ix.Frozen.Nodes, f.wrong)):
		return d.giveUp(ctx, ix, f.wrong)
	case ix.Frozen != nil && (view.Config.SettingsVerify.NoFreeze || ix.HasGroupWithout(without(ix.Nodes(), f.right))):
		return d.unfreeze(ctx, ix)
	}
	return ix.Frozen == nil && !f.trying && !(f.unknown && d.awaited(index))
}

// awaited reports that an index is to be looked at soon.
func (d *driftCheck) awaited(index fsm.IndexID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.soon.indexes[index]
}

// giveUp commits that nodes cannot be brought to an index's settings, while no write to it is open: a replica that becomes stale has no
// say in one that is.
func (d *driftCheck) giveUp(ctx context.Context, ix *fsm.Index, wrong []fsm.SettingsGaps) (inOrder bool) {
	var result fsm.GiveUpSettingsResult
	hold := time.Duration(d.opts.Cluster.View().Config.Rebalancer.WriteHoldMaxMs) * time.Millisecond
	err := d.opts.Coordinator.HoldIndex(ctx, ix.ID, cmp.Or(hold, 2*time.Second), func(ctx context.Context) (err error) {
		result, err = fsm.Do(ctx, d.opts.Cluster, fsm.GiveUpSettings{Now: d.opts.Now(), Index: ix.ID, NextVersion: ix.NextVersion, Nodes: wrong})
		return err
	})
	if err != nil {
		d.opts.Logger.Warn("nodes with wrong settings are still read", "index", ix.UID, "nodes", wrong, "error", err)
		return false
	}
	for _, ref := range result.Stale {
		d.opts.Logger.Error("replica is stale: its node cannot be brought to the settings of the index", "node_id", ref.Node, "index", ix.UID, "shard", ref.Shard)
	}
	if result.Frozen {
		d.mu.Lock()
		d.wasFrozen[ix.ID] = true
		d.mu.Unlock()
		d.opts.Logger.Error("index takes no writes: nodes cannot be brought to its settings", "index", ix.UID, "nodes", wrong)
	}
	return !result.Frozen && ix.Frozen == nil
}

func (d *driftCheck) unfreeze(ctx context.Context, ix *fsm.Index) (inOrder bool) {
	if _, err := fsm.Do(ctx, d.opts.Cluster, fsm.UnfreezeIndex{Index: ix.ID}); err != nil {
		d.opts.Logger.Warn("index in order still takes no writes", "index", ix.UID, "error", err)
		return false
	}
	d.opts.Logger.Info("index takes writes again", "index", ix.UID, "frozen_since", ix.Frozen.Since)
	return true
}
