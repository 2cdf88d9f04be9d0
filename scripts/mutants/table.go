package main

// mutant is a bug to plant: in file, old is replaced by new. old occurs exactly once.
type mutant struct{ name, file, old, new string }

var mutants = []mutant{
	{
		"a replica that missed a write stays in sync", "fsm/insync.go",
		"		return happened && c.Ack != acked\n", "		return false\n",
	},
	{
		"replicas that are out of sync are read", "proxy/plan.go",
		"if replica.State != fsm.Active || c.standing", "if replica.State == fsm.Leaving || c.standing",
	},
	{
		"nodes are asked without the shard filter", "proxy/plan.go",
		"	return c.Shards\n", "	return nil\n",
	},
	{
		"writes are answered before the result is committed, whatever it is", "proxy/write.go",
		"if complete && w.begin.Session", "if complete = true; complete && w.begin.Session",
	},
	{
		"a write may overtake an earlier one of its index on the way to the nodes", "proxy/write.go",
		"	w, err := wr.start(ctx, propose, names)\n	unlock()\n", "	unlock()\n	w, err := wr.start(ctx, propose, names)\n",
	},
	{
		"a node that cannot be asked for a write counts as not having it", "proxy/fanout.go",
		"	if !asked {\n", "	if !asked && f == nil {\n",
	},
	{
		"a new leader takes nodes that cannot be asked for such that do not have the write", "workers/intents.go",
		"ack.Unknown = !errors.Is(err, errNotThere) && !errors.As(err, &refused)", "ack.Unknown = errors.As(err, &refused) && false",
	},
	{
		"a repair drops the last copy of what was written meanwhile", "workers/attempt.go",
		"	if touched.Everything {\n		if a.job.size() > heldDocuments {", "	touched = tasks.Touched{}\n	if touched.Everything {\n		if a.job.size() > heldDocuments {",
	},
	{
		"a repair is not told what writers touch", "proxy/write.go",
		"	wr.watches.note(w.begun.Index.ID, p.touched)\n", "",
	},
	{
		"a repair leaves documents that were deleted", "workers/copying.go",
		"		if _, found := slices.BinarySearch(ours, id); !found {\n			extra", "		if found := false; found {\n			extra",
	},
	{
		"a disk that was lost or is older goes unnoticed", "workers/health.go",
		"	if newest >= n.LastTaskUID {", "	if newest >= n.LastTaskUID || true {",
	},
	{
		"a node whose last health check failed is read like the others", "proxy/plan.go",
		"n.State == fsm.NodeDegraded || ", "",
	},
	{
		"a deletion that half the nodes did is refused", "fsm/end.go",
		"if t.deletes(in) && slices.ContainsFunc", "if t == nil && slices.ContainsFunc",
	},
	{
		"tasks end before the name they were sent to leads to their index", "workers/taskwatch.go",
		"return moving && mover < task.UID", "return moving && mover < task.UID && false",
	},
	{
		"a task ends as soon as one node has done it", "tasks/merge.go",
		"case m.verdicts[i] == waiting && r.InSync:", "case m.verdicts[i] == waiting && r.InSync && false:",
	},
}
