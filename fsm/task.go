package fsm

import (
	"encoding/json"
	"time"
)

// Task statuses.
const (
	StatusEnqueued   = "enqueued"
	StatusProcessing = "processing"
	StatusSucceeded  = "succeeded"
	StatusFailed     = "failed"
	StatusCanceled   = "canceled"
)

// Task is what clients see of a write, and what Miroir knows of it on the nodes. Tasks live on disk only.
type Task struct {
	UID            uint32          `json:"uid"`
	BatchUID       *uint32         `json:"batchUid,omitempty"` // set once it starts
	Index          IndexID         `json:"index,omitempty"`    // 0: none
	IndexUID       *string         `json:"indexUid,omitempty"` // the name the client used
	Names          []string        `json:"names,omitempty"`    // more names it is found under: those of a change of names that failed
	EnqueuedAs     string          `json:"-"`                  // the index's name then, which later flips have not changed
	RenamedTo      string          `json:"-"`                  // the name it gave the index, as later flips have changed it; "" for none
	Kind           string          `json:"kind"`               // Meilisearch's `type`
	Status         string          `json:"status"`
	CanceledBy     *uint32         `json:"canceledBy,omitempty"`
	Details        json.RawMessage `json:"details,omitempty"`
	Error          json.RawMessage `json:"error,omitempty"`
	EnqueuedAt     time.Time       `json:"enqueuedAt"` // never earlier than that of a task with a lower uid
	StartedAt      *time.Time      `json:"startedAt,omitempty"`
	FinishedAt     *time.Time      `json:"finishedAt,omitempty"`
	CustomMetadata *string         `json:"customMetadata,omitempty"` // the client's
	WriteID        WriteID         `json:"writeId,omitempty"`
	Session        string          `json:"session,omitempty"`
	Shards         []ShardID       `json:"shards,omitempty"`    // shards touched, nil for all
	NodeTasks      []NodeTask      `json:"nodeTasks,omitempty"` // from EndWrite: one per node that acknowledged
	Effect         Effect          `json:"effect,omitzero"`     // without Settings, which live in Index.Pending until finished
}

// Finished reports whether the task has its final status.
func (t *Task) Finished() bool {
	return t.Status != StatusEnqueued && t.Status != StatusProcessing
}

// NodeTask is one node's share of a task.
type NodeTask struct {
	Node    NodeID          `json:"node"`
	UID     uint32          `json:"uid"`              // node task uid
	Shards  []ShardID       `json:"shards,omitempty"` // nil: all
	Done    bool            `json:"done,omitempty"`
	Status  string          `json:"status,omitempty"`
	Error   json.RawMessage `json:"error,omitempty"`
	Details json.RawMessage `json:"details,omitempty"`
}

// StartTasks makes enqueued tasks processing; others are left alone. Each gets its own batch.
type StartTasks struct {
	Now      time.Time `json:"now"`
	TaskUIDs TaskUIDs  `json:"taskUids"`
}

// FinishTask gives a task its final status. When it succeeded its effect on the index becomes visible, as soon as earlier
// changes of that index are; when not, the Next* values are rolled back. A task that is finished already is left alone.
type FinishTask struct {
	Now        time.Time       `json:"now"`
	TaskUID    uint32          `json:"taskUid"`
	Status     string          `json:"status"`            // succeeded, failed or canceled
	Details    json.RawMessage `json:"details,omitempty"` // nil: as enqueued
	Error      json.RawMessage `json:"error,omitempty"`
	StartedAt  *time.Time      `json:"startedAt,omitempty"`  // nil: Now
	FinishedAt *time.Time      `json:"finishedAt,omitempty"` // nil: Now
	// FailedNodes did not do it: their replicas of the shards touched become stale while others are in sync, and an index that
	// was deleted is left over there.
	FailedNodes []NodeID   `json:"failedNodes,omitempty"`
	NodeTasks   []NodeTask `json:"nodeTasks,omitempty"` // nil: as recorded
	// IndexExists says that the index was created on the nodes although the task failed.
	IndexExists bool `json:"indexExists,omitempty"`
	// StaleOnly makes the replicas of FailedNodes stale and leaves the task as it is: the pods are to know before clients.
	StaleOnly bool `json:"staleOnly,omitempty"`
}

// FinishTaskResult tells what a FinishTask did.
type FinishTaskResult struct {
	Already bool         `json:"already,omitempty"` // it was finished before, or waits for a name; nothing changed
	Stale   []ReplicaRef `json:"stale,omitempty"`
	// Settled are the tasks (flips of names) that waited for this one and took effect with it.
	Settled []uint32 `json:"settled,omitempty"`
}

// CancelTasks cancels those of the tasks that are not finished, and finishes the cancelation task TaskUID (from
// BeginWrite without index) with the counts in its details. A deletion, swap or rename stays when a later task was accepted
// under a name it frees. What the nodes have begun is the proposer's to cancel first.
type CancelTasks struct {
	Now            time.Time `json:"now"`
	TaskUID        uint32    `json:"taskUid"`
	UIDs           TaskUIDs  `json:"uids"`
	OriginalFilter string    `json:"originalFilter"`
	// NumMatched counts the tasks that were named, if more than UIDs: some cannot be canceled any more.
	NumMatched int `json:"numMatched,omitempty"`
}

// DeleteTasks deletes those of the tasks that are finished, and finishes the deletion task TaskUID with the counts in its
// details, unless More of its tasks follow: what they are and how far it has come is then in its Deletion. With TaskUID nil it is a silent clean-up by age or number (see Outlived), which leaves alone what an open write needs.
type DeleteTasks struct {
	Now            time.Time `json:"now"`
	TaskUID        *uint32   `json:"taskUid,omitempty"`
	UIDs           TaskUIDs  `json:"uids"`
	More           bool      `json:"more,omitempty"`
	NumMatched     int       `json:"numMatched,omitempty"` // tasks that were named, if more than are to be deleted
	OriginalFilter string    `json:"originalFilter,omitempty"`
}

// Deletion is how far a deletion of tasks has come.
type Deletion struct {
	NumAsked   int    `json:"numAsked"`
	NumDeleted int    `json:"numDeleted"`
	Next       uint32 `json:"next"` // the lowest uid it has not come to
}

// TasksResult tells how many tasks a command changed.
type TasksResult struct {
	NumTasks int `json:"numTasks"`
}

func (StartTasks) Result() (r TasksResult)      { return }
func (FinishTask) Result() (r FinishTaskResult) { return }
func (CancelTasks) Result() (r TasksResult)     { return }
func (DeleteTasks) Result() (r TasksResult)     { return }
