package fsm

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// flip is an executed exchange of two names (or a rename, which is the same to earlier tasks): tasks older than Task show
// under the other name from then on, as on a single server.
type flip struct {
	Task uint32 `json:"task"`
	A    string `json:"a"`
	B    string `json:"b"`
}

// shownName returns the name a task's index shows under after the flips.
func shownName(flips []flip, task uint32, name string) string {
	for _, f := range flips {
		switch {
		case f.Task <= task:
		case name == f.A:
			name = f.B
		case name == f.B:
			name = f.A
		}
	}
	return name
}

// beginFlip accepts swaps and renames: routes change at once, names when earlier tasks have finished.
func (c BeginWrite) beginFlip(t *txn) (any, error) {
	ids, err := c.checkFlip(t)
	if err != nil {
		return nil, err
	}
	task := c.newTask(t)
	if c.Outcome.Details != nil {
		task.Details = c.Outcome.Details
	}
	t.enqueue(task, c.Now)
	c.bindFlip(t, task.UID, ids)
	t.settle(c.Now, ids...)
	return BeginWriteResult{TaskUID: task.UID, EnqueuedAt: task.EnqueuedAt}, nil
}

// bindFlip exchanges the routes of a flip's names and queues it on the indexes it concerns, where it joins the task's own
// change.
func (c BeginWrite) bindFlip(t *txn, task uint32, ids []IndexID) {
	var bound []BoundSwap
	for _, s := range c.Effect.Swaps {
		a, b := t.view.Routes[s.A], t.view.Routes[s.B]
		bound = append(bound, BoundSwap{s, a, b})
		t.setRoute(s.A, b)
		t.setRoute(s.B, a)
	}
	for _, id := range ids {
		ix := t.editIndex(id)
		i := ix.pendingOf(task)
		if i < 0 {
			i = len(ix.Pending)
			ix.Pending = append(ix.Pending, Pending{Task: task})
		}
		p := &ix.Pending[i]
		p.Swaps, p.Indexes, p.AwaitsNodes = bound, ids, c.Outcome == nil
	}
}

// checkRename returns the indexes concerned by the rename of a write that goes to nodes, nil if it has none.
func (c BeginWrite) checkRename(t *txn) ([]IndexID, error) {
	e := c.Effect
	if len(e.Swaps) == 0 {
		return nil, nil
	}
	alone := len(e.Swaps) == 1 && !e.CreateIndex && !e.DeleteIndex && e.Settings == nil
	if !alone || c.IndexUID == nil || !e.Swaps[0].Rename || e.Swaps[0].A != *c.IndexUID {
		return nil, refuse(CodeInvalid, "a write that goes to nodes renames its own index or none")
	}
	return c.checkFlip(t)
}

// checkFlip returns the indexes a flip concerns, sorted.
func (c BeginWrite) checkFlip(t *txn) ([]IndexID, error) {
	if c.fails() {
		return nil, refuse(CodeInvalid, "a change of names cannot fail when it is enqueued")
	}
	seen := map[string]bool{}
	ids := map[IndexID]struct{}{}
	for _, s := range c.Effect.Swaps {
		if seen[s.A] || seen[s.B] || s.A == s.B || !validName(s.A) || !validName(s.B) {
			return nil, refuse(CodeInvalid, "names %q and %q cannot be exchanged together with the others", s.A, s.B)
		}
		seen[s.A], seen[s.B] = true, true
		a, b := t.view.Route(s.A), t.view.Route(s.B)
		switch {
		case a == nil:
			return nil, refuse(CodeNotFound, "index %s does not exist", s.A)
		case b == nil && !s.Rename:
			return nil, refuse(CodeNotFound, "index %s does not exist", s.B)
		case b != nil && s.Rename:
			return nil, refuse(CodeExists, "index %s exists already", s.B)
		}
		ids[a.ID] = struct{}{}
		if b != nil {
			ids[b.ID] = struct{}{}
		}
		if holder := t.view.Index(s.B); s.Rename && holder != nil {
			ids[holder.ID] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(ids)), nil
}

// flipReady reports whether a flip is the oldest unfinished work of every index it concerns.
func (t *txn) flipReady(p Pending) bool {
	if p.AwaitsNodes {
		return false
	}
	for _, id := range p.Indexes {
		ix := t.view.Indexes[id]
		if ix == nil {
			continue
		}
		if len(ix.Pending) == 0 || ix.Pending[0].Task != p.Task {
			return false
		}
		if first, open := t.firstOpen(id); open && first < p.Task {
			return false
		}
	}
	return !slices.ContainsFunc(p.Swaps, func(s BoundSwap) bool { return t.nameBusy(s.A, p.Task) || t.nameBusy(s.B, p.Task) })
}

// givenAway reports whether a later change was accepted on the strength of a task's pending change of names, or its nodes
// have done their part of a rename: such a task can not be canceled any more.
func (t *txn) givenAway(task *Task) bool {
	var mine *Pending
	for _, ix := range t.view.Indexes {
		if i := ix.pendingOf(task.UID); i >= 0 && (ix.Pending[i].Delete || ix.Pending[i].Swaps != nil) {
			mine = &ix.Pending[i]
		}
	}
	if mine == nil {
		return false
	}
	if mine.Firm || t.awaitsName(task) {
		return true
	}
	names := map[string]bool{}
	if task.IndexUID != nil {
		names[*task.IndexUID] = true
	}
	for _, s := range mine.Swaps {
		names[s.A], names[s.B] = true, true
	}
	for _, c := range t.view.pendingNames() {
		if c.task <= task.UID {
			continue
		}
		own := c.what.Swaps == nil && names[c.index.UID]
		if own || slices.ContainsFunc(c.what.Swaps, func(s BoundSwap) bool { return names[s.A] || names[s.B] }) {
			return true
		}
	}
	return false
}

// executeFlip changes the visible names and finishes the task; it fails when a name leads elsewhere by now. A primary key
// stays either way: the nodes have it.
func (t *txn) executeFlip(p Pending, now time.Time) {
	task := t.task(p.Task)
	if ix := t.editIndex(task.Index); ix != nil {
		ix.UpdatedAt = now
		if key := ix.Pending[0].PrimaryKey; key != nil {
			ix.setKey(*key)
		}
	}
	t.removeFlip(p.Task)
	end := finish{Status: StatusSucceeded, Now: now}
	if missing := t.missingName(p.Swaps); missing != "" {
		end = finish{Status: StatusFailed, Error: indexNotFound(missing), Now: now}
		t.refoldRoutes()
	} else {
		for _, s := range p.Swaps {
			t.swapNames(s.A, s.B)
			if s.Rename && t.view.Index(s.B) != nil {
				t.editIndex(t.view.Names[s.B]).UpdatedAt = now
			}
			t.swapIndexBits(s.A, s.B, p.Task)
			t.view.flips = append(slices.Clip(t.view.flips), flip{p.Task, s.A, s.B})
		}
		t.put(bucketMeta, rowFlips, t.view.flips)
	}
	t.closeTask(task, end)
}

// awaitsName reports whether a task's nodes have done their part and only the rename of its index is left.
func (t *txn) awaitsName(task *Task) bool {
	ix := t.view.Indexes[task.Index]
	if ix == nil {
		return false
	}
	i := ix.pendingOf(task.UID)
	return i >= 0 && ix.Pending[i].Swaps != nil && !ix.Pending[i].AwaitsNodes
}

// finishRename ends the nodes' part of a write that renames its index: when they did it the task ends with the flip, now
// or once its turn has come. It returns the other flips that waited for it.
func (t *txn) finishRename(task *Task, p Pending, end finish) []uint32 {
	if end.Status != StatusSucceeded {
		t.closeTask(task, end)
		ids := t.removeFlip(task.UID)
		ix := t.editIndex(task.Index)
		t.inherit(ix, p)
		ix.refold()
		t.refoldRoutes()
		return t.settle(*task.FinishedAt, append(ids, t.waiting()...)...)
	}
	for _, id := range p.Indexes {
		if ix := t.editIndex(id); ix != nil {
			ix.Pending[ix.pendingOf(task.UID)].AwaitsNodes = false
		}
	}
	now := *utcOr(end.FinishedAt, t.clock(end.Now))
	t.noteNodesDone(task, end, now)
	flipped := t.settle(now, p.Indexes...)
	return slices.DeleteFunc(flipped, func(uid uint32) bool { return uid == task.UID })
}

// noteNodesDone stores what is known of the end of a task that waits for a name.
func (t *txn) noteNodesDone(task *Task, end finish, now time.Time) {
	old := *task
	if end.Details != nil {
		task.Details = end.Details
	}
	task.Status, task.StartedAt = StatusProcessing, utcOr(end.StartedAt, now)
	if task.BatchUID == nil {
		task.BatchUID = t.newBatch()
	}
	t.putTask(&old, task)
}

// missingName returns a name that does not lead to the index the flip was accepted for, "" if all do.
func (t *txn) missingName(swaps []BoundSwap) string {
	for _, s := range swaps {
		switch {
		case t.view.Names[s.A] != s.IndexA:
			return s.A
		case t.view.Names[s.B] != s.IndexB:
			return s.B
		}
	}
	return ""
}

// indexNotFound is Meilisearch's error for an index that is gone when its swap is processed.
func indexNotFound(uid string) []byte {
	return marshal(struct {
		Message string `json:"message"`
		Code    string `json:"code"`
		Type    string `json:"type"`
		Link    string `json:"link"`
	}{"Index `" + uid + "` not found.", "index_not_found", "invalid_request", "https://docs.meilisearch.com/errors#index_not_found"})
}

// swapNames exchanges two visible names, one of which may be free.
func (t *txn) swapNames(nameA, nameB string) {
	a, b := t.view.Names[nameA], t.view.Names[nameB]
	t.setName(nameA, b)
	t.setName(nameB, a)
	if ix := t.editIndex(a); ix != nil {
		ix.UID = nameB
	}
	if ix := t.editIndex(b); ix != nil {
		ix.UID = nameA
	}
}

// removeFlip takes a flip out of all queues and returns the indexes it was in, sorted.
func (t *txn) removeFlip(task uint32) []IndexID {
	var ids []IndexID
	for id, ix := range t.view.Indexes {
		if ix.pendingOf(task) >= 0 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		ix := t.editIndex(id)
		i := ix.pendingOf(task)
		ix.Pending = slices.Delete(ix.Pending, i, i+1)
	}
	return ids
}

// nameChange is one pending change of the names.
type nameChange struct {
	task  uint32
	index *Index // of a swap, the one with the lowest id
	what  Pending
}

// refoldRoutes computes the routes anew after a change of names has failed: the visible names with every pending change
// folded in, in order of the log.
func (t *txn) refoldRoutes() {
	routes := maps.Clone(t.view.Names)
	for _, c := range t.view.pendingNames() {
		c.fold(routes)
	}
	for uid := range maps.Clone(t.view.Routes) {
		if _, ok := routes[uid]; !ok {
			t.setRoute(uid, 0)
		}
	}
	for uid, id := range routes {
		if t.view.Routes[uid] != id {
			t.setRoute(uid, id)
		}
	}
}

// fold makes of routes what the change makes of them.
func (c nameChange) fold(routes map[string]IndexID) {
	switch {
	case c.what.Swaps != nil:
		for _, s := range c.what.Swaps {
			foldSwap(routes, s)
		}
	case c.what.Create && !c.index.Visible:
		routes[c.index.UID] = c.index.ID
	}
	if c.what.Delete {
		maps.DeleteFunc(routes, func(_ string, id IndexID) bool { return id == c.index.ID })
	}
}

func foldSwap(routes map[string]IndexID, s BoundSwap) {
	if routes[s.A] != s.IndexA || routes[s.B] != s.IndexB {
		return
	}
	delete(routes, s.A)
	if s.IndexB != 0 {
		routes[s.A] = s.IndexB
	}
	routes[s.B] = s.IndexA
}

// pendingNames lists the pending changes of names in order of the log, each once.
func (v *View) pendingNames() []nameChange {
	var list []nameChange
	for _, ix := range v.Indexes {
		for _, p := range ix.Pending {
			if p.Swaps != nil || p.Create || p.Delete {
				list = append(list, nameChange{p.Task, ix, p})
			}
		}
	}
	slices.SortFunc(list, func(a, b nameChange) int {
		return cmp.Or(cmp.Compare(a.task, b.task), cmp.Compare(a.index.ID, b.index.ID))
	})
	return slices.CompactFunc(list, func(a, b nameChange) bool { return a.task == b.task })
}

// Lead is the index that a name leads to, 0 for none.
type Lead struct {
	Task  uint32 // that makes it so; 0 in the first of a list, which holds already
	Index IndexID
}

// Leads lists what a name leads to now, and what each accepted change that has not taken effect will make of it, in order of
// the log. A write was sent to the last index before its task.
func (v *View) Leads(uid string) []Lead {
	leads := []Lead{{Index: v.Names[uid]}}
	changes := v.pendingNames()
	if len(changes) == 0 {
		return leads
	}
	routes := maps.Clone(v.Names)
	for _, c := range changes {
		c.fold(routes)
		if id := routes[uid]; id != leads[len(leads)-1].Index {
			leads = append(leads, Lead{c.task, id})
		}
	}
	return leads
}
