package workers

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
)

// The address of a node may begin to lead to the server of another one: a name that resolves anew, an address given to another
// machine. What is sent to the first would then read and overwrite what the second has. So nothing is sent to such a stray, on any
// pod, until its address leads elsewhere; its own disk counts as absent for so long. It is looked for when both have the same newest
// task, when a node seems to have lost its disk, and when one returns. Two nodes are one server if each has the other's newest task:
// servers note the time of a task to the nanosecond, and one that was made of a copy of the other has no task that came later. No
// task is made for it, as for a new node: it would hide that others were lost. Only an empty server gets one, which has none to hide.

// strayWatch looks for strays on behalf of the watches over nodes. Safe for concurrent use.
type strayWatch struct {
	opts  Options
	mu    sync.Mutex
	known map[fsm.NodeID]*node.Task // guarded by mu: a task that each node had when it was first seen in this term
	mixed map[fsm.NodeID]bool       // guarded by mu: nodes whose servers may have got what was meant for another
}

// note remembers a task of a node that is its own.
func (s *strayWatch) note(id fsm.NodeID, task *node.Task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known[id] == nil {
		s.known[id] = task
	}
}

// forget forgets it: the node has lost its disk.
func (s *strayWatch) forget(id fsm.NodeID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, id)
}

// isStray reports whether the address of a node leads to the server of another one. Of the two the one is committed as astray
// that lacks there what it had; both are if that does not tell them apart. Error: it cannot be told.
func (s *strayWatch) isStray(ctx context.Context, n *fsm.Node) (bool, error) {
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	other, err := s.twinOf(asking, n)
	if other == nil {
		return false, err
	}
	lacks, err := s.countLacking(asking, n)
	if err != nil {
		return false, err
	}
	otherLacks, err := s.countLacking(asking, other)
	if err != nil {
		return false, err
	}
	var failures []error
	if lacks >= otherLacks {
		failures = append(failures, s.commit(ctx, n, other))
	}
	if otherLacks >= lacks && other.LeadsTo == "" {
		failures = append(failures, s.commit(ctx, other, n))
	}
	return lacks >= otherLacks, errors.Join(failures...)
}

func (s *strayWatch) commit(ctx context.Context, stray, owner *fsm.Node) error {
	s.opts.Logger.Error("a node's address leads to the server of another node: nothing is sent there", "node_id", stray.ID, "address", stray.Address, "leads_to", owner.ID)
	_, err := fsm.Do(ctx, s.opts.Cluster, fsm.SetNodeState{
		Now: s.opts.Now(), Node: stray.ID, State: fsm.NodeFailed, LeadsTo: &owner.ID, Error: node.StrayError{LeadsTo: owner.ID}.Error(),
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mixed[stray.ID], s.mixed[owner.ID] = true, true // only now: what is cleared in the stray's name must not be the owner's
	return nil
}

// takeMixed are the nodes, since the last call, whose servers may have got what was meant for another.
func (s *strayWatch) takeMixed() []fsm.NodeID {
	s.mu.Lock()
	defer s.mu.Unlock()
	mixed := slices.Collect(maps.Keys(s.mixed))
	clear(s.mixed)
	return mixed
}

// twinOf is a node whose address leads to the same server, nil when none of those that answer does. Error: n does not answer.
func (s *strayWatch) twinOf(ctx context.Context, n *fsm.Node) (*fsm.Node, error) {
	client := s.opts.Nodes.New(n)
	newest, err := client.Newest(ctx)
	if err != nil {
		return nil, err
	}
	if newest == nil {
		return s.emptyTwinOf(ctx, n)
	}
	var twin atomic.Pointer[fsm.Node]
	var asked sync.WaitGroup
	for id, other := range s.opts.Cluster.View().Nodes {
		if id == n.ID {
			continue
		}
		asked.Go(func() {
			there := s.opts.Nodes.New(other)
			if has(ctx, there, newest) {
				if theirs, err := there.Newest(ctx); err == nil && has(ctx, client, theirs) {
					twin.Store(other)
				}
			}
		})
	}
	asked.Wait()
	return twin.Load(), nil
}

// emptyTwinOf is twinOf for a server without tasks.
func (s *strayWatch) emptyTwinOf(ctx context.Context, n *fsm.Node) (*fsm.Node, error) {
	var others []*fsm.Node
	for id, other := range s.opts.Cluster.View().Nodes {
		if id != n.ID {
			others = append(others, other)
		}
	}
	err := s.opts.Nodes.CheckTwins(ctx, []*fsm.Node{n}, others)
	var twins *node.Twins
	if errors.As(err, &twins) {
		return twins.Other, nil
	}
	return nil, err
}

// has reports that a server answers, and has a task.
func has(ctx context.Context, c *node.Client, task *node.Task) bool {
	if task == nil {
		return false
	}
	found, err := c.Tasks(ctx, []uint32{task.UID})
	return err == nil && len(found) == 1 && found[0].IsSame(task)
}

// documentWrites are the kinds of tasks that carry a write id on nodes.
var documentWrites = []string{string(meili.TaskDocumentAdditionOrUpdate), string(meili.TaskDocumentDeletion), string(meili.TaskDocumentEdition)}

// maxKnownWrites is how many tasks are looked through for those that a node must have.
const maxKnownWrites = 500

// countLacking counts the tasks that a node must have, of those known, and that its address does not lead to.
func (s *strayWatch) countLacking(ctx context.Context, n *fsm.Node) (lacking int, err error) {
	list, err := s.opts.Cluster.Tasks().Tasks(fsm.TaskFilter{Kinds: documentWrites}, fsm.TaskPage{Limit: maxKnownWrites})
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	known := s.known[n.ID]
	s.mu.Unlock()
	want, uids := map[uint32]string{}, []uint32{}
	for _, task := range list.Tasks {
		for _, share := range task.NodeTasks {
			if share.Node == n.ID {
				want[share.UID], uids = string(task.WriteID), append(uids, share.UID)
			}
		}
	}
	if known != nil {
		uids = append(uids, known.UID)
		lacking++
	}
	found, err := s.opts.Nodes.New(n).Tasks(ctx, uids)
	if err != nil {
		return 0, err
	}
	for _, task := range found {
		if task.CustomMetadata == want[task.UID] {
			delete(want, task.UID)
		}
		if task.IsSame(known) {
			lacking--
			known = nil // nodes may list it twice
		}
	}
	return lacking + len(want), nil
}

// takeBack lets requests go to a stray again whose address leads elsewhere now, to a server that answers.
func (s *strayWatch) takeBack(ctx context.Context, n *fsm.Node) {
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if twin, err := s.twinOf(asking, n); twin != nil || err != nil {
		return
	}
	err := s.checkDisk(ctx, asking, n)
	if err == nil {
		_, err = fsm.Do(ctx, s.opts.Cluster, fsm.SetNodeState{Now: s.opts.Now(), Node: n.ID, LeadsTo: new(fsm.NodeID), Error: "its address led to another node's server"})
	}
	if err != nil {
		s.opts.Logger.Warn("a node whose address is right again is not taken back yet", "node_id", n.ID, "error", err)
		return
	}
	s.opts.Logger.Info("a node's address leads to the server of no other node any more", "node_id", n.ID)
}

// checkDisk looks whether a node that was astray has the last write that was acknowledged in its name. Task uids do not tell, nor what
// was kept of the writes it missed: both may be of the other server.
func (s *strayWatch) checkDisk(ctx, asking context.Context, n *fsm.Node) error {
	list, err := s.opts.Cluster.Tasks().Tasks(fsm.TaskFilter{Kinds: documentWrites}, fsm.TaskPage{Limit: maxKnownWrites})
	if err != nil {
		return err
	}
	write, uid := lastWrite(list.Tasks, n)
	if write == "" {
		return nil
	}
	client := s.opts.Nodes.New(n)
	found, err := client.Tasks(asking, []uint32{uid})
	if err != nil || len(found) > 0 && found[0].CustomMetadata == string(write) {
		return err
	}
	newest, err := client.NewestTask(asking)
	if err != nil {
		return err
	}
	s.forget(n.ID)
	return s.opts.Coordinator.MarkDiskLost(ctx, n.ID, newest)
}

// lastWrite is the last write of tasks, newest first, that a node acknowledged with the disk it has, and its node task.
func lastWrite(list []*fsm.Task, n *fsm.Node) (fsm.WriteID, uint32) {
	for _, task := range list {
		for _, share := range task.NodeTasks {
			if share.Node == n.ID && int64(share.UID) <= n.LastTaskUID {
				return task.WriteID, share.UID
			}
		}
	}
	return "", 0
}
