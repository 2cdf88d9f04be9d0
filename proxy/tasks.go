package proxy

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/RoaringBitmap/roaring/v2"

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
	return grant.AllIndexes() || !meili.TaskKind(t.Kind).IsGlobal() && t.IndexUID != nil && grant.IndexAllowed(*t.IndexUID) &&
		(t.RenamedTo == "" || grant.IndexAllowed(t.RenamedTo))
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

// countedBy is the filter of what the total of a list counts: all that the query names, with the swaps of its indexes.
func countedBy(q *meili.TaskQuery) fsm.TaskFilter {
	filter := filterOf(q, meili.FullGrant())
	filter.Swaps = true
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
	found, err := s.cluster.Tasks().Tasks(countedBy(query), page)
	if err != nil {
		return err
	}
	list := meili.TaskList{Results: []meili.TaskView{}, Total: uint64(found.Total), Limit: query.Limit}
	for _, task := range found.Tasks {
		switch {
		case !maySee(r.Grant, task), query.IndexUIDs != nil && meili.TaskKind(task.Kind).IsGlobal():
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
	return s.overTasks(w, r, meili.TaskTaskCancelation, meili.TaskFilterCancel, unfinished)
}

// handleDeleteTasks deletes what is finished once the deletion's turn has come: a server works on one batch at a time,
// so what is at work now is finished then.
func (s *Server) handleDeleteTasks(w http.ResponseWriter, r *request) error {
	return s.overTasks(w, r, meili.TaskTaskDeletion, meili.TaskFilterDelete, []string{fsm.StatusSucceeded, fsm.StatusFailed, fsm.StatusCanceled})
}

var unfinished = []string{fsm.StatusEnqueued, fsm.StatusProcessing}

// overTasks enqueues a task that acts on others: those that match now and have one of some statuses. The task watcher does the
// work. As in Meilisearch the status of the answer is 200.
func (s *Server) overTasks(w http.ResponseWriter, r *request, kind meili.TaskKind, verb string, statuses []string) error {
	query, problem := meili.DecodeTaskFilter(r.URL.RawQuery, verb)
	if problem != nil {
		return problem
	}
	note, err := s.noteOf(filterOf(query, r.Grant), kind, statuses)
	if err != nil {
		return err
	}
	note.OriginalFilter = meili.OriginalFilter(r.URL.RawQuery)
	number := uint64(note.NumMatched)
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
	s.letFinish(r.Context(), done.begun.TaskUID)
	done.answer(w, http.StatusOK)
	return nil
}

// Bounds of the wait for a task that acts on others, and the pause between two looks.
const (
	overTasksWait  = 50 * time.Millisecond
	overTasksPause = time.Millisecond
)

// letFinish gives a task the time that it takes as a rule. One server is done with it before a client's next request comes, which may
// list what is about to be deleted.
func (s *Server) letFinish(ctx context.Context, uid uint32) {
	for deadline := time.Now().Add(overTasksWait); ; {
		task, err := s.cluster.Tasks().Task(uid)
		if err != nil || task.Finished() || !sleepUntil(ctx, overTasksPause, deadline) {
			return
		}
	}
}

// noteOf notes which tasks a cancelation or deletion is about. No task is read: there may be millions.
func (s *Server) noteOf(filter fsm.TaskFilter, kind meili.TaskKind, statuses []string) (note tasks.Note, err error) {
	known := s.cluster.Tasks()
	matched, err := known.Tasks(filter, fsm.TaskPage{})
	if err != nil {
		return note, err
	}
	note.NumMatched = matched.Total
	uids := roaring.New()
	if err := known.EachTaskUID(withStatuses(filter, statuses), uids.Add); err != nil {
		return note, err
	}
	if kind == meili.TaskTaskDeletion {
		atWork, err := known.Tasks(fsm.TaskFilter{Statuses: unfinished}, fsm.TaskPage{Limit: 1, Reverse: true})
		if err != nil {
			return note, err
		}
		for _, task := range atWork.Tasks {
			open, named := withStatuses(filter, unfinished), false
			if err := known.EachTaskUID(open, func(uid uint32) { named = named || uid == task.UID }); err != nil {
				return note, err
			}
			if named {
				note.After = &task.UID
				uids.Add(task.UID)
			}
		}
	}
	return note, note.SetTasks(uids)
}

// withStatuses is a filter that takes only some statuses of those it takes.
func withStatuses(filter fsm.TaskFilter, statuses []string) fsm.TaskFilter {
	if filter.Statuses != nil {
		statuses = slices.DeleteFunc(slices.Clone(statuses), func(status string) bool { return !slices.Contains(filter.Statuses, status) })
	}
	filter.Statuses = statuses
	return filter
}

// earlierWritesWait bounds how long a write waits for earlier ones to the same index, where it must know what they do.
const earlierWritesWait = 30 * time.Second

// unfinished is the newest unfinished task of the index with a name that is not newer than last, nil for none. The view is one of
// later, with its index of that name, nil for none: it shows all that tasks did which had ended by then.
func (s *Server) unfinished(uid string, last uint32) (view *fsm.View, ix *fsm.Index, newest *uint32, err error) {
	view = s.cluster.View()
	for ix = view.Route(uid); ix != nil; {
		asked := ix.ID
		newest, err = s.unfinishedOf(asked, last)
		view = s.cluster.View()
		if ix = view.Route(uid); err != nil || ix != nil && ix.ID == asked {
			break
		}
	}
	return view, ix, newest, err
}

func (s *Server) unfinishedOf(index fsm.IndexID, last uint32) (newest *uint32, err error) {
	if s.cluster.View().NumOpenTasks == 0 {
		return nil, nil
	}
	open, err := s.cluster.Tasks().OpenTasks()
	for _, task := range open {
		if task.Index == index && task.UID <= last {
			newest = &task.UID
		}
	}
	return newest, err
}
