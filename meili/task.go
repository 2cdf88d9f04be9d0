package meili

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// TaskStatus is where a task is in its life.
type TaskStatus string

// The statuses of a task.
const (
	TaskEnqueued   TaskStatus = "enqueued"
	TaskProcessing TaskStatus = "processing"
	TaskSucceeded  TaskStatus = "succeeded"
	TaskFailed     TaskStatus = "failed"
	TaskCanceled   TaskStatus = "canceled"
)

// TaskStatuses are all statuses in the order Meilisearch lists them.
var TaskStatuses = []TaskStatus{TaskEnqueued, TaskProcessing, TaskSucceeded, TaskFailed, TaskCanceled}

// IsFinished reports whether nothing will happen to the task any more.
func (s TaskStatus) IsFinished() bool {
	return s == TaskSucceeded || s == TaskFailed || s == TaskCanceled
}

// TaskKind is what a task does, the type member of its view.
type TaskKind string

// The kinds of tasks.
const (
	TaskDocumentAdditionOrUpdate TaskKind = "documentAdditionOrUpdate"
	TaskDocumentEdition          TaskKind = "documentEdition"
	TaskDocumentDeletion         TaskKind = "documentDeletion"
	TaskSettingsUpdate           TaskKind = "settingsUpdate"
	TaskIndexCreation            TaskKind = "indexCreation"
	TaskIndexDeletion            TaskKind = "indexDeletion"
	TaskIndexUpdate              TaskKind = "indexUpdate"
	TaskIndexSwap                TaskKind = "indexSwap"
	TaskTaskCancelation          TaskKind = "taskCancelation"
	TaskTaskDeletion             TaskKind = "taskDeletion"
	TaskDumpCreation             TaskKind = "dumpCreation"
	TaskSnapshotCreation         TaskKind = "snapshotCreation"
	TaskExport                   TaskKind = "export"
	TaskUpgradeDatabase          TaskKind = "upgradeDatabase"
	TaskIndexCompaction          TaskKind = "indexCompaction"
	TaskNetworkTopologyChange    TaskKind = "networkTopologyChange"
	TaskDSRUpdate                TaskKind = "dsrUpdate"
	TaskDSRClear                 TaskKind = "dsrClear"
)

// TaskKinds are all kinds in the order Meilisearch lists them.
var TaskKinds = []TaskKind{
	TaskDocumentAdditionOrUpdate, TaskDocumentEdition, TaskDocumentDeletion, TaskSettingsUpdate, TaskIndexCreation, TaskIndexDeletion,
	TaskIndexUpdate, TaskIndexSwap, TaskTaskCancelation, TaskTaskDeletion, TaskDumpCreation, TaskSnapshotCreation, TaskExport,
	TaskUpgradeDatabase, TaskIndexCompaction, TaskNetworkTopologyChange, TaskDSRUpdate, TaskDSRClear,
}

var globalTaskKinds = []TaskKind{
	TaskIndexSwap, TaskTaskCancelation, TaskTaskDeletion, TaskDumpCreation, TaskSnapshotCreation, TaskExport, TaskUpgradeDatabase, TaskNetworkTopologyChange,
}

// IsGlobal reports whether tasks of this kind belong to no single index: they have no indexUid, and lists restricted to
// some indexes, by query or by key, leave them out.
func (k TaskKind) IsGlobal() bool { return slices.Contains(globalTaskKinds, k) }

// ShownIndex is the index that a task of this kind shows: its own, or the one that stands for dynamic search rules.
func (k TaskKind) ShownIndex(own *string) *string {
	if k == TaskDSRUpdate || k == TaskDSRClear {
		return new(RulesIndex)
	}
	return own
}

// BatchStrategy says why a batch of one task took no more.
func BatchStrategy(kind TaskKind, task uint32) string {
	switch kind {
	case TaskIndexDeletion:
		return fmt.Sprintf("stopped after task with id %d because it deletes the index", task)
	case TaskDocumentAdditionOrUpdate, TaskDocumentDeletion, TaskSettingsUpdate, TaskDSRUpdate, TaskDSRClear:
		return "batched all enqueued tasks"
	case TaskTaskDeletion, TaskSnapshotCreation, TaskUpgradeDatabase:
		return fmt.Sprintf("stopped after the last task of type `%s` because they cannot be batched with tasks of any other type.", kind)
	}
	return fmt.Sprintf("created batch containing only task with id %d of type `%s` that cannot be batched with any other task.", task, kind)
}

// TaskView is a task as GET /tasks shows it, members in Meilisearch's order. The duration is printed from the times.
type TaskView struct {
	UID            uint32          `json:"uid"`
	BatchUID       *uint32         `json:"batchUid"`
	IndexUID       *string         `json:"indexUid"`
	Status         TaskStatus      `json:"status"`
	Kind           TaskKind        `json:"type"`
	CanceledBy     *uint32         `json:"canceledBy"`
	Details        json.RawMessage `json:"details,omitempty"` // left out when empty
	Error          *Error          `json:"error"`
	EnqueuedAt     time.Time       `json:"enqueuedAt"`
	StartedAt      *time.Time      `json:"startedAt"`
	FinishedAt     *time.Time      `json:"finishedAt"`
	CustomMetadata *string         `json:"customMetadata,omitempty"`
}

// taskText is a TaskView as it is printed.
type taskText struct {
	UID            uint32          `json:"uid"`
	BatchUID       *uint32         `json:"batchUid"`
	IndexUID       *string         `json:"indexUid"`
	Status         TaskStatus      `json:"status"`
	Kind           TaskKind        `json:"type"`
	CanceledBy     *uint32         `json:"canceledBy"`
	Details        json.RawMessage `json:"details,omitempty"`
	Error          *Error          `json:"error"`
	Duration       *string         `json:"duration"`
	EnqueuedAt     string          `json:"enqueuedAt"`
	StartedAt      *string         `json:"startedAt"`
	FinishedAt     *string         `json:"finishedAt"`
	CustomMetadata *string         `json:"customMetadata,omitempty"`
}

// MarshalJSON prints the view.
func (t TaskView) MarshalJSON() ([]byte, error) {
	return marshal(taskText{
		t.UID, t.BatchUID, t.IndexUID, t.Status, t.Kind, t.CanceledBy, t.Details, t.Error, t.duration(),
		FormatTime(t.EnqueuedAt), formatTimePointer(t.StartedAt), formatTimePointer(t.FinishedAt), t.CustomMetadata,
	})
}

func (t *TaskView) duration() *string {
	if t.StartedAt == nil || t.FinishedAt == nil {
		return nil
	}
	text := FormatDuration(t.FinishedAt.Sub(*t.StartedAt))
	if text == "" {
		return nil
	}
	return &text
}

func formatTimePointer(t *time.Time) *string {
	if t == nil {
		return nil
	}
	text := FormatTime(*t)
	return &text
}

// SummarizedTask is the answer to every request that enqueues a task, members in Meilisearch's order.
type SummarizedTask struct {
	TaskUID        uint32
	IndexUID       *string // nil for global kinds
	Status         TaskStatus
	Kind           TaskKind
	EnqueuedAt     time.Time
	CustomMetadata *string // left out when nil
}

// Summary is t as the answer to the request that enqueued it.
func (t *TaskView) Summary() SummarizedTask {
	return SummarizedTask{t.UID, t.IndexUID, t.Status, t.Kind, t.EnqueuedAt, t.CustomMetadata}
}

// MarshalJSON prints the summary.
func (t SummarizedTask) MarshalJSON() ([]byte, error) {
	return marshal(struct {
		TaskUID        uint32     `json:"taskUid"`
		IndexUID       *string    `json:"indexUid"`
		Status         TaskStatus `json:"status"`
		Kind           TaskKind   `json:"type"`
		EnqueuedAt     string     `json:"enqueuedAt"`
		CustomMetadata *string    `json:"customMetadata,omitempty"`
	}{t.TaskUID, t.IndexUID, t.Status, t.Kind, FormatTime(t.EnqueuedAt), t.CustomMetadata})
}

// TaskList is the answer of GET /tasks.
type TaskList struct {
	Results []TaskView `json:"results"`
	Total   uint64     `json:"total"`
	Limit   uint32     `json:"limit"`
	From    *uint32    `json:"from"` // uid of the first result
	Next    *uint32    `json:"next"` // uid the next page starts from
}

// TaskDetails are the details of a task of any kind but settingsUpdate, whose details are the change itself.
// Members not set are left out; a Setting that is reset prints null, which is how counts look until the task is done.
type TaskDetails struct {
	ReceivedDocuments  *uint64                  `json:"receivedDocuments,omitempty"`
	IndexedDocuments   Setting[uint64]          `json:"indexedDocuments,omitzero"`
	EditedDocuments    Setting[uint64]          `json:"editedDocuments,omitzero"`
	PrimaryKey         Setting[string]          `json:"primaryKey,omitzero"`
	ProvidedIDs        *uint64                  `json:"providedIds,omitempty"`
	DeletedDocuments   Setting[uint64]          `json:"deletedDocuments,omitzero"`
	MatchedTasks       *uint64                  `json:"matchedTasks,omitempty"`
	CanceledTasks      Setting[uint64]          `json:"canceledTasks,omitzero"`
	DeletedTasks       Setting[uint64]          `json:"deletedTasks,omitzero"`
	OriginalFilter     Setting[string]          `json:"originalFilter,omitzero"`
	DumpUID            Setting[string]          `json:"dumpUid,omitzero"`
	Context            Setting[json.RawMessage] `json:"context,omitzero"`
	Function           *string                  `json:"function,omitempty"`
	Swaps              []TaskSwap               `json:"swaps,omitzero"`
	UpgradeFrom        string                   `json:"upgradeFrom,omitempty"`
	UpgradeTo          string                   `json:"upgradeTo,omitempty"`
	URL                *string                  `json:"url,omitempty"`
	APIKey             *string                  `json:"apiKey,omitempty"`
	PayloadSize        *string                  `json:"payloadSize,omitempty"`
	Indexes            json.RawMessage          `json:"indexes,omitempty"`
	Rule               json.RawMessage          `json:"rule,omitempty"`
	UpdatedRules       *uint64                  `json:"updatedRules,omitempty"`
	OldIndexUID        *string                  `json:"oldIndexUid,omitempty"`
	NewIndexUID        *string                  `json:"newIndexUid,omitempty"`
	PreCompactionSize  *string                  `json:"preCompactionSize,omitempty"`
	PostCompactionSize *string                  `json:"postCompactionSize,omitempty"`
}

// TaskSwap is one pair of an indexSwap task.
type TaskSwap struct {
	Indexes [2]string `json:"indexes"`
	Rename  bool      `json:"rename"`
}

// JSON prints the details.
func (d *TaskDetails) JSON() json.RawMessage {
	out, err := marshal(d)
	if err != nil {
		return json.RawMessage("{}") // every member marshals
	}
	return out
}

// CountOf is a count of a finished task.
func CountOf(n uint64) Setting[uint64] { return SetTo(n) }

// NotCounted is a count of a task that is not finished: null.
func NotCounted() Setting[uint64] { return ResetTo[uint64]() }

// TaskNotFound is the error of a task uid that does not exist.
func TaskNotFound(uid uint32) *Error { return Errorf(CodeTaskNotFound, "Task `%d` not found.", uid) }

// BatchNotFound is the error of a batch uid that does not exist.
func BatchNotFound(uid uint32) *Error {
	return Errorf(CodeBatchNotFound, "Batch `%d` not found.", uid)
}

// ParseTaskUID reads the uid in the path of a task route. Error: invalid_task_uids.
func ParseTaskUID(text string) (uint32, *Error) {
	if n, ok := parseUint32(text); ok {
		return n, nil
	}
	return 0, newError(CodeInvalidTaskUIDs, "Task uid `"+text+"` is invalid. It should only contain numeric characters.")
}

// ParseBatchUID reads the uid in the path of a batch route. Error: invalid_batch_uids.
func ParseBatchUID(text string) (uint32, *Error) {
	if n, ok := parseUint32(text); ok {
		return n, nil
	}
	return 0, newError(CodeInvalidBatchUIDs, "Batch uid `"+text+"` is invalid. It should only contain numeric characters.")
}

func parseTaskKind(text string) (TaskKind, bool) {
	i := slices.IndexFunc(TaskKinds, func(k TaskKind) bool { return strings.EqualFold(string(k), text) })
	if i < 0 {
		return "", false
	}
	return TaskKinds[i], true
}

func parseTaskStatus(text string) (TaskStatus, bool) {
	i := slices.IndexFunc(TaskStatuses, func(s TaskStatus) bool { return strings.EqualFold(string(s), text) })
	if i < 0 {
		return "", false
	}
	return TaskStatuses[i], true
}
