package fsm

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// run is one random history, applied to a machine and told to a model.
type run struct {
	*machine
	mo  *model
	rng *rand.Rand
}

var modelNames = []string{"a", "b", "c", "d"}

func (r *run) step() {
	switch n := r.rng.IntN(100); {
	case n < 12:
		r.stepWrite(&op{create: true})
	case n < 17:
		r.stepWrite(&op{delete: true})
	case n < 27:
		r.stepWrite(&op{set: map[string]int{fmt.Sprint("k", r.rng.IntN(3)): r.rng.IntN(1000)}})
	case n < 40:
		r.stepWrite(&op{})
	case n < 45:
		r.stepSwap(false)
	case n < 49:
		r.stepSwap(true)
	case n < 72:
		r.stepEnd()
	case n < 90:
		r.stepFinish()
	case n < 95:
		r.stepJoin()
	default:
		r.stepActivate()
	}
}

func (r *run) stepWrite(o *op) {
	uid := modelNames[r.rng.IntN(len(modelNames))]
	id, exists := r.mo.routes()[uid]
	o.write = r.writeID()
	c := BeginWrite{Now: r.tick(), WriteID: o.write, Kind: "k", IndexUID: &uid}
	c.Effect.DeleteIndex, c.Effect.CreateIndex = o.delete, o.create
	if o.create {
		c.Expect = &Expect{}
	}
	if exists && o.set != nil {
		settings := r.mo.nextSettings(id)
		maps.Copy(settings, o.set)
		c.Effect.Settings = marshal(settings)
	}
	answer, err := r.try(c)
	switch {
	case o.create && exists:
		r.mustBe(err, ErrChanged)
		return
	case !o.create && !exists:
		r.mustBe(err, ErrNotFound)
		return
	case err != nil:
		r.t.Fatal(err)
	}
	result := answer.(BeginWriteResult)
	if o.create {
		r.mo.next++
		id = r.mo.next
		r.mo.indexes[id] = &modelIndex{uid: uid, settings: map[string]int{}}
	}
	o.task, o.index, o.targets, o.status, o.open = result.TaskUID, id, result.Targets, StatusEnqueued, true
	r.mo.ops = append(r.mo.ops, o)
}

func (r *run) mustBe(err error, want *Error) {
	r.t.Helper()
	if !errors.Is(err, want) {
		r.t.Fatalf("error %v, want code %s", err, want.Code)
	}
}

// stepSwap exchanges two names or renames an index, with a primary key change that goes to nodes or without.
func (r *run) stepSwap(withKey bool) {
	pair := r.rng.Perm(len(modelNames))
	s := Swap{A: modelNames[pair[0]], B: modelNames[pair[1]], Rename: withKey || r.rng.IntN(2) == 0}
	routes := r.mo.routes()
	a, okA := routes[s.A]
	b, okB := routes[s.B]
	c := swap(s.A, s.B)
	c.Now, c.Effect.Swaps[0].Rename = r.tick(), s.Rename
	if withKey {
		key := fmt.Sprint("key", r.rng.IntN(3))
		c.Outcome, c.IndexUID, c.WriteID, c.Effect.PrimaryKey = nil, &s.A, r.writeID(), &key
	}
	answer, err := r.try(c)
	switch {
	case !okA || !okB && !s.Rename:
		r.mustBe(err, ErrNotFound)
		return
	case okB && s.Rename:
		r.mustBe(err, ErrExists)
		return
	case err != nil:
		r.t.Fatal(err)
	}
	result := answer.(BeginWriteResult)
	o := &op{task: result.TaskUID, status: StatusEnqueued, swap: &BoundSwap{s, a, b}, swapped: []IndexID{a}}
	if withKey {
		o.write, o.index, o.targets, o.open = c.WriteID, a, result.Targets, true
	}
	if okB {
		o.swapped = append(o.swapped, b)
	}
	if holder, ok := r.mo.visible[s.B]; ok && s.Rename {
		o.swapped = append(o.swapped, holder)
	}
	r.mo.ops = append(r.mo.ops, o)
	r.mo.settle()
}

// pick returns a random op that fits, nil if none does.
func (r *run) pick(fits func(*op) bool) *op {
	var list []*op
	for _, o := range r.mo.ops {
		if fits(o) {
			list = append(list, o)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list[r.rng.IntN(len(list))]
}

func (r *run) stepEnd() {
	o := r.pick(func(o *op) bool { return o.open })
	if o == nil {
		return
	}
	c := EndWrite{Now: r.tick(), WriteID: o.write}
	truth := map[NodeID]bool{}
	for _, target := range o.targets {
		ack := Ack{Node: target.Node, NodeTaskUID: int64(o.task)}
		switch n := r.rng.IntN(10); {
		case n < 7:
			truth[target.Node] = true
		case n < 9:
			ack.Err = "down"
		default:
			ack.Unknown, truth[target.Node] = true, r.rng.IntN(2) == 0
		}
		c.Acks = append(c.Acks, ack)
	}
	answer, err := r.try(c)
	if errors.Is(err, ErrUndecided) {
		return
	}
	if err != nil {
		r.t.Fatal(err)
	}
	o.open = false
	result := answer.(EndWriteResult)
	r.noteCopies(o, truth, result)
	if !result.Accepted && !o.finished() {
		r.fail(o, StatusFailed)
	}
	r.mo.settle()
}

// noteCopies records who has the write. What was acknowledged to the client must be on every copy in sync.
func (r *run) noteCopies(o *op, truth map[NodeID]bool, result EndWriteResult) {
	ix := r.fsm.View().Indexes[o.index]
	if ix == nil {
		return
	}
	for slot := range ix.NumSlots() {
		shard := modelShard{o.index, slot}
		if r.mo.happened[shard] == nil {
			r.mo.happened[shard] = map[WriteID]bool{}
		}
		for _, target := range o.targets {
			if truth[target.Node] && (target.Shards == nil || slices.Contains(target.Shards, ShardID(slot))) {
				r.copyOf(shard, target.Node)[o.write] = true
			}
		}
		if result.Accepted && !o.delete { // a deletion is accepted once any node has done it
			r.mo.happened[shard][o.write] = true
		}
	}
}

func (r *run) copyOf(shard modelShard, node NodeID) map[WriteID]bool {
	c := modelCopy{shard, node}
	if r.mo.has[c] == nil {
		r.mo.has[c] = map[WriteID]bool{}
	}
	return r.mo.has[c]
}

func (r *run) fail(o *op, status string) {
	o.status = status
	o.took = true
}

func (r *run) stepFinish() {
	o := r.pick(func(o *op) bool { return !o.finished() && (o.swap == nil || o.awaitsNodes() || r.rng.IntN(8) == 0) })
	if o == nil {
		return
	}
	status := []string{StatusSucceeded, StatusSucceeded, StatusFailed, StatusCanceled}[r.rng.IntN(4)]
	if o.swap != nil && !o.awaitsNodes() {
		status = StatusCanceled
	}
	if r.rng.IntN(3) == 0 {
		do(r.machine, StartTasks{Now: r.tick(), TaskUIDs: TaskUIDs{o.task}})
	}
	answer, err := r.try(FinishTask{Now: r.tick(), TaskUID: o.task, Status: status})
	if err != nil {
		r.mustBe(err, ErrOperationBusy)
		return
	}
	switch {
	case o.done:
		if !answer.(FinishTaskResult).Already {
			r.t.Fatalf("task %d waits for a name and ended otherwise", o.task)
		}
	case o.awaitsNodes() && status == StatusSucceeded:
		o.done = true
	case status == StatusSucceeded:
		o.status = status
	default:
		r.fail(o, status)
	}
	r.mo.settle()
}

// replicaIn returns a random replica in a state.
func (r *run) replicaIn(state ReplicaState) (ReplicaRef, bool) {
	var refs []ReplicaRef
	v := r.fsm.View()
	for _, id := range slices.Sorted(maps.Keys(v.Indexes)) {
		ix := v.Indexes[id]
		for _, g := range ix.groups() {
			for slot, replicas := range ix.Placement[g] {
				for _, rep := range replicas {
					if rep.State == state {
						refs = append(refs, ReplicaRef{id, g, ShardID(slot), rep.Node})
					}
				}
			}
		}
	}
	if len(refs) == 0 {
		return ReplicaRef{}, false
	}
	return refs[r.rng.IntN(len(refs))], true
}

func (r *run) stepJoin() {
	if ref, ok := r.replicaIn(Stale); ok {
		do(r.machine, MarkReplicas{Now: r.tick(), Changes: []ReplicaChange{{ref, Stale, Joining}}})
	}
}

// stepActivate copies a shard from a copy in sync, as a repair does, and ends the repair.
func (r *run) stepActivate() {
	ref, ok := r.replicaIn(Joining)
	if !ok {
		return
	}
	ix := r.fsm.View().Indexes[ref.Index]
	shard := modelShard{ref.Index, int(ref.Shard)}
	for _, g := range ix.groups() {
		for _, rep := range ix.Replicas(g, ref.Shard) {
			if rep.State == Active {
				r.mo.has[modelCopy{shard, ref.Node}] = maps.Clone(r.copyOf(shard, rep.Node))
				if _, err := r.try(ActivateReplica{Now: r.tick(), ReplicaRef: ref}); err != nil {
					r.mustBe(err, ErrOperationBusy)
				}
				return
			}
		}
	}
}

func (r *run) compare() {
	r.t.Helper()
	v := r.fsm.View()
	if !reflect.DeepEqual(v.Names, r.mo.visible) {
		r.t.Fatalf("names are %v, the model says %v", v.Names, r.mo.visible)
	}
	if routes := r.mo.routes(); !reflect.DeepEqual(v.Routes, routes) {
		r.t.Fatalf("routes are %v, the model says %v", v.Routes, routes)
	}
	for uid, id := range v.Names {
		if v.Indexes[id].UID != uid {
			r.t.Fatalf("index %d is named %s but calls itself %s", id, uid, v.Indexes[id].UID)
		}
	}
	for id := range v.Indexes {
		r.compareSettings(v.Indexes[id])
		r.checkCopies(v.Indexes[id])
	}
	r.compareTasks(v)
}

func (r *run) compareSettings(ix *Index) {
	r.t.Helper()
	f := func(what string, raw json.RawMessage, want map[string]int) {
		got := map[string]int{}
		if raw != nil {
			must(json.Unmarshal(raw, &got))
		}
		if !maps.Equal(got, want) {
			r.t.Fatalf("%s settings of index %d are %v, the model says %v", what, ix.ID, got, want)
		}
	}
	f("visible", ix.Settings, r.mo.indexes[ix.ID].settings)
	f("next", ix.NextSettings, r.mo.nextSettings(ix.ID))
}

// checkCopies is the promise of the whole: copies in sync are equal and hold every write that was accepted.
func (r *run) checkCopies(ix *Index) {
	r.t.Helper()
	for slot := range ix.NumSlots() {
		shard := modelShard{ix.ID, slot}
		var first map[WriteID]bool
		for _, g := range ix.groups() {
			for _, rep := range ix.Replicas(g, ShardID(slot)) {
				if rep.State != Active {
					continue
				}
				has := r.copyOf(shard, rep.Node)
				if first == nil {
					first = has
				}
				if !maps.Equal(has, first) {
					r.t.Fatalf("copies in sync of %v differ: %v, %v", shard, first, has)
				}
			}
		}
		if first == nil {
			r.t.Fatalf("%v has no copy in sync", shard)
		}
		for w := range r.mo.happened[shard] {
			if !first[w] {
				r.t.Fatalf("copies in sync of %v lack the acknowledged write %s", shard, w)
			}
		}
	}
}

func (r *run) compareTasks(v *View) {
	r.t.Helper()
	open, intents := 0, 0
	for _, o := range r.mo.ops {
		open += count(!o.finished())
		intents += count(o.open)
		got := r.task(o.task)
		same := got.Status == o.status || got.Status == StatusProcessing && o.status == StatusEnqueued
		if !same {
			r.t.Fatalf("task %d is %s, the model says %s", o.task, got.Status, o.status)
		}
	}
	tasks, err := r.fsm.OpenTasks()
	if err != nil || len(tasks) != open || v.NumOpenTasks != open || v.NumOpenIntents != intents {
		r.t.Fatalf("%d tasks and %d intents are open (counted %d), the model says %d and %d; %v", v.NumOpenTasks, v.NumOpenIntents, len(tasks), open, intents, err)
	}
}

func TestRandomHistoriesMatchTheModel(t *testing.T) {
	numHistories, numSteps := 20, 250
	if testing.Short() {
		numHistories, numSteps = 8, 150
	}
	for seed := range numHistories {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := &run{machine: newMachine(t), mo: newModel(), rng: rand.New(rand.NewPCG(uint64(seed), 7))}
			r.bootstrap(1+seed%2, 3, 2, []int{SpreadAuto, SpreadAll}[seed/2%2])
			for range numSteps {
				r.step()
				r.compare()
			}
			r.checkReplay()
		})
	}
}

// checkReplay applies the history anew: in one batch, in batches with kills between and entries given twice. The file
// must end the same.
func (r *run) checkReplay() {
	r.t.Helper()
	want := r.dump()
	r.fsm.ApplyBatch(r.log)
	if got := r.dump(); got != want {
		r.t.Fatal("entries applied before changed the state")
	}
	r.reopen()
	if got := r.dump(); got != want {
		r.t.Fatalf("reopened state differs:\n%s\n%s", got, want)
	}
	whole := newMachine(r.t)
	whole.fsm.ApplyBatch(r.log)
	if got := whole.dump(); got != want {
		r.t.Fatalf("one batch ends differently:\n%s\n%s", got, want)
	}
	killed := newMachine(r.t)
	for from := 0; from < len(r.log); from += 40 {
		to := min(from+1+r.rng.IntN(60), len(r.log))
		killed.fsm.ApplyBatch(r.log[max(0, from-20):max(to, min(from+40, len(r.log)))])
		killed.reopen()
	}
	if got := killed.dump(); got != want {
		r.t.Fatalf("killed and resumed ends differently:\n%s\n%s", got, want)
	}
}
