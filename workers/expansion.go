package workers

import (
	"context"
	"errors"
	"fmt"

	"miroir/fsm"
)

// expansion cuts an index up that lives whole: each of its nodes has all shards then, and moves follow. From that moment on its nodes
// are asked for some of the shards only, so every node that is read must be able to filter by shard before.
type expansion struct {
	opts   Options
	repair *Repair // configured
	index  fsm.IndexID
}

// errUnprepared says that a node cannot filter by shard yet: it has been told, and is asked again.
var errUnprepared = errors.New("the node does not filter by shard yet")

// run takes one step: nodes are told to make shards filterable, or all can and the index is cut up. It is called again after an error.
func (e *expansion) run(ctx context.Context) error {
	if _, err := e.prepared(ctx, e.opts.Coordinator.MakeShardsFilterable); err != nil {
		return err
	}
	err := e.opts.Coordinator.HoldIndex(ctx, e.index, e.repair.MaxHold, e.cut)
	if err != nil {
		return err
	}
	ix := e.opts.Cluster.View().Indexes[e.index]
	if ix == nil {
		return nil
	}
	e.opts.Logger.Info("index moves out over its group", "index", ix.UID, "shards", ix.Shards)
	for _, id := range ix.Nodes(fsm.Active) {
		if _, err := e.opts.Coordinator.JoinReplicas(ctx, e.index, id, nil); err != nil {
			e.opts.Logger.Warn("settings of a spread index not sent", "index", ix.UID, "node_id", id, "error", err)
		}
	}
	return nil
}

// cut is the end, while no write of the index begins and none is open: what the nodes can do now they can until it is cut up. Nodes
// that have failed are out of sync from now on, so that their repair looks after it.
func (e *expansion) cut(ctx context.Context) error {
	absent, err := e.prepared(ctx, e.opts.Coordinator.FiltersShards)
	if err != nil {
		return err
	}
	if len(absent) > 0 {
		if _, err := fsm.Do(ctx, e.opts.Cluster, fsm.MarkReplicas{Now: e.opts.Now(), Changes: absent}); err != nil {
			return err
		}
	}
	_, err = fsm.Do(ctx, e.opts.Cluster, fsm.ExpandIndex{Index: e.index})
	return err
}

// prepared asks each node that is read whether it is ready; the first that is not is an error. absent takes those out of sync that
// have failed.
func (e *expansion) prepared(ctx context.Context, ready func(context.Context, fsm.IndexID, fsm.NodeID) (bool, error)) (absent []fsm.ReplicaChange, err error) {
	view := e.opts.Cluster.View()
	ix := view.Indexes[e.index]
	if ix == nil || ix.Deleting || !ix.Whole() {
		return nil, errVoid
	}
	for group := range ix.Placement {
		for _, replica := range ix.Replicas(group, 0) {
			n := view.Node(replica.Node)
			switch {
			case replica.State != fsm.Active || n == nil:
			case n.State == fsm.NodeFailed:
				ref := fsm.ReplicaRef{Index: e.index, Group: group, Node: replica.Node}
				absent = append(absent, fsm.ReplicaChange{ReplicaRef: ref, From: fsm.Active, To: fsm.Stale})
			case !e.opts.Nodes.Get(n).Alive():
				err = errors.Join(err, fmt.Errorf("node %s: %w", replica.Node, errNotAlive))
			default:
				ok, asked := ready(ctx, e.index, replica.Node)
				if asked == nil && !ok {
					asked = errUnprepared
				}
				if asked != nil {
					err = errors.Join(err, fmt.Errorf("node %s: %w", replica.Node, asked))
				}
			}
		}
	}
	return absent, err
}
