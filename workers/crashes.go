package workers

import (
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"miroir/fsm"
	"miroir/proxy/node"
	"miroir/tasks"
)

// crashWatch finds writes that kill the nodes that process them. A death counts against a task when its node task was
// being processed at the last look before the node's connections broke, or waits again although it had begun. A task is
// stopped after the deaths of two nodes, when another node has it still before it, or when one of the two died of it
// again after its restart. Two nodes that lose their power at once are therefore left to finish it. What it knows ends
// with the term.
type crashWatch struct {
	last map[nodeTaskKey]node.Task // unfinished node tasks as the last look found them
	gone map[fsm.NodeID]bool       // nodes whose connections broke, until they answer again
	// begun is when a node task that counts as a death had begun: a node that still processes it since then lives.
	begun map[nodeTaskKey]time.Time
	// obeyed are the node tasks of stopped tasks whose cancelation their node has worked off.
	obeyed map[nodeUID]bool

	mu      sync.Mutex                    // guards what follows: attempts to repair ask
	deaths  map[uint32]map[fsm.NodeID]int // by client task
	stopped map[uint32]bool               // client tasks
}

func newCrashWatch() *crashWatch {
	return &crashWatch{
		last: map[nodeTaskKey]node.Task{}, gone: map[fsm.NodeID]bool{}, begun: map[nodeTaskKey]time.Time{}, obeyed: map[nodeUID]bool{},
		deaths: map[uint32]map[fsm.NodeID]int{}, stopped: map[uint32]bool{},
	}
}

// isBroken tells a connection that was refused or broke from a node that is slow or answered.
func isBroken(err error) bool {
	outcome := node.OutcomeOf(err)
	var timeout net.Error
	return (outcome == node.NotSent || outcome == node.Unknown) && !(errors.As(err, &timeout) && timeout.Timeout())
}

// suspected reports whether a node died while it processed the task.
func (c *crashWatch) suspected(task uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.deaths[task]) > 0
}

func (c *crashWatch) isStopped(task uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopped[task]
}

// clear forgets everything: no task is open.
func (c *crashWatch) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.last)
	clear(c.obeyed)
	clear(c.begun)
	clear(c.deaths)
	clear(c.stopped)
}

// unsee forgets how far node tasks were: a cancelation makes those that shared a batch with the canceled ones wait again.
func (c *crashWatch) unsee() { clear(c.last) }

// nodeUID names a node task.
type nodeUID struct {
	node fsm.NodeID
	uid  uint32
}

// openShare is one node's unfinished share of an open task.
type openShare struct {
	task uint32
	key  nodeTaskKey
}

// note takes what one look found and returns the tasks that are stopped from now on.
func (c *crashWatch) note(list []*fsm.Task, said answers) []*fsm.Task {
	c.mu.Lock()
	defer c.mu.Unlock()
	open := map[fsm.NodeID][]openShare{}
	for _, task := range list {
		for _, share := range task.NodeTasks {
			key := nodeTaskKey{task.UID, share.Node, share.UID}
			if known, ok := said.tasks[key]; !ok || !known.Finished() {
				open[share.Node] = append(open[share.Node], openShare{task.UID, key})
			}
		}
	}
	for id, shares := range open {
		switch {
		case said.broken[id] && !c.gone[id]:
			c.gone[id] = true
			for _, share := range c.processed(shares) {
				c.died(share)
			}
		case said.asked[id]:
			delete(c.gone, id)
			for _, share := range shares {
				if now, known := said.tasks[share.key]; known {
					c.compare(share, now)
				}
			}
		}
	}
	var stopped []*fsm.Task
	for _, task := range list {
		if !c.stopped[task.UID] && c.mustStop(task, said) {
			c.stopped[task.UID] = true
			stopped = append(stopped, task)
		}
	}
	return stopped
}

// processed are the shares that a node was at when it died: those last seen so, else the oldest, which was its next.
func (c *crashWatch) processed(shares []openShare) []openShare {
	at := slices.DeleteFunc(slices.Clone(shares), func(s openShare) bool { return c.last[s.key].Status != fsm.StatusProcessing })
	if len(at) > 0 {
		return at
	}
	return []openShare{slices.MinFunc(shares, func(a, b openShare) int { return int(a.key.uid) - int(b.key.uid) })}
}

func (c *crashWatch) died(s openShare) {
	if c.deaths[s.task] == nil {
		c.deaths[s.task] = map[fsm.NodeID]int{}
	}
	c.deaths[s.task][s.key.node]++
	if began := c.last[s.key].StartedAt; began != nil {
		c.begun[s.key] = *began
	}
	delete(c.last, s.key)
	delete(c.obeyed, nodeUID{s.key.node, s.key.uid})
}

// compare holds what a node says of a share against what it said before.
func (c *crashWatch) compare(s openShare, now node.Task) {
	before, began := c.last[s.key], c.begun[s.key]
	same := now.StartedAt != nil && now.Status == fsm.StatusProcessing
	switch {
	case same && !began.IsZero() && now.StartedAt.Equal(began): // only its connections broke
		delete(c.begun, s.key)
		if c.deaths[s.task][s.key.node]--; c.deaths[s.task][s.key.node] == 0 {
			delete(c.deaths[s.task], s.key.node)
		}
	case before.Status == fsm.StatusProcessing && before.StartedAt != nil && !(same && now.StartedAt.Equal(*before.StartedAt)):
		c.died(s) // a restart that no look met
	}
	c.last[s.key] = now
}

// mustStop decides about one task. One that a replica has done cannot be what kills nodes there.
func (c *crashWatch) mustStop(task *fsm.Task, said answers) bool {
	deaths := c.deaths[task.UID]
	if len(deaths) < 2 {
		return false
	}
	nodes, total, ahead := 0, 0, false
	for _, share := range task.NodeTasks {
		now, known := said.tasks[nodeTaskKey{task.UID, share.Node, share.UID}]
		if known && now.Status == fsm.StatusSucceeded && c.sharesDeath(task, share) {
			return false
		}
		if n := deaths[share.Node]; n > 0 && !(known && now.Finished()) {
			nodes, total = nodes+1, total+n
		}
		ahead = ahead || known && said.asked[share.Node] && now.Status == fsm.StatusEnqueued && deaths[share.Node] == 0
	}
	return nodes > 1 && (ahead || total > 2)
}

// sharesDeath reports whether a share has a shard in common with one that a node died of.
func (c *crashWatch) sharesDeath(task *fsm.Task, share fsm.NodeTask) bool {
	return slices.ContainsFunc(task.NodeTasks, func(other fsm.NodeTask) bool {
		return c.deaths[task.UID][other.Node] > 0 && (share.Shards == nil || other.Shards == nil ||
			slices.ContainsFunc(share.Shards, func(s fsm.ShardID) bool { return slices.Contains(other.Shards, s) }))
	})
}

// toCancel are the node tasks of a stopped task that answering nodes have still to cancel.
func (c *crashWatch) toCancel(list []*fsm.Task, said answers) map[fsm.NodeID][]uint32 {
	shares := map[fsm.NodeID][]uint32{}
	for _, task := range list {
		if !c.isStopped(task.UID) {
			continue
		}
		for _, share := range task.NodeTasks {
			key := nodeTaskKey{task.UID, share.Node, share.UID}
			if now, known := said.tasks[key]; said.asked[share.Node] && known && !now.Finished() && !c.obeyed[nodeUID{key.node, key.uid}] {
				shares[share.Node] = append(shares[share.Node], share.UID)
			}
		}
	}
	return shares
}

// outcome is the end of a stopped task: what nobody did has failed.
func (c *crashWatch) outcome(task *fsm.Task, result *tasks.Result) {
	if (result.Status == fsm.StatusCanceled || result.Status == fsm.StatusFailed) && c.isStopped(task.UID) {
		result.Status, result.Error = fsm.StatusFailed, tasks.CrashError(c.dead(task.UID))
	}
}

// dead are the nodes that died of a task.
func (c *crashWatch) dead(task uint32) []fsm.NodeID {
	c.mu.Lock()
	defer c.mu.Unlock()
	var dead []fsm.NodeID
	for id := range c.deaths[task] {
		dead = append(dead, id)
	}
	slices.Sort(dead)
	return dead
}

// unfinishedOf are the node tasks of stopped client tasks that a node may still have before it: it was gone when they
// were canceled elsewhere.
func unfinishedOf(state *fsm.FSM, id fsm.NodeID) ([]uint32, error) {
	failed, err := state.Tasks(fsm.TaskFilter{Statuses: []string{fsm.StatusFailed}}, fsm.TaskPage{Limit: maxStoppedLookup})
	if err != nil {
		return nil, err
	}
	var uids []uint32
	for _, task := range failed.Tasks {
		if !tasks.IsCrashError(task.Error) {
			continue
		}
		for _, share := range task.NodeTasks {
			if share.Node == id && !share.Done {
				uids = append(uids, share.UID)
			}
		}
	}
	return uids, nil
}

// maxStoppedLookup is how many failed tasks are looked through when a node returns.
const maxStoppedLookup = 1000
