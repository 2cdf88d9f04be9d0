package workers

import (
	"context"
	"errors"
	"slices"
	"sync"

	"miroir/fsm"
	"miroir/tasks"
)

// births looks whether new indexes can be read before their names lead to them. A node's share of the write that makes an index
// is several tasks there, of which only the last is followed: a node may have failed to make the shard field filterable, and then
// have taken the documents. It would refuse every read of some of its shards.
type births struct {
	opts    Options
	poke    func()
	running sync.WaitGroup
	looks   map[uint32]*birth // by task uid; only the watch uses it
}

// birth is one look at a new index on all nodes that are to be read. The rest may be read once done is closed.
type birth struct {
	done  chan struct{}
	nodes []fsm.NodeID
	// unfit are nodes that could not be made fit to be read, silent those of them that do not answer.
	unfit, silent []fsm.NodeID
	moving        bool // nothing can be said of some node: the settings were just changing
}

func newBirths(o Options, poke func()) *births {
	return &births{opts: o, poke: poke, looks: map[uint32]*birth{}}
}

// makes reports that an index is seen once the task ends as the result says, and not before.
func makes(ix *fsm.Index, task *fsm.Task, result *tasks.Result) bool {
	return !ix.Visible && (result.Status == fsm.StatusSucceeded || result.IndexExists) &&
		slices.ContainsFunc(ix.Pending, func(p fsm.Pending) bool { return p.Task == task.UID && p.Create })
}

// isReadable reports whether the index, should the task make it, can be read wherever it is in sync. Nodes on which it cannot are put
// aside, and what only they have is tried until it can.
func (w *taskWatch) isReadable(ctx context.Context, ix *fsm.Index, task *fsm.Task, result *tasks.Result) bool {
	if !makes(ix, task, result) {
		return true
	}
	w.leaveBehind(ctx, task, result.FailedNodes)
	result.FailedNodes = without(result.FailedNodes, w.behind[task.UID])
	look := w.births.look(ctx, task)
	switch {
	case look == nil || ctx.Err() != nil:
		return false
	case len(look.unfit) == 0 && !look.moving && len(without(activeNodes(w.opts.Cluster.View(), task.Index), look.nodes)) == 0:
		return true
	}
	w.births.forget(task.UID) // all that is in sync then is looked at again
	if !w.mayHoldOpenWrite(ix, nil, look.silent) {
		w.putAside(ctx, task, look.unfit)
	}
	return false
}

// putAside makes the replicas of nodes stale wherever another node has the shard in sync.
func (w *taskWatch) putAside(ctx context.Context, task *fsm.Task, nodes []fsm.NodeID) {
	ix := w.opts.Cluster.View().Indexes[task.Index]
	if ix == nil {
		return
	}
	mark := fsm.MarkReplicas{Now: w.opts.Now()}
	for group, slots := range ix.Placement {
		for slot := range slots {
			shard := fsm.ShardID(slot)
			for _, r := range ix.Replicas(group, shard) {
				if r.State == fsm.Active && slices.Contains(nodes, r.Node) && !isAlone(ix, shard, nodes) {
					ref := fsm.ReplicaRef{Index: ix.ID, Group: group, Shard: shard, Node: r.Node}
					mark.Changes = append(mark.Changes, fsm.ReplicaChange{ReplicaRef: ref, From: fsm.Active, To: fsm.Stale})
				}
			}
		}
	}
	if len(mark.Changes) == 0 {
		return
	}
	if _, err := fsm.Do(ctx, w.opts.Cluster, mark); err != nil {
		w.opts.Logger.Warn("replicas that cannot be read are not stale", "task_uid", task.UID, "error", err)
		return
	}
	for _, change := range mark.Changes {
		w.opts.Logger.Warn("replica is stale: it cannot be read", "task_uid", task.UID, "node_id", change.Node, "shard", change.Shard)
	}
}

// isAlone reports whether no other node than these has a shard in sync.
func isAlone(ix *fsm.Index, shard fsm.ShardID, nodes []fsm.NodeID) bool {
	for group := range ix.Placement {
		if slices.ContainsFunc(ix.Replicas(group, shard), func(r fsm.Replica) bool { return r.State == fsm.Active && !slices.Contains(nodes, r.Node) }) {
			return false
		}
	}
	return true
}

// isMade reports whether an index that a failed task is to have created is there, on every node that is to be read: one that
// fails all its tasks has not made it either. Without it the index goes as if nobody had.
func (w *taskWatch) isMade(ctx context.Context, view *fsm.View, ix *fsm.Index) bool {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	for _, id := range ix.Nodes(fsm.Active) {
		client := w.opts.Nodes.Client(view, id)
		if client == nil {
			return false
		}
		if _, err := (copyNode{client, ix.NodeUID, askTimeout}).primaryKey(ctx); err != nil {
			w.opts.Logger.Debug("a failed task leaves no index", "node_id", id, "index", ix.UID, "error", err)
			return false
		}
	}
	return true
}

// look is the look at the index that a task makes, nil while it goes on.
func (b *births) look(ctx context.Context, task *fsm.Task) *birth {
	look := b.looks[task.UID]
	if look == nil {
		look = &birth{done: make(chan struct{})}
		b.looks[task.UID] = look
		index := task.Index
		b.running.Go(func() {
			b.see(ctx, index, look)
			close(look.done)
			b.poke()
		})
	}
	select {
	case <-look.done:
		return look
	default:
		return nil
	}
}

// forget has the index of a task looked at anew.
func (b *births) forget(task uint32) { delete(b.looks, task) }

// see asks all nodes that are to be read, at once.
func (b *births) see(ctx context.Context, index fsm.IndexID, look *birth) {
	ctx, cancel := context.WithTimeout(ctx, 2*askTimeout)
	defer cancel()
	view := b.opts.Cluster.View()
	look.nodes = activeNodes(view, index)
	ix := view.Indexes[index]
	if ix == nil || ix.Deleting {
		return // it goes at once
	}
	var mu sync.Mutex // guards look
	var asking sync.WaitGroup
	for _, id := range look.nodes {
		asking.Go(func() {
			err := b.makeReadable(ctx, index, id)
			if err == nil {
				return
			}
			b.opts.Logger.Warn("new index cannot be read on a node", "node_id", id, "index", ix.UID, "error", err)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, tasks.ErrSettingsMove):
				look.moving = true
			case !errors.Is(err, errUnreadable):
				look.silent = append(look.silent, id)
				fallthrough
			default:
				look.unfit = append(look.unfit, id)
			}
		})
	}
	asking.Wait()
}

// activeNodes are the nodes that an index is to be read on.
func activeNodes(view *fsm.View, index fsm.IndexID) []fsm.NodeID {
	if ix := view.Indexes[index]; ix != nil {
		return ix.Nodes(fsm.Active)
	}
	return nil
}

// errUnreadable says that a node has the index and cannot filter it by shard.
var errUnreadable = errors.New("the shard field is not filterable there")

// makeReadable asks a node whether its index can be read and puts it right, a few times. An index that is not there at all was
// deleted by somebody: that is not looked after here.
func (b *births) makeReadable(ctx context.Context, index fsm.IndexID, id fsm.NodeID) (err error) {
	drift := b.opts.Drift.configured(b.opts.Cluster.View())
	pause := drift.Backoff
	for tries := 0; ; tries++ {
		check, asked := b.opts.Coordinator.CheckSettings(ctx, index, id)
		switch err = asked; {
		case err != nil:
		case check.Missing() || !check.Unmarked:
			return nil
		case (&settingsReader{opts: b.opts, index: index, node: id}).busy(ctx):
			err = errUnreadable
		default:
			if err = b.opts.Coordinator.RestoreRule(ctx, index, id, check); err == nil {
				err = errUnreadable // until it is seen to be there
			}
		}
		if tries == drift.Retries || !sleep(ctx, pause) {
			return err
		}
		pause *= 2
	}
}
