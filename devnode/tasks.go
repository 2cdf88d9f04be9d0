package devnode

import (
	"bytes"
	"net/http"
	"slices"

	"miroir/meili"
)

func getTask(q *request) (answer, *meili.Error) {
	uid, err := meili.ParseTaskUID(q.param("task"))
	if err != nil {
		return answer{}, err
	}
	q.store.mu.RLock()
	defer q.store.mu.RUnlock()
	t := q.store.task(uid)
	if t == nil || !q.mayShow(t, nil) {
		return answer{}, meili.TaskNotFound(uid)
	}
	return respond(http.StatusOK, t.view()), nil
}

// mayShow tells whether a task is shown to the request's key. Tasks of no single index are hidden from keys that are
// restricted to some indexes, and from lists that name indexes.
func (q *request) mayShow(t *task, indexUIDs []string) bool {
	restricted := !q.grant.AllIndexes()
	if t.kind.IsGlobal() {
		return !restricted && indexUIDs == nil
	}
	return !restricted || t.indexUID != nil && q.authorized(*t.indexUID)
}

func listTasks(q *request) (answer, *meili.Error) {
	query, err := meili.DecodeTaskQuery(q.URL.RawQuery)
	if err != nil {
		return answer{}, err
	}
	s := q.store
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []listed
	for _, t := range s.tasks {
		if facts := t.facts(); query.Matches(&facts) {
			all = append(all, listed{t.uid, q.mayShow(t, query.IndexUIDs), func() any { return t.view() }})
		}
	}
	return respond(http.StatusOK, listPage(all, query)), nil
}

// listed is one task or batch that matches a query.
type listed struct {
	uid     uint32
	visible bool // to the request's key
	view    func() any
}

// listPage is one page of tasks or batches, given by ascending uid. The total counts what the key may not see as well; what it
// may not see is taken out after the limit was applied, so that pages can be short, as in Meilisearch.
func listPage(all []listed, query *meili.TaskQuery) object {
	total := len(all)
	if !query.Reverse {
		slices.Reverse(all)
	}
	all = slices.DeleteFunc(all, func(l listed) bool {
		return query.From != nil && (query.Reverse && l.uid < *query.From || !query.Reverse && l.uid > *query.From)
	})
	all = all[:min(uint64(len(all)), uint64(query.Limit)+1)]
	all = slices.DeleteFunc(all, func(l listed) bool { return !l.visible })
	results := []any{}
	var from, next any
	for i, l := range all {
		switch {
		case i == int(query.Limit):
			next = l.uid
		case i == 0:
			from = l.uid
			fallthrough
		default:
			results = append(results, l.view())
		}
	}
	return object{{"results", results}, {"total", total}, {"limit", query.Limit}, {"from", from}, {"next", next}}
}

func cancelTasks(q *request) (answer, *meili.Error) {
	uids, err := q.selectedTasks(meili.TaskFilterCancel)
	if err != nil {
		return answer{}, err
	}
	return q.enqueueOverTasks(meili.TaskTaskCancelation, "canceledTasks", uids, (*job).cancel)
}

func deleteTasks(q *request) (answer, *meili.Error) {
	uids, err := q.selectedTasks(meili.TaskFilterDelete)
	if err != nil {
		return answer{}, err
	}
	return q.enqueueOverTasks(meili.TaskTaskDeletion, "deletedTasks", uids, (*job).remove)
}

// enqueueOverTasks enqueues a task that acts on others. As in Meilisearch the answer's status is 200.
func (q *request) enqueueOverTasks(kind meili.TaskKind, counter string, uids []uint32, act func(*job, []uint32) int) (answer, *meili.Error) {
	details := object{{"matchedTasks", len(uids)}, {counter, nil}, {"originalFilter", meili.OriginalFilter(q.URL.RawQuery)}}
	return q.enqueue(http.StatusOK, &task{
		kind: kind, details: details,
		work: func(j *job) (object, *meili.Error) { return details.set(counter, act(j, uids)), nil },
	})
}

// selectedTasks returns the tasks that the filters of a request select now. Errors: missing_task_filters and those of the
// parameters.
func (q *request) selectedTasks(verb string) ([]uint32, *meili.Error) {
	query, err := meili.DecodeTaskFilter(q.URL.RawQuery, verb)
	if err != nil {
		return nil, err
	}
	q.store.mu.RLock()
	defer q.store.mu.RUnlock()
	var uids []uint32
	for _, t := range q.store.tasks {
		if facts := t.facts(); query.Matches(&facts) && q.mayShow(t, query.IndexUIDs) {
			uids = append(uids, t.uid)
		}
	}
	return uids, nil
}

func compactTasks(q *request) (answer, *meili.Error) {
	on := q.store.currentFeatures().TaskQueueCompactionRoute
	if err := needs(on, "Using the /tasks/compact route", "taskQueueCompactionRoute"); err != nil {
		return answer{}, err
	}
	return answer{}, unsupported("compacting the task queue")
}

// getTaskDocuments answers with the payload of a task that has not ended.
func getTaskDocuments(q *request) (answer, *meili.Error) {
	on := q.store.currentFeatures().GetTaskDocumentsRoute
	if err := needs(on, "Getting the documents of an enqueued task", "getTaskDocumentsRoute"); err != nil {
		return answer{}, err
	}
	uid, err := meili.ParseTaskUID(q.param("task"))
	if err != nil {
		return answer{}, err
	}
	q.store.mu.RLock()
	defer q.store.mu.RUnlock()
	t := q.store.task(uid)
	if t == nil || !q.mayShow(t, nil) {
		return answer{}, meili.TaskNotFound(uid)
	}
	if t.payload == nil || t.finished() {
		return answer{}, meili.Errorf(meili.CodeTaskFileNotFound, "Task `%d` does not contain any documents. Only "+
			"`documentAdditionOrUpdate` tasks with the statuses `enqueued` or `processing` contain documents", uid)
	}
	a := empty(http.StatusOK)
	a.header.Set("Content-Type", "application/x-ndjson")
	a.body = append(bytes.Join(t.payload, []byte("\n")), '\n')
	return a, nil
}

func getBatch(q *request) (answer, *meili.Error) {
	uid, err := meili.ParseBatchUID(q.param("batch"))
	if err != nil {
		return answer{}, err
	}
	q.store.mu.RLock()
	defer q.store.mu.RUnlock()
	for _, b := range q.store.batches {
		if tasks := q.store.members(b); b.uid == uid && q.mayShowAll(tasks, nil) {
			return respond(http.StatusOK, b.view(tasks)), nil
		}
	}
	return answer{}, meili.BatchNotFound(uid)
}

func (q *request) mayShowAll(tasks []*task, indexUIDs []string) bool {
	return !slices.ContainsFunc(tasks, func(t *task) bool { return !q.mayShow(t, indexUIDs) })
}

func listBatches(q *request) (answer, *meili.Error) {
	query, err := meili.DecodeTaskQuery(q.URL.RawQuery)
	if err != nil {
		return answer{}, err
	}
	s := q.store
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []listed
	for _, b := range s.batches {
		tasks := s.members(b)
		if b.matches(tasks, query) {
			all = append(all, listed{b.uid, q.mayShowAll(tasks, query.IndexUIDs), func() any { return b.view(tasks) }})
		}
	}
	return respond(http.StatusOK, listPage(all, query)), nil
}

// matches tells whether a batch has, for each filter of a query, a task that passes it. Dates of start and end are the
// batch's own.
func (b *batch) matches(tasks []*task, query *meili.TaskQuery) bool {
	has := func(test func(t *task) bool) bool { return slices.ContainsFunc(tasks, test) }
	in := func(uids []uint32, uid uint32) bool { return uids == nil || slices.Contains(uids, uid) }
	canceler := func(t *task) bool {
		done := t.kind == meili.TaskTaskCancelation && t.status == meili.TaskSucceeded
		return query.CanceledBy == nil || done && slices.Contains(query.CanceledBy, t.uid)
	}
	return in(query.BatchUIDs, b.uid) &&
		has(func(t *task) bool { return in(query.UIDs, t.uid) }) &&
		has(func(t *task) bool { return query.Statuses == nil || slices.Contains(query.Statuses, t.status) }) &&
		has(func(t *task) bool { return query.Types == nil || slices.Contains(query.Types, t.kind) }) &&
		has(func(t *task) bool {
			return query.IndexUIDs == nil || t.indexUID != nil && slices.Contains(query.IndexUIDs, *t.indexUID)
		}) &&
		has(canceler) &&
		has(func(t *task) bool { return isWithin(&t.enqueuedAt, query.AfterEnqueuedAt, query.BeforeEnqueuedAt) }) &&
		isWithin(&b.startedAt, query.AfterStartedAt, query.BeforeStartedAt) &&
		isWithin(b.finishedAt, query.AfterFinishedAt, query.BeforeFinishedAt)
}
