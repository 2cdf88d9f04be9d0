package fsm

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"
)

// A session is a name that a client chose to read its own writes under. The state knows of it only what is unfinished: one
// row per write, gone when its task ends, for from then on every replica in sync has the write. A write older than the TTL
// or pushed out by newer ones is forgotten when the next one comes: reads wait for it no more.

// maxSessionBytes bounds a session's name.
const maxSessionBytes = 128

// SessionWrite is an unfinished write of a session.
type SessionWrite struct {
	TaskUID uint32        `json:"taskUid"`
	Index   IndexID       `json:"index"` // 0: it concerns several, such as a swap
	Age     time.Duration `json:"age"`   // of all sessions when it came
	// Group took the write and is read until it has finished; nil before that is known.
	Group *GroupID `json:"group,omitempty"`
}

func validSession(name string) bool {
	return len(name) <= maxSessionBytes && !strings.ContainsRune(name, 0)
}

// sessionKey orders the writes of a session by index and task.
func sessionKey(session string, index IndexID, task uint32) []byte {
	key := append([]byte(session), 0)
	return append(append(key, be64(uint64(index))...), be32(task)...)
}

// beginSessionWrite remembers a task that is enqueued for a session, now by the clock of the pod that leads.
func (t *txn) beginSessionWrite(task *Task, now time.Time) {
	c := t.view.Config.Sessions
	if task.Session == "" || !c.Enabled {
		return
	}
	age := t.sessionAge(now)
	t.forgetSessionWrites(age-time.Duration(c.TTLSeconds)*time.Second, c.MaxSessions)
	key := sessionKey(task.Session, task.Index, task.UID)
	t.put(bucketSessions, key, SessionWrite{TaskUID: task.UID, Index: task.Index, Age: age})
	t.putRaw(bucketSessionTasks, be32(task.UID), key)
	t.view.counters.NumSessionWrites++
}

// maxSessionStep is what the time between two writes of sessions counts at most. A new leader's clock may be hours ahead.
const maxSessionStep = time.Minute

// sessionAge is for how long there have been sessions.
func (t *txn) sessionAge(now time.Time) time.Duration {
	c := &t.view.counters
	if !c.LastSessionWrite.IsZero() {
		c.SessionAge += min(max(now.Sub(c.LastSessionWrite), 0), maxSessionStep)
	}
	c.LastSessionWrite = now
	return c.SessionAge
}

// forgetSessionWrites drops the oldest writes: those before an age, and as many as make room for one more.
func (t *txn) forgetSessionWrites(before time.Duration, limit int) {
	for {
		uid, key := t.tx.Bucket(bucketSessionTasks).Cursor().First()
		if uid == nil {
			return
		}
		var row SessionWrite
		if t.get(bucketSessions, key, &row) && t.view.counters.NumSessionWrites < limit && row.Age >= before {
			return
		}
		t.dropSessionWrite(slices.Clone(uid), slices.Clone(key))
	}
}

// pinSessionWrite notes which group took a write.
func (t *txn) pinSessionWrite(task *Task, group GroupID) {
	key := t.tx.Bucket(bucketSessionTasks).Get(be32(task.UID))
	var row SessionWrite
	if key != nil && t.get(bucketSessions, key, &row) {
		row.Group = &group
		t.put(bucketSessions, slices.Clone(key), row)
	}
}

// endSessionWrite forgets a write whose task has ended.
func (t *txn) endSessionWrite(task *Task) {
	if task.Session == "" {
		return
	}
	uid := be32(task.UID)
	if key := t.tx.Bucket(bucketSessionTasks).Get(uid); key != nil {
		t.dropSessionWrite(uid, slices.Clone(key))
	}
}

func (t *txn) dropSessionWrite(uid, key []byte) {
	t.delete(bucketSessions, key)
	t.delete(bucketSessionTasks, uid)
	t.view.counters.NumSessionWrites--
}

// pin chooses the group that a session reads until the task ends: the lowest of those that took the write and did not miss
// its quorum.
func (t *txn) pin(in *Intent, task *Task, result *EndWriteResult) {
	if task.Session == "" || !result.Accepted || task.Finished() {
		return
	}
	for _, g := range slices.Sorted(func(yield func(GroupID) bool) {
		for _, target := range in.Targets {
			acked := slices.ContainsFunc(task.NodeTasks, func(n NodeTask) bool { return n.Node == target.Node })
			if acked && !slices.Contains(result.MissedGroups, target.Group) && !yield(target.Group) {
				return
			}
		}
	}) {
		t.pinSessionWrite(task, g)
		return
	}
}

// SessionWrites are the unfinished writes of a session that concern one of the indexes, or several indexes at once.
func (f *FSM) SessionWrites(session string, indexes ...IndexID) (list []SessionWrite, err error) {
	err = f.read(func(tx *bbolt.Tx) error {
		list = nil
		for _, index := range append([]IndexID{0}, indexes...) {
			prefix := string(sessionKey(session, index, 0)[:len(session)+1+8])
			c := tx.Bucket(bucketSessions).Cursor()
			for key, raw := c.Seek([]byte(prefix)); strings.HasPrefix(string(key), prefix); key, raw = c.Next() {
				var row SessionWrite
				if err := json.Unmarshal(raw, &row); err != nil {
					return err
				}
				list = append(list, row)
			}
		}
		return nil
	})
	return list, err
}
