// Package tasks is what the coordinator and the task watcher both know of client tasks: what is noted in a task's
// details beside what clients see, and how the tasks of several nodes become one. It is pure: no I/O, no clock.
package tasks

import (
	"encoding/json"

	"github.com/RoaringBitmap/roaring/v2"

	"miroir/meili"
)

// Note is what Miroir remembers of a task until it is finished. It travels inside the details of the task.
type Note struct {
	// DistinctIDs is the number of different documents of an addition, which is what it will have indexed.
	DistinctIDs *uint64 `json:"distinctIds,omitempty"`
	// Error is what the task fails with after its nodes have created the index: a batch that is refused as a whole
	// still creates it.
	Error json.RawMessage `json:"error,omitempty"`
	// Tasks are those that a cancelation or deletion is about, see SetTasks, NumMatched how many were named, OriginalFilter how.
	Tasks      []byte `json:"tasks,omitempty"`
	NumMatched int    `json:"numMatched,omitempty"`
	// After is the task a deletion of tasks waits for: the one that was at work when it was enqueued.
	After          *uint32 `json:"after,omitempty"`
	OriginalFilter string  `json:"originalFilter,omitempty"`
	// Export is the request of an export, with the key of the server it goes to.
	Export json.RawMessage `json:"export,omitempty"`
	// FunctionAt is how many characters stand before the client's function in the first line of the one that nodes run.
	FunctionAt int `json:"functionAt,omitempty"`
	// Rule is the dynamic search rule that a task changes, or deletes.
	Rule string `json:"rule,omitempty"`
}

// SetTasks notes a set of task uids. It takes an eighth of a byte for each task there is at most, and a few bytes for a range.
func (n *Note) SetTasks(uids *roaring.Bitmap) (err error) {
	uids.RunOptimize()
	n.Tasks, err = uids.ToBytes()
	return err
}

// TaskSet is the set that SetTasks noted.
func (n *Note) TaskSet() (*roaring.Bitmap, error) {
	uids := roaring.New()
	if len(n.Tasks) == 0 {
		return uids, nil
	}
	return uids, uids.UnmarshalBinary(n.Tasks)
}

const noteField = "_miroir"

// WithNote adds a note to the details of a task.
func WithNote(details json.RawMessage, note Note) json.RawMessage {
	if len(details) == 0 {
		details = json.RawMessage("{}")
	}
	text, err := json.Marshal(note)
	if err != nil {
		return details // every member marshals
	}
	return meili.Append(details, noteField, text)
}

// ReadNote separates what clients see of a task's details from the note.
func ReadNote(details json.RawMessage) (json.RawMessage, Note) {
	var note Note
	if len(details) == 0 {
		return details, note
	}
	text, ok := meili.Get(details, noteField)
	if !ok || json.Unmarshal(text, &note) != nil {
		return details, note
	}
	public := meili.Strip(details, noteField)
	if string(public) == "{}" {
		public = nil
	}
	return public, note
}
