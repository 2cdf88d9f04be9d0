package fsm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// Task returns one task, or ErrNotFound.
func (f *FSM) Task(uid uint32) (task *Task, err error) {
	err = f.read(func(tx *bbolt.Tx) error {
		task, err = newTaskReader(tx).task(uid)
		return err
	})
	return task, err
}

// Tasks returns one page of the tasks that match. Its cost grows with the number of chunks of 1024 tasks, not of tasks,
// unless the filter has Match.
func (f *FSM) Tasks(filter TaskFilter, page TaskPage) (list TaskList, err error) {
	err = f.read(func(tx *bbolt.Tx) error {
		r := newTaskReader(tx)
		set, err := r.match(filter)
		if err != nil {
			return err
		}
		uids, next := page.cut(set)
		list.Total, list.Next = set.count(), next
		list.Tasks, err = r.tasks(uids)
		return err
	})
	return list, err
}

// TaskUIDs returns the uids of all tasks that match, rising.
func (f *FSM) TaskUIDs(filter TaskFilter) (uids TaskUIDs, err error) {
	err = f.read(func(tx *bbolt.Tx) error {
		set, err := newTaskReader(tx).match(filter)
		if err != nil {
			return err
		}
		uids = make(TaskUIDs, 0, set.count())
		set.each(true, func(uid uint32) bool {
			uids = append(uids, uid)
			return true
		})
		return nil
	})
	return uids, err
}

// EachTaskUID calls f with the uid of every task that matches, rising.
func (f *FSM) EachTaskUID(filter TaskFilter, call func(uid uint32)) error {
	return f.read(func(tx *bbolt.Tx) error {
		set, err := newTaskReader(tx).match(filter)
		if err == nil {
			set.each(true, func(uid uint32) bool { call(uid); return true })
		}
		return err
	})
}

// Deletion is how far a deletion of tasks has come, the zero value before it has begun.
func (f *FSM) Deletion(uid uint32) (done Deletion, err error) {
	err = f.read(func(tx *bbolt.Tx) error { return getRow(tx, deletionKey(uid), &done) })
	return done, err
}

// Batches returns one page of the batches that have a matching task; page.From is a batch uid. Indexes are those of the
// names that tasks were enqueued with.
func (f *FSM) Batches(filter TaskFilter, page TaskPage) (list BatchList, err error) {
	err = f.read(func(tx *bbolt.Tx) error {
		r := newTaskReader(tx)
		r.ofBatches = true
		indexes := filter.IndexUIDs
		filter.IndexUIDs = nil
		tasks, err := r.match(filter)
		if err != nil {
			return err
		}
		if err := r.narrowEnqueued(tasks, indexes, filter.Swaps); err != nil {
			return fmt.Errorf("indexes of batches: %w", err)
		}
		set := r.batchesOf(tasks)
		uids, next := page.cut(set)
		list.Total, list.Next = set.count(), next
		for _, uid := range uids {
			batch, err := r.batch(uid)
			if err != nil {
				return err
			}
			list.Batches = append(list.Batches, batch)
		}
		return nil
	})
	return list, err
}

// OpenTasks returns the unfinished tasks, oldest first.
func (f *FSM) OpenTasks() ([]*Task, error) {
	filter := TaskFilter{Statuses: []string{StatusEnqueued, StatusProcessing}}
	list, err := f.Tasks(filter, TaskPage{Limit: 1<<31 - 1, Reverse: true})
	return list.Tasks, err
}

// OpenIntents returns the open intents, oldest first.
func (f *FSM) OpenIntents() (list []*Intent, err error) {
	err = f.read(func(tx *bbolt.Tx) error {
		return eachRow(tx, bucketIntents, func(_ []byte, in *Intent) { list = append(list, in) })
	})
	return list, err
}

// Intent returns one open intent, or ErrNotFound.
func (f *FSM) Intent(id WriteID) (in *Intent, err error) {
	err = f.read(func(tx *bbolt.Tx) error {
		key := tx.Bucket(bucketWrites).Get([]byte(id))
		if key == nil {
			return refuse(CodeNotFound, "write %s is not open", id)
		}
		in = &Intent{}
		return json.Unmarshal(tx.Bucket(bucketIntents).Get(key), in)
	})
	return in, err
}

// taskReader reads tasks in one transaction.
type taskReader struct {
	tx        *bbolt.Tx
	flips     []flip
	ofBatches bool
	err       error // of reading the flips
}

func newTaskReader(tx *bbolt.Tx) *taskReader {
	r := &taskReader{tx: tx}
	r.err = getRow(tx, rowFlips, &r.flips)
	return r
}

func (r *taskReader) task(uid uint32) (*Task, error) {
	raw := r.tx.Bucket(bucketTasks).Get(be32(uid))
	if raw == nil {
		return nil, refuse(CodeNotFound, "task %d does not exist", uid)
	}
	task := &Task{}
	if err := json.Unmarshal(raw, task); err != nil {
		return nil, fmt.Errorf("read task %d: %w", uid, err)
	}
	if err := r.showNames(task); err != nil {
		return nil, fmt.Errorf("names of task %d: %w", uid, err)
	}
	return task, r.err
}

func (r *taskReader) tasks(uids []uint32) ([]*Task, error) {
	list := make([]*Task, len(uids))
	for i, uid := range uids {
		task, err := r.task(uid)
		if err != nil {
			return nil, err
		}
		list[i] = task
	}
	return list, nil
}

// match returns the tasks a filter selects.
func (r *taskReader) match(f TaskFilter) (uidSet, error) {
	set := r.withStatus(f.Statuses)
	r.narrowUIDs(set, f.UIDs)
	r.narrow(set, dimKind, f.Kinds)
	r.narrowIndexes(set, f.IndexUIDs, f.Swaps)
	r.narrow(set, dimCanceledBy, uidTexts(f.CanceledBy))
	r.narrowBatches(set, f.BatchUIDs)
	r.narrowTime(set, timeEnqueued, f.AfterEnqueuedAt, f.BeforeEnqueuedAt)
	r.narrowTime(set, timeStarted, f.AfterStartedAt, f.BeforeStartedAt)
	r.narrowTime(set, timeFinished, f.AfterFinishedAt, f.BeforeFinishedAt)
	if f.AllowIndex != nil {
		set.intersect(r.allowed(f.AllowIndex))
	}
	if f.Match == nil {
		return set, r.err
	}
	return r.matchEach(set, f.Match)
}

// withStatus returns the tasks in one of the statuses, nil for any. The unfinished ones are few among many: looking for
// them must not cost a look at the others.
func (r *taskReader) withStatus(statuses []string) uidSet {
	if statuses == nil {
		return readSet(r.tx, dimAll, "")
	}
	return r.union(dimStatus, statuses)
}

func (r *taskReader) narrow(set uidSet, dim byte, values []string) {
	if values != nil {
		set.intersect(r.union(dim, values))
	}
}

func (r *taskReader) union(dim byte, values []string) uidSet {
	union := uidSet{}
	for _, value := range values {
		union.unite(readSet(r.tx, dim, value))
	}
	return union
}

func uidTexts(uids []uint32) []string {
	if uids == nil {
		return nil
	}
	texts := make([]string, len(uids))
	for i := range uids {
		texts[i] = uidText(&uids[i])
	}
	return texts
}

func (r *taskReader) narrowUIDs(set uidSet, uids []uint32) {
	if uids == nil {
		return
	}
	listed := uidSet{}
	for _, uid := range uids {
		listed.add(uid)
	}
	set.intersect(listed)
}

func (r *taskReader) narrowBatches(set uidSet, batches []uint32) {
	if batches == nil {
		return
	}
	members := uidSet{}
	for _, batch := range batches {
		for _, uid := range r.members(batch) {
			members.add(uid)
		}
	}
	set.intersect(members)
}

// narrowTime keeps the tasks whose time lies strictly between after and before. Bounds that are nil do not bound, but
// one that is not leaves out tasks without that time.
func (r *taskReader) narrowTime(set uidSet, which byte, after, before *time.Time) {
	if after == nil && before == nil {
		return
	}
	from, to := []byte{which}, []byte{which + 1}
	if after != nil {
		from = append(timeKey(which, *after, 1<<32-1), 0)
	}
	if before != nil {
		to = timeKey(which, *before, 0)
	}
	within := uidSet{}
	c := r.tx.Bucket(bucketTimes).Cursor()
	for k, _ := c.Seek(from); k != nil && bytes.Compare(k, to) < 0; k, _ = c.Next() {
		within.add(readUID(k))
	}
	set.intersect(within)
}

// allowed returns the tasks that concern allowed indexes only, and at least one.
func (r *taskReader) allowed(allow func(string) bool) uidSet {
	allowed, refused := uidSet{}, uidSet{}
	c := r.tx.Bucket(bucketBits).Cursor()
	for k, _ := c.Seek([]byte{dimIndex}); k != nil && k[0] == dimIndex; {
		name := string(k[1:bytes.IndexByte(k, 0)])
		if allow(name) {
			allowed.unite(readSet(r.tx, dimIndex, name))
		} else {
			refused.unite(readSet(r.tx, dimIndex, name))
		}
		k, _ = c.Seek(append(append([]byte{dimIndex}, name...), 1))
	}
	allowed.subtract(refused)
	return allowed
}

func (r *taskReader) matchEach(set uidSet, match func(*Task) bool) (uidSet, error) {
	kept := uidSet{}
	var failed error
	set.each(true, func(uid uint32) bool {
		task, err := r.task(uid)
		if err != nil {
			failed = err
			return false
		}
		if match(task) {
			kept.add(uid)
		}
		return true
	})
	return kept, failed
}

// members lists the tasks of a batch, rising.
func (r *taskReader) members(batch uint32) (uids []uint32) {
	prefix := be32(batch)
	c := r.tx.Bucket(bucketBatches).Cursor()
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		uids = append(uids, readUID(k))
	}
	return uids
}

func (r *taskReader) batch(uid uint32) (Batch, error) {
	tasks, err := r.tasks(r.members(uid))
	return Batch{UID: uid, Tasks: tasks}, err
}

// batchesOf returns the batches of tasks.
func (r *taskReader) batchesOf(tasks uidSet) uidSet {
	batches := uidSet{}
	bucket := r.tx.Bucket(bucketBits)
	for chunk, w := range tasks {
		raw := bucket.Get(chunkKey(dimBatch, "", chunk))
		for n := range uint32(len(raw) / 4) {
			if !w.has(n) {
				continue
			}
			if batch := readUID(raw[:4*n+4]); batch > 0 {
				batches.add(batch - 1)
			}
		}
	}
	return batches
}

// cut returns the page's members in its order and where the next page starts.
func (p TaskPage) cut(set uidSet) (uids []uint32, next *uint32) {
	set.each(p.Reverse, func(uid uint32) bool {
		if p.From != nil && (p.Reverse && uid < *p.From || !p.Reverse && uid > *p.From) {
			return true
		}
		if len(uids) == p.Limit {
			next = &uid
			return false
		}
		uids = append(uids, uid)
		return true
	})
	return slices.Clip(uids), next
}
