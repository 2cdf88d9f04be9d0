package fsm

import (
	"time"
)

// TaskUIDs is a set of task uids; on the wire it is a list of [first, last] runs.
type TaskUIDs []uint32

// TaskFilter selects tasks; the zero value selects all. A nil slice does not filter, an empty one matches nothing.
// Members are combined by AND, values of one member by OR.
type TaskFilter struct {
	UIDs, BatchUIDs, CanceledBy       []uint32
	Statuses, Kinds, IndexUIDs        []string
	AfterEnqueuedAt, BeforeEnqueuedAt *time.Time // exclusive
	AfterStartedAt, BeforeStartedAt   *time.Time
	AfterFinishedAt, BeforeFinishedAt *time.Time
	// Swaps finds the swaps of the IndexUIDs too; otherwise those belong to no index.
	Swaps bool
	// AllowIndex, if set, hides tasks that concern an index it refuses, and tasks that concern none. It is asked once per
	// index name, not per task.
	AllowIndex func(indexUID string) bool
	// Match, if set, sees every task the other members select, decoded: slow over a long history.
	Match func(*Task) bool
}

// TaskPage cuts a window out of the matching tasks: newest first, or oldest first with Reverse, from uid From on.
type TaskPage struct {
	From    *uint32
	Limit   int
	Reverse bool
}

// TaskList is one page. Total counts all matches whatever the page; Next is the uid the following page starts with.
type TaskList struct {
	Tasks []*Task
	Total int
	Next  *uint32
}

// Batch is a batch and its tasks, sorted by uid.
type Batch struct {
	UID   uint32
	Tasks []*Task
}

// BatchList is one page of batches. Total counts the batches with a matching task.
type BatchList struct {
	Batches []Batch
	Total   int
	Next    *uint32
}
