package workers

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync/atomic"

	"miroir/fsm"
	"miroir/meili"
	"miroir/proxy/node"
)

// leftoverDrop deletes indexes from nodes that were away, or failed to do it, when they were deleted.
type leftoverDrop struct {
	opts     Options
	repairer *atomic.Pointer[repairer]
	dropping map[fsm.Leftover]uint32 // the node task that deletes each
}

// run looks for such indexes until ctx ends. It costs nothing while there are none.
func (d *leftoverDrop) run(ctx context.Context) {
	for d.look(ctx); sleep(ctx, d.opts.PollMax); d.look(ctx) {
	}
}

// look asks once for each.
func (d *leftoverDrop) look(ctx context.Context) {
	view := d.opts.Cluster.View()
	for _, left := range view.Leftovers {
		n := view.Node(left.Node)
		inUse := slices.ContainsFunc(indexesOf(view), func(ix *fsm.Index) bool { return ix.NodeUID == left.NodeUID })
		if n == nil || n.State == fsm.NodeFailed || inUse {
			continue
		}
		if r := d.repairer.Load(); r != nil && r.isFilling(left) {
			continue
		}
		if err := d.drop(ctx, n, left); err != nil {
			d.opts.Logger.Debug("left-over index not deleted", "node_id", left.Node, "index", left.NodeUID, "error", err)
		}
	}
}

func indexesOf(view *fsm.View) []*fsm.Index {
	list := make([]*fsm.Index, 0, len(view.Indexes))
	for _, ix := range view.Indexes {
		list = append(list, ix)
	}
	return list
}

// drop asks a node to delete an index, and forgets the index once the node has done so: it may accept and fail.
func (d *leftoverDrop) drop(ctx context.Context, n *fsm.Node, left fsm.Leftover) error {
	ctx, cancel := context.WithTimeout(ctx, d.opts.HealthTimeout)
	defer cancel()
	client := d.opts.Nodes.Get(n)
	if uid, asked := d.dropping[left]; asked {
		list, err := client.Tasks(ctx, []uint32{uid})
		if err != nil || len(list) > 0 && !list[0].Finished() {
			return err
		}
		delete(d.dropping, left)
		if len(list) > 0 && isGone(list[0]) {
			_, err = fsm.Do(ctx, d.opts.Cluster, fsm.ForgetLeftover{Leftover: left})
			return err
		}
	}
	uid, err := resend(ctx, client, []node.Request{{Method: http.MethodDelete, Path: "/indexes/" + left.NodeUID}})
	if err == nil {
		d.dropping[left] = uint32(uid)
	}
	return err
}

// isGone reports that a finished deletion has left no index.
func isGone(deletion node.Task) bool {
	var failure meili.Error
	return !deletion.Failed() || json.Unmarshal(deletion.Error, &failure) == nil && failure.Code == meili.CodeIndexNotFound
}
