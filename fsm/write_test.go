package fsm

import (
	"encoding/json"
	"reflect"
	"testing"
)

func (m *machine) wantNames(want map[string]IndexID) {
	m.t.Helper()
	if got := m.fsm.View().Names; !reflect.DeepEqual(got, want) {
		m.t.Fatalf("names are %v, want %v", got, want)
	}
}

func (m *machine) wantRoutes(want map[string]IndexID) {
	m.t.Helper()
	if got := m.fsm.View().Routes; !reflect.DeepEqual(got, want) {
		m.t.Fatalf("routes are %v, want %v", got, want)
	}
}

func TestIndexLife(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 3, 2, SpreadAuto)
	r, id := m.begin("movies", "indexCreation", Effect{CreateIndex: true, PrimaryKey: ptr("id")})
	if !r.Created || len(r.Targets) != 2 || r.Targets[0].Shards != nil || r.Index.NodeUID != "movies" {
		t.Fatalf("created on %+v", r)
	}
	m.wantRoutes(map[string]IndexID{"movies": 1})
	m.wantNames(map[string]IndexID{})
	if ix := m.fsm.View().Route("movies"); ix.Visible || ix.NextPrimaryKey != "id" || ix.PrimaryKey != "" {
		t.Fatalf("before its end: %+v", ix)
	}
	if end := m.ackAll(r, id); !end.Accepted || end.Stale != nil {
		t.Fatalf("end: %+v", end)
	}
	m.finish(r.TaskUID, StatusSucceeded)
	if ix := m.fsm.View().Index("movies"); !ix.Visible || ix.PrimaryKey != "id" || len(ix.Pending) > 0 {
		t.Fatalf("after its end: %+v", ix)
	}

	r, id = m.begin("movies", "indexDeletion", Effect{DeleteIndex: true})
	m.wantRoutes(map[string]IndexID{})
	m.wantNames(map[string]IndexID{"movies": 1})
	m.ackAll(r, id)
	again, againID := m.begin("movies", "indexCreation", Effect{CreateIndex: true})
	if again.Index.NodeUID == "movies" {
		t.Fatal("the new index has the node-side name of the one being deleted")
	}
	m.finish(r.TaskUID, StatusSucceeded)
	m.ackAll(again, againID)
	m.finish(again.TaskUID, StatusSucceeded)
	m.wantNames(map[string]IndexID{"movies": 2})
	if v := m.fsm.View(); len(v.Indexes) != 1 || len(v.Leftovers) != 0 {
		t.Fatalf("indexes %v, leftovers %v", v.Indexes, v.Leftovers)
	}
	if task := m.task(0); *task.IndexUID != "movies" || task.Status != StatusSucceeded || len(task.NodeTasks) != 2 {
		t.Fatalf("task: %+v", task)
	}
}

func TestRefusedCreationLeavesNoTrace(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 1, 1, SpreadAuto)
	r, id := m.begin("movies", "indexCreation", Effect{CreateIndex: true})
	end := do(m, EndWrite{Now: m.tick(), WriteID: id, Acks: []Ack{{Node: nodeID(0, 0), Err: "refused"}}, RefusedError: json.RawMessage(`{"code":"x"}`)})
	if end.Accepted || len(end.Stale) > 0 {
		t.Fatalf("end: %+v", end)
	}
	if task := m.task(r.TaskUID); task.Status != StatusFailed || string(task.Error) != `{"code":"x"}` {
		t.Fatalf("task: %+v", task)
	}
	m.wantRoutes(map[string]IndexID{})
	if v := m.fsm.View(); len(v.Indexes) != 0 || v.NumOpenTasks != 0 || v.NumOpenIntents != 0 {
		t.Fatalf("indexes %v", v.Indexes)
	}
}

func TestANodeThatMissedADeletionIsRemembered(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 2, 2, SpreadAuto)
	m.create("movies")
	r, id := m.begin("movies", "indexDeletion", Effect{DeleteIndex: true})
	end := do(m, EndWrite{Now: m.tick(), WriteID: id, Acks: []Ack{{Node: nodeID(0, 0)}, {Node: nodeID(0, 1), Err: "down"}}})
	if !end.Accepted || len(end.Stale) != 1 {
		t.Fatalf("end: %+v", end)
	}
	m.finish(r.TaskUID, StatusSucceeded)
	left := Leftover{nodeID(0, 1), "movies"}
	if got := m.fsm.View().Leftovers; len(got) != 1 || got[0] != left {
		t.Fatalf("leftovers: %v", got)
	}
	again, _ := m.begin("movies", "indexCreation", Effect{CreateIndex: true})
	if again.Index.NodeUID != "movies__2" {
		t.Fatalf("node-side name %s is still taken on a node", again.Index.NodeUID)
	}
	do(m, ForgetLeftover{left})
	m.refused(ForgetLeftover{left}, ErrNotFound)
}

// A deletion that one node has done cannot be refused for the sake of a shard whose only node is down: the documents are
// gone. Red when it is, or when the node that was down keeps the index.
func TestADeletionHappensAsAWhole(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 2, 1, SpreadAll)
	m.create("movies")
	r, id := m.begin("movies", "indexDeletion", Effect{DeleteIndex: true})
	end := do(m, EndWrite{Now: m.tick(), WriteID: id, Acks: []Ack{{Node: nodeID(0, 0)}, {Node: nodeID(0, 1), Unknown: true}}})
	if !end.Accepted {
		t.Fatalf("end: %+v", end)
	}
	m.refused(FinishTask{Now: m.tick(), TaskUID: r.TaskUID, Status: StatusFailed}, ErrOperationBusy) // the other may have done it
	m.finish(r.TaskUID, StatusSucceeded)
	if v := m.fsm.View(); len(v.Leftovers) != 1 || v.Leftovers[0] != (Leftover{nodeID(0, 1), "movies"}) || len(v.Indexes) != 0 {
		t.Fatalf("leftovers %v, indexes %v", v.Leftovers, v.Indexes)
	}
	m.create("actors")
	_, id = m.begin("actors", "indexDeletion", Effect{DeleteIndex: true})
	if end := do(m, EndWrite{Now: m.tick(), WriteID: id}); end.Accepted {
		t.Fatal("a deletion that no node took is accepted")
	}
}

func TestMissedWriteMakesStaleAndRepairActivates(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 2, 2, SpreadAuto)
	m.create("movies")
	_, id := m.begin("movies", "documentAdditionOrUpdate", Effect{})
	end := do(m, EndWrite{Now: m.tick(), WriteID: id, Acks: []Ack{{Node: nodeID(0, 0), NodeTaskUID: 41}, {Node: nodeID(0, 1), Err: "timeout"}}})
	ref := ReplicaRef{1, 0, 0, nodeID(0, 1)}
	if !end.Accepted || !reflect.DeepEqual(end.Stale, []ReplicaRef{ref}) || !reflect.DeepEqual(end.MissedGroups, []GroupID{0}) {
		t.Fatalf("end: %+v", end)
	}
	if got := m.fsm.View().Node(nodeID(0, 0)).LastTaskUID; got != 41 {
		t.Fatalf("last node task %d", got)
	}
	open, openID := m.begin("movies", "documentAdditionOrUpdate", Effect{})
	if len(open.Targets) != 1 {
		t.Fatalf("a stale replica is a target: %+v", open.Targets)
	}
	m.refused(ActivateReplica{Now: m.tick(), ReplicaRef: ref}, ErrWrongState)
	do(m, MarkReplicas{Now: m.tick(), Changes: []ReplicaChange{{ref, Stale, Joining}}})
	epoch := m.fsm.View().Index("movies").replica(ref).Epoch
	m.refused(ActivateReplica{Now: m.tick(), ReplicaRef: ref, Epoch: epoch - 1}, ErrWrongState)
	m.refused(ActivateReplica{Now: m.tick(), ReplicaRef: ref, Epoch: epoch}, ErrOperationBusy)
	m.ackAll(open, openID)
	do(m, ActivateReplica{Now: m.tick(), ReplicaRef: ref, Epoch: epoch})
	if got := m.fsm.View().Index("movies").Nodes(Active); len(got) != 2 {
		t.Fatalf("active on %v", got)
	}
}

func TestUndecidedWriteStaysOpen(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 2, 2, SpreadAll)
	m.create("movies")
	r, id := m.begin("movies", "documentAdditionOrUpdate", Effect{})
	a, b := Ack{Node: nodeID(0, 0), Err: "refused"}, Ack{Node: nodeID(0, 1), Unknown: true}
	m.refused(EndWrite{Now: m.tick(), WriteID: id, Acks: []Ack{a, b}}, ErrUndecided)
	if intents, _ := m.fsm.OpenIntents(); len(intents) != 1 || intents[0].WriteID != id {
		t.Fatalf("intents: %+v", intents)
	}
	b = Ack{Node: nodeID(0, 1), NodeTaskUID: 5}
	end := do(m, EndWrite{Now: m.tick(), WriteID: id, Acks: []Ack{a, b}})
	if !end.Accepted || len(end.Stale) != 4 {
		t.Fatalf("end: %+v", end)
	}
	m.refused(EndWrite{Now: m.tick(), WriteID: id}, ErrNotFound)
	if task := m.task(r.TaskUID); task.Status != StatusEnqueued || len(task.NodeTasks) != 1 {
		t.Fatalf("task: %+v", task)
	}
}

func TestAcknowledgedShardsOfARefusedWrite(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 4, 2, SpreadAll)
	m.create("movies")
	r, id := m.begin("movies", "documentAdditionOrUpdate", Effect{})
	ix := r.Index
	lost := ix.Replicas(0, 0) // both nodes of shard 0 refuse
	var acks []Ack
	for _, target := range r.Targets {
		ack := Ack{Node: target.Node}
		if position(lost, target.Node) >= 0 {
			ack.Err = "down"
		}
		acks = append(acks, ack)
	}
	end := do(m, EndWrite{Now: m.tick(), WriteID: id, Acks: acks})
	if end.Accepted {
		t.Fatal("accepted although nobody has shard 0")
	}
	for _, ref := range end.Stale {
		if ref.Shard == 0 {
			t.Fatal("a replica of the shard that nobody accepted became stale")
		}
	}
	for s := range ix.Shards {
		if !m.fsm.View().Index("movies").hasInSync(ShardID(s)) {
			t.Fatalf("shard %d has no replica in sync", s)
		}
	}
}

func TestFailedSettingsAreRolledBackUnderLaterOnes(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 1, 1, SpreadAuto)
	m.create("movies")
	change := func(settings string) uint32 {
		r, id := m.begin("movies", "settingsUpdate", Effect{Settings: json.RawMessage(settings)})
		m.ackAll(r, id)
		return r.TaskUID
	}
	first := change(`{"a":1}`)
	second := change(`{"a":1,"b":2}`)
	third := change(`{"a":3,"b":2}`)
	m.finish(second, StatusSucceeded)
	ix := m.fsm.View().Index("movies")
	if ix.Settings != nil || string(ix.NextSettings) != `{"a":3,"b":2}` {
		t.Fatalf("an effect overtook an earlier one: %s", ix.Settings)
	}
	version := ix.NextVersion
	m.finish(first, StatusFailed)
	ix = m.fsm.View().Index("movies")
	if string(ix.Settings) != `{"b":2}` || string(ix.NextSettings) != `{"a":3,"b":2}` || ix.SettingsVersion != 1 || ix.NextVersion <= version {
		t.Fatalf("after the failure: %s, next %s", ix.Settings, ix.NextSettings)
	}
	m.finish(third, StatusFailed)
	if ix = m.fsm.View().Index("movies"); string(ix.NextSettings) != `{"b":2}` {
		t.Fatalf("next %s", ix.NextSettings)
	}
}

func TestTheNextWriterInheritsAFailedCreation(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 1, 1, SpreadAuto)
	effect := Effect{CreateIndex: true, PrimaryKey: ptr("id")}
	var tasks []uint32
	for range 3 {
		r, id := m.begin("movies", "documentAdditionOrUpdate", effect)
		m.ackAll(r, id)
		tasks = append(tasks, r.TaskUID)
	}
	if ix := m.fsm.View().Route("movies"); len(ix.Pending) != 1 {
		t.Fatalf("pending: %+v", ix.Pending)
	}
	m.finish(tasks[0], StatusFailed)
	m.finish(tasks[1], StatusFailed)
	if ix := m.fsm.View().Route("movies"); ix == nil || ix.NextPrimaryKey != "id" || len(ix.Pending) != 1 || ix.Pending[0].Task != tasks[2] {
		t.Fatalf("nobody inherited: %+v", ix)
	}
	m.finish(tasks[2], StatusSucceeded)
	if ix := m.fsm.View().Index("movies"); ix == nil || ix.PrimaryKey != "id" {
		t.Fatalf("index: %+v", ix)
	}
}

func TestAFailedTaskMayStillHaveCreatedTheIndex(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 1, 1, SpreadAuto)
	r, id := m.begin("movies", "documentAdditionOrUpdate", Effect{CreateIndex: true, PrimaryKey: ptr("id")})
	m.ackAll(r, id)
	do(m, FinishTask{Now: m.tick(), TaskUID: r.TaskUID, Status: StatusFailed, IndexExists: true})
	if ix := m.fsm.View().Index("movies"); ix == nil || ix.PrimaryKey != "" || ix.NextPrimaryKey != "" {
		t.Fatalf("index: %+v", ix)
	}
}

func swap(a, b string) BeginWrite {
	return BeginWrite{Kind: "indexSwap", Effect: Effect{Swaps: []Swap{{A: a, B: b}}}, Outcome: &Outcome{Status: StatusSucceeded}}
}

func TestSwapWaitsForEarlierTasks(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 1, 1, SpreadAuto)
	m.create("a")
	m.create("b")
	open, id := m.begin("a", "documentAdditionOrUpdate", Effect{})
	m.ackAll(open, id)
	c := swap("a", "b")
	c.Now = m.tick()
	flip := do(m, c)
	m.wantRoutes(map[string]IndexID{"a": 2, "b": 1})
	m.wantNames(map[string]IndexID{"a": 1, "b": 2})
	later, laterID := m.begin("a", "documentAdditionOrUpdate", Effect{})
	if later.Index.ID != 2 {
		t.Fatalf("a write after the swap goes to index %d", later.Index.ID)
	}
	m.ackAll(later, laterID)
	m.finish(later.TaskUID, StatusSucceeded)
	if m.task(flip.TaskUID).Finished() {
		t.Fatal("the swap did not wait")
	}
	done := m.finish(open.TaskUID, StatusSucceeded)
	if !reflect.DeepEqual(done.Settled, []uint32{flip.TaskUID}) {
		t.Fatalf("settled: %v", done.Settled)
	}
	m.wantNames(map[string]IndexID{"a": 2, "b": 1})
	if name := *m.task(open.TaskUID).IndexUID; name != "b" {
		t.Errorf("an earlier task shows as %s", name)
	}
	if name := *m.task(later.TaskUID).IndexUID; name != "a" {
		t.Errorf("a later task shows as %s", name)
	}
	list, err := m.fsm.Tasks(TaskFilter{IndexUIDs: []string{"b"}}, TaskPage{Limit: 10, Reverse: true})
	if err != nil || list.Total != 2 || list.Tasks[0].UID != 0 || list.Tasks[1].UID != open.TaskUID { // and not the swap
		t.Errorf("tasks of b: %+v, %v", list, err)
	}
}

func TestRenameAndCanceledSwap(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 1, 1, SpreadAuto)
	m.create("a")
	m.create("b")
	rename := swap("a", "c")
	rename.Effect.Swaps[0].Rename = true
	rename.Now = m.tick()
	do(m, rename)
	m.wantNames(map[string]IndexID{"c": 1, "b": 2})
	if ix := m.fsm.View().Index("c"); ix.UID != "c" || ix.NodeUID != "a" {
		t.Fatalf("renamed: %+v", ix)
	}
	m.refused(swap("a", "b"), ErrNotFound)
	taken := swap("c", "b")
	taken.Effect.Swaps[0].Rename = true
	m.refused(taken, ErrExists)
	m.refused(swap("c", "c"), ErrInvalid)

	open, id := m.begin("c", "documentAdditionOrUpdate", Effect{})
	m.ackAll(open, id)
	flip := do(m, swap("c", "b"))
	cancel := do(m, BeginWrite{Now: m.tick(), Kind: "taskCancelation"})
	got := do(m, CancelTasks{Now: m.tick(), TaskUID: cancel.TaskUID, UIDs: TaskUIDs{flip.TaskUID}, OriginalFilter: "?x"})
	if got.NumTasks != 1 || m.task(flip.TaskUID).Status != StatusCanceled {
		t.Fatalf("canceled: %+v", got)
	}
	m.wantRoutes(map[string]IndexID{"c": 1, "b": 2})
	m.wantNames(map[string]IndexID{"c": 1, "b": 2})
	if task := m.task(cancel.TaskUID); string(task.Details) != `{"matchedTasks":1,"canceledTasks":1,"originalFilter":"?x"}` {
		t.Fatalf("details: %s", task.Details)
	}
	if batches, err := m.fsm.Batches(TaskFilter{CanceledBy: []uint32{cancel.TaskUID}}, TaskPage{Limit: 9}); err != nil || batches.Total != 1 || len(batches.Batches[0].Tasks) != 2 {
		t.Fatalf("batches: %+v, %v", batches, err)
	}
}

func TestOutcomesAndExpectations(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 1, 1, SpreadAuto)
	m.refused(BeginWrite{Kind: "documentDeletion", WriteID: "x", IndexUID: ptr("none")}, ErrNotFound)
	failed := do(m, BeginWrite{Now: m.tick(), Kind: "documentDeletion", IndexUID: ptr("none"), Outcome: &Outcome{Status: StatusFailed, Error: json.RawMessage(`{"code":"index_not_found"}`)}})
	if task := m.task(failed.TaskUID); task.Status != StatusFailed || task.BatchUID == nil || task.StartedAt == nil {
		t.Fatalf("task: %+v", task)
	}
	m.create("movies")
	version := m.fsm.View().Index("movies").NextVersion
	write := BeginWrite{Now: m.tick(), Kind: "settingsUpdate", WriteID: "y", IndexUID: ptr("movies"), Effect: Effect{Settings: json.RawMessage(`{"a":1}`)}}
	write.Expect = &Expect{Index: 1, NextVersion: version}
	do(m, write)
	m.refused(write, ErrExists)
	write.WriteID = "z"
	m.refused(write, ErrChanged)
	write.Expect = &Expect{}
	m.refused(write, ErrChanged)
	write.Expect = &Expect{Index: 7}
	m.refused(write, ErrChanged)
	decided := do(m, BeginWrite{Now: m.tick(), Kind: "settingsUpdate", IndexUID: ptr("other"), Effect: Effect{CreateIndex: true, Settings: json.RawMessage(`{}`)}, Outcome: &Outcome{Status: StatusSucceeded}})
	if ix := m.fsm.View().Index("other"); !decided.Created || ix == nil || string(ix.Settings) != "{}" {
		t.Fatalf("decided: %+v, %+v", decided, ix)
	}
}

func TestNodeOperations(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(2, 2, 2, SpreadAuto)
	m.create("movies")
	r, id := m.begin("movies", "documentAdditionOrUpdate", Effect{})
	m.ackAll(r, id)
	do(m, FinishTask{Now: m.tick(), TaskUID: r.TaskUID, Status: StatusSucceeded, FailedNodes: []NodeID{nodeID(0, 0)}})
	if got := m.fsm.View().Index("movies").Nodes(Stale); !reflect.DeepEqual(got, []NodeID{nodeID(0, 0)}) {
		t.Fatalf("stale on %v", got)
	}
	wiped := do(m, MarkNodeStale{Now: m.tick(), Node: nodeID(0, 1), LastTaskUID: ptr(int64(-1))})
	if wiped.NumStale != 1 || len(wiped.Lost) != 0 {
		t.Fatalf("wiped: %+v", wiped)
	}
	m.refused(AddNode{Node: Node{ID: nodeID(0, 1), Address: "http://x"}}, ErrExists)
	m.refused(RemoveNode{Node: nodeID(0, 1)}, ErrWrongState)
	do(m, RemoveNode{Now: m.tick(), Node: nodeID(0, 1), Force: true})
	m.refused(AddNode{Node: Node{ID: nodeID(0, 1), Address: "http://x"}}, ErrExists)
	do(m, RemoveNode{Now: m.tick(), Node: nodeID(1, 1), Force: true})
	m.refused(RemoveNode{Node: nodeID(1, 0), Force: true}, ErrLastCopy)
	lost := do(m, RemoveNode{Now: m.tick(), Node: nodeID(1, 0), Force: true, AcceptLoss: true})
	if len(lost.Lost) != 1 {
		t.Fatalf("lost: %+v", lost)
	}
	do(m, AddNode{Now: m.tick(), Node: Node{ID: "late", Address: "http://y", Group: 7}})
	if g := m.fsm.View().Group(7); g == nil || g.State != GroupInitializing {
		t.Fatalf("group: %+v", g)
	}
	m.refused(SetGroupState{Group: 7, State: GroupActive}, ErrWrongState)
	if n := m.fsm.View().Node("late"); n.State != NodeActive || n.LastTaskUID != -1 {
		t.Fatalf("node: %+v", n)
	}
}

func TestMoveAndExpansion(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 3, 1, SpreadAuto)
	m.create("movies")
	ix := m.fsm.View().Index("movies")
	source := ix.Nodes()[0]
	do(m, ExpandIndex{ix.ID})
	m.refused(ExpandIndex{ix.ID}, ErrWrongState)
	want := m.fsm.View().Planner(m.tick()).Targets(m.fsm.View().Index("movies"), 0)
	if len(want) != 4 {
		t.Fatalf("desired: %v", want)
	}
	for s, nodes := range want {
		if nodes[0] == source {
			continue
		}
		ref := ReplicaRef{ix.ID, 0, ShardID(s), nodes[0]}
		do(m, MarkReplicas{Now: m.tick(), Changes: []ReplicaChange{{ref, "", Joining}}})
		do(m, ActivateReplica{Now: m.tick(), ReplicaRef: ref, Displaced: source})
		gone := ref
		gone.Node = source
		do(m, MarkReplicas{Now: m.tick(), Changes: []ReplicaChange{{gone, Leaving, ""}}})
		m.refused(MarkReplicas{Changes: []ReplicaChange{{ref, Active, Leaving}}}, ErrLastCopy)
	}
	moved := m.fsm.View().Index("movies")
	for s, nodes := range want {
		if got := moved.Replicas(0, ShardID(s)); len(got) != 1 || got[0].Node != nodes[0] || got[0].State != Active {
			t.Fatalf("shard %d is on %v, want %v", s, got, nodes)
		}
	}
	r, _ := m.begin("movies", "documentAdditionOrUpdate", Effect{})
	shards := 0
	for _, target := range r.Targets {
		shards += len(target.Shards)
	}
	if shards != 4 {
		t.Fatalf("targets: %+v", r.Targets)
	}
}

func TestKeysAndFeatures(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 1, 1, SpreadAuto)
	for _, uid := range []string{"z", "a", "m"} {
		do(m, PutKey{Key: Key{UID: uid}, Create: true})
	}
	m.refused(PutKey{Key: Key{UID: "a"}, Create: true}, ErrExists)
	m.refused(PutKey{Key: Key{UID: "none"}}, ErrNotFound)
	do(m, PutKey{Key: Key{UID: "a", Name: ptr("n")}})
	do(m, DeleteKey{"z"})
	m.refused(DeleteKey{"z"}, ErrNotFound)
	do(m, SetFeatures{json.RawMessage(`{"metrics":true}`)})
	m.reopen()
	v := m.fsm.View()
	if len(v.Keys) != 2 || v.Keys[0].UID != "a" || *v.Key("a").Name != "n" || v.Keys[1].UID != "m" || string(v.Features) != `{"metrics":true}` {
		t.Fatalf("keys %+v, features %s", v.Keys, v.Features)
	}
	m.refused(Bootstrap{ClusterID: "other"}, ErrExists)
}

func TestAPublishedViewNeverChanges(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 3, 2, SpreadAll)
	m.create("movies")
	v := m.fsm.View()
	before := string(marshal(v))
	m.write("movies", "settingsUpdate", Effect{Settings: json.RawMessage(`{"a":1}`)}, StatusSucceeded)
	m.create("books")
	do(m, MarkNodeStale{Now: m.tick(), Node: nodeID(0, 0)})
	do(m, swap("movies", "books"))
	do(m, PutKey{Key: Key{UID: "k"}, Create: true})
	m.write("movies", "indexDeletion", Effect{DeleteIndex: true}, StatusSucceeded)
	if after := string(marshal(v)); after != before {
		t.Fatalf("a published view changed:\n%s\n%s", before, after)
	}
}

func TestPrimaryKeyAndNameChangeTogether(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 1, 1, SpreadAuto)
	m.create("a")
	key := "isbn"
	change := Effect{PrimaryKey: &key, Swaps: []Swap{{A: "a", B: "b", Rename: true}}}
	earlier, earlierID := m.begin("a", "documentAdditionOrUpdate", Effect{})
	m.ackAll(earlier, earlierID)

	failing, id := m.begin("a", "indexUpdate", change)
	m.ackAll(failing, id)
	m.wantRoutes(map[string]IndexID{"b": 1})
	do(m, FinishTask{Now: m.tick(), TaskUID: failing.TaskUID, Status: StatusFailed})
	m.wantRoutes(map[string]IndexID{"a": 1})
	if ix := m.fsm.View().Index("a"); ix.PrimaryKey == key || ix.NextPrimaryKey == key || len(ix.Pending) != 0 {
		t.Fatalf("after a failure: %+v", ix)
	}

	begun, id := m.begin("a", "indexUpdate", change)
	m.ackAll(begun, id)
	done := FinishTask{Now: m.tick(), TaskUID: begun.TaskUID, Status: StatusSucceeded}
	do(m, done)
	m.wantNames(map[string]IndexID{"a": 1})
	if task := m.task(begun.TaskUID); task.Status != StatusProcessing {
		t.Fatalf("an earlier task is open and the rename is %s", task.Status)
	}
	if again := do(m, done); !again.Already {
		t.Fatal("the nodes' part ended twice")
	}
	m.reopen()
	do(m, FinishTask{Now: m.tick(), TaskUID: earlier.TaskUID, Status: StatusSucceeded})
	m.wantNames(map[string]IndexID{"b": 1})
	if ix := m.fsm.View().Index("b"); ix.PrimaryKey != key || ix.UID != "b" || len(ix.Pending) != 0 {
		t.Fatalf("renamed: %+v", ix)
	}
	if task := m.task(begun.TaskUID); task.Status != StatusSucceeded {
		t.Fatalf("the rename is %s", task.Status)
	}
}

// A name is given away by a deletion, and a task has failed because of it. Red when the deletion can be taken back.
func TestADeletionThatOthersRelyOnStands(t *testing.T) {
	for name, later := range map[string]func(m *machine){
		"a new index": func(m *machine) { m.begin("a", "indexCreation", Effect{CreateIndex: true}) },
		"another index renamed": func(m *machine) {
			rename := swap("c", "a")
			rename.Effect.Swaps[0].Rename = true
			do(m, rename)
		},
		"a failure": func(m *machine) {
			do(m, BeginWrite{Now: m.tick(), Kind: "documentDeletion", IndexUID: ptr("a"), Outcome: &Outcome{Status: StatusFailed}})
		},
		"a swap that failed": func(m *machine) {
			do(m, BeginWrite{Now: m.tick(), Kind: "indexSwap", Names: []string{"a", "c"}, Outcome: &Outcome{Status: StatusFailed}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.bootstrap(1, 1, 1, SpreadAuto)
			for _, uid := range []string{"a", "b", "c"} {
				m.create(uid)
			}
			open, openID := m.begin("b", "documentAdditionOrUpdate", Effect{})
			do(m, swap("a", "b")) // is not done yet when index b is deleted by the name it will have
			r, id := m.begin("a", "indexDeletion", Effect{DeleteIndex: true})
			m.ackAll(r, id)
			later(m)
			for _, status := range []string{StatusFailed, StatusCanceled} {
				m.refused(FinishTask{Now: m.tick(), TaskUID: r.TaskUID, Status: status}, ErrOperationBusy)
			}
			m.ackAll(open, openID)
			m.finish(open.TaskUID, StatusSucceeded)
			do(m, FinishTask{Now: m.tick(), TaskUID: r.TaskUID, Status: StatusSucceeded, FailedNodes: []NodeID{nodeID(0, 0)}})
			want := Leftover{nodeID(0, 0), "b"}
			if v := m.fsm.View(); len(v.Leftovers) != 1 || v.Leftovers[0] != want || v.Indexes[2] != nil || v.Names["b"] != 1 {
				t.Errorf("leftovers %v, names %v, indexes %v", v.Leftovers, v.Names, v.Indexes)
			}
		})
	}
	m := newMachine(t)
	m.bootstrap(1, 1, 1, SpreadAuto)
	m.create("a")
	r, id := m.begin("a", "indexDeletion", Effect{DeleteIndex: true})
	m.ackAll(r, id)
	m.finish(r.TaskUID, StatusFailed)
	m.wantNames(map[string]IndexID{"a": 1})
}

// TestLeads: what a name leads to, change by change.
func TestLeads(t *testing.T) {
	m := newMachine(t)
	m.bootstrap(1, 1, 1, SpreadAuto)
	m.create("a")
	m.create("b")
	open, _ := m.begin("a", "documentAdditionOrUpdate", Effect{})
	first := do(m, swap("a", "b"))
	deletion, _ := m.begin("a", "indexDeletion", Effect{DeleteIndex: true})
	heir, _ := m.begin("a", "indexCreation", Effect{CreateIndex: true})
	for uid, want := range map[string][]Lead{
		"a":    {{0, 1}, {first.TaskUID, 2}, {deletion.TaskUID, 0}, {heir.TaskUID, 3}},
		"b":    {{0, 2}, {first.TaskUID, 1}},
		"none": {{0, 0}},
	} {
		if got := m.fsm.View().Leads(uid); !reflect.DeepEqual(got, want) {
			t.Errorf("%s leads to %v, want %v", uid, got, want)
		}
	}
	if id := open.Index.ID; id != 1 {
		t.Errorf("the first write goes to index %d", id)
	}
}
