package fsm

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// maxNameBytes bounds names, which become keys of the state file; Meilisearch allows 400 for an index.
const maxNameBytes = 512

func (c BeginWrite) apply(t *txn) (any, error) {
	if err := c.check(t); err != nil {
		return nil, err
	}
	if len(c.Effect.Swaps) > 0 && c.Outcome != nil {
		return c.beginFlip(t)
	}
	ix, err := c.route(t)
	if err != nil {
		return nil, err
	}
	renamed, err := c.checkRename(t)
	if err != nil {
		return nil, err
	}
	create := ix == nil && c.creates()
	if create {
		if ix, err = c.create(t); err != nil {
			return nil, err
		}
	}
	return c.store(t, ix, create, renamed), nil
}

// check refuses what contradicts itself whatever the state is, and write ids in use.
func (c BeginWrite) check(t *txn) error {
	o := c.Outcome
	switch {
	case c.Kind == "":
		return refuse(CodeInvalid, "a write needs a kind")
	case c.IndexUID != nil && !validName(*c.IndexUID):
		return refuse(CodeInvalid, "an index name has 1 to %d bytes, none of them zero", maxNameBytes)
	case o != nil && o.Status != StatusSucceeded && o.Status != StatusFailed:
		return refuse(CodeInvalid, "an outcome is succeeded or failed, not %q", o.Status)
	case c.IndexUID != nil && o == nil && (c.WriteID == "" || len(c.WriteID) > maxNameBytes):
		return refuse(CodeInvalid, "a write id has 1 to %d bytes", maxNameBytes)
	case c.IndexUID == nil && (c.Effect.CreateIndex || c.Effect.DeleteIndex || c.Effect.PrimaryKey != nil || c.Effect.Settings != nil):
		return refuse(CodeInvalid, "a write with an effect needs an index")
	case c.NumShards > MaxShards || c.Spread != nil && *c.Spread < SpreadAll:
		return refuse(CodeInvalid, "an index has at most %d shards and a spread of auto, all or a number of nodes", MaxShards)
	case !validSession(c.Session):
		return refuse(CodeInvalid, "a session name has at most %d bytes, none of them zero", maxSessionBytes)
	case c.WriteID != "" && t.tx.Bucket(bucketWrites).Get([]byte(c.WriteID)) != nil:
		return refuse(CodeExists, "write %s is open already", c.WriteID)
	}
	return nil
}

func validName(name string) bool {
	return name != "" && len(name) <= maxNameBytes && !strings.ContainsRune(name, 0)
}

// route resolves the name. A missing index is an error only when the write neither creates it nor is decided already.
func (c BeginWrite) route(t *txn) (*Index, error) {
	if c.IndexUID == nil {
		return nil, nil
	}
	ix := t.view.Route(*c.IndexUID)
	if e := c.Expect; e != nil {
		if (ix == nil) != (e.Index == 0) || ix != nil && (ix.ID != e.Index || e.NextVersion != 0 && e.NextVersion != ix.NextVersion) {
			return nil, refuse(CodeChanged, "index %s changed since the write was planned", *c.IndexUID)
		}
	}
	if ix == nil && !c.Effect.CreateIndex && c.Outcome == nil {
		return nil, refuse(CodeNotFound, "index %s does not exist", *c.IndexUID)
	}
	return ix, nil
}

// creates reports whether the write creates an index that does not exist.
func (c BeginWrite) creates() bool { return c.Effect.CreateIndex && !c.fails() }

func (c BeginWrite) fails() bool { return c.Outcome != nil && c.Outcome.Status == StatusFailed }

func (c BeginWrite) numShards(t *txn) uint32 {
	return max(cmp.Or(c.NumShards, t.view.Config.Shards), 1)
}

func (c BeginWrite) spread(t *txn) int {
	if c.Spread != nil {
		return *c.Spread
	}
	return t.view.Config.Spread
}

func (c BeginWrite) create(t *txn) (*Index, error) {
	id := t.view.counters.NextIndexID + 1
	nodeUID := t.nodeName(*c.IndexUID, id, t.later(c.Now))
	placement := map[GroupID][][]NodeID{}
	for _, g := range t.view.Groups {
		slots := t.view.placeNew(nodeUID, c.numShards(t), c.spread(t), g.ID)
		if len(slots[0]) > 0 {
			placement[g.ID] = slots
		}
	}
	if len(placement) == 0 {
		return nil, refuse(CodeNoNodes, "no replica group has a node that can hold index %s", *c.IndexUID)
	}
	return t.createIndex(c, placement, id, nodeUID), nil
}

// store writes task, intent and pending change. ix is nil for a task without an index; renamed are the indexes concerned
// by the rename of ix.
func (c BeginWrite) store(t *txn, ix *Index, created bool, renamed []IndexID) BeginWriteResult {
	task := c.newTask(t)
	if ix == nil {
		t.enqueue(task, c.Now)
		c.decide(t, task)
		c.relyOnDeletions(t)
		return BeginWriteResult{TaskUID: task.UID, EnqueuedAt: task.EnqueuedAt}
	}
	task.Index = ix.ID
	if !c.fails() {
		c.addPending(t, ix.ID, task.UID)
		c.bindFlip(t, task.UID, renamed)
	}
	t.enqueue(task, c.Now)
	result := BeginWriteResult{TaskUID: task.UID, EnqueuedAt: task.EnqueuedAt, Created: created}
	if c.Outcome == nil {
		result.Targets = targets(t.view.Indexes[ix.ID], c.Shards)
		t.openIntent(&Intent{
			WriteID: c.WriteID, TaskUID: task.UID, Index: ix.ID, Kind: c.Kind, Shards: c.Shards, Targets: result.Targets,
			Created: created, Request: c.Request, BeganAt: task.EnqueuedAt,
		})
	}
	c.decide(t, task)
	result.Index = t.view.Indexes[ix.ID]
	return result
}

func (c BeginWrite) newTask(t *txn) *Task {
	uid := t.view.counters.NextTaskUID
	t.view.counters.NextTaskUID++
	task := &Task{
		UID: uid, IndexUID: c.IndexUID, Kind: c.Kind, Status: StatusEnqueued, Details: c.Details, CustomMetadata: c.CustomMetadata, Names: c.Names,
		EnqueuedAt: t.clock(c.Now), WriteID: c.WriteID, Session: c.Session, Shards: c.Shards, Effect: c.Effect,
	}
	task.Effect.Settings = nil
	return task
}

// decide finishes a task whose outcome is known.
func (c BeginWrite) decide(t *txn, task *Task) {
	if c.Outcome != nil {
		t.finish(task, finish{Status: c.Outcome.Status, Details: c.Outcome.Details, Error: c.Outcome.Error, Now: c.Now})
	}
}

// relyOnDeletions makes sure that the deletions happen because of which a task has failed when it was enqueued.
func (c BeginWrite) relyOnDeletions(t *txn) {
	names := slices.Clone(c.Names)
	if c.IndexUID != nil {
		names = append(names, *c.IndexUID)
	}
	for _, name := range names {
		if !c.fails() || t.view.Route(name) != nil {
			continue
		}
		leads := t.view.Leads(name)
		for i := 1; i < len(leads); i++ {
			if leads[i].Index == 0 {
				t.makeFirm(leads[i-1].Index, leads[i].Task)
			}
		}
	}
}

// addPending puts the write's effects at the end of the index's pending changes and moves the Next* values. An effect that
// an earlier pending change has already is not repeated; should that one fail, inherit finds this task.
func (c BeginWrite) addPending(t *txn, id IndexID, task uint32) {
	ix, e := t.view.Indexes[id], c.Effect
	creating := slices.ContainsFunc(ix.Pending, func(p Pending) bool { return p.Create })
	p := Pending{Task: task, Delete: e.DeleteIndex, Create: e.CreateIndex && !ix.Visible && !creating}
	if e.PrimaryKey != nil && !ix.NextHasKey(*e.PrimaryKey) {
		p.PrimaryKey = e.PrimaryKey
	}
	if e.Settings != nil {
		p.Settings, p.Base = e.Settings, ix.NextSettings
	}
	if !p.Create && !p.Delete && p.PrimaryKey == nil && p.Settings == nil {
		return
	}
	ix = t.editIndex(id)
	ix.Pending = append(ix.Pending, p)
	ix.refold()
	if p.Delete {
		ix.Deleting = true
		t.refoldRoutes()
	}
}

// targets lists the nodes that must get a write, sorted by node.
func targets(ix *Index, shards []ShardID) []Target {
	byNode := map[NodeID]*Target{}
	for _, g := range ix.groups() {
		for _, slot := range ix.Slots(shards) {
			for _, r := range ix.Placement[g][slot] {
				if r.State == Stale {
					continue
				}
				target := byNode[r.Node]
				if target == nil {
					target = &Target{Node: r.Node, Group: g}
					byNode[r.Node] = target
				}
				if !ix.Whole() {
					target.Shards = append(target.Shards, ShardID(slot))
				}
			}
		}
	}
	list := make([]Target, 0, len(byNode))
	for _, target := range byNode {
		list = append(list, *target)
	}
	slices.SortFunc(list, func(a, b Target) int { return cmp.Compare(a.Node, b.Node) })
	return list
}

func (t *txn) openIntent(in *Intent) {
	t.put(bucketIntents, be32(in.TaskUID), in)
	t.putRaw(bucketWrites, []byte(in.WriteID), be32(in.TaskUID))
	t.view.counters.NumOpenIntents++
}

func (t *txn) closeIntent(in *Intent) {
	t.delete(bucketIntents, be32(in.TaskUID))
	t.delete(bucketWrites, []byte(in.WriteID))
	t.view.counters.NumOpenIntents--
}

// intent returns an open intent, nil if there is none.
func (t *txn) intent(id WriteID) *Intent {
	key := t.tx.Bucket(bucketWrites).Get([]byte(id))
	if key == nil {
		return nil
	}
	in := &Intent{}
	if !t.get(bucketIntents, key, in) {
		panic("fsm: write " + string(id) + " has no intent")
	}
	return in
}

// enqueue stores a new task.
func (t *txn) enqueue(task *Task, now time.Time) {
	t.view.counters.NumOpenTasks++
	if task.Index != 0 {
		t.putRaw(bucketOpen, openKey(task.Index, task.UID), nil)
	}
	t.putTask(nil, task)
	t.beginSessionWrite(task, now)
}

func openKey(id IndexID, uid uint32) []byte { return append(be64(uint64(id)), be32(uid)...) }
