package workers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"miroir/fsm"
	"miroir/tasks"
)

// lostIndex looks whether a node that must have an index in sync still has the one that Miroir made. Somebody may have
// deleted it there, and the next write has made it anew, empty and without settings: its replicas become stale then, and
// the repair fills them.
type lostIndex struct {
	opts    Options
	index   fsm.IndexID
	node    fsm.NodeID
	deleted bool // a deletion is known, that Miroir may have asked for or not
}

// errUnsettled says that the settings of an index are being changed, so that it cannot be told now whether it is the one Miroir made.
var errUnsettled = errors.New("its settings are being changed")

// check reports whether the index was lost. It holds the index's writes only when it seems so. Error: errUnsettled.
func (l *lostIndex) check(ctx context.Context) (lost bool, err error) {
	if lost, err = l.seems(ctx); err != nil || !lost {
		return false, err
	}
	hold := time.Duration(l.opts.Cluster.View().Config.Rebalancer.WriteHoldMaxMs) * time.Millisecond
	err = l.opts.Coordinator.HoldIndex(ctx, l.index, cmp.Or(hold, 2*time.Second), func(ctx context.Context) error {
		if lost, err = l.seems(ctx); err != nil || !lost {
			return err
		}
		return l.markStale(ctx)
	})
	return lost && err == nil, err
}

// seems reports that the index is missing, or is another one, and no task of the node's will change that.
func (l *lostIndex) seems(ctx context.Context) (bool, error) {
	view := l.opts.Cluster.View()
	ix := view.Indexes[l.index]
	client := l.opts.Nodes.Client(view, l.node)
	if ix == nil || client == nil || !slices.Contains(ix.Nodes(fsm.Active), l.node) {
		return false, nil
	}
	if tasks.SettingsPending(ix, nil) {
		return false, errUnsettled
	}
	check, err := l.opts.Coordinator.CheckSettings(ctx, l.index, l.node)
	switch {
	case errors.Is(err, tasks.ErrSettingsMove):
		return false, errUnsettled
	case err != nil || !check.Missing() && !check.Unmarked:
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if busy, err := client.HasOpenSettings(ctx, ix.NodeUID); err != nil || busy {
		return false, cmp.Or(err, errUnsettled)
	}
	if check.Missing() || l.deleted {
		return true, nil
	}
	return client.DeletedLast(ctx, ix.NodeUID) // else somebody has only reset its settings
}

func (l *lostIndex) markStale(ctx context.Context) error {
	marked, err := fsm.Do(ctx, l.opts.Cluster, fsm.MarkNodeStale{Now: l.opts.Now(), Node: l.node, Index: l.index})
	if err != nil {
		return err
	}
	view := l.opts.Cluster.View()
	l.opts.Logger.Error("node lost an index: somebody deleted it there", "node_id", l.node, "index", view.Indexes[l.index].UID,
		"replicas", marked.NumStale, "lost", len(marked.Lost))
	if err := l.opts.Coordinator.WaitEverywhere(ctx, view.AppliedIndex); err != nil {
		return fmt.Errorf("not every pod knows yet that a node lost an index: %w", err)
	}
	return nil
}
