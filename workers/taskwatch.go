package workers

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"time"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
	"miroir/tasks"
)

// taskWatch follows the node tasks of open client tasks and finishes these. While tasks are open it asks every node
// concerned in one request, often at first and then less so; without any it asks nobody.
type taskWatch struct {
	opts Options
	// seen keeps what nodes said of the shares of open tasks that have ended, so that they are not asked for again.
	seen map[nodeTaskKey]node.Task
	// behind are the nodes that are out of sync because they failed an open task, by that task.
	behind map[uint32][]fsm.NodeID
	wake   chan struct{} // of the workers' own; requests signal through the Coordinator
	// verifier reads settings back before their task ends.
	verifier *verifier
	births   *births
	crashes  *crashWatch
	goesOn   bool // a deletion of tasks has more to do
}

// nodeTaskKey is one node's share of a client task. A node that lost its disk gives the same uids again, to other tasks.
type nodeTaskKey struct {
	task uint32
	node fsm.NodeID
	uid  uint32
}

func newTaskWatch(o Options) *taskWatch {
	w := &taskWatch{opts: o, seen: map[nodeTaskKey]node.Task{}, behind: map[uint32][]fsm.NodeID{}, wake: make(chan struct{}, 1), crashes: o.crashes}
	w.verifier, w.births = newVerifier(o, w.poke), newBirths(o, w.poke)
	return w
}

// poke says that there may be something new to watch.
func (w *taskWatch) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run watches until ctx ends.
func (w *taskWatch) run(ctx context.Context) {
	defer w.births.running.Wait()
	defer w.verifier.running.Wait()
	w.verifier.putBackLast(ctx)
	pause := w.opts.PollMin
	for ctx.Err() == nil {
		open, progress := w.look(ctx)
		if progress {
			pause = w.opts.PollMin
		}
		if !open {
			pause = w.opts.PollMin
			clear(w.seen)
			clear(w.behind)
			w.verifier.forget()
			w.crashes.clear()
		}
		if w.wait(ctx, open, pause) {
			pause = w.opts.PollMin
			continue
		}
		pause = min(pause*2, w.opts.PollMax)
	}
}

// wait sleeps for pause, or without open tasks until there are some; it reports true when a task has begun meanwhile.
func (w *taskWatch) wait(ctx context.Context, open bool, pause time.Duration) bool {
	var timeout <-chan time.Time
	if open {
		timer := time.NewTimer(pause)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-w.opts.Coordinator.TaskBegun():
		return true
	case <-w.wake:
		return true
	case <-timeout:
		return false
	case <-ctx.Done():
		return false
	}
}

// look takes one look at all open tasks. It reports whether some stay open and whether something moved on.
func (w *taskWatch) look(ctx context.Context) (open, progress bool) {
	list, err := w.opts.Cluster.Tasks().OpenTasks()
	if err != nil {
		w.opts.Logger.Error("open tasks not read", "error", err)
		return true, false
	}
	if len(list) == 0 {
		return false, false
	}
	view := w.opts.Cluster.View()
	answers := w.askNodes(ctx, view, list)
	progress = w.stopCrashing(ctx, view, list, answers)
	turn := turns{blocked: map[fsm.IndexID]bool{}, moves: nameMoves(view)}
	started := fsm.StartTasks{Now: w.opts.Now()}
	finished := 0
	w.goesOn = false
	for _, task := range list {
		done, running := w.advance(ctx, view, task, answers, turn)
		if done {
			finished++
			progress = true
			delete(w.behind, task.UID)
			w.births.forget(task.UID)
			for _, share := range task.NodeTasks {
				delete(w.seen, nodeTaskKey{task.UID, share.Node, share.UID})
			}
			continue
		}
		turn.blocked[task.Index] = task.Index != 0
		if running && task.Status == fsm.StatusEnqueued {
			started.TaskUIDs = append(started.TaskUIDs, task.UID)
		}
	}
	if len(started.TaskUIDs) > 0 {
		progress = true
		if _, err := fsm.Do(ctx, w.opts.Cluster, started); err != nil {
			w.opts.Logger.Warn("started tasks not committed", "error", err)
		}
	}
	return finished < len(list) || w.opts.Cluster.View().NumOpenTasks > 0, progress || w.goesOn
}

// advance finishes a task whose time has come. Tasks of one index finish in order. running reports that a node is at it.
func (w *taskWatch) advance(ctx context.Context, view *fsm.View, task *fsm.Task, answers answers, turn turns) (done, running bool) {
	switch meili.TaskKind(task.Kind) {
	case meili.TaskTaskCancelation:
		return w.cancel(ctx, view, task), false
	case meili.TaskTaskDeletion:
		done = w.delete(ctx, task)
		return done, w.goesOn
	}
	ix := view.Indexes[task.Index]
	if len(task.NodeTasks) == 0 || ix == nil {
		return false, false // its nodes have not all answered yet, or it waits for others
	}
	result := tasks.Merge(task, w.reportsOf(view, ix, task, answers), ix.NodeUID)
	w.crashes.outcome(task, &result)
	if result.Status == "" || turn.waits(task) {
		w.leaveBehind(ctx, task, result.Behind)
		return false, result.Started
	}
	result.FailedNodes = without(result.FailedNodes, w.behind[task.UID]) // they may be repaired by now
	if w.mayHoldOpenWrite(ix, task.Shards, unheard(view, task, result.FailedNodes, answers)) {
		return false, result.Started
	}
	if result.IndexExists {
		result.IndexExists = w.isMade(ctx, view, ix)
	}
	if !w.isReadable(ctx, ix, task, &result) || !w.verifier.verified(ctx, view, task, &result) {
		return false, result.Started
	}
	return w.finish(ctx, task, result), result.Started
}

// leaveBehind makes the replicas stale that failed a task which others have done, while still others take their time: reads
// would show what came after it and not the task. What a node does in the moment until that is known cannot be helped.
func (w *taskWatch) leaveBehind(ctx context.Context, task *fsm.Task, nodes []fsm.NodeID) {
	if nodes = without(nodes, w.behind[task.UID]); len(nodes) == 0 {
		return
	}
	end := fsm.FinishTask{Now: w.opts.Now(), TaskUID: task.UID, Status: fsm.StatusSucceeded, FailedNodes: nodes, StaleOnly: true}
	result, err := fsm.Do(ctx, w.opts.Cluster, end)
	if err != nil {
		w.opts.Logger.Warn("replicas that failed a task are not stale", "task_uid", task.UID, "error", err)
		return
	}
	w.behind[task.UID] = append(w.behind[task.UID], nodes...)
	w.logStale(task, result.Stale)
}

// unheard are those of the nodes that have not said what became of a task there, and did not answer now.
func unheard(view *fsm.View, task *fsm.Task, nodes []fsm.NodeID, said answers) (silent []fsm.NodeID) {
	for _, share := range task.NodeTasks {
		_, known := said.tasks[nodeTaskKey{task.UID, share.Node, share.UID}]
		if !known && !said.asked[share.Node] && slices.Contains(nodes, share.Node) && view.Nodes[share.Node] != nil {
			silent = append(silent, share.Node)
		}
	}
	return silent
}

// mayHoldOpenWrite reports whether an open write to one of the shards (nil for all) was to go to one of the nodes, none of which can be
// asked. It may be the only one that has the write, and clients may have read it there: out of sync it would have no say when
// the write is decided. Once that is, the write itself has made the node stale or nothing speaks against it.
func (w *taskWatch) mayHoldOpenWrite(ix *fsm.Index, shards []fsm.ShardID, nodes []fsm.NodeID) bool {
	if len(nodes) == 0 || w.opts.Cluster.View().NumOpenIntents == 0 {
		return false
	}
	intents, err := w.opts.Cluster.Tasks().OpenIntents()
	if err != nil {
		w.opts.Logger.Error("open writes not read", "error", err)
		return true // looked at again
	}
	slots := ix.Slots(shards)
	return slices.ContainsFunc(intents, func(in *fsm.Intent) bool {
		return in.Index == ix.ID &&
			slices.ContainsFunc(ix.Slots(in.Shards), func(slot int) bool { return slices.Contains(slots, slot) }) &&
			slices.ContainsFunc(in.Targets, func(to fsm.Target) bool { return slices.Contains(nodes, to.Node) })
	})
}

func without(nodes, gone []fsm.NodeID) []fsm.NodeID {
	return slices.DeleteFunc(slices.Clone(nodes), func(id fsm.NodeID) bool { return slices.Contains(gone, id) })
}

func (w *taskWatch) logStale(task *fsm.Task, stale []fsm.ReplicaRef) {
	for _, ref := range stale {
		w.opts.Logger.Warn("replica is stale: its node did not do what others did", "task_uid", task.UID, "node_id", ref.Node, "shard", ref.Shard)
	}
}

// turns says which tasks must wait for others to end.
type turns struct {
	blocked map[fsm.IndexID]bool // indexes with an earlier task that is still open
	moves   map[string]uint32    // see nameMoves
}

// waits reports that an earlier task of the index is open, or that the name the task was sent to is still to be moved by
// an earlier one: whoever sees the task end must find what it did under that name.
func (t turns) waits(task *fsm.Task) bool {
	if t.blocked[task.Index] {
		return true
	}
	mover, moving := t.moves[*task.IndexUID]
	return moving && mover < task.UID
}

// nameMoves are the names that are still to lead to another index or to none, with the oldest task that is to move them.
func nameMoves(view *fsm.View) map[string]uint32 {
	moves := map[string]uint32{}
	note := func(name string, task uint32) {
		if oldest, known := moves[name]; !known || task < oldest {
			moves[name] = task
		}
	}
	for _, ix := range view.Indexes {
		for _, p := range ix.Pending {
			if p.Delete {
				note(ix.UID, p.Task)
			}
			for _, s := range p.Swaps {
				note(s.A, p.Task)
				note(s.B, p.Task)
			}
		}
	}
	return moves
}

func (w *taskWatch) finish(ctx context.Context, task *fsm.Task, result tasks.Result) bool {
	end := fsm.FinishTask{
		Now: w.opts.Now(), TaskUID: task.UID, Status: result.Status, Details: result.Details, Error: result.Error,
		StartedAt: result.StartedAt, FinishedAt: result.FinishedAt, FailedNodes: result.FailedNodes,
		NodeTasks: result.NodeTasks, IndexExists: result.IndexExists,
	}
	stale, err := w.end(ctx, task, end)
	if ix := w.opts.Cluster.View().Indexes[task.Index]; ix != nil && task.Effect.DeleteIndex && errors.Is(err, fsm.ErrOperationBusy) {
		w.opts.Logger.Warn("no node has deleted an index whose name is used again; they are asked until they have", "task_uid", task.UID)
		end.Status, end.Details, end.Error, end.FailedNodes = fsm.StatusSucceeded, nil, nil, ix.Nodes()
		stale, err = w.end(ctx, task, end)
	}
	if err != nil {
		w.opts.Logger.Warn("end of a task not committed", "task_uid", task.UID, "error", err)
		return false
	}
	w.logStale(task, stale)
	if len(result.Undo) > 0 {
		if err := w.opts.Coordinator.UndoChange(ctx, task, result.Undo); err != nil {
			w.opts.Logger.Error("failed change not undone everywhere", "task_uid", task.UID, "error", err)
		}
	}
	if result.Status != fsm.StatusSucceeded {
		w.verifier.putBack(ctx, task)
	}
	return true
}

// end commits the end of a task.
func (w *taskWatch) end(ctx context.Context, task *fsm.Task, end fsm.FinishTask) ([]fsm.ReplicaRef, error) {
	stale, err := w.staleFirst(ctx, task, end)
	if err == nil {
		_, err = fsm.Do(ctx, w.opts.Cluster, end)
	}
	return stale, err
}

// staleFirst makes the replicas stale that failed a task, and returns once no pod reads stale replicas of its index any
// more: only then may the task be shown as finished.
func (w *taskWatch) staleFirst(ctx context.Context, task *fsm.Task, end fsm.FinishTask) ([]fsm.ReplicaRef, error) {
	var result fsm.FinishTaskResult
	if len(end.FailedNodes) > 0 {
		var err error
		end.StaleOnly = true
		if result, err = fsm.Do(ctx, w.opts.Cluster, end); err != nil {
			return nil, err
		}
	}
	view := w.opts.Cluster.View()
	pods, several := w.opts.Cluster.(interface {
		WaitEverywhere(ctx context.Context, index uint64) error
	})
	if ix := view.Indexes[task.Index]; !several || ix == nil || len(ix.Nodes(fsm.Stale)) == 0 {
		return result.Stale, nil
	}
	return result.Stale, pods.WaitEverywhere(ctx, view.AppliedIndex)
}

// answers is what the nodes said in one look.
type answers struct {
	tasks map[nodeTaskKey]node.Task
	asked map[fsm.NodeID]bool // the node answered
	// broken: its connections break, as they do when its process has died.
	broken map[fsm.NodeID]bool
}

// askNodes asks every node for its unfinished share of the open tasks, all nodes at once.
func (w *taskWatch) askNodes(ctx context.Context, view *fsm.View, list []*fsm.Task) answers {
	wanted := map[fsm.NodeID][]uint32{}
	found := answers{tasks: map[nodeTaskKey]node.Task{}, asked: map[fsm.NodeID]bool{}, broken: map[fsm.NodeID]bool{}}
	for key := range w.unseen(list, found) {
		wanted[key.node] = append(wanted[key.node], key.uid)
	}
	said := map[fsm.NodeID]map[uint32]node.Task{}
	var mu sync.Mutex // guards said and found.asked while nodes answer
	var asking sync.WaitGroup
	for id, uids := range wanted {
		client := w.opts.Nodes.Client(view, id)
		if client == nil {
			continue
		}
		asking.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, askTimeout)
			defer cancel()
			list, err := client.Tasks(ctx, uids)
			if err != nil {
				w.opts.Logger.Debug("node not asked for its tasks", "node_id", id, "error", err)
			}
			mu.Lock()
			defer mu.Unlock()
			if found.broken[id] = isBroken(err); err != nil {
				return
			}
			found.asked[id], said[id] = true, map[uint32]node.Task{}
			for _, task := range list {
				said[id][task.UID] = task
			}
		})
	}
	asking.Wait()
	for key := range w.unseen(list, found) {
		if answer, ok := said[key.node][key.uid]; ok {
			found.tasks[key] = answer
			if answer.Finished() {
				w.seen[key] = answer
			}
		}
	}
	return found
}

// unseen yields the shares of tasks that are not known to have ended; those that are go to found.
func (w *taskWatch) unseen(list []*fsm.Task, found answers) iter.Seq[nodeTaskKey] {
	return func(yield func(nodeTaskKey) bool) {
		for _, task := range list {
			for _, share := range task.NodeTasks {
				key := nodeTaskKey{task.UID, share.Node, share.UID}
				if known, ok := w.seen[key]; ok {
					found.tasks[key] = known
				} else if !yield(key) {
					return
				}
			}
		}
	}
}

// reportsOf joins a task's shares with what the nodes said of them. Of a stopped task nobody waits for nodes that are gone.
func (w *taskWatch) reportsOf(view *fsm.View, ix *fsm.Index, task *fsm.Task, said answers) []tasks.Report {
	reports := make([]tasks.Report, len(task.NodeTasks))
	for i, share := range task.NodeTasks {
		report := tasks.Report{NodeTask: share, InSync: inSync(ix, task, share), Unsynced: unsynced(ix, share), Inherited: inherited(ix, task, share)}
		if meili.TaskKind(task.Kind) == meili.TaskIndexCompaction {
			report.Part = partOf(ix, share.Node)
		}
		if answer, ok := said.tasks[nodeTaskKey{task.UID, share.Node, share.UID}]; ok {
			report.Task = &answer
		} else {
			report.Missing = said.asked[share.Node]
		}
		n := view.Nodes[share.Node]
		report.Down = n == nil || n.State == fsm.NodeFailed || !said.asked[share.Node] && w.crashes.isStopped(task.UID)
		reports[i] = report
	}
	return reports
}

// inSync reports whether one of the replicas that the share wrote to is read.
func inSync(ix *fsm.Index, task *fsm.Task, share fsm.NodeTask) bool {
	for group, slots := range ix.Placement {
		for slot := range slots {
			if !ix.Whole() && share.Shards != nil && !slices.Contains(share.Shards, fsm.ShardID(slot)) {
				continue
			}
			if !ix.Whole() && task.Shards != nil && !slices.Contains(task.Shards, fsm.ShardID(slot)) {
				continue
			}
			for _, replica := range ix.Replicas(group, fsm.ShardID(slot)) {
				if replica.Node == share.Node && replica.State == fsm.Active {
					return true
				}
			}
		}
	}
	return false
}

// partOf is which part of what a node has of an index counts where each shard is counted once, over all groups.
func partOf(ix *fsm.Index, node fsm.NodeID) float64 {
	copies, held := map[int]int{}, map[int]bool{}
	for group, slots := range ix.Placement {
		for slot := range slots {
			for _, replica := range ix.Replicas(group, fsm.ShardID(slot)) {
				if replica.State == fsm.Active {
					copies[slot]++
					held[slot] = held[slot] || replica.Node == node
				}
			}
		}
	}
	part, slots := 0.0, 0
	for slot, here := range held {
		if here {
			part, slots = part+1/float64(copies[slot]), slots+1
		}
	}
	return part / float64(max(slots, 1))
}

// unsynced are the shards of a share of which the node's replica is not read.
func unsynced(ix *fsm.Index, share fsm.NodeTask) (shards []fsm.ShardID) {
	for _, shard := range share.Shards {
		read := false
		for group := range ix.Placement {
			read = read || slices.ContainsFunc(ix.Replicas(group, shard), func(r fsm.Replica) bool { return r.Node == share.Node && r.State == fsm.Active })
		}
		if !read {
			shards = append(shards, shard)
		}
	}
	return shards
}

// inherited reports whether each shard that the share wrote to has a replica in sync that the write was not sent to.
func inherited(ix *fsm.Index, task *fsm.Task, share fsm.NodeTask) bool {
	shards := share.Shards
	switch {
	case ix.Whole():
		shards = []fsm.ShardID{0}
	case shards == nil:
		shards = task.Shards
	}
	sent := func(to fsm.NodeID, shard fsm.ShardID) bool {
		return slices.ContainsFunc(task.NodeTasks, func(other fsm.NodeTask) bool {
			return other.Node == to && (ix.Whole() || other.Shards == nil || slices.Contains(other.Shards, shard))
		})
	}
	for _, shard := range shards {
		found := false
		for group := range ix.Placement {
			found = found || slices.ContainsFunc(ix.Replicas(group, shard), func(r fsm.Replica) bool {
				return r.State == fsm.Active && !sent(r.Node, shard)
			})
		}
		if !found {
			return false
		}
	}
	return len(shards) > 0
}
