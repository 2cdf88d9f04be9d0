package workers

import (
	"cmp"
	"context"
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
// comparison of what that node holds of the index. It runs on the leader.
type foreignWatch struct {
	opts   Options
	set    *metrics.Set
	verify func(tasks.AuditRequest) (string, error)
	// cursors are the task uids up to which nodes were looked at; only run uses it.
	cursors map[fsm.NodeID]int64

	mu    sync.Mutex
	found map[fsm.NodeID]*tasks.ForeignTasks // guarded by mu
}

func newForeignWatch(o Options, verify func(tasks.AuditRequest) (string, error)) *foreignWatch {
	return &foreignWatch{opts: o, set: o.AntiEntropy.Metrics, verify: verify, cursors: map[fsm.NodeID]int64{}, found: map[fsm.NodeID]*tasks.ForeignTasks{}}
}

// run looks until ctx ends, as often as nodes are checked. A node without new tasks costs one small request.
func (f *foreignWatch) run(ctx context.Context) {
	for sleep(ctx, f.opts.HealthInterval) {
		view := f.opts.Cluster.View()
		var looking sync.WaitGroup
		type outcome struct {
			node   *fsm.Node
			tasks  []node.Task
			newest int64
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
				list, newest, err := client.ForeignTasks(asking, after)
				outcomes <- outcome{n, list, newest, err}
			})
		}
		looking.Wait()
		close(outcomes)
		for o := range outcomes {
			if o.err != nil {
				f.opts.Logger.Debug("node not asked for foreign tasks", "node_id", o.node.ID, "error", o.err)
				continue
			}
			f.cursors[o.node.ID] = o.newest
			f.note(view, o.node, o.tasks)
		}
	}
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
		shards, any := heldShards(view.Indexes[index], n.ID)
		if !any {
			continue
		}
		if _, err := f.verify(tasks.AuditRequest{Index: index, Shards: shards}); err != nil {
			f.opts.Logger.Warn("index not compared after a foreign task", "index_id", index, "error", err)
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
