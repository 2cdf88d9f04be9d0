package fsm

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// Secondary indexes of the tasks. For every value of a dimension (status, kind, index name, canceling task, and one for
// all) the bits bucket holds the set of task uids as bitmaps of chunkBits uids each, under dimension, value, zero byte,
// chunk number. A chunk without a bit is absent. So counting a million tasks by status reads a thousand small rows, and a
// task that changes rewrites 128 bytes per dimension. One more dimension maps task uids to batch uids, 4 bytes each.
const (
	chunkBits = 1024

	dimAll        = 'a'
	dimStatus     = 's'
	dimKind       = 'k'
	dimIndex      = 'i'
	dimCanceledBy = 'c'
	dimBatch      = 'b' // not bits: batch uid + 1 of each task, 0 for none
)

// Which time a row of the times bucket speaks of.
const (
	timeEnqueued = 'e'
	timeStarted  = 's'
	timeFinished = 'f'
)

// words is one chunk of a set of uids: bit n of the chunk is bit n%64 of word n/64.
type words [chunkBits / 64]uint64

func readWords(raw []byte) (w words) {
	for i := range w {
		if 8*i < len(raw) {
			w[i] = binary.LittleEndian.Uint64(raw[8*i:])
		}
	}
	return w
}

func (w *words) bytes() []byte {
	raw := make([]byte, 0, chunkBits/8)
	for _, word := range w {
		raw = binary.LittleEndian.AppendUint64(raw, word)
	}
	return raw
}

func (w *words) set(uid uint32) { w[uid%chunkBits/64] |= 1 << (uid % 64) }

func (w *words) has(uid uint32) bool { return w[uid%chunkBits/64]&(1<<(uid%64)) != 0 }

func (w *words) count() (n int) {
	for _, word := range w {
		n += bits.OnesCount64(word)
	}
	return n
}

// below is the chunk's bits of uids less than limit.
func below(chunk, limit uint32) (w words) {
	for n := range uint32(chunkBits) {
		if chunk*chunkBits+n < limit {
			w.set(n)
		}
	}
	return w
}

func chunkPrefix(dim byte, value string) []byte {
	return append(append([]byte{dim}, value...), 0)
}

func chunkKey(dim byte, value string, chunk uint32) []byte {
	return binary.BigEndian.AppendUint32(chunkPrefix(dim, value), chunk)
}

// readUID reads the task uid or chunk number a key ends with.
func readUID(key []byte) uint32 { return binary.BigEndian.Uint32(key[len(key)-4:]) }

// chunk returns the transaction's private copy of a chunk of numBytes bytes, zeros if it is absent.
func (t *txn) chunk(key []byte, numBytes int) []byte {
	if raw, ok := t.chunks[string(key)]; ok {
		return raw
	}
	raw := make([]byte, numBytes)
	copy(raw, t.tx.Bucket(bucketBits).Get(key))
	t.chunks[string(key)] = raw
	return raw
}

func (t *txn) flushChunks() {
	for key, raw := range t.chunks {
		if allZero(raw) {
			t.delete(bucketBits, []byte(key))
		} else {
			t.putRaw(bucketBits, []byte(key), raw)
		}
	}
	clear(t.chunks)
}

func allZero(raw []byte) bool {
	return !slices.ContainsFunc(raw, func(b byte) bool { return b != 0 })
}

func (t *txn) setBit(dim byte, value string, uid uint32, on bool) {
	raw := t.chunk(chunkKey(dim, value, uid/chunkBits), chunkBits/8)
	n := uid % chunkBits
	if on {
		raw[n/8] |= 1 << (n % 8)
	} else {
		raw[n/8] &^= 1 << (n % 8)
	}
}

// swapIndexBits exchanges the tasks older than limit of two index names.
func (t *txn) swapIndexBits(nameA, nameB string, limit uint32) {
	t.flushChunks()
	a, b := readSet(t.tx, dimIndex, nameA), readSet(t.tx, dimIndex, nameB)
	for _, chunk := range slices.Concat(a.chunks(), b.chunks()) {
		mask := below(chunk, limit)
		wa, wb := a.get(chunk), b.get(chunk)
		var newA, newB words
		for i := range mask {
			newA[i] = wa[i]&^mask[i] | wb[i]&mask[i]
			newB[i] = wb[i]&^mask[i] | wa[i]&mask[i]
		}
		t.chunks[string(chunkKey(dimIndex, nameA, chunk))] = newA.bytes()
		t.chunks[string(chunkKey(dimIndex, nameB, chunk))] = newB.bytes()
	}
}

// task reads a task, nil if it does not exist.
func (t *txn) task(uid uint32) *Task {
	task := &Task{}
	if !t.get(bucketTasks, be32(uid), task) {
		return nil
	}
	return task
}

// putTask stores a task and keeps the secondary indexes; old is what is stored now, nil for a new task.
func (t *txn) putTask(old, task *Task) {
	t.put(bucketTasks, be32(task.UID), task)
	if old == nil {
		old = &Task{}
		t.setBit(dimAll, "", task.UID, true)
		for _, name := range task.indexNames() {
			t.setBit(dimIndex, name, task.UID, true)
		}
	}
	t.moveBit(dimStatus, old.Status, task.Status, task.UID)
	t.moveBit(dimKind, old.Kind, task.Kind, task.UID)
	t.moveBit(dimCanceledBy, uidText(old.CanceledBy), uidText(task.CanceledBy), task.UID)
	t.moveTimes(old, task)
	t.setBatch(task.UID, old.BatchUID, task.BatchUID)
}

// deleteTask removes a task and all that leads to it.
func (t *txn) deleteTask(task *Task) {
	t.delete(bucketTasks, be32(task.UID))
	t.setBit(dimAll, "", task.UID, false)
	for _, name := range task.indexNames() {
		t.setBit(dimIndex, shownName(t.view.flips, task.UID, name), task.UID, false)
	}
	t.moveBit(dimStatus, task.Status, "", task.UID)
	t.moveBit(dimKind, task.Kind, "", task.UID)
	t.moveBit(dimCanceledBy, uidText(task.CanceledBy), "", task.UID)
	t.moveTimes(task, &Task{UID: task.UID})
	t.setBatch(task.UID, task.BatchUID, nil)
}

// indexNames lists the names a task is found under, as it was enqueued.
func (task *Task) indexNames() []string {
	names := slices.Clone(task.Names)
	if task.IndexUID != nil {
		names = append(names, *task.IndexUID)
	}
	for _, s := range task.Effect.Swaps {
		names = append(names, s.A, s.B)
	}
	return names
}

func uidText(uid *uint32) string {
	if uid == nil {
		return ""
	}
	return string(be32(*uid))
}

func (t *txn) moveBit(dim byte, from, to string, uid uint32) {
	if from == to {
		return
	}
	if from != "" {
		t.setBit(dim, from, uid, false)
	}
	if to != "" {
		t.setBit(dim, to, uid, true)
	}
}

func (t *txn) moveTimes(old, task *Task) {
	var oldEnqueued, enqueued *time.Time
	if !old.EnqueuedAt.IsZero() {
		oldEnqueued = &old.EnqueuedAt
	}
	if !task.EnqueuedAt.IsZero() {
		enqueued = &task.EnqueuedAt
	}
	t.moveTime(timeEnqueued, oldEnqueued, enqueued, task.UID)
	t.moveTime(timeStarted, old.StartedAt, task.StartedAt, task.UID)
	t.moveTime(timeFinished, old.FinishedAt, task.FinishedAt, task.UID)
}

func (t *txn) moveTime(which byte, from, to *time.Time, uid uint32) {
	if from != nil && to != nil && from.Equal(*to) {
		return
	}
	if from != nil {
		t.delete(bucketTimes, timeKey(which, *from, uid))
	}
	if to != nil {
		t.putRaw(bucketTimes, timeKey(which, *to, uid), nil)
	}
}

// timeKey orders by time; times before 1970 come first, and those beyond the range of nanoseconds (1678 to 2262) at its ends.
func timeKey(which byte, at time.Time, uid uint32) []byte {
	key := binary.BigEndian.AppendUint64([]byte{which}, uint64(nanos(at))^1<<63)
	return binary.BigEndian.AppendUint32(key, uid)
}

var (
	earliest = time.Unix(0, -1<<63)
	latest   = time.Unix(0, 1<<63-1)
)

func nanos(at time.Time) int64 {
	switch {
	case at.Before(earliest):
		return -1 << 63
	case at.After(latest):
		return 1<<63 - 1
	}
	return at.UnixNano()
}

func (t *txn) setBatch(uid uint32, old, batch *uint32) {
	if old == batch || old != nil && batch != nil && *old == *batch {
		return
	}
	at := t.chunk(chunkKey(dimBatch, "", uid/chunkBits), chunkBits*4)[uid%chunkBits*4:]
	binary.BigEndian.PutUint32(at, 0)
	if old != nil {
		t.delete(bucketBatches, append(be32(*old), be32(uid)...))
	}
	if batch != nil {
		binary.BigEndian.PutUint32(at, *batch+1)
		t.putRaw(bucketBatches, append(be32(*batch), be32(uid)...), nil)
	}
}

// uidSet is a set of task uids by chunk number.
type uidSet map[uint32]*words

// readSet reads all tasks that have a value in a dimension.
func readSet(tx *bbolt.Tx, dim byte, value string) uidSet {
	set := uidSet{}
	prefix := chunkPrefix(dim, value)
	c := tx.Bucket(bucketBits).Cursor()
	for k, raw := c.Seek(prefix); bytes.HasPrefix(k, prefix) && len(k) == len(prefix)+4; k, raw = c.Next() {
		w := readWords(raw)
		set[readUID(k)] = &w
	}
	return set
}

func (s uidSet) get(chunk uint32) words {
	if w := s[chunk]; w != nil {
		return *w
	}
	return words{}
}

func (s uidSet) has(uid uint32) bool {
	w := s[uid/chunkBits]
	return w != nil && w.has(uid%chunkBits)
}

func (s uidSet) add(uid uint32) {
	w := s[uid/chunkBits]
	if w == nil {
		w = &words{}
		s[uid/chunkBits] = w
	}
	w.set(uid)
}

// chunks lists the chunk numbers, rising.
func (s uidSet) chunks() []uint32 {
	list := make([]uint32, 0, len(s))
	for chunk := range s {
		list = append(list, chunk)
	}
	slices.Sort(list)
	return list
}

func (s uidSet) count() (n int) {
	for _, w := range s {
		n += w.count()
	}
	return n
}

// unite adds other to s.
func (s uidSet) unite(other uidSet) {
	for chunk, w := range other {
		mine := s[chunk]
		if mine == nil {
			mine = &words{}
			s[chunk] = mine
		}
		for i := range w {
			mine[i] |= w[i]
		}
	}
}

// intersect leaves in s what is in other too.
func (s uidSet) intersect(other uidSet) {
	for chunk, mine := range s {
		w := other[chunk]
		if w == nil {
			delete(s, chunk)
			continue
		}
		for i := range mine {
			mine[i] &= w[i]
		}
	}
}

// subtract removes other from s.
func (s uidSet) subtract(other uidSet) {
	for chunk, w := range other {
		if mine := s[chunk]; mine != nil {
			for i := range mine {
				mine[i] &^= w[i]
			}
		}
	}
}

// each calls f with the members, rising or falling, until it returns false.
func (s uidSet) each(rising bool, f func(uid uint32) bool) {
	chunks := s.chunks()
	if !rising {
		slices.Reverse(chunks)
	}
	for _, chunk := range chunks {
		w := s[chunk]
		for i := range uint32(chunkBits) {
			n := i
			if !rising {
				n = chunkBits - 1 - i
			}
			if w.has(n) && !f(chunk*chunkBits+n) {
				return
			}
		}
	}
}
