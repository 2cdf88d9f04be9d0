package workers

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"

	"miroir/fsm"
	"miroir/proxy/node"
)

// purge ends what an index has of leaving replicas on one node: their documents are deleted, and they are forgotten.
// No pod reads them any more. They are written to until they are forgotten, so that the end happens while no write is open.
type purge struct {
	opts   Options
	repair *Repair
	key    jobKey
	ripe   func(fsm.ReplicaRef) bool // the documents may be deleted: nobody reads them any more

	refs   []fsm.ReplicaRef
	shards []fsm.ShardID // nil: the node has nothing else of the index, which is deleted as a whole
	on     copyNode
}

func (p *purge) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.repair.Timeout)
	defer cancel()
	if !p.look(p.opts.Cluster.View()) {
		return errVoid
	}
	if p.shards != nil { // most of the work, while writes go on
		if err := p.deleteDocuments(ctx); err != nil {
			return err
		}
	}
	return p.opts.Coordinator.HoldIndex(ctx, p.key.index, p.repair.MaxHold, p.end)
}

// look finds the leaving replicas; false when there are none.
func (p *purge) look(view *fsm.View) bool {
	ix, n := view.Indexes[p.key.index], view.Node(p.key.node)
	if ix == nil || n == nil {
		return false
	}
	p.refs, p.shards = nil, nil
	p.on = copyNode{client: p.opts.Nodes.Get(n), index: ix.NodeUID, timeout: p.repair.RequestTimeout}
	stays := false
	for group, slots := range ix.Placement {
		for shard, replicas := range slots {
			for _, replica := range replicas {
				switch {
				case replica.Node != n.ID:
				case replica.State == fsm.Leaving && p.ripe(refOf(ix, group, shard, n.ID)):
					p.refs = append(p.refs, refOf(ix, group, shard, n.ID))
				default:
					stays = true
				}
			}
		}
	}
	sortRefs(p.refs)
	if stays {
		for _, ref := range p.refs {
			p.shards = append(p.shards, ref.Shard)
		}
		slices.Sort(p.shards)
	}
	return len(p.refs) > 0
}

func sortRefs(refs []fsm.ReplicaRef) {
	slices.SortFunc(refs, func(a, b fsm.ReplicaRef) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Shard, b.Shard))
	})
}

func refOf(ix *fsm.Index, group fsm.GroupID, shard int, id fsm.NodeID) fsm.ReplicaRef {
	return fsm.ReplicaRef{Index: ix.ID, Group: group, Shard: fsm.ShardID(shard), Node: id}
}

// end is the last step, while no write to the index is open.
func (p *purge) end(ctx context.Context) error {
	before := p.refs
	if !p.look(p.opts.Cluster.View()) || !slices.Equal(before, p.refs) {
		return errVoid
	}
	if err := p.delete(ctx); err != nil {
		return err
	}
	mark := fsm.MarkReplicas{Now: p.opts.Now()}
	for _, ref := range p.refs {
		mark.Changes = append(mark.Changes, fsm.ReplicaChange{ReplicaRef: ref, From: fsm.Leaving})
	}
	_, err := fsm.Do(ctx, p.opts.Cluster, mark)
	return err
}

// delete deletes the documents, or the index, and waits until the node has done it.
func (p *purge) delete(ctx context.Context) error {
	if p.shards == nil {
		return p.deleteIndex(ctx)
	}
	if err := p.deleteDocuments(ctx); err != nil {
		return err
	}
	left, err := p.on.count(ctx, p.opts.Coordinator.ShardFilter(p.shards))
	if err == nil && left > 0 {
		err = errNotEqual
	}
	return err
}

func (p *purge) deleteDocuments(ctx context.Context) error {
	uid, err := p.on.deleteMatching(ctx, p.opts.Coordinator.ShardFilter(p.shards))
	if err != nil {
		return err
	}
	return p.on.await(ctx, []uint32{uid})
}

func (p *purge) deleteIndex(ctx context.Context) error {
	var summary struct {
		TaskUID uint32 `json:"taskUid"`
	}
	err := p.on.send(ctx, node.Request{Method: http.MethodDelete, Path: "/indexes/" + p.on.index}, &summary)
	if err != nil {
		return err
	}
	deletion, err := p.on.finished(ctx, summary.TaskUID)
	if err == nil && !isGone(deletion) {
		err = fmt.Errorf("node %s does not delete the index: %s", p.key.node, deletion.Error)
	}
	return err
}
