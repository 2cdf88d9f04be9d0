package workers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/VictoriaMetrics/metrics"

	"miroir/fsm"
	"miroir/proxy/node"
	"miroir/tasks"
)

// foreignWatch looks for tasks on nodes that Miroir did not create: somebody wrote to a node directly. Each leads to a
// comparison of what that node holds of the index. Tasks that change settings do not tell who asked for them: each has these read
// back. It runs on the leader.
type foreignWatch struct {
	opts   Options
	set    *metrics.Set
	verify func(tasks.AuditRequest) (string, error)
	// Only run uses what follows. cursors are the task uids up to which nodes were looked at. doubts are tasks that took an
	// index away and may have been Miroir's own, until their end. later are nodes with replicas out of sync, of an index that
	// somebody wrote to there: what the repair finds or leaves there is compared once it ends.
	cursors map[fsm.NodeID]int64
	doubts  map[fsm.NodeID][]node.Task
	later   map[jobKey]bool

	mu    sync.Mutex
	found map[fsm.NodeID]*tasks.ForeignTasks // guarded by mu
}

func newForeignWatch(o Options, verify func(tasks.AuditRequest) (string, error)) *foreignWatch {
	return &foreignWatch{opts: o, set: o.AntiEntropy.Metrics, verify: verify, cursors: map[fsm.NodeID]int64{}, doubts: map[fsm.NodeID][]node.Task{},
		later: map[jobKey]bool{}, found: map[fsm.NodeID]*tasks.ForeignTasks{}}
}

// run looks until ctx ends, as often as nodes are checked. A node without new tasks costs one small request.
func (f *foreignWatch) run(ctx context.Context) {
	for sleep(ctx, f.opts.HealthInterval) {
		view := f.opts.Cluster.View()
		var looking sync.WaitGroup
		type outcome struct {
			node   *fsm.Node
			tasks  []node.Task
			newest *node.Task
			err    error
		}
		outcomes := make(chan outcome, len(view.Nodes))
		for _, n := range view.Nodes {
			client := f.opts.Nodes.Get(n)
			if n.State == fsm.NodeFailed || !client.Alive() {
				continue
			}
			after, known := f.cursors[n.ID]
			if !known {
				after = n.LastTaskUID
			}
			looking.Go(func() {
				asking, cancel := context.WithTimeout(ctx, askTimeout)
				defer cancel()
				list, newest, err := client.NotableTasks(asking, after)
				outcomes <- outcome{n, list, newest, err}
			})
		}
		looking.Wait()
		close(outcomes)
		var seen []*node.Task // the newest of each node
		for o := range outcomes {
			if o.err != nil {
				f.opts.Logger.Debug("node not asked for foreign tasks", "node_id", o.node.ID, "error", o.err)
				continue
			}
			shared := slices.ContainsFunc(seen, o.newest.IsSame)
			seen = append(seen, o.newest)
			lost := lostDisk(f.opts.Cluster.View(), o.node, node.UIDOf(o.newest))
			if (shared || lost) && f.isStray(ctx, o.node) {
				continue
			}
			if !shared && !lost {
				f.opts.strays.note(o.node.ID, o.newest)
			}
			list, newest := workedOff(o.tasks, node.UIDOf(o.newest))
			f.cursors[o.node.ID] = newest
			if lost {
				f.lostDisk(ctx, o.node, node.UIDOf(o.newest))
				continue
			}
			sure := slices.DeleteFunc(slices.Clone(list), func(task node.Task) bool { return task.Doubtful() || task.ChangesSettings() })
			f.readSettings(view, list)
			f.doubt(o.node.ID, list)
			f.note(view, o.node, append(sure, f.resolve(ctx, view, o.node)...))
		}
		f.compareLater(view)
	}
}

// workedOff leaves out what a node has still to do, and all that comes after: it shows in no comparison yet, and is looked at
// again. Doubtful tasks are waited for elsewhere. list is newest first.
func workedOff(list []node.Task, newest int64) ([]node.Task, int64) {
	for i, task := range slices.Backward(list) {
		if !task.Finished() && !task.Doubtful() {
			return list[i+1:], int64(task.UID) - 1
		}
	}
	return list, newest
}

// isStray reports that a node is astray or may be.
func (f *foreignWatch) isStray(ctx context.Context, n *fsm.Node) bool {
	stray, err := f.opts.strays.isStray(ctx, n)
	if err != nil && ctx.Err() == nil {
		f.opts.Logger.Warn("it is not known whether a node's address leads to another node's server", "node_id", n.ID, "error", err)
	}
	return stray || err != nil
}

// lostDisk deals with a node that came back with another disk before a health check missed it.
func (f *foreignWatch) lostDisk(ctx context.Context, n *fsm.Node, newest int64) {
	f.opts.strays.forget(n.ID)
	if err := f.opts.Coordinator.MarkDiskLost(ctx, n.ID, newest); err != nil && ctx.Err() == nil {
		f.opts.Logger.Warn("lost disk not committed", "node_id", n.ID, "error", err)
	}
}

// readSettings has settings read back that tasks changed. They may be those of a request that came late: its fate was decided, and
// the node brought in order, before it arrived.
func (f *foreignWatch) readSettings(view *fsm.View, list []node.Task) {
	for _, task := range list {
		if task.ChangesSettings() && task.IndexUID != nil {
			if ix := indexOnNodes(view, *task.IndexUID); ix != nil {
				f.opts.drift.expect(ix.ID)
			}
		}
	}
}

// maxDoubts bounds the doubtful tasks of a node; the drift check looks after what is left out.
const maxDoubts = 1000

// doubt keeps the doubtful ones of tasks until they have ended.
func (f *foreignWatch) doubt(id fsm.NodeID, list []node.Task) {
	for _, task := range list {
		if task.Doubtful() && task.IndexUID != nil && len(f.doubts[id]) < maxDoubts {
			f.doubts[id] = append(f.doubts[id], task)
		}
	}
}

// resolve looks what doubtful tasks that have ended did, and returns those that took an index away which must be there.
func (f *foreignWatch) resolve(ctx context.Context, view *fsm.View, n *fsm.Node) (foreign []node.Task) {
	var left []node.Task
	for _, task := range f.doubts[n.ID] {
		ix := indexOnNodes(view, *task.IndexUID)
		if ix == nil {
			continue
		}
		if _, held := heldShards(ix, n.ID); !held {
			continue // Miroir's own: what left, or is filled anew
		}
		asking, cancel := context.WithTimeout(ctx, askTimeout)
		now, err := f.opts.Nodes.Get(n).Tasks(asking, []uint32{task.UID})
		cancel()
		if err != nil || len(now) == 1 && !now[0].Finished() {
			left = append(left, task)
			continue
		}
		lost, err := (&lostIndex{opts: f.opts, index: ix.ID, node: n.ID, deleted: true}).check(ctx)
		switch {
		case errors.Is(err, errUnsettled):
			left = append(left, task)
		case err != nil:
			f.opts.Logger.Warn("not known whether a node lost an index", "node_id", n.ID, "index", ix.UID, "error", err)
			left = append(left, task)
		case lost:
			foreign = append(foreign, task)
		}
	}
	f.doubts[n.ID] = left
	return foreign
}

// indexOnNodes is the index of that name on the nodes, nil for none.
func indexOnNodes(view *fsm.View, nodeUID string) *fsm.Index {
	for _, ix := range view.Indexes {
		if ix.NodeUID == nodeUID && !ix.Deleting {
			return ix
		}
	}
	return nil
}

// note counts and reports foreign tasks and has the indexes concerned compared.
func (f *foreignWatch) note(view *fsm.View, n *fsm.Node, list []node.Task) {
	if len(list) == 0 {
		return
	}
	f.set.GetOrCreateCounter(fmt.Sprintf("miroir_foreign_node_tasks_total{node_id=%q}", n.ID)).Add(len(list))
	f.mu.Lock()
	known := f.found[n.ID]
	if known == nil {
		known = &tasks.ForeignTasks{Node: n.ID}
		f.found[n.ID] = known
	}
	known.Count += len(list)
	known.Last = list[0].EnqueuedAt
	if list[0].IndexUID != nil {
		known.Index = *list[0].IndexUID
	}
	f.mu.Unlock()
	concerned := map[fsm.IndexID]bool{}
	for _, task := range list {
		f.opts.Logger.Error("somebody wrote to a node directly", "node_id", n.ID, "node_task_uid", task.UID, "type", task.Type, "index", task.IndexUID)
		for _, ix := range view.Indexes {
			if task.IndexUID == nil || *task.IndexUID == ix.NodeUID {
				concerned[ix.ID] = true
			}
		}
	}
	for _, index := range slices.Sorted(maps.Keys(concerned)) {
		f.compare(view.Indexes[index], n.ID)
	}
}

// compare has what a node holds of an index compared with other copies, now and when its repair has ended.
func (f *foreignWatch) compare(ix *fsm.Index, id fsm.NodeID) {
	if slices.Contains(ix.Nodes(fsm.Stale, fsm.Joining), id) {
		f.later[jobKey{ix.ID, id}] = true
	}
	shards, any := heldShards(ix, id)
	if !any {
		return
	}
	if _, err := f.verify(tasks.AuditRequest{Index: ix.ID, Shards: shards}); err != nil {
		f.opts.Logger.Warn("index not compared after a foreign task", "index_id", ix.ID, "error", err)
	}
}

// compareLater compares what has been repaired meanwhile.
func (f *foreignWatch) compareLater(view *fsm.View) {
	for key := range f.later {
		ix := view.Indexes[key.index]
		if ix != nil && slices.Contains(ix.Nodes(fsm.Stale, fsm.Joining), key.node) {
			continue
		}
		delete(f.later, key)
		if ix != nil {
			f.compare(ix, key.node)
		}
	}
}

// heldShards are the shards of which a node has a replica in sync; nil for an index that lives whole there.
func heldShards(ix *fsm.Index, id fsm.NodeID) (shards []fsm.ShardID, any bool) {
	for group, slots := range ix.Placement {
		for slot := range slots {
			for _, replica := range ix.Replicas(group, fsm.ShardID(slot)) {
				if replica.Node == id && replica.State == fsm.Active {
					any = true
					shards = append(shards, fsm.ShardID(slot))
				}
			}
		}
	}
	if ix.Whole() {
		return nil, any
	}
	slices.Sort(shards)
	return shards, any
}

// list tells what was found, by node.
func (f *foreignWatch) list() []tasks.ForeignTasks {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []tasks.ForeignTasks
	for _, found := range f.found {
		list = append(list, *found)
	}
	slices.SortFunc(list, func(a, b tasks.ForeignTasks) int { return cmp.Compare(a.Node, b.Node) })
	return list
}
