package proxy

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"miroir/fsm"
	"miroir/meili"
	"miroir/tasks"
)

// batchView is a batch as the API shows it, members in Meilisearch's order.
type batchView struct {
	UID           uint32          `json:"uid"`
	Progress      json.RawMessage `json:"progress"`
	Details       json.RawMessage `json:"details"`
	Stats         batchStats      `json:"stats"`
	Duration      *string         `json:"duration"`
	StartedAt     string          `json:"startedAt"`
	FinishedAt    *string         `json:"finishedAt"`
	BatchStrategy string          `json:"batchStrategy"`
}

type batchStats struct {
	TotalNbTasks int            `json:"totalNbTasks"`
	Status       map[string]int `json:"status"`
	Types        map[string]int `json:"types"`
	IndexUIDs    map[string]int `json:"indexUids"`
	// ProgressTrace is how long the parts of a batch took, until now; Miroir knows of one part.
	ProgressTrace map[string]string `json:"progressTrace,omitempty"`
	nodeBatchStats
}

// viewOfBatch shows a batch. Miroir makes one batch of each task; a cancelation's also has what it canceled.
func viewOfBatch(b fsm.Batch, now time.Time) batchView {
	view := batchView{UID: b.UID, Progress: json.RawMessage("null"), Details: json.RawMessage("{}"), Stats: statsOfBatch(b.Tasks)}
	if len(b.Tasks) == 0 {
		return view
	}
	first := b.Tasks[0]
	for _, t := range b.Tasks {
		if t.BatchUID != nil && *t.BatchUID == t.UID {
			first = t
		}
	}
	if details, _ := tasks.ReadNote(first.Details); len(details) > 0 {
		view.Details = withoutNulls(details, first)
	}
	if !first.Finished() {
		view.Progress = json.RawMessage(`{"steps":[],"percentage":0.0}`)
	}
	view.BatchStrategy = meili.BatchStrategy(meili.TaskKind(first.Kind), first.UID)
	view.StartedAt = formatTime(first.EnqueuedAt)
	if first.StartedAt != nil {
		view.StartedAt = formatTime(*first.StartedAt)
	}
	if first.FinishedAt != nil {
		finished := formatTime(*first.FinishedAt)
		view.FinishedAt = &finished
		view.Duration = durationOf(first.StartedAt, first.FinishedAt)
		now = *first.FinishedAt
	}
	if first.StartedAt != nil {
		view.Stats.ProgressTrace = map[string]string{"processing tasks": max(now.Sub(*first.StartedAt), 0).String()}
	}
	return view
}

func durationOf(start, end *time.Time) *string {
	if start == nil {
		return nil
	}
	text := meili.FormatDuration(end.Sub(*start))
	if text == "" {
		return nil
	}
	return &text
}

func statsOfBatch(list []*fsm.Task) batchStats {
	stats := batchStats{TotalNbTasks: len(list), Status: map[string]int{}, Types: map[string]int{}, IndexUIDs: map[string]int{}}
	for _, t := range list {
		stats.Status[t.Status]++
		stats.Types[t.Kind]++
		if t.IndexUID != nil {
			stats.IndexUIDs[t.EnqueuedAs]++
		} else if shown := meili.TaskKind(t.Kind).ShownIndex(nil); shown != nil {
			stats.IndexUIDs[*shown]++
		}
	}
	return stats
}

// withoutNulls leaves out what a finished batch forgets: members that are null, unless they are settings.
func withoutNulls(details json.RawMessage, t *fsm.Task) json.RawMessage {
	if !t.Finished() || meili.TaskKind(t.Kind) == meili.TaskSettingsUpdate {
		return details
	}
	out := []byte{'{'}
	for name, value := range meili.Fields(details) {
		if string(value) == "null" {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(meili.AppendString(out, string(name)), ':'), value...)
	}
	return append(out, '}')
}

// maySeeBatched is maySee for a task as its batch has it: by the name that its index had.
func maySeeBatched(grant *meili.Grant, t *fsm.Task) bool {
	then := *t
	then.RenamedTo = ""
	if then.IndexUID != nil {
		then.IndexUID = &then.EnqueuedAs
	}
	return maySee(grant, &then)
}

func (s *Server) handleListBatches(w http.ResponseWriter, r *request) error {
	query, problem := meili.DecodeTaskQuery(r.URL.RawQuery)
	if problem != nil {
		return problem
	}
	// What the key may not see is taken out after the page was cut, as with tasks.
	page := pageOf(query)
	page.Limit++
	found, err := s.cluster.Tasks().Batches(countedBy(query), page)
	if err != nil {
		return err
	}
	list := struct {
		Results []batchView `json:"results"`
		Total   int         `json:"total"`
		Limit   uint32      `json:"limit"`
		From    *uint32     `json:"from"`
		Next    *uint32     `json:"next"`
	}{Results: []batchView{}, Total: found.Total, Limit: query.Limit}
	var shown []fsm.Batch
	for _, batch := range found.Batches {
		switch {
		case !slices.ContainsFunc(batch.Tasks, func(t *fsm.Task) bool { return maySeeBatched(r.Grant, t) }) && !r.Grant.AllIndexes():
		case query.IndexUIDs != nil && slices.ContainsFunc(batch.Tasks, func(t *fsm.Task) bool { return meili.TaskKind(t.Kind).IsGlobal() }):
		case len(shown) == int(query.Limit):
			list.Next = &batch.UID
		default:
			shown = append(shown, batch)
			list.Results = append(list.Results, viewOfBatch(batch, s.opts.Now()))
		}
	}
	s.addNodeStats(r.Context(), r.View, shown, list.Results)
	if len(list.Results) > 0 {
		list.From = &list.Results[0].UID
	}
	writeJSON(w, http.StatusOK, list)
	return nil
}

func (s *Server) handleGetBatch(w http.ResponseWriter, r *request) error {
	uid, problem := meili.ParseBatchUID(r.Params.ByName("batch"))
	if problem != nil {
		return problem
	}
	found, err := s.cluster.Tasks().Batches(fsm.TaskFilter{BatchUIDs: []uint32{uid}}, fsm.TaskPage{Limit: 1})
	if err != nil {
		return err
	}
	hidden := func(t *fsm.Task) bool { return !maySeeBatched(r.Grant, t) }
	if len(found.Batches) == 0 || slices.ContainsFunc(found.Batches[0].Tasks, hidden) {
		return meili.BatchNotFound(uid)
	}
	views := []batchView{viewOfBatch(found.Batches[0], s.opts.Now())}
	s.addNodeStats(r.Context(), r.View, found.Batches, views)
	writeJSON(w, http.StatusOK, views[0])
	return nil
}
