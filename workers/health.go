package workers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"miroir/fsm"
	"miroir/proxy/node"
)

// healthCheck asks every node for its health and commits what it concludes.
type healthCheck struct {
	opts Options
	runs map[fsm.NodeID]checkRun
}

// checkRun counts the last checks of one node that agree: how many were missed, or were good.
type checkRun struct{ missed, good int }

// next is the run after one more check, and the state it leads to; "" for no change.
func (o *Options) next(r checkRun, state fsm.NodeState, good bool) (checkRun, fsm.NodeState) {
	if good {
		r = checkRun{good: r.good + 1}
	} else {
		r = checkRun{missed: r.missed + 1}
	}
	switch {
	case good && state == fsm.NodeJoining:
		return r, fsm.NodeActive
	case good && (state == fsm.NodeFailed || state == fsm.NodeDegraded) && r.good >= o.RecoveryThreshold:
		return r, fsm.NodeActive
	case !good && (state == fsm.NodeActive || state == fsm.NodeDegraded) && r.missed >= o.UnhealthyThreshold:
		return r, fsm.NodeFailed
	case !good && state == fsm.NodeActive:
		return r, fsm.NodeDegraded
	}
	return r, ""
}

func newHealthCheck(o Options) *healthCheck {
	return &healthCheck{opts: o, runs: map[fsm.NodeID]checkRun{}}
}

// run checks until ctx ends.
func (h *healthCheck) run(ctx context.Context) {
	for {
		h.checkAll(ctx)
		if !sleep(ctx, h.opts.HealthInterval) {
			return
		}
	}
}

func (h *healthCheck) checkAll(ctx context.Context) {
	view := h.opts.Cluster.View()
	type outcome struct {
		node *fsm.Node
		err  error
	}
	outcomes := make(chan outcome, len(view.Nodes))
	var checks sync.WaitGroup
	for _, n := range view.Nodes {
		checks.Go(func() { outcomes <- outcome{n, h.check(ctx, n)} })
	}
	checks.Wait()
	close(outcomes)
	if ctx.Err() != nil {
		return
	}
	for o := range outcomes {
		h.conclude(ctx, o.node, o.err)
	}
}

// check asks one node. Its answer also tells every reader of this pod that the node is there.
func (h *healthCheck) check(ctx context.Context, n *fsm.Node) error {
	if n.LeadsTo != "" {
		h.opts.strays.takeBack(ctx, n)
		return node.StrayError{LeadsTo: n.LeadsTo}
	}
	ctx, cancel := context.WithTimeout(ctx, h.opts.HealthTimeout)
	defer cancel()
	response, err := h.opts.Nodes.Get(n).Do(ctx, node.Request{Method: http.MethodGet, Path: "/health", Read: true})
	if err == nil && !response.OK() {
		err = fmt.Errorf("/health answered status %d", response.Status)
	}
	return err
}

// conclude commits a change of state. A node that comes back is read again only after a look at its task history.
func (h *healthCheck) conclude(ctx context.Context, n *fsm.Node, checked error) {
	before := h.runs[n.ID]
	run, state := h.opts.next(before, n.State, checked == nil)
	h.runs[n.ID] = run
	if returns := n.State == fsm.NodeFailed || n.State == fsm.NodeDegraded; checked == nil && run.good == 1 && returns {
		if stray, err := h.opts.strays.isStray(ctx, n); stray {
			h.runs[n.ID] = checkRun{}
			return
		} else if err != nil {
			h.opts.Logger.Warn("it is not known whether a node's address leads to another node's server", "node_id", n.ID, "error", err)
		}
	}
	if checked == nil && (run.good == 1 || state == fsm.NodeActive) {
		err := h.receive(ctx, n, run.good == 1)
		if errors.Is(err, node.ErrKeyRefused) { // it lives, and is of no use
			h.runs[n.ID] = before
			h.conclude(ctx, n, err)
			return
		}
		if err != nil {
			h.opts.Logger.Warn("node not taken back yet", "node_id", n.ID, "error", err)
			h.runs[n.ID] = checkRun{} // the next good check is the first again
			return
		}
	}
	if state == "" || n.Dead {
		return
	}
	command := fsm.SetNodeState{Now: h.opts.Now(), Node: n.ID, From: n.State, State: state}
	if checked != nil {
		command.Error = checked.Error()
	}
	if _, err := fsm.Do(ctx, h.opts.Cluster, command); err != nil {
		h.opts.Logger.Warn("node state not committed", "node_id", n.ID, "state", state, "error", err)
		return
	}
	h.opts.Logger.Info("node changed state", "node_id", n.ID, "from", n.State, "to", state, "error", command.Error)
}

// receive makes sure that a node may be read. Its task history comes first: whatever makes a task there takes the number of one that
// the disk may have lost.
func (h *healthCheck) receive(ctx context.Context, n *fsm.Node, returns bool) error {
	if err := h.checkHistory(ctx, n); err != nil || !returns {
		return err
	}
	h.cancelStopped(ctx, n)
	return h.opts.Coordinator.PrepareNode(ctx, n)
}

// cancelStopped cancels what a node that returns must not process: writes that were stopped while it was away. If that
// fails its replicas are stale all the same.
func (h *healthCheck) cancelStopped(ctx context.Context, n *fsm.Node) {
	ctx, cancel := context.WithTimeout(ctx, h.opts.HealthTimeout)
	defer cancel()
	uids, err := unfinishedOf(h.opts.Cluster.Tasks(), n.ID)
	if err == nil && len(uids) > 0 {
		_, err = h.opts.Nodes.Get(n).CancelTasks(ctx, uids)
	}
	if err != nil {
		h.opts.Logger.Warn("stopped writes not canceled on a node that returns", "node_id", n.ID, "error", err)
	}
}

// checkHistory looks whether the node still has the tasks it acknowledged: uids rise for ever, so a newest one below
// the recorded one means that the disk was lost or restored from an older one, and all replicas there are stale.
func (h *healthCheck) checkHistory(ctx context.Context, n *fsm.Node) error {
	ctx, cancel := context.WithTimeout(ctx, h.opts.HealthTimeout)
	defer cancel()
	task, err := h.opts.Nodes.Get(n).Newest(ctx)
	if err != nil {
		return fmt.Errorf("read its task history: %w", err)
	}
	newest := node.UIDOf(task)
	if !lostDisk(h.opts.Cluster.View(), n, newest) {
		h.opts.strays.note(n.ID, task)
		return nil
	}
	stray, err := h.opts.strays.isStray(ctx, n)
	if err != nil {
		return fmt.Errorf("it has not the tasks it had; find out whether its address leads to another node's server: %w", err)
	}
	if stray {
		return errors.New("its address leads to another node's server")
	}
	h.opts.strays.forget(n.ID)
	if err := h.opts.Coordinator.MarkDiskLost(ctx, n.ID, newest); err != nil {
		return fmt.Errorf("commit that its disk was lost: %w", err)
	}
	return nil
}

// lostDisk reports that the newest task of a node is older than the one recorded before it was asked, which asked shows, and that
// nobody has taken note of it meanwhile, as view shows.
func lostDisk(view *fsm.View, asked *fsm.Node, newest int64) bool {
	now := view.Node(asked.ID)
	return now != nil && newest < asked.LastTaskUID && newest < now.LastTaskUID
}
