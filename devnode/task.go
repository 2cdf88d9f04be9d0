package devnode

import (
	"slices"
	"time"

	"miroir/meili"
)

// task is one entry of the queue. The store's mutex guards its members.
type task struct {
	uid            uint32
	batchUID       *uint32
	indexUID       *string // nil for tasks that belong to no single index
	kind           meili.TaskKind
	status         meili.TaskStatus
	canceledBy     *uint32
	details        object // nil = none
	err            *meili.Error
	enqueuedAt     time.Time
	startedAt      *time.Time
	finishedAt     *time.Time
	customMetadata *string

	work    work
	payload [][]byte // the documents of an addition
}

// work does what a task asks for. It returns the details of the finished task, nil to keep those it was enqueued with. It
// must not hold anything of a store: a copy of the queue runs it on another one.
type work func(j *job) (object, *meili.Error)

// job is a task being processed.
type job struct {
	store *store
	task  *task
	uid   uint32
	index string // the uid of the index the task belongs to, "" for none

	indexed bool // set by the work: the indexer ran, so the batch reports its congestion
	resized bool // set by the work: documents changed, so the batch reports sizes
}

// enqueue adds a task to the queue and answers with its summary. t needs kind, indexUID, details and work.
func (q *request) enqueue(status int, t *task) (answer, *meili.Error) {
	summary := q.store.add(t)
	q.node.poke()
	return respond(status, summary), nil
}

// add numbers a task, puts it at the end of the queue and returns what the client gets.
func (s *store) add(t *task) meili.SummarizedTask {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.uid = s.nextTask
	t.status = meili.TaskEnqueued
	t.enqueuedAt = s.options.now()
	s.nextTask++
	s.tasks = append(s.tasks, t)
	s.pending = append(s.pending, t)
	facts := t.facts()
	return facts.Summary()
}

// view is the task as the API shows it. Call with the store's mutex held.
func (t *task) view() meili.TaskView {
	view := t.facts()
	if t.details != nil {
		view.Details = encode(t.details)
	}
	return view
}

// facts is the view without the details, which cost more than all the rest. Call with the store's mutex held.
func (t *task) facts() meili.TaskView {
	return meili.TaskView{
		UID: t.uid, BatchUID: t.batchUID, IndexUID: t.indexUID, Status: t.status, Kind: t.kind, CanceledBy: t.canceledBy,
		Error: t.err, EnqueuedAt: t.enqueuedAt, StartedAt: t.startedAt, FinishedAt: t.finishedAt, CustomMetadata: t.customMetadata,
	}
}

// clone returns a copy for another store. A task in progress becomes enqueued.
func (t *task) clone() *task {
	c := *t
	if c.status == meili.TaskProcessing {
		c.status, c.batchUID, c.startedAt = meili.TaskEnqueued, nil, nil
	}
	return &c
}

// finished tells whether the task has ended.
func (t *task) finished() bool { return t.status.IsFinished() }

// failed are the details of a task that did not do its work: what it would have counted is 0.
func (o object) failed() object {
	out := slices.Clone(o)
	counters := []string{"indexedDocuments", "editedDocuments", "deletedDocuments", "canceledTasks", "deletedTasks"}
	edition := slices.ContainsFunc(o, func(m member) bool { return m.name == "editedDocuments" })
	for i, m := range out {
		if slices.Contains(counters, m.name) && !(edition && m.name == "deletedDocuments") {
			out[i].value = 0
		}
	}
	return out
}
