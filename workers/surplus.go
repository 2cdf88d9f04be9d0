package workers

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"miroir/fsm"
	"miroir/proxy/node"
	"miroir/tasks"
)

// surplusDrop clears nodes of what came to their servers in another node's name, before it was noticed that its address led there:
// indexes and documents of shards that they have no replica of would be found twice. What they do have a replica of is compared: it
// may have been written twice. It runs on the leader.
type surplusDrop struct {
	opts    Options
	compare func(tasks.AuditRequest) (string, error)
	left    map[fsm.NodeID]bool // nodes that are not cleared yet
}

func newSurplusDrop(o Options, compare func(tasks.AuditRequest) (string, error)) *surplusDrop {
	d := &surplusDrop{opts: o, compare: compare, left: map[fsm.NodeID]bool{}}
	for _, n := range o.Cluster.View().Nodes { // noticed by the last leader
		if n.LeadsTo != "" {
			d.left[n.ID], d.left[n.LeadsTo] = true, true
		}
	}
	return d
}

// run clears nodes until ctx ends. It costs nothing while no address leads astray.
func (d *surplusDrop) run(ctx context.Context) {
	for sleep(ctx, d.opts.HealthInterval) {
		for _, id := range d.opts.strays.takeMixed() {
			d.left[id] = true
		}
		for id := range d.left {
			n := d.opts.Cluster.View().Node(id)
			switch {
			case n == nil:
				delete(d.left, id)
			case n.LeadsTo != "" || n.State == fsm.NodeFailed || !d.opts.Nodes.Get(n).Alive():
			default:
				if err := d.clear(ctx, n); err != nil {
					d.opts.Logger.Warn("node not cleared yet of what was sent in another one's name", "node_id", id, "error", err)
					continue
				}
				delete(d.left, id)
			}
		}
	}
}

// errStrayAgain says that a node is not cleared, because what its address leads to is not its own.
var errStrayAgain = errors.New("its address leads to another node's server again")

func (d *surplusDrop) clear(ctx context.Context, n *fsm.Node) error {
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	twin, err := d.opts.strays.twinOf(asking, n)
	if err != nil {
		return err
	}
	if twin != nil && twin.LeadsTo != n.ID { // what is there may be the other's
		return errStrayAgain
	}
	if err := d.opts.Coordinator.DeleteStrays(ctx, n.ID); err != nil {
		return err
	}
	var list struct{ Results []struct{ UID string } }
	all := node.Request{Method: http.MethodGet, Path: "/indexes", Query: map[string][]string{"limit": {"1000000"}}, Read: true}
	if err := (copyNode{client: d.opts.Nodes.Get(n), timeout: askTimeout}).send(ctx, all, &list); err != nil {
		return err
	}
	for _, found := range list.Results {
		ix := indexOnNodes(d.opts.Cluster.View(), found.UID)
		if ix == nil {
			continue
		}
		if err := d.clearIndex(ctx, n, ix); err != nil {
			return err
		}
		if shards, any := heldShards(ix, n.ID); any {
			if _, err := d.compare(tasks.AuditRequest{Index: ix.ID, Shards: shards}); err != nil {
				return err
			}
		}
	}
	return nil
}

// clearIndex deletes what a node has of an index and is not to have: most of it while writes go on, and the rest while none is open.
func (d *surplusDrop) clearIndex(ctx context.Context, n *fsm.Node, ix *fsm.Index) error {
	p := d.surplus(ix.ID, n)
	if p == nil {
		return nil
	}
	if p.shards != nil {
		if err := p.deleteDocuments(ctx); err != nil {
			return err
		}
	}
	hold := time.Duration(d.opts.Cluster.View().Config.Rebalancer.WriteHoldMaxMs) * time.Millisecond
	return d.opts.Coordinator.HoldIndex(ctx, ix.ID, cmp.Or(hold, 2*time.Second), func(ctx context.Context) error {
		if p := d.surplus(ix.ID, n); p != nil {
			return p.delete(ctx)
		}
		return nil
	})
}

// surplus deletes an index, or the shards of it, that a node has no replica of in whatever state; nil when there can be none.
func (d *surplusDrop) surplus(index fsm.IndexID, n *fsm.Node) *purge {
	ix := d.opts.Cluster.View().Indexes[index]
	if ix == nil || ix.Deleting {
		return nil
	}
	p := &purge{opts: d.opts, key: jobKey{index, n.ID}, on: copyNode{client: d.opts.Nodes.Get(n), index: ix.NodeUID, timeout: requestTimeout}}
	if !slices.Contains(ix.Nodes(), n.ID) {
		return p
	}
	for shard := range fsm.ShardID(ix.Shards) {
		if !hasReplica(ix, shard, n.ID) {
			p.shards = append(p.shards, shard)
		}
	}
	if len(p.shards) == 0 {
		return nil
	}
	return p
}

func hasReplica(ix *fsm.Index, shard fsm.ShardID, id fsm.NodeID) bool {
	for group := range ix.Placement {
		if slices.ContainsFunc(ix.Replicas(group, shard), func(r fsm.Replica) bool { return r.Node == id }) {
			return true
		}
	}
	return false
}
