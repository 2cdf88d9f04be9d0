package fsm

import (
	"bytes"
	"time"

	"go.etcd.io/bbolt"
)

// Outlived lists at most limit finished tasks to forget: first those that finished before a time, oldest first, then the
// ones with the lowest uids, until maxTasks are left. A zero time or number forgets none for its sake. Tasks whose write is
// open are left out.
func (f *FSM) Outlived(before time.Time, maxTasks, limit int) (uids TaskUIDs, err error) {
	err = f.read(func(tx *bbolt.Tx) error {
		r := newTaskReader(tx)
		found := uidSet{}
		take := func(uid uint32) bool {
			if len(uids) == limit {
				return false
			}
			if w := found.get(uid / chunkBits); !w.has(uid) && tx.Bucket(bucketIntents).Get(be32(uid)) == nil {
				found.add(uid)
				uids = append(uids, uid)
			}
			return true
		}
		if !before.IsZero() {
			r.eachFinished(before, take)
		}
		if maxTasks > 0 {
			surplus := readSet(tx, dimAll, "").count() - maxTasks
			r.union(dimStatus, []string{StatusSucceeded, StatusFailed, StatusCanceled}).each(true, func(uid uint32) bool {
				return len(uids) < surplus && take(uid)
			})
		}
		return r.err
	})
	return uids, err
}

// eachFinished calls f with the tasks that finished before a time, in the order in which they did, until it returns false.
func (r *taskReader) eachFinished(before time.Time, f func(uid uint32) bool) {
	end := timeKey(timeFinished, before, 0)
	c := r.tx.Bucket(bucketTimes).Cursor()
	for k, _ := c.Seek([]byte{timeFinished}); k != nil && bytes.Compare(k, end) < 0 && f(readUID(k)); k, _ = c.Next() {
	}
}
