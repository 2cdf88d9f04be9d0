package main

// mutant is a bug to plant: in file, old is replaced by new. old occurs exactly once.
type mutant struct {
	name, file, old, new string
	plan                 string // of the histories that look for it; "" for any
	pods                 int    // of these histories; 0: as the seed says
	test                 string // package and name of the test that finds what histories show too rarely; "" for none
}

var mutants = []mutant{
	// Writes
	{
		name: "a replica that missed a write stays in sync", file: "fsm/insync.go",
		old: "		return happened && c.Ack != acked\n", new: "		return false\n",
	},
	{
		name: "the result of a write is committed without the replicas that missed it", file: "fsm/end.go",
		old: "		for _, i := range v.Stale {", new: "		for _, i := range v.Stale[:0] {", plan: "absence",
	},
	{
		name: "a replica that failed a task stays in sync", file: "fsm/finish.go",
		old: "	if len(nodes) == 0 {\n		return nil", new: "	if len(nodes) >= 0 {\n		return nil", plan: "faults",
	},
	{
		name: "writes are answered before the result is committed, whatever it is", file: "proxy/write.go",
		old: "if complete && w.begin.Session", new: "if complete = true; complete && w.begin.Session", plan: "only copy",
	},
	{
		name: "a write may overtake an earlier one of its index on the way to the nodes", file: "proxy/write.go",
		old: "	w, err = wr.start(ctx, propose, names)\n	unlock()\n", new: "	unlock()\n	w, err = wr.start(ctx, propose, names)\n", plan: "busy moves",
	},
	{
		name: "a node that cannot be asked for a write counts as not having it", file: "proxy/fanout.go",
		old: "	if denied < 2 {\n", new: "	if denied < 2 && f == nil {\n", plan: "only copy",
	},
	{
		name: "an answer that names no task counts as a refusal", file: "proxy/fanout.go",
		old: "&node.Error{Node: client.ID(), Outcome: node.Unknown, Err: err} //", new: "err //", plan: "only copy",
	},
	{
		name: "the clock of a node is believed when a write is looked for", file: "proxy/node/tasks.go",
		old: "const trustedClock = 5000", new: "const trustedClock = 0", plan: "only copy",
	},
	{
		name: "a new leader takes nodes that cannot be asked for such that do not have the write", file: "workers/intents.go",
		old: "ack.Err, ack.Unknown = err.Error(), !answered", new: "ack.Err, ack.Unknown = err.Error(), false", plan: "only copy",
	},
	{
		name: "an earlier write is decided although it takes the only holder of a later one out of sync", file: "workers/intents.go",
		old: "if node, shard, alone := soleHolder(ix, first, second); alone {", new: "if node, shard, alone := soleHolder(ix, first, second); alone && false {",
		plan: "faults", pods: 3, test: "./proxy TestANodeThatAloneMayHaveALaterWriteStaysInSync",
	},
	{
		name: "a new leader believes a node that has just come back and says that it does not have the write", file: "workers/intents.go",
		old: "asked.Before(since.Add(lateArrival)) {", new: "asked.Before(since.Add(lateArrival)) && s == nil {", plan: "faults", pods: 3,
		test: "./proxy TestAWriteThatArrivesWhileANewLeaderAsksIsFound",
	},
	{
		name: "a write is done once a replica that is being filled has done it", file: "tasks/merge.go",
		old: " && !slices.Contains(r.Unsynced, shard)", new: "", plan: "faults", test: "./tasks TestMerge",
	},
	{
		name: "what a node failed shows in reads until the slowest node is done", file: "workers/taskwatch.go",
		old: "		w.leaveBehind(ctx, task, result.Behind)\n", new: "", plan: "faults", test: "./proxy TestANodeThatFailedAWriteIsStaleBeforeAllAreDone",
	},
	{
		name: "a task ends as soon as one node has done it", file: "tasks/merge.go",
		old: "case m.verdicts[i] == waiting && r.InSync:", new: "case m.verdicts[i] == waiting && r.InSync && false:", plan: "faults",
	},
	// Names
	{
		name: "an index is forgotten with the task that was to create it", file: "proxy/documents_write.go",
		old: "begin.Effect.CreateIndex = ix != nil && !ix.Visible && a.mayCreate", new: "begin.Effect.CreateIndex = false", plan: "names",
		test: "./proxy TestIndexThatALaterTaskCreates",
	},
	{
		name: "a deletion that one of two parts did fails", file: "tasks/merge.go",
		old: "	case m.deleted():\n", new: "	case m.deleted() && m == nil:\n", plan: "names", test: "./proxy TestDeletionThatOneOfTwoNodesDidIsFinished",
	},
	{
		name: "a deletion that half the nodes did is refused", file: "fsm/end.go",
		old: "if t.deletes(in) && slices.ContainsFunc", new: "if t == nil && slices.ContainsFunc", plan: "names",
	},
	{
		name: "a node that accepts to delete an index and fails is not asked again", file: "workers/leftovers.go",
		old: "if len(list) > 0 && isGone(list[0]) {", new: "if len(list) > 0 {", plan: "names",
		test: "./proxy TestIndexThatANodeFailsToDropIsAskedForAgain",
	},
	{
		name: "a change of settings that failed is looked for nowhere", file: "workers/verify.go",
		old: "	if ix == nil || task.Kind != string(meili.TaskSettingsUpdate) {\n		return\n", new: "	if ix == nil || task.Kind != \"\" {\n		return\n",
		plan: "failing tasks", test: "./proxy TestNoNodeKeepsAFailedChangeOfSettings",
	},
	{
		name: "an index whose nodes lose its settings goes on taking writes", file: "fsm/freeze.go",
		old: "t.view.Config.SettingsVerify.NoFreeze || ix.HasGroupWithout(nodes)", new: "!t.view.Config.SettingsVerify.NoFreeze || ix.HasGroupWithout(nodes)",
		plan: "failing tasks", test: "./proxy TestIndexFreezesUntilItsNodesAreInOrder",
	},
	{
		name: "a frozen index stays so when its nodes are in order again", file: "workers/freeze.go",
		old: "|| ix.HasGroupWithout(without(ix.Nodes(), f.right))", new: "|| len(f.right) < 0", plan: "failing tasks",
		test: "./proxy TestIndexFreezesUntilItsNodesAreInOrder",
	},
	{
		name: "a write that was checked before a freeze is accepted after it", file: "fsm/freeze.go",
		old: "		ix.NextVersion++ //", new: "		ix.NextVersion += 0 //", plan: "failing tasks", test: "./fsm TestFreezeIsKeptUntilLifted",
	},
	{
		name: "a new index is seen before every copy of it can be read", file: "workers/birth.go",
		old: "	if !makes(ix, task, result) {", new: "	if !makes(ix, task, result) || true {", plan: "failing tasks", test: "./proxy TestNewIndexThatANodeCouldNotBeReadBy",
	},
	{
		name: "tasks end before the name they were sent to leads to their index", file: "workers/taskwatch.go",
		old: "return moving && mover < task.UID", new: "return moving && mover < task.UID && false", plan: "names", test: "./proxy TestTaskEndsAfterTheSwapItWasRoutedBy",
	},
	{
		name: "a swap does not wait until its indexes are created", file: "proxy/write.go",
		old: "ix != nil && !ix.Visible {", new: "ix != nil && !ix.Visible && false {", plan: "names", test: "./proxy TestNothingIsWrittenByASwapThatCannotHappen",
	},
	// Reads
	{
		name: "replicas that are out of sync are read", file: "proxy/plan.go",
		old: "if replica.State != fsm.Active || c.standing", new: "if replica.State == fsm.Leaving || c.standing", plan: "absence",
	},
	{
		name: "nodes are asked without the shard filter", file: "proxy/plan.go",
		old: "	return c.Shards\n", new: "	return nil\n",
	},
	{
		name: "a pod without leader trusts its view on what nodes hold", file: "proxy/plan.go",
		old: "c.whole || !c.request.Old && ", new: "c.whole || ", plan: "troubled topology", pods: 3, test: "./proxy TestPlanRead",
	},
	{
		name: "a node whose last health check failed is read like the others", file: "proxy/plan.go",
		old: "n.State == fsm.NodeDegraded || ", new: "", plan: "destroy", test: "./proxy TestPlanPrefersNodesThatPassedTheirLastCheck",
	},
	{
		name: "a pod reads unmarked after its lease has run out", file: "raftnode/lease.go",
		old: "return asked != 0 && time.Since(n.started)", new: "return asked != 0 || time.Since(n.started)", plan: "apart",
	},
	{
		name: "an answer does not wait until every pod knows which replicas are stale", file: "proxy/forward.go",
		old: "	if s.peers == nil || len(stale) == 0 {", new: "	if s.peers != nil || len(stale) == 0 {", plan: "apart", test: "./proxy TestNoPodReadsAReplicaOnceAClientKnowsThatItIsStale",
	},
	{
		name: "reads do not wait for the writes of their session", file: "proxy/session.go",
		old: "if p == nil || len(p.tasks) == 0 || c == nil {", new: "if p == nil || len(p.tasks) >= 0 || c == nil {", plan: "absence",
	},
	{
		name: "a hedged request answers with the original and its substitutes", file: "proxy/hedge.go",
		old: "		timer.Stop()\n		return []T{answer}, false, nil\n", new: "		if !timer.Stop() {\n			beside, _ := others(ctx)\n			parts, _ := all(ctx, beside)\n			return append(parts, answer), true, nil\n		}\n		return []T{answer}, false, nil\n",
		plan: "slow nodes",
	},
	// Repair, catching up, moves
	{
		name: "a repair drops the last copy of what was written meanwhile", file: "workers/attempt.go",
		old: "	if touched.Everything {\n		if a.job.size() > heldDocuments {", new: "	touched = tasks.Touched{}\n	if touched.Everything {\n		if a.job.size() > heldDocuments {", plan: "busy repair",
	},
	{
		name: "a repair activates before the last copy and the comparison", file: "workers/attempt.go",
		old: "		err := part.conclude(holding, touched)\n", new: "		err := part.activate(holding)\n", plan: "busy repair",
	},
	{
		name: "a repair is not told what writers touch", file: "proxy/write.go",
		old: "	wr.watches.note(w.begun.Index.ID, p.touched)\n", new: "", plan: "busy repair", test: "./proxy TestWritesOvertakenByThePageAreCopiedAgain",
	},
	{
		name: "a repair leaves documents that were deleted", file: "workers/copying.go",
		old: "slices.Chunk(lacking(theirs, ours), ", new: "slices.Chunk(theirs[:0], ", plan: "destroy",
	},
	{
		name: "a move activates its target without holding the writes", file: "proxy/watch.go",
		old: "	unlock, err := s.lockIndex(ctx, index)\n	if err != nil {\n		return err\n	}\n	defer unlock()\n	ctx, cancel := context.WithTimeout(ctx, limit)\n	defer cancel()\n	for !s.writer.idle(index) {",
		new: "	ctx, cancel := context.WithTimeout(ctx, limit)\n	defer cancel()\n	for limit == 0 {", plan: "busy moves",
	},
	{
		name: "a replica in sync is taken out of service while a write is open", file: "workers/rebalance.go",
		old: "return c.From == fsm.Active && c.To == fsm.Leaving", new: "return c.From == fsm.Active && c.To == fsm.Leaving && false", plan: "troubled topology",
		test: "./proxy TestNoReplicaInSyncLeavesWhileAWriteIsOpen",
	},
	{
		name: "an open change of settings makes an index anew that was deleted", file: "workers/intents.go",
		old: "if err == nil && !request.Delete && s.isDeleted(ix.ID) {", new: "if err == nil && !request.Delete && s.isDeleted(ix.ID) && false {", plan: "troubled topology",
		test: "./proxy TestAnOpenChangeOfSettingsLeavesNoDeletedIndex",
	},
	{
		name: "catching up replays what is not decided", file: "workers/catchup.go",
		old: "err != nil || open {", new: "err != nil || open && false {", plan: "only copy", test: "./proxy TestReplayLeavesOutWhatIsNotDecided",
	},
	{
		name: "a surplus index is forgotten although the node failed to delete it", file: "workers/purge.go",
		old: "if err == nil && !isGone(deletion) {", new: "if err == nil && !isGone(deletion) && false {", plan: "troubled topology",
		test: "./proxy TestSurplusIndexThatANodeFailsToDropIsDroppedLater",
	},
	{
		name: "a session takes a task that a node failed for done", file: "proxy/session.go",
		old: "return !t.Finished() || t.Failed() })", new: "return !t.Finished() })", plan: "faults", test: "./proxy TestSessionsWaitForTheNodeThatDoesTheWrite",
	},
	{
		name: "a node gets new writes before those it has missed", file: "proxy/catchup.go",
		old: "	if log == nil {\n		done = f.sendTo(sub)\n", new: "	if log == nil || sub.late {\n		done = f.sendTo(sub)\n", plan: "absence",
	},
	{
		name: "catching up replays what the node has already", file: "workers/catchup.go",
		old: "wanted := happened && !has", new: "wanted := happened", plan: "absence", test: "./proxy TestReplayLeavesOutWhatTheNodeHas",
	},
	{
		name: "an index is cut up before its nodes can filter by shard", file: "workers/expansion.go",
		old: "if asked == nil && !ok {", new: "if asked == nil && !ok && false {", plan: "growth", test: "./proxy TestAnIndexIsCutUpOnceItsNodesFilterByShard",
	},
	{
		name: "a node that is absent when an index is cut up stays in sync", file: "workers/expansion.go",
		old: "	if len(absent) > 0 {", new: "	if len(absent) < 0 {", plan: "growth", test: "./proxy TestAnAbsentNodeFiltersByShardWhenItIsReadAgain",
	},
	{
		name: "a node counts as able to filter by shard while it has a change of settings to do", file: "proxy/shardable.go",
		old: "	if busy {", new: "	if busy && client == nil {", plan: "growth", test: "./proxy TestAChangeOnItsWayEndsFilteringByShard",
	},
	// Disks
	{
		name: "a disk that was lost or is older goes unnoticed", file: "workers/health.go",
		old: "	if !lostDisk(h.opts.Cluster.View(), n, newest) {", new: "	if !lostDisk(h.opts.Cluster.View(), n, newest) || true {", plan: "destroy",
	},
	{
		name: "task uids that a wiped node gives anew are taken for new ones", file: "proxy/fanout.go",
		old: "if err == nil && uid <= known {", new: "if err == nil && uid <= known && false {", plan: "busy repair", test: "./proxy TestWipedNodeDoesNotAcknowledge",
	},
	{
		name: "a node that returns is told to cancel a stopped write before its task history is read", file: "workers/health.go",
		old: "	if err := h.checkHistory(ctx, n); err", new: "	if returns {\n		h.cancelStopped(ctx, n)\n	}\n	if err := h.checkHistory(ctx, n); err",
		plan: "destroy", test: "./proxy TestARollbackByOneTaskIsNoticedThoughAWriteWasStopped",
	},
	{
		name: "nobody looks which number a node gives a cancelation", file: "workers/cancelation.go",
		old: "if uid >= 0 && uid <= n.LastTaskUID {", new: "if uid < 0 && uid <= n.LastTaskUID {", plan: "destroy",
		test: "./proxy TestARollbackByOneTaskIsNoticedWhenAWriteIsStopped",
	},
	// Settings
	{
		name: "what a task made of a node's settings is not read back", file: "workers/foreign.go",
		old: "			f.readSettings(view, list)\n", new: "", plan: "growth", test: "./proxy TestSettingsThatComeLateArePutRight",
	},
	{
		name: "settings that nodes lose are never read back", file: "workers/drift.go",
		old: "			d.checkAll(ctx, nil)\n", new: "", plan: "lost settings",
	},
	{
		name: "a deletion on a node is forgotten while the settings of the index change", file: "workers/foreign.go",
		old: "		case errors.Is(err, errUnsettled):\n			left = append(left, task)\n", new: "		case errors.Is(err, errUnsettled):\n", plan: "lost settings",
		test: "./proxy TestADeletionIsLookedAtAgainOnceSettingsRest",
	},
	// Growth
	{
		name: "what is written while an index moves out of its node is not copied in the end", file: "workers/attempt.go",
		old: "		err := part.conclude(holding, touched)\n", new: "		if a.late {\n			touched.IDs, touched.Everything = nil, false\n		}\n		err := part.conclude(holding, touched)\n",
		plan: "growth", test: "./proxy TestWritesDuringGrowthComeLast",
	},
	// Addresses
	{
		name: "an address that leads to another node's server goes unnoticed", file: "workers/strays.go",
		old: "	if other == nil {\n", new: "	if other == nil || err == nil {\n", plan: "wandering addresses",
	},
	{
		name: "an address that leads to an empty server is taken for a disk that was lost", file: "workers/strays.go",
		old: "		return s.emptyTwinOf(ctx, n)\n", new: "		return nil, nil\n", plan: "wandering addresses",
		test: "./proxy TestAnAddressThatLeadsToAnEmptyServer",
	},
	{
		name: "what was sent to a server in another node's name stays there", file: "workers/surplus.go",
		old: "		for _, id := range d.opts.strays.takeMixed() {", new: "		for _, id := range d.opts.strays.takeMixed()[:0] {", plan: "wandering addresses",
	},
}
