package proxy

import (
	"errors"
	"math"
	"net/http"

	"miroir/fsm"
	"miroir/meili"
	"miroir/tasks"
)

// taskView is a task as clients see it.
func taskView(t *fsm.Task) meili.TaskView { return tasks.View(t) }

func (s *Server) handleGetTask(w http.ResponseWriter, r *request) error {
	task, err := s.findTask(r)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, taskView(task))
	return nil
}

// findTask returns the task that the path names, if the caller may see it.
func (s *Server) findTask(r *request) (*fsm.Task, error) {
	uid, problem := meili.ParseTaskUID(r.Params.ByName("task"))
	if problem != nil {
		return nil, problem
	}
	task, err := s.cluster.Tasks().Task(uid)
	if errors.Is(err, fsm.ErrNotFound) || err == nil && !maySee(r.Grant, task) {
		return nil, meili.TaskNotFound(uid)
	}
	return task, err
}

// maySee reports whether a task is shown to a key: one restricted to some indexes sees the tasks of these only.
func maySee(grant *meili.Grant, t *fsm.Task) bool {
	return grant.AllIndexes() || !meili.TaskKind(t.Kind).IsGlobal() && t.IndexUID != nil && grant.IndexAllowed(*t.IndexUID)
}

// filterOf is a query's filter for the grant's eyes.
func filterOf(q *meili.TaskQuery, grant *meili.Grant) fsm.TaskFilter {
	filter := fsm.TaskFilter{
		UIDs: q.UIDs, BatchUIDs: q.BatchUIDs, CanceledBy: q.CanceledBy,
		Statuses: texts(q.Statuses), Kinds: texts(q.Types), IndexUIDs: q.IndexUIDs,
		AfterEnqueuedAt: q.AfterEnqueuedAt, BeforeEnqueuedAt: q.BeforeEnqueuedAt,
		AfterStartedAt: q.AfterStartedAt, BeforeStartedAt: q.BeforeStartedAt,
		AfterFinishedAt: q.AfterFinishedAt, BeforeFinishedAt: q.BeforeFinishedAt,
	}
	if !grant.AllIndexes() {
		filter.AllowIndex = grant.IndexAllowed
	}
	return filter
}

// texts keeps nil, which does not filter, apart from an empty list, which matches nothing.
func texts[T ~string](values []T) []string {
	if values == nil {
		return nil
	}
	list := make([]string, len(values))
	for i, value := range values {
		list[i] = string(value)
	}
	return list
}

func pageOf(q *meili.TaskQuery) fsm.TaskPage {
	return fsm.TaskPage{From: q.From, Limit: int(q.Limit), Reverse: q.Reverse}
}

func (s *Server) handleListTasks(w http.ResponseWriter, r *request) error {
	query, problem := meili.DecodeTaskQuery(r.URL.RawQuery)
	if problem != nil {
		return problem
	}
	// As in Meilisearch the total counts what the key may not see, and that is taken out after the page was cut; the
	// page is one task longer than asked for, and that one is where the next page starts.
	page := pageOf(query)
	page.Limit++
	found, err := s.cluster.Tasks().Tasks(filterOf(query, meili.FullGrant()), page)
	if err != nil {
		return err
	}
	list := meili.TaskList{Results: []meili.TaskView{}, Total: uint64(found.Total), Limit: query.Limit}
	for _, task := range found.Tasks {
		switch {
		case !maySee(r.Grant, task):
		case len(list.Results) == int(query.Limit):
			list.Next = &task.UID
		default:
			list.Results = append(list.Results, taskView(task))
		}
	}
	if len(list.Results) > 0 {
		list.From = &list.Results[0].UID
	}
	writeJSON(w, http.StatusOK, list)
	return nil
}

func (s *Server) handleCancelTasks(w http.ResponseWriter, r *request) error {
	return s.overTasks(w, r, meili.TaskTaskCancelation, meili.TaskFilterCancel, func(t *fsm.Task) bool { return !t.Finished() })
}

// handleDeleteTasks deletes what is finished once the deletion's turn has come: a server works on one batch at a time,
// so what is at work now is finished then.
func (s *Server) handleDeleteTasks(w http.ResponseWriter, r *request) error {
	atWork, err := s.taskAtWork()
	if err != nil {
		return err
	}
	return s.overTasks(w, r, meili.TaskTaskDeletion, meili.TaskFilterDelete, func(t *fsm.Task) bool {
		return t.Finished() || atWork != nil && t.UID == *atWork
	})
}

// taskAtWork is the oldest unfinished task, nil when there is none.
func (s *Server) taskAtWork() (*uint32, error) {
	open, err := s.cluster.Tasks().OpenTasks()
	if err != nil || len(open) == 0 {
		return nil, err
	}
	return &open[0].UID, nil
}

// overTasks enqueues a task that acts on others: those that match now and are eligible. The task watcher does the
// work. As in Meilisearch the status of the answer is 200.
func (s *Server) overTasks(w http.ResponseWriter, r *request, kind meili.TaskKind, verb string, eligible func(*fsm.Task) bool) error {
	query, problem := meili.DecodeTaskFilter(r.URL.RawQuery, verb)
	if problem != nil {
		return problem
	}
	matched, err := s.cluster.Tasks().Tasks(filterOf(query, r.Grant), fsm.TaskPage{Limit: math.MaxInt32})
	if err != nil {
		return err
	}
	note := tasks.Note{OriginalFilter: meili.OriginalFilter(r.URL.RawQuery), UIDs: fsm.TaskUIDs{}, NumMatched: matched.Total}
	for _, task := range matched.Tasks {
		if eligible(task) {
			note.UIDs = append(note.UIDs, task.UID)
			if kind == meili.TaskTaskDeletion && !task.Finished() {
				note.After = &task.UID
			}
		}
	}
	number := uint64(matched.Total)
	details := meili.TaskDetails{MatchedTasks: &number, OriginalFilter: meili.SetTo(note.OriginalFilter)}
	if kind == meili.TaskTaskCancelation {
		details.CanceledTasks = meili.NotCounted()
	} else {
		details.DeletedTasks = meili.NotCounted()
	}
	begin := fsm.BeginWrite{Kind: string(kind), Details: tasks.WithNote(details.JSON(), note)}
	done, err := s.writer.submit(r.Context(), func(*fsm.View, *fsm.Index) (*proposal, error) { return &proposal{begin: begin}, nil })
	if err != nil {
		return err
	}
	done.answer(w, http.StatusOK)
	return nil
}
