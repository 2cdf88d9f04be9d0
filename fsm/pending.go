package fsm

import (
	"bytes"
	"slices"
	"time"
)

// Effects of tasks become visible in the order of the log, index by index: Index.Pending is the queue. A change that has
// succeeded waits there for those before it, and flips of names wait for every earlier task of the indexes concerned. The
// Next* values are the visible ones with all pending changes folded in.

// refold computes the Next* values. A settings change that was made on top of one that has failed is carried over.
func (ix *Index) refold() {
	ix.NextPrimaryKey, ix.NextSettings = ix.PrimaryKey, ix.Settings
	for i := range ix.Pending {
		p := &ix.Pending[i]
		if p.PrimaryKey != nil {
			ix.NextPrimaryKey = *p.PrimaryKey
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

// fail takes a task's change back.
func (t *txn) fail(id IndexID, task uint32) {
	i := t.view.Indexes[id].pendingOf(task)
	if i < 0 {
		return
	}
	ix := t.editIndex(id)
	p := ix.Pending[i]
	ix.Pending = slices.Delete(ix.Pending, i, i+1)
	t.inherit(ix, p)
	ix.refold()
	if p.Delete {
		ix.Deleting = slices.ContainsFunc(ix.Pending, func(p Pending) bool { return p.Delete })
	}
	if p.Delete || p.Create {
		t.refoldRoutes()
	}
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
		for {
			ix := t.view.Indexes[id]
			if ix == nil || len(ix.Pending) == 0 {
				break
			}
			p := ix.Pending[0]
			if p.Swaps != nil && t.flipReady(p) {
				t.executeFlip(p, now)
				flipped = append(flipped, p.Task)
				ids = append(ids, p.Indexes...)
				continue
			}
			if !p.Done {
				break
			}
			t.takeEffect(t.editIndex(id), now)
		}
		t.forgetIfDone(id)
	}
	return flipped
}

// takeEffect applies the first pending change of an index to its visible values.
func (t *txn) takeEffect(ix *Index, now time.Time) {
	p := ix.Pending[0]
	ix.Pending = slices.Delete(ix.Pending, 0, 1)
	if p.Create && !ix.Visible {
		t.makeVisible(ix, now)
	}
	if p.PrimaryKey != nil {
		ix.PrimaryKey = *p.PrimaryKey
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

// makeVisible binds the index's name. An index that held the name until now is on its way out, or lost it because its
// deletion failed after the name was given away; then nothing leads to it any more.
func (t *txn) makeVisible(ix *Index, now time.Time) {
	if old := t.view.Indexes[t.view.Names[ix.UID]]; old != nil && !old.Deleting {
		t.editIndex(old.ID).Visible = false
		t.forgetIfDone(old.ID)
	}
	ix.Visible = true
	ix.CreatedAt, ix.UpdatedAt = now.UTC(), now.UTC()
	t.setName(ix.UID, ix.ID)
}
