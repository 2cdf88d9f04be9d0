package fsm

import "slices"

func (c EndWrite) apply(t *txn) (any, error) {
	in := t.intent(c.WriteID)
	if in == nil {
		return nil, refuse(CodeNotFound, "write %s is not open", c.WriteID)
	}
	result := EndWriteResult{TaskUID: in.TaskUID, Accepted: true}
	if ix := t.view.Indexes[in.Index]; ix != nil {
		verdicts, undecided := c.judge(t, in, ix)
		if undecided {
			return nil, refuse(CodeUndecided, "a node that cannot be asked may be the only one that has write %s", c.WriteID)
		}
		c.commit(t, in, verdicts, &result)
		if result.Accepted && t.deletes(in) {
			c.leaveOver(t, in, ix.NodeUID)
			if slices.ContainsFunc(verdicts, func(v slotVerdict) bool { return v.Undecided }) {
				t.makeFirm(in.Index, in.TaskUID)
			}
		}
	}
	t.closeIntent(in)
	task := t.task(in.TaskUID)
	if task == nil { // canceled and deleted meanwhile
		return result, nil
	}
	c.recordNodeTasks(t, in, task)
	t.pin(in, task, &result)
	if !result.Accepted && !task.Finished() {
		t.finish(task, finish{Status: StatusFailed, Error: c.refusedError(), Now: c.Now})
	}
	return result, nil
}

// slotVerdict is the verdict on one placement entry with the copies it speaks of.
type slotVerdict struct {
	slot   int
	copies []copyState
	shardVerdict
}

// judge decides every placement entry the write touches.
func (c EndWrite) judge(t *txn, in *Intent, ix *Index) (verdicts []slotVerdict, undecided bool) {
	minAcks := c.MinAcks
	if minAcks == 0 {
		minAcks = t.view.Config.MinAcks
	}
	acks := make(map[NodeID]ackState, len(c.Acks))
	for _, a := range c.Acks {
		acks[a.Node] = a.state()
	}
	for _, slot := range ix.Slots(in.Shards) {
		v := slotVerdict{slot: slot, copies: in.copies(ix, slot, acks)}
		v.shardVerdict = judgeShard(v.copies, minAcks)
		undecided = undecided || v.Undecided
		verdicts = append(verdicts, v)
	}
	if t.deletes(in) && slices.ContainsFunc(verdicts, func(v slotVerdict) bool { return v.Acks > 0 }) {
		for i := range verdicts {
			verdicts[i].Accepted = true
		}
		undecided = false
	}
	return verdicts, undecided
}

// deletes reports whether a write deletes its index. What one node has deleted nobody brings back, so a deletion that
// some node has accepted is accepted as a whole, and the nodes that missed it do it when they return.
func (t *txn) deletes(in *Intent) bool {
	task := t.task(in.TaskUID)
	return task != nil && task.Effect.DeleteIndex
}

func (a Ack) state() ackState {
	switch {
	case a.Unknown:
		return unknown
	case a.Err != "":
		return refused
	}
	return acked
}

// copies lists the replicas of a placement entry with what each answered.
func (in *Intent) copies(ix *Index, slot int, acks map[NodeID]ackState) []copyState {
	var copies []copyState
	for _, g := range ix.groups() {
		for _, r := range ix.Replicas(g, ShardID(slot)) {
			c := copyState{Group: g, Node: r.Node, State: r.State, Fresh: r.Fresh, Target: in.reaches(r.Node, slot)}
			if c.Target {
				c.Ack = acks[r.Node]
			}
			copies = append(copies, c)
		}
	}
	return copies
}

// commit makes replicas stale and fills the result.
func (c EndWrite) commit(t *txn, in *Intent, verdicts []slotVerdict, result *EndWriteResult) {
	for _, v := range verdicts {
		for _, i := range v.Stale {
			ref := ReplicaRef{in.Index, v.copies[i].Group, ShardID(v.slot), v.copies[i].Node}
			if t.makeStale(ref, c.Now) {
				result.Stale = append(result.Stale, ref)
			}
		}
		missed := slices.DeleteFunc(v.Missed, func(g GroupID) bool {
			group := t.view.Group(g)
			return group == nil || group.State != GroupActive
		})
		if len(missed) > 0 {
			result.MissedGroups = append(result.MissedGroups, missed...)
			result.MissedShards = append(result.MissedShards, ShardID(v.slot))
		}
		result.Accepted = result.Accepted && v.Accepted
	}
	slices.Sort(result.MissedGroups)
	result.MissedGroups = slices.Compact(result.MissedGroups)
}

// leaveOver remembers the nodes that missed a deletion.
func (c EndWrite) leaveOver(t *txn, in *Intent, nodeUID string) {
	for _, target := range in.Targets {
		acknowledged := slices.ContainsFunc(c.Acks, func(a Ack) bool { return a.Node == target.Node && a.state() == acked })
		if !acknowledged {
			t.addLeftover(Leftover{Node: target.Node, NodeUID: nodeUID})
		}
	}
}

// recordNodeTasks notes who acknowledged under which node task uid.
func (c EndWrite) recordNodeTasks(t *txn, in *Intent, task *Task) {
	old := *task
	task.NodeTasks = slices.Clone(task.NodeTasks)
	for _, a := range c.Acks {
		i := slices.IndexFunc(in.Targets, func(target Target) bool { return target.Node == a.Node })
		if i < 0 || a.state() != acked {
			continue
		}
		t.recordNodeTask(a.Node, a.NodeTaskUID)
		known := slices.ContainsFunc(task.NodeTasks, func(n NodeTask) bool { return n.Node == a.Node })
		if !known {
			task.NodeTasks = append(task.NodeTasks, NodeTask{Node: a.Node, UID: uint32(a.NodeTaskUID), Shards: in.Targets[i].Shards})
		}
	}
	t.putTask(&old, task)
}

func (c EndWrite) refusedError() []byte {
	if c.RefusedError != nil {
		return c.RefusedError
	}
	return []byte(`{"message":"Too few replicas in sync accepted the write.","code":"miroir_no_quorum","type":"system","link":""}`)
}
