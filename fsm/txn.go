package fsm

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// txn is one batch of commands being applied: a bbolt write transaction and the draft of the next view.
//
// A command must check everything before its first change, because a refused command shares the transaction with others.
// Maps of the draft are those of the published view until first changed; what they point to is replaced, never changed.
type txn struct {
	tx   *bbolt.Tx
	view View

	index    uint64               // Raft index of the command being applied
	owned    map[string]bool      // tables of view that are private copies already
	nodes    map[NodeID]struct{}  // rows to write at commit
	indexes  map[IndexID]struct{} // rows to write at commit
	edited   map[IndexID]struct{} // indexes cloned by the command being applied
	replaced map[IndexID]struct{} // ... with their placement
	chunks   map[string][]byte    // changed chunks of the bits bucket
	finished map[string]int       // tasks that have ended, by status
}

func newTxn(tx *bbolt.Tx, base *View) *txn {
	return &txn{
		tx: tx, view: *base, owned: map[string]bool{},
		nodes: map[NodeID]struct{}{}, indexes: map[IndexID]struct{}{}, chunks: map[string][]byte{}, finished: map[string]int{},
	}
}

// run applies one command. Results may point into the draft: a later command replaces what it changes.
func (t *txn) run(index uint64, cmd Command) any {
	t.index = index
	t.edited, t.replaced = map[IndexID]struct{}{}, map[IndexID]struct{}{}
	result, err := cmd.apply(t)
	if err != nil {
		return err
	}
	return result
}

// flush writes what is still only in memory. The order of rows does not matter: keys decide the file's contents.
func (t *txn) flush(applied appliedRow) {
	for id := range t.nodes {
		if n := t.view.Nodes[id]; n != nil {
			t.put(bucketNodes, []byte(id), n)
		} else {
			t.delete(bucketNodes, []byte(id))
		}
	}
	for id := range t.indexes {
		if ix := t.view.Indexes[id]; ix != nil {
			t.put(bucketIndexes, be64(uint64(id)), ix)
		} else {
			t.delete(bucketIndexes, be64(uint64(id)))
		}
	}
	t.flushChunks()
	t.put(bucketMeta, rowCounters, t.view.counters)
	t.put(bucketMeta, rowApplied, applied)
	t.view.AppliedIndex = applied.Index
	t.view.publishCounters()
}

func (t *txn) put(bucket, key []byte, row any) { t.putRaw(bucket, key, marshal(row)) }

func (t *txn) putRaw(bucket, key, raw []byte) { must(t.tx.Bucket(bucket).Put(key, raw)) }

func (t *txn) delete(bucket, key []byte) { must(t.tx.Bucket(bucket).Delete(key)) }

// get reads a row and reports whether it exists.
func (t *txn) get(bucket, key []byte, into any) bool {
	raw := t.tx.Bucket(bucket).Get(key)
	if raw == nil {
		return false
	}
	must(json.Unmarshal(raw, into))
	return true
}

func own[K comparable, V any](t *txn, table string, m *map[K]V) {
	if !t.owned[table] {
		*m = maps.Clone(*m)
		t.owned[table] = true
	}
}

// editNode returns a private copy of a node, already in the draft; nil if it is unknown.
func (t *txn) editNode(id NodeID) *Node {
	old := t.view.Nodes[id]
	if old == nil {
		return nil
	}
	n := *old
	t.setNode(&n)
	return &n
}

func (t *txn) setNode(n *Node) {
	own(t, "nodes", &t.view.Nodes)
	t.view.Nodes[n.ID] = n
	t.nodes[n.ID] = struct{}{}
}

func (t *txn) dropNode(id NodeID) {
	own(t, "nodes", &t.view.Nodes)
	delete(t.view.Nodes, id)
	t.nodes[id] = struct{}{}
}

// editIndex returns a copy of an index that this command may change, except for its placement; nil if it is unknown.
func (t *txn) editIndex(id IndexID) *Index {
	old := t.view.Indexes[id]
	if old == nil {
		return nil
	}
	if _, ok := t.edited[id]; ok {
		return old
	}
	ix := *old
	ix.Pending = slices.Clone(ix.Pending)
	t.setIndex(&ix)
	return &ix
}

// editPlacement is editIndex with a placement that may be changed too.
func (t *txn) editPlacement(id IndexID) *Index {
	ix := t.editIndex(id)
	if ix == nil {
		return nil
	}
	t.view.PlacedAt = t.index
	if _, ok := t.replaced[id]; !ok {
		ix.Placement = clonePlacement(ix.Placement)
		t.replaced[id] = struct{}{}
	}
	return ix
}

func (t *txn) setIndex(ix *Index) {
	own(t, "indexes", &t.view.Indexes)
	t.view.Indexes[ix.ID] = ix
	t.indexes[ix.ID] = struct{}{}
	t.edited[ix.ID] = struct{}{}
}

func (t *txn) dropIndex(id IndexID) {
	own(t, "indexes", &t.view.Indexes)
	delete(t.view.Indexes, id)
	t.indexes[id] = struct{}{}
	delete(t.edited, id)
}

// setName binds a visible name, or with id 0 frees it.
func (t *txn) setName(uid string, id IndexID) {
	own(t, "names", &t.view.Names)
	t.bind(bucketNames, t.view.Names, uid, id)
}

// setRoute binds a name for writes, or with id 0 frees it.
func (t *txn) setRoute(uid string, id IndexID) {
	own(t, "routes", &t.view.Routes)
	t.bind(bucketRoutes, t.view.Routes, uid, id)
}

func (t *txn) bind(bucket []byte, names map[string]IndexID, uid string, id IndexID) {
	if id == 0 {
		delete(names, uid)
		t.delete(bucket, []byte(uid))
		return
	}
	names[uid] = id
	t.putRaw(bucket, []byte(uid), be64(uint64(id)))
}

// clock returns the time a task is enqueued or finished at: now, but never before an earlier command's, so that task
// times rise with the uids whichever pod's clock they come from.
func (t *txn) clock(now time.Time) time.Time {
	t.view.counters.LastUpdate = t.later(now)
	return t.view.counters.LastUpdate
}

// later is what clock would return.
func (t *txn) later(now time.Time) time.Time {
	if now = now.UTC(); now.After(t.view.counters.LastUpdate) {
		return now
	}
	return t.view.counters.LastUpdate
}

// firstOpen returns the lowest unfinished task of an index.
func (t *txn) firstOpen(id IndexID) (uid uint32, ok bool) {
	prefix := be64(uint64(id))
	k, _ := t.tx.Bucket(bucketOpen).Cursor().Seek(prefix)
	if !bytes.HasPrefix(k, prefix) {
		return 0, false
	}
	return readUID(k), true
}
