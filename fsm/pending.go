package fsm

import (
	"bytes"
	"slices"
	"strconv"
	"time"
)

// Effects of tasks become visible in the order of the log, index by index: Index.Pending is the queue. A change that has
// succeeded waits there for those before it, and flips of names wait for every earlier task of the indexes concerned. The
// Next* values are the visible ones with all pending changes folded in.

// refold computes the Next* values. A settings change that was made on top of one that has failed is carried over.
func (ix *Index) refold() {
	ix.NextPrimaryKey, ix.NextEmptyKey, ix.NextSettings = ix.PrimaryKey, ix.EmptyKey, ix.Settings
	for i := range ix.Pending {
		p := &ix.Pending[i]
		if p.PrimaryKey != nil {
			ix.NextPrimaryKey, ix.NextEmptyKey = *p.PrimaryKey, *p.PrimaryKey == ""
		}
		if p.Settings != nil {
			p.Settings = rebaseSettings(p.Base, p.Settings, ix.NextSettings)
			p.Base = ix.NextSettings
			ix.NextSettings = p.Settings
		}
	}
	ix.NextVersion++
}

// pendingOf returns the position of a task's pending change, -1 if it has none.
func (ix *Index) pendingOf(task uint32) int {
	return slices.IndexFunc(ix.Pending, func(p Pending) bool { return p.Task == task })
}

// makeFirm makes sure that a pending deletion happens: a later task relies on it, or the only copy of a shard may be gone.
func (t *txn) makeFirm(id IndexID, task uint32) {
	if ix := t.view.Indexes[id]; ix != nil {
		if i := ix.pendingOf(task); i >= 0 && ix.Pending[i].Delete {
			t.editIndex(id).Pending[i].Firm = true
		}
	}
}

// succeed marks a task's change as ready to take effect. partly means that only the creation of the index happened.
func (t *txn) succeed(id IndexID, task uint32, partly bool) {
	i := t.view.Indexes[id].pendingOf(task)
	if i < 0 {
		return
	}
	ix := t.editIndex(id)
	if partly {
		p := ix.Pending[i]
		ix.Pending[i] = Pending{Task: task, Create: p.Create}
		t.inherit(ix, Pending{Task: task, PrimaryKey: p.PrimaryKey})
		ix.refold()
	}
	ix.Pending[ix.pendingOf(task)].Done = true
}

// fail takes a task's change back and reports whether it would have changed names.
func (t *txn) fail(id IndexID, task uint32) bool {
	i := t.view.Indexes[id].pendingOf(task)
	if i < 0 {
		return false
	}
	ix := t.editIndex(id)
	p := ix.Pending[i]
	ix.Pending = slices.Delete(ix.Pending, i, i+1)
	t.inherit(ix, p)
	ix.refold()
	if p.Delete {
		ix.Deleting = slices.ContainsFunc(ix.Pending, func(p Pending) bool { return p.Delete })
		if !ix.Deleting {
			t.forgetLeftovers(ix.NodeUID)
		}
	}
	if p.changesNames() {
		t.refoldRoutes()
	}
	return p.changesNames()
}

// inherit gives the creation or primary key of a failed change to the next unfinished task that asked for the same, if any.
func (t *txn) inherit(ix *Index, failed Pending) {
	if !(failed.Create && !ix.Visible) && failed.PrimaryKey == nil {
		return
	}
	prefix := be64(uint64(ix.ID))
	c := t.tx.Bucket(bucketOpen).Cursor()
	for k, _ := c.Seek(openKey(ix.ID, failed.Task+1)); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		task := t.task(readUID(k))
		heir := Pending{Task: task.UID, Create: failed.Create && task.Effect.CreateIndex}
		if key := task.Effect.PrimaryKey; key != nil && failed.PrimaryKey != nil && *key == *failed.PrimaryKey {
			heir.PrimaryKey = key
		}
		if heir.Create || heir.PrimaryKey != nil {
			ix.addHeir(heir)
			return
		}
	}
}

// addHeir joins an inherited change with the task's own, or puts it at its place in the queue.
func (ix *Index) addHeir(heir Pending) {
	i, found := slices.BinarySearchFunc(ix.Pending, heir.Task, func(p Pending, task uint32) int { return int(int64(p.Task) - int64(task)) })
	if !found {
		ix.Pending = slices.Insert(ix.Pending, i, heir)
		return
	}
	p := &ix.Pending[i]
	p.Create = p.Create || heir.Create
	if p.PrimaryKey == nil {
		p.PrimaryKey = heir.PrimaryKey
	}
}

// settle lets pending changes take effect whose turn has come, and forgets indexes nothing refers to any more. It returns
// the flips that were executed.
func (t *txn) settle(now time.Time, ids ...IndexID) (flipped []uint32) {
	for len(ids) > 0 {
		id := ids[0]
		ids = ids[1:]
		for t.ready(id) {
			p := t.view.Indexes[id].Pending[0]
			if p.Swaps != nil {
				t.executeFlip(p, now)
				flipped = append(flipped, p.Task)
			} else {
				t.takeEffect(t.editIndex(id), now)
			}
			if p.changesNames() {
				ids = append(ids, t.waiting()...)
			}
		}
		t.forgetIfDone(id)
	}
	return flipped
}

// ready reports whether the first pending change of an index may take effect.
func (t *txn) ready(id IndexID) bool {
	ix := t.view.Indexes[id]
	if ix == nil || len(ix.Pending) == 0 {
		return false
	}
	p := ix.Pending[0]
	if p.Swaps != nil {
		return t.flipReady(p)
	}
	return p.Done && !(p.changesNames() && t.nameBusy(ix.UID, p.Task))
}

// changesNames reports whether the change moves names.
func (p Pending) changesNames() bool { return p.Create || p.Delete || p.Swaps != nil }

// nameBusy reports whether a change older than task is still to move a name.
func (t *txn) nameBusy(uid string, task uint32) bool {
	for _, ix := range t.view.Indexes {
		for _, p := range ix.Pending {
			if p.Task < task && p.moves(uid, ix.UID) {
				return true
			}
		}
	}
	return false
}

// moves reports whether the change, pending on an index that calls itself own, binds or frees a name.
func (p Pending) moves(uid, own string) bool {
	return (p.Create || p.Delete) && own == uid ||
		slices.ContainsFunc(p.Swaps, func(s BoundSwap) bool { return s.A == uid || s.B == uid })
}

// waiting lists the indexes with pending changes, sorted: a name that moves may have been what one of them waited for.
func (t *txn) waiting() (ids []IndexID) {
	for id, ix := range t.view.Indexes {
		if len(ix.Pending) > 0 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// takeEffect applies the first pending change of an index to its visible values.
func (t *txn) takeEffect(ix *Index, now time.Time) {
	p := ix.Pending[0]
	ix.Pending = slices.Delete(ix.Pending, 0, 1)
	if p.Create && !ix.Visible {
		t.makeVisible(ix, now)
	}
	if p.PrimaryKey != nil {
		ix.setKey(*p.PrimaryKey)
	}
	if p.Settings != nil {
		ix.Settings = p.Settings
		ix.SettingsVersion++
	}
	if p.Delete {
		ix.Visible = false
		if t.view.Names[ix.UID] == ix.ID {
			t.setName(ix.UID, 0)
		}
	}
}

// makeVisible binds the index's name. Should another index still hold it, because its deletion was refused after the name
// was given away, that one stays reachable under a name of its own: documents are not dropped on a guess.
func (t *txn) makeVisible(ix *Index, now time.Time) {
	old := t.view.Index(ix.UID)
	ix.Visible = true
	ix.CreatedAt, ix.UpdatedAt = now.UTC(), now.UTC()
	t.setName(ix.UID, ix.ID)
	if old != nil {
		displaced := t.editIndex(old.ID)
		displaced.UID = displacedName(t.view, old)
		t.setName(displaced.UID, old.ID)
		t.refoldRoutes()
	}
}

func displacedName(v View, ix *Index) string {
	uid := ix.UID + "__" + strconv.FormatUint(uint64(ix.ID), 36)
	for v.Names[uid] != 0 || v.Routes[uid] != 0 {
		uid += "_"
	}
	return uid
}
