package fsm

import (
	"encoding/binary"
	"slices"
	"strconv"
	"time"
)

// A node-side name is not given again while somebody may still use it for the index that had it: a read planned by an older
// view, a hedged request, a page of a repair, a write that was held up on its way. They would reach another index's documents.

const (
	// freedFor is how long a freed name is kept from new indexes: longer than a request may last, which is an hour.
	freedFor = 65 * time.Minute
	// maxFreed bounds how many names are kept; beyond it the one freed first may be given again.
	maxFreed = 10_000
	// maxNodeUIDBytes is what Meilisearch allows for the name of an index.
	maxNodeUIDBytes = 400
)

// freedName is when a node-side name was freed.
type freedName struct {
	At    time.Time `json:"at"`
	Index uint64    `json:"index"` // Raft index of the command that freed it
}

// nodeName returns the node-side name of a new index: its client name, unless somebody may still use it for another.
func (t *txn) nodeName(uid string, id IndexID, now time.Time) string {
	name := uid
	for suffix := "__" + strconv.FormatUint(uint64(id), 36); t.taken(name, now); suffix = "_" + suffix {
		name = uid[:min(len(uid), maxNodeUIDBytes-len(suffix))] + suffix
	}
	return name
}

// taken reports that an index has a node-side name, that a node may hold one under it, or that it was freed lately.
func (t *txn) taken(name string, now time.Time) bool {
	for _, ix := range t.view.Indexes {
		if ix.NodeUID == name {
			return true
		}
	}
	var freed freedName
	return slices.ContainsFunc(t.view.Leftovers, func(l Leftover) bool { return l.NodeUID == name }) ||
		t.get(bucketFreed, []byte(name), &freed) && !freed.over(now)
}

// over reports that a name may be given again.
func (f freedName) over(now time.Time) bool { return now.Sub(f.At) > freedFor }

// freeName remembers the node-side name of an index that is gone.
func (t *txn) freeName(name string) {
	var freed freedName
	if t.get(bucketFreed, []byte(name), &freed) {
		t.forgetFreed(freed.Index, name)
	}
	freed = freedName{At: t.view.counters.LastUpdate, Index: t.index}
	t.put(bucketFreed, []byte(name), freed)
	t.putRaw(bucketFreedOrder, freedKey(freed.Index, name), nil)
	t.view.counters.NumFreedNames++
	t.expireFreed()
}

// expireFreed forgets the names that are over and those that are too many.
func (t *txn) expireFreed() {
	for {
		key, _ := t.tx.Bucket(bucketFreedOrder).Cursor().First()
		if key == nil {
			return
		}
		index, name := binary.BigEndian.Uint64(key), string(key[8:])
		var freed freedName
		t.get(bucketFreed, []byte(name), &freed)
		if !freed.over(t.view.counters.LastUpdate) && t.view.counters.NumFreedNames <= maxFreed {
			return
		}
		t.forgetFreed(index, name)
	}
}

func (t *txn) forgetFreed(index uint64, name string) {
	t.delete(bucketFreed, []byte(name))
	t.delete(bucketFreedOrder, freedKey(index, name))
	t.view.counters.NumFreedNames--
}

func freedKey(index uint64, name string) []byte { return append(be64(index), name...) }
