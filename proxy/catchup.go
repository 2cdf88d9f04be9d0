package proxy

import (
	"errors"
	"slices"

	"miroir/catchup"
	"miroir/fsm"
)

// What a node misses of an index is kept in a log, from the first sub-write that it did not get until it has caught up or
// the log is dropped. While there is a log, sub-writes of the index go into it instead of to the node, all through the
// node's lane, so that the log has the order of the writes and the node a prefix of them.

var errBehind = errors.New("the node missed earlier writes of the index and is to catch up with them")

// deliver sends a sub-write, or keeps it for a node that has missed an earlier one.
func (f *fanout) deliver(key laneKey, sub *subWrite) delivery {
	if sub.client == nil {
		return delivery{ack: fsm.Ack{Node: key.node, Err: "the node was removed while the write began"}}
	}
	log := f.missed.Get(catchup.Key{Index: key.index, Node: key.node})
	if log == nil && sub.late {
		return delivery{ack: fsm.Ack{Node: key.node, Err: errBehind.Error()}} // the node is to be repaired by copying
	}
	var done delivery
	if log == nil {
		done = f.sendTo(sub)
		if done.ack.Err == "" {
			f.noteTask(key.node, done.ack.NodeTaskUID)
			return done
		}
		if done.refusal != nil || !sub.keep {
			return done
		}
		if log = f.openLog(key); log == nil {
			return done
		}
	} else {
		done.ack = fsm.Ack{Node: key.node, Err: errBehind.Error()}
	}
	if !sub.keep {
		log.Drop("a write that cannot be kept")
		return done
	}
	if err := log.Append(sub.entry()); err != nil {
		f.log.Debug("missed write not kept", "write_id", sub.write, "node_id", key.node, "error", err)
	}
	done.kept = true
	return done
}

// openLog begins to keep what a node misses of an index, nil when it cannot.
func (f *fanout) openLog(key laneKey) *catchup.Log {
	list, err := f.open()
	if err != nil {
		f.log.Error("missed writes are not kept: open tasks not read", "node_id", key.node, "error", err)
		return nil
	}
	var open []uint32
	for _, task := range list {
		if task.Index == key.index {
			open = append(open, task.UID)
		}
	}
	return f.missed.Open(catchup.Key{Index: key.index, Node: key.node}, f.newestKnown(key.node), open)
}

// entry is a sub-write as a log keeps it.
func (sub *subWrite) entry() catchup.Entry {
	e := catchup.Entry{Write: sub.write, TaskUID: sub.task, BeganAt: sub.began}
	for _, s := range sub.steps {
		e.Steps = append(e.Steps, catchup.Step{Request: s.request, Marked: s.marked})
	}
	return e
}

// noteTask and newestKnown know the highest task uid that a node acknowledged: the state may be a result behind.
func (f *fanout) noteTask(id fsm.NodeID, uid int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if newest, known := f.acked[id]; !known || uid > newest {
		f.acked[id] = uid
	}
}

func (f *fanout) newestKnown(id fsm.NodeID) int64 {
	recorded := f.newest(id)
	f.mu.Lock()
	defer f.mu.Unlock()
	if newest, known := f.acked[id]; known {
		return max(newest, recorded)
	}
	return recorded
}

// keepable reports that a node which misses a write may catch up with it: it is filled, the index stays, and another node
// may get the write.
func keepable(w *write, id fsm.NodeID) bool {
	ix := w.begun.Index
	others := slices.ContainsFunc(ix.Nodes(fsm.Active), func(other fsm.NodeID) bool { return other != id })
	if !others || w.begin.Effect.DeleteIndex || len(w.begin.Effect.Swaps) > 0 {
		return false
	}
	return !slices.Contains(ix.Nodes(fsm.Joining, fsm.Leaving), id)
}

// missing are the stale shards of a node that a write touches, as the target that would get them; ok is false when there
// are none.
func (w *write) missing(id fsm.NodeID) (target fsm.Target, ok bool) {
	ix := w.begun.Index
	target.Node = id
	for group, slots := range ix.Placement {
		for slot := range slots {
			shard := fsm.ShardID(slot)
			if !ix.Whole() && w.begin.Shards != nil && !slices.Contains(w.begin.Shards, shard) {
				continue
			}
			for _, replica := range ix.Replicas(group, shard) {
				if replica.Node == id && replica.State == fsm.Stale {
					target.Group, ok = group, true
					target.Shards = append(target.Shards, shard)
				}
			}
		}
	}
	if ix.Whole() {
		target.Shards = nil
	}
	return target, ok
}

// targets are those of a write, each with the shards that its node is to catch up with. late are nodes that are no target
// of the write and must catch up with it.
func (wr *writer) targets(w *write) (targets, late []fsm.Target) {
	targets = slices.Clone(w.begun.Targets)
	for _, id := range wr.missed.Nodes(w.begun.Index.ID) {
		missing, ok := w.missing(id)
		if !ok {
			continue
		}
		i := slices.IndexFunc(targets, func(t fsm.Target) bool { return t.Node == id })
		if i < 0 {
			late = append(late, missing)
			continue
		}
		if targets[i].Shards != nil {
			shards := append(slices.Clone(targets[i].Shards), missing.Shards...)
			slices.Sort(shards)
			targets[i].Shards = slices.Compact(shards)
		}
	}
	return targets, late
}

// settleMissed tells the logs what became of a write that they keep: one that was accepted is what their nodes miss. Of any
// other nobody can say what it did on which shard.
func (wr *writer) settleMissed(w *write, kept []fsm.NodeID, err error) {
	index := w.begun.Index.ID
	for _, id := range kept {
		log := wr.missed.Get(catchup.Key{Index: index, Node: id})
		if log == nil {
			continue
		}
		if err != nil || !w.ended.Accepted {
			log.Drop("a write that was not accepted")
			continue
		}
		ix := wr.server.cluster.View().Indexes[index]
		for _, ref := range w.ended.Stale {
			if ix == nil || ref.Node != id {
				continue
			}
			for _, replica := range ix.Replicas(ref.Group, ref.Shard) {
				if replica.Node == id && replica.State == fsm.Stale {
					log.Cover(ref, replica.Epoch)
				}
			}
		}
	}
}

// MissedWrites is what a node missed of an index, nil when that is not known.
func (s *Server) MissedWrites(index fsm.IndexID, id fsm.NodeID) *catchup.Log {
	return s.writer.missed.Get(catchup.Key{Index: index, Node: id})
}

// forgetMissedWrites drops what is kept for a node: it lost its disk, and counts its tasks anew.
func (s *Server) forgetMissedWrites(id fsm.NodeID) {
	f := s.writer.lanes
	f.mu.Lock()
	delete(f.acked, id)
	f.mu.Unlock()
	s.writer.missed.DropWhere(func(key catchup.Key) bool { return key.Node == id }, "the node lost its disk")
}

// newCatchUp is the store of what nodes miss. Its bounds are those of the replicated configuration.
func (s *Server) newCatchUp() *catchup.Store {
	limits := func() fsm.CatchUp { return s.cluster.View().Config.CatchUp }
	return catchup.New(s.opts.TempDir, limits, s.opts.Now, s.opts.Metrics, s.log)
}
